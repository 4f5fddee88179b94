//! The names in DNS messages: which are most frequent, which fail most, and how.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::matching::{Matching, Waiting};
use super::ranking::{Count, Ranking};
use super::{Message, Question, Seen, protocol};
use crate::model::{Facts, Name, Protocol};

/// Names that are told apart, of those that are asked and of those that fail. Each takes some 300 bytes, so 5 MiB together.
const ROOM: usize = 8192;
/// Queries that may wait at once.
const WAITING: usize = 16_384;
/// Record types that are told apart: those of all that is in use, and some.
const KINDS: usize = 64;
/// A query without an answer has failed after this time. Clients give up after two to five seconds.
const PATIENCE_NS: u64 = 5_000_000_000;
/// After this time, the query of an answer is forgotten.
const MEMORY_NS: u64 = 15_000_000_000;

/// How a name fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Failure {
    /// The answer has this code, which is not 0.
    Code(u8),
    /// No answer came in five seconds.
    NoAnswer,
}

impl Failure {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> std::borrow::Cow<'static, str> {
        match self {
            Self::Code(code) => super::rcode_name(code),
            Self::NoAnswer => "no answer".into(),
        }
    }
}

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    /// In small letters: servers may write it as they like.
    name: Arc<str>,
    kind: u16,
    server: SocketAddr,
    program: Option<Name>,
}

/// A name, and how often it was asked for or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRow {
    /// The name, in small letters, in the form of zone files. Hostile input for a terminal.
    pub name: Arc<str>,
    /// The number of the record type.
    pub kind: u16,
    /// How it failed; none of what was asked.
    pub failure: Option<Failure>,
    /// How often.
    pub count: Count,
    /// Who was asked.
    pub server: SocketAddr,
    /// Which program asked, where that is known. Hostile input for a terminal.
    pub program: Option<Name>,
}

/// What became of the messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that were read.
    pub read: u64,
    /// Messages that are no DNS, or contradict themselves.
    pub malformed: u64,
    /// Answers to a question that nobody asked in their connection; where messages were not read, it may have been asked there.
    pub unasked: u64,
    /// Answers that came after more than five seconds.
    pub late: u64,
    /// Queries that repeated one that waited, with the same id.
    pub retries: u64,
    /// Queries that were given up before it was known whether they are answered: too many waited, or another one took their id.
    pub forgotten: u64,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Names {
    asked: Ranking<Key>,
    failed: Ranking<(Key, Failure)>,
    kinds: BTreeMap<u16, u64>,
    other_kinds: u64,
    matching: Matching<Key>,
    tally: Tally,
}

impl Default for Names {
    fn default() -> Self {
        Self::with_room(ROOM, WAITING)
    }
}

impl Names {
    fn with_room(names: usize, waiting: usize) -> Self {
        Self {
            asked: Ranking::new(names),
            failed: Ranking::new(names),
            kinds: BTreeMap::new(),
            other_kinds: 0,
            matching: Matching::new(waiting),
            tally: Tally::default(),
        }
    }

    /// Takes in a message that passed.
    pub fn take(&mut self, seen: &Seen<'_>, facts: &dyn Facts) {
        let Some(message) = seen.message else {
            self.tally.malformed += 1;
            return;
        };
        self.tally.read += 1;
        let is_plain = message.opcode() == 0;
        match (protocol(seen.sample), message.is_answer()) {
            (Protocol::Dns, true) if is_plain => self.hear(seen, message),
            (_, true) => {}
            (protocol, false) => {
                for question in &message.questions {
                    let key = key(seen, question, facts);
                    self.count_kind(question.kind);
                    self.asked.add(key.clone());
                    if protocol == Protocol::Dns && is_plain {
                        self.ask(seen, message.id, key);
                    }
                }
            }
        }
    }

    fn ask(&mut self, seen: &Seen<'_>, id: u16, asked: Key) {
        let id = (seen.sample.id, id);
        let before = self.matching.get(&id);
        if before.is_some_and(|before| before.asked == asked && !before.is_told) {
            self.tally.retries += 1;
        }
        let waiting = Waiting {
            asked,
            from_originator: seen.from_originator,
            since_ns: seen.time_ns,
            unread: seen.unread,
            is_told: false,
        };
        self.matching.insert(id, waiting);
    }

