//! The headers of each link type, and how to turn them into an Ethernet frame or an IP packet.
//!
//! Numbers of link types are those of files (`LINKTYPE_`, <https://www.tcpdump.org/linktypes.html>).

use super::Link;

/// Bytes of an Ethernet header, without tags.
const ETHERNET_BYTES: usize = 14;
/// The longest header of those that are taken off: Linux cooked 2.
pub(super) const HEADER_MAX: usize = 20;
/// ARPHRD types whose frames begin with an Ethernet header (`include/uapi/linux/if_arp.h`).
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;
/// The packet type of a cooked frame that was sent (`PACKET_OUTGOING`).
const OUTGOING: u16 = 4;
const ETHERTYPE_IP: [u16; 2] = [0x0800, 0x86dd];
/// Protocol numbers of PPP.
const PPP_IP: [u16; 2] = [0x0021, 0x0057];

/// A link type that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkType {
    Ethernet,
    Ip,
    /// "Linux cooked": what a capture on all interfaces has instead of their headers.
    Cooked,
    /// Its second version, which tells the interface.
    Cooked2,
    /// An address family before the packet, in either byte order: "null" and "loop" of the BSDs.
    Family,
    /// With HDLC's address and control before it or without, or Cisco's HDLC.
    Ppp,
}

/// What a frame turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stripped {
    pub link: Link,
    /// Which bytes of the frame the new one begins at.
    pub from: usize,
    /// How much less the interface itself would have counted. Never more than `from`.
    pub less: u32,
    /// How many of its first bytes were made from the header, and differ from the file: at most [`HEADER_MAX`] with `from`.
    pub made: usize,
    /// The interface's index, where the frame tells it.
    pub index: Option<u32>,
    /// Whether it was sent, where the frame tells it.
    pub is_sent: Option<bool>,
    /// Whether it is no IP packet, where the frame tells it and the new one does not.
    pub is_not_ip: bool,
}

impl LinkType {
    pub fn from_number(number: i32) -> Option<Self> {
        Some(match number {
            1 => Self::Ethernet,
            // Raw IP, and what it is in files of some systems.
            12 | 14 | 101 | 228 | 229 => Self::Ip,
            113 => Self::Cooked,
            276 => Self::Cooked2,
            0 | 108 => Self::Family,
            9 | 50 | 104 => Self::Ppp,
            _ => return None,
        })
    }

    /// What all frames begin with, where that is one thing.
    pub fn only_link(self) -> Option<Link> {
        match self {
            Self::Ethernet => Some(Link::Ethernet),
            Self::Ip | Self::Family | Self::Ppp => Some(Link::Ip),
            Self::Cooked | Self::Cooked2 => None,
        }
    }

    /// Takes the header off, or puts an Ethernet header in the place of its last bytes. `None` where the frame is shorter than its header.
    pub fn strip(self, frame: &mut [u8]) -> Option<Stripped> {
        let ip = |from: usize, is_not_ip| Stripped {
            link: Link::Ip,
            from,
            less: u32::try_from(from).unwrap_or(u32::MAX),
            made: 0,
            index: None,
            is_sent: None,
            is_not_ip,
        };
        match self {
            Self::Ethernet => Some(Stripped {
                link: Link::Ethernet,
                ..ip(0, false)
            }),
            Self::Ip => Some(ip(0, false)),
            Self::Cooked => {
                // Packet type, ARPHRD type, length of the address, address (8 bytes), protocol.
                let header: [u8; 16] = *frame.first_chunk()?;
                let address = [6, 7, 8, 9, 10, 11].map(|at| header[at]);
                let cooked = CookedFrame {
                    kind: half(&header, 0),
                    hardware: half(&header, 2),
                    address,
                    protocol: half(&header, 14),
                    index: None,
                };
                Some(cooked.strip(frame, header.len()))
            }
            Self::Cooked2 => {
                // Protocol, reserved, interface, ARPHRD type, packet type, length of the address, address (8 bytes).
                let header: [u8; 20] = *frame.first_chunk()?;
                let address = [12, 13, 14, 15, 16, 17].map(|at| header[at]);
                let index = [4, 5, 6, 7].map(|at| header[at]);
                let cooked = CookedFrame {
                    kind: header[10].into(),
                    hardware: half(&header, 8),
                    address,
                    protocol: half(&header, 0),
                    index: Some(u32::from_be_bytes(index)),
                };
                Some(cooked.strip(frame, header.len()))
            }
            Self::Family => {
                let family: [u8; 4] = *frame.first_chunk()?;
                // A family is a small number: in the wrong byte order it is a large one.
                let family = u32::from_be_bytes(family).min(u32::from_le_bytes(family));
                // AF_INET; AF_INET6 of NetBSD and OpenBSD, FreeBSD, macOS, Linux.
                Some(ip(4, !matches!(family, 2 | 24 | 28 | 30 | 10)))
            }
            Self::Ppp => {
                let from = if matches!(frame, [0xff, 0x03, ..] | [0x0f | 0x8f, 0, ..]) {
                    2
                } else {
                    0
                };
                let is_cisco = from > 0 && frame[0] != 0xff;
                let protocol = u16::from_be_bytes(*frame.get(from..)?.first_chunk()?);
                let is_ip = if is_cisco { ETHERTYPE_IP } else { PPP_IP }.contains(&protocol);
                Some(ip(from + 2, !is_ip))
            }
        }
    }
}

/// What both versions of a cooked header say.
struct CookedFrame {
    kind: u16,
    hardware: u16,
    address: [u8; 6],
    protocol: u16,
    index: Option<u32>,
}

impl CookedFrame {
    /// A VLAN tag stands where Ethernet has it: its type is the protocol, the rest begins the payload. (The second version has none.)
    fn strip(&self, frame: &mut [u8], header_bytes: usize) -> Stripped {
        let link = match self.hardware {
            ARPHRD_ETHER | ARPHRD_LOOPBACK => Link::Ethernet,
            _ => Link::Ip,
        };
        let from = match link {
            Link::Ethernet => header_bytes - ETHERNET_BYTES,
            Link::Ip => header_bytes,
        };
        if link == Link::Ethernet {
            // Whom it was for is not told.
            let header = &mut frame[from..header_bytes];
            header[..6].fill(0);
            header[6..12].copy_from_slice(&self.address);
            header[12..].copy_from_slice(&self.protocol.to_be_bytes());
        }
        Stripped {
            link,
            from,
            less: u32::try_from(from).unwrap_or(u32::MAX),
            made: header_bytes - from,
            index: self.index,
            is_sent: Some(self.kind == OUTGOING),
            is_not_ip: link == Link::Ip && !ETHERTYPE_IP.contains(&self.protocol),
        }
    }
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..)
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |bytes| u16::from_be_bytes(*bytes))
}
