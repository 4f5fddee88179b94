//! A DNS message: its questions and answers. It is hostile input, read with the DNS library; only this file uses that library. No I/O.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, ResourceRecord, TYPE};

const HEADER_BYTES: usize = 12;
/// A root name, type, class, lifetime and length: no record is shorter.
const RECORD_BYTES_MIN: usize = 11;
/// Questions and answers that are read of one message. A query has one question; those of mDNS may have more.
const QUESTIONS_MAX: usize = 16;
const ANSWERS_MAX: usize = 64;
/// What the library knows as a type and a class of any question: A, IN.
const KNOWN: [u8; 4] = [0, 1, 0, 1];
/// The bit of a class that mDNS has for itself (RFC 6762 5.4).
const UNICAST: u16 = 0x8000;
/// Bits of the second word of the header (RFC 1035 4.1.1).
const ANSWER: u16 = 0x8000;
const TRUNCATED: u16 = 0x0200;
const RESERVED: u16 = 0x0040;

/// A message, as it was in its datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Joins a query and its answer.
    pub id: u16,
    /// The second word of its header, in host order.
    pub flags: u16,
    /// What is asked; in an answer, what was.
    pub questions: Vec<Question>,
    /// What is answered; nothing where that cannot be read.
    pub answers: Vec<Record>,
    /// Whether what is answered could be read.
    pub is_whole: bool,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name as it was written, with what is no letter, digit or sign escaped as in zone files. Hostile input for a terminal.
    pub name: Box<str>,
    /// The number of the record type.
    pub kind: u16,
    /// The number of the class; 1 is that of the Internet.
    pub class: u16,
}

/// A record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub name: Box<str>,
    /// The number of its type.
    pub kind: u16,
    /// The number of its class.
    pub class: u16,
    /// How long it may be kept, in seconds.
    pub ttl: u32,
    /// What it says, where that can be told.
    pub data: Option<Data>,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// An address: A, AAAA.
    Address(IpAddr),
    /// A name, in the form of [`Question::name`]: CNAME, PTR, NS, MX. Hostile input for a terminal.
    Name(Box<str>),
    /// A text. Hostile input for a terminal.
    Text(Box<str>),
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(text) | Self::Text(text) => f.write_str(text),
        }
    }
}

/// A plain query for the records of a name of the Internet, to a server that is to find them (RFC 1035 4.1). None where the library does
/// not know the type, or takes the name for none.
#[must_use]
pub fn query(id: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(simple_dns::Question::new(
        Name::new(name).ok()?,
        QTYPE::TYPE(TYPE::from(kind)),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    packet.build_bytes_vec().ok()
}

impl Message {
    /// Reads one. None where it contradicts itself, or is no DNS.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let (id, flags) = (word(0)?, word(2)?);
        let questions = usize::from(word(4)?);
        let answers = usize::from(word(6)?);
        if bytes.len() < HEADER_BYTES
            || questions > QUESTIONS_MAX
            || answers > bytes.len() / RECORD_BYTES_MIN
        {
            return None;
        }
        // Only questions and answers are read, and no bit is a reason to read nothing.
        let mut message = bytes.to_vec();
        message[2..4].copy_from_slice(&(flags & !RESERVED).to_be_bytes());
        message[8..HEADER_BYTES].fill(0);
        // The library reads no question of a type or a class that it does not know.
        let about = (questions == 1).then(|| about_question(&message)).flatten();
        if let Some((at, ..)) = about {
            message[at..at + KNOWN.len()].copy_from_slice(&KNOWN);
        }
        let mut read = Self {
            id,
            flags,
            questions: Vec::new(),
            answers: Vec::new(),
            is_whole: true,
        };
        match Packet::parse(&message) {
            Ok(packet) => read.take(&packet),
            // What was asked can be told even so.
            Err(_) if answers > 0 => {
                message[6..8].fill(0);
                read.take(&Packet::parse(&message).ok()?);
                read.is_whole = false;
            }
            Err(_) => return None,
        }
        if let (Some((_, kind, class)), [question]) = (about, &mut read.questions[..]) {
            (question.kind, question.class) = (kind, class);
        }
        Some(read)
    }

    fn take(&mut self, packet: &Packet<'_>) {
        let questions = packet.questions.iter().map(|question| Question {
            name: name_text(&question.qname),
            kind: question.qtype.into(),
            class: question.qclass.into(),
        });
        self.questions = questions.collect();
        self.answers = packet
            .answers
            .iter()
            .take(ANSWERS_MAX)
            .map(record)
            .collect();
    }

    /// How much memory it takes, in bytes: a few short ones may come to much, as they repeat names by pointing to them.
    #[must_use]
    pub fn memory(&self) -> usize {
        let text = |data: &Option<Data>| match data {
            Some(Data::Name(text) | Data::Text(text)) => text.len(),
            Some(Data::Address(_)) | None => 0,
        };
        let questions = self.questions.iter();
        let questions = questions.map(|one| size_of::<Question>() + one.name.len());
        let answers = self.answers.iter();
        let answers = answers.map(|one| size_of::<Record>() + one.name.len() + text(&one.data));
        size_of::<Self>() + questions.chain(answers).sum::<usize>()
    }

    /// Whether it is an answer, not a query.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        self.flags & ANSWER != 0
    }

    /// Whether it was cut, so that it has to be asked for again over TCP.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.flags & TRUNCATED != 0
    }

    /// Which operation; 0 is a plain query.
    #[must_use]
    pub fn opcode(&self) -> u8 {
        self.flags.to_be_bytes()[0] >> 3 & 0xf
    }

    /// What an answer says of itself; see [`super::rcode_name`].
    #[must_use]
    pub fn rcode(&self) -> u8 {
        self.flags.to_be_bytes()[1] & 0xf
    }
}

