//! What a run or a list shows, and what it must know for that.

use super::WAITING_LINES;
use crate::cli::{Config, OutputKind};
use crate::listing::Query;
use crate::model::services::OneWayPorts;
use crate::model::{Kinds, SortKey, Window};

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Connections, or groups of them.
    Connections,
    /// What was dropped here.
    Losses,
    /// Servers and names of DNS.
    Dns,
}

/// Which output there is, and what is in it.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// What is written.
    pub output: OutputKind,
    /// Which events.
    pub kinds: Kinds,
    /// Which connections, in which order.
    pub query: Query,
    /// What the rows are about.
    pub subject: Subject,
    /// No names of hosts and services.
    pub numeric: bool,
    /// One snapshot, which has every connection.
    pub once: bool,
}

impl Shown {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            output: config.output,
            kinds: config.events,
            query: query(config),
            subject: match config {
                Config { losses: true, .. } => Subject::Losses,
                Config { dns: true, .. } => Subject::Dns,
                _ => Subject::Connections,
            },
            numeric: config.numeric,
            once: config.once,
        }
    }

    /// The live view on the terminal, in place of lines.
    pub fn is_live(&self) -> bool {
        self.output == OutputKind::Live
    }

    /// No line of anything, but for alerts: a capture is all that is wanted.
    pub fn is_nothing(&self) -> bool {
        self.output == OutputKind::Trace && self.kinds == Kinds::default()
    }

    /// All connections every now and then.
    pub fn has_snapshots(&self) -> bool {
        match self.output {
            OutputKind::Trace | OutputKind::Conntrack => false,
            OutputKind::Table | OutputKind::Live => true,
            OutputKind::Json | OutputKind::Csv => self.kinds.data || self.once,
        }
    }

    /// Packets, as they come.
    pub fn has_packets(&self) -> bool {
        self.kinds.new || self.kinds.data
    }

    /// Names of hosts and services; a trace has none.
    pub fn has_names(&self) -> bool {
        !self.numeric && self.output != OutputKind::Trace
    }

    /// What DNS messages say, beside the names of hosts: nobody looks that up, so it is told with -n, too.
    pub fn has_dns(&self) -> bool {
        self.subject == Subject::Dns || self.kinds.dns || self.is_live()
    }

    /// Whether it is told what connections speak; lines of packets do not say it.
    pub(super) fn has_protocols(&self) -> bool {
        !matches!(self.output, OutputKind::Trace | OutputKind::Conntrack)
    }

    /// Whose a connection is already when it begins. A trace does not say it.
    pub fn has_processes_at_once(&self) -> bool {
        self.output == OutputKind::Json && self.kinds.new
    }

    /// The live view has a pane of trace lines.
    fn has_trace(&self) -> bool {
        matches!(self.output, OutputKind::Trace | OutputKind::Live)
    }

    /// A trace of later packets alone needs the first ones too: one GSO super-packet may be both.
    pub(super) fn needs_new_events(&self) -> bool {
        self.kinds.new || (self.has_trace() && self.kinds.data)
    }

    /// In JSON, `data` is what the snapshots say, not a record for each packet.
    pub(super) fn needs_data_events(&self) -> bool {
        self.has_trace() && self.kinds.data
    }

    /// A trace shows them at the end of a connection, everything else always.
    pub(super) fn needs_response_times(&self) -> bool {
        self.output != OutputKind::Trace || self.kinds.end
    }

    /// What lines may take that wait for their reader, in bytes.
    pub(super) fn waiting_bytes(&self) -> u64 {
        if self.is_live() {
            0
        } else {
            WAITING_LINES as u64
        }
    }
}

fn query(config: &Config) -> Query {
    let rows = &config.rows;
    let sort = rows.sort.map(|sort| (sort.key, sort.descending));
    // What was fast at the end of a capture is not what it is about.
    let is_whole = config.once && !config.read.is_empty();
    let by_itself = is_whole.then_some((SortKey::Bytes, None));
    let (sort, descending) = sort.or(by_itself).unwrap_or_default();
    let one_way_ports = rows.one_way_ports.clone();
    Query {
        status: rows.status,
        process: rows.process.clone(),
        proto: rows.proto,
        unanswered: rows.unanswered,
        dns: false,
        by: rows.by,
        sort,
        window: Window::default(),
        reverse: descending.is_some_and(|descending| descending != sort.is_descending()),
        top: rows.top,
        one_way_ports: one_way_ports.map_or_else(OneWayPorts::default, OneWayPorts::new),
    }
}
