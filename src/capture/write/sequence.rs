//! Which file comes after which (`-C`, `-G`, `-W`): names and moments are tcpdump's, as scripts rely on them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

/// When another file is begun, and how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// `-C`: when a file has more bytes than that.
    pub bytes: Option<u64>,
    /// `-G`: after this number of seconds.
    pub seconds: Option<u64>,
    /// `-W`, the number of files: with only `-C`, the first one is then overwritten; with only `-G`, the run then ends.
    pub files: Option<u32>,
}

impl Rotation {
    /// Whether there is ever another file.
    #[must_use]
    pub fn is_on(self) -> bool {
        self.bytes.is_some() || self.seconds.is_some()
    }
}

/// Where a packet goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Into the file that is open.
    Same,
    /// Into this one.
    Other(PathBuf),
    /// Nowhere: there are as many files as were asked for.
    Enough,
}

/// The files of one capture.
#[derive(Clone, Debug)]
pub struct Sequence {
    path: PathBuf,
    rotation: Rotation,
    zone: TimeZone,
    /// When the time of the file began, in seconds since 1970.
    began: i64,
    /// Times that are over.
    times: u32,
    /// Of the file among those of its time.
    number: u32,
}

impl Sequence {
    /// The first file of a time that begins now. The error says what is wrong with the name.
    pub fn new(
        path: &Path,
        rotation: Rotation,
        zone: TimeZone,
        unix_ns: u64,
    ) -> Result<Self, String> {
        let sequence = Self {
            path: path.to_owned(),
            rotation,
            zone,
            began: seconds(unix_ns),
            times: 0,
            number: 0,
        };
        sequence.try_name()?;
        Ok(sequence)
    }

    /// The name of the file that is written to.
    #[must_use]
    pub fn name(&self) -> PathBuf {
        // What can be wrong with it does not depend on the time.
        self.try_name().unwrap_or_else(|_| self.path.clone())
    }

    /// The name that the files of two times which follow each other have alike, so that one is written over the other; none where there is
    /// no other time, or each has a name of its own.
    #[must_use]
    pub fn repeated_name(&self) -> Option<PathBuf> {
        let Rotation {
            bytes,
            seconds,
            files,
        } = self.rotation;
        let span = i64::try_from(seconds?).ok()?;
        if bytes.is_none() && files == Some(1) {
            return None;
        }
        let name = |time: i64| {
            let began = self.began.saturating_add(span.saturating_mul(time));
            Self {
                began,
                ..self.clone()
            }
            .name()
        };
        // A minute or an hour may end between two of them, hardly between three.
        (0..2).find(|time| name(*time) == name(time + 1)).map(name)
    }

    fn try_name(&self) -> Result<PathBuf, String> {
        let mut name = if self.rotation.seconds.is_some() {
            self.with_time()?
        } else {
            self.path.clone().into_os_string()
        };
        if self.rotation.bytes.is_none() {
            return Ok(name.into());
        }
        let digits = self.rotation.files.map_or(0, digits);
        if self.number > 0 || digits > 0 {
            name.push(format!("{:0digits$}", self.number));
        }
        Ok(name.into())
    }

    fn with_time(&self) -> Result<OsString, String> {
        let text = self
            .path
            .to_str()
            .ok_or("a file name that is not text cannot contain the time")?;
        let moment = Timestamp::from_second(self.began).unwrap_or(Timestamp::MAX);
        let moment = moment.to_zoned(self.zone.clone());
        let name = strtime::format(text, &moment).map_err(|error| error.to_string())?;
        Ok(name.into())
    }

    /// Where a packet of this time goes, if the open file has this number of bytes.
    pub fn next(&mut self, unix_ns: u64, bytes: u64) -> Next {
        let Rotation {
            bytes: most,
            seconds: span,
            files,
        } = self.rotation;
        let now = seconds(unix_ns);
        if let Some(span) = span
            && u64::try_from(now - self.began).is_ok_and(|passed| passed >= span)
        {
            self.began = now;
            self.times += 1;
            self.number = 0;
            if most.is_none() && files.is_some_and(|files| self.times >= files) {
                return Next::Enough;
            }
            return Next::Other(self.name());
        }
        if most.is_some_and(|most| bytes > most) {
            self.number += 1;
            if files.is_some_and(|files| self.number >= files) {
                self.number = 0;
            }
            return Next::Other(self.name());
        }
        Next::Same
    }
}

fn seconds(unix_ns: u64) -> i64 {
    i64::try_from(unix_ns / 1_000_000_000).unwrap_or(i64::MAX)
}

