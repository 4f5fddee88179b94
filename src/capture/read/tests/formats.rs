//! The same frames in all forms.

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
