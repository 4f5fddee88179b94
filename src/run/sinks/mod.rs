//! The outputs of a run: lines or the live view, exporters, alerts, and the servers of the summary.

mod alerts;
mod commands;
mod display;
mod exports;
mod lines;
mod pace;
mod servers;
mod whole;

use std::io;

use anyhow::Result;

use alerts::Alerting;
pub(super) use display::{Display, Taken, interface_hooks};
pub(crate) use exports::try_out;
use exports::try_out_capture;
pub(crate) use lines::output;
pub(super) use lines::terminal_size;
use servers::Servers;

use super::captures::Captures;
use super::looking::Looking;
use crate::console::say;
use crate::dns::Seen;
use crate::export::{Ipfix, Prometheus};
use crate::interface::Interface;
use crate::model::{Buffer, Ended, Event, Facts, Sample, Sink, Tick};
use crate::plan::Plan;
use crate::sockets::Limits;

/// All of them.
pub(super) struct Sinks {
    pub display: Display,
    pub others: Others,
    /// What writes captures.
    pub captures: Option<Captures>,
    /// What looks at the sockets of this network namespace, where somebody wants that.
    looking: Option<Looking>,
}

/// All that show nothing themselves.
pub(super) struct Others {
    pub alerts: Alerting,
    pub servers: Option<Servers>,
    pub metrics: Option<Prometheus>,
    ipfix: Vec<Ipfix>,
}

impl Others {
    /// Opens what they need, with all rights and before anything is attached.
    pub fn open(plan: &Plan, interfaces: &[Interface]) -> Result<Self> {
        // Opened when all is attached, as what was in it is gone then.
        plan.captures.as_ref().map(try_out_capture).transpose()?;
        let ipfix = plan.collectors(interfaces).map(Ipfix::open);
        Ok(Self {
            ipfix: ipfix.collect::<Result<_>>()?,
            metrics: plan.metrics().map(Prometheus::open).transpose()?,
            servers: (!plan.quiet).then(|| Servers::new(plan.one_way_ports())),
            alerts: Alerting::new(plan)?,
        })
    }

    fn each(&mut self) -> impl Iterator<Item = &mut dyn Sink> {
        fn sink(sink: &mut impl Sink) -> &mut dyn Sink {
            sink
        }
        let ipfix = self.ipfix.iter_mut().map(sink);
        let metrics = self.metrics.iter_mut().map(sink);
        let servers = self.servers.iter_mut().map(sink);
        let all = ipfix.chain(metrics).chain(servers);
        all.chain([sink(&mut self.alerts)])
    }
}

impl Sinks {
    /// Loads what looks at sockets, if somebody wants that. Needs all rights. Without it, all else is there.
    pub fn new(plan: &Plan, display: Display, others: Others, captures: Option<Captures>) -> Self {
        let looking = plan.looks_at_sockets().then(|| {
            let mut looking = Looking::start(Limits::read())?;
            looking.look()?;
            Ok::<_, anyhow::Error>(looking)
        });
        let not_known = |error| say(format_args!("udptrack cannot look at sockets: {error:#}"));
        Self {
            display,
            others,
            captures,
            looking: looking.and_then(|looking| looking.map_err(not_known).ok()),
        }
    }

    /// Whether it is known how full the buffers of sockets are.
    pub fn look_at_sockets(&self) -> bool {
        self.looking.is_some()
    }

    /// The display comes last: at the end it may wait for its reader, while exporters send.
    fn each(&mut self) -> impl Iterator<Item = &mut dyn Sink> {
        let display: &mut dyn Sink = &mut self.display;
        let captures = self.captures.iter_mut().map(|it| it as &mut dyn Sink);
        self.others.each().chain(captures).chain([display])
    }

    /// Whether one of them has as much as was asked for.
    pub fn have_enough(&self) -> bool {
        let captures = self.captures.as_ref();
        self.display.has_enough() || captures.is_some_and(Captures::has_enough)
    }

    /// See [`Sink::event`].
    pub fn event(&mut self, event: &Event, facts: &dyn Facts) -> io::Result<()> {
        give(self.each(), |sink| sink.event(event, facts))
    }

