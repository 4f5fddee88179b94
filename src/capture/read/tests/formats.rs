//! The same frames in all forms.

use std::io::Write as _;

use super::*;

#[test]
fn all_forms_give_the_same_frames() {
    for (form, bytes) in all_forms() {
        assert_eq!(frames(&bytes), three(), "{form}");
        let slow = read_from(Trickle(Cursor::new(bytes)));
        assert_eq!(
            (slow.error(), slow.frames),
            (String::new(), three()),
            "{form}"
        );
    }
}

#[test]
fn a_reader_may_go_to_another_thread() {
    let reader = Reader::new("file", Cursor::new(three_in_pcapng(false))).unwrap();
    let count = std::thread::spawn(move || {
        let mut reader = reader;
        let mut count = 0;
        while reader.next().unwrap().is_some() {
            count += 1;
        }
        count
    });
    assert_eq!(count.join().unwrap(), 3);
}

/// What a pipe has is given at once: the reader does not wait for more than the next frame.
#[test]
fn frames_come_as_they_are_written() {
    let file = three_in_pcap(false, 0xa1b2_3c4d);
    let (first, rest) = file.split_at(24 + 16 + 61);
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(first).unwrap();
    let mut reader = Reader::new("pipe", reader).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().data, three()[0].data);
    writer.write_all(rest).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().data, three()[1].data);
    assert_eq!(reader.next().unwrap().unwrap().data, three()[2].data);
    drop(writer);
    assert_eq!(reader.next().unwrap(), None);

    let (reader, writer) = io::pipe().unwrap();
    let mut writer = flate2::write::GzEncoder::new(writer, flate2::Compression::default());
    writer.write_all(first).unwrap();
    writer.flush().unwrap();
    let mut reader = Reader::new("pipe", reader).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().data, three()[0].data);
    writer.write_all(rest).unwrap();
    writer.finish().unwrap();
    assert_eq!(reader.next().unwrap().unwrap().data, three()[1].data);
}
