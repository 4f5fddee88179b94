//! Files of one rotation are one capture, also those that have no names of interfaces.

use std::process::Command;

use serde_json::Value;

use crate::common::TempDir;
use crate::common::process::Process;
use crate::runs::{run, stats, write};
use crate::written::{hundred, records};

fn editcap(arguments: &[&str]) {
    Process::run(Command::new("editcap").args(arguments).env("TZ", "UTC"));
}

/// Records of connections by their ports, and the names of their interfaces.
fn told(arguments: &[&str]) -> (Vec<Value>, Vec<String>) {
    let mut all = records(&[arguments, &["-j"]].concat());
    all.sort_by_key(|record| record["src_port"].as_u64());
    let names = all.iter_mut().map(|record| {
        let name = record.as_object_mut().unwrap().remove("in_iface").unwrap();
        name.as_str().unwrap().to_owned()
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    (all, names)
}

#[test]
#[ignore = "root"]
fn pieces_are_the_whole() {
    let folder = TempDir::new("rotation");
    let original = write(&folder, "named.pcapng", &hundred());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let whole = path("whole.pcap");
    editcap(&["-F", "nsecpcap", &original, &whole]);
    for (format, whole, piece, one, together) in [
        (
            "nsecpcap",
            &*whole,
            "piece.pcap",
            "whole.pcap",
            "piece_0000*_20260101000000.pcap",
        ),
        ("pcapng", &*original, "piece.pcapng", "eth0", "eth0"),
    ] {
        editcap(&["-F", format, "-c", "500", whole, &path(piece)]);
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let pieces = entries.map(|it| it.unwrap().path().to_str().unwrap().to_owned());
        let ending = piece.strip_prefix("piece").unwrap();
        let mut pieces: Vec<String> = pieces
            .filter(|it| it.contains("/piece_") && it.ends_with(ending))
            .collect();
        pieces.sort();
        assert_eq!(pieces.len(), 3);
        let arguments: Vec<&str> = pieces.iter().flat_map(|it| ["-r", it]).collect();
        let (expected, names) = told(&["-r", whole]);
        assert_eq!((expected.len(), names), (100, vec![one.to_owned()]));
        let (found, names) = told(&arguments);
        // All pieces are of one second, so their names differ in the number alone.
        assert_eq!(names, [together]);
        assert!(found == expected, "{found:#?}");
        let all = run(&[&arguments[..], &["-j", "-q"]].concat());
        assert_eq!(stats(&all)["tracked"]["pkts"], 1200);
        assert_eq!(all.stderr, "");
    }
    // As two interfaces have them, at the same time.
    let other = path("other.pcap");
    std::fs::copy(&whole, &other).unwrap();
    let both = ["-r", &whole, "-r", &other, "-j", "-q"];
    let counted = run(&both);
    assert_eq!(stats(&counted)["tracked"]["pkts"], 2400);
    let said = "udptrack: whole.pcap and other.pcap are of the same time and name no interface, so they count as one: \
                a packet that is in both counts twice. --per-interface keeps them apart\n";
    assert_eq!(counted.stderr, said);
    let apart = run(&[&both[..], &["--per-interface"]].concat());
    assert_eq!(apart.stderr, "");
    let (all, names) = told(&["-r", &whole, "-r", &other, "--per-interface"]);
    assert_eq!(all.len(), 200);
    assert_eq!(names, ["other.pcap", "whole.pcap"]);
}
