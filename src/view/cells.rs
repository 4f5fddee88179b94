//! What stands in a cell.

mod ends;
mod group;
mod hook;

use ratatui::style::Style;
use ratatui::text::Span;

use super::columns::Column;
use super::fold::Folded;
use super::picture::EndedConnection;
use super::text::{bytes, cut, part, rate, span, visible, width};
use super::theme::Theme;
use crate::listing::Traffic;
use crate::model::services::OneWayPorts;
use crate::model::text::Grouped;
use crate::model::{Connection, Counts, Facts, Response, Sample, Status, Window};
use crate::output::Clock;

/// A request that waits for so long is late, whatever the server is like.
const LATE_NS: u64 = 1_000_000_000;
/// So many times the server's own average is late, too.
const LATE_TIMES: u64 = 8;

/// What cells are made with.
#[derive(Clone, Copy)]
pub(super) struct Maker<'a> {
    pub facts: &'a dyn Facts,
    pub theme: Theme,
    pub clock: &'a Clock,
    pub now_ns: u64,
    pub window: Window,
    pub names: bool,
    /// Ports whose services never answer.
    pub one_way_ports: &'a OneWayPorts,
    /// Long units.
    pub long: bool,
}

/// What a row of connections is beside its connection.
#[derive(Clone, Copy)]
pub(super) enum Kind<'a> {
    Live,
    Ended(&'a EndedConnection),
    Folded(&'a Folded),
}

impl Maker<'_> {
    /// A cell of a connection, in at most `room` columns. Its ends are no cells of their own ([`Maker::ends`]).
    pub fn connection(
        &self,
        column: Column,
        connection: &Connection,
        kind: Kind<'_>,
        room: usize,
    ) -> Vec<Span<'static>> {
        let theme = self.theme;
        let sample = &connection.sample;
        match column {
            Column::Status => one(sample.status_word(), theme.status(sample.status)),
            Column::Interface => one(
                cut(&visible(&self.facts.interface(sample.ifindex)), room),
                theme.plain(),
            ),
            Column::OrigRate => self.rate(connection.rates.orig(self.window).bytes),
            Column::ReplyRate => self.rate(connection.rates.reply(self.window).bytes),
            Column::Packets => one(Grouped(sample.total().packets), theme.plain()),
            Column::Bytes => self.bytes(sample.total()),
            Column::FirstReply => one(span(sample.first_reply_after_ns()), theme.plain()),
            Column::Response | Column::Wait if self.is_one_way(sample) => one("-", theme.faint()),
            Column::Response => {
                let silent = matches!(sample.status, Status::Unreplied | Status::Unreach);
                let live = !matches!(kind, Kind::Ended(_));
                self.response(&sample.response, silent && live)
            }
            Column::Wait => self.wait(&sample.response),
            Column::Age => {
                let until = match kind {
                    Kind::Ended(_) => sample.last_ns,
                    _ => self.now_ns,
                };
                self.span(until.saturating_sub(sample.first_ns))
            }
            Column::Idle => self.span(self.now_ns.saturating_sub(sample.last_ns)),
            Column::Process => self.process(connection, kind, room),
            Column::Reason => match kind {
                Kind::Ended(ended) => one(ended.reason, theme.plain()),
                _ => Vec::new(),
            },
            Column::When => self.when(sample.last_ns),
            _ => Vec::new(),
        }
    }

    fn process(&self, connection: &Connection, kind: Kind<'_>, room: usize) -> Vec<Span<'static>> {
        let theme = self.theme;
        let processes = match kind {
            Kind::Ended(ended) => ended.processes(),
            _ => self.facts.processes(&connection.sample),
        };
        let Some(owner) = processes.main() else {
            let text = match kind {
                Kind::Folded(folded) => format!("x{}", folded.count),
                _ if processes.forwarded => cut("forwarded", room),
                _ => "-".to_owned(),
            };
            return one(text, theme.faint());
        };
        let program = visible(owner.program());
        // Of an interpreter the script says more.
        let name = program
            .split_once(' ')
            .map_or(program.as_str(), |(_, script)| script);
        let more = match kind {
            Kind::Folded(folded) => format!(" x{}", folded.count),
            _ => format!("/{}", owner.pid),
        };
        let fits = |name: &str| width(name) + width(&more) <= room;
        // Where there is too little room, the name alone; how many there are stays.
        let text = if fits(&program) {
            program + &more
        } else if fits(name) {
            name.to_owned() + &more
        } else if matches!(kind, Kind::Folded(_)) {
            cut(name, room.saturating_sub(width(&more))) + &more
        } else {
            cut(name, room)
        };
        one(text, theme.name())
    }

    /// Whether no answer is expected.
    fn is_one_way(&self, sample: &Sample) -> bool {
        Traffic::of(sample, self.one_way_ports) == Traffic::OneWay
    }

    /// The time of day. A stamp begins with the date, ten characters, and `T`.
    fn when(&self, ns: u64) -> Vec<Span<'static>> {
        let stamp = self.clock.stamp(ns).to_string();
        one(stamp.get(11..19).unwrap_or("-"), self.theme.plain())
    }

    fn span(&self, ns: u64) -> Vec<Span<'static>> {
        one(span(Some(ns)), self.theme.plain())
    }

    fn bytes(&self, counts: Counts) -> Vec<Span<'static>> {
        one(bytes(counts.bytes, !self.long), self.theme.plain())
    }

    fn rate(&self, bytes: f32) -> Vec<Span<'static>> {
        let text = rate(bytes, !self.long);
        let style = if text.starts_with('0') && !text.contains('.') {
            self.theme.faint()
        } else {
            self.theme.plain()
        };
        one(text, style)
    }

    /// The median; of what nobody has ever answered, how long the oldest request has waited: it takes longer than that.
    fn response(&self, response: &Response, silent: bool) -> Vec<Span<'static>> {
        match (response.percentile_ns(50), response.wait_ns(self.now_ns)) {
            (Some(half), _) => one(self.bound(response, span(Some(half))), self.theme.plain()),
            (None, Some(wait)) if silent => {
                one(format!(">{}", span(Some(wait))), self.late(response, wait))
            }
            _ => one("-", self.theme.faint()),
        }
    }

    /// Marked where it is a lower bound.
    #[expect(clippy::unused_self, reason = "beside the other cells of times")]
    fn bound(&self, response: &Response, text: String) -> String {
        if response.is_bound {
            format!("≥{text}")
        } else {
            text
        }
    }

    pub fn wait(&self, response: &Response) -> Vec<Span<'static>> {
        match response.wait_ns(self.now_ns) {
            Some(wait) => one(span(Some(wait)), self.late(response, wait)),
            None => one("-", self.theme.faint()),
        }
    }

    /// Every request waits for a while: that is not bad yet.
    pub fn late(&self, response: &Response, wait_ns: u64) -> Style {
        let usual = response
            .mean_ns()
            .map(|mean| mean.saturating_mul(LATE_TIMES));
        if wait_ns >= LATE_NS || usual.is_some_and(|usual| wait_ns >= usual) {
            self.theme.bad()
        } else {
            self.theme.wait()
        }
    }
}

fn one(text: impl std::fmt::Display, style: Style) -> Vec<Span<'static>> {
    vec![part(text, style)]
}
