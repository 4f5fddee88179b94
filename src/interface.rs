//! The interfaces of this network namespace, as the kernel lists them. Never /sys/class/net: under `nsenter --net` it
//! still shows another namespace.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::{InterfaceFlags, if_indextoname, if_nametoindex};

use crate::connection::Ifindex;

/// An interface that can be tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name now; the index stays when it is renamed.
    pub name: String,
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

/// ARPHRD types whose frames begin with an Ethernet header (`include/uapi/linux/if_arp.h`).
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;

/// All addresses of this network namespace's interfaces; none where they cannot be listed.
#[must_use]
pub fn addresses() -> HashSet<IpAddr> {
    let interfaces = list().unwrap_or_default();
    let all = interfaces.iter().flat_map(|interface| &interface.addresses);
    all.filter_map(|address| address.parse().ok()).collect()
}

/// Every interface of this network namespace, by index.
pub fn list() -> Result<Vec<Interface>> {
    let mut interfaces: BTreeMap<String, Interface> = BTreeMap::new();
    let mut addresses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in getifaddrs().context("cannot list the network interfaces")? {
        let Some(address) = entry.address else {
            if let Some(interface) = without_address(&entry) {
                interfaces.insert(entry.interface_name, interface);
            }
            continue;
        };
        if let Some(link) = address.as_link_addr() {
            let hardware = link.hatype();
            interfaces.insert(
                entry.interface_name.clone(),
                Interface {
                    name: entry.interface_name,
                    index: Ifindex(u32::try_from(link.ifindex()).unwrap_or(0)),
                    ethernet: matches!(hardware, ARPHRD_ETHER | ARPHRD_LOOPBACK),
                    loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
                    up: entry.flags.contains(InterfaceFlags::IFF_UP),
                    addresses: Vec::new(),
                },
            );
        } else if let Some(address) = address.as_sockaddr_in() {
            addresses
                .entry(entry.interface_name)
                .or_default()
                .push(address.ip().to_string());
        } else if let Some(address) = address.as_sockaddr_in6() {
            addresses
                .entry(entry.interface_name)
                .or_default()
                .push(address.ip().to_string());
        }
    }
    for (name, interface) in &mut interfaces {
        interface.addresses = addresses.remove(name).unwrap_or_default();
    }
    let mut interfaces: Vec<Interface> = interfaces.into_values().collect();
    interfaces.sort_by_key(|interface| interface.index);
    Ok(interfaces)
}

/// An interface that has no hardware address at all, not even an empty one in the list: tun, `WireGuard` (`ARPHRD_NONE`).
/// What has an Ethernet header has an address.
fn without_address(entry: &InterfaceAddress) -> Option<Interface> {
    let index = if_nametoindex(entry.interface_name.as_str()).ok()?;
    Some(Interface {
        name: entry.interface_name.clone(),
        index: Ifindex(index),
        ethernet: false,
        loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
        up: entry.flags.contains(InterfaceFlags::IFF_UP),
        addresses: Vec::new(),
    })
}

/// The interfaces of the given names; `any` means all, no name the one of the default route.
pub fn select(names: &[String]) -> Result<Vec<Interface>> {
    let all = list()?;
    if names.iter().any(|name| name == "any") {
        return Ok(all);
    }
    let names = if names.is_empty() {
        vec![default_route(&all)?]
    } else {
        names.to_vec()
    };
    let mut selected: Vec<Interface> = Vec::new();
    for name in names {
        let Some(interface) = all.iter().find(|interface| interface.name == name) else {
            bail!(
                "no interface named {name:?} here. There are: {}",
                joined(&all)
            );
        };
        if !selected.contains(interface) {
            selected.push(interface.clone());
        }
    }
    Ok(selected)
}

/// Whether the interface is still there; a new name counts.
#[must_use]
pub fn exists(index: Ifindex) -> bool {
    // nix 0.31 takes the null pointer of a failure for a success with an empty name.
    if_indextoname(index.0).is_ok_and(|name| !name.is_empty())
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
            "there is no default route to take the interface from. Name one with -i: {}, or any",
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
        assert!(exists(loopback.index));
        assert!(!exists(Ifindex(0x7fff_fff0)));
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
