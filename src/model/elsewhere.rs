//! Answers that come from elsewhere than where the request went: from another port of the asked host, as with TFTP (RFC 1350 4), or from
//! another address after a request to a group or to all, as with mDNS and SSDP. In the table they are connections of their own.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::record::{Amendment, Change, Role, Sample};
use super::table::Table;

/// An answer comes so soon, or is none.
const PATIENCE_NS: u64 = 1_000_000_000;
/// Where more connections begin between two ticks, nobody looks for such answers: it is a flood.
const MOST: usize = 20_000;

/// A request that waits.
#[derive(Clone, Copy)]
struct Waiting {
    sample: Sample,
    since_ns: u64,
}

impl Waiting {
    /// When it was answered on this connection: with its first packet, or, where it was repeated meanwhile, with its latest, which the
    /// kernel takes for a request until it is told better. (`last_ns` is a jiffy's beginning, which may be before the request.) Of one
    /// host alone the answer goes to a port that nobody else would ask: else it is a request to a server that asks, too.
    fn answered_ns(&self, other: &Sample, is_ephemeral: &dyn Fn(u16) -> bool) -> Option<u64> {
        let asked = self.sample.responder;
        let is_from_there = other.originator.ip() == asked.ip()
            && is_ephemeral(self.sample.originator.port())
            && !is_ephemeral(asked.port());
        let is_answer = other.originator != asked && (is_from_there || is_to_many(asked.ip()));
        let in_time = |ns: &u64| {
            let took = ns.checked_sub(self.since_ns);
            is_answer && took.is_some_and(|took| took <= PATIENCE_NS)
        };
        let latest = other.response.waiting_since_ns;
        [Some(other.first_ns), latest]
            .into_iter()
            .flatten()
            .find(in_time)
    }
}

/// Whether datagrams to this address reach a group, or all. A subnet's own broadcast address cannot be told from a host's.
#[must_use]
pub fn is_to_many(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}

/// What the connections that have begun since `since_ns` say of requests: each request that one of them answers has its answer, and
/// the originator of that one is who asked. `is_ephemeral` knows the ports that the system chooses.
#[must_use]
pub fn answers(table: &Table, since_ns: u64, is_ephemeral: impl Fn(u16) -> bool) -> Vec<Amendment> {
    let begun: Vec<Sample> = table
        .begun_since(since_ns)
        .map(|connection| connection.sample)
        .take(MOST + 1)
        .collect();
    if begun.is_empty() || begun.len() > MOST {
        return Vec::new();
    }
    let mut waiting: HashMap<SocketAddr, Vec<Waiting>> = HashMap::new();
    // What waits was asked within the last seconds: on a connection that is as young, or on one that has grown since.
    let asked = table.grown_since(since_ns.saturating_sub(2 * PATIENCE_NS));
    for sample in asked.map(|connection| connection.sample).take(MOST) {
        if let Some(since_ns) = sample.response.waiting_since_ns {
            let waiting = waiting.entry(sample.originator).or_default();
            waiting.push(Waiting { sample, since_ns });
        }
    }
    let mut amendments = Vec::new();
    for other in begun.iter().filter(|other| other.role == Role::Seen) {
        // Who is answered there is told apart by its own end.
        let Some(requests) = waiting.get(&other.responder) else {
            continue;
        };
        let answered = |waiting: &Waiting| {
            let ns = waiting.answered_ns(other, &is_ephemeral)?;
            Some((*waiting, ns))
        };
        let Some((request, ns)) = requests.iter().find_map(answered) else {
            continue;
        };
        let answer = Change::Answer { ns };
        let swapped = Change::Role {
            role: Role::Known,
            swap: true,
        };
        amendments.push(Amendment::of(&request.sample, answer));
        amendments.push(Amendment::of(other, swapped));
    }
    amendments
}

