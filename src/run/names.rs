//! Names on their way: from the wire and from resolvers into what the run knows.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Run;
use crate::console::say;
use crate::interface;
use crate::model::Connection;
use crate::model::text::Grouped;
use crate::names::{Message, Names};
use crate::netns;
use crate::plan::Shown;

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
        if self.plan.shown.has_names() && !self.tracker.has_names() {
            say(format_args!(
                "this kernel does not let the programs read DNS: addresses get no names from them"
            ));
        }
        if self.plan.resolve {
            let file = netns::resolver_file(self.plan.netns.as_deref());
            self.knowledge.names.ask_resolvers(&file)?;
        }
        Ok(())
    }

    /// Takes the DNS messages that passed.
    pub(super) fn learn_names(&mut self) -> Result<()> {
        let names = &mut self.knowledge.names;
        for message in self.tracker.take_dns()? {
            let mut attached = self.attachments.iter();
            let is_local = attached.any(|attachment| {
                attachment.interface.index == message.interface && attachment.interface.loopback
            });
            names.learn(Message {
                connection: message.connection,
                interface: message.interface,
                direction: message.direction,
                is_local,
                bytes: &message.bytes,
            });
        }
        let now = Instant::now();
        if names.has_learned() && self.own_addresses_due <= now {
            names.set_own(interface::addresses());
            self.own_addresses_due = now + OWN_ADDRESSES;
        }
        Ok(())
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
        if !self.plan.verbose || !self.tracker.has_names() {
            return Ok(());
        }
        let tally = self.knowledge.names.tally();
        let unread = self.tracker.unread_dns()?;
        say(format_args!(
            "names: {} addresses from {} DNS answers; refused {} malformed, {} unasked, {} that came as their query did, {} with bad names; \
             not read {} over the budget, {} too long, {} that came too fast",
            Grouped(tally.addresses),
            Grouped(tally.answers),
            Grouped(tally.malformed),
            Grouped(tally.unasked),
            Grouped(tally.same_way),
            Grouped(tally.bad_names),
            Grouped(unread.over_budget),
            Grouped(unread.too_long),
            Grouped(unread.lost),
        ));
        Ok(())
    }
}
