use std::net::IpAddr;

use super::*;

const SECOND: u64 = 1_000_000_000;
const OWN: Netns = Netns(1);
const CONTAINER: Netns = Netns(2);
const ELSEWHERE: Netns = Netns(3);
const ETH0: Ifindex = Ifindex(2);

/// Ours: 10.0.0.1, `fd00::1` and the group 224.0.0.251. A container with a link to ours: 172.17.0.2. Elsewhere, without a
/// link, the same.
struct Map;

impl Places for Map {
    fn own(&self) -> Netns {
        OWN
    }

    fn is_own(&self, address: IpAddr) -> bool {
        ["10.0.0.1", "fd00::1", "224.0.0.251"]
            .iter()
            .any(|own| address == own.parse::<IpAddr>().unwrap())
    }

    fn is_unicast(&self, address: IpAddr) -> bool {
        !address.is_multicast()
    }

    fn is_linked(&mut self, netns: Netns, pid: Option<u32>, address: IpAddr, _: u64) -> bool {
        pid.is_some() && netns == CONTAINER && address == "172.17.0.2".parse::<IpAddr>().unwrap()
    }

    fn has_links(&mut self) -> bool {
        true
    }

    fn refresh(&mut self) {}
}

fn holder(pid: u32) -> Holder {
    Holder {
        pid,
        started_ns: u64::from(pid) * 1000,
        uid: 0,
        cgroup: 1,
        command: [0; 16],
    }
}

/// The socket's key is the process's id.
fn socket(pid: u32, netns: Netns, local: &str, peer: Option<&str>) -> Socket {
    Socket {
        key: pid.into(),
        netns,
        local: local.parse().unwrap(),
        peer: peer.map(|peer| peer.parse().unwrap()),
        only_ipv6: false,
        device: None,
        at_home: true,
        holder: Some(holder(pid)),
    }
}

/// Those sockets, read at one second.
fn known(open: &[Socket]) -> Sockets {
    let mut sockets = Sockets::default();
    sockets.replace(open.to_vec(), SECOND, 0);
    sockets
}

fn end(address: &str, peer: &str, first_ns: u64) -> End {
    End {
        address: address.parse().unwrap(),
        peer: peer.parse().unwrap(),
        first_ns,
        last_ns: first_ns,
        ifindex: ETH0,
    }
}

fn find_end(sockets: &Sockets, end: &End) -> Option<u32> {
    let now = 100 * SECOND;
    sockets
        .find(end, now, &mut Map, now)
        .map(|holder| holder.pid)
}

/// Who is named for a connection that begins at two seconds.
fn find(sockets: &Sockets, address: &str, peer: &str) -> Option<u32> {
    find_end(sockets, &end(address, peer, 2 * SECOND))
}

fn closed(socket: Socket, closed_ns: u64) -> Closed {
    Closed { socket, closed_ns }
}

#[test]
fn the_connected_socket_comes_first() {
    let sockets = known(&[
        socket(5, OWN, "0.0.0.0:53", None),
        socket(6, OWN, "10.0.0.1:53", None),
        socket(7, OWN, "10.0.0.1:53", Some("192.0.2.9:4000")),
    ]);
    assert_eq!(find(&sockets, "10.0.0.1:53", "192.0.2.9:4000"), Some(7));
    assert_eq!(find(&sockets, "10.0.0.1:53", "192.0.2.9:4001"), Some(6));
    assert_eq!(find(&sockets, "10.0.0.1:54", "192.0.2.9:4000"), None);
}

#[test]
fn a_connected_socket_has_nothing_to_do_with_others() {
    let sockets = known(&[socket(7, OWN, "10.0.0.1:53", Some("192.0.2.9:4000"))]);
    assert_eq!(find(&sockets, "10.0.0.1:53", "192.0.2.8:4000"), None);
}

#[test]
fn a_socket_of_any_address_has_only_its_own_machines() {
    let sockets = known(&[socket(5, OWN, "0.0.0.0:53", None)]);
    assert_eq!(find(&sockets, "10.0.0.1:53", "192.0.2.9:4000"), Some(5));
    // Forwarded: not one of our addresses.
    assert_eq!(find(&sockets, "192.0.2.53:53", "192.0.2.9:4000"), None);
    // A group that this machine is in, and one that it is not in.
    assert_eq!(find(&sockets, "224.0.0.251:53", "192.0.2.9:4000"), Some(5));
    assert_eq!(find(&sockets, "224.0.0.252:53", "192.0.2.9:4000"), None);
}

#[test]
fn families() {
    let both = known(&[socket(5, OWN, "[::]:53", None)]);
    assert_eq!(find(&both, "10.0.0.1:53", "192.0.2.9:4000"), Some(5));
    assert_eq!(find(&both, "[fd00::1]:53", "[fd00::9]:4000"), Some(5));
    let only_ipv6 = Socket {
        only_ipv6: true,
        ..socket(6, OWN, "[::]:53", None)
    };
    let apart = known(&[only_ipv6, socket(5, OWN, "0.0.0.0:53", None)]);
    assert_eq!(find(&apart, "10.0.0.1:53", "192.0.2.9:4000"), Some(5));
    assert_eq!(find(&apart, "[fd00::1]:53", "[fd00::9]:4000"), Some(6));
}

