//! The program: parse, dispatch, exit code.

mod allocator;

use std::process::ExitCode;

/// Returns freed memory to the system and does not grow with what passes through (docs/adr/0003-allocator.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    allocator::apply_options();
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: a provider of cryptography is installed already; this is a defect");
        return ExitCode::FAILURE;
    }
    kube_event_relay::cli::main(std::env::args_os().collect())
}