/// How many digits the numbers of this many files have, from 0 on.
fn digits(files: u32) -> usize {
    files
        .checked_sub(1)
        .filter(|last| *last > 0)
        .map_or(0, |last| last.ilog10() as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    /// 2026-04-07T21:24:37 UTC.
    const BEGAN: u64 = 1_775_597_077 * SECOND;

    fn sequence(path: &str, rotation: Rotation) -> Sequence {
        Sequence::new(Path::new(path), rotation, TimeZone::UTC, BEGAN).unwrap()
    }

    /// The names of packets that come a second apart, into files that are then so large.
    fn names(mut sequence: Sequence, sizes: &[u64]) -> Vec<String> {
        let mut names = vec![sequence.name().display().to_string()];
        for (second, size) in (0..).zip(sizes) {
            names.push(match sequence.next(BEGAN + second * SECOND, *size) {
                Next::Same => "same".to_owned(),
                Next::Other(name) => name.display().to_string(),
                Next::Enough => "enough".to_owned(),
            });
        }
        names
    }

    fn rotation(bytes: u64, seconds: u64, files: u32) -> Rotation {
        Rotation {
            bytes: (bytes > 0).then_some(bytes),
            seconds: (seconds > 0).then_some(seconds),
            files: (files > 0).then_some(files),
        }
    }

    #[test]
    fn one_file_has_its_name() {
        let one = names(sequence("a%S.pcapng", Rotation::default()), &[1, 2]);
        assert_eq!(one, ["a%S.pcapng", "same", "same"]);
        assert!(!Rotation::default().is_on());
    }

    #[test]
    fn by_size_they_are_numbered() {
        let all = names(sequence("a", rotation(9, 0, 0)), &[9, 10, 10, 3]);
        assert_eq!(all, ["a", "same", "a1", "a2", "same"]);
        let ring = names(sequence("a", rotation(9, 0, 3)), &[10, 10, 10]);
        assert_eq!(ring, ["a0", "a1", "a2", "a0"]);
        assert_eq!(
            names(sequence("a", rotation(9, 0, 11)), &[10]),
            ["a00", "a01"]
        );
        assert_eq!(names(sequence("a", rotation(9, 0, 1)), &[10]), ["a", "a"]);
        assert_eq!([1, 2, 10, 11, 100, 101].map(digits), [0, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn by_time_they_are_named_after_it() {
        let all = names(sequence("%M%S", rotation(0, 2, 0)), &[0, 0, 99, 0, 0]);
        assert_eq!(all, ["2437", "same", "same", "2439", "same", "2441"]);
        let two = names(sequence("%M%S", rotation(0, 2, 2)), &[0, 0, 0, 0, 0]);
        assert_eq!(two, ["2437", "same", "same", "2439", "same", "enough"]);
    }

    #[test]
    fn by_both_each_time_begins_with_the_first_number() {
        let all = names(sequence("%S", rotation(9, 2, 0)), &[0, 10, 0, 10]);
        assert_eq!(all, ["37", "same", "371", "39", "391"]);
        // The count then only says how the numbers are written.
        let counted = names(sequence("%S", rotation(9, 1, 2)), &[10, 10, 10, 10]);
        assert_eq!(counted, ["370", "371", "380", "390", "400"]);
    }

    #[test]
    fn a_name_without_the_time_is_repeated() {
        let repeated = |path: &str, bytes, span, files| {
            let name = sequence(path, rotation(bytes, span, files)).repeated_name();
            name.map(|name| name.display().to_string())
        };
        assert_eq!(repeated("a", 0, 1, 0), Some("a".to_owned()));
        assert_eq!(repeated("a", 0, 1, 5), Some("a".to_owned()));
        assert_eq!(repeated("a", 9, 1, 0), Some("a".to_owned()));
        // It is 21:24:37.
        assert_eq!(repeated("%H%M", 0, 30, 0), Some("2125".to_owned()));
        assert_eq!(repeated("%s", 0, 1, 0), None);
        assert_eq!(repeated("a", 0, 1, 1), None);
        assert_eq!(repeated("a", 9, 0, 5), None);
        assert_eq!(repeated("a", 0, 0, 0), None);
    }

    #[test]
    fn a_time_that_cannot_be_is_said() {
        let new = |name: &str| {
            let path = Path::new(name);
            Sequence::new(path, rotation(0, 1, 0), TimeZone::UTC, BEGAN).map(|it| it.name())
        };
        assert!(new("a%!").is_err());
        assert_eq!(new("a%%").unwrap(), Path::new("a%"));
    }
}
