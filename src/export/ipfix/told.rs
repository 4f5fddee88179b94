//! What a collector was told of a connection, and when each direction had its first and its last packet since then. Pure.
//!
//! The kernel keeps the time of a connection's first packet, of its first reply and of its latest packet. The others are known from
//! one look to the next: where both directions had several packets between two looks, their times are those of the looks.

use std::num::NonZeroU64;

use crate::model::{Counts, Sample};

/// One direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ToldDirection {
    /// As the collector was told.
    told: Counts,
    /// As they were at the latest look.
    seen: Counts,
    /// The first packet that was not told yet, in nanoseconds of `CLOCK_MONOTONIC`.
    first_ns: Option<NonZeroU64>,
    /// The latest packet.
    last_ns: Option<NonZeroU64>,
}

/// A connection that goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub orig: ToldDirection,
    pub reply: ToldDirection,
    /// When the collector was last told; 0 = never.
    pub at_ns: u64,
}

/// What one direction did since it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub counts: Counts,
    pub first_ns: u64,
    pub last_ns: u64,
    /// Whether it ever had a packet.
    pub is_used: bool,
}

/// What the kernel dropped of a connection behind the hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// Of the originator's packets.
    pub orig: Counts,
    /// Of the responder's.
    pub reply: Counts,
}

impl Losses {
    pub fn of(sample: &Sample) -> Self {
        let reply = sample.reply_dropped;
        let orig = sample.dropped.total().since(reply);
        Self { orig, reply }
    }

    pub fn since(self, before: Self) -> Self {
        Self {
            orig: self.orig.since(before.orig),
            reply: self.reply.since(before.reply),
        }
    }

    /// Originator and responder change places.
    pub fn turn(&mut self) {
        std::mem::swap(&mut self.orig, &mut self.reply);
    }
}

impl Told {
    /// A look at the connection; the one before was at `looked_ns`.
    pub fn look(&mut self, sample: &Sample, looked_ns: u64) {
        let grows = [
            sample.orig.since(self.orig.seen).packets,
            sample.reply.since(self.reply.seen).packets,
        ];
        let is_alone = grows.contains(&0);
        self.orig.look(
            sample.orig,
            Some(sample.first_ns),
            sample.last_ns,
            looked_ns,
            is_alone,
        );
        self.reply.look(
            sample.reply,
            sample.first_reply_ns,
            sample.last_ns,
            looked_ns,
            is_alone,
        );
    }

    /// Originator and responder change places.
    pub fn turn(&mut self) {
        std::mem::swap(&mut self.orig, &mut self.reply);
    }

    /// All that it did is told.
    pub fn tell(&mut self, now_ns: u64) {
        self.at_ns = now_ns;
        for way in [&mut self.orig, &mut self.reply] {
            way.told = way.seen;
            way.first_ns = None;
        }
    }
}

impl ToldDirection {
    /// `first_ns` is the first packet that this direction ever had, `last_ns` the latest one of both.
    fn look(
        &mut self,
        now: Counts,
        first_ns: Option<u64>,
        last_ns: u64,
        looked_ns: u64,
        is_alone: bool,
    ) {
        let new = now.since(self.seen).packets;
        if new == 0 {
            return;
        }
        let begins = first_ns.filter(|_| self.seen.packets == 0);
        // One packet has one time: that of its first, or the latest of all where the other direction had none.
        let single = (new == 1).then(|| begins.or_else(|| is_alone.then_some(last_ns)));
        let (first, last) = match single.flatten() {
            Some(only) => (only, only),
            None => (begins.unwrap_or_else(|| looked_ns.min(last_ns)), last_ns),
        };
        self.first_ns = self.first_ns.or(NonZeroU64::new(first));
        self.last_ns = NonZeroU64::new(last);
        self.seen = now;
    }

