//! An alert in the form of Suricata's EVE. Pure data.

use serde::Serialize;

use super::clock::{Clock, Stamp};
use crate::alert::Notice;

/// An alert that has begun, or is over.
#[derive(Serialize)]
pub struct AlertRecord<'a> {
    timestamp: Stamp<'a>,
    event_type: &'static str,
    alert: Alert<'a>,
    udptrack: Own<'a>,
}

/// What EVE says of any alert. udptrack never drops a packet.
#[derive(Serialize)]
struct Alert<'a> {
    action: &'static str,
    gid: u32,
    signature_id: u32,
    rev: u32,
    signature: &'a str,
    category: &'static str,
    severity: u32,
}

#[derive(Serialize)]
struct Own<'a> {
    event: &'static str,
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
        Self {
            timestamp: clock.stamp(notice.at_ns),
            event_type: "alert",
            alert: Alert {
                action: "allowed",
                gid: 1,
                signature_id: 1,
                rev: 1,
                signature: &rule.name,
                category: "udptrack",
                severity: 2,
            },
            udptrack: Own {
                event: "alert",
                state: if notice.firing { "begin" } else { "end" },
                measure: rule.measure.name(),
                unit: rule.measure.unit(),
                value: notice.value,
                threshold: rule.threshold,
                by: rule.by.name(),
                group: &notice.group,
                window_s: rule.window.as_secs(),
            },
        }
    }
}
