//! Questions to the kernel by netlink, which answers for the network namespace of this thread; none needs rights.

use std::io;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLA_TYPE_MASK, NLM_F_REQUEST, NetlinkDeserializable,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable, Nla as _, NlasIterator,
    Parseable as _, ParseableParametrized,
};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_GENERIC;

/// Asks for one thing and gives the answer.
pub(crate) fn ask<M>(protocol: isize, request: M) -> io::Result<M>
where
    M: NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<M>>,
{
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let mut packet = NetlinkMessage::new(header, request.into());
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<M>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::InnerMessage(message) => Ok(message),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A message of a generic family, with its attributes as they are.
#[derive(Debug)]
struct Plain {
    command: u8,
    attributes: Vec<DefaultNla>,
}

impl GenlFamily for Plain {
    fn family_name() -> &'static str {
        ""
    }

    fn command(&self) -> u8 {
        self.command
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Plain {
    fn buffer_len(&self) -> usize {
        self.attributes.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.attributes.as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Plain {
    fn parse_with_param(bytes: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        Ok(Self {
            command: header.cmd,
            attributes: attributes(bytes)?,
        })
    }
}

/// The attributes in some bytes, as number and value.
fn attributes(bytes: &[u8]) -> Result<Vec<DefaultNla>, DecodeError> {
    NlasIterator::new(bytes)
        .map(|attribute| DefaultNla::parse(&attribute?))
        .collect()
}

/// The number of an attribute, without the mark of those that hold others.
pub(crate) fn number(attribute: &DefaultNla) -> u16 {
    attribute.kind() & NLA_TYPE_MASK
}

/// The value of an attribute.
pub(crate) fn value(attribute: &DefaultNla) -> Vec<u8> {
    let mut bytes = vec![0; attribute.value_len()];
    attribute.emit_value(&mut bytes);
    bytes
}

/// The values of all attributes of this number in some bytes.
pub(crate) fn values(bytes: &[u8], wanted: u16) -> Vec<Vec<u8>> {
    let all = attributes(bytes).unwrap_or_default();
    all.iter()
        .filter(|attribute| number(attribute) == wanted)
        .map(value)
        .collect()
}

/// Asks a generic family, and gives the attributes of the answer. `NotFound` where this kernel has no such family.
pub(crate) fn ask_family(
    family: &str,
    command: u8,
    request: DefaultNla,
) -> io::Result<Vec<DefaultNla>> {
    let resolve = GenlMessage::from_payload(GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: vec![GenlCtrlAttrs::FamilyName(family.to_owned())],
    });
    let answer = ask(NETLINK_GENERIC, resolve)?;
    let id = answer.payload.nlas.iter().find_map(|it| match it {
        GenlCtrlAttrs::FamilyId(id) => Some(*id),
        _ => None,
    });
    let mut message = GenlMessage::from_payload(Plain {
        command,
        attributes: vec![request],
    });
    message.set_resolved_family_id(id.ok_or(io::ErrorKind::NotFound)?);
    Ok(ask(NETLINK_GENERIC, message)?.payload.attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_that_is_not_there_is_not_found() {
        let error = ask_family("udptrack-none", 1, DefaultNla::new(1, Vec::new())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    }

    #[test]
    fn values_of_nested_attributes() {
        // Two attributes: number 1 with a u16, padded to four bytes, number 2 without a value.
        let bytes = [6, 0, 1, 0, 0xab, 0xcd, 0, 0, 4, 0, 2, 0];
        assert_eq!(values(&bytes, 1), [vec![0xab, 0xcd]]);
        assert_eq!(values(&bytes, 2), [Vec::<u8>::new()]);
        assert!(values(&bytes[..3], 1).is_empty());
        assert!(values(&[255; 12], 1).is_empty());
    }
}
