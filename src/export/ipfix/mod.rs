//! IPFIX (RFC 7011) to a collector, over UDP: what each connection did since its last record.
//!
//! `template` says what is in a record, `record` and `message` write it, `sender` has the thread that sends it, as fast as
//! `pace` says. Here it is decided what is due: a connection that has ended, or one that goes on and was not reported for the active timeout.

mod message;
mod pace;
mod record;
mod sender;
mod template;
#[cfg(test)]
mod tests;
mod told;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use crate::clock::{self, monotonic_ns};
use crate::interface;
use crate::model::text::Grouped;
use crate::model::{
    Connection, EndReason, Ended, Facts, Place, PlaceMap, Report, Sample, Sink, Tick, TrafficClass,
};
use crate::output::Clock;
use message::Message;
use record::{Crossing, Direction, Flow, Reason};
use sender::{Collector, Sender};
use template::{INTERFACES, SAMPLING, STATISTICS, Template};
use told::{Done, Losses, Told};

/// How often a collector is told the templates again, as it may have begun later or lost them (RFC 7011, section 8.4), and
/// what was seen and not sent.
const TEMPLATES: Duration = Duration::from_secs(30);
/// The observation domain of the exporter itself.
const EXPORTER: u32 = 0;
/// How often a message tells that something was not sent.
const WARNINGS: Duration = Duration::from_secs(60);

/// Where to, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Host and port, as they were written.
    pub collector: String,
    /// Both directions in one record (RFC 5103).
    pub biflow: bool,
    /// A connection that goes on is reported so often.
    pub active_timeout: Duration,
    /// Observation domain.
    pub domain: u32,
    /// How many connections may end at once.
    pub connections: u32,
}

/// Sends records to one collector.
pub struct Ipfix {
    settings: Settings,
    collector: Option<Collector>,
    sender: Option<Sender>,
    clock: Clock,
    started_ns: u64,
    told: PlaceMap<Told>,
    /// What was told of the losses of those that have any.
    told_losses: HashMap<Place, Losses>,
    /// When the connections were looked at.
    looked_ns: u64,
    /// Connections that were there before this run are known from the first tick on.
    has_ticked: bool,
    local: HashSet<IpAddr>,
    message: Message,
    /// When the templates were last sent.
    templates_sent: Option<Instant>,
    messages: Vec<String>,
    warned: Option<Instant>,
    lost: u64,
}

/// Messages that may wait for a collector.
fn room(connections: u32, biflow: bool) -> usize {
    let flows = template::flows(biflow);
    let largest = flows.iter().map(Template::record_bytes).max();
    pace::room(connections, largest.unwrap_or_default(), biflow)
}

impl Settings {
    /// Memory that it takes when all connections have ended at once, in bytes, at most: what waits for the collector, and what it
    /// was told of each connection.
    #[must_use]
    pub fn bytes(connections: u32, biflow: bool) -> u64 {
        let waiting = room(connections, biflow) * Message::WAITING_BYTES;
        waiting as u64 + u64::from(connections) * size_of::<Option<Told>>() as u64
    }
}

impl Ipfix {
    /// Finds the collector and opens a socket to it; nothing is sent yet.
    pub fn open(settings: Settings) -> Result<Self> {
        let name = &settings.collector;
        let wrong = || format!("cannot export to --ipfix {name}");
        let address: SocketAddr = name
            .to_socket_addrs()
            .with_context(wrong)?
            .next()
            .ok_or_else(|| anyhow!("it has no address"))
            .with_context(wrong)?;
        let way = Collector::new(address).with_context(wrong)?;
        Ok(Self {
            message: Message::new(settings.domain),
            collector: Some(way),
            sender: None,
            clock: Clock::new().context("cannot read the clock")?,
            started_ns: monotonic_ns()?,
            told: PlaceMap::default(),
            told_losses: HashMap::new(),
            looked_ns: 0,
            has_ticked: false,
            local: HashSet::new(),
            templates_sent: None,
            messages: Vec::new(),
            warned: None,
            lost: 0,
            settings,
        })
    }

    /// Sends what a connection did since its last record.
    fn report(
        &mut self,
        sample: &Sample,
        (told, losses): (&Told, Losses),
        reason: Reason,
        facts: &dyn Facts,
    ) {
        self.start();
        let crossing = self.crossing(sample);
        let (orig, reply) = (told.orig.done(sample), told.reply.done(sample));
        let ip_counts = |orig, reply| {
            let part = Sample {
                orig,
                reply,
                ..*sample
            };
            part.ip_counts(|index| facts.has_ethernet(index))
        };
        let [orig_ip, reply_ip] = ip_counts(orig.counts, reply.counts);
        let [lost_orig, lost_reply] = ip_counts(losses.orig, losses.reply);
        let direction = |ip, dropped, class: Option<TrafficClass>, done: Done| Direction {
            ip,
            dropped,
            class: class.map_or(0, |class| class.0),
            frame_bytes: done.counts.bytes,
            is_used: done.is_used,
            start_ms: self.clock.unix_ms(done.first_ns),
            end_ms: self.clock.unix_ms(done.last_ns),
        };
        let flow = Flow {
            id: sample.id,
            ifindex: sample.ifindex.0,
            vlans: sample.vlans,
            originator: sample.originator,
            responder: sample.responder,
            crossing,
            orig: direction(orig_ip, lost_orig, sample.orig_class, orig),
            reply: direction(reply_ip, lost_reply, sample.reply_class, reply),
            reason,
            protocol: sample.heard.protocol(),
        };
        for record in flow.records(self.settings.biflow) {
            if !self.message.flow(&record) {
                self.flush();
                self.message.flow(&record);
            }
        }
    }

