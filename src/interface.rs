//! The interfaces of this network namespace, as the kernel lists them. Never /sys/class/net: under `nsenter --net` it
//! still shows another namespace.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;

use crate::model::Ifindex;
use crate::netlink::{Route, Subscription, dump, values};

/// An interface that can be tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name now; the index stays when it is renamed.
    pub name: String,
    /// Its other names (`ip link property add`, udev).
    pub other_names: Vec<String>,
    /// Its index in this network namespace.
    pub index: Ifindex,
    /// Whether its frames begin with an Ethernet header (by ARPHRD type); else they begin with the IP header.
    pub ethernet: bool,
    /// Whether what it sends it receives itself.
    pub loopback: bool,
    /// Whether it is up.
    pub up: bool,
    /// Its addresses, for people.
    pub addresses: Vec<String>,
}

impl Interface {
    /// Whether this is its name, or one of its others.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.other_names.iter().any(|other| other == name)
    }
}

/// ARPHRD types whose frames begin with an Ethernet header (`include/uapi/linux/if_arp.h`).
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;

/// Numbers of rtnetlink messages and attributes (`include/uapi/linux/rtnetlink.h`, `if_link.h`, `if_addr.h`).
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTNLGRP_LINK: u32 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 8;

/// A message that begins with `struct ifinfomsg`: family, type of hardware, index, flags.
type LinkMessage = Route<16>;
/// A message that begins with `struct ifaddrmsg`: family, length, flags, scope, index.
type AddressMessage = Route<8>;

/// All addresses of this network namespace's interfaces; none where they cannot be listed.
#[must_use]
pub fn addresses() -> HashSet<IpAddr> {
    let all = list_addresses().unwrap_or_default();
    all.into_iter().map(|(_, address)| address).collect()
}

/// How the interface with this index is called now.
#[cfg(feature = "cli")]
#[must_use]
pub fn name_of(index: u32) -> Option<String> {
    let name = nix::net::if_::if_indextoname(index).ok()?;
    Some(name.to_string_lossy().into_owned())
}

/// Every interface of this network namespace, by index.
pub fn list() -> Result<Vec<Interface>> {
    let cannot = "cannot list the network interfaces";
    let links = dump(LinkMessage::request(RTM_GETLINK)).context(cannot)?;
    let mut interfaces: Vec<Interface> = links.iter().filter_map(of_message).collect();
    interfaces.sort_by_key(|interface| interface.index);
    for (index, address) in list_addresses().context(cannot)? {
        let at = interfaces.binary_search_by_key(&index, |interface| interface.index);
        if let Ok(at) = at {
            interfaces[at].addresses.push(address.to_string());
        }
    }
    Ok(interfaces)
}

fn list_addresses() -> io::Result<Vec<(Ifindex, IpAddr)>> {
    let answers = dump(AddressMessage::request(RTM_GETADDR))?;
    let found = answers.iter().filter_map(|answer| {
        // IFA_ADDRESS is the other end's where there are two.
        let own = answer
            .value(IFA_LOCAL)
            .or_else(|| answer.value(IFA_ADDRESS))?;
        let address = match *own {
            [a, b, c, d] => IpAddr::from([a, b, c, d]),
            _ => IpAddr::from(<[u8; 16]>::try_from(own).ok()?),
        };
        Some((Ifindex(answer.word(4)), address))
    });
    Ok(found.collect())
}

/// An interface, but for its addresses. None of what a bridge says of its ports in messages of the same number.
fn of_message(message: &LinkMessage) -> Option<Interface> {
    let [family, _, low, high, ..] = message.header;
    let name = message.value(IFLA_IFNAME)?;
    let is_interface = matches!(message.number, RTM_NEWLINK | RTM_DELLINK);
    if family != 0 || !is_interface {
        return None;
    }
    let properties = message.value(IFLA_PROP_LIST).unwrap_or_default();
    let flags = message.word(8);
    Some(Interface {
        name: text(&name),
        other_names: values(&properties, IFLA_ALT_IFNAME)
            .iter()
            .map(|name| text(name))
            .collect(),
        index: Ifindex(message.word(4)),
        ethernet: matches!(
            u16::from_ne_bytes([low, high]),
            ARPHRD_ETHER | ARPHRD_LOOPBACK
        ),
        loopback: flags & IFF_LOOPBACK != 0,
        up: flags & IFF_UP != 0,
        addresses: Vec::new(),
    })
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned()
}

/// What happened to an interface of this network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is there, as it is now: it has come, or something about it has changed. Its addresses are not known.
    Here(Interface),
    /// It is gone.
    Gone(Ifindex),
}

/// Hears what happens to the interfaces of the network namespace in which it was made.
pub struct Changes(Subscription);

impl Changes {
    /// From now on.
    pub fn follow() -> Result<Self> {
        let subscription =
            Subscription::to(RTNLGRP_LINK).context("cannot watch for new interfaces (netlink)")?;
        Ok(Self(subscription))
    }