    /// What it did since it was told; without a packet, when it had its latest.
    pub fn done(&self, sample: &Sample) -> Done {
        let last_ns = self.last_ns.map_or(sample.last_ns, NonZeroU64::get);
        Done {
            counts: self.seen.since(self.told),
            first_ns: self.first_ns.map_or(last_ns, NonZeroU64::get),
            last_ns,
            is_used: self.seen.packets > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        ConnectionId, DropClass, Dropped, Heard, Ifindex, Place, Response, Role, Status, Vlans,
    };

    const SECOND: u64 = 1_000_000_000;

    /// Packets each way, first packet, first reply, latest packet.
    fn sample(packets: [u64; 2], first_ns: u64, reply_ns: u64, last_ns: u64) -> Sample {
        let counts = |packets| Counts {
            packets,
            bytes: 100 * packets,
        };
        Sample {
            id: ConnectionId(1),
            place: Place::default(),
            ifindex: Ifindex(2),
            reply_ifindex: None,
            vlans: Vlans::default(),
            originator: "192.0.2.1:1".parse().unwrap(),
            responder: "192.0.2.2:2".parse().unwrap(),
            role: Role::Seen,
            orig: counts(packets[0]),
            reply: counts(packets[1]),
            status: Status::Replied,
            unreachable: None,
            first_ns,
            last_ns,
            first_reply_ns: (reply_ns > 0).then_some(reply_ns),
            orig_ttl: None,
            reply_ttl: None,
            orig_class: None,
            reply_class: None,
            response: Response::default(),
            dropped: Dropped::default(),
            round_trip: None,
            reply_dropped: Counts::default(),
            dns: None,
            heard: Heard::Nothing,
        }
    }

    fn times(way: ToldDirection, sample: &Sample) -> (u64, u64, u64) {
        let done = way.done(sample);
        (done.counts.packets, done.first_ns, done.last_ns)
    }

    #[test]
    fn a_packet_each_way_has_its_own_time() {
        let mut told = Told::default();
        let sample = sample([1, 1], 5, 9, 9);
        told.look(&sample, 0);
        assert_eq!(times(told.orig, &sample), (1, 5, 5));
        assert_eq!(times(told.reply, &sample), (1, 9, 9));
    }

    /// One answer, then ten more requests: the answer's record has its moment alone.
    #[test]
    fn an_answer_is_not_as_long_as_the_connection() {
        let mut told = Told::default();
        told.look(&sample([2, 1], 5, 9, SECOND / 2), 0);
        let later = sample([12, 1], 5, 9, 2 * SECOND);
        told.look(&later, SECOND);
        assert_eq!(times(told.orig, &later), (12, 5, 2 * SECOND));
        assert_eq!(times(told.reply, &later), (1, 9, 9));
    }

    #[test]
    fn what_was_told_is_not_told_again() {
        let mut told = Told::default();
        let first = sample([3, 0], 5, 0, SECOND / 2);
        told.look(&first, 0);
        told.tell(SECOND);
        // Nothing: the end has the time of the latest packet.
        assert_eq!(times(told.orig, &first), (0, SECOND / 2, SECOND / 2));
        assert!(told.orig.done(&first).is_used && !told.reply.done(&first).is_used);
        // One packet of one side: that is the latest of all.
        let second = sample([4, 0], 5, 0, SECOND + 7);
        told.look(&second, SECOND);
        assert_eq!(times(told.orig, &second), (1, SECOND + 7, SECOND + 7));
        // Several, between two looks.
        let third = sample([9, 0], 5, 0, 2 * SECOND + 7);
        told.look(&third, 2 * SECOND);
        assert_eq!(times(told.orig, &third), (6, SECOND + 7, 2 * SECOND + 7));
    }

    #[test]
    fn losses_are_of_the_direction_that_had_them() {
        let counts = |packets| Counts {
            packets,
            bytes: 100 * packets,
        };
        let mut sample = sample([9, 9], 5, 9, 9);
        sample.dropped.add(DropClass::Queue, counts(1));
        let before = Losses::of(&sample);
        sample.dropped.add(DropClass::Queue, counts(2));
        sample.dropped.add(DropClass::SocketBuffer, counts(3));
        sample.reply_dropped = counts(2);
        let mut losses = Losses::of(&sample).since(before);
        let [orig, reply] = [counts(3), counts(2)];
        assert_eq!(losses, Losses { orig, reply });
        losses.turn();
        let [orig, reply] = [counts(2), counts(3)];
        assert_eq!(losses, Losses { orig, reply });
    }

    #[test]
    fn times_turn_with_the_roles() {
        let mut told = Told::default();
        let sample = sample([1, 1], 5, 9, 9);
        told.look(&sample, 0);
        told.turn();
        assert_eq!(times(told.orig, &sample), (1, 9, 9));
    }
}
