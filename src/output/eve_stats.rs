//! The books of a run in the form of Suricata's EVE. Pure data; the field order is the order in the output.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::clock::{Clock, Stamp};
use crate::model::{
    Books, Captured, Counts, DroppedFor, DroppedWithoutRoom, HookBooks, Report, Skip,
    UnreadPayloads,
};

/// The books of a run at one moment.
#[derive(Serialize)]
pub struct StatsRecord<'a> {
    timestamp: Stamp<'a>,
    event_type: &'static str,
    stats: Stats,
    udptrack: OwnStats<'a>,
}

/// What Suricata has a name for.
#[derive(Serialize)]
struct Stats {
    /// Seconds.
    uptime: u64,
    capture: Capture,
    decoder: Decoder,
    flow: FlowStats,
}

#[derive(Serialize)]
struct Capture {
    /// Every frame that a hook saw.
    kernel_packets: u64,
}

#[derive(Serialize)]
struct Decoder {
    pkts: u64,
    bytes: u64,
    /// Those with whole UDP headers.
    udp: u64,
}

#[derive(Serialize)]
struct FlowStats {
    udp: u64,
}

#[derive(Serialize)]
struct OwnStats<'a> {
    event: &'static str,
    #[serde(flatten)]
    books: BooksRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<Reasons>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped_without_room: Option<WithoutRoom>,
    interfaces: Vec<HookRecord<'a>>,
    events_lost: u64,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "unread")]
    payloads_unread: Option<UnreadPayloads>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frames: Option<Frames>,
    connections: Connections,
    ip_table_full: CountsRecord,
    addresses: u64,
}

/// Frames that were wanted for a capture.
#[derive(Serialize)]
struct Frames {
    written: u64,
    merged: u64,
    lost_received: u64,
    lost_sent: u64,
    unwritten: u64,
}

impl From<Captured> for Frames {
    fn from(captured: Captured) -> Self {
        let [lost_received, lost_sent] = captured.lost;
        Self {
            written: captured.written,
            merged: captured.merged,
            lost_received,
            lost_sent,
            unwritten: captured.unwritten,
        }
    }
}

#[derive(Serialize)]
struct BooksRecord {
    seen: CountsRecord,
    tracked: CountsRecord,
    #[serde(serialize_with = "skipped")]
    skipped: Books,
}

#[derive(Serialize)]
struct HookRecord<'a> {
    in_iface: &'a str,
    direction: &'static str,
    #[serde(flatten)]
    books: BooksRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<Reasons>,
}

#[derive(Serialize)]
struct Connections {
    live: u64,
    new: u64,
    ended: u64,
    max: u64,
    total: CountsRecord,
}

/// What the kernel dropped behind the hooks, by its own names of reasons. Only those that occurred: each kernel has others.
struct Reasons(Vec<DroppedFor>);

impl Serialize for Reasons {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|one| {
            let record = DroppedRecord {
                class: one.class.name(),
                counts: one.counts.into(),
                no_connection: one.apart.into(),
            };
            (&*one.reason, record)
        }))
    }
}

/// What was dropped and is missing elsewhere.
#[derive(Serialize)]
struct WithoutRoom {
    /// In flow records; it is in `dropped`.
    in_no_connection: CountsRecord,
    /// In `dropped`.
    in_no_books: CountsRecord,
}

impl WithoutRoom {
    fn of(report: &Report) -> Option<Self> {
        let without_room = report.dropped_without_room;
        (without_room != DroppedWithoutRoom::default()).then(|| Self {
            in_no_connection: without_room.in_no_connection.into(),
            in_no_books: without_room.in_no_books.into(),
        })
    }
}

#[derive(Serialize)]
struct DroppedRecord {
    class: &'static str,
    #[serde(flatten)]
    counts: CountsRecord,
    /// Of these, what belongs to no connection in the table.
    no_connection: CountsRecord,
}

#[derive(Serialize)]
pub(super) struct CountsRecord {
    pkts: u64,
    bytes: u64,
}

impl<'a> StatsRecord<'a> {
    /// Written now, by who began then.
    pub(super) fn new(
        clock: &'a Clock,
        began_ns: u64,
        written_ns: u64,
        report: &'a Report,
    ) -> Self {
        let books = report.books();
        let udp = [Skip::Filtered, Skip::OtherInterface, Skip::TableFull]
            .map(|reason| books.skipped_for(reason).packets);
        Self {
            timestamp: clock.stamp(written_ns),
            event_type: "stats",
            stats: Stats {
                uptime: written_ns.saturating_sub(began_ns) / 1_000_000_000,
                capture: Capture {
                    kernel_packets: books.seen.packets,
                },
                decoder: Decoder {
                    pkts: books.seen.packets,
                    bytes: books.seen.bytes,
                    udp: books.tracked.packets + udp.iter().sum::<u64>(),
                },
                flow: FlowStats {
                    udp: report.connections_new,
                },
            },
            udptrack: OwnStats {
                event: "stats",
                books: books.into(),
                dropped: report.knows_drops.then(|| Reasons(report.dropped())),
                dropped_without_room: WithoutRoom::of(report),
                interfaces: report
                    .hooks
                    .iter()
                    .map(|hook| HookRecord::new(hook, report.knows_drops))
                    .collect(),
                events_lost: report.events_lost,
                payloads_unread: report.unread,
                frames: report.captured.map(Frames::from),
                connections: Connections {
                    live: report.connections_live,
                    new: report.connections_new,
                    ended: report.connections_ended,
                    max: report.connections_max,
                    total: report.connections_total.into(),
                },
                ip_table_full: report.addresses_without_entry.into(),
                addresses: report.addresses,
            },
        }
    }
}

impl<'a> HookRecord<'a> {
    fn new(hook: &'a HookBooks, knows_drops: bool) -> Self {
        Self {
            in_iface: &hook.interface,
            direction: hook.direction.name(),
            books: hook.books.into(),
            dropped: knows_drops.then(|| Reasons(hook.dropped.clone())),
        }
    }
}

impl From<Books> for BooksRecord {
    fn from(books: Books) -> Self {
        Self {
            seen: books.seen.into(),
            tracked: books.tracked.into(),
            skipped: books,
        }
    }
}

impl From<Counts> for CountsRecord {
    fn from(counts: Counts) -> Self {
        Self {
            pkts: counts.packets,
            bytes: counts.bytes,
        }
    }
}

/// Every reason, also those that did not occur: a reader can rely on the keys.
fn skipped<S: Serializer>(books: &Books, serializer: S) -> Result<S::Ok, S::Error> {
    let mut reasons = serializer.serialize_map(Some(Skip::ALL.len()))?;
    for reason in Skip::ALL {
        let counts = CountsRecord::from(books.skipped_for(reason));
        reasons.serialize_entry(reason.name(), &counts)?;
    }
    reasons.end()
}

/// The same of payloads.
#[expect(clippy::ref_option, reason = "serde gives it so")]
fn unread<S: Serializer>(
    unread: &Option<UnreadPayloads>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(unread.unwrap_or_default().reasons())
}
