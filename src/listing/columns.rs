//! The columns of tables: the only definition, for text tables and the live view. The title of a column and its sort key stand
//! here; which tables have it, in `sheets.rs`, and what is in its cells, in `values.rs`. How it is drawn is up to who draws it.

use super::Key;
use crate::model::{Field, RCODES};

/// A column of some table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Column {
    /// How far a connection has come.
    Status,
    /// How a server does, or another group.
    State,
    /// The interface that the packets cross.
    Interface,
    /// Who asks.
    Originator,
    /// Who is asked.
    Responder,
    /// What a group shares: a server, a program, a host.
    Group,
    /// What is spoken.
    Proto,
    /// Which server clients ask for by name.
    Name,
    /// Whose sockets the ends are.
    Process,
    /// Addresses of the originators of a group.
    Clients,
    /// How many connections a group has.
    Connections,
    /// Requests.
    Asked,
    /// The share of them that no answer came to.
    Lost,
    /// Packets that this machine dropped behind the hooks, for want of room or for any other reason.
    Dropped,
    /// Median of the response times; before the first answer, how long the oldest request has waited.
    Response,
    /// What 95 % of the response times did not exceed.
    P95,
    /// The longest response time.
    Max,
    /// Median of the round trips of QUIC, as its spin bit shows them; of a group that of its connections.
    RoundTrip,
    /// Requests that repeated the one before.
    Retries,
    /// How long the oldest request has waited.
    Waiting,
    /// From originator to responder.
    OrigRate,
    /// And back.
    ReplyRate,
    /// What a group receives.
    InRate,
    /// What it sends.
    OutRate,
    /// Packets from the originator.
    OrigPackets,
    /// Their bytes.
    OrigBytes,
    /// Packets from the responder.
    ReplyPackets,
    /// Their bytes.
    ReplyBytes,
    /// Packets that a group received.
    InPackets,
    /// Their bytes.
    InBytes,
    /// Packets that an interface received and that are in no connection.
    InSkipped,
    /// Packets that a group sent.
    OutPackets,
    /// Their bytes.
    OutBytes,
    /// Packets that an interface sent and that are in no connection.
    OutSkipped,
    /// Packets of both directions.
    Packets,
    /// Their bytes.
    Bytes,
    /// From the first packet to the first reply.
    FirstReply,
    /// Since the first packet.
    Age,
    /// From the first packet to the latest.
    Lasted,
    /// Since the latest packet.
    Idle,
    /// Why a connection ended.
    Reason,
    /// When its latest packet came.
    When,
    /// Of a hook: in or out.
    Direction,
    /// By which program it sees the packets.
    Hook,
    /// How fast what it tracked came.
    Rate,
    /// The same in packets.
    PacketRate,
    /// Packets that it saw.
    Seen,
    /// Of these, those of connections.
    Tracked,
    /// The others.
    Skipped,
    /// Of the others, those of new connections that found no room.
    Refused,
    /// What a socket is bound to.
    Address,
    /// What it is connected to.
    Peer,
    /// Bytes that its receive buffer has room for.
    Buffer,
    /// How full that is.
    Fill,
    /// How full it was seen at most.
    FillMost,
    /// Datagrams that it drops a second.
    DropRate,
    /// Datagrams that it dropped since the first look.
    NewDrops,
    /// The same since it was opened.
    Drops,
    /// What to do about that.
    Advice,
    /// DNS queries.
    Queries,
    /// DNS answers.
    Answers,
    /// Of these, those with a code, by its place in [`RCODES`]; of the first one, which is no failure, the share.
    Code(usize),
    /// The share of DNS answers that say an error.
    Failed,
    /// DNS answers that were cut.
    Truncated,
}

use Column::{
    Address, Advice, Age, Answers, Asked, Buffer, Bytes, Clients, Code, Connections, Direction,
    DropRate, Dropped, Drops, Failed, Fill, FillMost, FirstReply, Group, Hook, Idle, InBytes,
    InPackets, InRate, InSkipped, Interface, Lasted, Lost, Max, Name, NewDrops, OrigBytes,
    OrigPackets, OrigRate, Originator, OutBytes, OutPackets, OutRate, OutSkipped, P95, PacketRate,
    Packets, Peer, Process, Proto, Queries, Rate, Reason, Refused, ReplyBytes, ReplyPackets,
    ReplyRate, Responder, Response, Retries, RoundTrip, Seen, Skipped, State, Status, Tracked,
    Truncated, Waiting, When,
};

