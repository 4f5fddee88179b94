//! Which end of a connection asks, where its beginning was not seen: by what sockets and ports say, not by who was seen first.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use super::elsewhere::is_to_many;
use super::key::ConnectionId;
use super::record::{Change, Role, Sample};

/// What is known of ends beside their packets.
pub trait Evidence {
    /// Whether a socket of this machine is bound to this end, without a peer, at a port that was chosen for it.
    fn is_bound(&self, end: SocketAddr) -> bool;

    /// Whether a socket of this machine is connected from this end to the other.
    fn is_connected(&self, end: SocketAddr, peer: SocketAddr) -> bool;

    /// Whether the port is one of a service: below 1024, or in the system's list.
    fn is_service(&self, port: u16) -> bool;

    /// Whether the system chooses such ports for sockets that ask for none.
    fn is_ephemeral(&self, port: u16) -> bool;

    /// How many connections have this end.
    fn connections(&self, end: SocketAddr) -> u32;
}

/// An end with this many times the connections of the other end is the responder: a server has many clients, also if these come out
/// of an address translation, at any port.
const MANY_TIMES: u32 = 4;

/// Which of two ends asks, and how that is known. `None`: nothing tells them apart.
fn asker(sample: &Sample, evidence: &dyn Evidence) -> Option<(usize, Role)> {
    let [one, other] = [sample.originator, sample.responder];
    let first_if = |first: bool, second: bool| match (first, second) {
        (true, false) => Some(0),
        (false, true) => Some(1),
        _ => None,
    };
    // A group never sends.
    if let Some(responder) = first_if(is_to_many(one.ip()), is_to_many(other.ip())) {
        return Some((1 - responder, Role::Known));
    }
    // A client may be bound, too, as those of NTP are: not where it is the other end that has a service's port.
    let is_bound = |end: SocketAddr, peer: SocketAddr| {
        evidence.is_bound(end)
            && (evidence.is_service(end.port()) || !evidence.is_service(peer.port()))
    };
    let bound = [is_bound(one, other), is_bound(other, one)];
    if let Some(responder) = first_if(bound[0], bound[1]) {
        return Some((1 - responder, Role::Known));
    }
    // A server may connect a socket to each client: then its port is no ephemeral one.
    let connects = |end: SocketAddr, peer| {
        evidence.is_ephemeral(end.port()) && evidence.is_connected(end, peer)
    };
    if let Some(asker) = first_if(connects(one, other), connects(other, one)) {
        return Some((asker, Role::Known));
    }
    let serves = |end: SocketAddr, peer: SocketAddr| {
        evidence.is_service(end.port()) && evidence.is_ephemeral(peer.port())
    };
    let by_service = first_if(serves(one, other), serves(other, one));
    let has_many = |end: SocketAddr, peer: SocketAddr| {
        evidence.connections(end) >= evidence.connections(peer).saturating_mul(MANY_TIMES).max(2)
    };
    let by_clients = || first_if(has_many(one, other), has_many(other, one));
    let by_port = || match one.port().cmp(&other.port()) {
        std::cmp::Ordering::Less => Some(0),
        std::cmp::Ordering::Greater => Some(1),
        std::cmp::Ordering::Equal => None,
    };
    // An end that sends to many and gets no answer is not a server: it may be the client of many servers that never answer.
    let is_one_way = sample.orig.packets == 0 || sample.reply.packets == 0;
    let responder = if is_one_way {
        by_service.or_else(by_port).or_else(by_clients)?
    } else {
        by_service.or_else(by_clients).or_else(by_port)?
    };
    Some((1 - responder, Role::Guessed))
}

/// What is to be changed of a connection whose beginning was not seen; `None` if nothing is.
#[must_use]
pub fn judge(sample: &Sample, evidence: &dyn Evidence) -> Option<Change> {
    let (asker, role) = asker(sample, evidence).unwrap_or((0, Role::Guessed));
    let is_better = sample.role == Role::Seen || role == Role::Known;
    let swap = asker == 1;
    (is_better && (swap || role != sample.role)).then_some(Change::Role { role, swap })
}