    /// Waits for what happens next. `None` where some of it was not understood or there was too much of it: then only
    /// [`list`] knows.
    pub fn wait(&self) -> io::Result<Option<Vec<Change>>> {
        let messages = match self.0.wait::<LinkMessage>() {
            Ok(messages) => messages,
            Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Other => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                return Ok(Some(Vec::new()));
            }
            Err(error) => return Err(error),
        };
        let changes = messages.iter().filter_map(|message| {
            let interface = of_message(message)?;
            Some(match message.number {
                RTM_DELLINK => Change::Gone(interface.index),
                _ => Change::Here(interface),
            })
        });
        Ok(Some(changes.collect()))
    }
}

/// Which interfaces are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All, and those that come.
    Any,
    /// Those of these names, each of another one.
    Named(Vec<String>),
}

impl Selection {
    /// What these names mean (`any` is all, no name the one of the default route), and the interfaces that they name now, in
    /// their order.
    pub fn of(names: &[String]) -> Result<(Self, Vec<Interface>)> {
        let all = list()?;
        if names.iter().any(|name| name == ANY) {
            return Ok((Self::Any, all));
        }
        let names = if names.is_empty() {
            vec![default_route(&all)?]
        } else {
            names.to_vec()
        };
        let (mut taken, mut selected) = (Vec::new(), Vec::<Interface>::new());
        for name in names {
            let Some(interface) = all.iter().find(|interface| interface.is_named(&name)) else {
                bail!(
                    "there is no interface named {name:?}. Interfaces: {}",
                    joined(&all)
                );
            };
            if !selected.contains(interface) {
                selected.push(interface.clone());
                taken.push(name);
            }
        }
        Ok((Self::Named(taken), selected))
    }
}

/// The name that means all interfaces.
pub const ANY: &str = "any";

/// The interfaces of the given names; `any` means all, no name the one of the default route.
pub fn select(names: &[String]) -> Result<Vec<Interface>> {
    Ok(Selection::of(names)?.1)
}

fn joined(interfaces: &[Interface]) -> String {
    let names: Vec<&str> = interfaces
        .iter()
        .map(|interface| interface.name.as_str())
        .collect();
    names.join(", ")
}

/// The interface that the default route with the lowest metric goes through, IPv4 before IPv6.
fn default_route(all: &[Interface]) -> Result<String> {
    let ipv4 = fs::read_to_string("/proc/self/net/route").unwrap_or_default();
    let ipv6 = fs::read_to_string("/proc/self/net/ipv6_route").unwrap_or_default();
    match default_route4(&ipv4).or_else(|| default_route6(&ipv6)) {
        Some(name) => Ok(name),
        None => bail!(
            "there is no default route, so udptrack does not know which interface to track. Name one with -i: {}, or any",
            joined(all)
        ),
    }
}

/// Default route in the format of /proc/net/route: `Iface Destination Gateway Flags RefCnt Use Metric Mask …`.
fn default_route4(table: &str) -> Option<String> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (name, destination, metric, mask) = (
                fields.first()?,
                fields.get(1)?,
                fields.get(6)?,
                fields.get(7)?,
            );
            let is_default = *destination == "00000000" && *mask == "00000000";
            is_default.then_some((metric.parse::<u32>().ok()?, (*name).to_owned()))
        })
        .min()
        .map(|(_, name)| name)
}

/// Default route in the format of `/proc/net/ipv6_route`: `destination length source length gateway metric … flags Iface`.
fn default_route6(table: &str) -> Option<String> {
    const RTF_UP: u32 = 1;
    table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (length, metric, flags, name) = (
                fields.get(1)?,
                fields.get(5)?,
                fields.get(8)?,
                fields.get(9)?,
            );
            let flags = u32::from_str_radix(flags, 16).ok()?;
            let is_default = *length == "00" && flags & RTF_UP != 0 && *name != "lo";
            is_default.then_some((u32::from_str_radix(metric, 16).ok()?, (*name).to_owned()))
        })
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_route_with_the_lowest_metric() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
            eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(default_route4(table).as_deref(), Some("eth0"));
        assert_eq!(default_route4(""), None);
    }

    #[test]
    fn default_route_of_ipv6_is_not_the_null_route() {
        let table = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
            fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth1\n\
            00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
            00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";
        assert_eq!(default_route6(table).as_deref(), Some("eth1"));
    }

    #[test]
    fn loopback_is_listed() {
        let loopback = list()
            .unwrap()
            .into_iter()
            .find(|interface| interface.loopback)
            .unwrap();
        assert_eq!(loopback.name, "lo");
        assert!(loopback.ethernet);
        assert!(addresses().contains(&IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn an_unknown_name_is_told_what_exists() {
        let error = select(&["nosuch0".to_owned()]).unwrap_err().to_string();
        assert!(
            error.contains("\"nosuch0\"") && error.contains("lo"),
            "{error}"
        );
    }
}
