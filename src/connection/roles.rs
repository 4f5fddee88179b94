//! Which end of a connection asks, where its beginning was not seen: by what sockets and ports say, not by who was seen first.

use std::net::SocketAddr;

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
}

/// Which of two ends asks, and how that is known. `None`: nothing tells them apart.
fn asker(ends: [SocketAddr; 2], evidence: &dyn Evidence) -> Option<(usize, Role)> {
    let [one, other] = ends;
    let first_if = |first: bool, second: bool| match (first, second) {
        (true, false) => Some(0),
        (false, true) => Some(1),
        _ => None,
    };
    let bound = ends.map(|end| evidence.is_bound(end));
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
    let by_port = || match one.port().cmp(&other.port()) {
        std::cmp::Ordering::Less => Some(0),
        std::cmp::Ordering::Greater => Some(1),
        std::cmp::Ordering::Equal => None,
    };
    let responder = by_service.or_else(by_port)?;
    Some((1 - responder, Role::Guessed))
}

/// What is to be changed of a connection whose beginning was not seen; `None` if nothing is.
#[must_use]
pub fn judge(sample: &Sample, evidence: &dyn Evidence) -> Option<Change> {
    let ends = [sample.originator, sample.responder];
    let (asker, role) = asker(ends, evidence).unwrap_or((0, Role::Guessed));
    let is_better = sample.role == Role::Seen || role == Role::Known;
    let turn = asker == 1;
    (is_better && (turn || role != sample.role)).then_some(Change::Role { role, turn })
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
    }

    fn between(originator: &str, responder: &str) -> Sample {
        Sample {
            originator: originator.parse().unwrap(),
            responder: responder.parse().unwrap(),
            ..sample(1, Status::Unreplied, 0)
        }
    }

    fn role(role: Role, turn: bool) -> Change {
        Change::Role { role, turn }
    }

    #[test]
    fn services_then_ports_then_who_was_first() {
        let none = Known::default();
        for (originator, responder, turn) in [
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
                Some(role(Role::Guessed, turn)),
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
        let low = between("10.0.0.1:7000", "10.0.0.9:53");
        assert_eq!(judge(&low, &bound), Some(role(Role::Known, true)));
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
    fn what_was_guessed_changes_only_for_what_is_known() {
        let server: SocketAddr = "10.0.0.1:7000".parse().unwrap();
        let bound = Known {
            bound: vec![server],
            ..Known::default()
        };
        let mut sample = between("10.0.0.1:7000", "10.0.0.9:53");
        sample.role = Role::Guessed;
        assert_eq!(judge(&sample, &Known::default()), None);
        assert_eq!(judge(&sample, &bound), Some(role(Role::Known, true)));
        let mut sample = between("10.0.0.9:53", "10.0.0.1:7000");
        sample.role = Role::Known;
        assert_eq!(judge(&sample, &bound), None);
    }
}
