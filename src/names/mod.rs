//! Names of addresses and ports: from DNS answers that passed, from reverse queries where somebody asked for these, and from
//! the system's list of services. Nothing here is sent but those queries.
//! A name is what a program asked the DNS for (`www.example.org`), not what an address is: the owner of a zone may name
//! any address in it. But nobody may by sending alone: an answer counts where its query was in the same connection, with the same
//! id and question, came from its other side and went another way, so that at least somebody else has asked or answered; and it
//! must be the first one. Inside, answer, cache, reverse <- resolved <- this file.

mod answer;
mod cache;
mod resolved;
mod reverse;

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::dns::Message;
use crate::model::services::{SERVICES, Services};
use crate::model::{ConnectionId, Direction, Ifindex};
use answer::{Answer, Asked, Refusal, asked, read_answer};
use cache::Cache;
use resolved::Reverse;
use reverse::{Resolver, resolvers};

/// Addresses with a name, of each source. Names have 253 characters at most: 8 MiB in the worst case, about 1 MiB in
/// practice.
const ADDRESSES: usize = 16_384;
/// Questions that are remembered. Nearly all are answered within a second.
const QUESTIONS: usize = 4096;
/// How long a resolver's answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many hooks of a query are remembered; it may pass more.
const WAYS: usize = 4;

/// A DNS message that passed in a connection.
#[derive(Clone, Copy, Debug)]
pub struct Passed<'a> {
    /// Which connection it is of: the same for a query and its answer.
    pub connection: ConnectionId,
    /// The interface that it passed.
    pub interface: Ifindex,
    /// In which direction it passed there.
    pub direction: Direction,
    /// Which side of the connection sent it.
    pub from_originator: bool,
    /// Whether this machine alone can have sent it: it passed the loopback interface.
    pub is_local: bool,
    /// What it says: hostile input. None where it contradicts itself.
    pub message: Option<&'a Message>,
}

/// A query that passed.
#[derive(Debug)]
struct Question {
    asked: Asked,
    /// Which side of its connection asked.
    from_originator: bool,
    /// Where it passed.
    ways: Vec<(Ifindex, Direction)>,
    /// Whether an answer has come: another one is not heard.
    is_answered: bool,
}

/// What the messages of the wire came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answers that named an address.
    pub answers: u64,
    /// Addresses that have a name from them now.
    pub addresses: u64,
    /// Answers to a question that nobody asked in their connection, or that had its answer.
    pub unasked: u64,
    /// Answers that came the way their query came, or from the same side: one sender may have made both.
    pub same_way: u64,
    /// Answers with an address, but to a name that is no host name.
    pub bad_names: u64,
    /// Messages that are no DNS, or contradict themselves.
    pub malformed: u64,
}

/// Everything that is known of names.
#[derive(Debug)]
pub struct Names {
    wire: Cache<IpAddr, Arc<str>>,
    /// Questions whose answers may come, by connection and DNS id.
    questions: Cache<(ConnectionId, u16), Question>,
    /// Addresses of this machine: what answers say of them is not heard.
    own: HashSet<IpAddr>,
    services: Services,
    tally: Tally,
    reverse: Option<Reverse>,
}

impl Default for Names {
    fn default() -> Self {
        Self::none()
    }
}

impl Names {
    /// No names at all: everything stays a number.
    #[must_use]
    pub fn none() -> Self {
        Self {
            wire: Cache::new(ADDRESSES),
            questions: Cache::new(QUESTIONS),
            own: HashSet::new(),
            services: Services::default(),
            tally: Tally::default(),
            reverse: None,
        }
    }

    /// With the system's list of services, and room for names.
    #[must_use]
    pub fn new() -> Self {
        Self {
            services: Services::read(Path::new(SERVICES)),
            ..Self::none()
        }
    }

