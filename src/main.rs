//! The program: parse, dispatch, exit code.

mod allocator;

use std::process::ExitCode;

/// Returns freed memory to the system, which the C library's allocator does not do by default.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    allocator::apply_options();
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: a provider of cryptography is installed already; this is a defect");
        return ExitCode::FAILURE;
    }
    kube_event_relay::cli::main(std::env::args_os().collect())
}
