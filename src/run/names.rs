//! Names: from DNS answers and from resolvers into what the run knows.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Knowledge, Run};
use crate::bpf::{Payload, Payloads};
use crate::console::say;
use crate::dns::Message;
use crate::interface;
use crate::model::Connection;
use crate::model::text::Grouped;
use crate::names::{Names, Passed};
use crate::netns;
use crate::plan::Shown;

/// The port of DNS. What mDNS and LLMNR say, anybody on the link may have said.
const DNS: u16 = 53;
/// How often this machine's addresses are read anew.
const OWN_ADDRESSES: Duration = Duration::from_secs(1);

/// What there is of names at the start.
pub(crate) fn names(shown: &Shown) -> Names {
    if shown.has_names() {
        Names::new()
    } else {
        Names::none()
    }
}

impl Run {
    /// Starts a thread, if resolvers are to be asked: to be called when the process has given up its rights.
    pub(super) fn ask_resolvers(&mut self) -> Result<()> {
        let has_asked = self.plan.payloads() != Payloads::Off;
        if self.plan.shown.has_names() && has_asked && self.tracker.payloads() == Payloads::Off {
            say(format_args!(
                "this kernel does not let the programs read DNS: addresses have no names"
            ));
        }
        if self.plan.resolve {
            let file = netns::resolver_file(self.plan.netns.as_deref());
            self.knowledge.names.ask_resolvers(&file)?;
        }
        Ok(())
    }

    /// Takes the payloads that passed: what connections speak goes into the table, and of DNS names are learnt. Returns how many there
    /// were.
    pub(super) fn hear_payloads(&mut self) -> Result<usize> {
        let payloads = self.tracker.take_payloads()?;
        let taken = payloads.len();
        let (has_names, has_dns) = (self.plan.shown.has_names(), self.plan.shown.has_dns());
        let Knowledge { names, talks, .. } = &mut self.knowledge;
        for payload in payloads {
            if let Some(heard) = talks.hear(&payload) {
                self.tracker
                    .set_heard(payload.place, payload.connection, heard);
            }
            let teaches = has_names && names_hosts(&payload);
            let is_told = has_dns && is_dns(&payload);
            let is_cut = self.plan.is_replay() && is_dns(&payload) && payload.is_cut_by_capture();
            if !teaches && !is_told && !is_cut {
                continue;
            }
            let message = Message::read(&payload.bytes);
            if is_cut && message.is_none() {
                self.hearing.note_cut();
                continue;
            }
            if teaches {
                let mut attached = self.attachments.iter();
                let is_local = attached.any(|attachment| {
                    attachment.interface.index == payload.interface && attachment.interface.loopback
                });
                names.learn(&Passed {
                    connection: payload.connection,
                    interface: payload.interface,
                    direction: payload.direction,
                    from_originator: payload.from_originator,
                    is_local,
                    message: message.as_ref(),
                });
            }
            if is_told {
                self.hearing.hear(payload, message);
            }
        }
        let now = Instant::now();
        // Of a capture, nobody knows which they were.
        if names.has_learned() && self.own_addresses_due <= now && !self.plan.is_replay() {
            names.set_own(interface::addresses());
            self.own_addresses_due = now + OWN_ADDRESSES;
        }
        Ok(taken)
    }

    /// Sends reverse queries for the addresses of connections with traffic since then, where resolvers are asked. Never waits.
    pub(super) fn look_up_names(&mut self, since_ns: u64) {
        let names = &mut self.knowledge.names;
        if names.asks_resolvers() {
            for Connection { sample, .. } in self.table.grown_since(since_ns) {
                names.want(sample.originator.ip());
                names.want(sample.responder.ip());
            }
            names.tick(Instant::now());
        }
    }

    /// What came of the DNS answers, for who wants to know more.
    pub(super) fn say_names(&self) -> Result<()> {
        if !self.plan.verbose || self.tracker.payloads() == Payloads::Off {
            return Ok(());
        }
        let tally = self.knowledge.names.tally();
        let unread = self.unread()?.unwrap_or_default();
        say(format_args!(
            "names: {} addresses from {} DNS answers; refused: {} malformed, {} without a query, {} on the path of their query, {} with bad names",
            Grouped(tally.addresses),
            Grouped(tally.answers),
            Grouped(tally.malformed),
            Grouped(tally.unasked),
            Grouped(tally.same_way),
            Grouped(tally.bad_names),
        ));
        say(format_args!(
            "payloads not read: {} DNS messages and {} others over the budget, {} too long, {} too fast, {} in merged packets, {} in fragments, \
             {} cut in a capture, {} out of reach",
            Grouped(unread.dns_over_budget),
            Grouped(unread.over_budget),
            Grouped(unread.too_long),
            Grouped(unread.ring_full),
            Grouped(unread.merged),
            Grouped(unread.fragments),
            Grouped(unread.cut),
            Grouped(unread.out_of_reach),
        ));
        let unheard = self.knowledge.talks.unheard_quic();
        if unheard > 0 {
            say(format_args!(
                "QUIC: udptrack did not read the whole handshake of {} connections: too many began at once",
                Grouped(unheard)
            ));
        }
        Ok(())
    }
}

/// Whether it is of DNS, mDNS or LLMNR, by its ports.
fn is_dns(payload: &Payload) -> bool {
    let ports = [payload.source_port, payload.destination_port];
    ports.iter().any(|port| [DNS, 5353, 5355].contains(port))
}

/// Whether names are learnt from it: whole queries to port 53, and whole answers from it.
fn names_hosts(payload: &Payload) -> bool {
    let Some(flags) = payload.bytes.get(2) else {
        return false;
    };
    let port = if flags & 0x80 == 0 {
        payload.destination_port
    } else {
        payload.source_port
    };
    port == DNS && !payload.is_cut()
}
