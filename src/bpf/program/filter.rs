//! A filter's program as the kernel has it.

use sha1::{Digest as _, Sha1};

use crate::bpf::sys::{self, types};
use crate::filter::{MAX_TESTS, Program, Target, Test, Word};

/// The raw form; without a program everything is wanted.
pub(in crate::bpf) fn raw(program: Option<&Program>) -> types::udp_track_filter {
    use types::udp_track_filter_kind as kinds;
    let mut raw = types::udp_track_filter::default();
    let Some(program) = program else {
        return raw;
    };
    let kind = if program.directed {
        kinds::UDP_TRACK_DIRECTED
    } else {
        kinds::UDP_TRACK_UNDIRECTED
    };
    raw.kind = kind.0;
    raw.first4 = target(program.first4);
    raw.first6 = target(program.first6);
    for (raw, test) in raw.tests.iter_mut().zip(&program.tests) {
        *raw = raw_test(test);
    }
    raw
}

/// A number that differs between filters that differ.
pub(in crate::bpf) fn digest(raw: &types::udp_track_filter) -> u64 {
    let digest = Sha1::digest(sys::bytes_of(raw));
    let first = digest.first_chunk().copied().unwrap_or_default();
    u64::from_ne_bytes(first)
}

fn raw_test(test: &Test) -> types::udp_track_test {
    types::udp_track_test {
        mask: test.mask,
        least: test.least,
        span: test.span,
        word: word(test.word),
        yes: target(test.yes),
        no: target(test.no),
        __pad: 0,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the verdict have 16 bits")]
fn target(target: Target) -> u16 {
    use types::udp_track_verdict as verdict;
    match target {
        Target::Wanted => verdict::UDP_TRACK_WANTED.0 as u16,
        Target::Unwanted => verdict::UDP_TRACK_UNWANTED.0 as u16,
        Target::Test(index) => index,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "there are seven")]
fn word(word: Word) -> u16 {
    use types::udp_track_word as words;
    let raw = match word {
        Word::SourceHigh => words::UDP_TRACK_SOURCE_HIGH,
        Word::SourceLow => words::UDP_TRACK_SOURCE_LOW,
        Word::DestinationHigh => words::UDP_TRACK_DESTINATION_HIGH,
        Word::DestinationLow => words::UDP_TRACK_DESTINATION_LOW,
        Word::SourcePort => words::UDP_TRACK_SOURCE_PORT,
        Word::DestinationPort => words::UDP_TRACK_DESTINATION_PORT,
        Word::Vlans => words::UDP_TRACK_VLANS,
    };
    raw.0 as u16
}

const _: () = assert!(size_of::<types::udp_track_test>() == 32);
const _: () = assert!(size_of::<types::udp_track_filter>() == 8 + 32 * MAX_TESTS);
