//! Metrics and logs of the relay itself.

mod catalog;
mod eventer;
mod family;
mod log;
mod logs;
mod metrics;
mod reload;
mod sink;
mod stream;

pub use catalog::MetricDescription;
pub use eventer::{Class, EventFacts, EventerMetrics, classify};
pub use log::LogMetrics;
pub use logs::init_logs;
pub use metrics::Metrics;
pub use reload::ReloadMetrics;
pub use sink::SinkMetrics;
pub use stream::StreamMetrics;
