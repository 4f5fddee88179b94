//! What a group of connections did, second by second.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;

use super::rule::Measure;
use crate::listing::Traffic;
use crate::model::services::{OneWayPorts, answers};
use crate::model::{Counts, RESPONSE_BUCKETS, Response, Role, Sample};

/// Different ports or addresses that are told apart in one second of one group.
const MOST_DIFFERENT: usize = 4096;
/// A share needs this number of requests, or `LEAST_LOST` lost ones.
const LEAST_REQUESTS: u64 = 10;
const LEAST_LOST: u64 = 2;
/// Places of codes in [`crate::model::RCODES`].
const SERVFAIL: usize = 2;
const NXDOMAIN: usize = 3;
/// A server that answered before is dead after this number of lost requests in a row.
const DEAD_AFTER: u64 = 2;
/// After this number of packets without an answer, a service is one-way, unless it is known to answer.
const ONE_WAY_PACKETS: u64 = 10;
/// Unless an ICMP error came in that time.
const REFUSED_LASTS_NS: u64 = 10_000_000_000;
/// An answer of fewer bytes than this in the window amplifies nothing that matters.
const LEAST_REPLY_BYTES: u64 = 100_000;

/// What a connection had done at a tick. Of what is one-way no request counts, and of a stream none is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    orig: Counts,
    reply: Counts,
    asked: u64,
    answered: u64,
    lost: u64,
    /// Datagrams that the kernel dropped behind the hooks.
    dropped: u64,
    /// DNS answers: all, those that say SERVFAIL, those that there is no such name.
    dns: [u64; 3],
    /// Requests that may still be lost without a packet.
    pub waiting: u64,
}

impl Done {
    /// Originator and responder have changed places: what was measured of answers is gone.
    pub fn swap(&mut self) {
        *self = Self {
            orig: self.reply,
            reply: self.orig,
            dropped: self.dropped,
            dns: self.dns,
            ..Self::default()
        };
    }

    /// The same when this run began, of one that was there already: what is dropped is counted since then.
    pub fn at_start(self) -> Self {
        Self { dropped: 0, ..self }
    }

    pub fn of(sample: &Sample, ports: &OneWayPorts) -> Self {
        let done = Self {
            orig: sample.orig,
            reply: sample.reply,
            dropped: sample.dropped.total().packets,
            dns: sample.dns.map_or([0; 3], |dns| {
                [dns.answers(), dns.rcodes[SERVFAIL], dns.rcodes[NXDOMAIN]]
            }),
            ..Self::default()
        };
        let response = &sample.response;
        match Traffic::of(sample, ports) {
            Traffic::OneWay => done,
            traffic => Self {
                asked: response.asked(),
                answered: response.answered,
                lost: if traffic == Traffic::Stream {
                    0
                } else {
                    response.lost
                },
                waiting: response.waiting,
                ..done
            },
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            orig: self.orig.since(before.orig),
            reply: self.reply.since(before.reply),
            asked: self.asked.saturating_sub(before.asked),
            answered: self.answered.saturating_sub(before.answered),
            lost: self.lost.saturating_sub(before.lost),
            dropped: self.dropped.saturating_sub(before.dropped),
            dns: [0, 1, 2].map(|part| self.dns[part].saturating_sub(before.dns[part])),
            waiting: 0,
        }
    }

    fn add(&mut self, other: Self) {
        self.orig += other.orig;
        self.reply += other.reply;
        self.asked += other.asked;
        self.answered += other.answered;
        self.lost += other.lost;
        self.dropped += other.dropped;
        for (mine, theirs) in self.dns.iter_mut().zip(other.dns) {
            *mine += theirs;
        }
    }
}

/// How many response times fell into each bucket, up to a tick.
pub(super) type Histogram = [u32; RESPONSE_BUCKETS];

/// A connection at a tick, and at the tick before.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub sample: &'a Sample,
    pub done: Done,
    /// None for one that is new.
    pub before: Option<Done>,
    /// The response times since the tick before, where they are measured.
    pub times: Option<&'a Response>,
}

/// What happened in one tick.
#[derive(Clone, Debug, Default)]
struct Part {
    at_ns: u64,
    new: u64,
    done: Done,
    times: Option<Box<Response>>,
    ports: HashSet<u16>,
    hosts: HashSet<IpAddr>,
    /// The fullest receive buffer, in percent.
    buffer: Option<f64>,
}

/// What is remembered longer than a window, to tell what is dead.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    has_answered: bool,
    is_answering: bool,
    forth: u64,
    back: u64,
    /// Requests that were lost since the latest answer.
    in_a_row: u64,
    at_ns: u64,
    /// When an ICMP error was last known to say that the server cannot be reached.
    refused_ns: Option<u64>,
}

/// One group, over a window.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    parts: VecDeque<Part>,
    memory: Memory,
    /// Live connections at the latest tick.
    pub live: u64,
}

