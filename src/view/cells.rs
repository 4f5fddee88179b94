//! How a value looks in a cell: its colours, its names, and how it is shortened.

mod ends;
mod group;
mod socket;

use ratatui::style::Style;
use ratatui::text::Span;

use super::fold::Folded;
use super::picture::EndedConnection;
use super::text::{cut, part, visible, width};
use super::theme::Theme;
use crate::listing::{Number, Units, Value};
use crate::model::{Facts, Processes};
use crate::output::Clock;

/// What cells are made with.
#[derive(Clone, Copy)]
pub(super) struct Maker<'a> {
    pub facts: &'a dyn Facts,
    pub theme: Theme,
    pub clock: &'a Clock,
    pub names: bool,
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
    /// A value in at most `room` columns. What a group shares is never cut where it is an address. The ends of a connection are no cells of
    /// their own ([`Maker::ends`]).
    pub fn cell(
        &self,
        value: &Value<'_>,
        folded: Option<&Folded>,
        room: usize,
    ) -> Vec<Span<'static>> {
        let theme = self.theme;
        match value {
            Value::Nothing => one("-", theme.faint()),
            Value::End(..) => Vec::new(),
            Value::Status(status, word) => one(word, theme.status(*status)),
            Value::State(state) => one(state.word(), theme.state(*state)),
            Value::Shared(shared, role) => self.shared(*shared, *role, room),
            Value::Process(processes) => self.process(*processes, folded, room),
            Value::Programs(programs) => {
                one(cut(&visible(&programs.to_string()), room), theme.name())
            }
            Value::Speech(speech) => {
                let is_guess = speech.main().is_none_or(|spoken| spoken.is_guess);
                let style = if is_guess {
                    theme.faint()
                } else {
                    theme.plain()
                };
                one(cut(&visible(&speech.to_string()), room), style)
            }
            Value::Name(name) => one(cut(&visible(name), room), theme.plain()),
            Value::Failing(text) => one(cut(text, room), theme.bad()),
            Value::Word(word) => one(word, theme.plain()),
            Value::Moment(ns) => self.when(*ns),
            Value::Number(number) => self.number(*number),
        }
    }

    fn number(&self, number: Number) -> Vec<Span<'static>> {
        let units = if self.long { Units::Long } else { Units::Short };
        let text = number.text(units);
        let theme = self.theme;
        let style = match number {
            Number::Loss(0) | Number::Share(0, _) | Number::Part(0, _) => theme.faint(),
            Number::Loss(_) | Number::Share(..) => theme.bad(),
            Number::Rate(_) if text.starts_with('0') && !text.contains('.') => theme.faint(),
            Number::Waiting(_, is_late) | Number::LongerThan(_, is_late) => self.waiting(is_late),
            _ => theme.plain(),
        };
        one(text, style)
    }

    /// How a request looks that waits.
    pub fn waiting(&self, is_late: bool) -> Style {
        if is_late {
            self.theme.bad()
        } else {
            self.theme.wait()
        }
    }

    fn process(
        &self,
        processes: Processes<'_>,
        folded: Option<&Folded>,
        room: usize,
    ) -> Vec<Span<'static>> {
        let theme = self.theme;
        let Some(owner) = processes.main() else {
            let text = match folded {
                Some(folded) => format!("x{}", folded.count),
                None if processes.forwarded => cut("forwarded", room),
                None => "-".to_owned(),
            };
            return one(text, theme.faint());
        };
        let name = visible(owner.program());
        let more = match folded {
            Some(folded) => format!(" x{}", folded.count),
            None => format!("/{}", owner.pid),
        };
        // Where there is too little room, the name alone; how many there are stays.
        let text = if width(&name) + width(&more) <= room {
            name + &more
        } else if folded.is_some() {
            cut(&name, room.saturating_sub(width(&more))) + &more
        } else {
            cut(&name, room)
        };
        one(text, theme.name())
    }

    /// The time of day. A stamp begins with the date, ten characters, and `T`.
    fn when(&self, ns: u64) -> Vec<Span<'static>> {
        let stamp = self.clock.stamp(ns).to_string();
        one(stamp.get(11..19).unwrap_or("-"), self.theme.plain())
    }
}

fn one(text: impl std::fmt::Display, style: Style) -> Vec<Span<'static>> {
    vec![part(text, style)]
}
