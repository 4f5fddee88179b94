//! DNS messages, read with a DNS library: hostile input, of which only what is asked for is looked at. The one file that
//! knows that library. No I/O.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::RData;
use simple_dns::{
    CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE,
};

const HEADER_BYTES: usize = 12;
/// A root name, type, class, lifetime and length: no record is shorter.
const RECORD_BYTES_MIN: usize = 11;
/// Names that lead from the question to an address, itself included. Resolvers follow 8 to 16.
const ALIASES_MAX: usize = 16;
/// Addresses that one answer may name.
const ADDRESSES_MAX: usize = 64;
/// Characters of a host name (RFC 1035 2.3.4, without the root's dot).
const NAME_CHARACTERS_MAX: usize = 253;

/// The one question of a message, and the id that joins it to its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub id: u16,
    name: Name<'static>,
    kind: QTYPE,
}

/// What an answer says: these addresses were asked for by this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub asked: Asked,
    /// The question's name: lower-case, letters, digits, hyphens, underscores and dots.
    pub name: Box<str>,
    pub addresses: Vec<IpAddr>,
}

/// Why a message names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It contradicts itself, or is no DNS.
    Malformed,
    /// It is sound, and no answer with addresses.
    Unfit,
    /// The name is no host name.
    Name,
}

/// Whether this is a query, by its header; what it is else is for [`read_answer`] to say.
pub(super) fn is_query(message: &[u8]) -> bool {
    message.get(2).is_some_and(|flags| flags & 0x80 == 0)
}

/// The id of a message, by its header.
pub(super) fn id(message: &[u8]) -> Option<u16> {
    message.first_chunk().copied().map(u16::from_be_bytes)
}

/// What a query asks.
pub(super) fn read_query(message: &[u8]) -> Result<Asked, Refusal> {
    let message = without_rest(message)?;
    let packet = Packet::parse(&message).map_err(|_| Refusal::Malformed)?;
    asked(&packet).ok_or(Refusal::Unfit)
}

/// The names of an answer to a question for addresses.
pub(super) fn read_answer(message: &[u8]) -> Result<Answer, Refusal> {
    let message = without_rest(message)?;
    let packet = Packet::parse(&message).map_err(|_| Refusal::Malformed)?;
    let question = answered(&packet).ok_or(Refusal::Unfit)?;
    let asked = asked(&packet).ok_or(Refusal::Unfit)?;
    let wanted = |address: &IpAddr| match question.qtype {
        QTYPE::TYPE(TYPE::A) => address.is_ipv4(),
        QTYPE::TYPE(TYPE::AAAA) => address.is_ipv6(),
        QTYPE::ANY => true,
        _ => false,
    };
    let aliases = aliases(&question.qname, &packet.answers);
    let mut addresses: Vec<IpAddr> = Vec::new();
    for record in &packet.answers {
        if let Some(address) = address(record)
            && wanted(&address)
            && is_one_host(address)
            && aliases.contains(&&record.name)
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(Refusal::Unfit);
    }
    addresses.truncate(ADDRESSES_MAX);
    let name = host_name(&question.qname).ok_or(Refusal::Name)?;
    Ok(Answer {
        asked,
        name,
        addresses,
    })
}