    /// Looks at all that had traffic since the last time.
    fn look(&mut self, tick: &Tick<'_>) {
        if !std::mem::replace(&mut self.has_ticked, true) {
            // What a run before this one has kept, it has reported.
            for Connection { sample, .. } in tick.table.begun_before(self.started_ns) {
                let told = self.told.get_or_insert_with(sample.place, Told::default);
                told.look(&sample, self.looked_ns);
                told.tell(tick.now_ns);
            }
        }
        for Connection { sample, .. } in tick.table.grown_since(self.looked_ns) {
            // Of a packet each way the kernel knows the times: a flood of such connections takes no memory here.
            let is_short = sample.orig.packets <= 1 && sample.reply.packets <= 1;
            if let Some(told) = self.told.get_mut(sample.place) {
                told.look(&sample, self.looked_ns);
            } else if !is_short {
                let mut told = Told::default();
                told.look(&sample, self.looked_ns);
                self.told.insert(sample.place, told);
            }
        }
        self.looked_ns = tick.now_ns;
    }

    /// What comes from an address of this machine is sent, what goes to one is received.
    fn crossing(&self, sample: &Sample) -> Crossing {
        let is_local = |end: SocketAddr| self.local.contains(&end.ip());
        if is_local(sample.originator) && !is_local(sample.responder) {
            Crossing::Egress
        } else {
            Crossing::Ingress
        }
    }

    fn flush(&mut self) {
        let next = Message::new(self.settings.domain);
        let message = std::mem::replace(&mut self.message, next);
        if let Some(sender) = self.sender.as_ref().filter(|_| !message.is_empty()) {
            sender.send(message);
        }
    }

    /// Starts the thread, with the first record: the process has given up its rights by then. The templates come before it.
    fn start(&mut self) {
        let Some(collector) = self.collector.take() else {
            return;
        };
        let room = room(self.settings.connections, self.settings.biflow);
        match Sender::start(collector, room) {
            Ok(sender) => self.sender = Some(sender),
            Err(error) => self
                .messages
                .push(format!("nothing goes to the collector: {error:#}")),
        }
        self.templates();
    }

    fn templates(&mut self) {
        self.templates_sent = Some(Instant::now());
        let _ = self.clock.resample();
        // Those of this machine say nothing of a capture.
        if !clock::is_replay() {
            self.local = interface::addresses();
        }
        self.flush();
        self.message
            .templates(&template::flows(self.settings.biflow));
    }

    /// Templates, names of interfaces and what was seen: every now and then, and when nobody listened.
    fn tell_again(&mut self, tick: &Tick<'_>) {
        let wants_templates = self
            .sender
            .as_ref()
            .is_some_and(|sender| sender.tally.wants_templates.swap(false, Ordering::Relaxed));
        if wants_templates
            || self
                .templates_sent
                .is_none_or(|sent| sent.elapsed() >= TEMPLATES)
        {
            self.templates();
            self.tell(tick);
        }
    }

    /// Names of interfaces, and what was seen and not sent. In observation domain 0, which stands for the exporter itself (RFC
    /// 7011, section 3.1) and has a sequence of its own: nfcapd does not count such records, and would miss them in that of
    /// the connections.
    fn tell(&self, tick: &Tick<'_>) {
        let Some(sender) = &self.sender else {
            return;
        };
        let mut names = BTreeMap::new();
        for connection in tick.table.iter() {
            let index = connection.sample.ifindex;
            names
                .entry(index.0)
                .or_insert_with(|| tick.facts.interface(index));
        }
        let names = names
            .iter()
            .map(|(index, name)| (INTERFACES, interface_record(*index, name)));
        let statistics = self.statistics(tick.report);
        let mut message = Message::new(EXPORTER);
        message.templates(&template::options());
        let sampling = [self.settings.domain, 1, 0].map(u32::to_be_bytes);
        message.data(SAMPLING, sampling.as_flattened());
        for (template, record) in names {
            if !message.data(template, &record) {
                sender.send(std::mem::replace(&mut message, Message::new(EXPORTER)));
                message.data(template, &record);
            }
        }
        if !message.statistics(STATISTICS, statistics.clone()) {
            sender.send(std::mem::replace(&mut message, Message::new(EXPORTER)));
            message.statistics(STATISTICS, statistics);
        }
        sender.send(message);
    }

