//! Interfaces that captures have no names of: those of several files are one, as the files of a rotation are of one interface.

use crate::capture::read::Reader;
use crate::model::text::Visible;

/// The last frames of one file of a rotation may be as much later than the first of the next one, in nanoseconds: CPUs are not in step.
const STEP_NS: u64 = 100_000_000;

/// What all of them are called together.
pub(super) fn together(readers: &[Reader]) -> String {
    let names: Vec<&str> = readers.iter().filter_map(Reader::nameless).collect();
    match &names[..] {
        [] => "captures".to_owned(),
        [first, others @ ..] => pattern(first, others),
    }
}

/// A pattern that fits all these names: `part*.pcap`.
fn pattern(first: &str, others: &[&str]) -> String {
    let same = |one: &str, other: &str| -> usize {
        let pairs = one.chars().zip(other.chars());
        let same = pairs.take_while(|(one, other)| one == other);
        same.map(|(one, _)| one.len_utf8()).sum()
    };
    let begins = others.iter().map(|other| same(first, other));
    let begins = begins.min().unwrap_or(first.len());
    let (begin, rest) = first.split_at(begins);
    if others.iter().all(|other| *other == first) {
        return first.to_owned();
    }
    let backwards = |text: &str| text.chars().rev().collect::<String>();
    let ends = others
        .iter()
        .map(|other| same(&backwards(rest), &backwards(&other[begins..])));
    let end = &rest[rest.len() - ends.min().unwrap_or(0)..];
    format!("{begin}*{end}")
}

/// Whether files without names are of the same time: those of a rotation are not.
#[derive(Debug, Default)]
pub(super) struct Overlap {
    /// Files that have begun.
    begun: usize,
    /// The one that did so last: when, and its name.
    latest: Option<(u64, String)>,
    /// Two of them.
    found: Option<(String, String)>,
}

impl Overlap {
    /// A frame of the file of this name. Frames of all files come in the order of their times: `ordinal` is how many had begun with it.
    pub fn note(&mut self, ordinal: &mut Option<usize>, ns: u64, name: &str) {
        let ordinal = *ordinal.get_or_insert_with(|| {
            self.begun += 1;
            self.latest = Some((ns, name.to_owned()));
            self.begun
        });
        if let Some((latest_ns, other)) = &self.latest
            && self.found.is_none()
            && ordinal < self.begun
            && ns > latest_ns + STEP_NS
        {
            self.found = Some((name.to_owned(), other.clone()));
        }
    }

    /// What is to be said of it.
    pub fn in_words(&self) -> Option<String> {
        self.found.as_ref().map(|(one, other)| {
            format!(
                "{} and {} are of the same time and name no interface, so they count as one: a packet that is in both counts twice. \
                 --per-interface keeps them apart",
                Visible(one),
                Visible(other)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_all_names() {
        for (names, expected) in [
            (&["a.pcap"][..], "a.pcap"),
            (&["a.pcap", "a.pcap"], "a.pcap"),
            (&["a.pcap", "a.pcap1", "a.pcap2"], "a.pcap*"),
            (
                &["part_0.pcap", "part_1.pcap", "part_10.pcap"],
                "part_*.pcap",
            ),
            (&["aa", "aaa"], "aa*"),
            (&["aba", "abba"], "ab*a"),
            (&["a", "b"], "*"),
            (&["\u{e4}1", "\u{e4}2"], "\u{e4}*"),
            (&["\u{e4}", "\u{e5}"], "*"),
        ] {
            assert_eq!(pattern(names[0], &names[1..]), expected);
        }
    }

    #[test]
    fn files_of_a_rotation_are_of_other_times() {
        let said = |frames: &[(usize, u64)]| {
            let mut overlap = Overlap::default();
            let mut ordinals = [None; 3];
            for (file, ns) in frames {
                overlap.note(&mut ordinals[*file], *ns, ["a", "b", "c"][*file]);
            }
            overlap.found
        };
        let late = STEP_NS + 2;
        assert_eq!(
            said(&[(0, 0), (0, 9), (1, 9), (1, late), (2, 2 * late)]),
            None
        );
        assert_eq!(
            said(&[(0, 0), (1, 1), (0, 2), (0, late - 1), (1, late)]),
            None
        );
        let both = ("a".to_owned(), "b".to_owned());
        for first in [0, 1] {
            let frames = [(0, 0), (1, first), (0, late), (2, late)];
            assert_eq!(said(&frames), Some(both.clone()));
        }
    }
}
