//! The options of the memory allocator, which it reads from the environment as the process starts.
//!
//! Invariant: a process replaces itself once at most, and goes on as it is when that fails.
//!
//! What they do and what they were measured to save stands in docs/adr/0003-allocator.md. Setting them
//! within the process would take unsafe code.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

const VARIABLE: &str = "_RJEM_MALLOC_CONF";

/// What is free goes back to the system after 100 ms, by a thread of its own, and not in two steps. One arena
/// for all threads: what one of them has freed any other can use.
const OPTIONS: &str = "background_thread:true,dirty_decay_ms:100,muzzy_decay_ms:0,narenas:1";

/// Starts the program anew, in the same process, with the options. Those an operator has set stay as
/// they are.
pub(crate) fn apply_options() {
    if env::var_os(VARIABLE).is_some() {
        return;
    }
    let mut arguments = env::args_os();
    let (Ok(program), Some(name)) = (env::current_exe(), arguments.next()) else { return };
    // It returns only when it has failed. The relay works all the same, with more memory.
    let error = Command::new(program).arg0(name).args(arguments).env(VARIABLE, OPTIONS).exec();
    eprintln!("warning: the memory allocator keeps its defaults: {error}");
}
