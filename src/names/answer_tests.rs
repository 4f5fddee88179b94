//! DNS messages, sound and hostile.

use simple_dns::rdata::{A, AAAA, CNAME, PTR, RData};
use simple_dns::{CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, RCODE, TYPE};
use simple_dns::{Question, ResourceRecord};

use super::{ALIASES_MAX, Answer, Asked, Refusal, reverse_name, reverse_query};
use crate::dns::Message;
use std::net::IpAddr;

/// What a record says.
#[derive(Clone, Debug)]
pub enum Data {
    Address(IpAddr),
    Alias(String),
    Pointer(String),
}

pub type Record = (String, Data);

/// As many as are read of one message.
const ADDRESSES: usize = 64;

fn message(bytes: &[u8]) -> Result<Message, Refusal> {
    Message::read(bytes).ok_or(Refusal::Malformed)
}

fn read_answer(bytes: &[u8]) -> Result<Answer, Refusal> {
    super::read_answer(&message(bytes)?)
}

fn read_query(bytes: &[u8]) -> Result<Asked, Refusal> {
    super::asked(&message(bytes)?).ok_or(Refusal::Unfit)
}

fn read_reverse(bytes: &[u8], address: IpAddr, id: u16) -> Result<Option<Box<str>>, Refusal> {
    super::read_reverse(&message(bytes)?, address, id)
}

pub fn ip(text: &str) -> Data {
    Data::Address(text.parse().unwrap())
}

pub fn cname(owner: &str, target: &str) -> Record {
    (owner.to_owned(), Data::Alias(target.to_owned()))
}

fn record((owner, data): &Record) -> ResourceRecord<'_> {
    let data = match data {
        Data::Address(IpAddr::V4(v4)) => RData::A(A {
            address: (*v4).into(),
        }),
        Data::Address(IpAddr::V6(v6)) => RData::AAAA(AAAA {
            address: (*v6).into(),
        }),
        Data::Alias(target) => RData::CNAME(CNAME(Name::new_unchecked(target))),
        Data::Pointer(target) => RData::PTR(PTR(Name::new_unchecked(target))),
    };
    ResourceRecord::new(Name::new_unchecked(owner), CLASS::IN, 60, data)
}

