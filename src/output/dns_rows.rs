//! What is told of DNS: servers and programs by what the kernel counts of them, names by the messages that were read.

use std::cmp::Reverse;

use crate::dns::{NameRow, Names, Seen, is_server};
use crate::listing::{Group, Grouping, Key, Query};
use crate::model::{DnsCounts, Facts, Field, Ifindex, Processes, Report, Sample, Shared, Table};

/// All of it, for as long as a run lasts.
#[derive(Debug)]
pub(super) struct DnsRows {
    /// Whose messages are read.
    wanted: Query,
    /// The rows.
    query: Query,
    servers: Grouping,
    programs: Grouping,
    pub names: Names,
}

/// All that is shown at one moment.
#[derive(Debug)]
pub(super) struct DnsSnapshot {
    /// Those of DNS, then those of mDNS and of LLMNR, each as the query wants them sorted.
    pub servers: Vec<Group>,
    /// Programs of this machine, where they are known.
    pub programs: Vec<Group>,
    /// Answers that came from another address than the one that was asked, as those of LLMNR do.
    pub elsewhere: DnsCounts,
    pub failed: Vec<NameRow>,
    pub asked: Vec<NameRow>,
}

/// Who asks: a server on this machine is no program that asks its own questions, also where nobody knows whose they are.
struct Askers<'a>(&'a dyn Facts);

impl Facts for Askers<'_> {
    fn interface(&self, index: Ifindex) -> String {
        self.0.interface(index)
    }

    fn processes(&self, sample: &Sample) -> Processes<'_> {
        Processes {
            responder: None,
            ..self.0.processes(sample)
        }
    }
}

impl DnsRows {
    /// What a query wants, of DNS alone; by itself, those that are asked most come first.
    pub fn of(query: &Query) -> Self {
        Self {
            wanted: query.clone(),
            query: Query {
                dns: true,
                sort: if query.sort == Key::default() {
                    Key::Queries
                } else {
                    query.sort
                },
                top: None,
                ..query.clone()
            },
            servers: Grouping::by(Field::Server),
            programs: Grouping::by(Field::Process),
            names: Names::default(),
        }
    }

    /// Takes in a message.
    pub fn take(&mut self, seen: &Seen<'_>, facts: &dyn Facts) {
        if self.wanted.wants_sample(seen.sample, facts) {
            self.names.take(seen, facts);
        }
    }

    /// Takes in a connection that has ended.
    pub fn end(&mut self, sample: &Sample, facts: &dyn Facts) {
        self.servers.end(sample, facts, &self.query);
        self.programs.end(sample, &Askers(facts), &self.query);
    }

    /// As it is now, with at most this number of rows of each kind.
    pub fn snapshot(
        &mut self,
        table: &Table,
        report: &Report,
        facts: &dyn Facts,
        rows: usize,
    ) -> DnsSnapshot {
        self.names
            .tick(table.scanned_ns(), report.dns_unread().unwrap_or_default());
        let mut elsewhere = DnsCounts::default();
        let mut servers = self.servers.snapshot(table, report, facts, &self.query);
        servers.retain(|group| {
            let is_server = is_server(&group.shared);
            if !is_server && let Some(dns) = group.dns {
                elsewhere += dns;
            }
            is_server
        });
        servers.sort_by_key(port);
        let mut programs = self
            .programs
            .snapshot(table, report, &Askers(facts), &self.query);
        programs.retain(|group| !matches!(group.shared, Shared::Unknown | Shared::Forwarded));
        let mut failed = self.names.failed(None);
        let mut asked = self.names.asked(None);
        // Names of mDNS and LLMNR come last: they are never among those of servers.
        asked.sort_by_key(|row| (row.server.port() != 53, Reverse(row.count)));
        for (of, length) in [(&mut servers, rows), (&mut programs, rows)] {
            of.truncate(length);
        }
        failed.truncate(rows);
        asked.truncate(rows);
        DnsSnapshot {
            servers,
            programs,
            elsewhere,
            failed,
            asked,
        }
    }
}

fn port(group: &Group) -> Option<u16> {
    match group.shared {
        Shared::End(end) => Some(end.port()),
        _ => None,
    }
}
