//! The tabs: what each shows, what it is sorted by, and its words in the footer and on the help page. One place for each.

use super::keys::Action;
use crate::listing::{self, Column, Key, Sheet};
use crate::model::Field;

/// A table of its own, on the whole screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Tab {
    /// Who serves, and how well.
    #[default]
    Servers,
    /// Each connection; exchanges that are over in one row.
    Connections,
    /// By name of the program.
    Processes,
    /// Each address.
    Hosts,
    /// What the hooks saw.
    Interfaces,
    /// Connections that are no more.
    Ended,
    /// What programs read from, and what is dropped there.
    Sockets,
    /// Who answers DNS, and how.
    Dns,
}

/// A line of a menu, and what it chooses.
pub(super) type Menu<T> = &'static [(&'static str, T)];

/// All there is to say about a tab.
#[derive(Debug)]
pub(super) struct About {
    /// Its name on the line of tabs, and where that is narrow.
    pub name: &'static str,
    pub short: &'static str,
    /// What its rows are, one and several.
    pub rows: (&'static str, &'static str),
    /// What rows are grouped by, if they are groups.
    pub field: Option<Field>,
    /// Its columns.
    pub sheet: &'static Sheet,
    /// How many of the most needed columns are shown wherever they fit; the others are shown only if these have enough room.
    pub essential: usize,
    /// What rows can be sorted by, the first one by itself.
    pub sorts: Menu<Key>,
    /// Whether that goes the other way round at first.
    pub reverse: bool,
    /// What can be done, the most wanted first.
    pub keys: &'static [(Action, &'static str)],
    /// What its words mean, for the help page.
    pub words: &'static [(&'static str, &'static str)],
}

impl Tab {
    pub const ALL: [Self; 8] = [
        Self::Servers,
        Self::Connections,
        Self::Processes,
        Self::Hosts,
        Self::Interfaces,
        Self::Ended,
        Self::Sockets,
        Self::Dns,
    ];

    pub fn about(self) -> &'static About {
        match self {
            Self::Servers => &SERVERS,
            Self::Connections => &CONNECTIONS,
            Self::Processes => &PROCESSES,
            Self::Hosts => &HOSTS,
            Self::Interfaces => &INTERFACES,
            Self::Ended => &ENDED,
            Self::Sockets => &SOCKETS,
            Self::Dns => &DNS,
        }
    }

    /// Whether rows that are sorted by this go the other way round at first.
    pub fn is_reversed(self, key: Key) -> bool {
        let about = self.about();
        about.reverse && about.sorts.first().is_some_and(|(_, first)| *first == key)
    }

    /// What rows are sorted by when the title of a column is clicked.
    pub fn key(self, column: Column) -> Option<Key> {
        let key = column.key()?;
        let sorts = self.about().sorts;
        sorts.iter().any(|(_, known)| *known == key).then_some(key)
    }

    /// The tab with this number, from one on.
    pub fn numbered(number: char) -> Option<Self> {
        let place = number.to_digit(10)?.checked_sub(1)?;
        Self::ALL.get(usize::try_from(place).ok()?).copied()
    }

    /// The tab this number of places to the right, and around.
    pub fn beside(self, step: usize) -> Self {
        Self::ALL[(self as usize + step) % Self::ALL.len()]
    }
}

static SERVERS: About = About {
    name: "Servers",
    short: "Servers",
    rows: ("server", "servers"),
    field: Some(Field::Server),
    sheet: Sheet::of(Some(Field::Server)),
    essential: 9,
    sorts: &[
        ("rate of both directions", Key::Rate),
        ("state: worst first", Key::State),
        ("name", Key::Responder),
        ("protocol", Key::Proto),
        ("process", Key::Process),
        ("clients", Key::Clients),
        ("requests asked", Key::Asked),
        ("requests lost", Key::Lost),
        ("packets lost here", Key::Dropped),
        ("response time, median", Key::Response),
        ("response time, P95", Key::P95),
        ("round trip (QUIC)", Key::Rtt),
        ("oldest request that waits", Key::Wait),
        ("rate in", Key::OrigRate),
        ("rate out", Key::ReplyRate),
        ("bytes", Key::Bytes),
        ("packets", Key::Packets),
        ("age", Key::Age),
    ],
    reverse: false,
    keys: &[
        (Action::Help, "help"),
        (Action::Enter, "its connections"),
        (Action::Worst, "worst first"),
        (Action::Filter, "filter"),
        (Action::SortMenu, "sort"),
        (Action::Pause, "pause"),
        (Action::Leave, "quit"),
        (Action::GroupMenu, "port, subnet"),
        (Action::Window, "2/10/40 s"),
        (Action::Names, "names"),
        (Action::Copy, "copy"),
        (Action::Mouse, "mouse"),
    ],
    words: &[
        ("DEAD", "asked, but it answers nothing"),
        ("REFUSED", "an ICMP error came back"),
        ("DROPS", "this machine dropped some: a buffer was full"),
        ("LOSSY", "some requests were lost"),
        ("SLOW", "much slower than it was"),
        ("one-way", "no answer is expected"),
        ("ASKED", "requests: answered, lost, or waiting"),
        ("LOST", "the share of requests without an answer"),
        (
            "RESPONSE",
            "time of a request to its answer: half took less",
        ),
        (">3.1s", "never answered; the oldest request is 3.1 s old"),
        ("P95", "the same: 95 of 100 took less"),
        ("≥50ms", "at least that: several requests were open"),
        ("IN, OUT", "bit/s to the server, and from it"),
        ("NAME", "server name of QUIC, or DNS errors"),
    ],
};

