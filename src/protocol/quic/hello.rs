//! The `ClientHello` of TLS 1.3 (RFC 8446 4.1.2): which name the client asks for (RFC 6066 3) and which protocols it offers
//! (RFC 7301 3.1). Two extensions of it, so it is read here: the TLS parsers that are kept bring two dozen crates along, and read no
//! message of which the end is missing.

use super::packet::Reader;

const CLIENT_HELLO: u8 = 1;
/// What TLS 1.3 says of itself in the place of the version (RFC 8446 4.1.2).
const LEGACY_VERSION: u64 = 0x0303;
const RANDOM_BYTES: usize = 32;
const SERVER_NAME: u64 = 0;
const HOST_NAME: u8 = 0;
const ALPN: u64 = 16;

/// No longer name is a host's.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;
/// Of what is offered, the first are kept. The longest registered is `managesieve`.
const OFFERED_MAX: usize = 8;
const OFFER_MAX: usize = 32;

/// What a client says. All text is fit for a terminal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hello {
    /// In lower case.
    pub server_name: Option<Box<str>>,
    /// In the client's order.
    pub offered: Vec<Box<str>>,
    /// Names and protocols that were there, and are no such text.
    pub refused: u32,
    /// Nothing of it is missing.
    pub is_whole: bool,
}

/// Reads the message that a handshake begins with, as far as it is there. `None` where that is no `ClientHello`, or has
/// nothing behind its header yet.
pub(super) fn read(handshake: &[u8]) -> Option<Hello> {
    let mut reader = Reader(handshake);
    reader.byte().filter(|kind| *kind == CLIENT_HELLO)?;
    let length = usize::try_from(reader.number(3)?).ok()?;
    let is_whole = reader.0.len() >= length;
    let mut body = Reader(reader.take_up_to(length));
    body.number(2)
        .filter(|version| *version == LEGACY_VERSION)?;
    body.take(RANDOM_BYTES)?;
    let mut hello = Hello {
        is_whole,
        ..Hello::default()
    };
    // What is cut ends it; so does what contradicts itself, as nothing behind it can be found.
    let _ = read_extensions(&mut body, &mut hello);
    Some(hello)
}

/// What follows version and random.
fn read_extensions(body: &mut Reader<'_>, hello: &mut Hello) -> Option<()> {
    let _session = body.behind_length(1)?;
    let _suites = body.behind_length(2)?;
    let _compressions = body.behind_length(1)?;
    let length = usize::try_from(body.number(2)?).ok()?;
    let mut extensions = Reader(body.take_up_to(length));
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let extension = extensions.behind_length(2)?;
        match kind {
            SERVER_NAME => read_name(extension, hello),
            ALPN => read_offers(extension, hello),
            _ => Some(()),
        };
    }
    Some(())
}

fn read_name(extension: &[u8], hello: &mut Hello) -> Option<()> {
    let mut list = Reader(Reader(extension).behind_length(2)?);
    while !list.0.is_empty() {
        let kind = list.byte()?;
        let name = list.behind_length(2)?;
        if kind == HOST_NAME && hello.server_name.is_none() {
            hello.server_name = host_name(name);
            hello.refused += u32::from(hello.server_name.is_none());
        }
    }
    Some(())
}

fn read_offers(extension: &[u8], hello: &mut Hello) -> Option<()> {
    let mut list = Reader(Reader(extension).behind_length(2)?);
    while !list.0.is_empty() && hello.offered.len() < OFFERED_MAX {
        let offer = list.behind_length(1)?;
        match protocol(offer) {
            _ if is_reserved(offer) => {}
            Some(protocol) => hello.offered.push(protocol),
            None => hello.refused += 1,
        }
    }
    Some(())
}

/// Stands for nothing (RFC 8701 3).
fn is_reserved(offer: &[u8]) -> bool {
    matches!(offer, [a, b] if a == b && a & 0x0f == 0x0a)
}

fn protocol(offer: &[u8]) -> Option<Box<str>> {
    let is_text = (1..=OFFER_MAX).contains(&offer.len()) && offer.iter().all(u8::is_ascii_graphic);
    let text = str::from_utf8(offer).ok().filter(|_| is_text)?;
    Some(text.into())
}

/// A name in lower case, if it could be that of a host, and could not be taken for an IPv4 address.
fn host_name(name: &[u8]) -> Option<Box<str>> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut labels = name.split(|byte| *byte == b'.');
    let is_name = name.len() <= NAME_MAX
        && labels.all(|label| (1..=LABEL_MAX).contains(&label.len()) && label.iter().all(fits));
    let last = name.rsplit(|byte| *byte == b'.').next()?;
    let text = str::from_utf8(name).ok().filter(|_| is_name)?;
    (!last.iter().all(u8::is_ascii_digit)).then(|| text.to_ascii_lowercase().into())
}

#[cfg(test)]
#[path = "hello_tests.rs"]
mod tests;
