//! Metrics and logs of the relay itself.

mod metrics;

pub use metrics::{LogMetrics, Metrics, SinkMetrics, StreamMetrics};
