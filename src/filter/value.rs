//! Addresses, nets and ports, as people write them, and the errors for wrong ones.

use std::net::{IpAddr, Ipv4Addr};

use super::expression::Net;
use crate::model::Family;
use crate::model::services::Services;

/// A word of the expression for a message: not longer than a message should be.
pub(super) fn quoted(word: &str) -> String {
    const LONGEST: usize = 40;
    match word.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("`{}...`", &word[..end]),
        None => format!("`{word}`"),
    }
}

/// An address: `10.0.0.1`, `fd88::1`. Never a name.
pub(super) fn host(word: &str, after: &str) -> Result<Net, String> {
    if let Ok(address) = word.parse() {
        return Ok(Net::host(address));
    }
    if let Some((address, _)) = word
        .split_once('%')
        .filter(|(a, _)| a.parse::<IpAddr>().is_ok())
    {
        return Err(format!(
            "{} names an interface: write {} and choose the interface with -i",
            quoted(word),
            quoted(address)
        ));
    }
    if word.contains('/') {
        return Err(format!("{} is a net: write `net` before it", quoted(word)));
    }
    let names = if is_name(word) {
        ": udptrack does not look up names, write an address"
    } else {
        ""
    };
    Err(format!(
        "expected an address after `{after}`, found {}{names}",
        quoted(word)
    ))
}

/// Whether it may be meant as the name of a host.
fn is_name(word: &str) -> bool {
    word.chars().any(char::is_alphabetic)
        && word
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

/// A net: `10.0.0.0/8`, `10/8`, `192.168.1`, `fd88::/64`.
pub(super) fn net(word: &str) -> Result<Net, String> {
    let (address, bits) = match word.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (word, None),
    };
    let expected = || {
        format!(
            "expected a net such as 10.0.0.0/8 after `net`, found {}",
            quoted(word)
        )
    };
    let (address, own_bits) = match address.parse() {
        Ok(address) => (address, None),
        Err(_) => partial(address).ok_or_else(expected)?,
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match (bits, own_bits) {
        (Some(bits), _) => bits
            .parse()
            .ok()
            .filter(|parsed| *parsed <= most && !bits.starts_with('+'))
            .ok_or_else(|| {
                format!(
                    "expected a prefix length from 0 to {most} after `/`, found {}",
                    quoted(bits)
                )
            })?,
        (None, Some(bits)) => bits,
        (None, None) => {
            return Err(format!(
                "{} has no prefix length: write {address}/{} or `host` before it",
                quoted(word),
                if address.is_ipv4() { 24 } else { 64 }
            ));
        }
    };
    let net = Net::around(address, bits);
    if net.address != address {
        return Err(format!(
            "{} has bits after its prefix: write {}/{bits}",
            quoted(word),
            net.address
        ));
    }
    Ok(net)
}

/// The first one to three numbers of an IPv4 address, and how many bits they are.
fn partial(text: &str) -> Option<(IpAddr, Option<u8>)> {
    let mut octets = [0; 4];
    let mut count: u8 = 0;
    for part in text.split('.') {
        let digits = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
        *octets.get_mut(usize::from(count))? = digits.then(|| part.parse().ok())??;
        count += 1;
    }
    (count < 4).then(|| (IpAddr::V4(Ipv4Addr::from(octets)), Some(8 * count)))
}

/// A port, by number or by name.
pub(super) fn port(word: &str, services: &Services) -> Result<u16, String> {
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        return word
            .parse()
            .map_err(|_| format!("expected a port from 0 to 65535, found {}", quoted(word)));
    }
    if let Some(port) = services.port(word) {
        return Ok(port);
    }
    let ends = word.split_once('-').map(|(low, high)| [low, high]);
    let is_range = ends.is_some_and(|ends| ends.iter().all(|end| end.parse::<u16>().is_ok()));
    Err(if is_range {
        format!("{} is a range: write `portrange` before it", quoted(word))
    } else {
        format!(
            "expected a port after `port`, found {}: neither a number nor a UDP service of /etc/services",
            quoted(word)
        )
    })
}

/// Two ports: `5000-5010`.
pub(super) fn range(word: &str) -> Result<(u16, u16), String> {
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let ends = word
        .split_once('-')
        .and_then(|(low, high)| Some((number(low)?, number(high)?)));
    match ends {
        None => Err(format!(
            "expected two ports such as 5000-5010 after `portrange`, found {}",
            quoted(word)
        )),
        Some((low, high)) if low > high => Err(format!(
            "{} ends before it begins: write {high}-{low}",
            quoted(word)
        )),
        Some(ends) => Ok(ends),
    }
}

/// What a family before it says of an address.
pub(super) fn fits(net: Net, family: Option<Family>) -> Result<(), String> {
    match family {
        Some(family) if family != Family::of(net.address) => {
            let name = if family == Family::V4 { "IPv4" } else { "IPv6" };
            Err(format!("`{}` is no {name} address", net.address))
        }
        _ => Ok(()),
    }
}
