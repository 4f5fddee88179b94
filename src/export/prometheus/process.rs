//! CPU time and memory of this process, from `proc_pid_stat(5)`: the metrics that every exporter has.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

/// At one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub threads: u64,
    pub open_files: Option<u64>,
}

impl Process {
    /// Now; `None` where it cannot be read.
    pub fn read() -> Option<Self> {
        let number = |variable| {
            let number = sysconf(variable).ok().flatten()?;
            u64::try_from(number).ok()
        };
        let files = fs::read_dir("/proc/self/fd");
        Some(Self {
            // Without the one by which they are listed.
            open_files: files
                .ok()
                .map(|files| (files.count() as u64).saturating_sub(1)),
            ..Self::of(
                &fs::read_to_string("/proc/self/stat").ok()?,
                number(SysconfVar::CLK_TCK)?,
                number(SysconfVar::PAGE_SIZE)?,
            )?
        })
    }

    fn of(stat: &str, ticks: u64, page: u64) -> Option<Self> {
        // The name may have any characters in it, but ends with the last bracket.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The first one here is the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let used = field(14)? + field(15)?;
        let (seconds, rest) = (used / ticks, used % ticks);
        Some(Self {
            cpu_seconds: super::page::float(seconds)
                + super::page::float(rest) / super::page::float(ticks),
            resident_bytes: field(24)? * page,
            virtual_bytes: field(23)?,
            threads: field(20)?,
            open_files: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_is_read_whatever_the_name_is() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 75 0 0 20 0 6 0 4000 8192 3 1844 0";
        let expected = Process {
            cpu_seconds: 2.25,
            resident_bytes: 12_288,
            virtual_bytes: 8192,
            threads: 6,
            open_files: None,
        };
        assert_eq!(Process::of(stat, 100, 4096), Some(expected));
        assert_eq!(Process::of("", 100, 4096), None);
        assert!(Process::read().unwrap().open_files.unwrap() > 2);
    }
}
