//! Whole scenarios: the source between a fake API server and a log in memory.

mod chaos;
mod real_log;
mod scenarios;
mod server;
mod tcp;
mod trouble;
mod world;
