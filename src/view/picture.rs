//! What the screen shows beside the table: totals, histories, the last ends, events and messages. While the
//! view stands still it shows a copy of it. All of it is bounded.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};

use super::rows::RowKey;
use super::text::span;
use crate::dns;
use crate::listing::{self, Ended, Group, Known, Query, State};
use crate::model::Field;
use crate::model::{
    Books, Connection, Counts, Direction, EndReason, Event, Facts, Owner, Processes, QuicFacts,
    Rates, Report, Sample, Step, Table,
};
use crate::sockets::{self, Snapshot};

/// Ended connections that can still be shown.
const ENDED: usize = 1000;
/// How long a message is shown.
const MESSAGE_NS: u64 = 15_000_000_000;
/// Lines of the trace pane that can be shown on the tallest of screens.
const LINES: usize = 500;
/// Connections whose history is kept: those that were on the screen last.
const HISTORIES: usize = 256;
/// Points in a history, and the time between two of them at least: ten minutes.
const HISTORY: usize = 600;
const POINT_NS: u64 = 900_000_000;
/// What groups are kept of what has ended for.
const ENDED_BY: [Field; 6] = [
    Field::Server,
    Field::Process,
    Field::Host,
    Field::Port,
    Field::Subnet,
    Field::Proto,
];

/// A connection that is no more.
#[derive(Clone, Debug)]
pub(super) struct EndedConnection {
    pub connection: Connection,
    pub reason: EndReason,
    /// Whose the ends were: nobody else knows that any more.
    originator: Option<Owner>,
    responder: Option<Owner>,
    forwarded: bool,
    quic: Option<QuicFacts>,
}

impl EndedConnection {
    /// What was known of it beside the table.
    pub fn known(&self) -> Known<'_> {
        Known {
            processes: self.processes(),
            quic: self.quic.as_ref(),
        }
    }

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

/// How fast something was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Point {
    /// Until this moment, from that of the point before.
    pub at_ns: u64,
    /// Bytes per second from originator to responder, or received.
    pub orig: u64,
    /// And back, or sent.
    pub reply: u64,
}

/// Points about a second apart, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    before: Option<(Counts, Counts, u64)>,
    points: VecDeque<Point>,
    used: u64,
}

impl History {
    pub fn points(&self) -> &VecDeque<Point> {
        &self.points
    }

    fn add(&mut self, orig: Counts, reply: Counts, now_ns: u64) {
        let Some((orig_before, reply_before, then_ns)) = self.before else {
            self.before = Some((orig, reply, now_ns));
            return;
        };
        let elapsed = now_ns.saturating_sub(then_ns);
        if elapsed < POINT_NS {
            return;
        }
        self.before = Some((orig, reply, now_ns));
        let rate = |now: Counts, then: Counts| {
            let bytes = u128::from(now.bytes.saturating_sub(then.bytes));
            u64::try_from(bytes * 1_000_000_000 / u128::from(elapsed)).unwrap_or(u64::MAX)
        };
        if self.points.len() == HISTORY {
            self.points.pop_front();
        }
        self.points.push_back(Point {
            at_ns: now_ns,
            orig: rate(orig, orig_before),
            reply: rate(reply, reply_before),
        });
    }
}

