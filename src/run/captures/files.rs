//! Which files were written, and which of them are left: with `-C` and `-W`, and with `-G` and a name without time, they are written over.

use std::collections::HashMap;

use crate::model::text::Grouped;

/// Of more names it is not said which files are left: each takes some 100 bytes.
const NAMES: usize = 100_000;

/// All files of a run.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Those that are there: by name, which of all files it is, and its frames.
    left: HashMap<String, (u64, u64)>,
    latest: String,
    begun: u64,
    /// Of these, those that others were written over.
    over: u64,
    /// Of these, those that were moved away.
    moved: u64,
    has_too_many: bool,
}

impl Files {
    /// A file of this name is begun; one of that name was there, or not.
    pub fn begin(&mut self, name: &str, was_there: bool) {
        self.begun += 1;
        name.clone_into(&mut self.latest);
        if self.left.remove(name).is_some() {
            let count = if was_there {
                &mut self.over
            } else {
                &mut self.moved
            };
            *count += 1;
        }
        if self.left.len() < NAMES {
            self.left.insert(name.to_owned(), (self.begun, 0));
        } else {
            self.has_too_many = true;
        }
    }

    /// This number of further frames is in the file that was begun last.
    pub fn add(&mut self, frames: u64) {
        if let Some((_, count)) = self.left.get_mut(&self.latest) {
            *count += frames;
        }
    }

    /// How many were begun.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// Where frames are, behind what tells how many: `are in a.pcapng`.
    pub fn in_words(&self) -> String {
        let Self { latest, begun, .. } = self;
        if *begun == 1 {
            return format!("are in {latest}");
        }
        let begun = Grouped(*begun);
        if self.has_too_many {
            return format!("were written to {begun} files, the latest of them {latest}");
        }
        let oldest = self.left.iter().min_by_key(|(_, (number, _))| number);
        let oldest = oldest.map_or(latest, |(name, _)| name);
        let names = match self.left.len() {
            1 => latest.to_owned(),
            _ => format!("from {oldest} to {latest}"),
        };
        if self.over == 0 && self.moved == 0 {
            return format!("are in {begun} files, {names}");
        }
        if self.over == 0 {
            return format!("are in {begun} files, the latest of them {latest}");
        }
        let frames: u64 = self.left.values().map(|(_, frames)| frames).sum();
        let are = match self.left.len() {
            1 => "is",
            _ => "are",
        };
        let moved = match self.moved {
            0 => String::new(),
            moved => format!("; {} were moved away", Grouped(moved)),
        };
        format!(
            "were written to {begun} files, of which {} {are} left, with {} frames: {names}{moved}",
            Grouped(self.left.len() as u64),
            Grouped(frames)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(all: &[(&str, bool, u64)]) -> Files {
        let mut files = Files::default();
        for (name, was_there, frames) in all {
            files.begin(name, *was_there);
            files.add(*frames);
            files.add(1);
        }
        files
    }

    #[test]
    fn what_is_left_is_said() {
        for (all, expected) in [
            (&[("a", true, 2)][..], "are in a"),
            (
                &[("a", false, 2), ("a1", true, 2), ("a2", false, 0)],
                "are in 3 files, from a to a2",
            ),
            (
                &[
                    ("a", false, 9),
                    ("b", false, 9),
                    ("a", true, 2),
                    ("b", true, 3),
                    ("a", true, 4),
                ],
                "were written to 5 files, of which 2 are left, with 9 frames: from b to a",
            ),
            (
                &[("a", false, 9), ("a", true, 1), ("a", true, 1)],
                "were written to 3 files, of which 1 is left, with 2 frames: a",
            ),
            (
                &[("a", true, 9), ("a", false, 1)],
                "are in 2 files, the latest of them a",
            ),
        ] {
            assert_eq!(files(all).in_words(), expected);
        }
    }
}
