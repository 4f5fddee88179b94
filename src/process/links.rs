//! Which network namespaces our links lead to, by netlink, which needs no rights for that.
//!
//! The kernel numbers the namespaces that ours has to do with; a link whose other end is elsewhere names the number.

use std::collections::HashSet;
use std::io;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;

/// Numbers of the namespaces that a link of ours leads to.
pub(super) fn namespaces() -> io::Result<HashSet<i32>> {
    let mut numbers = HashSet::new();
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    ask(request, NLM_F_DUMP, |answer| {
        if let RouteNetlinkMessage::NewLink(link) = answer {
            numbers.extend(link.attributes.iter().filter_map(|it| match it {
                LinkAttribute::LinkNetNsId(number) => Some(*number),
                _ => None,
            }));
        }
    })?;
    Ok(numbers)
}

/// The number of the namespace in which a process runs, if ours has one for it.
pub(super) fn namespace_id(pid: u32) -> io::Result<Option<i32>> {
    let mut number = None;
    let mut message = NsidMessage::default();
    message.attributes.push(NsidAttribute::Pid(pid));
    ask(RouteNetlinkMessage::GetNsId(message), 0, |answer| {
        if let RouteNetlinkMessage::NewNsId(answer) = answer {
            let mut found = answer.attributes.iter().filter_map(|it| match it {
                NsidAttribute::Id(number) if *number >= 0 => Some(*number),
                _ => None,
            });
            number = found.next();
        }
    })?;
    Ok(number)
}

/// Sends a request and gives each answer to `each`: all of a dump, else one.
fn ask(
    request: RouteNetlinkMessage,
    flags: u16,
    mut each: impl FnMut(RouteNetlinkMessage),
) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(request));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    loop {
        let (answers, _) = socket.recv_from_full()?;
        let mut rest = &answers[..];
        while !rest.is_empty() {
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(io::Error::other)?;
            let length = (answer.header.length as usize).next_multiple_of(4);
            match answer.payload {
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(message) => each(message),
                _ => {}
            }
            if flags & NLM_F_DUMP == 0 {
                return Ok(());
            }
            if length == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers() {
        namespaces().unwrap();
        namespace_id(std::process::id()).unwrap();
        let nobody = namespace_id(0x7fff_ffff).unwrap_err();
        assert_eq!(nobody.raw_os_error(), Some(nix::libc::ESRCH));
    }
}
