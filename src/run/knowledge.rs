//! What a run knows beside the table, for its outputs: interfaces, names, processes, protocols.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use super::talks::Talks;
use crate::bpf::{KnownHook, Sockets};
use crate::console::say;
use crate::model::{self, Event, Facts, Ifindex, Place, QuicFacts, Sample, Table};
use crate::names::Names;
use crate::process::Processes;

/// Answers what outputs ask.
pub(crate) struct Knowledge {
    pub interfaces: Interfaces,
    pub processes: Whose,
    pub names: Names,
    pub talks: Talks,
}

/// The hooks that are there, and those whose interfaces are gone: their books and connections are not.
#[derive(Default)]
pub(crate) struct Interfaces {
    pub hooks: Vec<KnownHook>,
    /// Names of interfaces, and whether frames there begin with an Ethernet header.
    names: HashMap<Ifindex, (String, bool)>,
}

impl Interfaces {
    pub fn of(hooks: Vec<KnownHook>) -> Self {
        let mut names = HashMap::new();
        for hook in &hooks {
            // An index may be used again: then it means the one that is there.
            if !(hook.is_gone && names.contains_key(&hook.index)) {
                names.insert(hook.index, (hook.interface.clone(), hook.ethernet));
            }
        }
        Self { hooks, names }
    }
}

/// Which processes own the connections, if an output needs them and this kernel can tell. If it cannot, a message tells it once.
#[derive(Default)]
pub(crate) struct Whose {
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
                    "udptrack does not name processes that live for less than about a second: {missing}"
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
    pub fn swap(&mut self, place: Place) {
        if let Some(processes) = &mut self.processes {
            processes.swap(place);
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
        let known = self.interfaces.names.get(&index);
        known.map_or_else(|| format!("if{}", index.0), |(name, _)| name.clone())
    }

    fn has_ethernet(&self, index: Ifindex) -> bool {
        let known = self.interfaces.names.get(&index);
        known.is_none_or(|(_, ethernet)| *ethernet)
    }

    fn processes(&self, sample: &Sample) -> model::Processes<'_> {
        self.processes
            .processes
            .as_ref()
            .map_or_else(Default::default, |processes| processes.of(sample.place))
    }

    fn quic(&self, sample: &Sample) -> Option<&QuicFacts> {
        self.talks.quic(sample)
    }

    fn host_name(&self, address: IpAddr) -> Option<&str> {
        self.names.host_name(address)
    }

    fn service(&self, port: u16) -> Option<&str> {
        self.names.service(port)
    }
}