static CONNECTIONS: About = About {
    name: "Connections",
    short: "Conns",
    rows: ("row", "rows"),
    field: None,
    sheet: Sheet::of(None),
    essential: 7,
    sorts: &[
        ("rate of both directions", Key::Rate),
        ("status", Key::Status),
        ("originator", Key::Originator),
        ("responder", Key::Responder),
        ("originator's rate", Key::OrigRate),
        ("responder's rate", Key::ReplyRate),
        ("requests asked", Key::Asked),
        ("requests lost", Key::Lost),
        ("packets lost here", Key::Dropped),
        ("response time, median", Key::Response),
        ("response time, P95", Key::P95),
        ("round trip (QUIC)", Key::Rtt),
        ("oldest request that waits", Key::Wait),
        ("protocol", Key::Proto),
        ("process", Key::Process),
        ("age", Key::Age),
        ("idle time", Key::Idle),
        ("bytes", Key::Bytes),
        ("packets", Key::Packets),
        ("first reply", Key::FirstReply),
    ],
    reverse: false,
    keys: &[
        (Action::Help, "help"),
        (Action::Enter, "details"),
        (Action::Filter, "filter"),
        (Action::SortMenu, "sort"),
        (Action::Unanswered, "no answer"),
        (Action::Pause, "pause"),
        (Action::Leave, "quit"),
        (Action::Window, "2/10/40 s"),
        (Action::Trace, "trace"),
        (Action::Names, "names"),
        (Action::Freeze, "keep order"),
        (Action::Copy, "copy"),
        (Action::Mouse, "mouse"),
    ],
    words: &[
        ("UNREPLIED", "the responder has not answered yet"),
        ("REPLIED", "both ends have sent"),
        ("ASSURED", "replied, and still traffic after 2 s"),
        ("UNREACH >", "an ICMP error: the responder was not reached"),
        ("UNREACH <", "the same for the originator"),
        ("dig x12", "exchanges that are over; Enter opens the row"),
        (
            "RESPONSE",
            "time of a request to its answer: half took less",
        ),
        (">3.1s", "never answered; the oldest request is 3.1 s old"),
        ("≥50ms", "at least that: several requests were open"),
        ("WAITING", "how long the oldest request has waited"),
        ("?", "the roles of the ends are guessed"),
        ("trace", "first packets and ends; -e new,data,end for all"),
    ],
};

static PROCESSES: About = About {
    name: "Processes",
    short: "Procs",
    rows: ("program", "programs"),
    field: Some(Field::Process),
    sheet: Sheet::of(Some(Field::Process)),
    essential: 8,
    sorts: &[
        ("rate of both directions", Key::Rate),
        ("name", Key::Responder),
        ("connections", Key::Connections),
        ("rate in", Key::OrigRate),
        ("rate out", Key::ReplyRate),
        ("requests asked", Key::Asked),
        ("requests lost", Key::Lost),
        ("packets lost here", Key::Dropped),
        ("response time, median", Key::Response),
        ("response time, P95", Key::P95),
        ("round trip (QUIC)", Key::Rtt),
        ("oldest request that waits", Key::Wait),
        ("bytes", Key::Bytes),
        ("packets", Key::Packets),
        ("age", Key::Age),
    ],
    reverse: false,
    keys: &[
        (Action::Help, "help"),
        (Action::Enter, "its connections, with process ids"),
        (Action::Filter, "filter"),
        (Action::SortMenu, "sort"),
        (Action::Pause, "pause"),
        (Action::Leave, "quit"),
        (Action::Window, "2/10/40 s"),
        (Action::Copy, "copy"),
        (Action::Mouse, "mouse"),
    ],
    words: &[
        ("unknown", "the process is not known"),
        ("forwarded", "neither end is on this machine"),
        ("IN, OUT", "bit/s that it receives, and sends"),
    ],
};

