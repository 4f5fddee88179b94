//! What an answer of the DNS says of addresses: which of them were asked for by which name. Rules for hostile input; [`crate::dns`]
//! reads the messages. No I/O.

use std::net::IpAddr;

use crate::dns::{Data, Message, Question, Record, query};

/// Record types and the class of the Internet, by their numbers (RFC 1035 3.2, RFC 3596 2.1).
const A: u16 = 1;
const CNAME: u16 = 5;
const PTR: u16 = 12;
const AAAA: u16 = 28;
const ANY: u16 = 255;
const INTERNET: u16 = 1;
/// Names that lead from the question to an address, itself included. Resolvers follow 8 to 16.
const ALIASES_MAX: usize = 16;
/// Characters of a host name (RFC 1035 2.3.4, without the root's dot).
const NAME_CHARACTERS_MAX: usize = 253;

/// The one question of a message, and the id that joins it to its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub id: u16,
    /// In small letters: servers may write it back as they like.
    name: Box<str>,
    kind: u16,
    class: u16,
}

/// What an answer says: these addresses were asked for by this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub asked: Asked,
    /// The question's name: small letters, digits, hyphens, underscores and dots.
    pub name: Box<str>,
    pub addresses: Vec<IpAddr>,
}

/// Why a message names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It contradicts itself.
    Malformed,
    /// It is sound, and no answer with addresses.
    Unfit,
    /// The name is no host name.
    Name,
}

/// What a message asks, or what its answer is to; none where that is not one question.
pub(super) fn asked(message: &Message) -> Option<Asked> {
    let [question] = &message.questions[..] else {
        return None;
    };
    Some(Asked {
        id: message.id,
        name: question.name.to_ascii_lowercase().into(),
        kind: question.kind,
        class: question.class,
    })
}

/// The names of an answer to a question for addresses.
pub(super) fn read_answer(message: &Message) -> Result<Answer, Refusal> {
    if !message.is_whole {
        return Err(Refusal::Malformed);
    }
    let question = answered(message).ok_or(Refusal::Unfit)?;
    let asked = asked(message).ok_or(Refusal::Unfit)?;
    let wanted = |address: &IpAddr| match question.kind {
        A => address.is_ipv4(),
        AAAA => address.is_ipv6(),
        ANY => true,
        _ => false,
    };
    let aliases = aliases(&question.name, &message.answers);
    let mut addresses: Vec<IpAddr> = Vec::new();
    for record in &message.answers {
        if let Some(Data::Address(address)) = record.data
            && record.class == INTERNET
            && wanted(&address)
            && is_one_host(address)
            && is_among(&aliases, &record.name)
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(Refusal::Unfit);
    }
    let name = host_name(&question.name).ok_or(Refusal::Name)?;
    Ok(Answer {
        asked,
        name,
        addresses,
    })
}

/// A query for the name of an address (RFC 1035 3.5, RFC 3596 2.5); `None` for what no host has.
pub(super) fn reverse_query(address: IpAddr, id: u16) -> Option<Vec<u8>> {
    let address = address.to_canonical();
    is_one_host(address)
        .then(|| query(id, &reverse_name(address), PTR))
        .flatten()
}

/// The name that a message gives in answer to [`reverse_query`], or none if it says that there is none. An error when it is
/// not the answer to that.
pub(super) fn read_reverse(
    message: &Message,
    address: IpAddr,
    id: u16,
) -> Result<Option<Box<str>>, Refusal> {
    if !message.is_whole {
        return Err(Refusal::Malformed);
    }
    let expected = Asked {
        id,
        name: reverse_name(address.to_canonical()).into(),
        kind: PTR,
        class: INTERNET,
    };
    if !message.is_answer() || asked(message) != Some(expected) {
        return Err(Refusal::Unfit);
    }
    let Some(question) = answered(message) else {
        return Ok(None);
    };
    // Delegation of less than an octet goes through aliases (RFC 2317).
    let aliases = aliases(&question.name, &message.answers);
    Ok(message.answers.iter().find_map(|record| {
        let target = target(record, PTR)?;
        host_name(target).filter(|_| is_among(&aliases, &record.name))
    }))
}

/// The question of a whole, successful answer to one.
fn answered(message: &Message) -> Option<&Question> {
    let [question] = &message.questions[..] else {
        return None;
    };
    (message.is_answer()
        && !message.is_truncated()
        && message.opcode() == 0
        && message.rcode() == 0
        && question.class == INTERNET)
        .then_some(question)
}

/// The name that was asked for and what it is an alias of (CNAME), in whatever order the records stand.
fn aliases<'a>(asked: &'a str, records: &'a [Record]) -> Vec<&'a str> {
    let mut names = vec![asked];
    let mut at = 0;
    while let Some(name) = names.get(at).copied() {
        at += 1;
        for record in records {
            if let Some(target) = target(record, CNAME)
                && record.name.eq_ignore_ascii_case(name)
                && names.len() < ALIASES_MAX
                && !is_among(&names, target)
            {
                names.push(target);
            }
        }
    }
    names
}

/// The name that a record of this type has.
fn target(record: &Record, kind: u16) -> Option<&str> {
    match &record.data {
        Some(Data::Name(name)) if record.kind == kind && record.class == INTERNET => Some(name),
        _ => None,
    }
}

/// Whether a name is one of these; capital letters are small ones.
fn is_among(names: &[&str], name: &str) -> bool {
    names.iter().any(|one| one.eq_ignore_ascii_case(name))
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

/// A name in small letters, if it could be that of a host, and could not be taken for an IPv4 address.
fn host_name(name: &str) -> Option<Box<str>> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(fits);
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let is_host = name.len() <= NAME_CHARACTERS_MAX
        && name.split('.').all(is_label)
        && !name.rsplit('.').next().is_some_and(is_number);
    is_host.then(|| name.to_ascii_lowercase().into())
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
#[path = "answer_tests.rs"]
pub(super) mod tests;