    /// Takes a DNS message that passed: a question is remembered, an answer to one names addresses. What makes no sense is counted.
    pub fn learn(&mut self, passed: &Passed<'_>) {
        let refused = match passed.message {
            None => Some(Refusal::Malformed),
            Some(message) if message.is_answer() => self.learn_answer(passed, message).err(),
            Some(message) => {
                if let Some(asked) = asked(message) {
                    self.ask(passed, asked);
                }
                None
            }
        };
        match refused {
            None | Some(Refusal::Unfit) => {}
            Some(Refusal::Name) => self.tally.bad_names += 1,
            Some(Refusal::Malformed) => self.tally.malformed += 1,
        }
    }

    fn learn_answer(&mut self, passed: &Passed<'_>, message: &Message) -> Result<(), Refusal> {
        let read = read_answer(message);
        if read == Err(Refusal::Unfit) {
            self.end_question(passed, message.id);
        }
        read.map(|answer| self.hear(passed, answer))
    }

    fn ask(&mut self, passed: &Passed<'_>, asked: Asked) {
        let (key, way) = (
            (passed.connection, asked.id),
            (passed.interface, passed.direction),
        );
        let known = self
            .questions
            .peek(key)
            .filter(|known| known.asked == asked);
        let mut ways = known.map_or_else(Vec::new, |known| known.ways.clone());
        if !ways.contains(&way) && ways.len() < WAYS {
            ways.push(way);
        }
        let question = Question {
            asked,
            from_originator: passed.from_originator,
            ways,
            is_answered: false,
        };
        self.questions.insert(key, question);
    }

    /// An answer without addresses is one, too.
    fn end_question(&mut self, passed: &Passed<'_>, id: u16) {
        if let Some(question) = self.questions.peek_mut((passed.connection, id))
            && question.from_originator != passed.from_originator
        {
            question.is_answered = true;
        }
    }

    fn hear(&mut self, passed: &Passed<'_>, answer: Answer) {
        let key = (passed.connection, answer.asked.id);
        let question = self.questions.peek_mut(key);
        let question = question.filter(|question| !question.is_answered);
        let Some(question) = question.filter(|question| question.asked == answer.asked) else {
            self.tally.unasked += 1;
            return;
        };
        let is_same_way = question
            .ways
            .contains(&(passed.interface, passed.direction));
        if question.from_originator == passed.from_originator || (is_same_way && !passed.is_local) {
            self.tally.same_way += 1;
            return;
        }
        question.is_answered = true;
        let name: Arc<str> = answer.name.into();
        for address in answer.addresses {
            self.wire.insert(address, Arc::clone(&name));
        }
        self.tally.answers += 1;
    }

    /// Which addresses this machine has, from now on.
    pub fn set_own(&mut self, own: HashSet<IpAddr>) {
        self.own = own;
    }

    /// Whether an answer has named anything.
    #[must_use]
    pub fn has_learned(&self) -> bool {
        self.wire.len() > 0
    }

