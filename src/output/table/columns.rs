//! Which columns of a table are there, what they are worth where there is too little room, and how values look as plain text.

use super::grid::{Grid, Head};
use super::names::{Names, process};
use crate::listing::{Column, Number, Query, Row, Sheet, Units, Value, Values};
use crate::model::text::Visible;
use crate::model::{Facts, Field, Role, Shared, Window};

/// The columns that are needed most, up to this rank, are worth more than names of hosts and services.
pub(super) const WORTH_MORE_THAN_NAMES: usize = 4;

/// What a table needs to know to be made.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub facts: &'a dyn Facts,
    pub sheet: &'static Sheet,
    pub query: &'a Query,
    pub names: Names,
    pub now_ns: u64,
    /// Whether connections of several interfaces are shown.
    pub interfaces: bool,
}

/// A line for each item; what its row is made of is forgotten when the line is written.
pub(super) fn grid<'a, T>(
    scene: Scene<'_>,
    by: Option<Field>,
    items: &'a [T],
    row: impl Fn(&'a T) -> Row<'a>,
) -> Grid {
    let sheet = scene.sheet;
    let sorted = sheet.sorted_by(scene.query.sort);
    let values = Values {
        facts: scene.facts,
        window: Window::Short,
        now_ns: scene.now_ns,
    };
    let is_known = |item| match values.value(Column::Process, &row(item)) {
        Value::Nothing => false,
        Value::Process(processes) => !processes.is_unknown(),
        _ => true,
    };
    let has_lost = |item| match values.value(Column::Dropped, &row(item)) {
        Value::Number(Number::Loss(lost)) => lost > 0,
        _ => false,
    };
    let has_proto = |item| values.value(Column::Proto, &row(item)) != Value::Nothing;
    let has_name = |item| values.value(Column::Name, &row(item)) != Value::Nothing;
    let has_round_trip = |item| values.value(Column::RoundTrip, &row(item)) != Value::Nothing;
    let has_failed = |item| values.value(Column::Failed, &row(item)) != Value::Nothing;
    let is_there = |column: &Column| match column {
        Column::Interface => scene.interfaces,
        Column::Process => {
            let is_asked_for = scene.query.process.is_some() || sorted.contains(column);
            is_asked_for || items.iter().any(is_known)
        }
        Column::Dropped => sorted.contains(column) || items.iter().any(has_lost),
        Column::Proto => sorted.contains(column) || items.iter().any(has_proto),
        Column::RoundTrip => items.iter().any(has_round_trip),
        Column::Failed => sorted.contains(column) || items.iter().any(has_failed),
        Column::Name => items.iter().any(has_name),
        _ => true,
    };
    let columns: Vec<Column> = sheet.order.iter().copied().filter(is_there).collect();
    let heads = columns.iter().map(|column| Head {
        title: column.title(by, false),
        words: !column.is_number(),
        rank: rank(*column, sheet, &sorted),
    });
    let line = |item| {
        let row = row(item);
        let cells = columns.iter();
        let cells = cells.map(|column| scene.text(*column, values.value(*column, &row)));
        cells.collect()
    };
    Grid::new(heads.collect(), items.iter().map(line).collect())
}

/// 0 for what is never left out: what a row is known by, and what the rows are sorted by.
fn rank(column: Column, sheet: &Sheet, sorted: &[Column]) -> usize {
    if column.is_identity() || sorted.contains(&column) {
        return 0;
    }
    let place = sheet.need.iter().position(|needed| *needed == column);
    place.map_or(sheet.need.len(), |place| place) + 1
}

impl Scene<'_> {
    fn text(&self, column: Column, value: Value<'_>) -> String {
        let Self { facts, names, .. } = *self;
        match value {
            // Moments are those of ends, which no text table shows.
            Value::Nothing | Value::Moment(_) => "-".to_owned(),
            Value::Status(_, word) | Value::Word(word) => word.to_owned(),
            Value::State(state) => state.word().to_owned(),
            Value::End(end, _) if column == Column::Originator => names.originator(facts, end),
            Value::End(end, role) => format!("{}{}", names.responder(facts, end), guessed(role)),
            // Behind a protocol the mark would say that the port alone tells it.
            Value::Shared(shared @ Shared::Spoken(_), _) => self.shared(shared),
            Value::Shared(shared, role) => format!("{}{}", self.shared(shared), guessed(role)),
            Value::Process(processes) => process(processes),
            Value::Programs(programs) => Visible(&programs.to_string()).to_string(),
            Value::Name(name) => Visible(&name).to_string(),
            Value::Failing(text) => text,
            Value::Speech(speech) => Visible(&speech.to_string()).to_string(),
            Value::Number(number) => number.text(Units::Exact),
        }
    }

    fn shared(&self, shared: Shared) -> String {
        let Self { facts, names, .. } = *self;
        match shared {
            Shared::Address(address) => names.address(facts, address),
            Shared::End(end) => names.responder(facts, end),
            Shared::Port(port) => names.port(facts, port),
            other => Visible(&other.text()).to_string(),
        }
    }
}

/// Behind ends whose roles may be the other way round.
fn guessed(role: Role) -> &'static str {
    if role == Role::Guessed { "?" } else { "" }
}
