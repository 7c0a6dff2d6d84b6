//! What is in `deploy/` is accepted by a real API server, says what the documents say, and is enough to run the relay.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

#[path = "../harness/mod.rs"]
mod harness;

mod access;
mod chart;
mod comparison;
mod documents;
mod eventer_options;
mod image;
mod manifests;
mod migrating;
mod monitoring;
mod overlays;
mod quick_start;
mod release;
mod rendering;
mod upgrade;
