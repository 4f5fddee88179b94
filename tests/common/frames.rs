//! Frames, byte for byte: valid ones of every kind that a parser must know, to be sent or to be spoilt.
//!
//! Hardware addresses are those of the test ground: `10.88.S.H` and `fd88:S::H` live at `02:00:00:00:S:H`, so a frame
//! that [`super::netns::Injector`] sends reaches the socket it is for.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    ArpHardwareId, ArpOperation, ArpPacket, EtherType, Icmpv4Type, Icmpv6Type, IpHeaders, IpNumber,
    Ipv4Extensions, Ipv4Header, Ipv4Options, PacketBuilder, PacketBuilderStep, icmpv4, icmpv6,
};

const HOP_LIMIT: u8 = 64;

/// Where the test ground has this address.
#[must_use]
pub fn mac(ip: IpAddr) -> [u8; 6] {
    let (subnet, host) = match ip {
        IpAddr::V4(ip) => (ip.octets()[2], ip.octets()[3]),
        IpAddr::V6(ip) => (ip.octets()[3], ip.octets()[15]),
    };
    [2, 0, 0, 0, subnet, host]
}

fn ip(source: IpAddr, destination: IpAddr) -> PacketBuilderStep<IpHeaders> {
    let ethernet = PacketBuilder::ethernet2(mac(source), mac(destination));
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ethernet.ipv4(source.octets(), destination.octets(), HOP_LIMIT)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ethernet.ipv6(source.octets(), destination.octets(), HOP_LIMIT)
        }
        _ => panic!("{source} and {destination} are of different families"),
    }
}

/// A plain UDP packet.
#[must_use]
pub fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    ip(source.ip(), destination.ip())
        .udp(source.port(), destination.port())
        .write(&mut frame, payload)
        .expect("the payload fits");
    frame
}

/// The frame with VLAN tags (ethertype, tag control information: the VLAN identifier and priority bits), outer first.
#[must_use]
pub fn tagged(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let mut tagged = frame[..12].to_vec();
    for (ethertype, control) in tags {
        tagged.extend(ethertype.to_be_bytes());
        tagged.extend(control.to_be_bytes());
    }
    tagged.extend(&frame[12..]);
    tagged
}

/// A UDP packet with `length` bytes of IPv4 options (a multiple of 4, at most 40; all "no operation").
#[must_use]
pub fn ipv4_with_options(
    source: SocketAddr,
    destination: SocketAddr,
    length: usize,
    payload: &[u8],
) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (source.ip(), destination.ip()) else {
        panic!("{source} and {destination} are not IPv4");
    };
    let mut header = Ipv4Header::new(0, HOP_LIMIT, IpNumber::UDP, from.octets(), to.octets())
        .expect("an empty payload fits");
    header.options = Ipv4Options::try_from(&vec![1; length][..]).expect("0 to 40 bytes, by 4");
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(mac(source.ip()), mac(destination.ip()))
        .ip(IpHeaders::Ipv4(header, Ipv4Extensions::default()))
        .udp(source.port(), destination.port())
        .write(&mut frame, payload)
        .expect("the payload fits");
    frame
}

/// An IPv6 extension header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its number, as the header before it names it.
    pub header: u8,
    /// All its bytes; the first (next header) is filled in when it is used.
    pub bytes: Vec<u8>,
}

impl Extension {
    /// One of the usual form, 8 + 8 * `words` bytes of nothing: 0, 43, 60, 135, 139, 140.
    #[must_use]
    pub fn options(header: u8, words: u8) -> Self {
        let mut bytes = vec![0; 8 + 8 * usize::from(words)];
        bytes[1] = words;
        if matches!(header, 0 | 60) {
            // One PadN option over the whole body, which may be 257 bytes long at most.
            bytes[2] = 1;
            bytes[3] = 4 + 8 * words;
        }
        Self { header, bytes }
    }

    /// An authentication header, 4 * (`words` + 2) bytes.
    #[must_use]
    pub fn authentication(words: u8) -> Self {
        let mut bytes = vec![0; 4 * (usize::from(words) + 2)];
        bytes[1] = words;
        Self { header: 51, bytes }
    }

    /// A fragment header; `offset` in bytes, a multiple of 8.
    #[must_use]
    pub fn fragment(identification: u32, offset: u16, more: bool) -> Self {
        let mut bytes = vec![0; 8];
        bytes[2..4].copy_from_slice(&(offset | u16::from(more)).to_be_bytes());
        bytes[4..].copy_from_slice(&identification.to_be_bytes());
        Self { header: 44, bytes }
    }

    /// A fragment header on a datagram that is whole.
    #[must_use]
    pub fn atomic(identification: u32) -> Self {
        Self::fragment(identification, 0, false)
    }
}

/// An untagged IPv6 frame with extension headers put before what it carries.
#[must_use]
pub fn extended(frame: &[u8], extensions: &[Extension]) -> Vec<u8> {
    let mut extended = frame[..54].to_vec();
    let carried = frame[20];
    if let Some(first) = extensions.first() {
        extended[20] = first.header;
    }
    let nexts = extensions.iter().skip(1).map(|next| next.header);
    for (extension, next) in extensions.iter().zip(nexts.chain([carried])) {
        let start = extended.len();
        extended.extend(&extension.bytes);
        extended[start] = next;
    }
    extended.extend(&frame[54..]);
    let length = u16::try_from(extended.len() - 54).expect("the payload fits");
    extended[18..20].copy_from_slice(&length.to_be_bytes());
    extended
}

