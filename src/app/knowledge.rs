//! What a run knows beside the tables: which interfaces it tracks, what names and processes are, and what outputs may ask of them.

use std::io;
use std::net::IpAddr;

use super::process::say;
use crate::bpf::Sockets;
use crate::connection::{self, Direction, Event, Facts, Ifindex, Place, Sample, Table};
use crate::names::Names;
use crate::process::Processes;

/// A hook that was attached, for its books: also when its interface is gone.
pub(super) struct HookName {
    pub interface: String,
    pub index: Ifindex,
    pub ethernet: bool,
    pub direction: Direction,
}

/// Answers what outputs ask.
pub(super) struct Knowledge {
    pub hooks: Vec<HookName>,
    pub processes: Whose,
    pub names: Names,
}

/// Which processes own the connections, if somebody asked and this kernel can tell. What it cannot is said, once.
#[derive(Default)]
pub(super) struct Whose {
    processes: Option<Processes>,
    is_given_up: bool,
}

impl Whose {
    /// Loads what is needed and reads what is open. Needs all rights.
    pub fn start(now_ns: u64) -> Self {
        let sockets = match Sockets::load() {
            Ok((sockets, None)) => sockets,
            Ok((sockets, Some(missing))) => {
                say(format_args!(
                    "processes that live for less than a second or so are not named: {missing}"
                ));
                sockets
            }
            Err(error) => {
                say(format_args!("processes are not shown: {error:#}"));
                return Self::default();
            }
        };
        match Processes::new(Box::new(sockets), now_ns) {
            Ok(processes) => Self {
                processes: Some(processes),
                is_given_up: false,
            },
            Err(error) => {
                say(format_args!("processes are not shown: {error}"));
                Self::default()
            }
        }
    }

    /// Takes all connections, after a scan; with `last`, for the last time.
    pub fn observe(&mut self, table: &Table, now_ns: u64, last: bool) {
        self.look(|processes| processes.observe(table, now_ns, last));
    }

    /// Takes connections that have just begun.
    pub fn announce(&mut self, events: &[Event], now_ns: u64) {
        self.look(|processes| processes.announce(events.iter(), now_ns));
    }

    /// Originator and responder of a connection have changed places.
    pub fn turn(&mut self, place: Place) {
        if let Some(processes) = &mut self.processes {
            processes.turn(place);
        }
    }

    /// Forgets a connection that has ended and was reported.
    pub fn forget(&mut self, place: Place) {
        if let Some(processes) = &mut self.processes {
            processes.forget(place);
        }
    }

    fn look(&mut self, look: impl FnOnce(&mut Processes) -> io::Result<()>) {
        let Some(processes) = &mut self.processes else {
            return;
        };
        if self.is_given_up {
            return;
        }
        if let Err(error) = look(processes) {
            say(format_args!(
                "processes of new connections are no longer shown: {error}"
            ));
            self.is_given_up = true;
        }
    }
}

impl Facts for Knowledge {
    fn interface(&self, index: Ifindex) -> String {
        self.hooks
            .iter()
            .find(|hook| hook.index == index)
            .map_or_else(|| format!("if{}", index.0), |hook| hook.interface.clone())
    }

    fn has_ethernet(&self, index: Ifindex) -> bool {
        self.hooks
            .iter()
            .find(|hook| hook.index == index)
            .is_none_or(|hook| hook.ethernet)
    }

    fn processes(&self, sample: &Sample) -> connection::Processes<'_> {
        self.processes
            .processes
            .as_ref()
            .map_or_else(Default::default, |processes| processes.of(sample.place))
    }

    fn host_name(&self, address: IpAddr) -> Option<&str> {
        self.names.host_name(address)
    }

    fn service(&self, port: u16) -> Option<&str> {
        self.names.service(port)
    }
}
