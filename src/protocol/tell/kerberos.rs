//! Kerberos 5 (RFC 4120 5, 7.2.1), in DER.

use super::super::datagram::Datagram;
use super::super::fit::Fit;
use super::snmp::value;

const SEQUENCE: u8 = 0x30;

/// A message of a kind to the end, and in it the version: 5.
pub(super) fn kerberos(datagram: &Datagram<'_>) -> Option<Fit> {
    let all = value(datagram, 0)?;
    // Requests have the version at 1, answers and errors at 0.
    let at = match all.tag {
        0x6a | 0x6c => 0xa1,
        0x6b | 0x6d | 0x6e | 0x6f | 0x74..=0x76 | 0x7e => 0xa0,
        _ => return Some(Fit::No),
    };
    if all.end != datagram.length() {
        return Some(Fit::No);
    }
    let inside = value(datagram, all.content)?;
    let is_five = inside.tag == SEQUENCE && datagram.has(inside.content, &[at, 3, 2, 1, 5])?;
    Some(Fit::sure_if(is_five))
}
