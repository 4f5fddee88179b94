//! All sockets at one moment, the worst first, each with what to do about it.

use std::cmp::Reverse;
use std::rc::Rc;

use super::{Advice, Limits, State, Watch};
use crate::model::Owner;

/// One socket, as it is shown.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was seen of it.
    pub state: State,
    /// Who holds it. Nobody holds the kernel's own ones.
    pub owner: Option<Rc<Owner>>,
    /// What to do.
    pub advice: Option<Advice>,
}

/// Which sockets are shown.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Only those of a process with this name or id.
    pub process: Option<String>,
    /// The most there can be.
    pub top: Option<usize>,
}

/// The sockets that are shown, and sums over all of the same choice.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Those that dropped most since the first look come first; then those that did before; then the fullest.
    pub rows: Vec<Row>,
    /// How many fit the choice, shown or not.
    pub sockets: u64,
    /// How many there are, whether they fit or not.
    pub watched: u64,
    /// What they dropped since the first look.
    pub drops_seen: u64,
    /// What they dropped before.
    pub drops_before: u64,
    /// How long it was looked.
    pub looked_ns: u64,
}

impl Snapshot {
    /// Of all that is watched. `owner` says who holds a socket.
    pub fn take(
        watch: &mut Watch,
        limits: &Limits,
        choice: &Choice,
        mut owner: impl FnMut(&State) -> Option<Rc<Owner>>,
    ) -> Self {
        let states = watch.snapshot();
        let watched = states.len() as u64;
        let mut rows: Vec<Row> = states
            .into_iter()
            .map(|state| Row {
                owner: owner(&state),
                advice: Advice::of(&state, limits),
                state,
            })
            .filter(|row| choice.wants(row.owner.as_deref()))
            .collect();
        rows.sort_by_key(|row| {
            let state = &row.state;
            let socket = &state.reading.socket;
            (
                Reverse((state.drops_seen, state.reading.drops, state.most_percent())),
                socket.local.port(),
                socket.local.ip(),
                socket.peer,
                state.reading.inode,
            )
        });
        let sum = |number: fn(&State) -> u64| rows.iter().map(|row| number(&row.state)).sum();
        let mut snapshot = Self {
            sockets: rows.len() as u64,
            watched,
            drops_seen: sum(|state| state.drops_seen),
            drops_before: sum(State::drops_before),
            looked_ns: watch.looked_ns(),
            rows,
        };
        snapshot.rows.truncate(choice.top.unwrap_or(usize::MAX));
        snapshot
    }
}

impl Row {
    /// The program that holds it. Hostile input for a terminal.
    #[must_use]
    pub fn who(&self) -> &str {
        self.owner
            .as_deref()
            .map_or("its program", |owner| owner.program())
    }
}

impl Choice {
    fn wants(&self, owner: Option<&Owner>) -> bool {
        let is_wanted = |wanted: &String| owner.is_some_and(|owner| owner.is(wanted));
        self.process.as_ref().is_none_or(is_wanted)
    }
}

impl State {
    /// Datagrams dropped before the first look.
    #[must_use]
    pub fn drops_before(&self) -> u64 {
        u64::from(self.reading.drops).saturating_sub(self.drops_seen)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{SECOND, holding, reading};
    use super::super::{Look, Reading};
    use super::*;

    fn owner(pid: u32, command: &str) -> Rc<Owner> {
        Rc::new(Owner {
            pid,
            command: command.to_owned(),
            script: None,
            uid: 0,
            user: String::new(),
            cgroup: String::new(),
            container: None,
        })
    }

    fn snapshot(choice: &Choice) -> Snapshot {
        let at = |port: u16, drops, reading: Reading| {
            let mut reading = Reading { drops, ..reading };
            reading.socket.key = port.into();
            reading.socket.local.set_port(port);
            reading
        };
        let mut watch = Watch::default();
        let first = vec![
            at(1, 0, reading()),
            at(2, 0, holding(3, 1)),
            at(3, 900, reading()),
            at(4, 10, reading()),
        ];
        let mut then = first.clone();
        then[3].drops = 15;
        for (seconds, readings) in [(1, first), (3, then)] {
            watch.look(&Look {
                now_ns: seconds * SECOND,
                readings,
                before: None,
                after: None,
            });
        }
        Snapshot::take(&mut watch, &Limits::default(), choice, |state| {
            let port = state.reading.socket.local.port();
            Some(owner(port.into(), if port < 3 { "one" } else { "other" }))
        })
    }

    fn ports(snapshot: &Snapshot) -> Vec<u16> {
        let rows = snapshot.rows.iter();
        rows.map(|row| row.state.reading.socket.local.port())
            .collect()
    }

    #[test]
    fn the_worst_come_first() {
        let all = snapshot(&Choice::default());
        assert_eq!(ports(&all), [4, 3, 2, 1]);
        assert_eq!((all.sockets, all.drops_seen, all.drops_before), (4, 5, 910));
        assert_eq!(all.looked_ns, 2 * SECOND);
    }

    #[test]
    fn sums_are_of_those_that_are_meant_shown_or_not() {
        let two = snapshot(&Choice {
            process: Some("other".to_owned()),
            top: Some(1),
        });
        assert_eq!(ports(&two), [4]);
        assert_eq!((two.sockets, two.drops_seen, two.drops_before), (2, 5, 910));
        let by_id = snapshot(&Choice {
            process: Some("2".to_owned()),
            top: None,
        });
        assert_eq!(ports(&by_id), [2]);
    }
}
