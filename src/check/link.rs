//! What the kernel and the driver say of an interface.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use netlink_packet_core::{DefaultNla, Emitable as _, NLA_F_NESTED};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkInfo, LinkMessage, LinkXdp, XdpAttached};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink::{ask, ask_family, number, value, values};
use crate::connection::Ifindex;

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Xdp {
    /// Of the program.
    pub id: u32,
    /// How it is attached: `native`, `generic`, `hardware`, or `several`.
    pub mode: &'static str,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    /// Bytes of an IP packet at most.
    pub mtu: u32,
    /// The driver, or the kind of an interface that has no hardware.
    pub driver: Option<String>,
    /// The XDP program that is there.
    pub xdp: Option<Xdp>,
    /// Whether the driver has native XDP; none where the kernel does not tell (before Linux 6.3).
    pub native_xdp: Option<bool>,
    /// The features that are on, as ethtool names them; none where the kernel does not tell.
    pub features: Option<BTreeSet<String>>,
}

impl Link {
    pub fn ask(index: Ifindex) -> io::Result<Self> {
        let mut message = LinkMessage::default();
        message.header.index = index.0;
        let answer = ask(NETLINK_ROUTE, RouteNetlinkMessage::GetLink(message))?;
        let RouteNetlinkMessage::NewLink(answer) = answer else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let mut link = Self::of(&answer);
        link.native_xdp = native_xdp(index).ok();
        link.features = features(index).ok();
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

/// From the family `netdev` (`include/uapi/linux/netdev.h`).
fn native_xdp(index: Ifindex) -> io::Result<bool> {
    const NETDEV_CMD_DEV_GET: u8 = 1;
    const NETDEV_A_DEV_IFINDEX: u16 = 1;
    const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
    const NETDEV_XDP_ACT_BASIC: u64 = 1;
    let request = DefaultNla::new(NETDEV_A_DEV_IFINDEX, index.0.to_ne_bytes().to_vec());
    let answer = ask_family("netdev", NETDEV_CMD_DEV_GET, request)?;
    let features = answer
        .iter()
        .find(|it| number(it) == NETDEV_A_DEV_XDP_FEATURES)
        .and_then(|it| value(it).first_chunk().copied().map(u64::from_ne_bytes));
    let features = features.ok_or(io::ErrorKind::InvalidData)?;
    Ok(features & NETDEV_XDP_ACT_BASIC != 0)
}

/// From the family `ethtool` (`include/uapi/linux/ethtool_netlink.h`).
fn features(index: Ifindex) -> io::Result<BTreeSet<String>> {
    const ETHTOOL_MSG_FEATURES_GET: u8 = 11;
    const HEADER: u16 = 1;
    const HEADER_DEV_INDEX: u16 = 1;
    const ACTIVE: u16 = 4;
    let mut header = vec![0; 8];
    DefaultNla::new(HEADER_DEV_INDEX, index.0.to_ne_bytes().to_vec()).emit(&mut header);
    let request = DefaultNla::new(HEADER | NLA_F_NESTED, header);
    let answer = ask_family("ethtool", ETHTOOL_MSG_FEATURES_GET, request)?;
    let active = answer.iter().find(|it| number(it) == ACTIVE);
    Ok(active
        .map(|bits| names_of_bits(&value(bits)))
        .unwrap_or_default())
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
