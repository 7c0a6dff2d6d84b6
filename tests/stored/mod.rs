//! Stored data directories: what the golden ones hold, how they are packed, and how they are read by
//! the program and by another one.
//!
//! What is stored is a function of its number alone, so every byte can be checked without a second copy.

#![allow(dead_code, unreachable_pub, clippy::expect_used)] // each test uses a part of it

pub mod check;
pub mod contents;
pub mod independent;
pub mod package;
