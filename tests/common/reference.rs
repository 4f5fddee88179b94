//! What a frame is, said plainly: the parser that udptrack's own is measured against.
//!
//! Written by hand, as no library says *which* of several faults counts. The order of the checks is the contract, and
//! the first one that fails decides. "There" means inside the frame; missing bytes are [`Skip::Truncated`], lengths
//! that contradict each other are [`Skip::Malformed`]. Offsets are from the start of the IP header unless said.
//!
//! **Ethernet**
//! 1. 14 bytes not there: Truncated.
//! 2. While the ethertype is 0x8100, 0x88a8 or 0x9100: a third tag: `TooDeep` (its bytes are not looked at); the tag's
//!    4 bytes not there: Truncated; else its identifier is noted and its ethertype is next.
//! 3. Ethertype neither 0x0800 nor 0x86dd: `NotIp`. Nothing is said about the ethertype's agreement with the length.
//!
//! **IPv4**
//! 1. 20 bytes not there: Truncated.
//! 2. version != 4, or header length < 20: Malformed.
//! 3. protocol != 17: `NotUdp`.
//! 4. total length < header length: Malformed.
//! 5. header with options not there: Truncated.
//! 6. fragment offset + (total - header) > 65535: Malformed.
//! 7. total length not there: Truncated. (A longer frame is padding and fine.)
//! 8. fragment offset != 0: a later fragment, see below.
//! 9. the UDP checks, with remaining = total - header, and "head" = more fragments follow.
//!
//! **IPv6**
//! 1. 40 bytes not there: Truncated.
//! 2. version != 6: Malformed.
//! 3. Headers are walked until the next one is 17. For each:
//!    1. not an extension header (0, 43, 44, 51, 60, 135, 139, 140): `NotUdp`.
//!    2. the ninth extension header: `TooDeep` (its bytes are not looked at).
//!    3. its first 8 bytes not there: Truncated.
//!    4. a second fragment header (an atomic one counts): Malformed.
//!    5. fragment header with offset != 0: a later fragment. Its next header neither 17 nor an extension header:
//!       `NotUdp`. IP payload ends before the fragment header does, or offset + the payload after it > 65535:
//!       Malformed. 40 + payload length not there: Truncated. Then see below.
//!    6. fragment header with offset 0: "head" when more fragments follow, else as if it were not there.
//!    7. the next header is at + 8 (44), + (length + 2) * 4 (51), + (length + 1) * 8 (the others). That the header's
//!       own body is there is not asked, only the next one's first bytes are.
//! 4. 40 + payload length < the UDP header's end: Malformed. (So is a jumbogram, with payload length 0.)
//! 5. 40 + payload length not there: Truncated.
//! 6. the UDP checks, with remaining = 40 + payload length - the UDP header's offset.
//!
//! **UDP**
//! 1. remaining < 8: Malformed.
//! 2. UDP length < 8: Malformed, but for 0 over IPv6, which is all that remains (RFC 2675, and Linux whatever that is).
//! 3. not a head and UDP length > remaining: Malformed. (Shorter is allowed, as the kernel allows it.)
//! 4. a head and UDP length < remaining: Malformed.
//!
//! **Later fragment**: belongs to the connection of the latest head with the same VLAN tags, addresses and
//! identification (IPv4 and IPv6 apart) that came before it; without one, `FragmentWithoutHead`.
//!
//! **VLAN identifiers** stand by position: outer, inner; 0 is no tag or a priority tag.
//!
//! **ICMP errors** (a frame that is `NotUdp`, not a later fragment; no length field is looked at): ICMP types 3 (but not
//! code 4, "fragmentation needed"), 11 and 12; `ICMPv6` types 1, 3 and 4. What they quote counts when it is UDP of the
//! same IP version, no later fragment, its header and extension headers as above, and the 8 bytes of the UDP header are
//! there. The connection has the error's VLAN tags. The ICMP header is looked for up to 2047 bytes into the frame.
//!
//! **Without an Ethernet header** the first 4 bits choose: 4, 6, or `NotIp`; nothing there: Truncated.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Why a frame belongs to no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Skip {
    /// Neither IPv4 nor IPv6.
    NotIp,
    /// IP without UDP.
    NotUdp,
    /// A later fragment whose head was not seen.
    FragmentWithoutHead,
    /// Ends before its headers or lengths say.
    Truncated,
    /// Contradicts itself.
    Malformed,
    /// Too many tags or extension headers.
    TooDeep,
}

