//! Messages of clients, sound and hostile.

use super::*;

/// What stands behind its length of two bytes.
fn behind_length(bytes: &[u8]) -> Vec<u8> {
    let mut all = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    all.extend(bytes);
    all
}

fn extension(kind: u16, bytes: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &behind_length(bytes)].concat()
}

fn name(name: &[u8]) -> Vec<u8> {
    let entry = [&[0][..], &behind_length(name)].concat();
    extension(0, &behind_length(&entry))
}

fn offers(offers: &[&[u8]]) -> Vec<u8> {
    let mut list = Vec::new();
    for offer in offers {
        list.push(u8::try_from(offer.len()).unwrap());
        list.extend(*offer);
    }
    extension(16, &behind_length(&list))
}

fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([9; 32]);
    // No session; one suite; no compression.
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend(behind_length(&extensions.concat()));
    let mut message = vec![1, 0];
    message.extend(behind_length(&body));
    message
}

fn named(text: &[u8]) -> (Option<String>, u32) {
    let hello = read(&hello(&[name(text)])).unwrap();
    assert!(hello.is_whole);
    (hello.server_name.map(String::from), hello.refused)
}

#[test]
fn name_and_protocols_among_others() {
    let message = hello(&[
        extension(0x0a0a, &[]),
        offers(&[b"JJ", b"h3", b"h3-29"]),
        extension(51, &[7; 1216]),
        name(b"WWW.Example.com"),
        extension(57, &[1; 60]),
    ]);
    let found = read(&message).unwrap();
    assert_eq!(found.server_name.as_deref(), Some("www.example.com"));
    assert_eq!(found.offered, ["h3".into(), "h3-29".into()]);
    assert_eq!((found.refused, found.is_whole), (0, true));
    // What follows the message is another one's.
    let two = [&message[..], &message].concat();
    assert_eq!(read(&two).unwrap(), found);
}

#[test]
fn a_beginning_is_read_as_far_as_it_goes() {
    let message = hello(&[offers(&[b"h3"]), extension(21, &[0; 500]), name(b"a.test")]);
    let mut names = 0;
    for cut in 0..message.len() {
        let Some(part) = read(&message[..cut]) else {
            assert!(cut < 38);
            continue;
        };
        assert!(!part.is_whole);
        assert_eq!(part.offered.len(), usize::from(cut >= 56), "{cut}");
        names += usize::from(part.server_name.is_some());
    }
    // The name is the last.
    assert_eq!(names, 0);
    assert!(read(&message).unwrap().server_name.is_some());
}

#[test]
fn names_that_no_host_has() {
    assert_eq!(named(b"x_1.a-b.test"), (Some("x_1.a-b.test".to_owned()), 0));
    assert_eq!(named(b"localhost"), (Some("localhost".to_owned()), 0));
    for text in [
        &b""[..],
        b".",
        b"a..test",
        b"a.test.",
        b"a test",
        b"a\x1b[2Jtest",
        b"a/b",
        b"\xff\xfe",
        "ä.test".as_bytes(),
        b"192.0.2.1",
        b"2001:db8::1",
        &[b'a'; 64],
        &[b"a.".repeat(126), b"test".to_vec()].concat(),
    ] {
        assert_eq!(named(text), (None, 1), "{text:?}");
    }
    // Of other kinds of names nothing is known.
    let other = extension(0, &behind_length(&[1, 0, 1, b'a']));
    assert_eq!(read(&hello(&[other])).unwrap().server_name, None);
}

#[test]
fn protocols_that_are_no_text() {
    let long = [b'h'; 33];
    let list = offers(&[
        b"doq",
        b"",
        b"h 3",
        b"\x1b[2J",
        &long,
        b"\x0a\x0a",
        &long[1..],
    ]);
    let found = read(&hello(&[list])).unwrap();
    assert_eq!(
        found.offered,
        ["doq".into(), "h".repeat(32).into_boxed_str()]
    );
    assert_eq!(found.refused, 4);
    let many = read(&hello(&[offers(&[&b"h3"[..]; 100])])).unwrap();
    assert_eq!(many.offered.len(), OFFERED_MAX);
}

#[test]
fn what_is_no_hello() {
    let message = hello(&[name(b"a.test")]);
    for (at, byte) in [(0, 2), (4, 2), (5, 1)] {
        let mut other = message.clone();
        other[at] = byte;
        assert_eq!(read(&other), None, "{at}");
    }
    // Lengths that contradict each other end it.
    for at in 38..message.len() {
        let mut other = message.clone();
        other[at] = 0xff;
        let _ = read(&other);
    }
    assert_eq!(read(&[]), None);
}