/// Where the type and the class of the only question stand, and both. None where its name is none, or points elsewhere.
fn about_question(message: &[u8]) -> Option<(usize, u16, u16)> {
    let mut at = HEADER_BYTES;
    loop {
        let length = *message.get(at)?;
        at += 1 + usize::from(length);
        match length {
            0 => break,
            1..64 => {}
            _ => return None,
        }
    }
    let [k, i, c, l] = *message.get(at..)?.first_chunk()?;
    let class = u16::from_be_bytes([c, l]) & !UNICAST;
    Some((at, u16::from_be_bytes([k, i]), class))
}

fn record(record: &ResourceRecord<'_>) -> Record {
    let name = |name: &Name<'_>| Some(Data::Name(name_text(name)));
    let data = match &record.rdata {
        RData::A(a) => Some(Data::Address(Ipv4Addr::from(a.address).into())),
        RData::AAAA(aaaa) => Some(Data::Address(Ipv6Addr::from(aaaa.address).into())),
        RData::CNAME(target) => name(&target.0),
        RData::NS(target) => name(&target.0),
        RData::PTR(target) => name(&target.0),
        RData::MX(mx) => name(&mx.exchange),
        RData::TXT(text) => {
            let text = String::try_from(text.clone()).ok();
            text.map(|text| Data::Text(text.into()))
        }
        _ => None,
    };
    Record {
        name: name_text(&record.name),
        kind: record.rdata.type_code().into(),
        class: record.class.into(),
        ttl: record.ttl,
        data,
    }
}

