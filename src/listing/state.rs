//! How a server does, or any other group of connections: the one place where that is judged.
//!
//! A connection is an exchange, a stream, or one-way ([`Traffic`]). Requests are judged where they are exchanged: of a stream, where each
//! end sends on its own clock, nothing is lost or late, and what is one-way expects no answer.

use super::group::Group;
use crate::model::services::{OneWayPorts, answers};
use crate::model::{Protocol, RESPONSE_BUCKETS, Response, Sample, is_to_many};

/// After this number of packets without an answer, a service is one-way, unless it is known to answer.
pub(super) const ONE_WAY_PACKETS: u64 = 10;
/// A stream is one-way if at most one packet comes back for this number of packets: iperf3 says hello once.
const ONE_WAY_SHARE: u64 = 100;
/// It is also one-way if only its first packets were answered (a hello, then data at any pace) and its service is not known to answer: at
/// least this number of packets for each answer, and at most `GREETINGS` answers.
const GREETED_SHARE: u64 = 20;
const GREETINGS: u64 = 2;
/// Losses below this share of the requests, in percent, and below this number are no reason to say so.
const LOSSY_PERCENT: u64 = 5;
const LOSSY_REQUESTS: u64 = 2;
/// A server that answered before is dead after this number of lost requests in a row.
const DEAD_REQUESTS: u64 = 2;
/// The same for a server that has answered in the last minute, but not in the latest seconds.
const DEAD_AT_ONCE: u64 = 5;
/// A server is slow if its median is this multiple of the one before, at least `SLOW_NS`, and of at least `SLOW_ANSWERS` answers.
const SLOW_TIMES: u64 = 8;
const SLOW_NS: u64 = 10_000_000;
const SLOW_ANSWERS: u64 = 3;

/// How a server does. The worst is the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// It was asked, and answers nothing.
    Dead,
    /// An ICMP error came back, and no answer.
    Refused,
    /// This machine dropped packets of it for want of room: a socket's buffer, the kernel's memory, or a queue was full.
    Dropping,
    /// It answers, but at least 5 % of the requests, and at least two, were lost.
    Lossy,
    /// It answers at least eight times as slowly as before, and in 10 ms at least.
    Slow,
    /// Nothing is wrong with it.
    #[default]
    Ok,
    /// It is sent to, and does not answer: no answer is expected.
    OneWay,
}

impl State {
    /// All of them, worst first.
    pub const ALL: [Self; 7] = [
        Self::Dead,
        Self::Refused,
        Self::Dropping,
        Self::Lossy,
        Self::Slow,
        Self::Ok,
        Self::OneWay,
    ];

    /// The word shown to people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Dead => "DEAD",
            Self::Refused => "REFUSED",
            Self::Dropping => "DROPS",
            Self::Lossy => "LOSSY",
            Self::Slow => "SLOW",
            Self::Ok => "ok",
            Self::OneWay => "one-way",
        }
    }

    /// The same for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Refused => "refused",
            Self::Dropping => "drops",
            Self::Lossy => "lossy",
            Self::Slow => "slow",
            Self::Ok => "ok",
            Self::OneWay => "one-way",
        }
    }

    /// Whether requests got no answer.
    #[must_use]
    pub fn is_unanswered(self) -> bool {
        matches!(self, Self::Dead | Self::Refused | Self::Lossy)
    }

    /// Of one connection, over the whole of it.
    #[must_use]
    pub fn of(sample: &Sample, ports: &OneWayPorts) -> Self {
        Group::alone(sample, ports).state
    }
}

/// Whether only answers are seen of a connection: the requests take another way, or go past the hooks.
#[must_use]
pub fn is_answers_only(sample: &Sample) -> bool {
    let Sample { orig, reply, .. } = sample;
    if orig.packets == 0 {
        return reply.packets > 0;
    }
    // A service that answers sends where nobody was seen to ask.
    reply.packets == 0
        && sample.response.answered == 0
        && answers(sample.originator.port())
        && !answers(sample.responder.port())
        && !is_to_many(sample.responder.ip())
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Traffic {
    /// Requests and their answers.
    Exchange,
    /// Each end sends on its own clock: QUIC, RTP, a VPN. Or the answers come from many: multicast.
    Stream,
    /// No answer is expected.
    OneWay,
}

impl Traffic {
    /// What can be told from what it says, and from the counts.
    #[must_use]
    pub fn of(sample: &Sample, ports: &OneWayPorts) -> Self {
        let Sample {
            orig,
            reply,
            responder,
            response,
            ..
        } = sample;
        let is_to_many = is_to_many(responder.ip());
        let said = sample.heard.protocol();
        if reply.packets == 0 && response.answered == 0 {
            let is_refused = sample.is_refused();
            let is_silent =
                orig.packets >= ONE_WAY_PACKETS && !answers(responder.port()) && !is_refused;
            return if is_to_many
                || is_silent
                || ports.has(responder.port())
                || said.is_some_and(Protocol::is_one_way)
                || is_answers_only(sample)
            {
                Self::OneWay
            } else {
                Self::Exchange
            };
        }
        let Response { answered, lost, .. } = *response;
        let asked = response.asked();
        let unasked = reply.packets.saturating_sub(answered);
        let not_asking = orig.packets.saturating_sub(asked);
        // Where ids tell which answer is whose, packets say nothing more: of a connection that was there before the run, requests are
        // counted since it is known who asks.
        let is_exchange = said.is_some_and(|said| said.has_ids_at(responder.port()));
        let is_clocked = unasked > answered / 4 + lost
            || not_asking > asked / 4 + lost
            // Each may be the late answer to a request that counts as lost: one end sends twice before the other does, and then that one.
            || (lost > 0 && unasked * 2 >= lost);
        let is_stream = said.is_some_and(Protocol::is_stream) || (is_clocked && !is_exchange);
        let is_greeted = (1..=GREETINGS).contains(&reply.packets)
            && reply.packets * GREETED_SHARE <= orig.packets
            && !answers(responder.port())
            && !sample.is_refused()
            && said.is_none();
        let is_taken = is_stream && reply.packets.saturating_mul(ONE_WAY_SHARE) <= orig.packets;
        if is_greeted || is_taken {
            Self::OneWay
        } else if is_to_many || is_stream {
            Self::Stream
        } else {
            Self::Exchange
        }
    }
}

/// What the requests of a group came to until a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub answered: u64,
    pub lost: u64,
    pub refused: u64,
    /// Packets that this machine dropped for want of room.
    pub overflowed: u64,
    pub histogram: [u32; RESPONSE_BUCKETS],
}