impl Skip {
    /// The name in udptrack's outputs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotIp => "not-ip",
            Self::NotUdp => "not-udp",
            Self::FragmentWithoutHead => "fragment-without-head",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::TooDeep => "too-deep",
        }
    }
}

/// VLAN identifiers by position: outer, inner; 0 = no tag, or one without a VLAN.
pub type Vlans = [u16; 2];

/// What names a fragmented datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Datagram {
    /// Tags of the frame.
    pub vlans: Vlans,
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// Identification: 16 bits of IPv4, 32 of IPv6.
    pub identification: u32,
}

/// Which part of a datagram a frame has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// All of it.
    None,
    /// The first part, with the ports.
    Head {
        /// Identification of the datagram.
        identification: u32,
    },
    /// Another part; its ports are the head's.
    Later {
        /// Identification of the datagram.
        identification: u32,
    },
}

/// A UDP packet that belongs to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    /// Tags of the frame.
    pub vlans: Vlans,
    /// Sender.
    pub source: SocketAddr,
    /// Receiver.
    pub destination: SocketAddr,
    /// Whole or part.
    pub fragment: Fragment,
}

/// What one frame says by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Its ports are in it.
    Udp(Udp),
    /// Its ports are in its head.
    Later(Datagram),
}

/// The parser with its memory of heads.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    heads: HashMap<Datagram, (u16, u16)>,
}

impl Reference {
    /// What a frame is after those before it.
    pub fn frame(&mut self, bytes: &[u8]) -> Result<Udp, Skip> {
        self.remember(parse(bytes)?)
    }

    /// The same for a frame of a link without an Ethernet header.
    pub fn ip(&mut self, bytes: &[u8]) -> Result<Udp, Skip> {
        self.remember(parse_ip(bytes)?)
    }

    fn remember(&mut self, frame: Frame) -> Result<Udp, Skip> {
        match frame {
            Frame::Udp(udp) => {
                if let Fragment::Head { identification } = udp.fragment {
                    let datagram = Datagram {
                        vlans: udp.vlans,
                        source: udp.source.ip(),
                        destination: udp.destination.ip(),
                        identification,
                    };
                    let ports = (udp.source.port(), udp.destination.port());
                    self.heads.insert(datagram, ports);
                }
                Ok(udp)
            }
            Frame::Later(datagram) => {
                let ports = self.heads.get(&datagram);
                let &(source, destination) = ports.ok_or(Skip::FragmentWithoutHead)?;
                Ok(Udp {
                    vlans: datagram.vlans,
                    source: SocketAddr::new(datagram.source, source),
                    destination: SocketAddr::new(datagram.destination, destination),
                    fragment: Fragment::Later {
                        identification: datagram.identification,
                    },
                })
            }
        }
    }
}

const UDP: u8 = 17;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const MOST_EXTENSIONS: usize = 8;

fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8 | 0x9100)
}

fn is_extension(header: u8) -> bool {
    matches!(
        header,
        0 | 43 | FRAGMENT | AUTHENTICATION | 60 | 135 | 139 | 140
    )
}

/// `length` bytes at `offset`, or Truncated.
fn there(bytes: &[u8], offset: usize, length: usize) -> Result<&[u8], Skip> {
    bytes.get(offset..offset + length).ok_or(Skip::Truncated)
}

fn be16(bytes: &[u8], offset: usize) -> u16 {
    u16::from_be_bytes([bytes[offset], bytes[offset + 1]])
}

/// What one frame, from its Ethernet header on, says by itself.
pub fn parse(frame: &[u8]) -> Result<Frame, Skip> {
    let mut ethertype = be16(there(frame, 0, 14)?, 12);
    let mut offset = 14;
    let mut vlans: Vlans = [0, 0];
    let mut tags = 0;
    while is_tag(ethertype) {
        let vlan = vlans.get_mut(tags).ok_or(Skip::TooDeep)?;
        let tag = there(frame, offset, 4)?;
        *vlan = be16(tag, 0) & 0xfff;
        ethertype = be16(tag, 2);
        offset += 4;
        tags += 1;
    }
    match ethertype {
        0x0800 => parse_ipv4(vlans, &frame[offset..]),
        0x86dd => parse_ipv6(vlans, &frame[offset..]),
        _ => Err(Skip::NotIp),
    }
}

