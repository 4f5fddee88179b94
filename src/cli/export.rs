//! Flags that send connections to other systems.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use super::{number, time};

/// To whom, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// IPFIX collectors.
    pub ipfix: Option<IpfixFlags>,
    /// Where Prometheus may scrape.
    pub metrics: Option<SocketAddr>,
    /// Ports and processes that have metrics of their own.
    pub metrics_top: usize,
}

/// `--ipfix` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpfixFlags {
    /// Hosts and ports, as they were written.
    pub collectors: Vec<String>,
    /// Both directions in one record.
    pub biflow: bool,
    /// A connection that goes on is reported so often.
    pub active_timeout: Duration,
    /// Observation domain; none means that of the interfaces.
    pub domain: Option<u32>,
}

const ACTIVE_TIMEOUT: &str = "60s";
const METRICS_TOP: u16 = 10;

/// The flags themselves.
#[derive(Debug, Args)]
#[command(next_help_heading = "Export")]
pub(super) struct ExportFlags {
    /// Send IPFIX records to a collector over UDP; repeat it, or separate collectors by commas
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', value_parser = host_and_port)]
    ipfix: Vec<String>,

    /// Put both directions of a connection into one record (RFC 5103); some collectors ignore the second direction
    #[arg(long)]
    ipfix_biflow: bool,

    /// While a connection lasts, send a record of it every TIME: 1s to 1h
    #[arg(long, value_name = "TIME", default_value = ACTIVE_TIMEOUT, value_parser = time::active)]
    active_timeout: Duration,

    /// Observation domain of the connections [default: the index of the interface; for several interfaces a number above 2147483647]
    #[arg(long, value_name = "N", value_parser = number::within(1_u32..))]
    ipfix_domain: Option<u32>,

    /// Serve metrics for Prometheus at http://ADDRESS:PORT/metrics, without a password
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address_and_port)]
    metrics: Option<SocketAddr>,

    /// Give the N busiest ports (with -p also processes) metrics of their own: 1 to 1000
    #[arg(long, value_name = "N", default_value_t = METRICS_TOP, value_parser = number::within(1_u16..=1000))]
    metrics_top: u16,
}

impl ExportFlags {
    pub(super) fn export(self) -> Result<Export, String> {
        if self.ipfix.is_empty() && (self.ipfix_biflow || self.ipfix_domain.is_some()) {
            return Err("--ipfix-biflow and --ipfix-domain need --ipfix HOST:PORT".to_owned());
        }
        if self.ipfix.is_empty() && Ok(self.active_timeout) != time::active(ACTIVE_TIMEOUT) {
            return Err("--active-timeout needs --ipfix HOST:PORT".to_owned());
        }
        if self.metrics.is_none() && self.metrics_top != METRICS_TOP {
            return Err("--metrics-top needs --metrics ADDRESS:PORT".to_owned());
        }
        Ok(Export {
            metrics: self.metrics,
            metrics_top: self.metrics_top.into(),
            ipfix: (!self.ipfix.is_empty()).then_some(IpfixFlags {
                collectors: self.ipfix,
                biflow: self.ipfix_biflow,
                active_timeout: self.active_timeout,
                domain: self.ipfix_domain,
            }),
        })
    }
}

/// A name or an address, and a port; IPv6 addresses stand in brackets.
fn host_and_port(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').and_then(|(host, port)| {
        let bare_ipv6 = host.contains(':') && !host.starts_with('[');
        (!host.is_empty() && !bare_ipv6).then(|| port.parse::<u16>().ok())?
    });
    match port {
        Some(1..) => Ok(text.to_owned()),
        _ => Err(
            "write it as HOST:PORT, such as 192.0.2.1:4739, [2001:db8::1]:4739 or collector:4739"
                .to_owned(),
        ),
    }
}

/// An address of this machine, not a name: that could mean more than one.
fn address_and_port(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "write it as ADDRESS:PORT, such as 127.0.0.1:9435 or [::1]:9435".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collectors_have_host_and_port() {
        for right in [
            "192.0.2.1:4739",
            "[2001:db8::1]:4739",
            "collector.test:9995",
        ] {
            assert_eq!(host_and_port(right).as_deref(), Ok(right));
        }
        for wrong in [
            "",
            ":1",
            "a",
            "a:",
            "a:0",
            "a:65536",
            "2001:db8::1:4739",
            "a:b",
        ] {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
    }
}
