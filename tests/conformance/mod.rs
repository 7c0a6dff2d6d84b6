//! Fixtures of the suite that take more than a few lines.

pub(crate) mod chat;
pub(crate) mod elasticsearch;
pub(crate) mod event_bridge;
pub(crate) mod honeycomb;
pub(crate) mod influxdb;
pub(crate) mod riemann;
pub(crate) mod sls;
