//! SIP (RFC 3261 7).

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const METHODS: [&str; 14] = [
    "INVITE ",
    "ACK ",
    "BYE ",
    "CANCEL ",
    "REGISTER ",
    "OPTIONS ",
    "SUBSCRIBE ",
    "NOTIFY ",
    "PUBLISH ",
    "MESSAGE ",
    "REFER ",
    "INFO ",
    "PRACK ",
    "UPDATE ",
];
const SCHEMES: [&str; 3] = ["sip:", "sips:", "tel:"];

/// A line of a request: a method and an address of its kind; or of an answer: its version and a code.
pub(super) fn sip(datagram: &Datagram<'_>) -> Option<Fit> {
    // Line ends alone keep a translation alive (RFC 5626 4.4.1).
    if datagram
        .bytes
        .iter()
        .all(|byte| matches!(byte, b'\r' | b'\n' | 0))
    {
        return Some(Fit::Perhaps);
    }
    if datagram.has(0, b"SIP/2.0 ")? {
        let code = datagram.slice(8, 3)?;
        return Some(Fit::sure_if(code.iter().all(u8::is_ascii_digit)));
    }
    let Some(method) = METHODS
        .iter()
        .find(|method| datagram.bytes.starts_with(method.as_bytes()))
    else {
        return Some(Fit::No);
    };
    let address = datagram.from(method.len());
    let has_scheme = |scheme: &&str| {
        let start = address.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    };
    Some(Fit::sure_if(SCHEMES.iter().any(has_scheme)))
}
