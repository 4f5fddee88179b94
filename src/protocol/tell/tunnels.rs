//! Tunnels: VXLAN (RFC 7348 5), Geneve (RFC 8926 3), GTP-U (3GPP TS 29.281 5).

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const HEADER_BYTES: usize = 8;
const ETHERNET: u16 = 0x6558;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// Whether a frame of Ethernet stands here: a kind that there is, and of IP its version.
fn is_frame(datagram: &Datagram<'_>, at: usize) -> Option<bool> {
    let inside = at + 14;
    Some(match datagram.be16(at + 12)? {
        IPV4 => datagram.u8(inside)? >> 4 == 4,
        IPV6 => datagram.u8(inside)? >> 4 == 6,
        // ARP, VLAN tags, MPLS, PPPoE, LLDP.
        0x0806 | 0x8100 | 0x88a8 | 0x8847 | 0x8848 | 0x8863 | 0x8864 | 0x88cc => true,
        // A length: bridges and their spanning tree, which begins with these.
        length @ ..1536 => {
            datagram.has(inside, &[0x42, 0x42, 3])?
                && usize::from(length) + inside <= datagram.length()
        }
        _ => false,
    })
}

/// Flags with a number of the network, zeros where they must be, and a frame.
pub(super) fn vxlan(datagram: &Datagram<'_>) -> Option<Fit> {
    // A group's number may stand in the second half (draft-smith-vxlan-group-policy).
    let is_header = datagram.u8(0)? & !0x80 == 0x08 && datagram.u8(7)? == 0;
    if !is_header {
        return Some(Fit::No);
    }
    let is_plain = datagram.be32(0)? == 0x0800_0000;
    let is_frame = is_frame(datagram, HEADER_BYTES)?;
    Some(if is_plain && is_frame {
        Fit::Sure
    } else {
        Fit::fits_if(is_frame)
    })
}

/// Version 0, options that fit, zeros where they must be, and what its type says.
pub(super) fn geneve(datagram: &Datagram<'_>) -> Option<Fit> {
    let first = datagram.u8(0)?;
    let options = 4 * usize::from(first & 0x3f);
    let inside = HEADER_BYTES + options;
    let is_header = first >> 6 == 0 && datagram.u8(1)? << 2 == 0 && datagram.u8(7)? == 0;
    if !is_header || inside > datagram.length() {
        return Some(Fit::No);
    }
    let is_inside = match datagram.be16(2)? {
        ETHERNET => is_frame(datagram, inside)?,
        IPV4 => datagram.u8(inside)? >> 4 == 4,
        IPV6 => datagram.u8(inside)? >> 4 == 6,
        _ => false,
    };
    Some(if is_inside && datagram.be16(2)? == ETHERNET {
        Fit::Sure
    } else {
        Fit::fits_if(is_inside)
    })
}

/// Version 1, a kind and a length to the end; a packet inside is IP.
pub(super) fn gtpu(datagram: &Datagram<'_>) -> Option<Fit> {
    let flags = datagram.u8(0)?;
    let is_header = flags >> 4 == 3
        && flags & 8 == 0
        && datagram.count16(2)? + HEADER_BYTES == datagram.length();
    if !is_header {
        return Some(Fit::No);
    }
    let mut inside = HEADER_BYTES;
    if flags & 7 != 0 {
        inside += 4;
        // Further headers say their length in words of four bytes.
        let mut next = if flags & 4 != 0 {
            datagram.u8(inside - 1)?
        } else {
            0
        };
        while next != 0 && inside < datagram.length() {
            let words = usize::from(datagram.u8(inside)?);
            if words == 0 {
                return Some(Fit::No);
            }
            inside += 4 * words;
            next = datagram.u8(inside - 1)?;
        }
    }
    match datagram.u8(1)? {
        // Echo, error, which headers are known, end of a path.
        1 | 2 | 26 | 31 | 254 => Some(Fit::Fits),
        255 => {
            let length = match datagram.u8(inside)? >> 4 {
                4 => datagram.count16(inside + 2)?,
                6 => 40 + datagram.count16(inside + 4)?,
                // Ethernet and packets without a form.
                _ => return Some(Fit::Perhaps),
            };
            Some(if inside + length == datagram.length() {
                Fit::Sure
            } else {
                Fit::Perhaps
            })
        }
        _ => Some(Fit::No),
    }
}
