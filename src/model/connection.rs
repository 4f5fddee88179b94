//! A connection as walks over the table see it: its counts, status and times, and what the table remembers of it between two walks.

use super::gaps::Gaps;
use super::key::Place;
use super::rates::{Rates, Step};
use super::record::{Counts, EndReason, Sample, Status};

/// A live connection.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Connection {
    /// Its values at the latest walk; response times may be younger.
    pub sample: Sample,
    /// Its rates.
    pub rates: Rates,
    /// The longest pauses between two packets.
    pub gaps: Gaps,
    /// The walk at which its packets were last seen to have grown, in nanoseconds of `CLOCK_MONOTONIC`.
    pub changed_ns: u64,
}

impl Connection {
    /// A connection that a walk sees for the first time.
    #[must_use]
    pub fn new(sample: &Sample, now_ns: u64) -> Self {
        let known = Known::new(&Sighting::of(sample), &mut Step::to(now_ns), now_ns);
        known.connection(sample, &mut Step::to(now_ns))
    }
}

/// What a walk sees of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Its place.
    pub place: Place,
    /// From originator to responder.
    pub orig: Counts,
    /// From responder to originator.
    pub reply: Counts,
    /// Its status.
    pub status: Status,
    /// The first packet.
    pub first_ns: u64,
    /// The latest packet, to one kernel tick.
    pub last_ns: u64,
}

impl Sighting {
    /// The part of a sample that a walk needs.
    #[must_use]
    pub fn of(sample: &Sample) -> Self {
        Self {
            place: sample.place,
            orig: sample.orig,
            reply: sample.reply,
            status: sample.status,
            first_ns: sample.first_ns,
            last_ns: sample.last_ns,
        }
    }
}

/// What changed in a connection since the walk before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grown {
    /// Its packets and bytes since the walk before.
    pub counts: Counts,
    /// Whether its status has changed; true for a new connection.
    pub status: bool,
    /// Why it has ended, if it has.
    pub end: Option<EndReason>,
}

/// What the table remembers of a connection from one walk to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub orig: Counts,
    pub reply: Counts,
    pub first_ns: u64,
    pub last_ns: u64,
    /// The walk that last found it grown.
    pub changed_ns: u64,
    pub rates: Rates,
    pub gaps: Gaps,
    pub status: Status,
}

impl Known {
    pub fn new(seen: &Sighting, step: &mut Step, now_ns: u64) -> Self {
        let mut rates = Rates::new(seen.first_ns);
        rates.update(seen.orig, seen.reply, step);
        Self {
            orig: seen.orig,
            reply: seen.reply,
            first_ns: seen.first_ns,
            last_ns: seen.last_ns,
            changed_ns: now_ns,
            rates,
            gaps: Gaps::new(seen.orig, seen.reply, now_ns),
            status: seen.status,
        }
    }

    /// Takes in what a walk sees. `silence` leads to the walk before, `step` from there to this one.
    pub fn update(
        &mut self,
        seen: &Sighting,
        silence: &mut Step,
        step: &mut Step,
        now_ns: u64,
    ) -> Counts {
        let (orig, reply) = (seen.orig.since(self.orig), seen.reply.since(self.reply));
        let grown = orig + reply;
        // A walk may come between the two adds of a packet: its bytes are then seen without it, or after it.
        if grown != Counts::default() {
            self.changed_ns = now_ns;
            // What came, came since the walk before: it is not spread over the silence that was before that.
            self.rates = self.rates.decayed(silence);
            self.rates.update(orig, reply, step);
            self.gaps
                .update(orig.packets > 0, reply.packets > 0, now_ns);
            (self.orig, self.reply) = (seen.orig, seen.reply);
        }
        // CPUs write it in any order: one that was held up may put back an earlier time.
        self.last_ns = self.last_ns.max(seen.last_ns);
        self.status = seen.status;
        grown
    }

    pub fn connection(&self, sample: &Sample, step: &mut Step) -> Connection {
        Connection {
            sample: Sample {
                orig: self.orig,
                reply: self.reply,
                status: self.status,
                last_ns: self.last_ns,
                ..*sample
            },
            rates: self.rates.decayed(step),
            gaps: self.gaps,
            changed_ns: self.changed_ns,
        }
    }
}