/// What one frame, from its IP header on, says by itself.
pub fn parse_ip(ip: &[u8]) -> Result<Frame, Skip> {
    match there(ip, 0, 1)?[0] >> 4 {
        4 => parse_ipv4([0, 0], ip),
        6 => parse_ipv6([0, 0], ip),
        _ => Err(Skip::NotIp),
    }
}

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Whom it says it to.
    pub to: IpAddr,
    /// The packet that did not reach its destination.
    pub packet: Udp,
}

/// The packet that a frame quotes, if it is an ICMP or `ICMPv6` error about UDP: its destination was not reached.
#[must_use]
pub fn quote(frame: &[u8]) -> Option<Quote> {
    if parse(frame) != Err(Skip::NotUdp) {
        return None;
    }
    let mut vlans: Vlans = [0, 0];
    let mut offset = 14;
    for vlan in &mut vlans {
        if !is_tag(be16(frame, offset - 2)) {
            break;
        }
        *vlan = be16(frame, offset) & 0xfff;
        offset += 4;
    }
    quote_behind(frame, offset, vlans)
}

/// The same for a frame of a link without an Ethernet header.
#[must_use]
pub fn quote_ip(ip: &[u8]) -> Option<Quote> {
    if parse_ip(ip) != Err(Skip::NotUdp) {
        return None;
    }
    quote_behind(ip, 0, [0, 0])
}

/// The IP header is at `offset` and all there.
fn quote_behind(frame: &[u8], offset: usize, vlans: Vlans) -> Option<Quote> {
    let v4 = frame[offset] >> 4 == 4;
    let (protocol, at, whole) = upper(&frame[offset..])?;
    let icmp = offset + at;
    if !whole || protocol != if v4 { 1 } else { 58 } || icmp > 2047 {
        return None;
    }
    let header = frame.get(icmp..icmp + 8)?;
    let error = if v4 {
        matches!(header[0], 3 | 11 | 12) && header[..2] != [3, 4]
    } else {
        matches!(header[0], 1 | 3 | 4)
    };
    let quoted = frame.get(icmp + 8..)?;
    if !error || quoted.first()? >> 4 != if v4 { 4 } else { 6 } {
        return None;
    }
    let (protocol, at, whole) = upper(quoted)?;
    let ports = quoted.get(at..at + 8)?;
    if !whole || protocol != UDP {
        return None;
    }
    let address = |ip: &[u8], at: usize| -> IpAddr {
        if v4 {
            let octets: [u8; 4] = ip[at..at + 4].try_into().expect("4 bytes");
            octets.into()
        } else {
            let octets: [u8; 16] = ip[at..at + 16].try_into().expect("16 bytes");
            octets.into()
        }
    };
    let (source, destination) = if v4 { (12, 16) } else { (8, 24) };
    Some(Quote {
        to: address(&frame[offset..], destination),
        packet: Udp {
            vlans,
            source: SocketAddr::new(address(quoted, source), be16(ports, 0)),
            destination: SocketAddr::new(address(quoted, destination), be16(ports, 2)),
            fragment: Fragment::None,
        },
    })
}

/// Protocol, offset and "not a later fragment" of what is above an IP header whose lengths nobody checks.
fn upper(ip: &[u8]) -> Option<(u8, usize, bool)> {
    if ip.first()? >> 4 == 4 {
        let fixed = ip.get(..20)?;
        let header = usize::from(fixed[0] & 0xf) * 4;
        let offset = be16(fixed, 6) & 0x1fff;
        return (header >= 20).then_some((fixed[9], header, offset == 0));
    }
    let mut next = *ip.get(..40)?.get(6)?;
    let mut offset = 40;
    let mut fragments = 0;
    for extensions in 0.. {
        if next == UDP || !is_extension(next) {
            break;
        }
        let start = ip.get(offset..offset + 8)?;
        if extensions == MOST_EXTENSIONS {
            return None;
        }
        if next == FRAGMENT {
            fragments += 1;
            if fragments > 1 {
                return None;
            }
            if be16(start, 2) & 0xfff8 != 0 {
                return Some((start[0], offset + 8, false));
            }
        }
        offset += extension_bytes(next, start[1]);
        next = start[0];
    }
    Some((next, offset, true))
}

fn extension_bytes(header: u8, length: u8) -> usize {
    let length = usize::from(length);
    match header {
        FRAGMENT => 8,
        AUTHENTICATION => (length + 2) * 4,
        _ => (length + 1) * 8,
    }
}