/// A query for the name of an address (RFC 1035 3.5, RFC 3596 2.5), with a random id; `None` for what no host has.
pub(super) fn reverse_query(address: IpAddr, id: u16) -> Option<Vec<u8>> {
    let address = address.to_canonical();
    if !is_one_host(address) {
        return None;
    }
    let name = reverse_name(address);
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(
        Name::new(&name).ok()?,
        QTYPE::TYPE(TYPE::PTR),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    packet.build_bytes_vec().ok()
}

/// The name that a message gives in answer to [`reverse_query`], or none if it says that there is none. An error when it is
/// not the answer to that.
pub(super) fn read_reverse(
    message: &[u8],
    address: IpAddr,
    id: u16,
) -> Result<Option<Box<str>>, Refusal> {
    let message = without_rest(message)?;
    let packet = Packet::parse(&message).map_err(|_| Refusal::Malformed)?;
    let name = reverse_name(address.to_canonical());
    let asked = Name::new(&name).map_err(|_| Refusal::Unfit)?;
    let [question] = &packet.questions[..] else {
        return Err(Refusal::Unfit);
    };
    if packet.id() != id
        || !packet.has_flags(PacketFlag::RESPONSE)
        || question.qname != asked
        || question.qtype != QTYPE::TYPE(TYPE::PTR)
        || question.qclass != QCLASS::CLASS(CLASS::IN)
    {
        return Err(Refusal::Unfit);
    }
    if answered(&packet).is_none() {
        return Ok(None);
    }
    // Delegation of less than an octet goes through aliases (RFC 2317).
    let aliases = aliases(&asked, &packet.answers);
    Ok(packet.answers.iter().find_map(|record| {
        let target = match &record.rdata {
            RData::PTR(target) if record.class == CLASS::IN => target,
            _ => return None,
        };
        host_name(target).filter(|_| aliases.contains(&&record.name))
    }))
}

/// The message with question and answers alone: what follows is of no use here, and need not be read. Refuses counts
/// that cannot be, before anybody makes room for them.
fn without_rest(message: &[u8]) -> Result<Vec<u8>, Refusal> {
    let count = |at: usize| {
        let bytes = message.get(at..at + 2)?;
        Some(usize::from(u16::from_be_bytes(bytes.try_into().ok()?)))
    };
    let (questions, answers) = count(4).zip(count(6)).ok_or(Refusal::Malformed)?;
    if message.len() < HEADER_BYTES || answers > message.len() / RECORD_BYTES_MIN {
        return Err(Refusal::Malformed);
    }
    if questions != 1 {
        return Err(Refusal::Unfit);
    }
    let mut message = message.to_vec();
    message[8..HEADER_BYTES].fill(0);
    Ok(message)
}

fn asked(packet: &Packet<'_>) -> Option<Asked> {
    let [question] = &packet.questions[..] else {
        return None;
    };
    Some(Asked {
        id: packet.id(),
        name: question.qname.clone().into_owned(),
        kind: question.qtype,
    })
}

/// The question of a whole, successful answer to one.
fn answered<'p, 'm>(packet: &'p Packet<'m>) -> Option<&'p Question<'m>> {
    let [question] = &packet.questions[..] else {
        return None;
    };
    (packet.has_flags(PacketFlag::RESPONSE)
        && !packet.has_flags(PacketFlag::TRUNCATION)
        && packet.opcode() == OPCODE::StandardQuery
        && packet.rcode() == RCODE::NoError
        && question.qclass == QCLASS::CLASS(CLASS::IN))
    .then_some(question)
}

/// The name that was asked for and what it is an alias of (CNAME), in whatever order the records stand.
fn aliases<'a, 'm>(asked: &'a Name<'m>, records: &'a [ResourceRecord<'m>]) -> Vec<&'a Name<'m>> {
    let mut names = vec![asked];
    let mut at = 0;
    while let Some(name) = names.get(at).copied() {
        at += 1;
        for record in records {
            if let RData::CNAME(target) = &record.rdata
                && record.class == CLASS::IN
                && record.name == *name
                && names.len() < ALIASES_MAX
                && !names.contains(&&target.0)
            {
                names.push(&target.0);
            }
        }
    }
    names
}

fn address(record: &ResourceRecord<'_>) -> Option<IpAddr> {
    match &record.rdata {
        _ if record.class != CLASS::IN => None,
        RData::A(a) => Some(Ipv4Addr::from(a.address).into()),
        RData::AAAA(aaaa) => Some(Ipv6Addr::from(aaaa.address).into()),
        _ => None,
    }
}

/// Whether an address may be that of one host on the network. Block lists answer with 0.0.0.0 or 127.0.0.1, and nobody
/// wants to see those under the name of what was blocked.
fn is_one_host(address: IpAddr) -> bool {
    let reserved = match address {
        IpAddr::V4(v4) => v4.is_broadcast(),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
    };
    !(reserved || address.is_unspecified() || address.is_loopback() || address.is_multicast())
}

/// A name in lower case, if it could be that of a host, and could not be taken for an IPv4 address.
fn host_name(name: &Name<'_>) -> Option<Box<str>> {
    let mut text = String::new();
    let mut last_is_number = true;
    for label in name.as_bytes() {
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if label.is_empty() || !label.iter().all(fits) {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.extend(
            label
                .iter()
                .map(|byte| char::from(byte.to_ascii_lowercase())),
        );
        last_is_number = label.iter().all(u8::is_ascii_digit);
    }
    (!last_is_number && text.len() <= NAME_CHARACTERS_MAX).then(|| text.into_boxed_str())
}

fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let mut name = String::new();
            for octet in v6.octets().iter().rev() {
                for digit in [octet & 15, octet >> 4] {
                    name.extend(char::from_digit(digit.into(), 16));
                    name.push('.');
                }
            }
            name + "ip6.arpa"
        }
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
pub(super) mod tests;
