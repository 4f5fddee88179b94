//! DNS messages: from the ring buffer to the outputs, with their connections.

use std::collections::HashMap;
use std::io;

use anyhow::Result;

use super::Run;
use crate::bpf::{Payload, Payloads};
use crate::dns::{Message, Seen};
use crate::model::{ConnectionId, Ended, Facts as _, Sample, UnreadPayloads};

/// Memory of the messages that wait for their tick at most, in bytes: some 40,000 of the usual ones.
const HEARD_MAX: usize = 16 << 20;
/// How much of it may wait longer, and how long, until the process of its connection is known: sockets are read only now and then.
const HELD_MAX: usize = HEARD_MAX / 4;
const HELD_NS: u64 = 2_000_000_000;

/// A message that was taken from the ring.
struct Heard {
    payload: Payload,
    message: Option<Message>,
    /// Messages that had not been read before it came.
    unread: u64,
}

impl Heard {
    /// How much memory it takes, in bytes.
    fn memory(&self) -> usize {
        size_of::<Self>() + self.message.as_ref().map_or(0, Message::memory)
    }
}

/// Those that wait for the next tick: then it is known whose their connections are.
#[derive(Default)]
pub(super) struct Hearing {
    heard: Vec<Heard>,
    /// How much memory they take, in bytes.
    memory: usize,
    /// Messages that were read and are told to nobody: there were too many, or their connection has ended.
    untold: u64,
    /// Messages that were not read, when some were last taken from the ring.
    unread: u64,
    /// Messages of a capture that has too little of them to read.
    cut: u64,
}

impl Hearing {
    /// How much was not read so far.
    pub fn note(&mut self, unread: u64) {
        self.unread = unread;
    }

    /// One more cannot be read: the capture has too little of it.
    pub fn note_cut(&mut self) {
        self.cut += 1;
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.heard.is_empty()
    }

    /// Keeps a message for who wants to know what it says.
    pub fn hear(&mut self, mut payload: Payload, message: Option<Message>) {
        // It was read.
        payload.bytes = Box::default();
        let heard = Heard {
            payload,
            message,
            unread: self.unread,
        };
        if self.memory + heard.memory() > HEARD_MAX {
            self.untold += 1;
        } else {
            self.keep(heard);
        }
    }

    fn keep(&mut self, heard: Heard) {
        self.memory += heard.memory();
        self.heard.push(heard);
    }

    /// All that were heard, oldest first.
    fn take(&mut self) -> Vec<Heard> {
        self.memory = 0;
        std::mem::take(&mut self.heard)
    }
}

impl Run {
    /// What was not read so far, where somebody wants it. What was read and could not be told came too fast, too.
    pub(super) fn unread(&self) -> Result<Option<UnreadPayloads>> {
        if self.tracker.payloads() == Payloads::Off {
            return Ok(None);
        }
        let mut unread = self.tracker.unread_payloads()?;
        unread.ring_full += self.hearing.untold;
        unread.cut = self.hearing.cut;
        Ok(Some(unread))
    }

    /// Hands over the messages that were read, oldest first; `ended` are the connections that have just ended.
    pub(super) fn hand_over_dns(&mut self, ended: &[Ended], now_ns: u64) -> io::Result<()> {
        let all = self.hearing.take();
        if all.is_empty() {
            return Ok(());
        }
        let sample = |ended: &Ended| (ended.sample.id, ended.sample);
        let ended: HashMap<ConnectionId, Sample> = ended.iter().map(sample).collect();
        let mut given = Ok(());
        for heard in all {
            let connection = heard.payload.connection;
            if let Some(sample) = ended.get(&connection) {
                given = given.and(self.tell(&heard, sample));
                continue;
            }
            let live = self.table.get(heard.payload.place);
            let live = live
                .map(|live| live.sample)
                .filter(|one| one.id == connection);
            if self.may_wait(&heard, live.as_ref(), now_ns) {
                self.hearing.keep(heard);
            } else if let Some(sample) = live {
                given = given.and(self.tell(&heard, &sample));
            } else {
                self.hearing.untold += 1;
            }
        }
        given
    }

    /// The same before the next tick, where a capture has more of them in a second than may wait.
    pub(super) fn hand_over_many_dns(&mut self) -> Result<()> {
        if self.hearing.memory < HEARD_MAX / 2 {
            return Ok(());
        }
        self.refresh()?;
        Ok(self.hand_over_dns(&[], u64::MAX)?)
    }

    fn tell(&mut self, heard: &Heard, sample: &Sample) -> io::Result<()> {
        let payload = &heard.payload;
        let seen = Seen {
            sample,
            message: heard.message.as_ref(),
            from_originator: payload.from_originator,
            time_ns: payload.ns,
            interface: payload.interface,
            unread: heard.unread,
        };
        self.sinks.dns(&seen, &self.knowledge)
    }

    /// Whether the next tick may know more of it: of a connection that the walk has not met yet, or which process asks.
    fn may_wait(&self, heard: &Heard, live: Option<&Sample>, now_ns: u64) -> bool {
        let is_unknown = live.is_none_or(|sample| {
            self.plan.processes && self.knowledge.processes(sample).is_unknown()
        });
        is_unknown
            && self.hearing.memory < HELD_MAX
            && now_ns.saturating_sub(heard.payload.ns) < HELD_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Direction, Ifindex, Place};

    /// An answer of 1,167 bytes that is 130 kB of text: its records point to one name, of bytes that are no text.
    fn swollen() -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [1_u16, 0x8180, 1, 64, 0, 0] {
            bytes.extend(word.to_be_bytes());
        }
        for length in [63_u8, 63, 63, 61] {
            bytes.push(length);
            bytes.extend(vec![0xff; length.into()]);
        }
        bytes.extend([0, 0, 1, 0, 1]);
        for _ in 0..64 {
            bytes.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x02\xc0\x0c");
        }
        bytes
    }

    #[test]
    fn what_waits_takes_no_more_memory_however_little_it_was_on_the_wire() {
        let bytes = swollen();
        assert_eq!(bytes.len(), 1167);
        let message = Message::read(&bytes);
        let memory = message.as_ref().unwrap().memory();
        assert!((130_000..150_000).contains(&memory), "{memory}");
        let payload = Payload {
            connection: ConnectionId(1),
            place: Place(0),
            interface: Ifindex(1),
            direction: Direction::Ingress,
            from_originator: true,
            ordinal: 1,
            source_port: 53,
            destination_port: 40_000,
            ns: 0,
            length: bytes.len(),
            bytes: bytes.into(),
        };
        let mut hearing = Hearing::default();
        for _ in 0..200 {
            hearing.hear(payload.clone(), message.clone());
            assert!(hearing.memory <= HEARD_MAX);
        }
        let taken = hearing.take();
        assert!(taken.iter().all(|heard| heard.payload.bytes.is_empty()));
        assert_eq!(taken.len() as u64 + hearing.untold, 200);
        assert!(hearing.untold > 0);
        assert_eq!(hearing.memory, 0);
    }
}