/// `ip` is the frame from the IPv4 header on.
fn parse_ipv4(vlans: Vlans, ip: &[u8]) -> Result<Frame, Skip> {
    let fixed = there(ip, 0, 20)?;
    let header = usize::from(fixed[0] & 0xf) * 4;
    if fixed[0] >> 4 != 4 || header < 20 {
        return Err(Skip::Malformed);
    }
    if fixed[9] != UDP {
        return Err(Skip::NotUdp);
    }
    let total = usize::from(be16(fixed, 2));
    let remaining = total.checked_sub(header).ok_or(Skip::Malformed)?;
    there(ip, 0, header)?;
    let flags = be16(fixed, 6);
    let more = flags & 0x2000 != 0;
    let offset = usize::from(flags & 0x1fff) * 8;
    if offset + remaining > 0xffff {
        return Err(Skip::Malformed);
    }
    there(ip, 0, total)?;
    let octets = |at: usize| [fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]];
    let datagram = Datagram {
        vlans,
        source: Ipv4Addr::from(octets(12)).into(),
        destination: Ipv4Addr::from(octets(16)).into(),
        identification: be16(fixed, 4).into(),
    };
    if offset != 0 {
        return Ok(Frame::Later(datagram));
    }
    parse_udp(datagram, more, &ip[header..total])
}

/// `ip` is the frame from the IPv6 header on.
fn parse_ipv6(vlans: Vlans, ip: &[u8]) -> Result<Frame, Skip> {
    let fixed = there(ip, 0, 40)?;
    if fixed[0] >> 4 != 6 {
        return Err(Skip::Malformed);
    }
    let end = 40 + usize::from(be16(fixed, 4));
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&fixed[at..at + 16]);
        IpAddr::from(Ipv6Addr::from(octets))
    };
    let mut datagram = Datagram {
        vlans,
        source: address(8),
        destination: address(24),
        identification: 0,
    };
    let mut next = fixed[6];
    let mut offset = 40;
    let mut extensions = 0;
    let mut fragment_seen = false;
    let mut head = false;
    while next != UDP {
        if !is_extension(next) {
            return Err(Skip::NotUdp);
        }
        extensions += 1;
        if extensions > MOST_EXTENSIONS {
            return Err(Skip::TooDeep);
        }
        let start = there(ip, offset, 8)?;
        let size = extension_bytes(next, start[1]);
        if next == FRAGMENT {
            if fragment_seen {
                return Err(Skip::Malformed);
            }
            fragment_seen = true;
            datagram.identification = u32::from_be_bytes([start[4], start[5], start[6], start[7]]);
            let field = be16(start, 2);
            let fragment_offset = usize::from(field & 0xfff8);
            if fragment_offset != 0 {
                if start[0] != UDP && !is_extension(start[0]) {
                    return Err(Skip::NotUdp);
                }
                let remaining = end.checked_sub(offset + 8).ok_or(Skip::Malformed)?;
                if fragment_offset + remaining > 0xffff {
                    return Err(Skip::Malformed);
                }
                there(ip, 0, end)?;
                return Ok(Frame::Later(datagram));
            }
            head = field & 1 != 0;
        }
        next = start[0];
        offset += size;
    }
    if end < offset + 8 {
        return Err(Skip::Malformed);
    }
    there(ip, 0, end)?;
    parse_udp(datagram, head, &ip[offset..end])
}

/// `udp` is what the IP header says belongs to it, all of it there.
fn parse_udp(datagram: Datagram, head: bool, udp: &[u8]) -> Result<Frame, Skip> {
    if udp.len() < 8 {
        return Err(Skip::Malformed);
    }
    let mut length = usize::from(be16(udp, 4));
    if length == 0 && datagram.source.is_ipv6() {
        length = udp.len();
    }
    let contradicts = if head {
        length < udp.len()
    } else {
        length > udp.len()
    };
    if length < 8 || contradicts {
        return Err(Skip::Malformed);
    }
    Ok(Frame::Udp(Udp {
        vlans: datagram.vlans,
        source: SocketAddr::new(datagram.source, be16(udp, 0)),
        destination: SocketAddr::new(datagram.destination, be16(udp, 2)),
        fragment: if head {
            Fragment::Head {
                identification: datagram.identification,
            }
        } else {
            Fragment::None
        },
    }))
}
