//! SSDP (`UPnP` Device Architecture 2.0, 1.3): HTTP's form over UDP.

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n";
/// What each answer has: the name of what answers.
const NAME: &[u8] = b"\r\nUSN:";

/// A search or a notification; an answer to a search.
pub(super) fn ssdp(datagram: &Datagram<'_>) -> Option<Fit> {
    if datagram.has(0, b"M-SEARCH * HTTP/1.1\r\n")? || datagram.has(0, b"NOTIFY * HTTP/1.1\r\n")? {
        return Some(Fit::Sure);
    }
    if !datagram.has(0, ANSWER)? {
        return Some(Fit::No);
    }
    let has_name = datagram
        .bytes
        .windows(NAME.len())
        .any(|part| part.eq_ignore_ascii_case(NAME));
    Some(if has_name { Fit::Sure } else { Fit::Fits })
}
