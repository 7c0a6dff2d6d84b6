//! The options of the memory allocator, which it reads from the environment as the process starts.
//!
//! Invariant: a process replaces itself once at most, and goes on as it is when that fails.
//!
//! What they do and what they were measured to save stands in docs/adr/0003-allocator.md. Setting them
//! within the process would take unsafe code.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

const OPTIONS: [(&str, &str); 2] = [
    // In KiB. sled allocates 6 MiB of zeros for each database it opens and uses a few pages of them.
    // Fresh from the system they take no memory until they are used; what the allocator has used before
    // it has to overwrite.
    ("MIMALLOC_ARENA_MAX_OBJECT_SIZE", "1024"),
    // In milliseconds: what is free goes back to the system at once.
    ("MIMALLOC_PURGE_DELAY", "0"),
];

/// Starts the program anew, in the same process, with the options it lacks. Those an operator has set
/// stay as they are.
pub(crate) fn apply_options() {
    let lacking = || OPTIONS.into_iter().filter(|(name, _)| env::var_os(name).is_none());
    if lacking().next().is_none() {
        return;
    }
    let mut arguments = env::args_os();
    let (Ok(program), Some(name)) = (env::current_exe(), arguments.next()) else { return };
    // It returns only when it has failed. The relay works all the same, with more memory.
    let error = Command::new(program).arg0(name).args(arguments).envs(lacking()).exec();
    eprintln!("warning: the memory allocator keeps its defaults: {error}");
}
