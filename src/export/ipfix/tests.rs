//! Byte for byte, against RFC 7011 and IANA's numbers.

use std::fmt::Write as _;

use super::message::Message;
use super::record::{Crossing, Direction, Flow, Reason};
use super::template::{self, VARIABLE};
use crate::model::{ConnectionId, Counts, Protocol, Vlans};

fn direction(packets: u64, bytes: u64) -> Direction {
    Direction {
        ip: Counts { packets, bytes },
        frame_bytes: bytes + 14 * packets,
        dropped: Counts {
            packets: packets / 2,
            bytes: bytes / 2,
        },
        class: if packets == 2 { 0xb8 } else { 0x28 },
        is_used: packets > 0,
        start_ms: 0x0102,
        end_ms: 0x0304,
    }
}

fn flow(originator: &str, responder: &str) -> Flow {
    Flow {
        id: ConnectionId(0x1122_3344_5566_7788),
        ifindex: 7,
        vlans: Vlans {
            outer: 100,
            inner: 20,
        },
        originator: originator.parse().unwrap(),
        responder: responder.parse().unwrap(),
        crossing: Crossing::Egress,
        orig: direction(2, 100),
        reply: direction(1, 300),
        reason: Reason::Idle,
        protocol: Some(Protocol::Dns),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn a_record_of_each_direction() {
    let records: Vec<_> = flow("192.0.2.1:4660", "192.0.2.2:53")
        .records(false)
        .collect();
    assert_eq!(records.len(), 2);
    assert_eq!(
        (records[0].template, records[0].packets, records[0].octets),
        (256, 2, 100)
    );
    assert_eq!(
        hex(&records[0].bytes),
        concat!(
            "c0000201",
            "c0000202",
            "1234",
            "0035",
            "11",
            "04",
            "00000000",
            "00000007",
            "0000000000000002",
            "0000000000000064",
            "0000000000000080",
            "0000000000000102",
            "0000000000000304",
            "01",
            "01",
            "0064",
            "0014",
            "1122334455667788",
            "00000001",
            "0000000000000001",
            "0000000000000032",
            "03646e73",
            "b8",
        )
    );
    assert_eq!(
        hex(&records[1].bytes),
        concat!(
            "c0000202",
            "c0000201",
            "0035",
            "1234",
            "11",
            "04",
            "00000007",
            "00000000",
            "0000000000000001",
            "000000000000012c",
            "000000000000013a",
            "0000000000000102",
            "0000000000000304",
            "01",
            "00",
            "0064",
            "0014",
            "1122334455667788",
            "00000001",
            "0000000000000000",
            "0000000000000096",
            "03646e73",
            "28",
        )
    );
}

#[test]
fn a_record_of_both_directions() {
    let records: Vec<_> = flow("[2001:db8::1]:1", "[2001:db8::2]:2")
        .records(true)
        .collect();
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0].template, records[0].packets, records[0].octets),
        (259, 3, 400)
    );
    let reverse = concat!(
        "0000000000000001",
        "000000000000012c",
        "000000000000013a",
        "0000000000000102",
        "0000000000000304",
        "0000000000000000",
        "0000000000000096",
        "01",
        "28",
        "b8"
    );
    assert!(hex(&records[0].bytes).ends_with(reverse));
}

#[test]
fn a_direction_without_packets_has_no_record() {
    let mut silent = flow("192.0.2.1:1", "192.0.2.2:2");
    silent.reply = direction(0, 0);
    assert_eq!(silent.records(false).count(), 1);
    silent.orig = direction(0, 0);
    assert_eq!(silent.records(false).count(), 0);
    assert_eq!(silent.records(true).count(), 0);
}

/// What was told before has ended: each direction says so, without packets.
#[test]
fn an_end_is_told_without_packets() {
    let mut ended = flow("192.0.2.1:1", "192.0.2.2:2");
    for direction in [&mut ended.orig, &mut ended.reply] {
        direction.ip = Counts::default();
        direction.dropped = Counts::default();
    }
    let told = |flow: &Flow, biflow| -> Vec<_> {
        let records = flow.records(biflow);
        records
            .map(|record| (record.template, record.packets))
            .collect()
    };
    assert_eq!(told(&ended, false), [(256, 0), (256, 0)]);
    assert_eq!(told(&ended, true), [(256, 0)]);
    ended.reason = Reason::Active;
    assert!(told(&ended, false).is_empty() && told(&ended, true).is_empty());
    // What was dropped since then is told, of each direction.
    ended.reply.dropped.packets = 1;
    assert_eq!(told(&ended, false), [(256, 0)]);
    assert_eq!(told(&ended, true), [(256, 0)]);
    ended.orig.dropped.packets = 1;
    assert_eq!(told(&ended, true), [(256, 0), (256, 0)]);
}

