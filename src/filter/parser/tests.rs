//! What is taken, what it means, and where the others go wrong.

use super::super::{Filter, Subject};
use super::*;
use crate::model::services::Services;
use crate::model::{Owner, Processes, Spoken, Vlans};

fn services() -> Services {
    Services::parse("domain 53/udp\nntp 123/udp\nnetbios-ns 137/udp")
}

fn parsed(text: &str, user_space: bool) -> Result<Filter, (usize, String)> {
    let services = services();
    let vocabulary = Vocabulary {
        services: &services,
        user_space,
    };
    Filter::parse(text, vocabulary).map_err(|error| (error.column, error.message))
}

fn filter(text: &str) -> Filter {
    parsed(text, true).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn owner(pid: u32, command: &str) -> Owner {
    Owner {
        pid,
        command: command.to_owned(),
        script: None,
        uid: 0,
        user: "root".to_owned(),
        cgroup: String::new(),
        container: None,
    }
}

/// Two connections, by name: what each expression says of them.
fn wants(text: &str) -> [bool; 2] {
    let filter = filter(text);
    let [dig, server] = [owner(77, "dig"), owner(78, "Web Content")];
    let v4 = Subject {
        vlans: Vlans { outer: 5, inner: 7 },
        originator: "10.0.0.1:40000".parse().unwrap(),
        responder: "192.168.1.53:53".parse().unwrap(),
        status: Some(Status::Replied),
        spoken: Some(Spoken::said(Protocol::Dns)),
        processes: Processes {
            originator: Some(&dig),
            ..Processes::default()
        },
    };
    let v6 = Subject {
        vlans: Vlans::default(),
        originator: "[fd88::1]:123".parse().unwrap(),
        responder: "[fd88:0:0:1::2]:123".parse().unwrap(),
        status: Some(Status::Unreplied),
        spoken: Spoken::guess(123, 123),
        processes: Processes {
            responder: Some(&server),
            ..Processes::default()
        },
    };
    [v4, v6].map(|subject| filter.wants_subject(&subject))
}

#[test]
fn conditions_and_what_they_want() {
    for (text, wanted) in [
        ("", [true, true]),
        (" \t ", [true, true]),
        ("udp", [true, true]),
        ("ip", [true, false]),
        ("ip6", [false, true]),
        ("IP6", [false, true]),
        ("host 10.0.0.1", [true, false]),
        ("src host 10.0.0.1", [true, false]),
        ("dst host 10.0.0.1", [false, false]),
        ("dst host 192.168.1.53", [true, false]),
        ("src or dst host 10.0.0.1", [true, false]),
        ("src and dst host 10.0.0.1", [false, false]),
        ("dst or src host fd88::1", [false, true]),
        ("host fd88:0::0:1", [false, true]),
        ("10.0.0.1", [true, false]),
        ("fd88::1", [false, true]),
        ("10.0.0.0/8", [true, false]),
        ("src fd88::1", [false, true]),
        ("dst fd88::1", [false, false]),
        ("src 10.0.0.0/30", [true, false]),
        ("net 10.0.0.0/8", [true, false]),
        ("net 10", [true, false]),
        ("net 10.1", [false, false]),
        ("net 10.0/15", [true, false]),
        ("net 192.168.1", [true, false]),
        ("net 0.0.0.0/0", [true, false]),
        ("net ::/0", [false, true]),
        ("dst net fd88::/64", [false, false]),
        ("src net fd88::/64", [false, true]),
        ("src and dst net fd88::/48", [false, true]),
        ("net 10.0.0.1/32", [true, false]),
        ("port 53", [true, false]),
        ("port domain", [true, false]),
        ("port NTP", [false, true]),
        ("port netbios-ns", [false, false]),
        ("dst port 53", [true, false]),
        ("src port 53", [false, false]),
        ("src and dst port 123", [false, true]),
        ("src and dst port 53", [false, false]),
        ("portrange 50-60", [true, false]),
        ("portrange 0-65535", [true, true]),
        ("src portrange 123-123", [false, true]),
        ("dst portrange 54-122", [false, false]),
        ("ip port 53", [true, false]),
        ("ip6 port 53", [false, false]),
        ("udp port 53", [true, false]),
        ("ip6 dst port 123", [false, true]),
        ("ip host 10.0.0.1", [true, false]),
        ("ip src 10.0.0.1", [true, false]),
        ("vlan", [true, false]),
        ("vlan 5", [true, false]),
        ("vlan 7", [true, false]),
        ("vlan 6", [false, false]),
        ("not vlan", [false, true]),
        ("vlan and port 53", [true, false]),
        ("status replied", [true, false]),
        ("status UNREPLIED", [false, true]),
        ("proto dns", [true, false]),
        ("PROTO Ntp", [false, true]),
        ("process dig", [true, false]),
        ("process 78", [false, true]),
        ("process 'Web Content'", [false, true]),
        ("process \"Web\"", [false, false]),
        ("not port 53", [false, true]),
        ("! port 53", [false, true]),
        ("!port 53", [false, true]),
        ("not not port 53", [true, false]),
        ("not(ip or ip6)", [false, false]),
        ("port 53 or port 123", [true, true]),
        ("port 53 or 123", [true, true]),
        ("port (53 or 123)", [true, true]),
        ("port (5 or 6)", [false, false]),
        ("src port 53 or 123", [false, true]),
        ("dst host 10.0.0.1 or fd88:0:0:1::2", [false, true]),
        ("net 10.0.0.0/8 or fd88::/16", [true, true]),
        ("host 10.0.0.1 || fd88::1", [true, true]),
        ("src 10.0.0.1 and dst 192.168.1.53", [true, false]),
        ("src 10.0.0.1 and dst port 53", [true, false]),
        ("src 10.0.0.1 or dst port 123", [true, true]),
        ("ip port 53 or 123", [true, false]),
        ("not port 53 and 123", [false, true]),
        ("portrange 50-60 or 120-130", [true, true]),
        ("port 53 and (host 10.0.0.1 or fd88::1)", [true, false]),
        // `and` and `or` from left to right, as tcpdump does it.
        ("port 53 or port 123 and ip6", [false, true]),
        ("port 53 or (port 123 and ip)", [true, false]),
        ("ip6 and port 53 or ip", [true, false]),
        ("port 53&&host 10.0.0.1||ip6", [true, true]),
    ] {
        assert_eq!(wants(text), wanted, "{text}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn errors_and_their_columns() {
    for (text, column, message) in [
        ("port 53 and host", 16, "expected an address after `host`"),
        ("port 53 and host  ", 16, "expected an address after `host`"),
        (
            "host and port 53",
            5,
            "expected an address after `host`, found `and`",
        ),
        (
            "host port 53",
            5,
            "expected an address after `host`, found `port`",
        ),
        (
            "host www.example.org",
            5,
            "expected an address after `host`, found `www.example.org`: udptrack does not look up names, write an address",
        ),
        (
            "host 10.0.0.256",
            5,
            "expected an address after `host`, found `10.0.0.256`",
        ),
        (
            "host 10.0.0.0/8",
            5,
            "`10.0.0.0/8` is a net: write `net` before it",
        ),
        (
            "host fe80::1%eth0",
            5,
            "`fe80::1%eth0` names an interface: write `fe80::1` and choose the interface with -i",
        ),
        (
            "host 10.0.0.1:53",
            5,
            "expected an address after `host`, found `10.0.0.1:53`",
        ),
        ("ip6 host 10.0.0.1", 9, "`10.0.0.1` is no IPv6 address"),
        ("ip src net ::/0", 11, "`::` is no IPv4 address"),
        ("src", 3, "expected an address after `src`"),
        (
            "src 53",
            4,
            "expected an address after `src`, found `53`: for a port write `src port`",
        ),
        (
            "src src 10.0.0.1",
            4,
            "expected an address after `src`, found `src`",
        ),
        ("src or dst", 10, "expected an address after `src`"),
        ("net", 3, "expected a net such as 10.0.0.0/8 after `net`"),
        (
            "net 10.0.0.0",
            4,
            "`10.0.0.0` has no prefix length: write 10.0.0.0/24 or `host` before it",
        ),
        (
            "net fd88::",
            4,
            "`fd88::` has no prefix length: write fd88::/64 or `host` before it",
        ),
        (
            "net 10.0.0.1/8",
            4,
            "`10.0.0.1/8` has bits after its prefix: write 10.0.0.0/8",
        ),
        (
            "net fd88::1/64",
            4,
            "`fd88::1/64` has bits after its prefix: write fd88::/64",
        ),
        (
            "net 10.0.0.0/33",
            4,
            "expected a prefix length from 0 to 32 after `/`, found `33`",
        ),
        (
            "net ::/129",
            4,
            "expected a prefix length from 0 to 128 after `/`, found `129`",
        ),
        (
            "net 10.0.0.0/",
            4,
            "expected a prefix length from 0 to 32 after `/`, found ``",
        ),
        (
            "net 10.0.0.0/+8",
            4,
            "expected a prefix length from 0 to 32 after `/`, found `+8`",
        ),
        (
            "net 10.0.0.0/255.0.0.0",
            4,
            "expected a prefix length from 0 to 32 after `/`, found `255.0.0.0`",
        ),
        (
            "net 10..1",
            4,
            "expected a net such as 10.0.0.0/8 after `net`, found `10..1`",
        ),
        (
            "net 256",
            4,
            "expected a net such as 10.0.0.0/8 after `net`, found `256`",
        ),
        (
            "net 1.2.3.4.5/8",
            4,
            "expected a net such as 10.0.0.0/8 after `net`, found `1.2.3.4.5/8`",
        ),
        ("port", 4, "expected a port after `port`"),
        ("port )", 5, "expected a port after `port`, found `)`"),
        (
            "port 65536",
            5,
            "expected a port from 0 to 65535, found `65536`",
        ),
        (
            "port 50-60",
            5,
            "`50-60` is a range: write `portrange` before it",
        ),
        (
            "port -1",
            5,
            "expected a port after `port`, found `-1`: neither a number nor a UDP service of /etc/services",
        ),
        (
            "port dns",
            5,
            "expected a port after `port`, found `dns`: neither a number nor a UDP service of /etc/services",
        ),
        (
            "port 53 or 10.0.0.1",
            11,
            "expected a port after `port`, found `10.0.0.1`: neither a number nor a UDP service of /etc/services",
        ),
        (
            "portrange 53",
            10,
            "expected two ports such as 5000-5010 after `portrange`, found `53`",
        ),
        (
            "portrange 5-x",
            10,
            "expected two ports such as 5000-5010 after `portrange`, found `5-x`",
        ),
        (
            "portrange 60-50",
            10,
            "`60-50` ends before it begins: write 50-60",
        ),
        ("vlan 0", 5, "expected a VLAN from 1 to 4095, found `0`"),
        (
            "vlan 4096",
            5,
            "expected a VLAN from 1 to 4095, found `4096`",
        ),
        (
            "status",
            6,
            "expected UNREPLIED, REPLIED, ASSURED, UNREACH after `status`",
        ),
        (
            "status new",
            7,
            "expected UNREPLIED, REPLIED, ASSURED, UNREACH after `status`, found `new`",
        ),
        ("process", 7, "expected a name or id after `process`"),
        (
            "process (dig)",
            8,
            "expected a name or id after `process`, found `(`",
        ),
        ("process 'dig", 8, "this quote is not closed"),
        ("53", 0, "expected a word such as `port` before `53`"),
        ("ip and 53", 7, "expected a word such as `port` before `53`"),
        (
            "hots 10.0.0.1",
            0,
            "unknown word `hots`: expected host, net, port, portrange, src, dst, ip, ip6, vlan, status, process, not or (",
        ),
        (
            "port 53 and hots 10.0.0.1",
            12,
            "unknown word `hots`: expected host, net, port, portrange, src, dst, ip, ip6, vlan, status, process, not or (",
        ),
        (
            "tcp port 53",
            0,
            "`tcp` never matches: udptrack sees UDP only",
        ),
        (
            "port 53 port 123",
            8,
            "expected `and` or `or`, found `port`",
        ),
        ("port 53 123", 8, "expected `and` or `or`, found `123`"),
        ("ip 10.0.0.1", 3, "expected `and` or `or`, found `10.0.0.1`"),
        ("port 53 & ip", 8, "expected `&&` or `and`"),
        ("port 53 | ip", 8, "expected `||` or `or`"),
        ("port 53 not ip", 8, "expected `and` or `or`, found `not`"),
        (
            "port 53 and",
            11,
            "expected a condition such as `port 53` after `and`",
        ),
        (
            "port 53 or or ip",
            11,
            "expected a condition such as `port 53` after `or`, found `or`",
        ),
        (
            "not",
            3,
            "expected a condition such as `port 53` after `not`",
        ),
        (
            "and ip",
            0,
            "expected a condition such as `port 53`, found `and`",
        ),
        (")", 0, "expected a condition such as `port 53`, found `)`"),
        (
            "()",
            1,
            "expected a condition such as `port 53` after `(`, found `)`",
        ),
        ("(port 53", 8, "expected `)`"),
        ("(port 53 ip)", 9, "expected `and`, `or` or `)`, found `ip`"),
        ("port 53)", 7, "`)` without a `(` before it"),
        (
            "port (53 or",
            11,
            "expected a condition such as `port 53` after `or`",
        ),
        (
            "'port' 53",
            0,
            "expected a condition such as `port 53`, found `port`",
        ),
        (
            "port 'ü' and x",
            5,
            "expected a port after `port`, found `ü`",
        ),
        (
            "\u{fc}ber 10.0.0.1",
            0,
            "unknown word `über`: expected host, net, port, portrange, src, dst, ip, ip6, vlan, status, process, not or (",
        ),
        (
            "ip or \u{1f600}\u{1f600} 5",
            6,
            "unknown word `😀😀`: expected host, net, port, portrange, src, dst, ip, ip6, vlan, status, process, not or (",
        ),
        (
            "'\u{1f600}' ip",
            0,
            "expected a condition such as `port 53`, found `😀`",
        ),
        (
            "ip and (\u{fc} ",
            8,
            "unknown word `ü`: expected host, net, port, portrange, src, dst, ip, ip6, vlan, status, process, not or (",
        ),
    ] {
        let error = parsed(text, true).expect_err(text);
        assert_eq!(error, (column, message.to_owned()), "{text}");
    }
}

#[test]
fn words_of_user_space_name_their_flag() {
    for (text, column, flag) in [
        ("status replied", 0, "--status"),
        ("port 53 and process dig", 12, "--process"),
        ("proto dns", 0, "--proto"),
    ] {
        let (at, message) = parsed(text, false).unwrap_err();
        assert_eq!(at, column);
        assert!(message.ends_with(&format!("use {flag}")), "{message}");
    }
    let (_, message) = parsed("hots", false).unwrap_err();
    assert!(!message.contains("status"), "{message}");
}

#[test]
fn hostile_texts_are_refused_at_once() {
    const MEGABYTE: usize = 1 << 20;
    for (text, column) in [
        ("(".repeat(MEGABYTE), MAX_DEPTH),
        ("port (".repeat(MEGABYTE / 6), 6 * MAX_DEPTH + 5),
        ("port 5 or ".repeat(MEGABYTE / 10), 10 * MAX_PRIMITIVES),
        ("ip and ip6 or ".repeat(MEGABYTE / 14), 7 * MAX_PRIMITIVES),
        ("!".repeat(MEGABYTE), MEGABYTE),
        ("not ".repeat(MEGABYTE / 4), MEGABYTE - 1),
        ("x".repeat(MEGABYTE), 0),
        ("ü".repeat(MEGABYTE / 2), 0),
        ("'".to_owned() + &"x".repeat(MEGABYTE), 0),
        ("port ".to_owned() + &"9".repeat(MEGABYTE), 5),
        ("host ".to_owned() + &":".repeat(MEGABYTE), 5),
        ("net ".to_owned() + &"1.".repeat(MEGABYTE / 2), 4),
        ("ip ".to_owned() + &")".repeat(MEGABYTE), 3),
        ("\0\u{1b}[2J\u{202e}".to_owned(), 0),
    ] {
        let start: String = text.chars().take(20).collect();
        let (at, message) = parsed(&text, true).expect_err(&start);
        assert_eq!(at, column, "{start}: {message}");
        assert!(message.chars().count() < 250, "{start}: {message}");
    }
}

/// The largest that is taken can be asked and dropped on a thread's small stack.
#[test]
fn the_largest_tree_can_be_walked() {
    let deep = format!("{}ip{}", "not (".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH));
    assert_eq!(wants(&deep), [true, false]);
    let long = vec!["port 5 and ip or port 6"; MAX_PRIMITIVES / 3].join(" or ");
    let walk = std::thread::Builder::new()
        .stack_size(512 << 10)
        .spawn(move || {
            let filter = filter(&long);
            assert!(!filter.is_directed());
            assert!(!filter.asks_for_processes());
            assert!(filter.compile().is_err(), "too large for the kernel");
            wants(&long)
        });
    assert_eq!(walk.unwrap().join().unwrap(), [false, false]);
}

#[test]
fn one_family_only() {
    let only = |text, family| filter(text).only(family);
    assert_eq!(only("", Family::V4), filter("ip"));
    assert_eq!(
        only("port 53 or ip", Family::V6),
        filter("ip6 and (port 53 or ip)")
    );
    assert!(!filter("port 53").is_directed());
    assert!(filter("ip and not (port 53 or src port 1)").is_directed());
    assert!(!filter("src and dst port 1 or src or dst host ::").is_directed());
    assert!(filter("port 53 or process 1").asks_for_processes());
    assert!(filter("").is_empty() && !filter("udp").is_empty());
}