#[test]
fn a_container_that_is_linked_to_us() {
    let sockets = known(&[
        socket(5, CONTAINER, "0.0.0.0:53", None),
        socket(6, ELSEWHERE, "0.0.0.0:53", None),
        socket(7, ELSEWHERE, "172.17.0.2:54", None),
    ]);
    assert_eq!(find(&sockets, "172.17.0.2:53", "192.0.2.9:4000"), Some(5));
    assert_eq!(find(&sockets, "172.17.0.2:54", "192.0.2.9:4000"), None);
    // Ours, even if nobody listens there.
    assert_eq!(find(&sockets, "10.0.0.1:53", "192.0.2.9:4000"), None);
}

#[test]
fn a_namespace_is_not_asked_about_by_a_process_that_is_not_there() {
    let visitor = Socket {
        at_home: false,
        ..socket(5, CONTAINER, "0.0.0.0:53", None)
    };
    assert_eq!(
        find(&known(&[visitor]), "172.17.0.2:53", "192.0.2.9:4000"),
        None
    );
    // What is closed may be the socket of a process that is gone, whose id another has.
    let mut sockets = known(&[]);
    sockets.close([closed(socket(5, CONTAINER, "0.0.0.0:53", None), 3 * SECOND)]);
    assert_eq!(find(&sockets, "172.17.0.2:53", "192.0.2.9:4000"), None);
}

#[test]
fn all_four_numbers_need_no_link_but_one_namespace() {
    let connected = |pid, netns| socket(pid, netns, "172.17.0.3:4000", Some("192.0.2.53:53"));
    let sockets = known(&[connected(5, ELSEWHERE)]);
    assert_eq!(find(&sockets, "172.17.0.3:4000", "192.0.2.53:53"), Some(5));
    let sockets = known(&[connected(5, ELSEWHERE), connected(6, CONTAINER)]);
    assert_eq!(find(&sockets, "172.17.0.3:4000", "192.0.2.53:53"), None);
}

#[test]
fn several_processes_on_one_port_are_none() {
    let sockets = known(&[
        socket(5, OWN, "0.0.0.0:53", None),
        socket(6, OWN, "0.0.0.0:53", None),
    ]);
    assert_eq!(find(&sockets, "10.0.0.1:53", "192.0.2.9:4000"), None);
    let on = |pid, device| Socket {
        device: Some(Ifindex(device)),
        ..socket(pid, OWN, "0.0.0.0:68", None)
    };
    let sockets = known(&[on(5, 2), on(6, 3)]);
    assert_eq!(find(&sockets, "10.0.0.1:68", "192.0.2.9:67"), Some(5));
}

#[test]
fn several_sockets_of_one_process_are_one() {
    let mut second = socket(5, OWN, "0.0.0.0:53", None);
    second.key = 77;
    let sockets = known(&[socket(5, OWN, "0.0.0.0:53", None), second]);
    assert_eq!(find(&sockets, "10.0.0.1:53", "192.0.2.9:4000"), Some(5));
}

#[test]
fn the_oldest_of_those_that_share_a_socket_but_init() {
    let shared = |pid| Socket {
        key: 9,
        holder: Some(holder(pid)),
        ..socket(9, OWN, "0.0.0.0:53", None)
    };
    let sockets = known(&[shared(30), shared(20), shared(1), shared(40)]);
    assert_eq!(find(&sockets, "10.0.0.1:53", "192.0.2.9:4000"), Some(20));
    let sockets = known(&[shared(1)]);
    assert_eq!(find(&sockets, "10.0.0.1:53", "192.0.2.9:4000"), Some(1));
}

#[test]
fn a_closed_socket_has_what_began_before_its_end() {
    let mut sockets = known(&[]);
    let dig = socket(5, OWN, "10.0.0.1:4000", Some("192.0.2.53:53"));
    sockets.close([closed(dig, 3 * SECOND)]);
    let at = |first| end("10.0.0.1:4000", "192.0.2.53:53", first);
    assert_eq!(find_end(&sockets, &at(2 * SECOND)), Some(5));
    assert_eq!(find_end(&sockets, &at(4 * SECOND)), None);
}

#[test]
fn a_port_that_is_used_again_does_not_rename_what_was_before() {
    let mut sockets = known(&[]);
    sockets.close([closed(socket(5, OWN, "0.0.0.0:4000", None), 3 * SECOND)]);
    sockets.replace(vec![socket(6, OWN, "0.0.0.0:4000", None)], 4 * SECOND, 0);
    let at = |first| end("10.0.0.1:4000", "192.0.2.53:53", first);
    assert_eq!(find_end(&sockets, &at(2 * SECOND)), Some(5));
    assert_eq!(find_end(&sockets, &at(5 * SECOND)), Some(6));
}