/// Who asked in connections that have ended: when their ends talk again, the first packet may be that of either.
///
/// An answer that comes after its connection has ended thus begins no connection the other way round. Bounded: the newest are kept.
#[derive(Debug)]
pub struct Predecessors {
    most: usize,
    all: HashMap<ConnectionId, Predecessor>,
    /// In the order in which they ended; one that ended twice is there twice.
    order: VecDeque<(ConnectionId, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Predecessor {
    originator: SocketAddr,
    role: Role,
    last_ns: u64,
}

/// How long after its latest packet a connection tells something about the next one.
const REMEMBERED_NS: u64 = 120_000_000_000;

impl Predecessors {
    /// With room for this number.
    #[must_use]
    pub fn with_room(most: usize) -> Self {
        Self {
            most,
            all: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// A connection has ended. After one request and one answer nothing more is to be expected.
    pub fn add(&mut self, sample: &Sample) {
        if (sample.orig.packets, sample.reply.packets) == (1, 1) {
            return;
        }
        let predecessor = Predecessor {
            originator: sample.originator,
            role: sample.role,
            last_ns: sample.last_ns,
        };
        self.all.insert(sample.id, predecessor);
        self.order.push_back((sample.id, sample.last_ns));
        while self.order.len() > self.most {
            let Some((id, last_ns)) = self.order.pop_front() else {
                break;
            };
            if self
                .all
                .get(&id)
                .is_some_and(|known| known.last_ns == last_ns)
            {
                self.all.remove(&id);
            }
        }
    }

    /// What is to be changed of a connection that has just begun; `None` if nothing is.
    #[must_use]
    pub fn judge(&self, sample: &Sample) -> Option<Change> {
        let known = self.all.get(&sample.id)?;
        let since = sample.first_ns.saturating_sub(known.last_ns);
        let is_other_way = known.originator == sample.responder;
        (sample.role == Role::Seen && is_other_way && since <= REMEMBERED_NS).then_some(
            Change::Role {
                role: match known.role {
                    Role::Guessed => Role::Guessed,
                    Role::Seen | Role::Known => Role::Known,
                },
                swap: true,
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Status;
    use super::super::table::tests::sample;
    use super::*;

    #[derive(Default)]
    struct Known {
        bound: Vec<SocketAddr>,
        connected: Vec<(SocketAddr, SocketAddr)>,
        popular: Option<SocketAddr>,
    }

    impl Evidence for Known {
        fn is_bound(&self, end: SocketAddr) -> bool {
            self.bound.contains(&end)
        }

        fn is_connected(&self, end: SocketAddr, peer: SocketAddr) -> bool {
            self.connected.contains(&(end, peer))
        }

        fn is_service(&self, port: u16) -> bool {
            port < 1024 || port == 5060
        }

        fn is_ephemeral(&self, port: u16) -> bool {
            port >= 32_768
        }

        fn connections(&self, end: SocketAddr) -> u32 {
            if self.popular == Some(end) { 4 } else { 1 }
        }
    }

    fn between(originator: &str, responder: &str) -> Sample {
        Sample {
            originator: originator.parse().unwrap(),
            responder: responder.parse().unwrap(),
            ..sample(1, Status::Unreplied, 0)
        }
    }

    fn role(role: Role, swap: bool) -> Change {
        Change::Role { role, swap }
    }

    #[test]
    fn services_then_ports_then_who_was_first() {
        let none = Known::default();
        for (originator, responder, swap) in [
            ("10.0.0.1:443", "10.0.0.2:47127", true),
            ("10.0.0.2:47127", "10.0.0.1:443", false),
            ("10.0.0.1:5060", "10.0.0.2:40000", true),
            // No service on either side, or on both.
            ("10.0.0.1:6000", "10.0.0.2:7000", true),
            ("10.0.0.1:7000", "10.0.0.2:6000", false),
            ("10.0.0.1:53", "10.0.0.2:5060", true),
            ("[fd00::1]:123", "[fd00::2]:123", false),
        ] {
            let sample = between(originator, responder);
            assert_eq!(
                judge(&sample, &none),
                Some(role(Role::Guessed, swap)),
                "{sample:?}"
            );
        }
    }

    #[test]
    fn sockets_say_more_than_ports() {
        let server: SocketAddr = "10.0.0.1:7000".parse().unwrap();
        let client: SocketAddr = "10.0.0.2:40000".parse().unwrap();
        let bound = Known {
            bound: vec![server],
            ..Known::default()
        };
        let high = between("10.0.0.1:7000", "10.0.0.9:6999");
        assert_eq!(judge(&high, &bound), Some(role(Role::Known, true)));
        // A bound client of a service.
        let asks = between("10.0.0.1:7000", "10.0.0.9:53");
        assert_eq!(judge(&asks, &bound), Some(role(Role::Guessed, false)));
        let connected = Known {
            connected: vec![(client, server)],
            ..Known::default()
        };
        let sample = between("10.0.0.1:7000", "10.0.0.2:40000");
        assert_eq!(judge(&sample, &connected), Some(role(Role::Known, true)));
        // A server with a socket for each client.
        let each = Known {
            connected: vec![(server, client)],
            ..Known::default()
        };
        assert_eq!(judge(&sample, &each), Some(role(Role::Guessed, true)));
    }

    #[test]
    fn a_server_has_many_clients() {
        let popular = Known {
            popular: "10.0.0.1:7000".parse().ok(),
            ..Known::default()
        };
        for (originator, swap) in [("10.0.0.1:7000", true), ("10.0.0.2:6000", false)] {
            let other = if swap {
                "10.0.0.2:6000"
            } else {
                "10.0.0.1:7000"
            };
            let sample = between(originator, other);
            assert_eq!(judge(&sample, &popular), Some(role(Role::Guessed, swap)));
        }
    }

    /// Syslog, statsd, `NetFlow` and a stream to a group from one socket, whose end so has four connections.
    #[test]
    fn who_sends_to_many_and_hears_of_none_is_no_server() {
        let popular = Known {
            popular: "10.0.0.1:40001".parse().ok(),
            ..Known::default()
        };
        for sink in ["10.0.0.2:514", "10.0.0.2:8125", "10.0.0.2:2055"] {
            let mut sample = between("10.0.0.1:40001", sink);
            sample.reply = super::super::record::Counts::default();
            let guessed = Some(role(Role::Guessed, false));
            assert_eq!(judge(&sample, &popular), guessed, "{sink}");
        }
        let mut group = between("10.0.0.1:40001", "239.1.2.3:5004");
        group.reply = super::super::record::Counts::default();
        assert_eq!(judge(&group, &popular), Some(role(Role::Known, false)));
    }

    #[test]
    fn ends_that_talk_again_keep_their_roles() {
        const SECOND: u64 = 1_000_000_000;
        let mut before = between("10.0.0.9:40000", "10.0.0.1:53");
        before.last_ns = SECOND;
        let mut late = between("10.0.0.1:53", "10.0.0.9:40000");
        late.first_ns = 41 * SECOND;
        let mut past = Predecessors::with_room(2);
        assert_eq!(past.judge(&late), None);
        past.add(&before);
        assert_eq!(past.judge(&late), Some(role(Role::Known, true)));
        // The same way round; much later; another connection.
        assert_eq!(
            past.judge(&Sample {
                first_ns: 41 * SECOND,
                ..before
            }),
            None
        );
        let later = Sample {
            first_ns: 122 * SECOND,
            ..late
        };
        assert_eq!(past.judge(&later), None);
        let mut other = late;
        other.id.0 += 1;
        assert_eq!(past.judge(&other), None);
        // A guess stays one, and the latest end counts.
        let guess = Sample {
            role: Role::Guessed,
            last_ns: 3 * SECOND,
            ..before
        };
        past.add(&guess);
        assert_eq!(past.judge(&late), Some(role(Role::Guessed, true)));
        // The newest are kept.
        for number in 100..102 {
            past.add(&sample(number, Status::Unreplied, 4 * SECOND));
        }
        assert_eq!((past.judge(&late), past.all.len()), (None, 2));
    }

    #[test]
    fn what_was_guessed_changes_only_for_what_is_known() {
        let server: SocketAddr = "10.0.0.1:7000".parse().unwrap();
        let bound = Known {
            bound: vec![server],
            ..Known::default()
        };
        let mut sample = between("10.0.0.1:7000", "10.0.0.9:6999");
        sample.role = Role::Guessed;
        assert_eq!(judge(&sample, &Known::default()), None);
        assert_eq!(judge(&sample, &bound), Some(role(Role::Known, true)));
        let mut sample = between("10.0.0.9:6999", "10.0.0.1:7000");
        sample.role = Role::Known;
        assert_eq!(judge(&sample, &bound), None);
    }
}