    /// A DNS message that passed. Only what is shown has names: they are private.
    pub fn dns(&mut self, seen: &Seen<'_>, facts: &dyn Facts) -> io::Result<()> {
        self.display.dns(seen, facts)
    }

    /// What a QUIC connection has said. The same holds for its names.
    pub fn quic(&mut self, sample: &Sample, facts: &dyn Facts) -> io::Result<()> {
        self.display.quic(sample, facts)
    }

    /// See [`Sink::ended`].
    pub fn ended(&mut self, ended: &Ended, facts: &dyn Facts) -> io::Result<()> {
        give(self.each(), |sink| sink.ended(ended, facts))
    }

    /// See [`Sink::tick`]. Alerts are shown before the snapshot that they are of.
    pub fn tick(&mut self, tick: &Tick<'_>) -> io::Result<()> {
        let buffers = self.look();
        let tick = &Tick {
            buffers: buffers.as_deref(),
            ..*tick
        };
        let mut given = give(self.others.each(), |sink| sink.tick(tick));
        if let Some(captures) = &mut self.captures {
            given = given.and(captures.tick(tick));
        }
        for notice in self.others.alerts.take_notices() {
            if let Some(captures) = &self.captures {
                captures.alert(&notice);
            }
            given = given.and(self.display.alert(&notice));
        }
        self.say_messages();
        given.and(self.display.tick(tick))
    }

    /// Looks at the sockets, if it is time for that. If it can no longer be done, all else goes on.
    fn look(&mut self) -> Option<Vec<Buffer>> {
        let looking = self.looking.as_mut()?;
        let wants_all = self.display.wants_sockets();
        let looked = looking.tick().and_then(|buffers| {
            let all = if wants_all { looking.news()? } else { None };
            Ok((buffers, all))
        });
        let (buffers, all) = looked
            .inspect_err(|error| {
                say(format_args!(
                    "udptrack can no longer look at sockets: {error:#}"
                ));
                self.looking = None;
            })
            .ok()?;
        if let Some(all) = all {
            self.display.show_sockets(all);
        }
        buffers
    }

    /// See [`Sink::finish`].
    pub fn finish(&mut self, tick: &Tick<'_>, goes_on: bool) -> io::Result<()> {
        give(self.each(), |sink| sink.finish(tick, goes_on))
    }

    /// How much is still to be sent; `None` when all is.
    pub fn unsent(&mut self) -> Option<usize> {
        self.each()
            .filter_map(|sink| sink.unsent())
            .reduce(|all, more| all + more)
    }

    /// Nothing is waited for any more. Says what was lost.
    pub fn give_up(&mut self) {
        for sink in self.each() {
            sink.give_up();
        }
        self.say_messages();
    }

    fn say_messages(&mut self) {
        for message in self.each().flat_map(Sink::take_messages) {
            say(format_args!("{message}"));
        }
    }
}

/// Each gets it, whatever becomes of the others; the first error of all.
fn give<'a>(
    sinks: impl Iterator<Item = &'a mut dyn Sink>,
    give: impl FnMut(&mut dyn Sink) -> io::Result<()>,
) -> io::Result<()> {
    sinks.map(give).fold(Ok(()), io::Result::and)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind::{BrokenPipe, StorageFull};

    use super::*;

    struct Broken(u32);

    impl Sink for Broken {
        fn give_up(&mut self) {
            self.0 += 1;
        }
    }

    #[test]
    fn what_is_broken_for_one_comes_to_all_others() {
        let mut sinks = [Broken(0), Broken(0)];
        let mut given = 0;
        let all = sinks.iter_mut().map(|sink| sink as &mut dyn Sink);
        let error = give(all, |sink| {
            sink.give_up();
            given += 1;
            Err([BrokenPipe, StorageFull][given - 1].into())
        });
        assert_eq!(error.unwrap_err().kind(), BrokenPipe);
        assert_eq!(sinks.map(|sink| sink.0), [1, 1]);
    }
}
