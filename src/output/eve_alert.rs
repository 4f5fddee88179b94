//! An alert in the form of Suricata's EVE. Pure data.

use std::net::IpAddr;

use serde::Serialize;

use super::clock::{Clock, Stamp};
use crate::alert::Notice;
use crate::model::Shared;

/// An alert that has begun, or is over.
#[derive(Serialize)]
pub struct AlertRecord<'a> {
    timestamp: Stamp<'a>,
    event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_iface: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_port: Option<u16>,
    proto: &'static str,
    alert: Alert,
    udptrack: Own<'a>,
}

/// What EVE says of any alert. udptrack never drops a packet.
#[derive(Serialize)]
struct Alert {
    action: &'static str,
    gid: u32,
    signature_id: u32,
    rev: u32,
    signature: String,
    category: &'static str,
    severity: u32,
}

#[derive(Serialize)]
struct Own<'a> {
    event: &'static str,
    /// As it was written: the name of one that has a name.
    rule: &'a str,
    /// `begin`, `end`.
    state: &'static str,
    measure: &'static str,
    unit: &'static str,
    value: f64,
    threshold: f64,
    by: &'static str,
    group: &'a str,
    window_s: u64,
}

impl<'a> AlertRecord<'a> {
    pub(super) fn new(clock: &'a Clock, notice: &'a Notice) -> Self {
        let rule = &notice.rule;
        let signature = notice.signature();
        // A host is one that is looked at, as an originator is. A subnet is named by its first address.
        let (src_ip, dest_ip, dest_port) = match notice.shared {
            Some(Shared::Address(address)) => (Some(address), None, None),
            Some(Shared::End(end)) => (None, Some(end.ip()), Some(end.port())),
            Some(Shared::Port(port)) => (None, None, Some(port)),
            Some(Shared::Subnet(address, _)) => (None, Some(address), None),
            _ => (None, None, None),
        };
        Self {
            timestamp: clock.stamp(notice.at_ns),
            // Who counts alerts counts what has begun.
            event_type: if notice.firing { "alert" } else { "alert_end" },
            in_iface: notice.interface.as_deref(),
            src_ip,
            dest_ip,
            dest_port,
            proto: "UDP",
            alert: Alert {
                action: "allowed",
                gid: 1,
                signature_id: signature.id,
                rev: 1,
                signature: signature.words,
                category: "udptrack",
                severity: rule.severity(),
            },
            udptrack: Own {
                event: "alert",
                rule: &rule.name,
                state: if notice.firing { "begin" } else { "end" },
                measure: rule.measure.name(),
                unit: rule.measure.unit(),
                value: notice.value,
                threshold: rule.threshold,
                by: rule.by_word(),
                group: &notice.group,
                window_s: rule.window.as_secs(),
            },
        }
    }
}