/// A hook of an interface: its books, and how fast what it tracked came.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub interface: String,
    pub direction: Direction,
    pub books: Books,
    /// As those of an originator.
    pub rates: Rates,
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
    /// As the report has them.
    pub hooks: Vec<Hook>,
    /// Those of this network namespace, where they can be read.
    pub sockets: Option<Snapshot>,
    /// Names in the DNS messages that were read.
    pub names: dns::Names,
    /// How each server does.
    pub servers: listing::History,
    pub ended: VecDeque<EndedConnection>,
    /// The same as groups, all of the run.
    ended_by: Vec<(Field, Ended)>,
    pub lines: VecDeque<Line>,
    /// Of whom this machine drops most for want of room.
    pub dropped: Option<String>,
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
            hooks: Vec::new(),
            sockets: None,
            names: dns::Names::default(),
            servers: listing::History::default(),
            ended: VecDeque::new(),
            ended_by: ENDED_BY.map(|field| (field, Ended::by(field))).into(),
            lines: VecDeque::new(),
            dropped: None,
            message: None,
            histories: HashMap::new(),
            ticks: 0,
        }
    }

    /// Takes in the books of a tick, and what the connections did that a history is kept of.
    pub fn tick(&mut self, table: &Table, report: &Report) {
        let now_ns = table.scanned_ns();
        // What a hook has counted when it is first heard of came since then.
        let before_ns = match table.began_ns() {
            Some(began_ns) if self.ticks == 0 => began_ns,
            _ => self.now_ns,
        };
        if self.ticks == 0 {
            self.totals.rates = Rates::new(before_ns);
            self.totals.births = Rates::new(before_ns);
        }
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
        let mut step = Step::to(now_ns).looking_since(table.began_ns());
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
        self.tick_hooks(report, before_ns, &mut step);
        self.report = report.clone();
        self.names
            .tick(now_ns, report.dns_unread().unwrap_or_default());
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

    fn tick_hooks(&mut self, report: &Report, before_ns: u64, step: &mut Step) {
        let is_first = self.ticks == 1;
        let before = std::mem::take(&mut self.hooks);
        let hooks = report.hooks.iter().map(|hook| {
            let mut known = before.iter();
            let known = known
                .find(|one| one.interface == hook.interface && one.direction == hook.direction);
            // Under a name that is new, an interface may have counted before.
            let mut now = known.cloned().unwrap_or_else(|| Hook {
                interface: hook.interface.clone(),
                direction: hook.direction,
                books: if is_first {
                    Books::default()
                } else {
                    hook.books
                },
                rates: Rates::new(before_ns),
            });
            let tracked = hook.books.tracked.since(now.books.tracked);
            now.rates.update(tracked, Counts::default(), step);
            now.books = hook.books;
            now
        });
        self.hooks = hooks.collect();
    }

    /// What has ended, grouped.
    pub fn ended_by(&self, field: Field) -> Option<&Ended> {
        let found = self.ended_by.iter().find(|(by, _)| *by == field);
        found.map(|(_, ended)| ended)
    }

    /// All sockets, the worst first.
    pub fn sockets(&self) -> &[sockets::Row] {
        let rows = self.sockets.as_ref().map(|sockets| &sockets.rows[..]);
        rows.unwrap_or_default()
    }

    /// A socket that is there.
    pub fn socket(&self, key: (u64, u64)) -> Option<&sockets::Row> {
        let mut rows = self.sockets().iter();
        rows.find(|row| row.state.reading.key() == key)
    }

    pub fn history(&self, key: RowKey) -> Option<&History> {
        self.histories.get(&key)
    }

    pub fn event(&mut self, event: &Event) {
        self.line(Line::Event(*event));
    }

    pub fn end(&mut self, sample: &Sample, reason: EndReason, facts: &dyn Facts, query: &Query) {
        for (_, ended) in &mut self.ended_by {
            ended.add(sample, facts, query);
        }
        let processes = facts.processes(sample);
        if self.ended.len() == ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(EndedConnection {
            connection: ended(sample),
            reason,
            originator: processes.originator.cloned(),
            responder: processes.responder.cloned(),
            forwarded: processes.forwarded,
            quic: facts.quic(sample).cloned(),
        });
        self.line(Line::End(Box::new(*sample), reason));
    }

    /// Says of which of these servers most was dropped for want of room, if that goes on; else, for a minute, that it is over.
    pub fn note_drops(&mut self, servers: &[Group]) {
        let dropping = servers.iter().filter_map(|server| {
            let is_now = server.state == State::Dropping;
            let room_ns = self.servers.room_ns(&server.shared, self.now_ns);
            (is_now || room_ns.is_some()).then_some((server, room_ns))
        });
        let most = dropping.max_by_key(|(server, room_ns)| {
            let overflowed = server.dropped.overflowed();
            (room_ns.is_none(), overflowed, Reverse(server.shared))
        });
        self.dropped = most.and_then(|(server, room_ns)| {
            let program = server.processes.iter().next();
            let name = program.map_or_else(
                || server.shared.text(),
                |running| running.program.name().to_owned(),
            );
            let words = server.dropped.in_words()?;
            let more = room_ns.map_or_else(
                || "; 7 shows what to raise".to_owned(),
                |room_ns| format!(", none for {}", span(Some(room_ns))),
            );
            Some(format!("{name}: dropped here {words}{more}"))
        });
    }

    /// The message to show, if it is not too old.
    pub fn recent_message(&self) -> Option<&str> {
        let (text, came) = self.message.as_ref()?;
        (self.now_ns.saturating_sub(*came) < MESSAGE_NS).then_some(text)
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
