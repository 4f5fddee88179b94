//! QUIC, by its long header: what all versions have (RFC 8999), versions 1 and 2 (RFC 9000 17.2, RFC 9369 3), their drafts, and what
//! Google had before.

use super::super::datagram::Datagram;
use super::super::fit::Fit;
use crate::model::QuicVersion as Version;

const LONG: u8 = 0x80;
const FIXED: u8 = 0x40;
/// Bytes of a connection id in versions 1 and 2.
const ID_BYTES_MAX: usize = 20;
/// A datagram that opens a connection (RFC 9000 14.1).
const OPENING_BYTES_MIN: u16 = 1200;
/// Google's had their version after a connection id, behind flags that say so.
const GOOGLE_FLAGS: [u8; 3] = [0x09, 0x0d, 0x0c];

/// A number of one to eight bytes (RFC 9000 16), and where it ends.
fn number(datagram: &Datagram<'_>, at: usize) -> Option<(usize, usize)> {
    let first = datagram.u8(at)?;
    let bytes = 1_usize << (first >> 6);
    let mut value = usize::from(first & 0x3f);
    for next in datagram.slice(at + 1, bytes - 1)? {
        value = value << 8 | usize::from(*next);
    }
    Some((value, at + bytes))
}

/// Where both connection ids end; `None` where one is longer than it may be.
fn after_ids(datagram: &Datagram<'_>) -> Option<Result<usize, ()>> {
    let mut at = 5;
    for _ in 0..2 {
        let bytes = usize::from(datagram.u8(at)?);
        at += 1 + bytes;
        if bytes > ID_BYTES_MAX || at > datagram.length() {
            return Some(Err(()));
        }
    }
    Some(Ok(at))
}

/// A long header with a version that there is, ids and lengths that fit. A short header has nothing to tell it by.
pub(super) fn quic(datagram: &Datagram<'_>) -> Option<Fit> {
    let first = datagram.u8(0)?;
    if first & LONG == 0 {
        let is_googles = GOOGLE_FLAGS.contains(&first) && Version(datagram.be32(9)?).is_google();
        return Some(match (is_googles, first & FIXED != 0) {
            (true, _) => Fit::Sure,
            (_, true) => Fit::Perhaps,
            (_, false) => Fit::No,
        });
    }
    let version = Version(datagram.be32(1)?);
    if version.is_google() {
        return Some(Fit::sure_if(first & FIXED != 0));
    }
    if !version.is_plausible() && version.0 != 0 {
        return Some(Fit::No);
    }
    let Ok(at) = after_ids(datagram)? else {
        return Some(Fit::No);
    };
    if version.0 == 0 {
        return Some(versions(datagram, at));
    }
    if first & FIXED == 0 {
        return Some(Fit::No);
    }
    if version.is_reserved() {
        return Some(Fit::sure_if(datagram.length >= OPENING_BYTES_MIN));
    }
    packet(datagram, version, first >> 4 & 3, at)
}

/// Version negotiation (RFC 8999 6): the versions that a server has. We know at least half of them: one alone may be a small
/// number of something else, such as the source of RTP.
fn versions(datagram: &Datagram<'_>, at: usize) -> Fit {
    let offered = datagram.length() - at;
    if offered == 0 || !offered.is_multiple_of(4) {
        return Fit::No;
    }
    let (all, _) = datagram.from(at).as_chunks();
    let known = all
        .iter()
        .filter(|version| Version(u32::from_be_bytes(**version)).is_plausible());
    Fit::sure_if(!all.is_empty() && 2 * known.count() >= all.len())
}

/// A packet of version 1 or one like it: its length leaves room for what must be in it.
fn packet(datagram: &Datagram<'_>, version: Version, kind: u8, at: usize) -> Option<Fit> {
    // Version 2 counts its kinds from 1: they are 0-RTT 1 to retry 3 and Initial 0 in both then.
    let kind = if version == Version::TWO {
        kind.wrapping_sub(1) & 3
    } else {
        kind
    };
    let mut at = at;
    match kind {
        0 => {
            let (token, end) = number(datagram, at)?;
            at = end.saturating_add(token);
            if at > datagram.length() {
                return Some(Fit::No);
            }
        }
        // Retry: a token, and a tag of 16 bytes.
        3 => return Some(Fit::sure_if(datagram.length() > at + 16)),
        _ => {}
    }
    if at >= datagram.bytes.len() && datagram.is_cut() {
        // A long token hides the rest.
        return Some(Fit::Sure);
    }
    let (length, at) = number(datagram, at)?;
    // A packet number and a tag (RFC 9001 5.3).
    Some(Fit::sure_if(
        length >= 17 && at.saturating_add(length) <= datagram.length(),
    ))
}
