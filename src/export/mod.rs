//! Exports to other systems.

mod ipfix;
mod prometheus;

pub use ipfix::{Ipfix, Settings as IpfixSettings};
pub use prometheus::{Prometheus, Reply, Settings as PrometheusSettings, Snapshot};
