//! What a udptrack that has ended said: its records, its books, and whether they agree with a witness.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::kernel::NO_REASONS;
use super::witness::{Account, Connection, Count, Volume};

/// A udptrack that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: Vec<String>,
    /// Its standard error.
    pub stderr: String,
}

/// A `flow` record of a connection that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Who sent first.
    pub src: SocketAddr,
    /// The other one.
    pub dst: SocketAddr,
    /// Packets from source to destination.
    pub pkts_toserver: u64,
    /// Frame bytes from source to destination.
    pub bytes_toserver: u64,
    /// Packets back.
    pub pkts_toclient: u64,
    /// Frame bytes back.
    pub bytes_toclient: u64,
    /// Why it ended: IDLE, UNREACH, EVICTED, STOPPED.
    pub end_reason: String,
    /// How far it had come: UNREPLIED, REPLIED, ASSURED, UNREACH.
    pub status: String,
    /// VLAN identifiers, outer first.
    pub vlan: Vec<u16>,
}

impl Flow {
    fn of(record: &Value) -> Self {
        let address = |ip: &str, port: &str| {
            let ip: IpAddr = text(record, &[ip]).parse().expect("an address");
            let port = u16::try_from(number(record, &[port])).expect("a port");
            SocketAddr::new(ip, port)
        };
        let vlan = record.get("vlan").and_then(Value::as_array);
        Self {
            src: address("src_ip", "src_port"),
            dst: address("dest_ip", "dest_port"),
            pkts_toserver: number(record, &["flow", "pkts_toserver"]),
            bytes_toserver: number(record, &["flow", "bytes_toserver"]),
            pkts_toclient: number(record, &["flow", "pkts_toclient"]),
            bytes_toclient: number(record, &["flow", "bytes_toclient"]),
            end_reason: text(record, &["udptrack", "end_reason"]),
            status: text(record, &["udptrack", "status"]),
            vlan: vlan
                .into_iter()
                .flatten()
                .map(|id| {
                    id.as_u64()
                        .and_then(|id| id.try_into().ok())
                        .expect("a VLAN")
                })
                .collect(),
        }
    }

    /// As the witness writes it. A VLAN identifier 0 is not shown, so what is shown counts as the outer one.
    #[must_use]
    pub fn entry(&self) -> (Connection, Volume) {
        let vlan = |position: usize| self.vlan.get(position).copied().unwrap_or(0);
        let connection = Connection {
            vlans: [vlan(0), vlan(1)],
            source: self.src,
            destination: self.dst,
        };
        let volume = Volume {
            toserver: Count {
                packets: self.pkts_toserver,
                bytes: self.bytes_toserver,
            },
            toclient: Count {
                packets: self.pkts_toclient,
                bytes: self.bytes_toclient,
            },
        };
        (connection, volume)
    }
}

/// The numbers of a `stats` record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Every frame that a hook ran on.
    pub seen: Count,
    /// Frames of connections.
    pub tracked: Count,
    /// The others, by reason.
    pub skipped: BTreeMap<String, Count>,
    /// Events that nobody read in time.
    pub events_lost: u64,
    /// What found no room in the table of addresses.
    pub ip_table_full: Count,
    /// How many addresses are in it.
    pub addresses: u64,
}

fn at<'a>(record: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(record, |value, key| {
        value
            .get(key)
            .unwrap_or_else(|| panic!("no {path:?} in {record}"))
    })
}

fn number(record: &Value, path: &[&str]) -> u64 {
    at(record, path)
        .as_u64()
        .unwrap_or_else(|| panic!("{path:?} is no count in {record}"))
}

fn text(record: &Value, path: &[&str]) -> String {
    at(record, path)
        .as_str()
        .unwrap_or_else(|| panic!("{path:?} is no text in {record}"))
        .to_owned()
}

fn count(record: &Value) -> Count {
    Count {
        packets: number(record, &["pkts"]),
        bytes: number(record, &["bytes"]),
    }
}