#[cfg(test)]
mod tests {
    use super::super::expiry::Timeouts;
    use super::super::record::Status;
    use super::super::response::Response;
    use super::super::table::tests::sample;
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn asking(id: u64, client: &str, server: &str, at_ns: u64) -> Sample {
        Sample {
            originator: client.parse().unwrap(),
            responder: server.parse().unwrap(),
            first_ns: at_ns,
            last_ns: at_ns,
            response: Response {
                waiting: 1,
                waiting_since_ns: Some(at_ns),
                ..Response::default()
            },
            ..sample(id, Status::Unreplied, 0)
        }
    }

    /// Ids of requests that are answered, and of connections that are swapped.
    fn found(samples: &[Sample]) -> (Vec<u64>, Vec<u64>) {
        let mut table = Table::new(64, Timeouts::default());
        table.apply(samples.iter().copied(), 11 * SECOND);
        let (mut answered, mut swapped) = (Vec::new(), Vec::new());
        for amendment in answers(&table, 10 * SECOND, |port| port >= 32_768) {
            match amendment.change {
                Change::Answer { .. } => answered.push(amendment.id.0),
                Change::Role { role, swap } => {
                    assert_eq!((role, swap), (Role::Known, true));
                    swapped.push(amendment.id.0);
                }
                Change::Frames { .. } | Change::Spins | Change::Hear => panic!("that is no answer"),
            }
        }
        answered.sort_unstable();
        swapped.sort_unstable();
        (answered, swapped)
    }

    #[test]
    fn from_another_port_of_the_asked_host() {
        let at = 10 * SECOND;
        let request = asking(1, "10.0.0.1:40000", "10.0.0.2:69", at);
        let answer = asking(2, "10.0.0.2:41000", "10.0.0.1:40000", at + 5);
        assert_eq!(found(&[request, answer]), (vec![1], vec![2]));
        // To another port of the client, from another host, too late, too early.
        for (from, to, at_ns) in [
            ("10.0.0.2:41000", "10.0.0.1:40001", at + 5),
            ("10.0.0.3:41000", "10.0.0.1:40000", at + 5),
            ("10.0.0.2:41000", "10.0.0.1:40000", at + SECOND + 1),
        ] {
            let other = asking(2, from, to, at_ns);
            assert_eq!(found(&[request, other]), (vec![], vec![]), "{other:?}");
        }
        let late = asking(1, "10.0.0.1:40000", "10.0.0.2:69", at + 6);
        assert_eq!(found(&[late, answer]), (vec![], vec![]));
        // A server that asks from its own port is asked itself.
        for asks in ["10.0.0.1:123", "10.0.0.1:53"] {
            let request = asking(1, asks, "10.0.0.2:123", at);
            let asked = asking(2, "10.0.0.2:41000", asks, at + 5);
            assert_eq!(found(&[request, asked]), (vec![], vec![]));
        }
    }

    #[test]
    fn from_any_host_to_what_was_asked_of_many() {
        let at = 10 * SECOND;
        for group in ["224.0.0.251:5353", "255.255.255.255:67"] {
            let request = asking(1, "10.0.0.1:4000", group, at);
            let answers = [
                asking(2, "10.0.0.2:5353", "10.0.0.1:4000", at + 5),
                asking(3, "10.0.0.3:5353", "10.0.0.1:4000", at + 6),
            ];
            let (answered, swapped) = found(&[request, answers[0], answers[1]]);
            assert_eq!((answered, swapped), (vec![1, 1], vec![2, 3]));
        }
        // Asked again before anybody looked: the latest packet answers that.
        let again = asking(1, "10.0.0.1:4000", "224.0.0.252:5355", at + 300);
        let mut answer = asking(2, "10.0.0.2:5355", "10.0.0.1:4000", at + 5);
        assert_eq!(found(&[again, answer]), (vec![], vec![]));
        // A jiffy began with neither of them.
        answer.response.waiting_since_ns = Some(at + 305);
        assert_eq!(found(&[again, answer]), (vec![1], vec![2]));
    }
}
