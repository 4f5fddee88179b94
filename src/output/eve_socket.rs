//! A socket as a record beside EVE's. Pure data; the field order is the order in the output.

use std::net::IpAddr;

use serde::Serialize;

use super::clock::Stamp;
use super::eve::Process;
use super::eve_times::rounded;
use crate::sockets::{Cause, Row};

/// A socket at one moment.
#[derive(Serialize)]
pub struct SocketRecord<'a> {
    timestamp: Stamp<'a>,
    event_type: &'static str,
    proto: &'static str,
    udptrack: Own<'a>,
}

#[derive(Serialize)]
struct Own<'a> {
    event: &'static str,
    ip: IpAddr,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_port: Option<u16>,
    /// The interface that it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_iface: Option<&'a str>,
    inode: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Process<'a>>,
    receive_buffer: u32,
    /// The program has set it.
    so_rcvbuf: bool,
    queued: u32,
    queued_pkts: u32,
    queued_max: u32,
    fill_percent: u32,
    fill_max_percent: u32,
    drops: u32,
    drops_seen: u64,
    drop_rate: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    /// The largest.
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datagram_bytes: Option<u32>,
    stands_ns: u64,
    behind_ns: u64,
    send_buffer: u32,
    sending: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_value: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_needed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl<'a> SocketRecord<'a> {
    pub(super) fn new(timestamp: Stamp<'a>, row: &'a Row, device: Option<&'a str>) -> Self {
        let state = &row.state;
        let reading = &state.reading;
        let socket = &reading.socket;
        let limit = row.advice.and_then(|advice| advice.limit());
        Self {
            timestamp,
            event_type: "socket",
            proto: "UDP",
            udptrack: Own {
                event: "socket",
                ip: socket.local.ip(),
                port: socket.local.port(),
                peer_ip: socket.peer.map(|peer| peer.ip()),
                peer_port: socket.peer.map(|peer| peer.port()),
                in_iface: device,
                inode: reading.inode,
                process: row.owner.as_deref().map(Process::from),
                receive_buffer: reading.receive_buffer,
                so_rcvbuf: reading.is_chosen,
                queued: reading.queued,
                queued_pkts: reading.datagrams,
                queued_max: state.queued_most,
                fill_percent: reading.fill_percent(),
                fill_max_percent: state.most_percent(),
                drops: reading.drops,
                drops_seen: state.drops_seen,
                drop_rate: rounded(state.drop_rate),
                cause: state.cause.map(Cause::word),
                burst: (state.burst > 0).then_some(state.burst),
                datagram_bytes: state.datagram_bytes,
                stands_ns: state.stands_ns,
                behind_ns: state.behind_ns,
                send_buffer: reading.send_buffer,
                sending: reading.sending,
                limit: limit.map(|(limit, ..)| limit.name()),
                limit_value: limit.and_then(|(_, value, _)| value),
                limit_needed: limit.and_then(|(.., needed)| needed),
                advice: row.advice.map(|advice| advice.text(row.who())),
            },
        }
    }
}
