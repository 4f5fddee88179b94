//! DNS messages on their way: from the ring to what shows them, with the connections that they are of.

use std::collections::HashMap;
use std::io;

use anyhow::Result;

use super::Run;
use crate::bpf::{Payload, Payloads};
use crate::dns::{Message, Seen};
use crate::model::{ConnectionId, Ended, Facts as _, Sample, UnreadPayloads};

/// Messages that wait for their tick at most: some 10 MiB.
const HEARD_MAX: usize = 32_768;
/// So many of them may wait longer, until it is known whose their connection is, and so long: sockets are read now and then.
const HELD_MAX: usize = HEARD_MAX / 4;
const HELD_NS: u64 = 2_000_000_000;

/// A message that was taken from the ring.
struct Heard {
    payload: Payload,
    message: Option<Message>,
    /// Messages that had not been read before it came.
    unread: u64,
}

/// Those that wait for the next tick: then it is known whose their connections are.
#[derive(Default)]
pub(super) struct Hearing {
    heard: Vec<Heard>,
    /// Messages that were read and are told to nobody: there were too many, or their connection has ended.
    untold: u64,
    /// Messages that were not read, when some were last taken from the ring.
    unread: u64,
}

impl Hearing {
    /// So much was not read by now.
    pub fn note(&mut self, unread: u64) {
        self.unread = unread;
    }

    /// Keeps a message for who wants to know what it says.
    pub fn hear(&mut self, payload: Payload, message: Option<Message>) {
        if self.heard.len() >= HEARD_MAX {
            self.untold += 1;
            return;
        }
        self.heard.push(Heard {
            payload,
            message,
            unread: self.unread,
        });
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
        Ok(Some(unread))
    }

    /// Hands over the messages that were read, oldest first; `ended` are the connections that have just ended.
    pub(super) fn hand_over_dns(&mut self, ended: &[Ended], now_ns: u64) -> io::Result<()> {
        let all = std::mem::take(&mut self.hearing.heard);
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
                self.hearing.heard.push(heard);
            } else if let Some(sample) = live {
                given = given.and(self.tell(&heard, &sample));
            } else {
                self.hearing.untold += 1;
            }
        }
        given
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
            && self.hearing.heard.len() < HELD_MAX
            && now_ns.saturating_sub(heard.payload.ns) < HELD_NS
    }
}
