//! How many tests an expression takes, and what is left of one that is decided already.

use super::super::{Filter, Vocabulary};
use super::*;
use crate::model::services::Services;

fn compiled(text: &str) -> Result<Program, TooLarge> {
    let services = Services::default();
    let vocabulary = Vocabulary {
        services: &services,
        user_space: true,
    };
    let program = Filter::parse(text, vocabulary).unwrap().compile();
    program.map(|program| program.expect("it is not empty"))
}

fn program(text: &str) -> Program {
    compiled(text).unwrap()
}

#[test]
fn as_few_tests_as_can_be() {
    for (text, tests) in [
        ("udp", 0),
        ("ip", 0),
        ("ip6 and port 53", 2),
        ("ip and (ip6 or not ip)", 0),
        // The ports are the same for both families.
        ("port 53", 2),
        ("src port 53", 1),
        ("src and dst portrange 5-6", 2),
        ("host 10.0.0.1", 2),
        ("dst host 10.0.0.1", 1),
        ("net 0.0.0.0/0", 0),
        ("host fd88::1", 4),
        ("dst net fd88::/64", 1),
        ("dst net fd88::/65", 2),
        ("host 10.0.0.1 or port 53", 4),
        ("port 53 or 53", 4),
        ("vlan", 1),
        ("vlan 5", 2),
        ("status replied", 0),
    ] {
        assert_eq!(program(text).tests.len(), tests, "{text}");
    }
}

#[test]
fn what_is_decided_needs_no_test() {
    let ip = program("ip");
    assert_eq!((ip.first4, ip.first6), (Target::Wanted, Target::Unwanted));
    let none = program("ip and ip6");
    assert_eq!(
        (none.first4, none.first6),
        (Target::Unwanted, Target::Unwanted)
    );
    let half = program("ip6 or port 53");
    assert_eq!(
        (half.first4, half.first6),
        (Target::Test(0), Target::Wanted)
    );
    assert!(!half.directed);
    assert!(program("src port 53 or ip").directed);
}

#[test]
fn every_jump_goes_forward() {
    for text in [
        "port 53 and not host 10.0.0.1",
        "not (vlan 5 or net fd88::/65 and src port 5) or (host ::1 or 10.0.0.1) and dst 10.0.0.2",
    ] {
        let program = program(text);
        for (index, test) in program.tests.iter().enumerate() {
            for target in [test.yes, test.no] {
                if let Target::Test(next) = target {
                    assert!(usize::from(next) > index, "{program:?}");
                    assert!(usize::from(next) < program.tests.len());
                }
            }
        }
    }
}

#[test]
fn too_large_says_how_large_it_may_be() {
    let ports = |count: u32| {
        let list: Vec<String> = (1..=count).map(|port| port.to_string()).collect();
        format!("port {}", list.join(" or "))
    };
    assert_eq!(program(&ports(128)).tests.len(), MAX_TESTS);
    let error = compiled(&ports(129)).unwrap_err();
    assert_eq!(error, TooLarge { tests: 258 });
    let text = error.to_string();
    assert!(
        text.contains("258 tests") && text.contains("256 fit"),
        "{text}"
    );
}