impl Series {
    /// Takes in what a connection did since the tick before.
    pub fn add(&mut self, step: Step<'_>, now_ns: u64, measure: Measure) {
        let Step { sample, before, .. } = step;
        let news = step.done.since(before.unwrap_or_default());
        if measure == Measure::Dead {
            self.memory.add(sample, news, now_ns);
        }
        let part = self.part(now_ns);
        part.done.add(news);
        if let (Measure::Response(_), Some(times)) = (measure, step.times) {
            part.times.get_or_insert_default().merge(times);
        }
        if before.is_some() {
            return;
        }
        part.new += 1;
        // It may have been there before the run: nobody newly asks then.
        if sample.role == Role::Guessed {
            return;
        }
        if measure == Measure::Ports && part.ports.len() < MOST_DIFFERENT {
            part.ports.insert(sample.responder.port());
        }
        if measure == Measure::Hosts && part.hosts.len() < MOST_DIFFERENT {
            part.hosts.insert(sample.responder.ip());
        }
    }

    /// Takes in how full a buffer is.
    pub fn add_buffer(&mut self, fill: f64, now_ns: u64) {
        let fullest = self.part(now_ns).buffer.get_or_insert(0.0);
        *fullest = fullest.max(fill * 100.0);
    }

    fn part(&mut self, now_ns: u64) -> &mut Part {
        let has_one = self.parts.back().is_some_and(|part| part.at_ns == now_ns);
        if !has_one {
            self.parts.push_back(Part {
                at_ns: now_ns,
                ..Part::default()
            });
        }
        let last = self.parts.len() - 1;
        &mut self.parts[last]
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

    /// Whether nothing is known that is younger than this.
    pub fn is_forgotten(&self, since_ns: u64) -> bool {
        self.parts.is_empty() && self.live == 0 && self.memory.at_ns <= since_ns
    }

    /// The measure over the window; none where there is too little to say.
    #[expect(
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
            Measure::Drops => per_second(done.dropped),
            Measure::Lost => {
                let ended = done.answered + done.lost;
                (ended >= LEAST_REQUESTS || done.lost >= LEAST_LOST)
                    .then(|| done.lost as f64 / ended as f64 * 100.0)
            }
            Measure::ServFail | Measure::NxDomain => {
                let [answers, servfail, nxdomain] = done.dns;
                let part = if measure == Measure::ServFail {
                    servfail
                } else {
                    nxdomain
                };
                (answers >= LEAST_REQUESTS || part >= LEAST_LOST)
                    .then(|| part as f64 / answers as f64 * 100.0)
            }
            Measure::Dead => Some(self.memory.dead(done.answered) as f64),
            Measure::Response(percent) => {
                let mut times = Response::default();
                for part in self.parts.iter().filter_map(|part| part.times.as_ref()) {
                    times.merge(part);
                }
                times.percentile_ns(percent).map(|ns| ns as f64 / 1e6)
            }
            Measure::Buffer => {
                let fills = self.parts.iter().filter_map(|part| part.buffer);
                fills.reduce(f64::max)
            }
            Measure::Connections => Some(self.live as f64),
            Measure::Amplification => (done.reply.bytes >= LEAST_REPLY_BYTES)
                .then(|| done.reply.bytes as f64 / done.orig.bytes.max(1) as f64),
            Measure::Ports => Some(self.different(|part| &part.ports)),
            Measure::Hosts => Some(self.different(|part| &part.hosts)),
            Measure::Fill | Measure::TableFull => None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    fn different<T: Eq + std::hash::Hash>(&self, set: impl Fn(&Part) -> &HashSet<T>) -> f64 {
        let all: HashSet<&T> = self.parts.iter().flat_map(set).collect();
        all.len() as f64
    }
}

impl Memory {
    fn add(&mut self, sample: &Sample, news: Done, now_ns: u64) {
        self.has_answered |= sample.response.answered > 0;
        self.is_answering |= answers(sample.responder.port());
        self.forth += news.orig.packets;
        self.back += news.reply.packets;
        self.at_ns = now_ns;
        if sample.is_refused() {
            self.refused_ns = Some(now_ns);
        }
        self.in_a_row = if news.answered > 0 {
            0
        } else {
            self.in_a_row + news.lost
        };
    }

    /// Requests that were lost in a row, if that makes it dead; `answered` within the window.
    fn dead(&self, answered: u64) -> u64 {
        let refused_before = self.refused_ns.map(|ns| self.at_ns.saturating_sub(ns));
        let is_one_way = self.back == 0
            && !self.has_answered
            && self.forth >= ONE_WAY_PACKETS
            && !self.is_answering
            && refused_before.is_none_or(|ns| ns > REFUSED_LASTS_NS);
        let least = if self.has_answered { DEAD_AFTER } else { 1 };
        if answered > 0 || is_one_way || self.in_a_row < least {
            0
        } else {
            self.in_a_row
        }
    }
}
