//! What changed at each socket from one look to the next.

use std::collections::HashMap;

use super::{Counters, Reading, percent};

/// All sockets of a network namespace at one moment.
#[derive(Debug)]
pub struct Look {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub now_ns: u64,
    /// The sockets.
    pub readings: Vec<Reading>,
    /// What the kernel had counted just before it was asked for them.
    pub before: Option<Counters>,
    /// The same just afterwards.
    pub after: Option<Counters>,
}

/// Why a socket dropped datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its receive buffer had no room.
    Buffer,
    /// All UDP sockets of the machine together had no memory left.
    Memory,
    /// They had wrong checksums.
    Checksum,
    /// A filter of the socket, or a policy of `IPsec`, refused them.
    Refused,
}

impl Cause {
    /// As records have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Buffer => "buffer",
            Self::Memory => "memory",
            Self::Checksum => "checksum",
            Self::Refused => "refused",
        }
    }
}

/// A socket, and what was seen of it so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    /// As it is now.
    pub reading: Reading,
    /// Bytes that waited when most did, of all looks: between two of them it may have been more.
    pub queued_most: u32,
    /// The buffer was full: that was seen, or a drop proves it.
    pub was_full: bool,
    /// The same of the latest look alone, and of the time since the one before.
    pub is_full: bool,
    /// Datagrams dropped since the first look.
    pub drops_seen: u64,
    /// Datagrams dropped a second since the last snapshot.
    pub drop_rate: f32,
    /// Why, the latest time.
    pub cause: Option<Cause>,
    /// The most datagrams that were dropped between two looks at which the buffer had room.
    pub burst: u64,
    /// The buffer still has no room: the burst may go on.
    pub goes_on: bool,
    /// Memory that a datagram takes, on average, when most were seen to wait.
    pub datagram_bytes: Option<u32>,
    /// How long nothing was read, although something waited.
    pub stands_ns: u64,
    /// How long the buffer was more than half full at every look.
    pub behind_ns: u64,
}

impl State {
    /// How full it was at most, in percent, rounded down: as far as was seen, or as drops prove.
    #[must_use]
    pub fn most_percent(&self) -> u32 {
        let seen = percent(self.queued_most, self.reading.receive_buffer);
        if self.was_full { seen.max(100) } else { seen }
    }

    /// Which part of the buffer is used, as [`crate::model::Buffer`] has it.
    #[must_use]
    pub fn fill(&self) -> f64 {
        let reading = &self.reading;
        let seen = f64::from(reading.queued) / f64::from(reading.receive_buffer.max(1));
        if self.is_full { seen.max(1.0) } else { seen }
    }
}

/// What is kept of a socket between two looks.
#[derive(Clone, Copy, Debug)]
struct History {
    state: State,
    /// The look that it was part of last.
    look: u64,
    /// What was dropped when the last snapshot was taken.
    shown_drops: u64,
    /// When the buffer was first without room, and was at each look since.
    behind_since_ns: Option<u64>,
    /// When what is read next was first seen to be that.
    stands_since_ns: Option<u64>,
    /// Dropped since the buffer had room.
    burst: u64,
    /// As many waited when the mean was taken.
    datagrams: u32,
}

/// Follows all sockets.
#[derive(Debug, Default)]
pub struct Watch {
    known: HashMap<(u64, u64), History>,
    looks: u64,
    now_ns: u64,
    before: Option<Counters>,
    began_ns: u64,
    shown_ns: u64,
}

impl Watch {
    /// Takes a look. The first one is what later ones are compared with.
    pub fn look(&mut self, look: &Look) {
        let is_first = self.looks == 0;
        if is_first {
            self.began_ns = look.now_ns;
            self.shown_ns = look.now_ns;
        }
        self.looks += 1;
        self.now_ns = look.now_ns;
        let new_drops = |watch: &Self, reading: &Reading| match watch.known.get(&reading.key()) {
            Some(known) => u64::from(reading.drops.wrapping_sub(known.state.reading.drops)),
            // What was opened since then has dropped all of them since then.
            None if !is_first => u64::from(reading.drops),
            None => 0,
        };
        let total: u64 = look
            .readings
            .iter()
            .map(|reading| new_drops(self, reading))
            .sum();
        let counted = look
            .after
            .zip(self.before)
            .map(|(now, then)| now.since(then));
        let looks = self.looks;
        for reading in &look.readings {
            let drops = new_drops(self, reading);
            let history = self
                .known
                .entry(reading.key())
                .or_insert_with(|| History::new(*reading));
            let lacked_room = history.state.reading.lacks_room() || reading.lacks_room();
            let cause = (drops > 0).then(|| cause(counted, total, lacked_room));
            history.take(*reading, drops, cause, look.now_ns);
            history.look = looks;
        }
        self.known.retain(|_, history| history.look == looks);
        self.before = look.before;
    }

