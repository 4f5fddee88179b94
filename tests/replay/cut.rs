//! Captures of the first bytes of packets: what they say of DNS.

use crate::common::{TempDir, frames};
use crate::file::{Capture, ETHERNET};
use crate::runs::{MILLISECOND, address, run, stats, write};

/// Each message counts once: as read, or as cut.
#[test]
#[ignore = "root"]
fn messages_that_are_cut_are_told_apart() {
    let folder = TempDir::new("cut");
    let (client, server) = (address("192.0.2.1:40000"), address("192.0.2.9:53"));
    let query = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x07example\x04test\0\0\x01\0\x01";
    let frame = frames::udp(client, server, query);
    let mut capture = Capture::on("eth0", ETHERNET);
    // Whole; in the name; in the header; without any of it.
    for (number, kept) in (0..).zip([frame.len(), frame.len(), frame.len(), 60, 50, 42]) {
        capture.cut(number * MILLISECOND, 0, None, frame.len(), &frame[..kept]);
    }
    let file = write(&folder, "cut.pcapng", &capture);
    let dns = run(&["dns", "-r", &file, "--once", "-n"]);
    let names = dns.stdout.lines().find(|line| line.contains(" messages"));
    let expected = "no name of 3 of 6 messages: they are cut in the capture";
    assert_eq!(names, Some(expected), "{}", dns.stdout);
    assert!(!dns.stdout.contains("no sense"), "{}", dns.stdout);
    for flags in [&["-j"][..], &["-j", "-e", "dns,end"]] {
        let stats = stats(&run(&[&["-r", &file], flags].concat()));
        let unread = stats["payloads_unread"].as_object().unwrap();
        let told: Vec<_> = unread.iter().filter(|(_, count)| **count != 0).collect();
        assert_eq!(told, [(&"cut".to_owned(), &3.into())], "{flags:?}");
    }
}
