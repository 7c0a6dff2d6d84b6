//! Services that the tests of sinks talk to: real sockets on free ports, answers as told.

// Every test uses its own part, and all of it is public to all of them.
#![allow(dead_code, unreachable_pub, clippy::expect_used)]

pub mod http;
pub mod records;