static HOSTS: About = About {
    name: "Hosts",
    short: "Hosts",
    rows: ("host", "hosts"),
    field: Some(Field::Host),
    sheet: Sheet::of(Some(Field::Host)),
    essential: 8,
    sorts: &[
        ("rate of both directions", Key::Rate),
        ("address", Key::Responder),
        ("connections", Key::Connections),
        ("rate in", Key::OrigRate),
        ("rate out", Key::ReplyRate),
        ("bytes", Key::Bytes),
        ("packets", Key::Packets),
        ("age", Key::Age),
    ],
    reverse: false,
    keys: &[
        (Action::Help, "help"),
        (Action::Enter, "its connections"),
        (Action::Filter, "filter"),
        (Action::SortMenu, "sort"),
        (Action::Pause, "pause"),
        (Action::Leave, "quit"),
        (Action::Window, "2/10/40 s"),
        (Action::Names, "names"),
        (Action::Copy, "copy"),
        (Action::Mouse, "mouse"),
    ],
    words: &[
        ("IN, OUT", "bit/s that the host receives, and sends"),
        ("IN BYTES", "bytes received in all"),
        ("OUT BYTES", "bytes sent in all, lost here or not"),
    ],
};

static INTERFACES: About = About {
    name: "Interfaces",
    short: "Ifaces",
    rows: ("hook", "hooks"),
    field: None,
    sheet: &listing::HOOKS,
    essential: 10,
    sorts: &[],
    reverse: false,
    keys: &[
        (Action::Help, "help"),
        (Action::Enter, "what was skipped, and why"),
        (Action::Pause, "pause"),
        (Action::Leave, "quit"),
        (Action::Window, "2/10/40 s"),
        (Action::Mouse, "mouse"),
    ],
    words: &[
        ("RATE", "bit/s of what was tracked"),
        ("SEEN", "packets, always TRACKED + SKIPPED"),
        ("TRACKED", "packets of connections; BYTES are theirs"),
        ("SKIPPED", "packets of no connection: Enter says why"),
        ("NO ROOM", "of those, packets of new connections that found"),
        ("", "the table full: --max-connections"),
    ],
};

static ENDED: About = About {
    name: "Ended",
    short: "Ended",
    rows: ("ended connection", "ended connections"),
    field: None,
    sheet: &listing::ENDED,
    essential: 8,
    sorts: &[
        ("when it ended", Key::Idle),
        ("status", Key::Status),
        ("originator", Key::Originator),
        ("responder", Key::Responder),
        ("response time, median", Key::Response),
        ("process", Key::Process),
        ("how long it lasted", Key::Age),
        ("bytes", Key::Bytes),
        ("packets", Key::Packets),
    ],
    reverse: true,
    keys: &[
        (Action::Help, "help"),
        (Action::Enter, "details"),
        (Action::Filter, "filter"),
        (Action::SortMenu, "sort"),
        (Action::Pause, "pause"),
        (Action::Leave, "quit"),
        (Action::Names, "names"),
        (Action::Copy, "copy"),
        (Action::Mouse, "mouse"),
    ],
    words: &[
        ("IDLE", "no traffic for its timeout"),
        ("UNREACH", "an ICMP error, and nothing after it"),
        ("EVICTED", "ended early: the table was filling up"),
        ("AT", "its latest packet"),
        ("LASTED", "from the first packet to the latest"),
    ],
};

static SOCKETS: About = About {
    name: "Sockets",
    short: "Sockets",
    rows: ("socket", "sockets"),
    field: None,
    sheet: &listing::SOCKETS,
    essential: 8,
    sorts: &[],
    reverse: false,
    keys: &[
        (Action::Help, "help"),
        (Action::Enter, "what to do"),
        (Action::Pause, "pause"),
        (Action::Leave, "quit"),
        (Action::Mouse, "mouse"),
    ],
    words: &[
        ("NOW, MOST", "how full the receive buffer is, and was seen"),
        ("DROPS/S", "datagrams that found it full, and others"),
        ("NEW DROPS", "since this view was opened"),
        ("ALL DROPS", "since the socket was opened"),
        ("WHAT TO DO", "Enter shows all of it"),
    ],
};

static DNS: About = About {
    name: "DNS",
    short: "DNS",
    rows: ("DNS server", "DNS servers"),
    field: Some(Field::Server),
    sheet: &listing::DNS,
    essential: 7,
    sorts: &[
        ("queries", Key::Queries),
        ("share of answers that fail", Key::Failed),
        ("name", Key::Responder),
        ("clients", Key::Clients),
        ("queries lost", Key::Lost),
        ("response time, median", Key::Response),
        ("response time, P95", Key::P95),
    ],
    reverse: false,
    keys: &[
        (Action::Help, "help"),
        (Action::Enter, "its names"),
        (Action::Filter, "filter"),
        (Action::SortMenu, "sort"),
        (Action::Pause, "pause"),
        (Action::Leave, "quit"),
        (Action::Copy, "copy"),
        (Action::Mouse, "mouse"),
    ],
    words: &[
        ("NOERROR", "the share of answers without an error"),
        ("NXDOMAIN", "answers: no such name"),
        ("SERVFAIL", "answers: the server could not find it"),
        ("REFUSED", "answers: the server refuses to say"),
        ("FAILED", "the share of answers with an error"),
        ("LOST", "the share of queries without an answer"),
        ("not seen", "DNS over TCP, TLS (DoT) and HTTPS (DoH)"),
    ],
};
