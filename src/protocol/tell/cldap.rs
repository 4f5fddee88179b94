//! LDAP without a connection (RFC 1798), as Active Directory's clients look for a server; messages are LDAP's (RFC 4511 4.1.1), in BER.

use super::super::datagram::Datagram;
use super::super::fit::Fit;
use super::snmp::value;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// A sequence, in it a number and an operation.
pub(super) fn cldap(datagram: &Datagram<'_>) -> Option<Fit> {
    let all = value(datagram, 0)?;
    if all.tag != SEQUENCE || all.end > datagram.length() {
        return Some(Fit::No);
    }
    let id = value(datagram, all.content)?;
    if id.tag != INTEGER || !(1..=4).contains(&(id.end - id.content)) {
        return Some(Fit::No);
    }
    let operation = value(datagram, id.end)?;
    // A search, an entry, its end, an extended request and its answer; answers are followed by their end.
    let is_operation =
        matches!(operation.tag, 0x63..=0x65 | 0x77 | 0x78) && operation.end <= all.end;
    Some(Fit::sure_if(is_operation))
}