#[test]
fn a_socket_that_was_not_there_yet_has_nothing_of_before() {
    let mut sockets = known(&[]);
    sockets.replace(vec![], 10 * SECOND, 0);
    sockets.replace(vec![socket(6, OWN, "0.0.0.0:4000", None)], 20 * SECOND, 0);
    let mut end = end("10.0.0.1:4000", "192.0.2.53:53", 2 * SECOND);
    end.last_ns = 9 * SECOND;
    assert_eq!(find_end(&sockets, &end), None);
    end.last_ns = 15 * SECOND;
    assert_eq!(find_end(&sockets, &end), Some(6));
    // Nor has it when it is read once more.
    sockets.replace(vec![socket(6, OWN, "0.0.0.0:4000", None)], 30 * SECOND, 0);
    end.last_ns = 9 * SECOND;
    assert_eq!(find_end(&sockets, &end), None);
}

#[test]
fn of_two_that_were_there_when_it_began_it_is_neither() {
    let mut sockets = known(&[
        socket(5, OWN, "0.0.0.0:53", None),
        socket(6, OWN, "0.0.0.0:53", None),
    ]);
    sockets.close([closed(socket(5, OWN, "0.0.0.0:53", None), 3 * SECOND)]);
    assert_eq!(find(&sockets, "10.0.0.1:53", "192.0.2.9:4000"), None);
    let later = end("10.0.0.1:53", "192.0.2.9:4000", 4 * SECOND);
    assert_eq!(find_end(&sockets, &later), Some(6));
}

#[test]
fn who_held_it_is_named_not_who_closed_it_last() {
    let mut sockets = known(&[socket(5, OWN, "0.0.0.0:53", None)]);
    let by_another = Socket {
        holder: Some(holder(6)),
        ..socket(5, OWN, "0.0.0.0:53", None)
    };
    sockets.close([closed(by_another, 3 * SECOND)]);
    assert_eq!(find(&sockets, "10.0.0.1:53", "192.0.2.9:4000"), Some(5));
    // A kernel thread closed it.
    let mut sockets = known(&[socket(5, OWN, "0.0.0.0:53", None)]);
    let by_nobody = Socket {
        holder: None,
        ..socket(5, OWN, "0.0.0.0:53", None)
    };
    sockets.close([closed(by_nobody, 3 * SECOND)]);
    assert_eq!(find(&sockets, "10.0.0.1:53", "192.0.2.9:4000"), Some(5));
}

#[test]
fn a_socket_that_was_connected_after_the_read() {
    let mut sockets = known(&[socket(5, OWN, "0.0.0.0:4000", None)]);
    let connected = socket(5, OWN, "10.0.0.1:4000", Some("192.0.2.53:53"));
    sockets.close([closed(connected, 3 * SECOND)]);
    assert_eq!(find(&sockets, "10.0.0.1:4000", "192.0.2.53:53"), Some(5));
    let later = end("10.0.0.1:4000", "192.0.2.54:53", 4 * SECOND);
    assert_eq!(find_end(&sockets, &later), None);
}

#[test]
fn an_address_in_the_kernel_that_is_used_again_is_another_socket() {
    let mut sockets = known(&[socket(5, OWN, "0.0.0.0:53", None)]);
    let other = Socket {
        key: 5,
        ..socket(6, OWN, "0.0.0.0:4000", None)
    };
    sockets.close([closed(other, 3 * SECOND)]);
    assert_eq!(find(&sockets, "10.0.0.1:53", "192.0.2.9:4000"), Some(5));
    assert_eq!(find(&sockets, "10.0.0.1:4000", "192.0.2.9:53"), Some(6));
    let later = end("10.0.0.1:53", "192.0.2.9:4000", 4 * SECOND);
    assert_eq!(find_end(&sockets, &later), Some(5));
}

#[test]
fn what_was_open_at_the_read_says_nothing_of_later_when_closing_is_not_told() {
    let sockets = known(&[socket(5, OWN, "0.0.0.0:53", None)]);
    let end = end("10.0.0.1:53", "192.0.2.9:4000", 2 * SECOND);
    assert_eq!(
        sockets.find(&end, sockets.read_ns(), &mut Map, SECOND),
        None
    );
}

#[test]
fn closed_sockets_are_forgotten_when_they_are_many() {
    let mut sockets = known(&[socket(1, OWN, "0.0.0.0:53", None)]);
    let many = (2..2 + 3000).map(|pid| {
        let port = 10_000 + pid;
        let socket = socket(pid, OWN, &format!("0.0.0.0:{port}"), None);
        closed(socket, u64::from(pid) * SECOND)
    });
    sockets.close(many);
    sockets.forget(2000 * SECOND);
    assert_eq!(sockets.all.len(), 1 + 1002);
    assert_eq!(sockets.closed, 1002);
    assert_eq!(find(&sockets, "10.0.0.1:53", "192.0.2.9:4000"), Some(1));
    assert_eq!(sockets.read_ns(), SECOND);
}