    /// An answer counts where it is to the question that the other side asked; some that fail say no question.
    fn hear(&mut self, seen: &Seen<'_>, message: &Message) {
        let id = (seen.sample.id, message.id);
        let is_to = |query: &Waiting<Key>| {
            let asked = &query.asked;
            let mut questions = message.questions.iter();
            query.from_originator != seen.from_originator
                && questions
                    .all(|one| one.kind == asked.kind && one.name.to_lowercase() == *asked.name)
        };
        let is_asked = self.matching.get(&id).is_some_and(is_to);
        let Some(query) = is_asked.then(|| self.matching.take(&id)).flatten() else {
            self.tally.unasked += 1;
            return;
        };
        if query.is_told {
            self.tally.late += 1;
        } else if message.rcode() != 0 {
            self.failed
                .add((query.asked, Failure::Code(message.rcode())));
        }
    }

    fn count_kind(&mut self, kind: u16) {
        let has_room = self.kinds.len() < KINDS;
        match self.kinds.get_mut(&kind) {
            Some(count) => *count += 1,
            None if has_room => drop(self.kinds.insert(kind, 1)),
            None => self.other_kinds += 1,
        }
    }

    /// Counts what has waited for too long. `unread` is how many messages were not read by now: where some were not since a query was
    /// asked, nobody knows whether it was answered.
    pub fn tick(&mut self, now_ns: u64, unread: u64) {
        let told_ns = now_ns.saturating_sub(PATIENCE_NS);
        let forgotten_ns = now_ns.saturating_sub(MEMORY_NS);
        for query in self.matching.overdue(told_ns, forgotten_ns) {
            if query.unread == unread {
                self.failed.add((query.asked.clone(), Failure::NoAnswer));
            }
        }
    }

    /// Names that fail, those that fail most first; of one server, or of all.
    #[must_use]
    pub fn failed(&self, server: Option<SocketAddr>) -> Vec<NameRow> {
        let rows = self.failed.iter();
        sorted(
            rows.map(|((key, failure), count)| row(key, Some(*failure), *count)),
            server,
        )
    }

    /// Names that are asked for, those that are asked most first.
    #[must_use]
    pub fn asked(&self, server: Option<SocketAddr>) -> Vec<NameRow> {
        let rows = self.asked.iter();
        sorted(rows.map(|(key, count)| row(key, None, *count)), server)
    }

    /// Questions by record type, the most first; at the end, all types that are not told apart.
    #[must_use]
    pub fn kinds(&self) -> Vec<(Option<u16>, u64)> {
        let mut kinds: Vec<_> = self
            .kinds
            .iter()
            .map(|(kind, count)| (Some(*kind), *count))
            .collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        kinds.extend((self.other_kinds > 0).then_some((None, self.other_kinds)));
        kinds
    }

    /// What became of the messages so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally {
            forgotten: self.matching.forgotten(),
            ..self.tally
        }
    }
}

fn key(seen: &Seen<'_>, question: &Question, facts: &dyn Facts) -> Key {
    let client = facts.processes(seen.sample).originator;
    Key {
        name: question.name.to_lowercase().into(),
        kind: question.kind,
        server: seen.sample.responder,
        program: client.map(|owner| Name::new(owner.program())),
    }
}

fn row(key: &Key, failure: Option<Failure>, count: Count) -> NameRow {
    NameRow {
        name: Arc::clone(&key.name),
        kind: key.kind,
        failure,
        count,
        server: key.server,
        program: key.program,
    }
}

fn sorted(rows: impl Iterator<Item = NameRow>, server: Option<SocketAddr>) -> Vec<NameRow> {
    let mut rows: Vec<NameRow> = rows
        .filter(|row| server.is_none_or(|server| row.server == server))
        .collect();
    let rest = |row: &NameRow| (row.kind, row.failure, row.server, row.program);
    rows.sort_by(|one, other| {
        let by_count = other.count.cmp(&one.count);
        let by_name = by_count.then_with(|| one.name.cmp(&other.name));
        by_name.then_with(|| rest(one).cmp(&rest(other)))
    });
    rows
}

#[cfg(test)]
mod tests;
