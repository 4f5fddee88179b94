//! Captures (pcap files, not pcapng), read: the first datagrams of each connection in them, as the kernel hands them over.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use etherparse::{EtherType, NetSlice, SlicedPacket, TransportSlice};

/// Datagrams of each direction that are kept.
const KEPT: usize = 4;
/// Bytes of each that are kept.
const BYTES_KEPT: usize = 1400;

/// One datagram.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub from_originator: bool,
    /// Which one it is of its direction.
    pub ordinal: u32,
    /// Of the whole payload.
    pub length: u16,
    /// Its first bytes.
    pub bytes: Vec<u8>,
}

/// A connection and its first datagrams, in the order in which they came.
#[derive(Clone, Debug)]
pub struct Flow {
    pub originator: SocketAddr,
    pub responder: SocketAddr,
    pub datagrams: Vec<Datagram>,
    /// All there were, from the originator and from the responder.
    pub counts: [u32; 2],
}

/// The UDP connections of a capture, in the order of their first packets. An error says what is wrong with the file.
pub fn flows(path: &Path) -> Result<Vec<Flow>, String> {
    let file = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let wrong = || format!("{}: no pcap file", path.display());
    let is_little = match file.get(..4).ok_or_else(wrong)? {
        [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1] => true,
        [0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d] => false,
        _ => return Err(wrong()),
    };
    let number = |at: usize| -> Option<usize> {
        let bytes: [u8; 4] = file.get(at..at + 4)?.try_into().ok()?;
        Some(if is_little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        } as usize)
    };
    let link = number(20).ok_or_else(wrong)? & 0xffff;
    let (mut flows, mut known, mut at) = (Vec::new(), HashMap::new(), 24);
    while let Some(kept) = number(at + 8) {
        let Some(frame) = file.get(at + 16..at + 16 + kept) else {
            break;
        };
        at += 16 + kept;
        if let Some((from, to, length, bytes)) = datagram(link, frame) {
            add(&mut flows, &mut known, (from, to), length, bytes);
        }
    }
    Ok(flows)
}

fn add(
    flows: &mut Vec<Flow>,
    known: &mut HashMap<(SocketAddr, SocketAddr), usize>,
    (from, to): (SocketAddr, SocketAddr),
    length: u16,
    bytes: &[u8],
) {
    let at = *known
        .entry((from.min(to), from.max(to)))
        .or_insert_with(|| {
            flows.push(Flow {
                originator: from,
                responder: to,
                datagrams: Vec::new(),
                counts: [0; 2],
            });
            flows.len() - 1
        });
    let flow = &mut flows[at];
    let from_originator = flow.originator == from;
    let count = &mut flow.counts[usize::from(!from_originator)];
    let ordinal = *count;
    *count += 1;
    if (ordinal as usize) < KEPT {
        flow.datagrams.push(Datagram {
            from_originator,
            ordinal,
            length,
            bytes: bytes[..bytes.len().min(BYTES_KEPT)].to_vec(),
        });
    }
}

/// From whom, to whom, bytes of the payload, and those that we have; `None` for what is no whole UDP datagram.
fn datagram(link: usize, frame: &[u8]) -> Option<(SocketAddr, SocketAddr, u16, &[u8])> {
    let ip = |frame| SlicedPacket::from_ip(frame).ok();
    let packet = match link {
        1 => SlicedPacket::from_ethernet(frame).ok(),
        // BSD's loopback; raw IP, by its number and by those of some systems.
        0 | 108 => ip(frame.get(4..)?),
        12 | 14 | 101 | 228 | 229 => ip(frame),
        113 => SlicedPacket::from_linux_sll(frame).ok(),
        // PPP, with and without HDLC's bytes; Linux's newer form of any interface.
        9 | 50 => ip(frame.get(if frame.starts_with(&[0xff, 3]) { 4 } else { 2 }..)?),
        276 => {
            let kind = u16::from_be_bytes(frame.get(..2)?.try_into().ok()?);
            SlicedPacket::from_ether_type(EtherType(kind), frame.get(20..)?).ok()
        }
        _ => None,
    }?;
    let (from, to): (IpAddr, IpAddr) = match packet.net.as_ref()? {
        NetSlice::Ipv4(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        NetSlice::Ipv6(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        NetSlice::Arp(_) => return None,
    };
    let Some(TransportSlice::Udp(udp)) = packet.transport else {
        return None;
    };
    Some((
        SocketAddr::new(from, udp.source_port()),
        SocketAddr::new(to, udp.destination_port()),
        udp.length().checked_sub(8)?,
        udp.payload(),
    ))
}
