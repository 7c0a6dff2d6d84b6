//! What all targets have in common: a limit to the memory an input may ask for.

use std::alloc::System;

/// Far above what any input of a few kilobytes needs. Beyond it an allocation fails, which ends the
/// process and saves the input.
const MOST_MEMORY: usize = 1 << 30;

#[global_allocator]
static ALLOCATOR: cap::Cap<System> = cap::Cap::new(System, MOST_MEMORY);