    /// What was seen. What was sent and what was not is filled in when this is.
    fn statistics(&self, report: &Report) -> Vec<u8> {
        let ignored = report.books().skipped_total();
        let mut record = self.settings.domain.to_be_bytes().to_vec();
        for number in [
            self.clock.unix_ms(self.started_ns),
            report.connections_new,
            ignored.packets,
            ignored.bytes,
        ] {
            record.extend(number.to_be_bytes());
        }
        record
    }

    fn warn(&mut self, is_over: bool) {
        let Some(sender) = &self.sender else {
            return;
        };
        let lost = sender.tally.flows_not_sent.load(Ordering::Relaxed);
        let is_due = self
            .warned
            .is_none_or(|warned| warned.elapsed() >= WARNINGS);
        if lost == self.lost || !(is_due || is_over) {
            return;
        }
        let reason = sender
            .tally
            .reason
            .lock()
            .ok()
            .and_then(|reason| reason.clone());
        self.warned = Some(Instant::now());
        self.lost = lost;
        self.messages.push(format!(
            "IPFIX collector {}: {} records could not be sent so far: {}",
            self.settings.collector,
            Grouped(lost),
            reason.unwrap_or_default()
        ));
    }
}

impl Sink for Ipfix {
    fn ended(&mut self, ended: &Ended, facts: &dyn Facts) -> io::Result<()> {
        let Ended { sample, reason } = ended;
        let mut told = match self.told.remove(sample.place) {
            Some(told) => told,
            // Kept by an earlier run, and ended before this one looked: that run has reported it.
            None if !self.has_ticked && sample.first_ns < self.started_ns => return Ok(()),
            None => Told::default(),
        };
        told.look(sample, self.looked_ns);
        let before = self.told_losses.remove(&sample.place);
        let losses = Losses::of(sample).since(before.unwrap_or_default());
        self.report(sample, (&told, losses), (*reason).into(), facts);
        Ok(())
    }

    fn tick(&mut self, tick: &Tick<'_>) -> io::Result<()> {
        if self.collector.is_some() {
            self.start();
            self.tell(tick);
        }
        self.tell_again(tick);
        for place in tick.swapped {
            if let Some(told) = self.told.get_mut(*place) {
                told.turn();
            }
            if let Some(losses) = self.told_losses.get_mut(place) {
                losses.turn();
            }
        }
        self.look(tick);
        let timeout = u64::try_from(self.settings.active_timeout.as_nanos()).unwrap_or(u64::MAX);
        let due_ns = tick.now_ns.saturating_sub(timeout).saturating_add(1);
        for Connection { sample, .. } in tick.table.begun_before(due_ns) {
            let mut told = self.told.get(sample.place).copied().unwrap_or_default();
            told.look(&sample, self.looked_ns);
            let since = tick.now_ns.saturating_sub(told.at_ns.max(sample.first_ns));
            let all = Losses::of(&sample);
            let before = self.told_losses.get(&sample.place).copied();
            let losses = all.since(before.unwrap_or_default());
            let grows = [told.orig, told.reply].map(|way| way.done(&sample).counts.packets > 0);
            if since >= timeout && (grows.contains(&true) || losses != Losses::default()) {
                self.report(&sample, (&told, losses), Reason::Active, tick.facts);
                told.tell(tick.now_ns);
                self.told.insert(sample.place, told);
                if all != Losses::default() {
                    self.told_losses.insert(sample.place, all);
                }
            }
        }
        self.flush();
        self.warn(false);
        Ok(())
    }

    /// Sends what is left, in its thread.
    fn finish(&mut self, tick: &Tick<'_>, _goes_on: bool) -> io::Result<()> {
        for Connection { sample, .. } in tick.table.iter() {
            let reason = EndReason::Stopped;
            self.ended(&Ended { sample, reason }, tick.facts)?;
        }
        self.start();
        self.flush();
        self.tell(tick);
        if let Some(sender) = &mut self.sender {
            sender.close();
        }
        Ok(())
    }

    fn unsent(&self) -> Option<usize> {
        self.sender.as_ref()?.waiting()
    }

    fn give_up(&mut self) {
        if let Some(sender) = &mut self.sender {
            sender.give_up();
        }
        self.warn(true);
    }

    fn take_messages(&mut self) -> Vec<String> {
        std::mem::take(&mut self.messages)
    }
}

/// The index, and the name with its length before it.
fn interface_record(index: u32, name: &str) -> Vec<u8> {
    let name = &name.as_bytes()[..name.len().min(64)];
    let mut record = index.to_be_bytes().to_vec();
    record.push(u8::try_from(name.len()).unwrap_or(0));
    record.extend(name);
    record
}