    /// What [`Names::learn`] came to so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally {
            addresses: self.wire.len() as u64,
            ..self.tally
        }
    }

    /// The name of an address, if one is known: from the wire, or else from a resolver.
    #[must_use]
    pub fn host_name(&self, address: IpAddr) -> Option<&str> {
        if !self.own.contains(&address)
            && let Some(name) = self.wire.get(address)
        {
            return Some(name);
        }
        let reverse = self.reverse.as_ref()?;
        reverse.want(address);
        reverse.name(address)
    }

    /// The service of a UDP port.
    #[must_use]
    pub fn service(&self, port: u16) -> Option<&str> {
        self.services.name(port)
    }

    /// Asks the resolvers of a `resolv.conf(5)`, from now on, for names that the wire has not shown. Starts a thread: to be called when
    /// the process has given up its rights, which each thread has for itself.
    pub fn ask_resolvers(&mut self, file: &Path) -> Result<()> {
        let text = fs::read_to_string(file).unwrap_or_default();
        self.reverse = Some(Reverse::new(Resolver::start(resolvers(&text), PATIENCE)?));
        Ok(())
    }

    /// Whether resolvers are asked.
    #[must_use]
    pub fn asks_resolvers(&self) -> bool {
        self.reverse.is_some()
    }

    /// An address was seen: its name may be of use soon.
    pub fn want(&self, address: IpAddr) {
        if let Some(reverse) = &self.reverse
            && self.wire.peek(address).is_none()
        {
            reverse.want(address);
        }
    }

    /// Sends what is wanted on its way and takes what has come. Never waits.
    pub fn tick(&mut self, now: Instant) {
        if let Some(reverse) = &mut self.reverse {
            reverse.tick(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::answer::tests::{Record, answer, cname, ip, query, reverse_answer};
    use super::resolved::NAMED;
    use super::*;

    const CONNECTION: ConnectionId = ConnectionId(1);
    const OUT: (u32, Direction) = (1, Direction::Egress);
    const IN: (u32, Direction) = (1, Direction::Ingress);

    fn learn(names: &mut Names, way: (u32, Direction), bytes: &[u8]) {
        learn_in(CONNECTION, names, way, bytes, false);
    }

    fn learn_in(
        connection: ConnectionId,
        names: &mut Names,
        (interface, direction): (u32, Direction),
        bytes: &[u8],
        is_local: bool,
    ) {
        let message = Message::read(bytes);
        names.learn(&Passed {
            connection,
            interface: Ifindex(interface),
            direction,
            from_originator: message.as_ref().is_none_or(|message| !message.is_answer()),
            is_local,
            message: message.as_ref(),
        });
    }

    /// A question goes out and its answer comes in.
    fn pass(names: &mut Names, name: &str, records: &[Record]) {
        learn(names, OUT, &query(name, "A"));
        learn(names, IN, &answer(name, "A", records));
    }

    /// Who sends a query and its answer could name any address: both come the same way, whatever else passes.
    #[test]
    fn nobody_answers_a_query_of_their_own() {
        let records = [("bank.test".to_owned(), ip("192.0.2.66"))];
        let (asked, answered) = (query("bank.test", "A"), answer("bank.test", "A", &records));
        for (queries, came, is_learned) in [
            (&[IN][..], IN, false),
            (&[OUT], OUT, false),
            (&[OUT, IN], IN, false),
            (&[IN, OUT], IN, false),
            (&[IN], OUT, true),
            (&[(2, Direction::Ingress)], IN, true),
            (&[(2, Direction::Ingress), (2, Direction::Egress)], IN, true),
        ] {
            let mut names = Names::none();
            for way in queries {
                learn(&mut names, *way, &asked);
            }
            learn(&mut names, came, &answered);
            let tally = Tally {
                answers: is_learned.into(),
                addresses: is_learned.into(),
                same_way: (!is_learned).into(),
                ..Tally::default()
            };
            assert_eq!(names.tally(), tally, "{queries:?} {came:?}");
        }
        // On the loopback interface everything is received, and nobody else can send.
        let mut names = Names::none();
        for bytes in [&asked, &answered] {
            learn_in(CONNECTION, &mut names, IN, bytes, true);
        }
        assert_eq!(names.tally().answers, 1);
    }

    #[test]
    fn own_addresses_are_never_renamed() {
        let mut names = Names::none();
        let own = IpAddr::from([192, 0, 2, 1]);
        pass(
            &mut names,
            "evil.test",
            &[("evil.test".to_owned(), ip("192.0.2.1"))],
        );
        assert_eq!(names.host_name(own), Some("evil.test"));
        names.set_own(HashSet::from([own]));
        assert_eq!(names.host_name(own), None);
    }

    #[test]
    fn addresses_get_the_name_that_was_asked_for() {
        let mut names = Names::none();
        let records = [
            cname("www.example.org", "cdn.example.net"),
            ("cdn.example.net".to_owned(), ip("192.0.2.1")),
        ];
        pass(&mut names, "WWW.Example.ORG", &records);
        assert_eq!(
            names.host_name("192.0.2.1".parse().unwrap()),
            Some("www.example.org")
        );
        let records = [("other.example".to_owned(), ip("192.0.2.1"))];
        pass(&mut names, "other.example", &records);
        assert_eq!(
            names.host_name("192.0.2.1".parse().unwrap()),
            Some("other.example")
        );
        assert_eq!(names.host_name("192.0.2.2".parse().unwrap()), None);
        learn(&mut names, IN, b"nonsense");
        let tally = Tally {
            answers: 2,
            addresses: 1,
            malformed: 1,
            ..Tally::default()
        };
        assert_eq!(names.tally(), tally);
    }

    /// A server that is asked for its own name must not answer with another's.
    #[test]
    fn an_answer_must_be_to_the_question_of_its_connection() {
        let mut names = Names::none();
        let evil = [("bank.test".to_owned(), ip("192.0.2.66"))];
        let forged = answer("bank.test", "A", &evil);
        learn(&mut names, IN, &forged);
        learn(&mut names, OUT, &query("evil.test", "A"));
        learn(&mut names, IN, &forged);
        learn(&mut names, OUT, &query("bank.test", "AAAA"));
        learn(&mut names, IN, &forged);
        let asked = query("bank.test", "A");
        learn_in(ConnectionId(2), &mut names, OUT, &asked, false);
        learn(&mut names, IN, &forged);
        let tally = Tally {
            unasked: 4,
            ..Tally::default()
        };
        assert_eq!(names.tally(), tally);
        // In whatever case: servers may write the question back as they like it.
        learn(&mut names, OUT, &query("BANK.test", "A"));
        learn(&mut names, IN, &forged);
        assert_eq!(names.tally().answers, 1);
        assert_eq!(names.host_name([192, 0, 2, 66].into()), Some("bank.test"));
    }

    #[test]
    fn resolvers_are_asked_once_for_what_the_wire_has_not_shown() {
        let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        server
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let resolver =
            Resolver::start(vec![server.local_addr().unwrap()], Duration::from_secs(60)).unwrap();
        let mut names = Names {
            reverse: Some(Reverse::new(resolver)),
            ..Names::none()
        };
        let [on_wire, asked]: [IpAddr; 2] = [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        let records = [("wire.example".to_owned(), ip("192.0.2.1"))];
        pass(&mut names, "wire.example", &records);
        let now = Instant::now();
        for round in 0..3 {
            names.want(on_wire);
            names.want(asked);
            assert_eq!(names.host_name(on_wire), Some("wire.example"));
            assert_eq!(names.host_name(asked), None);
            names.tick(now + Duration::from_secs(round));
        }
        let mut bytes = [0; 512];
        let (length, from) = server.recv_from(&mut bytes).unwrap();
        let reply = reverse_answer(&bytes[..length], Some("asked.example"));
        server.send_to(&reply, from).unwrap();
        let begin = Instant::now();
        while names.host_name(asked).is_none() {
            assert!(begin.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(1));
            names.tick(now);
        }
        assert_eq!(names.host_name(asked), Some("asked.example"));
        // The next query is one for the next address: nobody was asked twice.
        let next = [192, 0, 2, 3].into();
        names.want(next);
        names.tick(now);
        let (length, _) = server.recv_from(&mut bytes).unwrap();
        let question = String::from_utf8_lossy(&bytes[12..length]).into_owned();
        assert!(question.starts_with("\u{1}3\u{1}2"), "{question:?}");
        // An hour later it is asked for again, and keeps its name meanwhile.
        names.tick(now + NAMED);
        names.want(asked);
        names.tick(now + NAMED);
        assert_eq!(names.host_name(asked), Some("asked.example"));
        let (length, _) = server.recv_from(&mut bytes).unwrap();
        let question = String::from_utf8_lossy(&bytes[12..length]).into_owned();
        assert!(question.starts_with("\u{1}2\u{1}2"), "{question:?}");
    }

    #[test]
    fn names_of_many_addresses_are_bounded() {
        let mut names = Names::none();
        for number in 0..20_000_u32 {
            let address = std::net::Ipv4Addr::from(0x0a00_0001 + number).to_string();
            let records = [("host.example".to_owned(), ip(&address))];
            pass(&mut names, "host.example", &records);
        }
        let tally = names.tally();
        assert_eq!((tally.answers, tally.addresses), (20_000, 16_384));
    }
}