impl Tally {
    pub fn of(group: &Group) -> Self {
        let response = &group.response;
        Self {
            answered: response.answered,
            lost: response.lost,
            refused: group.refused,
            overflowed: group.dropped.overflowed(),
            histogram: response.histogram,
        }
    }

    pub fn since(&self, before: &Self) -> Self {
        let mut since = *self;
        since.answered = self.answered.saturating_sub(before.answered);
        since.lost = self.lost.saturating_sub(before.lost);
        since.overflowed = self.overflowed.saturating_sub(before.overflowed);
        since.refused = self.refused.saturating_sub(before.refused);
        for (mine, theirs) in since.histogram.iter_mut().zip(before.histogram) {
            *mine = mine.saturating_sub(theirs);
        }
        since
    }

    fn is_empty(&self) -> bool {
        (self.answered, self.lost, self.refused) == (0, 0, 0)
    }

    fn answers(&self) -> u64 {
        self.histogram.iter().copied().map(u64::from).sum()
    }

    /// The median of these answers, which were among those of `response`.
    fn median_ns(&self, response: &Response) -> Option<u64> {
        let among = Response {
            histogram: self.histogram,
            ..*response
        };
        among.percentile_ns(50)
    }
}

/// What was before the time that is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Before {
    /// What it had come to.
    pub tally: Tally,
    /// Requests that were lost until the latest answer.
    pub lost_at_answer: u64,
    /// Whether there was no answer for some seconds.
    pub is_silent: bool,
    /// Whether packets have come for some seconds, and this machine had room for all of them.
    pub has_room: bool,
}

/// Judges a group by what happened since `before`; by the whole, where nothing has happened since.
pub(super) fn judge(group: &Group, before: &Before) -> State {
    let all = Tally::of(group);
    let since = all.since(&before.tally);
    let recent = if since.is_empty() { all } else { since };
    // An error may be older than what is judged where traffic goes on against it.
    let is_refused = recent.refused > 0 && recent.answered == 0;
    if is_refused || (group.is_refusing && (since.answered == 0 || before.is_silent)) {
        return State::Refused;
    }
    let overflows = all.overflowed > 0 && !before.has_room;
    if group.is_one_way() {
        return if overflows {
            State::Dropping
        } else {
            State::OneWay
        };
    }
    let in_a_row = all.lost.saturating_sub(before.lost_at_answer);
    let dead_from = match (all.answered, since.answered) {
        (0, _) => 1,
        (_, 0) => DEAD_REQUESTS,
        _ if before.is_silent => DEAD_AT_ONCE,
        _ => u64::MAX,
    };
    if in_a_row >= dead_from && recent.lost > 0 {
        return State::Dead;
    }
    if overflows {
        return State::Dropping;
    }
    // Of these, the network can have lost what this machine did not drop.
    let lost = recent.lost.saturating_sub(recent.overflowed);
    let ended = recent.answered + recent.lost;
    if recent.answered > 0 && lost >= LOSSY_REQUESTS && lost * 100 >= ended * LOSSY_PERCENT {
        return State::Lossy;
    }
    if is_slow(&recent, &before.tally, &group.response) {
        return State::Slow;
    }
    State::Ok
}

fn is_slow(recent: &Tally, before: &Tally, response: &Response) -> bool {
    let medians = [recent, before].map(|tally| {
        let is_enough = tally.answers() >= SLOW_ANSWERS;
        tally.median_ns(response).filter(|_| is_enough)
    });
    let [Some(now), Some(then)] = medians else {
        return false;
    };
    now >= SLOW_NS && now >= then.saturating_mul(SLOW_TIMES)
}

#[cfg(test)]
mod tests;
