//! Stored data directories: what the golden ones hold, and how they are packed.
//!
//! What is stored is a function of its number alone, so every byte can be checked without a second copy.

#![allow(unreachable_pub, clippy::expect_used)] // shared by a test and its parts

pub mod contents;
pub mod package;
