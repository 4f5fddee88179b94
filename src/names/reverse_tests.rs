//! The resolver against servers on loopback that answer rightly, wrongly, late or not at all.

use super::super::answer::tests::reverse_answer;
use super::*;

/// How long anything that should happen at once may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// Longer than a test.
const PATIENT: Duration = Duration::from_secs(60);
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn server() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn receive(server: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = [0; 512];
    let (length, from) = server.recv_from(&mut bytes).unwrap();
    (bytes[..length].to_vec(), from)
}

fn wait_for(resolver: &Resolver) -> Found {
    resolver.found.recv_timeout(SOON).unwrap()
}

#[test]
fn a_name_and_none() {
    let (server, address) = server();
    let resolver = Resolver::start(vec![address], PATIENT).unwrap();
    for name in [Some("host.example"), None] {
        assert!(resolver.ask(ADDRESS));
        let (query, from) = receive(&server);
        server.send_to(&reverse_answer(&query, name), from).unwrap();
        assert_eq!(wait_for(&resolver), (ADDRESS, name.map(Box::from)));
    }
}

#[test]
fn forged_answers_are_passed_over() {
    let (server, address) = server();
    let resolver = Resolver::start(vec![address], PATIENT).unwrap();
    assert!(resolver.ask(ADDRESS));
    let (query, from) = receive(&server);
    // From somebody else.
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    stranger
        .send_to(&reverse_answer(&query, Some("stranger.example")), from)
        .unwrap();
    // With another id, to another question, and no DNS at all.
    let mut wrong_id = query.clone();
    wrong_id[0] ^= 1;
    let id = u16::from_be_bytes([query[0], query[1]]);
    let other = reverse_query([192, 0, 2, 2].into(), id).unwrap();
    for message in [
        reverse_answer(&wrong_id, Some("id.example")),
        reverse_answer(&other, Some("question.example")),
        vec![0xff; 500],
        vec![],
        query.clone(),
    ] {
        server.send_to(&message, from).unwrap();
    }
    assert!(resolver.found().next().is_none());
    server
        .send_to(&reverse_answer(&query, Some("right.example")), from)
        .unwrap();
    assert_eq!(wait_for(&resolver), (ADDRESS, Some("right.example".into())));
}

#[test]
fn who_does_not_answer_is_asked_again_and_then_given_up() {
    let (silent, address) = server();
    let resolver = Resolver::start(vec![address], Duration::from_millis(50)).unwrap();
    assert!(resolver.ask(ADDRESS));
    assert_eq!(wait_for(&resolver), (ADDRESS, None));
    let queries: Vec<_> = (0..ATTEMPTS).map(|_| receive(&silent)).collect();
    assert_ne!(queries[0].1, queries[1].1, "one port for two queries");
    // An answer that comes too late finds nobody.
    for (query, from) in &queries {
        silent
            .send_to(&reverse_answer(query, Some("late.example")), from)
            .unwrap();
    }
    // And does not hold up the next.
    let other = IpAddr::from([192, 0, 2, 2]);
    assert!(resolver.ask(other));
    assert_eq!(wait_for(&resolver), (other, None));
}

#[test]
fn the_next_resolver_is_asked_when_one_is_dead() {
    let (server, address) = server();
    // Nobody listens there any more: the kernel says so.
    let dead = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let nobody = dead.local_addr().unwrap();
    drop(dead);
    let resolver = Resolver::start(vec![nobody, address], PATIENT).unwrap();
    assert!(resolver.ask(ADDRESS));
    let (query, from) = receive(&server);
    server
        .send_to(&reverse_answer(&query, Some("host.example")), from)
        .unwrap();
    assert_eq!(wait_for(&resolver), (ADDRESS, Some("host.example".into())));
}

#[test]
fn asking_never_waits() {
    let (silent, address) = server();
    let resolver = Resolver::start(vec![address], PATIENT).unwrap();
    let addresses = (0..10_000_u32).map(|n| IpAddr::from(Ipv4Addr::from(0x0a00_0001 + n)));
    let taken = addresses.filter(|address| resolver.ask(*address)).count();
    // What is queued, and what the thread may have taken from the queue meanwhile.
    assert!((QUEUE..10_000).contains(&taken), "{taken}");
    // It asks no more of a resolver than it may.
    let queries: Vec<_> = (0..PENDING_MAX).map(|_| receive(&silent).1).collect();
    assert_eq!(queries.len(), PENDING_MAX);
    silent.set_nonblocking(true).unwrap();
    thread::sleep(GAP * 5);
    let mut bytes = [0; 512];
    assert!(silent.recv_from(&mut bytes).is_err());
}

#[test]
fn addresses_of_no_host_are_not_asked_for() {
    let (server, address) = server();
    let resolver = Resolver::start(vec![address], PATIENT).unwrap();
    let loopback = IpAddr::from([127, 0, 0, 1]);
    assert!(resolver.ask(loopback));
    assert_eq!(wait_for(&resolver), (loopback, None));
    server.set_nonblocking(true).unwrap();
    assert!(server.recv_from(&mut [0; 512]).is_err());
}

#[test]
fn resolvers_of_a_file() {
    let servers = |text: &str| {
        let list = resolvers(text);
        list.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        servers(
            "# x\nsearch a.test\nnameserver 192.0.2.53\n nameserver\t2001:db8::53 # y\noptions rotate\n"
        ),
        ["192.0.2.53:53", "[2001:db8::53]:53"]
    );
    assert_eq!(servers(""), ["127.0.0.1:53"]);
    assert_eq!(
        servers("nameserver fe80::1%eth0\nnameserver x\nnameserver\n;nameserver 192.0.2.1"),
        ["127.0.0.1:53"]
    );
    let many = "nameserver 192.0.2.1\n".repeat(9);
    assert_eq!(servers(&many).len(), RESOLVERS_MAX);
}
