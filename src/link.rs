//! What the kernel and the driver tell about an interface.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use netlink_packet_core::{DefaultNla, Emitable as _, NLA_F_NESTED};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkInfo, LinkMessage, LinkXdp, XdpAttached};
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::model::Ifindex;
use crate::netlink::{ask, ask_family, number, value, values};

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Xdp {
    /// Of the program.
    pub id: u32,
    /// How it is attached: `native`, `generic`, `hardware`, or `several`.
    pub mode: &'static str,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Bytes of an IP packet at most.
    pub mtu: u32,
    /// The driver, or the kind of an interface that has no hardware.
    pub driver: Option<String>,
    /// The XDP program that is there.
    pub xdp: Option<Xdp>,
    /// Whether it is a card, or a virtual machine's.
    pub is_device: bool,
    /// Whether the driver has native XDP; none where the kernel does not tell (before Linux 6.3).
    pub native_xdp: Option<bool>,
    /// Whether native XDP takes frames in several buffers; none where the kernel does not tell.
    pub xdp_takes_parts: Option<bool>,
    /// The queues of a card; none where it has a number that does not change.
    pub queues: Option<Queues>,
    /// The features that are on, as ethtool names them; none where the kernel does not tell.
    pub features: Option<BTreeSet<String>>,
}

/// The queues of a card, each for received and sent packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queues {
    /// How many are in use.
    pub used: u32,
    /// How many it has.
    pub most: u32,
}

/// What native XDP costs on a link, so that it is not taken there unasked. A verb and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum XdpCost {
    /// `veth_xdp_set` takes `NETIF_F_GSO_SOFTWARE` from the other end.
    Veth,
    /// `tun_get_user` gives packets with a GSO header to generic XDP, which sees each as one.
    Tap,
    /// Drivers merge nothing while frames go through XDP.
    Merging(&'static str),
}

impl fmt::Display for XdpCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Veth => f.write_str(
                "makes the other end of a veth cut its large packets, which slows TCP down",
            ),
            Self::Tap => {
                f.write_str("counts a large packet of a virtual machine as one, and copies it")
            }
            Self::Merging(word) => write!(f, "switches off {word}, which slows TCP down"),
        }
    }
}

/// The largest MTU whose frames fit into a page of 4096 bytes with what is before and behind them in one: `XDP_PACKET_HEADROOM`,
/// `struct skb_shared_info`, and the Ethernet header.
#[cfg(feature = "cli")]
const MTU_OF_A_PAGE: u32 = 4096 - 256 - 320 - 14;

impl Link {
    /// What native XDP costs here.
    pub fn xdp_cost(&self) -> Option<XdpCost> {
        match self.driver.as_deref() {
            Some("veth") => Some(XdpCost::Veth),
            Some("tun") => Some(XdpCost::Tap),
            _ if self.has("rx-lro") == Some(true) => Some(XdpCost::Merging("LRO")),
            _ if self.has("rx-gro-hw") == Some(true) => Some(XdpCost::Merging("hardware GRO")),
            _ => None,
        }
    }

    /// Whether frames may be too large for native XDP, as far as the kernel tells.
    #[cfg(feature = "cli")]
    pub fn is_too_large_for_xdp(&self) -> bool {
        self.mtu > MTU_OF_A_PAGE && self.xdp_takes_parts == Some(false)
    }

    pub fn ask(index: Ifindex) -> io::Result<Self> {
        let mut message = LinkMessage::default();
        message.header.index = index.0;
        let answer = ask(NETLINK_ROUTE, RouteNetlinkMessage::GetLink(message))?;
        let RouteNetlinkMessage::NewLink(answer) = answer else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let mut link = Self::of(&answer);
        if let Ok(features) = xdp_features(index) {
            link.native_xdp = Some(features & NETDEV_XDP_ACT_BASIC != 0);
            link.xdp_takes_parts = Some(features & NETDEV_XDP_ACT_RX_SG != 0);
        }
        link.features = features(index).ok();
        link.queues = queues(index).ok().flatten();
        Ok(link)
    }

    fn of(message: &LinkMessage) -> Self {
        let mut link = Self::default();
        let (mut bus, mut device) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::LinkInfo(infos) => {
                    link.driver = infos.iter().find_map(|info| match info {
                        LinkInfo::Kind(kind) => Some(kind.to_string()),
                        _ => None,
                    });
                }
                LinkAttribute::ParentDevBusName(name) => bus = Some(name),
                LinkAttribute::ParentDevName(name) => device = Some(name),
                LinkAttribute::Xdp(xdp) => link.xdp = attached(xdp),
                _ => {}
            }
        }
        if let (None, Some(bus), Some(device)) = (&link.driver, bus, device) {
            link.driver = driver(bus, device);
            link.is_device = true;
        }
        link
    }

    /// Whether a feature is on; none where it is not known.
    pub fn has(&self, feature: &str) -> Option<bool> {
        Some(self.features.as_ref()?.contains(feature))
    }
}

fn attached(attributes: &[LinkXdp]) -> Option<Xdp> {
    let mode = attributes.iter().find_map(|it| match it {
        LinkXdp::Attached(XdpAttached::Driver) => Some("native"),
        LinkXdp::Attached(XdpAttached::SocketBuffer) => Some("generic"),
        LinkXdp::Attached(XdpAttached::Hardware) => Some("hardware"),
        LinkXdp::Attached(XdpAttached::Multiple) => Some("several"),
        _ => None,
    })?;
    let id = attributes.iter().find_map(|it| match it {
        LinkXdp::ProgId(id)
        | LinkXdp::DrvProgId(id)
        | LinkXdp::SkbProgId(id)
        | LinkXdp::HwProgId(id) => Some(*id),
        _ => None,
    })?;
    Some(Xdp { id, mode })
}

