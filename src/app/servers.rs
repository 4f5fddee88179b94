//! What servers came to over the whole run, for its last lines.

use crate::connection::{Facts, Ifindex, Sample, Table};
use crate::listing::{Ended, Field, Group, Query, groups};
use crate::services::OneWayPorts;

/// Totals of connections that have ended, by server. Bounded, whatever runs: see [`Ended`].
pub(super) struct Servers {
    ended: Ended,
    query: Query,
}

impl Servers {
    pub fn new(one_way_ports: OneWayPorts) -> Self {
        Self {
            ended: Ended::by(Field::Server),
            query: Query {
                by: Some(Field::Server),
                one_way_ports,
                ..Query::default()
            },
        }
    }

    /// Takes in the last counts of a connection.
    pub fn end(&mut self, sample: &Sample) {
        let sample = without_client(sample);
        self.ended.add(&sample, &Nobody, &self.query);
    }

    /// Those that have ended, and those of this table: it is the end. A table of millions makes no more groups than have room.
    pub fn groups(mut self, table: &Table) -> Vec<Group> {
        for connection in table.iter() {
            let sample = without_client(&connection.sample);
            self.ended.add_live(&sample, &Nobody, &self.query);
        }
        let none = std::iter::empty();
        groups(none, &Nobody, &self.query, Field::Server, Some(&self.ended))
    }
}

/// Who asks is not told in the end, and so takes no memory.
fn without_client(sample: &Sample) -> Sample {
    Sample {
        originator: sample.responder,
        ..*sample
    }
}

/// Knows no names: of processes, neither.
struct Nobody;

impl Facts for Nobody {
    fn interface(&self, _: Ifindex) -> String {
        String::new()
    }
}
