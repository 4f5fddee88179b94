//! Programs: processes by their name.

use std::fmt;

use super::distinct::Distinct;
use crate::model::Name;

/// How many programs of a group are counted separately.
const PROGRAMS: usize = 8;

/// A program of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Which.
    pub program: Name,
    /// How many connections of the group it has or had.
    pub connections: u64,
    /// Its processes.
    pub pids: Distinct<u32>,
}

/// The programs of a group: a few, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programs {
    list: Vec<Running>,
    is_more: bool,
}

impl Programs {
    /// Takes in a connection of a process; of one that has ended with how many pids may be kept.
    pub(super) fn add(&mut self, program: Name, pid: u32, kept: Option<usize>) {
        let known = self.list.iter().position(|one| one.program == program);
        let place = known.unwrap_or(self.list.len());
        if place == PROGRAMS {
            self.is_more = true;
            return;
        }
        if known.is_none() {
            self.list.push(Running {
                program,
                connections: 0,
                pids: Distinct::default(),
            });
        }
        let running = &mut self.list[place];
        running.connections += 1;
        match kept {
            Some(most) => running.pids.keep(pid, most),
            None => running.pids.add(pid),
        }
    }

    /// The busiest first, by their connections.
    pub(super) fn sort(&mut self) {
        self.list.sort_by(|one, other| {
            let busier = other.connections.cmp(&one.connections);
            busier.then_with(|| one.program.cmp(&other.program))
        });
    }

    /// The busiest first.
    pub fn iter(&self) -> impl Iterator<Item = &Running> {
        self.list.iter()
    }

    /// Whether there were more than are told apart.
    #[must_use]
    pub fn is_more(&self) -> bool {
        self.is_more
    }

    pub(super) fn pids(&self) -> u64 {
        self.list.iter().map(|running| running.pids.count()).sum()
    }
}

/// `dig x54, unbound`: the number of processes, where there are several. Hostile input for a terminal.
impl fmt::Display for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, running) in self.list.iter().enumerate() {
            let separator = if place > 0 { ", " } else { "" };
            write!(f, "{separator}{}", running.program.name())?;
            let pids = &running.pids;
            if pids.count() > 1 {
                let more = if pids.is_more() { "+" } else { "" };
                write!(f, " x{}{more}", pids.count())?;
            }
        }
        if self.is_more {
            f.write_str(", …")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_first_and_how_many_processes() {
        let mut programs = Programs::default();
        for pid in [1, 1, 1] {
            programs.add(Name::new("unbound"), pid, Some(9));
        }
        programs.add(Name::new("dig"), 2, Some(9));
        for pid in 3..6 {
            programs.add(Name::new("dig"), pid, None);
        }
        programs.sort();
        assert_eq!(programs.to_string(), "dig x4, unbound");
        for other in 0..9 {
            programs.add(Name::new(&other.to_string()), 7, None);
        }
        assert!(programs.is_more());
        assert_eq!(programs.to_string(), "dig x4, unbound, 0, 1, 2, 3, 4, 5, …");
    }
}
