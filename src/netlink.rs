//! The one who asks the kernel by netlink, which answers for the network namespace of this thread; none of this needs rights.
//!
//! It knows how messages are sent and cut apart, not what they say.

use std::io;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLA_TYPE_MASK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST,
    NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
    Nla as _, NlasIterator, Parseable as _, ParseableParametrized,
};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};

/// Asks for one thing and gives the answer.
pub(crate) fn ask<M>(protocol: isize, request: M) -> io::Result<M>
where
    M: NetlinkSerializable + NetlinkDeserializable,
{
    let socket = send(protocol, request, NLM_F_REQUEST)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<M>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::InnerMessage(message) => Ok(message),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Asks for all there is of a kind (`NETLINK_ROUTE`), and gives every answer.
pub(crate) fn dump<M>(request: M) -> io::Result<Vec<M>>
where
    M: NetlinkSerializable + NetlinkDeserializable + Clone,
{
    /// Where something came or went meanwhile, the kernel says so: a part may then be missing.
    const ATTEMPTS: usize = 10;
    for _ in 1..ATTEMPTS {
        if let (answers, false) = dump_once(request.clone())? {
            return Ok(answers);
        }
    }
    Ok(dump_once(request)?.0)
}

/// The answers, and whether the kernel was interrupted.
fn dump_once<M>(request: M) -> io::Result<(Vec<M>, bool)>
where
    M: NetlinkSerializable + NetlinkDeserializable,
{
    let socket = send(NETLINK_ROUTE, request, NLM_F_REQUEST | NLM_F_DUMP)?;
    let mut answers = Vec::new();
    let mut is_interrupted = false;
    loop {
        let (bytes, _) = socket.recv_from_full()?;
        for answer in messages::<M>(&bytes) {
            let answer = answer?;
            is_interrupted |= answer.header.flags & NLM_F_DUMP_INTR != 0;
            match answer.payload {
                NetlinkPayload::Done(_) => return Ok((answers, is_interrupted)),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(message) => answers.push(message),
                _ => {}
            }
        }
    }
}

fn send<M>(protocol: isize, request: M, flags: u16) -> io::Result<Socket>
where
    M: NetlinkSerializable + NetlinkDeserializable,
{
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    Ok(socket)
}

/// The messages in what the kernel sent at once.
fn messages<M: NetlinkDeserializable>(
    bytes: &[u8],
) -> impl Iterator<Item = io::Result<NetlinkMessage<M>>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = NetlinkMessage::<M>::deserialize(rest).map_err(io::Error::other);
        let length = message
            .as_ref()
            .map_or(0, |message| message.header.length as usize);
        // Of one that makes no sense it is not known where the next begins.
        rest = match length {
            0 => &[],
            _ => rest.get(length.next_multiple_of(4)..).unwrap_or_default(),
        };
        Some(message)
    })
}

/// A message of `NETLINK_ROUTE` as it is: what its number means stands in `rtnetlink.h`. For what must be understood also where a kernel
/// says more than the library knows.
#[derive(Clone, Debug)]
pub(crate) struct Route<const HEADER: usize> {
    /// `RTM_*`.
    pub number: u16,
    /// The struct that the message begins with.
    pub header: [u8; HEADER],
    /// What follows it.
    pub attributes: Vec<DefaultNla>,
}

impl<const HEADER: usize> Route<HEADER> {
    /// Asks for all of a kind.
    pub fn request(number: u16) -> Self {
        Self {
            number,
            header: [0; HEADER],
            attributes: Vec::new(),
        }
    }

    /// The value of an attribute.
    pub fn value(&self, wanted: u16) -> Option<Vec<u8>> {
        let mut all = self.attributes.iter();
        all.find(|attribute| number(attribute) == wanted).map(value)
    }

    /// Four bytes of the header, in the machine's order.
    pub fn word(&self, offset: usize) -> u32 {
        let bytes = self.header.get(offset..offset + 4);
        bytes
            .and_then(|bytes| bytes.first_chunk())
            .map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }
}

impl<const HEADER: usize> NetlinkSerializable for Route<HEADER> {
    fn message_type(&self) -> u16 {
        self.number
    }

    fn buffer_len(&self) -> usize {
        HEADER + self.attributes.as_slice().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer[..HEADER].copy_from_slice(&self.header);
        self.attributes.as_slice().emit(&mut buffer[HEADER..]);
    }
}

impl<const HEADER: usize> NetlinkDeserializable for Route<HEADER> {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        let (begin, rest) = payload
            .split_first_chunk()
            .ok_or_else(|| DecodeError::from("a message that is too short"))?;
        Ok(Self {
            number: header.message_type,
            header: *begin,
            attributes: attributes(rest)?,
        })
    }
}

/// Messages of a group, as they come.
pub(crate) struct Subscription {
    socket: Socket,
}

impl Subscription {
    /// From now on. `group` is a number of `RTNLGRP_*`.
    pub fn to(group: u32) -> io::Result<Self> {
        /// Room for a burst: some thousand messages.
        const ROOM: usize = 4 << 20;
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        // A kernel that gives less loses more, which it says.
        let _ =
            socket.set_rx_buf_sz(nix::libc::c_int::try_from(ROOM).unwrap_or(nix::libc::c_int::MAX));
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.add_membership(group)?;
        Ok(Self { socket })
    }

    /// Waits for the next ones. ENOBUFS says that some were lost, `Other` that some made no sense.
    pub fn wait<M: NetlinkDeserializable>(&self) -> io::Result<Vec<M>> {
        let (bytes, sender) = self.socket.recv_from_full()?;
        if sender.port_number() != 0 {
            return Ok(Vec::new()); // not the kernel
        }
        messages::<M>(&bytes)
            .filter_map(|message| match message.map(|message| message.payload) {
                Ok(NetlinkPayload::InnerMessage(message)) => Some(Ok(message)),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            })
            .collect()
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