    /// Each socket as the latest look had it, in no order. Rates are since the last snapshot.
    pub fn snapshot(&mut self) -> Vec<State> {
        #[expect(clippy::cast_precision_loss, reason = "a rate is for people")]
        let rate = |drops: u64, ns: u64| {
            if ns == 0 {
                0.0
            } else {
                drops as f32 * 1e9 / ns as f32
            }
        };
        let passed_ns = self.now_ns - self.shown_ns;
        self.shown_ns = self.now_ns;
        let states = self.known.values_mut().map(|history| {
            let drops = history.state.drops_seen - history.shown_drops;
            history.shown_drops = history.state.drops_seen;
            history.state.drop_rate = rate(drops, passed_ns);
            history.state
        });
        states.collect()
    }

    /// The same for who asks for no rates.
    pub fn states(&self) -> impl Iterator<Item = &State> {
        self.known.values().map(|history| &history.state)
    }

    /// How long it has looked.
    #[must_use]
    pub fn looked_ns(&self) -> u64 {
        self.now_ns - self.began_ns
    }
}

/// Why, as far as the kernel's counts of the namespace say it: all sockets dropped `total` meanwhile.
fn cause(counted: Option<Counters>, total: u64, lacked_room: bool) -> Cause {
    match counted {
        None => Cause::Buffer,
        Some(counted) if counted.buffer >= total => Cause::Buffer,
        Some(counted) if counted.buffer > 0 && lacked_room => Cause::Buffer,
        Some(counted) if counted.memory > 0 => Cause::Memory,
        Some(counted) if counted.checksum > 0 => Cause::Checksum,
        Some(counted) if counted.buffer > 0 => Cause::Buffer,
        Some(_) => Cause::Refused,
    }
}

impl Reading {
    /// Less than half is left. What was read is given back by quarters, so of a reader that is behind more is never seen.
    fn lacks_room(&self) -> bool {
        self.charged > self.receive_buffer / 2
    }
}

impl History {
    fn new(reading: Reading) -> Self {
        Self {
            state: State {
                reading,
                queued_most: 0,
                was_full: false,
                is_full: false,
                drops_seen: 0,
                drop_rate: 0.0,
                cause: None,
                burst: 0,
                goes_on: false,
                datagram_bytes: None,
                stands_ns: 0,
                behind_ns: 0,
            },
            look: 0,
            shown_drops: 0,
            behind_since_ns: None,
            stands_since_ns: None,
            burst: 0,
            datagrams: 0,
        }
    }

    fn take(&mut self, reading: Reading, drops: u64, cause: Option<Cause>, now_ns: u64) {
        let state = &mut self.state;
        let is_same = reading.next != 0 && reading.next == state.reading.next;
        // A socket's first look is compared with itself.
        let stands_since = self.stands_since_ns.filter(|_| is_same);
        self.stands_since_ns = (reading.next != 0).then(|| stands_since.unwrap_or(now_ns));
        state.stands_ns = self.stands_since_ns.map_or(0, |since| now_ns - since);
        state.drops_seen += drops;
        state.cause = cause.or(state.cause);
        state.is_full = cause == Some(Cause::Buffer) || reading.queued >= reading.receive_buffer;
        state.was_full |= state.is_full;
        if cause == Some(Cause::Buffer) {
            self.burst += drops;
            state.burst = state.burst.max(self.burst);
        }
        state.queued_most = state.queued_most.max(reading.queued);
        if reading.datagrams > 0 && reading.datagrams >= self.datagrams {
            self.datagrams = reading.datagrams;
            state.datagram_bytes = Some(reading.queued / reading.datagrams);
        }
        state.goes_on = reading.lacks_room();
        if state.goes_on {
            self.behind_since_ns.get_or_insert(now_ns);
        } else {
            self.behind_since_ns = None;
            self.burst = 0;
        }
        state.behind_ns = self.behind_since_ns.map_or(0, |since| now_ns - since);
        state.reading = reading;
    }
}

#[cfg(test)]
mod tests;