impl Finished {
    /// Panics unless it ended well.
    #[must_use]
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Every line of standard output, each of which must be a JSON object.
    #[must_use]
    pub fn records(&self) -> Vec<Value> {
        self.stdout
            .iter()
            .map(|line| {
                let record: Value = serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("{error} in {line:?}"));
                assert!(record.is_object(), "{line:?}");
                record
            })
            .collect()
    }

    /// What the last `stats` record has of frames that were written.
    #[must_use]
    pub fn frames(&self) -> Value {
        let records = self.records();
        let last = records
            .iter()
            .rfind(|record| record["event_type"] == "stats");
        last.expect("a stats record")["udptrack"]["frames"].clone()
    }

    /// Panics unless it failed with this exit code.
    #[must_use]
    pub fn failure(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// The lines on standard error that begin with the program's name, without it; but for that of the memory, which every run that is
    /// not quiet says, and for [`NO_REASONS`].
    #[must_use]
    pub fn messages(&self) -> Vec<&str> {
        let lines = self.stderr.lines();
        lines
            .filter_map(|line| line.strip_prefix("udptrack: "))
            .filter(|line| !line.ends_with(" of kernel memory") && *line != NO_REASONS)
            .collect()
    }

    /// The records of connections that have ended, in their order.
    #[must_use]
    pub fn flows(&self) -> Vec<Flow> {
        self.records()
            .iter()
            .filter(|record| text(record, &["event_type"]) == "flow")
            .map(Flow::of)
            .collect()
    }

    /// The last `stats` record.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let records = self.records();
        let last = records
            .iter()
            .rfind(|record| text(record, &["event_type"]) == "stats")
            .unwrap_or_else(|| panic!("no stats in {self:#?}"));
        let stats = at(last, &["udptrack"]);
        let skipped = at(stats, &["skipped"]).as_object().expect("by reason");
        Stats {
            seen: count(at(stats, &["seen"])),
            tracked: count(at(stats, &["tracked"])),
            skipped: skipped
                .iter()
                .map(|(reason, value)| (reason.clone(), count(value)))
                .filter(|(_, count)| *count != Count::default())
                .collect(),
            events_lost: number(stats, &["events_lost"]),
            ip_table_full: count(at(stats, &["ip_table_full"])),
            addresses: number(stats, &["addresses"]),
        }
    }

    /// The connections that have ended; each appears once. For runs in which none begins anew after its end.
    #[must_use]
    pub fn connections(&self) -> BTreeMap<Connection, Volume> {
        let mut connections = BTreeMap::new();
        for flow in self.flows() {
            let (connection, volume) = flow.entry();
            let before = connections.insert(connection, volume);
            assert_eq!(before, None, "reported twice: {flow:?}");
        }
        connections
    }

    /// The books balance: seen is tracked and skipped, tracked is the sum over all connections. Returns them.
    pub fn assert_books(&self) -> Stats {
        let stats = self.stats();
        let mut sum = stats.tracked;
        sum += stats.skipped.values().copied().sum();
        assert_eq!(stats.seen, sum, "seen = tracked + skipped: {stats:?}");
        let flows = self.flows();
        let shown: Count = flows
            .iter()
            .map(|flow| {
                let (_, volume) = flow.entry();
                [volume.toserver, volume.toclient].into_iter().sum()
            })
            .sum();
        assert_eq!(
            stats.tracked, shown,
            "tracked = the sum over all connections: {flows:#?}"
        );
        stats
    }

    /// Ended well, and said exactly what the witness saw: the same frames, connections, packets, bytes and reasons.
    pub fn assert_agrees(&self, account: &Account) {
        assert_eq!(self.code, Some(0), "{self:#?}");
        assert_eq!(self.connections(), account.connections);
        let stats = self.assert_books();
        assert_eq!(stats.tracked, account.tracked);
        let skipped: BTreeMap<String, Count> = account
            .skipped
            .iter()
            .map(|(skip, count)| (skip.name().to_owned(), *count))
            .collect();
        assert_eq!(stats.skipped, skipped);
        assert_eq!(stats.seen, account.seen);
        assert_eq!(stats.events_lost, 0);
    }
}