/// A name as zone files have it (RFC 1035 5.1): dots and backslashes inside a label stand behind a backslash, and so do, in three
/// digits, all bytes that are no text. The root is a dot.
fn name_text(name: &Name<'_>) -> Box<str> {
    let mut text = String::new();
    for label in name.as_bytes() {
        if !text.is_empty() {
            text.push('.');
        }
        for chunk in label.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '.' | '\\' => text.extend(['\\', character]),
                    ' ' => text.push_str("\\032"),
                    character if character.is_control() => {
                        let mut bytes = [0; 4];
                        for byte in character.encode_utf8(&mut bytes).bytes() {
                            let _ = write!(text, "\\{byte:03}");
                        }
                    }
                    character => text.push(character),
                }
            }
            for byte in chunk.invalid() {
                let _ = write!(text, "\\{byte:03}");
            }
        }
    }
    if text.is_empty() {
        text.push('.');
    }
    text.into()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A message of one question, and of that many bytes of answers as they are.
    pub fn message(id: u16, flags: u16, name: &str, kind: u16, answers: &[&[u8]]) -> Vec<u8> {
        let count = u16::try_from(answers.len()).unwrap();
        let mut bytes = Vec::new();
        for word in [id, flags, 1, count, 0, 0] {
            bytes.extend(word.to_be_bytes());
        }
        for label in name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(label.bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes.extend(answers.concat());
        bytes
    }

    /// An address of the name that was asked for.
    pub const ADDRESS: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];

    #[test]
    fn a_query_and_its_answer() {
        let query = Message::read(&message(7, 0x0100, "WWW.example.org", 28, &[])).unwrap();
        assert_eq!((query.id, query.is_answer(), query.opcode()), (7, false, 0));
        assert_eq!(&*query.questions[0].name, "WWW.example.org");
        assert_eq!(query.questions[0].kind, 28);
        let answer = Message::read(&message(7, 0x8183, "a.test", 1, &[ADDRESS])).unwrap();
        assert_eq!((answer.is_answer(), answer.rcode()), (true, 3));
        let record = Record {
            name: "a.test".into(),
            kind: 1,
            class: 1,
            ttl: 60,
            data: Some(Data::Address([192, 0, 2, 1].into())),
        };
        assert_eq!(answer.answers, [record]);
        assert!(answer.is_whole && !answer.is_truncated());
    }

    /// Whatever the type, the class and the bits: what is asked can be told.
    #[test]
    fn what_the_library_does_not_know() {
        for kind in [99, 256, 65_280, 0] {
            let mut bytes = message(7, 0x0170, "a.test", kind, &[]);
            let last = bytes.len() - 1;
            bytes[last] = 77;
            let read = Message::read(&bytes).unwrap();
            let question = Question {
                name: "a.test".into(),
                kind,
                class: 77,
            };
            assert_eq!(read.questions, [question]);
            assert_eq!(read.flags, 0x0170);
        }
        // Answers that make no sense leave the question.
        let read = Message::read(&message(7, 0x8180, "a.test", 1, &[&ADDRESS[..12]])).unwrap();
        assert_eq!((read.questions.len(), read.answers.len()), (1, 0));
        assert!(!read.is_whole);
        let root = Message::read(&message(7, 0x0100, "", 2, &[])).unwrap();
        assert_eq!(&*root.questions[0].name, ".");
    }

    #[test]
    fn hostile_names_are_text() {
        let read = |name: &str| {
            let read = Message::read(&message(1, 0, name, 1, &[])).unwrap();
            read.questions[0].name.to_string()
        };
        assert_eq!(read("a b\\\u{1b}.x"), "a\\032b\\\\\\027.x");
        assert_eq!(read("k\u{fc}che"), "k\u{fc}che");
        let mut bytes = message(1, 0, "abc", 1, &[]);
        bytes[13..16].copy_from_slice(&[0xff, b'.', 0]);
        assert_eq!(
            &*Message::read(&bytes).unwrap().questions[0].name,
            "\\255\\.\\000"
        );
    }

    /// At every byte.
    #[test]
    fn cut_messages_are_none_or_less() {
        let whole = message(7, 0x8180, "a.test", 1, &[ADDRESS]);
        for length in 0..whole.len() {
            if let Some(read) = Message::read(&whole[..length]) {
                assert_eq!(
                    (read.questions.len(), read.answers.len()),
                    (1, 0),
                    "{length}"
                );
            }
        }
        let mut many = whole.clone();
        many[4..6].fill(0xff);
        assert_eq!(Message::read(&many), None);
        many[4..6].copy_from_slice(&[0, 1]);
        many[6..8].fill(0xff);
        assert_eq!(Message::read(&many), None);
    }

    /// Whatever is changed, nothing panics, and no control character comes out.
    #[test]
    fn changed_messages() {
        let whole = message(7, 0x8180, "printer.example", 1, &[ADDRESS, ADDRESS]);
        let mut state = 7_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from(state >> 40).unwrap()
        };
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..=random() % 4 {
                let at = random() % bytes.len();
                bytes[at] = random().to_le_bytes()[0];
            }
            bytes.truncate(1 + random() % bytes.len());
            let Some(read) = Message::read(&bytes) else {
                continue;
            };
            assert!(read.questions.len() <= QUESTIONS_MAX && read.answers.len() <= ANSWERS_MAX);
            let names = read.questions.iter().map(|question| &question.name);
            for name in names.chain(read.answers.iter().map(|record| &record.name)) {
                assert!(
                    !name.is_empty() && !name.chars().any(char::is_control),
                    "{name:?}"
                );
            }
        }
    }
}
