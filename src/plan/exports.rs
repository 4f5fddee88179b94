//! Exporters as the flags want them.

use super::Plan;
use crate::export::{IpfixSettings, PrometheusSettings};
use crate::interface::Interface;

/// No interface has such an index.
const SEVERAL: u32 = 1 << 31;

impl Plan {
    /// Memory of this process that exports take at most, in bytes.
    pub(super) fn export_bytes(&self) -> u64 {
        let ipfix = self.export.ipfix.iter();
        ipfix
            .map(|ipfix| {
                let each = IpfixSettings::bytes(self.max_connections, ipfix.biflow);
                each * ipfix.collectors.len() as u64
            })
            .sum()
    }

    /// Each collector of a run on these interfaces.
    pub fn collectors(&self, interfaces: &[Interface]) -> impl Iterator<Item = IpfixSettings> {
        let domain = self.domain(interfaces);
        let ipfix = self.export.ipfix.iter();
        ipfix.flat_map(move |ipfix| {
            ipfix.collectors.iter().map(move |collector| IpfixSettings {
                collector: collector.clone(),
                biflow: ipfix.biflow,
                active_timeout: ipfix.active_timeout,
                domain: ipfix.domain.unwrap_or(domain),
                connections: self.max_connections,
            })
        })
    }

    /// Each run has a domain of its own, so that a collector does not mix their sequences: the interface's, or one for those of
    /// this namespace (FNV-1a).
    fn domain(&self, interfaces: &[Interface]) -> u32 {
        if let ([interface], None) = (interfaces, &self.netns) {
            return interface.index.0;
        }
        let indexes = interfaces
            .iter()
            .flat_map(|interface| interface.index.0.to_be_bytes());
        let namespace = self.netns.iter().flat_map(|name| name.bytes());
        let hash = namespace
            .chain(indexes)
            .fold(0x811c_9dc5_u32, |hash, byte| {
                (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
            });
        SEVERAL | hash
    }

    /// Where Prometheus may scrape.
    pub fn metrics(&self) -> Option<PrometheusSettings> {
        Some(PrometheusSettings {
            listen: self.export.metrics?,
            top: self.export.metrics_top,
            one_way_ports: self.one_way_ports(),
        })
    }
}
