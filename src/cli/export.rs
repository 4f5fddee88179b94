//! Flags that send connections to other systems.

use std::time::Duration;

use clap::Args;

use super::time;

/// To whom, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// An IPFIX collector.
    pub ipfix: Option<IpfixFlags>,
}

/// `--ipfix` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpfixFlags {
    /// Host and port, as they were written.
    pub collector: String,
    /// Both directions in one record.
    pub biflow: bool,
    /// A connection that goes on is reported so often.
    pub active_timeout: Duration,
    /// Observation domain.
    pub domain: u32,
}

/// The flags themselves.
#[derive(Debug, Args)]
#[command(next_help_heading = "Export")]
pub(super) struct ExportFlags {
    /// Send IPFIX records to a collector, over UDP
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    ipfix: Option<String>,

    /// Both directions of a connection in one record (RFC 5103); not every collector reads the second one
    #[arg(long)]
    ipfix_biflow: bool,

    /// Report a connection that goes on so often: 1s to 1h
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time::active)]
    active_timeout: Duration,

    /// Observation domain of the records
    #[arg(long, value_name = "N", default_value_t = 0)]
    ipfix_domain: u32,
}

impl ExportFlags {
    pub(super) fn export(self) -> Result<Export, String> {
        if self.ipfix.is_none() && (self.ipfix_biflow || self.ipfix_domain != 0) {
            return Err("--ipfix-biflow and --ipfix-domain need --ipfix HOST:PORT".to_owned());
        }
        Ok(Export {
            ipfix: self.ipfix.map(|collector| IpfixFlags {
                collector,
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