fn packet<'a>(id: u16, name: &'a str, kind: &str, records: &'a [Record]) -> Packet<'a> {
    let kind = match kind {
        "A" => QTYPE::TYPE(TYPE::A),
        "AAAA" => QTYPE::TYPE(TYPE::AAAA),
        "TXT" => QTYPE::TYPE(TYPE::TXT),
        "PTR" => QTYPE::TYPE(TYPE::PTR),
        "ANY" => QTYPE::ANY,
        _ => panic!("{kind}"),
    };
    let mut packet = Packet::new_reply(id);
    packet.questions.push(Question::new(
        Name::new_unchecked(name),
        kind,
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    packet.answers.extend(records.iter().map(record));
    packet
}

/// An answer to a question.
pub fn answer(name: &str, kind: &str, records: &[Record]) -> Vec<u8> {
    packet(1, name, kind, records)
        .build_bytes_vec_compressed()
        .unwrap()
}

/// A question, with the id of [`answer`].
pub fn query(name: &str, kind: &str) -> Vec<u8> {
    let mut packet = packet(1, name, kind, &[]);
    packet.remove_flags(PacketFlag::RESPONSE);
    packet.build_bytes_vec().unwrap()
}

/// The answer to a reverse query.
pub fn reverse_answer(query: &[u8], name: Option<&str>) -> Vec<u8> {
    let query = Packet::parse(query).unwrap();
    let asked = query.questions[0].qname.to_string();
    let records: Vec<_> = name
        .map(|name| (asked.clone(), Data::Pointer(name.to_owned())))
        .into_iter()
        .collect();
    let mut packet = packet(query.id(), &asked, "PTR", &records);
    if name.is_none() {
        *packet.rcode_mut() = RCODE::NameError;
    }
    packet.build_bytes_vec().unwrap()
}

fn a(owner: &str, address: &str) -> Record {
    (owner.to_owned(), ip(address))
}

fn read(name: &str, kind: &str, records: &[Record]) -> Result<(String, Vec<String>), Refusal> {
    let answer = read_answer(&answer(name, kind, records))?;
    let addresses = answer.addresses.iter().map(ToString::to_string).collect();
    Ok((answer.name.into(), addresses))
}

#[expect(clippy::unnecessary_wraps, reason = "it is what is compared with")]
fn named(name: &str, addresses: &[&str]) -> Result<(String, Vec<String>), Refusal> {
    let addresses = addresses.iter().map(|text| (*text).to_owned()).collect();
    Ok((name.to_owned(), addresses))
}

#[test]
fn both_families() {
    assert_eq!(
        read(
            "a.test",
            "A",
            &[a("a.test", "192.0.2.1"), a("A.Test", "192.0.2.2")]
        ),
        named("a.test", &["192.0.2.1", "192.0.2.2"])
    );
    assert_eq!(
        read("a.test", "AAAA", &[a("a.test", "2001:db8::1")]),
        named("a.test", &["2001:db8::1"])
    );
}

#[test]
fn questions() {
    let question = |name: &str, kind: &str| read_query(&query(name, kind)).unwrap();
    let asked = question("a.test", "A");
    assert_eq!(asked.id, 1);
    assert_eq!(asked, question("A.TEST", "A"));
    assert_ne!(asked, question("a.test", "AAAA"));
    assert_ne!(asked, question("b.test", "A"));
    let answer = answer("a.test", "A", &[a("a.test", "192.0.2.1")]);
    assert_eq!(read_answer(&answer).unwrap().asked, asked);
    let message = query("a.test", "A");
    for cut in 0..message.len() {
        assert!(read_query(&message[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn aliases_are_followed_in_any_order() {
    let records = [
        a("c.test", "192.0.2.3"),
        cname("b.test", "c.test"),
        cname("A.test", "B.test"),
    ];
    assert_eq!(
        read("a.test", "A", &records),
        named("a.test", &["192.0.2.3"])
    );
}

#[test]
fn aliases_in_a_circle_and_long_chains_end() {
    let circle = [cname("a.test", "b.test"), cname("b.test", "a.test")];
    assert_eq!(read("a.test", "A", &circle), Err(Refusal::Unfit));
    let chain = |aliases: usize| {
        let mut records: Vec<_> = (0..aliases)
            .map(|n| cname(&format!("n{n}.test"), &format!("n{}.test", n + 1)))
            .collect();
        records.push(a(&format!("n{aliases}.test"), "192.0.2.1"));
        read("n0.test", "A", &records)
    };
    assert_eq!(chain(ALIASES_MAX - 1), named("n0.test", &["192.0.2.1"]));
    assert_eq!(chain(ALIASES_MAX), Err(Refusal::Unfit));
}

#[test]
fn records_of_other_names_and_kinds_name_nothing() {
    for (kind, record) in [
        ("A", a("other.test", "192.0.2.1")),
        ("A", a("a.test", "2001:db8::1")),
        ("AAAA", a("a.test", "192.0.2.1")),
        ("TXT", a("a.test", "192.0.2.1")),
        ("A", cname("a.test", "b.test")),
    ] {
        let refusal = read("a.test", kind, std::slice::from_ref(&record));
        assert_eq!(refusal, Err(Refusal::Unfit), "{kind} {record:?}");
    }
    assert_eq!(
        read(
            "a.test",
            "ANY",
            &[a("a.test", "192.0.2.1"), a("a.test", "2001:db8::1")]
        ),
        named("a.test", &["192.0.2.1", "2001:db8::1"])
    );
}

#[test]
fn what_is_no_host_address_gets_no_name() {
    for (kind, address) in [
        ("A", "0.0.0.0"),
        ("A", "127.0.0.1"),
        ("A", "224.0.0.251"),
        ("A", "255.255.255.255"),
        ("AAAA", "::"),
        ("AAAA", "::1"),
        ("AAAA", "ff02::fb"),
        ("AAAA", "::ffff:192.0.2.1"),
    ] {
        let refusal = read("blocked.test", kind, &[a("blocked.test", address)]);
        assert_eq!(refusal, Err(Refusal::Unfit), "{address}");
    }
}

/// The same message but for one change of its header.
fn refused(change: impl Fn(&mut Packet<'_>)) {
    let records = [a("a.test", "192.0.2.1")];
    let mut packet = packet(1, "a.test", "A", &records);
    assert!(read_answer(&packet.build_bytes_vec().unwrap()).is_ok());
    change(&mut packet);
    let bytes = packet.build_bytes_vec().unwrap();
    assert_eq!(read_answer(&bytes), Err(Refusal::Unfit), "{packet:?}");
}

#[test]
fn only_whole_successful_answers_to_one_question_count() {
    refused(|packet| packet.remove_flags(PacketFlag::RESPONSE));
    refused(|packet| packet.set_flags(PacketFlag::TRUNCATION));
    refused(|packet| *packet.rcode_mut() = RCODE::NameError);
    refused(|packet| *packet.rcode_mut() = RCODE::ServerFailure);
    refused(|packet| *packet.opcode_mut() = OPCODE::Update);
    refused(|packet| packet.questions.clear());
    refused(|packet| packet.questions.push(packet.questions[0].clone()));
    refused(|packet| packet.questions[0].qclass = QCLASS::CLASS(CLASS::CH));
    refused(|packet| packet.answers[0].class = CLASS::CH);
    refused(|packet| packet.answers.clear());
    refused(|packet| {
        let answers = std::mem::take(&mut packet.answers);
        packet.additional_records = answers;
    });
}

#[test]
fn names_that_are_no_host_names_are_refused() {
    for name in [
        "e\x1b[31mvil.test",
        "a b.test",
        "a\0.test",
        "tab\t.test",
        "b\u{fc}cher.test",
        "a/b.test",
        r"back\slash.test",
        "192.0.2.77",
        "host.1",
        "53",
        "",
    ] {
        let refusal = read(name, "A", &[a(name, "192.0.2.1")]);
        assert_eq!(refusal, Err(Refusal::Name), "{name:?}");
    }
    for name in [
        "router",
        "_dmarc.a-b.test",
        "1.2.3.4.example",
        "xn--bcher-kva.test",
    ] {
        assert_eq!(
            read(name, "A", &[a(name, "192.0.2.1")]),
            named(name, &["192.0.2.1"])
        );
    }
}

#[test]
fn a_dot_in_a_label_is_no_dot() {
    let mut bytes = answer("wwwxbank.test", "A", &[a("wwwxbank.test", "192.0.2.1")]);
    let dot = bytes.iter().position(|byte| *byte == b'x').unwrap();
    bytes[dot] = b'.';
    assert_eq!(read_answer(&bytes), Err(Refusal::Name));
}

#[test]
fn the_longest_name() {
    let label = "a".repeat(63);
    let name = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert_eq!(name.len(), 253);
    assert_eq!(
        read(&name, "A", &[a(&name, "192.0.2.1")]),
        named(&name, &["192.0.2.1"])
    );
    // 256 bytes on the wire, one more than there may be.
    let name = name + "a";
    assert_eq!(
        read(&name, "A", &[a(&name, "192.0.2.1")]),
        Err(Refusal::Malformed)
    );
}

/// Header and question `a` of a message with this number of answers; the answers begin at byte 19.
fn start(answers: u16) -> Vec<u8> {
    let mut bytes = vec![0, 1, 0x81, 0x80, 0, 1];
    bytes.extend(answers.to_be_bytes());
    bytes.extend(b"\0\0\0\0\x01a\0\0\x01\0\x01");
    bytes
}

const A_DATA: &[u8] = b"\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";

fn with_owner(owner: &[u8]) -> Result<Answer, Refusal> {
    read_answer(&[&start(1), owner, A_DATA].concat())
}

#[test]
fn compression() {
    let name = |owner: &[u8]| with_owner(owner).map(|answer| answer.name);
    assert_eq!(name(b"\xc0\x0c"), Ok("a".into()));
    // To itself, forward, out of the message, to and fro, cut off; label types that were never in use.
    for owner in [
        &b"\xc0\x13"[..],
        b"\xc0\x15",
        b"\xff\xff",
        b"\x01b\xc0\x13",
        b"\x40a\0",
        b"\x80a\0",
        b"\xc0",
        b"\x3fshort",
    ] {
        assert_eq!(name(owner), Err(Refusal::Malformed), "{owner:02x?}");
    }
}

#[test]
fn pointers_to_pointers() {
    let mut bytes = start(250);
    let mut last = 12_u16;
    for _ in 0..250 {
        let here = u16::try_from(bytes.len()).unwrap();
        bytes.extend((0xc000 | last).to_be_bytes());
        bytes.extend(A_DATA);
        last = here;
    }
    let answer = read_answer(&bytes).unwrap();
    assert_eq!((&*answer.name, answer.addresses.len()), ("a", 1));
}

#[test]
fn counts_and_lengths_that_lie() {
    let one = [&start(1)[..], b"\xc0\x0c", A_DATA].concat();
    assert!(read_answer(&one).is_ok());
    for answers in [2_u16, 3, 100, 0x7fff, 0xffff] {
        let mut bytes = one.clone();
        bytes[6..8].copy_from_slice(&answers.to_be_bytes());
        assert_eq!(read_answer(&bytes), Err(Refusal::Malformed), "{answers}");
    }
    // What is not read cannot do harm.
    let mut bytes = one.clone();
    bytes[8..12].fill(0xff);
    assert!(read_answer(&bytes).is_ok());
    // Length of the data: too short for an address, and past the end.
    let at = one.len() - 5;
    for length in [0, 3, 5, 255] {
        let mut bytes = one.clone();
        bytes[at] = length;
        assert!(read_answer(&bytes).is_err(), "{length}");
    }
    for cut in 0..one.len() {
        assert!(read_answer(&one[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn an_answer_with_very_many_addresses_names_some() {
    let records: Vec<_> = (0..200)
        .map(|n| a("a.test", &format!("192.0.2.{n}")))
        .collect();
    let answer = read_answer(&answer("a.test", "A", &records)).unwrap();
    assert_eq!(answer.addresses.len(), ADDRESSES);
}

/// Xorshift; the same numbers in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

fn check(message: &[u8]) -> bool {
    let address = IpAddr::from([192, 0, 2, 1]);
    if let Ok(Some(name)) = read_reverse(message, address, 1) {
        assert_host_name(&name);
    }
    let _ = read_query(message);
    let Ok(answer) = read_answer(message) else {
        return false;
    };
    assert_host_name(&answer.name);
    assert!((1..=ADDRESSES).contains(&answer.addresses.len()));
    true
}

fn assert_host_name(name: &str) {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    assert!(
        (1..=253).contains(&name.len()) && name.bytes().all(fits),
        "{name:?}"
    );
    assert!(name.parse::<IpAddr>().is_err());
}

#[test]
fn random_messages() {
    let mut random = Random(88_172_645_463_325_252);
    let mut large = vec![0; 65_535];
    large.fill_with(|| random.byte());
    assert!(!check(&large));
    large[..12].copy_from_slice(b"\0\x01\x81\x80\0\x01\xff\xff\xff\xff\xff\xff");
    assert!(!check(&large));
    let records = [
        cname("www.example.org", "cdn.example.net"),
        a("cdn.example.net", "192.0.2.1"),
        a("cdn.example.net", "192.0.2.2"),
    ];
    let pointer = Data::Pointer("host.example.org".to_owned());
    let name = reverse_name([192, 0, 2, 1].into());
    let sound = [
        answer("www.example.org", "A", &records),
        answer(&name, "PTR", &[(name.clone(), pointer)]),
    ];
    let mut read = 0;
    for round in 0..100_000 {
        let message = if round % 3 == 0 {
            let mut message: Vec<u8> = (0..random.below(300)).map(|_| random.byte()).collect();
            if message.len() >= 12 {
                message[..7].copy_from_slice(&[0, 1, 0x81, 0x80, 0, 1, 0]);
                message[7] %= 8;
            }
            message
        } else {
            let mut message = sound[round % 2].clone();
            for _ in 0..=random.below(3) {
                let at = random.below(message.len());
                message[at] = random.byte();
            }
            if random.below(8) == 0 {
                message.truncate(random.below(message.len()));
            }
            message
        };
        read += u32::from(check(&message));
    }
    // Neither nothing nor everything: the changes reach both sides.
    assert!((1000..60_000).contains(&read), "{read}");
}

#[test]
fn reverse_names() {
    assert_eq!(
        reverse_name([192, 0, 2, 77].into()),
        "77.2.0.192.in-addr.arpa"
    );
    assert_eq!(
        reverse_name("2001:db8::567:89ab".parse().unwrap()),
        "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
    );
}

#[test]
fn a_reverse_answer_must_be_to_the_question() {
    let address: IpAddr = "2001:db8::5".parse().unwrap();
    let query = reverse_query(address, 77).unwrap();
    let sound = reverse_answer(&query, Some("Host.Example"));
    let name = |message: &[u8]| read_reverse(message, address, 77);
    assert_eq!(name(&sound), Ok(Some("host.example".into())));
    assert_eq!(name(&reverse_answer(&query, None)), Ok(None));
    assert_eq!(
        name(&reverse_answer(&query, Some("e\x1b[1mvil.test"))),
        Ok(None)
    );
    // Another id, the query itself, another question.
    assert_eq!(read_reverse(&sound, address, 78), Err(Refusal::Unfit));
    assert_eq!(name(&query), Err(Refusal::Unfit));
    let other = reverse_query("2001:db8::6".parse().unwrap(), 77).unwrap();
    assert_eq!(
        name(&reverse_answer(&other, Some("host.example"))),
        Err(Refusal::Unfit)
    );
}

#[test]
fn a_reverse_name_through_an_alias() {
    let address = IpAddr::from([192, 0, 2, 5]);
    let records = [
        cname("5.2.0.192.in-addr.arpa", "5.0-31.2.0.192.in-addr.arpa"),
        (
            "5.0-31.2.0.192.in-addr.arpa".to_owned(),
            Data::Pointer("host.example".to_owned()),
        ),
    ];
    let message = answer("5.2.0.192.in-addr.arpa", "PTR", &records);
    assert_eq!(
        read_reverse(&message, address, 1),
        Ok(Some("host.example".into()))
    );
}

#[test]
fn nobody_is_asked_for_addresses_that_no_host_has() {
    for address in ["0.0.0.0", "127.0.0.1", "::1", "ff02::1", "255.255.255.255"] {
        assert_eq!(
            reverse_query(address.parse().unwrap(), 1),
            None,
            "{address}"
        );
    }
    let mapped = reverse_query("::ffff:192.0.2.1".parse().unwrap(), 1);
    assert_eq!(mapped, reverse_query("192.0.2.1".parse().unwrap(), 1));
}
