//! Which network namespaces our links lead to, by netlink, which needs no rights for that.
//!
//! The kernel numbers the namespaces that ours has to do with; a link whose other end is elsewhere names the number.

use std::collections::HashSet;
use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::netlink::{ask, dump};

/// Numbers of the namespaces that a link of ours leads to.
pub(super) fn namespaces() -> io::Result<HashSet<i32>> {
    let links = dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let attributes = links.into_iter().flat_map(|answer| match answer {
        RouteNetlinkMessage::NewLink(link) => link.attributes,
        _ => Vec::new(),
    });
    let numbers = attributes.filter_map(|attribute| match attribute {
        LinkAttribute::LinkNetNsId(number) => Some(number),
        _ => None,
    });
    Ok(numbers.collect())
}

/// The number of the namespace in which a process runs, if ours has one for it.
pub(super) fn namespace_id(pid: u32) -> io::Result<Option<i32>> {
    let mut message = NsidMessage::default();
    message.attributes.push(NsidAttribute::Pid(pid));
    let answer = ask(NETLINK_ROUTE, RouteNetlinkMessage::GetNsId(message))?;
    let RouteNetlinkMessage::NewNsId(answer) = answer else {
        return Ok(None);
    };
    Ok(answer.attributes.iter().find_map(|it| match it {
        NsidAttribute::Id(number) if *number >= 0 => Some(*number),
        _ => None,
    }))
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