/// A UDP packet behind IPv6 extension headers.
#[must_use]
pub fn ipv6_with_extensions(
    source: SocketAddr,
    destination: SocketAddr,
    extensions: &[Extension],
    payload: &[u8],
) -> Vec<u8> {
    assert!(source.is_ipv6(), "{source} is not IPv6");
    extended(&udp(source, destination, payload), extensions)
}

/// Where the IP header of a valid frame begins.
#[must_use]
pub fn ip_offset(frame: &[u8]) -> usize {
    let mut offset = 12;
    while matches!(&frame[offset..offset + 2], [0x81 | 0x91, 0] | [0x88, 0xa8]) {
        offset += 4;
    }
    offset + 2
}

/// The frame with this TOS byte or traffic class.
#[must_use]
pub fn with_class(mut frame: Vec<u8>, class: u8) -> Vec<u8> {
    let start = ip_offset(&frame);
    let header = &mut frame[start..];
    if header[0] >> 4 == 4 {
        header[1] = class;
        let length = usize::from(header[0] & 0xf) * 4;
        write_ipv4_checksum(&mut header[..length]);
    } else {
        header[0] = 6 << 4 | class >> 4;
        header[1] = class << 4 | header[1] & 0xf;
    }
    frame
}

/// The frame cut into IP fragments with `size` bytes of payload each (a multiple of 8), the head first. VLAN tags and
/// IPv4 options stay on all of them, IPv6 extension headers go into the parts.
#[must_use]
pub fn fragments(frame: &[u8], identification: u32, size: usize) -> Vec<Vec<u8>> {
    assert!(
        size > 0 && size.is_multiple_of(8),
        "fragments count in 8 bytes"
    );
    let start = ip_offset(frame);
    let v4 = frame[start] >> 4 == 4;
    let header = if v4 {
        usize::from(frame[start] & 0xf) * 4
    } else {
        40
    };
    let (front, payload) = frame.split_at(start + header);
    let count = payload.len().div_ceil(size);
    let mut parts = Vec::with_capacity(count);
    for (index, chunk) in payload.chunks(size).enumerate() {
        let more = index + 1 < count;
        let offset = u16::try_from(index * size).expect("a datagram is below 64 KiB");
        let mut part = front.to_vec();
        let ip = &mut part[start..];
        if v4 {
            let total = u16::try_from(header + chunk.len()).expect("a part fits");
            let low = identification.to_be_bytes();
            ip[2..4].copy_from_slice(&total.to_be_bytes());
            ip[4..6].copy_from_slice(&low[2..]);
            let flags = (u16::from(more) << 13) | (offset / 8);
            ip[6..8].copy_from_slice(&flags.to_be_bytes());
            write_ipv4_checksum(ip);
        } else {
            let length = u16::try_from(8 + chunk.len()).expect("a part fits");
            ip[4..6].copy_from_slice(&length.to_be_bytes());
            let next = std::mem::replace(&mut ip[6], 44);
            let mut extension = Extension::fragment(identification, offset, more);
            extension.bytes[0] = next;
            part.extend(extension.bytes);
        }
        part.extend(chunk);
        parts.push(part);
    }
    parts
}

/// Puts the right checksum into an IPv4 header that was changed.
pub fn write_ipv4_checksum(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum: u32 = header
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let checksum = !u16::try_from(folded).expect("folded twice");
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// "Port unreachable" from one host to another about a packet of the latter; quotes the frame from its IP header on.
#[must_use]
pub fn icmp_unreachable(from: IpAddr, to: IpAddr, quoted: &[u8]) -> Vec<u8> {
    let quote = &quoted[ip_offset(quoted)..];
    let mut frame = Vec::new();
    let headers = ip(from, to);
    if from.is_ipv4() {
        let kind = Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port);
        headers.icmpv4(kind).write(&mut frame, quote)
    } else {
        let kind = Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port);
        headers.icmpv6(kind).write(&mut frame, quote)
    }
    .expect("the quote fits");
    frame
}

/// An echo request.
#[must_use]
pub fn icmp_echo(from: IpAddr, to: IpAddr) -> Vec<u8> {
    let mut frame = Vec::new();
    let headers = ip(from, to);
    if from.is_ipv4() {
        headers.icmpv4_echo_request(1, 1).write(&mut frame, b"echo")
    } else {
        headers.icmpv6_echo_request(1, 1).write(&mut frame, b"echo")
    }
    .expect("the payload fits");
    frame
}

/// A TCP segment.
#[must_use]
pub fn tcp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    ip(source.ip(), destination.ip())
        .tcp(source.port(), destination.port(), 1, 1024)
        .write(&mut frame, payload)
        .expect("the payload fits");
    frame
}

/// An ARP request, from `10.88.0.1`.
#[must_use]
pub fn arp() -> Vec<u8> {
    let sender = [2, 0, 0, 0, 0, 1];
    let packet = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REQUEST,
        &sender,
        &[10, 88, 0, 1],
        &[0; 6],
        &[10, 88, 0, 2],
    )
    .expect("the sizes agree");
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(sender, [0xff; 6])
        .arp(packet)
        .write(&mut frame)
        .expect("it fits");
    frame
}

/// A frame of another protocol (ethertype "local experimental") with a payload.
#[must_use]
pub fn experimental(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5];
    frame.extend(payload);
    frame
}