impl Column {
    /// The title of a table whose rows are grouped by `by`; a short one where there is little room.
    #[must_use]
    pub fn title(self, by: Option<Field>, is_short: bool) -> &'static str {
        match self {
            Status => "STATUS",
            State => "STATE",
            Interface if is_short => "IFACE",
            Interface => "INTERFACE",
            Originator => "ORIGINATOR",
            Responder => "RESPONDER",
            Group => by.map_or("", shared),
            Proto => "PROTO",
            Name => "NAME",
            Process => "PROCESS",
            Clients => "CLIENTS",
            Connections => "CONNS",
            Asked => "ASKED",
            Lost => "LOST",
            Dropped => "LOST HERE",
            Response => "RESPONSE",
            P95 => "P95",
            Max => "MAX",
            RoundTrip => "RTT",
            Retries => "RETRIES",
            Waiting => "WAITING",
            OrigRate if is_short => "ORIG",
            OrigRate => "ORIG RATE",
            ReplyRate if is_short => "REPLY",
            ReplyRate => "REPLY RATE",
            InRate if is_short => "IN",
            InRate => "IN RATE",
            OutRate if is_short => "OUT",
            OutRate => "OUT RATE",
            OrigPackets => "ORIG PKTS",
            OrigBytes => "ORIG BYTES",
            ReplyPackets => "REPLY PKTS",
            ReplyBytes => "REPLY BYTES",
            InPackets => "IN PKTS",
            InBytes => "IN BYTES",
            InSkipped => "IN SKIPPED",
            OutPackets => "OUT PKTS",
            OutBytes => "OUT BYTES",
            OutSkipped => "OUT SKIPPED",
            Packets => "PACKETS",
            Bytes => "BYTES",
            FirstReply => "FIRST REPLY",
            Age => "AGE",
            Lasted => "LASTED",
            Idle => "IDLE",
            Reason => "ENDED",
            When => "AT",
            Direction => "",
            Hook => "HOOK",
            Rate => "RATE",
            PacketRate => "PKT/S",
            Seen => "SEEN",
            Tracked => "TRACKED",
            Skipped => "SKIPPED",
            Refused => "NO ROOM",
            Address => "ADDRESS",
            Peer => "PEER",
            Buffer => "BUFFER",
            Fill => "NOW",
            FillMost => "MOST",
            DropRate => "DROPS/S",
            NewDrops => "NEW DROPS",
            Drops => "ALL DROPS",
            Advice => "WHAT TO DO",
            Queries => "QUERIES",
            Answers => "ANSWERS",
            Code(code) if code + 1 == RCODES.len() => "OTHER",
            Code(code) => RCODES.get(code).copied().unwrap_or_default(),
            Failed => "FAILED",
            Truncated => "TRUNCATED",
        }
    }

    /// Numbers stand at the right of their column, words at the left.
    #[must_use]
    pub fn is_number(self) -> bool {
        !matches!(
            self,
            Status
                | State
                | Interface
                | Originator
                | Responder
                | Group
                | Proto
                | Name
                | Process
                | Reason
                | Direction
                | Hook
                | Address
                | Peer
                | Advice
        )
    }

    /// What a row is known by: no table is without it.
    #[must_use]
    pub fn is_identity(self) -> bool {
        matches!(self, Originator | Responder | Group)
    }

    /// What rows are sorted by who want them by this column.
    #[must_use]
    pub fn key(self) -> Option<Key> {
        Some(match self {
            Status => Key::Status,
            State => Key::State,
            Originator => Key::Originator,
            Responder | Group => Key::Responder,
            Proto => Key::Proto,
            Process => Key::Process,
            Clients => Key::Clients,
            Connections => Key::Connections,
            Asked => Key::Asked,
            Lost => Key::Lost,
            Dropped => Key::Dropped,
            Response => Key::Response,
            P95 => Key::P95,
            RoundTrip => Key::Rtt,
            Waiting => Key::Wait,
            OrigRate | InRate => Key::OrigRate,
            ReplyRate | OutRate => Key::ReplyRate,
            OrigPackets | ReplyPackets | InPackets | OutPackets | Packets => Key::Packets,
            OrigBytes | ReplyBytes | InBytes | OutBytes | Bytes => Key::Bytes,
            FirstReply => Key::FirstReply,
            Queries => Key::Queries,
            Failed => Key::Failed,
            Age | Lasted => Key::Age,
            Idle | When => Key::Idle,
            Interface | Name | Max | Retries | InSkipped | OutSkipped | Reason | Direction
            | Hook | Rate | PacketRate | Seen | Tracked | Skipped | Refused | Address | Peer
            | Buffer | Fill | FillMost | DropRate | NewDrops | Drops | Advice | Answers
            | Code(_) | Truncated => return None,
        })
    }

    /// Whether it shows what rows are sorted by.
    #[must_use]
    pub fn is_sorted_by(self, key: Key) -> bool {
        match key {
            Key::Rate => matches!(self, OrigRate | ReplyRate | InRate | OutRate),
            key => self.key() == Some(key),
        }
    }
}

/// What the rows of a group share.
fn shared(by: Field) -> &'static str {
    match by {
        Field::Server => "SERVER",
        Field::Process => "PROGRAM",
        Field::Host => "HOST",
        Field::Interface => "INTERFACE",
        Field::Port => "PORT",
        Field::Subnet => "SUBNET",
        Field::Proto => "PROTOCOL",
        Field::Originator => "ORIGINATOR",
    }
}
