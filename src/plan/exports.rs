//! Exporters as the flags want them.

use anyhow::Result;

use super::one_way_ports;
use crate::cli::Config;
use crate::export::{Ipfix, IpfixSettings, Prometheus, PrometheusSettings};
use crate::interface::Interface;

/// Memory of this process that exports take at most, in bytes.
pub(crate) fn bytes(config: &Config) -> u64 {
    let ipfix = config.export.ipfix.iter();
    ipfix
        .map(|ipfix| {
            let each = IpfixSettings::bytes(config.max_connections, ipfix.biflow);
            each * ipfix.collectors.len() as u64
        })
        .sum()
}

/// A way to each collector.
pub(crate) fn collectors(
    config: &Config,
    domain: u32,
) -> impl Iterator<Item = (&str, Result<Ipfix>)> {
    let ipfix = config.export.ipfix.iter();
    ipfix.flat_map(move |ipfix| {
        ipfix.collectors.iter().map(move |collector| {
            let settings = IpfixSettings {
                collector: collector.clone(),
                biflow: ipfix.biflow,
                active_timeout: ipfix.active_timeout,
                domain: ipfix.domain.unwrap_or(domain),
                connections: config.max_connections,
            };
            (&**collector, Ipfix::open(settings))
        })
    })
}

/// No interface has such an index.
const SEVERAL: u32 = 1 << 31;

/// Each run has a domain of its own, so that a collector does not mix their sequences: the interface's, or one for those of this
/// namespace (FNV-1a).
pub(crate) fn domain(config: &Config, interfaces: &[Interface]) -> u32 {
    if let ([interface], None) = (interfaces, &config.netns) {
        return interface.index.0;
    }
    let indexes = interfaces
        .iter()
        .flat_map(|interface| interface.index.0.to_be_bytes());
    let namespace = config.netns.iter().flat_map(|name| name.bytes());
    let hash = namespace
        .chain(indexes)
        .fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
    SEVERAL | hash
}

/// The address for scrapes.
pub(crate) fn metrics(config: &Config) -> Option<Result<Prometheus>> {
    let listen = config.export.metrics?;
    Some(Prometheus::open(PrometheusSettings {
        listen,
        top: config.export.metrics_top,
        one_way_ports: one_way_ports(config),
    }))
}
