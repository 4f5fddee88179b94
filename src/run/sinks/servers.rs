//! The servers of the whole run, for its summary.

use std::io;

use crate::listing::{Ended as Totals, Group, Query, groups};
use crate::model::Field;
use crate::model::services::OneWayPorts;
use crate::model::{Ended, Facts, Ifindex, Sample, Sink, Tick};

/// Totals of connections that have ended, by server. Bounded, whatever runs: see [`Totals`].
pub(in crate::run) struct Servers {
    totals: Totals,
    query: Query,
}

impl Servers {
    pub fn new(one_way_ports: OneWayPorts) -> Self {
        Self {
            totals: Totals::by(Field::Server),
            query: Query {
                by: Some(Field::Server),
                one_way_ports,
                ..Query::default()
            },
        }
    }

    /// All of the run, when it is over.
    pub fn groups(self) -> Vec<Group> {
        let none = std::iter::empty();
        groups(
            none,
            &Nobody,
            &self.query,
            Field::Server,
            Some(&self.totals),
        )
    }
}

impl Sink for Servers {
    fn ended(&mut self, ended: &Ended, _facts: &dyn Facts) -> io::Result<()> {
        let sample = without_client(&ended.sample);
        self.totals.add(&sample, &Nobody, &self.query);
        Ok(())
    }

    /// A table of millions makes no more groups than have room.
    fn finish(&mut self, tick: &Tick<'_>, _goes_on: bool) -> io::Result<()> {
        for connection in tick.table.iter() {
            let sample = without_client(&connection.sample);
            self.totals.add_live(&sample, &Nobody, &self.query);
        }
        Ok(())
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
        ConnectionId, Counts, Dropped, EndReason, Heard, Place, Response, Role, Status, Vlans,
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
            orig_class: None,
            reply_class: None,
            role: Role::Seen,
            response: Response {
                lost: 2,
                waiting: 1,
                ..Response::default()
            },
            dropped: Dropped::default(),
            round_trip: None,
            reply_dropped: Counts::default(),
            dns: None,
            heard: Heard::Nothing,
        };
        let mut servers = Servers::new(OneWayPorts::default());
        let reason = EndReason::Idle;
        servers.ended(&Ended { sample, reason }, &Nobody).unwrap();
        let groups = servers.groups();
        let states: Vec<State> = groups.iter().map(|group| group.state).collect();
        assert_eq!(states, [State::OneWay]);
    }
}
