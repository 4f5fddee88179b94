//! What servers came to over the whole run, for its last lines.

use crate::listing::{Ended, Group, Query, groups};
use crate::model::Field;
use crate::model::services::OneWayPorts;
use crate::model::{Facts, Ifindex, Sample, Table};

/// Totals of connections that have ended, by server. Bounded, whatever runs: see [`Ended`].
pub(in crate::run) struct Servers {
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

/// Who asks is not told in the end, and so takes no memory. Its port is part of what is judged.
fn without_client(sample: &Sample) -> Sample {
    let mut originator = sample.responder;
    originator.set_port(sample.originator.port());
    Sample {
        originator,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::State;
    use crate::model::{
        ConnectionId, Counts, Dropped, Place, Response, Role, Status, Timeouts, Vlans,
    };

    /// What a DHCP server offers to who has no address yet asks nothing of the client.
    #[test]
    fn answers_alone_make_no_dead_server() {
        let sample = Sample {
            id: ConnectionId(1),
            place: Place::default(),
            ifindex: Ifindex(2),
            reply_ifindex: None,
            vlans: Vlans::default(),
            originator: ([192, 0, 2, 1], 67).into(),
            responder: ([192, 0, 2, 10], 68).into(),
            orig: Counts {
                packets: 3,
                bytes: 1026,
            },
            reply: Counts::default(),
            status: Status::Unreplied,
            unreachable: None,
            first_ns: 1,
            last_ns: 2,
            first_reply_ns: None,
            orig_ttl: None,
            reply_ttl: None,
            role: Role::Seen,
            response: Response {
                lost: 2,
                waiting: 1,
                ..Response::default()
            },
            dropped: Dropped::default(),
        };
        let mut servers = Servers::new(OneWayPorts::default());
        servers.end(&sample);
        let groups = servers.groups(&Table::new(8, Timeouts::default()));
        let states: Vec<State> = groups.iter().map(|group| group.state).collect();
        assert_eq!(states, [State::OneWay]);
    }
}
