//! Real IPFIX collectors, and what they have of each direction of a connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::finished::{Finished, Flow};
use super::kernel::wait_for_reading;
use super::netns::Netns;
use super::process::Process;
use super::witness::{Connection, Count};
use super::{SOON, TempDir, traffic, wait_for};

/// What goes one way: packets, and bytes from the IP header on.
pub type Ways = BTreeMap<Connection, Count>;

/// One way of a connection.
#[must_use]
pub fn way(from: SocketAddr, to: SocketAddr, packets: u64, bytes: u64) -> (Connection, Count) {
    (traffic::connection(from, to), Count { packets, bytes })
}

/// What udptrack said itself, each way for itself. Ethernet headers are no part of it.
pub fn said(finished: &Finished) -> Ways {
    let ways = |flow: Flow| {
        [
            way(
                flow.src,
                flow.dst,
                flow.pkts_toserver,
                flow.bytes_toserver - 14 * flow.pkts_toserver,
            ),
            way(
                flow.dst,
                flow.src,
                flow.pkts_toclient,
                flow.bytes_toclient - 14 * flow.pkts_toclient,
            ),
        ]
    };
    let all = finished.flows().into_iter().flat_map(ways);
    summed(all.filter(|(_, count)| count.packets > 0))
}

/// The records of connections over IPv4, each direction for itself, in a message (RFC 7011): those of template 256.
fn flow_records(message: &[u8]) -> Vec<&[u8]> {
    const TEMPLATE: u16 = 256;
    /// Before the name of what is spoken, whose length is one byte; behind it is the class of service.
    const FIXED: usize = 96;
    let number = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    let mut records = Vec::new();
    let mut set = 16;
    while set < message.len() {
        let (id, length) = (number(set), usize::from(number(set + 2)));
        if id == TEMPLATE {
            let mut rest = &message[set + 4..set + length];
            // What is shorter is padding.
            while let Some(named) = rest.get(FIXED) {
                let (record, others) = rest.split_at(FIXED + 1 + usize::from(*named) + 1);
                records.push(record);
                rest = others;
            }
        }
        set += length;
    }
    records
}

/// Their sources: they begin with source and destination address, source and destination port.
#[must_use]
pub fn flow_sources(message: &[u8]) -> Vec<SocketAddr> {
    let source = |record: &[u8]| {
        let address: [u8; 4] = record[..4].try_into().expect("it is there");
        (address, u16::from_be_bytes([record[8], record[9]])).into()
    };
    flow_records(message).into_iter().map(source).collect()
}

/// Their packets, and why they were sent (`flowEndReason`).
#[must_use]
pub fn flow_reasons(message: &[u8]) -> Vec<(u64, u8)> {
    let reason = |record: &[u8]| {
        let packets: [u8; 8] = record[22..30].try_into().expect("it is there");
        (u64::from_be_bytes(packets), record[62])
    };
    flow_records(message).into_iter().map(reason).collect()
}

/// What was dropped of each way, from the IP header on: `droppedPacketDeltaCount` and `droppedOctetDeltaCount`.
#[must_use]
pub fn flow_drops(message: &[u8]) -> Vec<(Connection, Count)> {
    let ends = |record: &[u8], address: usize, port: usize| {
        let address: [u8; 4] = record[address..address + 4]
            .try_into()
            .expect("it is there");
        let port = u16::from_be_bytes([record[port], record[port + 1]]);
        SocketAddr::from((address, port))
    };
    let number = |record: &[u8], at: usize| {
        let number: [u8; 8] = record[at..at + 8].try_into().expect("it is there");
        u64::from_be_bytes(number)
    };
    let drops = |record: &[u8]| {
        way(
            ends(record, 0, 8),
            ends(record, 4, 10),
            number(record, 80),
            number(record, 88),
        )
    };
    flow_records(message).into_iter().map(drops).collect()
}

/// Adds records of the same direction.
pub fn summed(records: impl Iterator<Item = (Connection, Count)>) -> Ways {
    let mut ways = Ways::new();
    for (connection, count) in records {
        *ways.entry(connection).or_default() += count;
    }
    ways
}

/// A running nfcapd.
pub struct Nfcapd {
    process: Process,
    address: SocketAddr,
    /// Where its files are.
    pub directory: TempDir,
}

