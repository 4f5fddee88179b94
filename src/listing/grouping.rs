//! The groups of a run at each snapshot: with ended connections, and with a state from their history.

use super::ended::Ended;
use super::group::Group;
use super::history::History;
use super::interfaces::Interfaces;
use super::{Query, arrange, groups};
use crate::model::Field;
use crate::model::{Facts, Report, Sample, Table};

/// What is kept from one snapshot to the next.
#[derive(Clone, Debug)]
pub struct Grouping {
    field: Field,
    ended: Ended,
    history: History,
    interfaces: Interfaces,
}

impl Grouping {
    /// By this field.
    #[must_use]
    pub fn by(field: Field) -> Self {
        Self {
            field,
            ended: Ended::by(field),
            history: History::default(),
            interfaces: Interfaces::default(),
        }
    }

    /// By what.
    #[must_use]
    pub fn field(&self) -> Field {
        self.field
    }

    /// What has ended.
    #[must_use]
    pub fn ended(&self) -> &Ended {
        &self.ended
    }

    /// Takes in a connection that has ended.
    pub fn end(&mut self, sample: &Sample, facts: &dyn Facts, query: &Query) {
        self.ended.add(sample, facts, query);
    }

    /// The groups that a query wants, in its order.
    pub fn snapshot(
        &mut self,
        table: &Table,
        report: &Report,
        facts: &dyn Facts,
        query: &Query,
    ) -> Vec<Group> {
        let now_ns = table.scanned_ns();
        let ended = Some(&self.ended);
        let mut groups = groups(table.iter(), facts, query, self.field, ended);
        self.history.tick(&mut groups, now_ns);
        if self.field == Field::Interface {
            self.interfaces.tick(report, table.began_ns(), now_ns);
            self.interfaces.complete(&mut groups);
        }
        arrange(groups, query, now_ns)
    }
}
