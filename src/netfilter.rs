//! What netfilter does to packets here, as far as it is asked for. Changes nothing: a part of the kernel that is not loaded is not
//! asked, as that would load it.

use std::fs;
use std::io;

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::netlink::values;

/// Bytes of `struct nlmsghdr` and of `struct nfgenmsg` behind it.
const HEADER: usize = 16;
const FAMILY: usize = 4;
/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN` and `..._NEWCHAIN` (`include/uapi/linux/netfilter/nf_tables.h`).
const GET_CHAIN: u16 = 10 << 8 | 4;
const NEW_CHAIN: u16 = 10 << 8 | 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Whether addresses are translated (NAT) in this network namespace: there is a chain with rules for it. `false` also where that may not
/// be asked, which takes `CAP_NET_ADMIN`.
#[must_use]
pub fn translates() -> bool {
    // Tables of iptables that are older than `nf_tables`: one comes into being in a namespace when it is first used there.
    let old = ["ip_tables_names", "ip6_tables_names"].iter().any(|name| {
        let names = fs::read_to_string(format!("/proc/self/net/{name}"));
        names.is_ok_and(|names| names.lines().any(|name| name == "nat"))
    });
    old || (is_loaded() && chains_translate().unwrap_or(false))
}

/// Whether `nf_tables` is there. A kernel without modules has it, or says that it has not.
fn is_loaded() -> bool {
    fs::read_to_string("/proc/modules").map_or(true, |modules| {
        modules.lines().any(|line| line.starts_with("nf_tables "))
    })
}

fn chains_translate() -> io::Result<bool> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    let length = u32::try_from(HEADER + FAMILY).map_err(io::Error::other)?;
    let mut request = length.to_ne_bytes().to_vec();
    request.extend([GET_CHAIN.to_ne_bytes(), DUMP.to_ne_bytes()].concat());
    // Sequence, port, and the family: any.
    request.resize(HEADER + FAMILY, 0);
    socket.send(&request, 0)?;
    let mut found = false;
    loop {
        let (answers, _) = socket.recv_from_full()?;
        let mut rest = &answers[..];
        while let Some((kind, message, next)) = first(rest) {
            match kind {
                NLMSG_DONE => return Ok(found),
                NLMSG_ERROR => return Err(io::ErrorKind::Other.into()),
                NEW_CHAIN => found |= translates_by(message.get(FAMILY..).unwrap_or_default()),
                _ => {}
            }
            rest = next;
        }
    }
}

/// Kind and content of the first message, and what stands behind it.
fn first(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let content = bytes.get(HEADER..length)?;
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, content, next))
}

/// Whether the attributes are those of a chain that translates, with a rule in it.
fn translates_by(attributes: &[u8]) -> bool {
    const USE: u16 = 6;
    const TYPE: u16 = 7;
    let is_nat = values(attributes, TYPE).iter().any(|it| it == b"nat\0");
    let uses = values(attributes, USE);
    is_nat && uses.iter().flatten().any(|byte| *byte != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An attribute with a value of four bytes.
    fn attribute(number: u8, value: [u8; 4]) -> Vec<u8> {
        [&[8, 0, number, 0], &value[..]].concat()
    }

    #[test]
    fn a_chain_translates_when_it_has_rules() {
        let nat = attribute(7, *b"nat\0");
        let chain = |of: &[u8], rules| [of, &attribute(6, [0, 0, 0, rules])].concat();
        assert!(translates_by(&chain(&nat, 1)));
        assert!(!translates_by(&chain(&nat, 0)));
        assert!(!translates_by(&chain(&[], 1)));
        assert!(!translates_by(&[255; 9]));
    }

    #[test]
    fn messages_that_are_cut_are_none() {
        let mut message = 20_u32.to_ne_bytes().to_vec();
        message.extend([3, 0, 2, 0]);
        message.resize(20, 7);
        let (kind, content, next) = first(&message).unwrap();
        assert_eq!((kind, content, next), (3, &[7; 4][..], &[][..]));
        assert_eq!(first(&message[..19]), None);
        assert_eq!(first(&[]), None);
    }
}
