//! What no program in `tests/captures/` says, by the documents; and what comes close and is something else.

use super::super::{Datagram, Recognizer};

/// What is shown of these datagrams, from one end and the other in turn.
fn shown(ports: [u16; 2], datagrams: &[&[u8]]) -> String {
    let mut recognizer = Recognizer::default();
    for (at, bytes) in datagrams.iter().enumerate() {
        recognizer.hear(&Datagram::between(ports, at % 2 == 0, bytes));
    }
    recognizer
        .spoken()
        .map_or_else(|| "-".to_owned(), |spoken| spoken.to_string())
}

const OTHER: [u16; 2] = [40001, 40002];

/// An IPv4 packet of 28 bytes behind these.
fn with_packet(header: &[u8]) -> Vec<u8> {
    let packet = b"\x45\0\0\x1c\0\0\0\0\x40\x11\0\0\x0a\0\0\x01\x0a\0\0\x02\0\x35\0\x35\0\x08\0\0";
    [header, packet].concat()
}

#[test]
fn tunnels() {
    let gtp = with_packet(b"\x30\xff\0\x1c\0\0\0\x01");
    assert_eq!(shown(OTHER, &[&gtp]), "gtp-u");
    // With a number, and an extension: two words that the next one ends.
    let extended = with_packet(b"\x34\xff\0\x24\0\0\0\x01\0\0\0\x85\x01\0\0\0");
    assert_eq!(shown(OTHER, &[&extended]), "gtp-u");
    let echo = b"\x32\x01\0\x04\0\0\0\0\0\x07\0\0";
    assert_eq!(shown([40001, 2152], &[echo]), "gtp-u");
    assert_eq!(shown(OTHER, &[echo]), "-");

    let ethernet = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0";
    let geneve = with_packet(&[b"\0\0\x65\x58\0\0\x07\0", &ethernet[..]].concat());
    assert_eq!(shown(OTHER, &[&geneve]), "geneve");
    let option = with_packet(&[b"\x01\0\x65\x58\0\0\x07\0\x01\x02\x80\0", &ethernet[..]].concat());
    assert_eq!(shown(OTHER, &[&option]), "geneve");
    let without_ethernet = with_packet(b"\0\0\x08\0\0\0\x07\0");
    assert_eq!(shown([40001, 6081], &[&without_ethernet]), "geneve");
    assert_eq!(shown(OTHER, &[&without_ethernet]), "-");
    let vxlan = with_packet(&[b"\x08\0\0\0\0\0\x07\0", &ethernet[..]].concat());
    assert_eq!(shown(OTHER, &[&vxlan]), "vxlan");
}

#[test]
fn games() {
    let ping = b"\x01\0\0\0\0\0\0\x10\x20\0\xff\xff\0\xfe\xfe\xfe\xfe\xfd\xfd\xfd\xfd\x12\x34\x56\x78\0\0\0\0\0\0\0\x01";
    assert_eq!(shown(OTHER, &[ping]), "raknet");
    let luanti = b"\x4f\x45\x74\x03\0\0\0\x03\xff\xdc\x01\0\0";
    assert_eq!(shown(OTHER, &[luanti]), "luanti");
    let players = b"\xff\xff\xff\xffU\xff\xff\xff\xff";
    assert_eq!(shown(OTHER, &[players]), "-");
    assert_eq!(
        shown(OTHER, &[players, b"\xff\xff\xff\xffA\x01\x02\x03\x04"]),
        "source"
    );
    assert_eq!(shown([40001, 27015], &[players]), "source");
    assert_eq!(shown(OTHER, &[b"\xff\xff\xff\xffgetstatus\n"]), "quake");
    assert_eq!(
        shown(
            OTHER,
            &[b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]
        ),
        "-"
    );
}

#[test]
fn transport_of_bittorrent() {
    let open = b"\x41\0\x12\x34\0\x01\x02\x03\0\0\0\0\0\x10\0\0\0\x01\0\0";
    assert_eq!(shown(OTHER, &[open]), "utp");
    let data = |number: u8| {
        let mut data = b"\x01\0\x12\x35\0\x01\x02\x03\0\0\0\x09\0\x10\0\0\0\0\0\x05data".to_vec();
        data[17] = number;
        data
    };
    let packets: Vec<Vec<u8>> = [2, 50, 3, 51].into_iter().map(data).collect();
    let heard: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
    assert_eq!(shown(OTHER, &heard[..3]), "-");
    assert_eq!(shown(OTHER, &heard), "utp");
    let tracker = b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0\x01\x02\x03\x04";
    assert_eq!(shown(OTHER, &[tracker]), "bt-tracker");
}

#[test]
fn clocks_on_other_ports() {
    let packet = |mode: u8, at: usize| {
        let mut packet = [0; 48];
        packet[..4].copy_from_slice(&[0x20 | mode, 2, 6, 0xe8]);
        packet[at..at + 8].copy_from_slice(b"12345678");
        packet
    };
    let (request, answer, other) = (packet(3, 40), packet(4, 24), packet(4, 32));
    assert_eq!(shown(OTHER, &[&request, &answer]), "ntp");
    assert_eq!(shown(OTHER, &[&request, &other]), "-");
    assert_eq!(shown([40001, 123], &[&request]), "ntp");
}

/// Text that is nobody's, and forms that break off.
#[test]
fn what_comes_close_has_no_name() {
    for text in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"<hello>world</hello>",
        b"<999>Jan  1 00:00:00 host",
        b"name:value|colour",
        b"key=value|c",
        b"INVITE you SIP/2.0\r\n",
        b"d8:announce4:hereeeee",
        b"\x38abcdefgh\0\0\0\0\x01",
        b"\x01\0\0\0 not 148 bytes",
        b"\0\x05\0\x02 records that are not there",
        b"\x30\x0a\x02\x01\x01\x04\x06public",
        b"\xc0\0\0\0\x05\x08abcdefgh\0\0\x40\x10",
        b"\x16\xfe\xfd\0\0\0\0\0\0\0\0\xff\xff\x01",
    ] {
        assert_eq!(
            shown(OTHER, &[text, text, text, text]),
            "-",
            "{}",
            text.escape_ascii()
        );
    }
}

#[test]
fn version_negotiation_has_a_list_of_which_half_is_known() {
    let list = |versions: &[&[u8]]| {
        let head = b"\x80\0\0\0\0\x01\0\0";
        [&head[..], &versions.concat()].concat()
    };
    let [one, google, reserved]: [&[u8]; 3] = [b"\0\0\0\x01", b"Q046", b"\x1a\x2a\x3a\x4a"];
    let silence: &[u8] = b"\xd5\xd5\xd5\xd5";
    assert_eq!(shown(OTHER, &[&list(&[one])]), "quic");
    assert_eq!(shown(OTHER, &[&list(&[reserved, google, one])]), "quic");
    assert_eq!(shown(OTHER, &[&list(&[silence, one])]), "quic");
    assert_eq!(shown(OTHER, &[&list(&[silence, silence, one])]), "-");
    // RTP: number 0, of source 1.
    assert_eq!(
        shown(OTHER, &[&list(&[&[one][..], &[silence; 40]].concat())]),
        "-"
    );
}