impl Nfcapd {
    /// Starts it, inside `netns`.
    pub fn start(netns: &Netns, address: SocketAddr) -> Self {
        let directory = TempDir::new("nfcapd");
        let mut command = netns.command(directory.program("nfcapd"));
        command
            .args([
                "-w",
                directory.path().to_str().expect("it is there"),
                "-t",
                "60",
            ])
            .args(["-p", &address.port().to_string()])
            .args(["-b", &address.ip().to_string()]);
        let process = Process::serve(netns, &mut command, &[address]);
        Self {
            process,
            address,
            directory,
        }
    }

    /// Ends it; returns what it has of each direction, and what it said.
    pub fn stop(self) -> (Ways, String) {
        let (records, log) = self.stop_and_dump("%sa,%sp,%da,%dp,%pkt,%byt,%opkt,%obyt");
        let records = records.iter().flat_map(|words| {
            let end = |at: usize| {
                SocketAddr::new(
                    words[at].parse().expect("it is there"),
                    words[at + 1].parse().expect("it is there"),
                )
            };
            let number = |at: usize| words[at].parse::<u64>().expect("it is there");
            [
                way(end(0), end(2), number(4), number(5)),
                way(end(2), end(0), number(6), number(7)),
            ]
        });
        (summed(records.filter(|(_, count)| count.packets > 0)), log)
    }

    /// Ends it; returns its records as nfdump writes them, by words between commas, and what it said.
    pub fn stop_and_dump(self, format: &str) -> (Vec<Vec<String>>, String) {
        wait_for_reading(&self.process, self.address);
        let ended = self.process.stop(Signal::SIGINT);
        // One for each minute that it ran in.
        let files: Vec<_> = std::fs::read_dir(self.directory.path())
            .expect("it is there")
            .map(|file| file.expect("it is there").path())
            .filter(|path| name(path).starts_with("nfcapd.2"))
            .collect();
        assert!(!files.is_empty(), "no file of nfcapd: {}", ended.stderr);
        let nfdump = self.directory.program("nfdump");
        let dumped = files.iter().map(|file| {
            let mut command = std::process::Command::new(&nfdump);
            command.args(["-q", "-N", "-6", "-r"]).arg(file);
            command.args(["-o", &format!("fmt:{format}")]);
            Process::run(&mut command).stdout
        });
        let dumped: String = dumped.collect();
        let records = dumped.lines().filter(|line| line.contains(','));
        let words = |line: &str| line.split(',').map(|word| word.trim().to_owned()).collect();
        (records.map(words).collect(), ended.stdout + &ended.stderr)
    }
}

fn name(path: &Path) -> &str {
    path.file_name()
        .expect("it is there")
        .to_str()
        .expect("it is there")
}

/// A running nfacctd that prints what it has each second.
pub struct Nfacctd {
    process: Process,
    directory: TempDir,
}

impl Nfacctd {
    /// Starts it, inside `netns`.
    pub fn start(netns: &Netns, address: SocketAddr) -> Self {
        let directory = TempDir::new("nfacctd");
        let output = directory.path().join("rows");
        let configuration = directory.file(
            "conf",
            &format!(
                "daemonize: false\nnfacctd_ip: {}\nnfacctd_port: {}\nplugins: print[p]\n\
                 aggregate[p]: src_host, dst_host, src_port, dst_port, proto\n\
                 print_output[p]: json\nprint_refresh_time[p]: 1\nprint_output_file[p]: {}\n\
                 print_output_file_append[p]: true\n",
                address.ip(),
                address.port(),
                output.display()
            ),
        );
        let mut command = netns.command(directory.program("nfacctd"));
        let process = Process::serve(netns, command.arg("-f").arg(configuration), &[address]);
        Self { process, directory }
    }

    /// Waits until it has so many packets; returns what it has of each direction.
    pub fn stop(self, packets: u64) -> Ways {
        let path = self.directory.path().join("rows");
        let ways = wait_for("the rows of nfacctd", SOON, || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let rows = text.lines().filter_map(|line| {
                let row: Value = serde_json::from_str(line).ok()?;
                let end = |ip: &str, port: &str| {
                    let port = u16::try_from(row[port].as_u64()?).ok()?;
                    Some(SocketAddr::new(row[ip].as_str()?.parse().ok()?, port))
                };
                Some(way(
                    end("ip_src", "port_src")?,
                    end("ip_dst", "port_dst")?,
                    row["packets"].as_u64()?,
                    row["bytes"].as_u64()?,
                ))
            });
            let ways = summed(rows);
            let total: u64 = ways.values().map(|count| count.packets).sum();
            (total >= packets).then_some(ways)
        });
        let _ = self.process.stop(Signal::SIGINT);
        ways
    }
}
