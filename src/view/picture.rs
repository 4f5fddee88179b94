//! What the screen is a picture of, beside the table: totals, histories, the last ends, events and messages. While the
//! view stands still it shows a copy of it. All of it is bounded.

use std::collections::{HashMap, VecDeque};

use super::rows::RowKey;
use crate::connection::{
    Connection, Counts, Direction, EndReason, Event, Owner, Processes, Rates, Report, Sample, Step,
    Table,
};

/// Ended connections that can still be shown.
const ENDED: usize = 1000;
/// Lines of the trace pane that can be shown on the tallest of screens.
const LINES: usize = 500;
/// Connections whose history is kept: those that were on the screen last.
const HISTORIES: usize = 512;
/// Ticks in a history.
pub(super) const HISTORY: usize = 120;

/// A connection that is no more.
#[derive(Clone, Debug)]
pub(super) struct EndedConnection {
    pub connection: Connection,
    pub reason: EndReason,
    /// Whose the ends were: nobody else knows that any more.
    originator: Option<Owner>,
    responder: Option<Owner>,
    forwarded: bool,
}

impl EndedConnection {
    pub fn processes(&self) -> Processes<'_> {
        Processes {
            originator: self.originator.as_ref(),
            responder: self.responder.as_ref(),
            forwarded: self.forwarded,
        }
    }
}

/// A line of the trace pane.
#[derive(Clone, Debug)]
pub(super) enum Line {
    Event(Event),
    End(Box<Sample>, EndReason),
    Message(String),
}

/// Bytes per second, tick by tick, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    before: Option<(Counts, Counts, u64)>,
    pub orig: VecDeque<u64>,
    pub reply: VecDeque<u64>,
    used: u64,
}

impl History {
    fn add(&mut self, orig: Counts, reply: Counts, now_ns: u64) {
        let before = self.before.replace((orig, reply, now_ns));
        let Some((orig_before, reply_before, then_ns)) = before else {
            return;
        };
        let elapsed = now_ns.saturating_sub(then_ns);
        if elapsed == 0 {
            self.before = before;
            return;
        }
        let rate = |now: Counts, then: Counts| {
            let bytes = u128::from(now.bytes.saturating_sub(then.bytes));
            u64::try_from(bytes * 1_000_000_000 / u128::from(elapsed)).unwrap_or(u64::MAX)
        };
        for (values, value) in [
            (&mut self.orig, rate(orig, orig_before)),
            (&mut self.reply, rate(reply, reply_before)),
        ] {
            if values.len() == HISTORY {
                values.pop_front();
            }
            values.push_back(value);
        }
    }
}

/// How much came and went, and how fast, on all interfaces together.
#[derive(Clone, Debug)]
pub(super) struct Totals {
    pub ingress: Counts,
    pub egress: Counts,
    /// Ingress as the originator's direction, egress as the responder's.
    pub rates: Rates,
    /// New connections as packets of the originator.
    pub births: Rates,
    pub history: History,
    connections: u64,
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub now_ns: u64,
    pub started_ns: u64,
    pub report: Report,
    pub totals: Totals,
    pub ended: VecDeque<EndedConnection>,
    pub lines: VecDeque<Line>,
    /// The latest message and when it came.
    pub message: Option<(String, u64)>,
    histories: HashMap<RowKey, History>,
    ticks: u64,
}

impl Picture {
    pub fn new(now_ns: u64) -> Self {
        Self {
            now_ns,
            started_ns: now_ns,
            report: Report::default(),
            totals: Totals {
                ingress: Counts::default(),
                egress: Counts::default(),
                rates: Rates::new(now_ns),
                births: Rates::new(now_ns),
                history: History::default(),
                connections: 0,
            },
            ended: VecDeque::new(),
            lines: VecDeque::new(),
            message: None,
            histories: HashMap::new(),
            ticks: 0,
        }
    }

    /// Takes in the books of a tick, and what the connections did that a history is kept of.
    pub fn tick(&mut self, table: &Table, report: &Report) {
        let now_ns = table.scanned_ns();
        self.now_ns = now_ns;
        self.ticks += 1;
        let tracked = |direction| -> Counts {
            let hooks = report.hooks.iter();
            hooks
                .filter(|hook| hook.direction == direction)
                .map(|hook| hook.books.tracked)
                .sum()
        };
        let (ingress, egress) = (tracked(Direction::Ingress), tracked(Direction::Egress));
        let totals = &mut self.totals;
        let mut step = Step::to(now_ns);
        totals.rates.update(
            ingress.since(totals.ingress),
            egress.since(totals.egress),
            &mut step,
        );
        let births = Counts {
            packets: report.connections_new.saturating_sub(totals.connections),
            bytes: 0,
        };
        totals.births.update(births, Counts::default(), &mut step);
        totals.history.add(ingress, egress, now_ns);
        totals.ingress = ingress;
        totals.egress = egress;
        totals.connections = report.connections_new;
        self.report = report.clone();
        for (key, history) in &mut self.histories {
            let RowKey::Connection(_, first_ns, place) = key else {
                continue;
            };
            if let Some(connection) = table.get(*place)
                && connection.sample.first_ns == *first_ns
            {
                let sample = &connection.sample;
                history.add(sample.orig, sample.reply, now_ns);
            }
        }
    }

    /// Keeps histories of these connections from now on, as they are on the screen; forgets those that were not for
    /// longest.
    pub fn watch(&mut self, connections: impl Iterator<Item = Connection>) {
        for connection in connections {
            let history = self.histories.entry(RowKey::of(&connection)).or_default();
            history.used = self.ticks;
            if history.before.is_none() {
                let sample = &connection.sample;
                history.add(sample.orig, sample.reply, self.now_ns);
            }
        }
        if self.histories.len() > HISTORIES {
            let mut used: Vec<u64> = self.histories.values().map(|one| one.used).collect();
            let gone = used.len() - HISTORIES / 2;
            let (_, limit, _) = used.select_nth_unstable(gone - 1);
            let limit = *limit;
            // What is on the screen now stays.
            let now = self.ticks;
            self.histories
                .retain(|_, history| history.used > limit || history.used == now);
        }
    }

    pub fn history(&self, key: RowKey) -> Option<&History> {
        self.histories.get(&key)
    }

    pub fn event(&mut self, event: &Event) {
        self.line(Line::Event(*event));
    }

    pub fn end(&mut self, sample: &Sample, reason: EndReason, processes: Processes<'_>) {
        if self.ended.len() == ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(EndedConnection {
            connection: ended(sample),
            reason,
            originator: processes.originator.cloned(),
            responder: processes.responder.cloned(),
            forwarded: processes.forwarded,
        });
        self.line(Line::End(Box::new(*sample), reason));
    }

    pub fn message(&mut self, text: String, now_ns: u64) {
        self.message = Some((text.clone(), now_ns));
        self.line(Line::Message(text));
    }

    fn line(&mut self, line: Line) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// A connection that has ended, if it is still kept.
    pub fn find_ended(&self, key: RowKey) -> Option<&EndedConnection> {
        self.ended
            .iter()
            .rev()
            .find(|ended| RowKey::of(&ended.connection) == key)
    }
}

/// As a connection, without a rate.
fn ended(sample: &Sample) -> Connection {
    let mut connection = Connection::new(sample, sample.last_ns);
    connection.rates = Rates::new(sample.first_ns);
    connection
}
