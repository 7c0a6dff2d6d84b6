//! A durable store-and-forward relay for Kubernetes events.
//!
//! ```text
//!  API server ──list/watch──► source ──records──► log (sled, fsync) ──frontier──► runner per sink ──► sink
//!                                                    ▲                              │   ▲
//!                                     retention ─────┘        cursors, dead letters ◄┘   └ backoff, rate limit
//!  admin CLI ──HTTP──► admin (status, cursors, metrics, health)
//! ```
//!
//! Every arrow goes one way: a sink knows nothing of the log, the log knows nothing of Kubernetes,
//! a source knows nothing of sinks. Imports go down only (`tests/architecture.rs` checks it):
//!
//! `cli` → `config` → `admin` → `relay` → `source`, `sink`, `cursor` → `log` → `event`, `setting`, `telemetry`

pub mod admin;
pub mod cli;
pub mod config;
pub mod cursor;
pub mod event;
pub mod fault;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod log;
pub mod relay;
pub mod setting;
pub mod sink;
pub mod source;
pub mod telemetry;
