//! The first datagrams of each connection in a capture, as the kernel hands them over.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use udptrack::capture::read::{Link, Reader};

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
    let mut reader = Reader::open(path).map_err(|error| error.to_string())?;
    let (mut flows, mut known) = (Vec::new(), HashMap::new());
    while let Some(frame) = reader.next().map_err(|error| error.to_string())? {
        if let Some((from, to, length, bytes)) = datagram(frame.link, frame.data) {
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
fn datagram(link: Link, frame: &[u8]) -> Option<(SocketAddr, SocketAddr, u16, &[u8])> {
    let packet = match link {
        Link::Ethernet => SlicedPacket::from_ethernet(frame),
        Link::Ip => SlicedPacket::from_ip(frame),
    }
    .ok()?;
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
