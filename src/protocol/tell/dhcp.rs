//! DHCP (RFC 2131 2) with BOOTP (RFC 951 3), and DHCP for IPv6 (RFC 9915 8).

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const COOKIE: u32 = 0x6382_5363;
const COOKIE_AT: usize = 236;
const V6_PORTS: [u16; 2] = [546, 547];
/// Kinds of messages, and codes of options, that were given out, and some more.
const V6_KIND_MAX: u8 = 40;
const V6_CODE_MAX: u16 = 200;

/// A request or an answer, an address of hardware, and the cookie before the options.
pub(super) fn dhcp(datagram: &Datagram<'_>) -> Option<Fit> {
    let is_header =
        matches!(datagram.u8(0)?, 1 | 2) && datagram.u8(2)? <= 16 && datagram.u8(3)? <= 16;
    if !is_header || datagram.length() < COOKIE_AT + 4 {
        return Some(Fit::No);
    }
    let has_cookie = datagram.be32(COOKIE_AT)? == COOKIE;
    Some(if has_cookie {
        Fit::Sure
    } else {
        // BOOTP: Ethernet.
        Fit::fits_if(datagram.be16(1)? == 0x0106 && datagram.length >= 300)
    })
}

/// On its ports, a kind of message, and options, one at least, to the end.
pub(super) fn dhcpv6(datagram: &Datagram<'_>) -> Option<Fit> {
    if !V6_PORTS.iter().any(|port| datagram.has_port(*port)) {
        return Some(Fit::No);
    }
    let start = match datagram.u8(0)? {
        // Relays: hops and two addresses.
        12 | 13 => 34,
        1..=V6_KIND_MAX => 4,
        _ => return Some(Fit::No),
    };
    let mut at = start;
    while at < datagram.length() {
        if at >= datagram.bytes.len() {
            return Some(Fit::Fits);
        }
        if !(1..=V6_CODE_MAX).contains(&datagram.be16(at)?) {
            return Some(Fit::No);
        }
        at += 4 + datagram.count16(at + 2)?;
    }
    Some(Fit::fits_if(at == datagram.length() && at > start))
}