/// The driver of a device. The folders of buses are the same in all network namespaces, other than those of interfaces.
fn driver(bus: &str, device: &str) -> Option<String> {
    if [bus, device].iter().any(|name| name.contains('/')) {
        return None;
    }
    let path = Path::new("/sys/bus")
        .join(bus)
        .join("devices")
        .join(device)
        .join("driver");
    let target = fs::read_link(path).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

const NETDEV_XDP_ACT_BASIC: u64 = 1;
const NETDEV_XDP_ACT_RX_SG: u64 = 32;

/// From the family `netdev` (`include/uapi/linux/netdev.h`).
fn xdp_features(index: Ifindex) -> io::Result<u64> {
    const NETDEV_CMD_DEV_GET: u8 = 1;
    const NETDEV_A_DEV_IFINDEX: u16 = 1;
    const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
    let request = DefaultNla::new(NETDEV_A_DEV_IFINDEX, index.0.to_ne_bytes().to_vec());
    let answer = ask_family("netdev", NETDEV_CMD_DEV_GET, request)?;
    let features = answer
        .iter()
        .find(|it| number(it) == NETDEV_A_DEV_XDP_FEATURES)
        .and_then(|it| value(it).first_chunk().copied().map(u64::from_ne_bytes));
    features.ok_or(io::ErrorKind::InvalidData.into())
}

fn features(index: Ifindex) -> io::Result<BTreeSet<String>> {
    const ETHTOOL_MSG_FEATURES_GET: u8 = 11;
    const ACTIVE: u16 = 4;
    let answer = ask_ethtool(ETHTOOL_MSG_FEATURES_GET, index)?;
    let active = answer.iter().find(|it| number(it) == ACTIVE);
    Ok(active
        .map(|bits| names_of_bits(&value(bits)))
        .unwrap_or_default())
}

fn queues(index: Ifindex) -> io::Result<Option<Queues>> {
    const ETHTOOL_MSG_CHANNELS_GET: u8 = 17;
    const COMBINED_MAX: u16 = 5;
    const COMBINED_COUNT: u16 = 9;
    let answer = ask_ethtool(ETHTOOL_MSG_CHANNELS_GET, index)?;
    let find = |wanted| {
        let found = answer.iter().find(|it| number(it) == wanted)?;
        value(found).first_chunk().copied().map(u32::from_ne_bytes)
    };
    let queues = find(COMBINED_COUNT).zip(find(COMBINED_MAX));
    Ok(queues.map(|(used, most)| Queues { used, most }))
}

/// Asks the family `ethtool` (`include/uapi/linux/ethtool_netlink.h`), where each request has the same header.
fn ask_ethtool(command: u8, index: Ifindex) -> io::Result<Vec<DefaultNla>> {
    const HEADER: u16 = 1;
    const HEADER_DEV_INDEX: u16 = 1;
    let mut header = vec![0; 8];
    DefaultNla::new(HEADER_DEV_INDEX, index.0.to_ne_bytes().to_vec()).emit(&mut header);
    let request = DefaultNla::new(HEADER | NLA_F_NESTED, header);
    ask_family("ethtool", command, request)
}

/// The names in a bit set that lists what is on.
fn names_of_bits(set: &[u8]) -> BTreeSet<String> {
    const BITS: u16 = 3;
    const BIT: u16 = 1;
    const NAME: u16 = 2;
    values(set, BITS)
        .iter()
        .flat_map(|bits| values(bits, BIT))
        .flat_map(|bit| values(&bit, NAME))
        .map(|name| {
            String::from_utf8_lossy(&name)
                .trim_end_matches('\0')
                .to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface;

    #[test]
    fn loopback_is_described() {
        let all = interface::list().unwrap();
        let loopback = all.iter().find(|interface| interface.loopback).unwrap();
        let link = Link::ask(loopback.index).unwrap();
        assert!(link.mtu > 0);
        assert_eq!(link.xdp, None);
        assert_ne!(link.native_xdp, Some(true));
        assert_ne!(link.has("loopback"), Some(false));
    }

    #[test]
    fn what_native_xdp_costs() {
        let link = |driver: &str, features: &[&str]| Link {
            driver: Some(driver.to_owned()),
            features: Some(features.iter().map(|name| (*name).to_owned()).collect()),
            ..Link::default()
        };
        for (link, cost) in [
            (link("veth", &[]), Some(XdpCost::Veth)),
            (link("tun", &[]), Some(XdpCost::Tap)),
            (link("ixgbe", &["rx-lro"]), Some(XdpCost::Merging("LRO"))),
            (
                link("virtio_net", &["rx-gro", "rx-gro-hw"]),
                Some(XdpCost::Merging("hardware GRO")),
            ),
            (link("ice", &["rx-gro"]), None),
            (Link::default(), None),
        ] {
            assert_eq!(link.xdp_cost(), cost, "{link:?}");
        }
    }

    #[test]
    fn frames_of_several_buffers() {
        let link = |mtu, xdp_takes_parts| Link {
            mtu,
            xdp_takes_parts,
            ..Link::default()
        };
        assert!(link(9000, Some(false)).is_too_large_for_xdp());
        assert!(!link(1500, Some(false)).is_too_large_for_xdp());
        assert!(!link(9000, Some(true)).is_too_large_for_xdp());
        assert!(!link(9000, None).is_too_large_for_xdp());
    }

    #[test]
    fn an_interface_that_is_gone_is_an_error() {
        assert!(Link::ask(Ifindex(0x7fff_fff0)).is_err());
    }

    #[test]
    fn no_driver_outside_of_its_folder() {
        assert_eq!(driver("pci", "../../../.."), None);
        assert_eq!(driver("..", "x/y"), None);
        assert_eq!(driver("nosuch", "device"), None);
    }
}
