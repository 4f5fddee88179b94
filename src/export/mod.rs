//! What leaves for other systems than a reader of standard output.

mod ipfix;
mod prometheus;

pub use ipfix::{Ipfix, Settings as IpfixSettings};
pub use prometheus::{Prometheus, Reply, Settings as PrometheusSettings, Snapshot};
