//! What a group of connections did, second by second.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;

use super::expression::Measure;
use crate::connection::{Counts, Sample};

/// Different ports or addresses that are told apart in one second of one group.
const MOST_DIFFERENT: usize = 4096;
/// A ratio of fewer requests than this says nothing.
const LEAST_REQUESTS: u64 = 10;
/// An answer of fewer bytes than this in the window amplifies nothing that matters.
const LEAST_REPLY_BYTES: u64 = 100_000;

/// What a connection had done at a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    orig: Counts,
    reply: Counts,
    asked: u64,
    answered: u64,
    sum_ns: u64,
}

impl Done {
    /// Originator and responder have changed places: what was measured of answers is gone.
    pub fn turn(&mut self) {
        *self = Self {
            orig: self.reply,
            reply: self.orig,
            ..Self::default()
        };
    }

    pub fn of(sample: &Sample) -> Self {
        Self {
            orig: sample.orig,
            reply: sample.reply,
            asked: sample.response.asked(),
            answered: sample.response.answered,
            sum_ns: sample.response.sum_ns,
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            orig: self.orig.since(before.orig),
            reply: self.reply.since(before.reply),
            asked: self.asked.saturating_sub(before.asked),
            answered: self.answered.saturating_sub(before.answered),
            sum_ns: self.sum_ns.saturating_sub(before.sum_ns),
        }
    }

    fn add(&mut self, other: Self) {
        self.orig += other.orig;
        self.reply += other.reply;
        self.asked += other.asked;
        self.answered += other.answered;
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }
}

/// What happened in one tick.
#[derive(Clone, Debug, Default)]
struct Part {
    at_ns: u64,
    new: u64,
    done: Done,
    ports: HashSet<u16>,
    hosts: HashSet<IpAddr>,
}

/// One group, over a window.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    parts: VecDeque<Part>,
    /// Live connections at the latest tick.
    pub live: u64,
}

impl Series {
    /// Takes in what a connection did since the tick before; `before` is none for one that is new.
    pub fn add(&mut self, sample: &Sample, before: Option<Done>, now_ns: u64, measure: Measure) {
        if self.parts.back().is_none_or(|part| part.at_ns != now_ns) {
            self.parts.push_back(Part {
                at_ns: now_ns,
                ..Part::default()
            });
        }
        let Some(part) = self.parts.back_mut() else {
            return;
        };
        part.done
            .add(Done::of(sample).since(before.unwrap_or_default()));
        if before.is_some() {
            return;
        }
        part.new += 1;
        if measure == Measure::Ports && part.ports.len() < MOST_DIFFERENT {
            part.ports.insert(sample.responder.port());
        }
        if measure == Measure::Hosts && part.hosts.len() < MOST_DIFFERENT {
            part.hosts.insert(sample.responder.ip());
        }
    }

    /// Forgets what is older than the window.
    pub fn forget(&mut self, since_ns: u64) {
        while self
            .parts
            .front()
            .is_some_and(|part| part.at_ns <= since_ns)
        {
            self.parts.pop_front();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.live == 0
    }

    /// The measure over the window; none where there is too little to say.
    #[allow(
        clippy::cast_precision_loss,
        reason = "a rate for people, compared with a threshold they wrote"
    )]
    pub fn value(&self, measure: Measure, seconds: f64) -> Option<f64> {
        let mut done = Done::default();
        let mut new = 0;
        for part in &self.parts {
            done.add(part.done);
            new += part.new;
        }
        let per_second = |count: u64| Some(count as f64 / seconds);
        match measure {
            Measure::New => per_second(new),
            Measure::Unreplied => per_second(done.asked.saturating_sub(done.answered)),
            Measure::Rate => per_second((done.orig.bytes + done.reply.bytes) * 8),
            Measure::OrigRate => per_second(done.orig.bytes * 8),
            Measure::ReplyRate => per_second(done.reply.bytes * 8),
            Measure::Packets => per_second(done.orig.packets + done.reply.packets),
            Measure::AnswerRatio => (done.asked >= LEAST_REQUESTS)
                .then(|| (done.answered as f64 / done.asked as f64 * 100.0).min(100.0)),
            Measure::Response => {
                (done.answered > 0).then(|| done.sum_ns as f64 / done.answered as f64 / 1e6)
            }
            Measure::Connections => Some(self.live as f64),
            Measure::Amplification => (done.reply.bytes >= LEAST_REPLY_BYTES)
                .then(|| done.reply.bytes as f64 / done.orig.bytes.max(1) as f64),
            Measure::Ports => Some(self.different(|part| &part.ports)),
            Measure::Hosts => Some(self.different(|part| &part.hosts)),
            Measure::Fill | Measure::Refused => None,
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    fn different<T: Eq + std::hash::Hash>(&self, set: impl Fn(&Part) -> &HashSet<T>) -> f64 {
        let all: HashSet<&T> = self.parts.iter().flat_map(set).collect();
        all.len() as f64
    }
}