/// A record of both directions has times of both: where one has no packet, it is a record of the other one.
#[test]
fn reverse_times_are_only_where_a_reverse_packet_is() {
    let mut flow = flow("192.0.2.1:1", "192.0.2.2:2");
    let template = |flow: &Flow| {
        flow.records(true)
            .map(|record| record.template)
            .collect::<Vec<_>>()
    };
    assert_eq!(template(&flow), [258]);
    flow.reply = direction(0, 0);
    assert_eq!(template(&flow), [256]);
}

/// What a template says is what a record has.
#[test]
fn records_are_as_long_as_their_templates() {
    for biflow in [false, true] {
        let flows = [
            flow("192.0.2.1:1", "192.0.2.2:2"),
            flow("[2001:db8::1]:1", "[2001:db8::2]:2"),
        ];
        let templates = template::flows(biflow);
        for (template, flow) in templates[templates.len() - 2..].iter().zip(flows) {
            let lengths = template.fields.iter().map(|field| match field.length {
                // Of a word: its length, and the word.
                VARIABLE => 1 + "dns".len(),
                length => usize::from(length),
            });
            let length: usize = lengths.sum();
            for record in flow.records(biflow) {
                assert_eq!((record.template, record.bytes.len()), (template.id, length));
            }
            let longest = Protocol::ALL.iter().flat_map(|protocol| {
                let mut flow = flow;
                flow.protocol = Some(*protocol);
                let lengths: Vec<_> = flow.records(biflow).map(|one| one.bytes.len()).collect();
                lengths
            });
            assert_eq!(longest.max(), Some(template.record_bytes()));
        }
    }
}

/// Sets of several templates, with what lies between them.
#[test]
fn no_message_is_longer_than_it_may_be() {
    for first in 1..9 {
        for second in 1..9 {
            let mut message = Message::new(0);
            let mut templates = [256_u16, 257].iter().cycle();
            let lengths = [first, second].into_iter().cycle();
            let records: Vec<_> = lengths
                .take_while(|length| message.data(*templates.next().unwrap(), &vec![7; *length]))
                .collect();
            let length = message.finished(0, 0).len();
            assert!((1232 - 16..=1232).contains(&length), "{length}");
            assert_eq!(message.records, records.len() as u64);
        }
    }
}

#[test]
fn templates_say_their_fields() {
    let mut message = Message::new(9);
    message.templates(&template::flows(true)[2..3]);
    let bytes = hex(message.finished(0x0a0b_0c0d, 3));
    // Version, length, time, sequence, domain; set 2 and its length; template 258 with 32 fields, the first two.
    assert!(
        bytes.starts_with(concat!(
            "000a", "00b8", "0a0b0c0d", "00000003", "00000009", "0002", "00a8", "0102", "0020",
            "00080004", "000c0004"
        )),
        "{bytes}"
    );
    // The reverse packetDeltaCount, with its enterprise number; biflowDirection at the end, and both classes.
    assert!(bytes.contains(concat!("80020008", "00007279")), "{bytes}");
    assert!(
        bytes.ends_with("00ef0001800500010000727900050001"),
        "{bytes}"
    );
    assert_eq!(message.records, 0);
}

#[test]
fn options_have_scopes() {
    let mut message = Message::new(0);
    message.templates(&template::options()[1..2]);
    let bytes = hex(message.finished(0, 0));
    // Two bytes of padding, which the length of the set counts.
    assert_eq!(&bytes[32..], "00030014010400020001000a00040052ffff0000");
}

/// What was sent by then, and not when the record was made.
#[test]
fn statistics_are_filled_in_when_they_are_sent() {
    let mut message = Message::new(0);
    assert!(message.statistics(template::STATISTICS, vec![7; 3]));
    message.fill_statistics(&[1, 2, 3, 4, 5]);
    let bytes = hex(message.finished(0, 0));
    let counts = (1..=5).fold(String::new(), |all, count| format!("{all}{count:016x}"));
    assert_eq!(&bytes[32..], format!("01050030070707{counts}00"));
}

/// Records of one template share a set; a message that is full takes no more.
#[test]
fn messages_are_filled_and_no_more() {
    let mut message = Message::new(0);
    let record = flow("192.0.2.1:1", "192.0.2.2:2")
        .records(false)
        .next()
        .unwrap();
    let mut added = 0;
    while message.flow(&record) {
        added += 1;
    }
    let length = record.bytes.len();
    assert_eq!(added, (1232 - 20) / length);
    assert_eq!(
        (message.records, message.flows),
        (added as u64, added as u64)
    );
    assert_eq!(
        (message.packets, message.octets),
        (2 * added as u64, 100 * added as u64)
    );
    let bytes = message.finished(0, 0).to_vec();
    assert_eq!(bytes.len(), 16 + 4 + added * length);
    assert_eq!(
        hex(&bytes[16..20]),
        format!("0100{:04x}", 4 + added * length)
    );
}
