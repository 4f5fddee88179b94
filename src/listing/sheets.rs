//! Which columns each table has, in which order, and which of them are needed most: one list for text tables and the live view.

use super::Key;
use super::columns::Column::{
    self, Address, Advice, Age, Answers, Asked, Buffer, Bytes, Clients, Code, Connections,
    Direction, DropRate, Dropped, Drops, Failed, Fill, FillMost, FirstReply, Group, Hook, Idle,
    InBytes, InPackets, InRate, InSkipped, Interface, Lasted, Lost, Max, Name, NewDrops, OrigBytes,
    OrigPackets, OrigRate, Originator, OutBytes, OutPackets, OutRate, OutSkipped, P95, PacketRate,
    Packets, Peer, Process, Proto, Queries, Rate, Reason, Refused, ReplyBytes, ReplyPackets,
    ReplyRate, Responder, Response, Retries, RoundTrip, Seen, Skipped, State, Status, Tracked,
    Truncated, Waiting, When,
};
use crate::model::Field;

/// The columns of a table.
#[derive(Debug)]
pub struct Sheet {
    /// From left to right.
    pub order: &'static [Column],
    /// Of these what is worth a place on a screen, the most needed first. The others are shown where there is room for all, or where rows
    /// are sorted by them.
    pub need: &'static [Column],
}

impl Sheet {
    /// That of connections, or of the groups by a field.
    #[must_use]
    pub const fn of(by: Option<Field>) -> &'static Self {
        match by {
            None => &CONNECTIONS,
            Some(Field::Server | Field::Port | Field::Subnet | Field::Proto) => &SERVERS,
            Some(Field::Process) => &PROGRAMS,
            Some(Field::Host | Field::Originator) => &HOSTS,
            Some(Field::Interface) => &INTERFACES,
        }
    }

    /// The columns that show what rows are sorted by. A connection has no state of its own: what it lost stands for it.
    #[must_use]
    pub fn sorted_by(&self, key: Key) -> Vec<Column> {
        let has_state = self.order.contains(&State);
        let shown = if key == Key::State && !has_state {
            Key::Lost
        } else {
            key
        };
        let columns = self.order.iter().copied();
        columns.filter(|one| one.is_sorted_by(shown)).collect()
    }
}

/// A row for each connection.
static CONNECTIONS: Sheet = Sheet {
    order: &[
        Status,
        Interface,
        Originator,
        Responder,
        Proto,
        Name,
        OrigRate,
        ReplyRate,
        Asked,
        Lost,
        Dropped,
        Response,
        P95,
        Waiting,
        RoundTrip,
        Process,
        Age,
        Idle,
        OrigPackets,
        OrigBytes,
        ReplyPackets,
        ReplyBytes,
        FirstReply,
    ],
    need: &[
        Responder,
        OrigRate,
        ReplyRate,
        Response,
        Process,
        Originator,
        Status,
        Proto,
        Interface,
        Age,
        Lost,
        OrigBytes,
        ReplyBytes,
        Name,
        Dropped,
        Idle,
        Waiting,
        Asked,
        FirstReply,
        OrigPackets,
        ReplyPackets,
        RoundTrip,
    ],
};

/// Groups that are asked: who answers comes first.
static SERVERS: Sheet = Sheet {
    order: &[
        State,
        Group,
        Proto,
        Name,
        Process,
        Clients,
        Connections,
        Asked,
        Lost,
        Failed,
        Dropped,
        Response,
        P95,
        Max,
        Waiting,
        Retries,
        RoundTrip,
        InRate,
        OutRate,
        InPackets,
        InBytes,
        OutPackets,
        OutBytes,
        Age,
        Idle,
    ],
    need: &[
        Group,
        State,
        Response,
        Lost,
        InRate,
        OutRate,
        Process,
        Proto,
        Name,
        Asked,
        P95,
        Clients,
        Dropped,
        Failed,
        Waiting,
        RoundTrip,
        Connections,
        InBytes,
        OutBytes,
        Age,
    ],
};

/// Programs: who sends much comes first.
static PROGRAMS: Sheet = Sheet {
    order: &[
        Group,
        State,
        Connections,
        InRate,
        OutRate,
        Asked,
        Lost,
        Dropped,
        Response,
        P95,
        Max,
        Waiting,
        Retries,
        InPackets,
        InBytes,
        OutPackets,
        OutBytes,
        Clients,
        Age,
        Idle,
    ],
    need: &[
        Group,
        InRate,
        OutRate,
        Connections,
        Response,
        Lost,
        Dropped,
        InBytes,
        OutBytes,
        Asked,
        P95,
        InPackets,
        OutPackets,
        Waiting,
        Age,
    ],
};

/// Addresses, of either end or of originators.
static HOSTS: Sheet = Sheet {
    order: &[
        Group,
        State,
        Connections,
        InRate,
        OutRate,
        InPackets,
        InBytes,
        OutPackets,
        OutBytes,
        Asked,
        Lost,
        Dropped,
        Response,
        P95,
        Max,
        Waiting,
        Retries,
        Clients,
        Process,
        Age,
        Idle,
    ],
    need: &[
        Group,
        InRate,
        OutRate,
        InBytes,
        OutBytes,
        Connections,
        InPackets,
        OutPackets,
        Dropped,
        Age,
    ],
};

/// What passed each interface, and what of it is in no connection.
static INTERFACES: Sheet = Sheet {
    order: &[
        Group,
        InRate,
        OutRate,
        InPackets,
        InBytes,
        InSkipped,
        OutPackets,
        OutBytes,
        OutSkipped,
        Connections,
    ],
    need: &[
        Group,
        InRate,
        OutRate,
        InBytes,
        OutBytes,
        InPackets,
        OutPackets,
        InSkipped,
        OutSkipped,
        Connections,
    ],
};

/// The books of each hook.
pub static HOOKS: Sheet = Sheet {
    order: &[
        Interface, Direction, Rate, PacketRate, Seen, Tracked, Skipped, Refused, Bytes, Hook,
    ],
    need: &[
        Interface, Direction, Rate, PacketRate, Tracked, Skipped, Refused, Seen, Bytes, Hook,
    ],
};

/// Connections that are no more.
pub static ENDED: Sheet = Sheet {
    order: &[
        When, Reason, Status, Interface, Originator, Responder, Proto, Name, Bytes, Packets,
        Dropped, Response, Process, Lasted,
    ],
    need: &[
        Responder, Reason, When, Bytes, Status, Originator, Lasted, Process, Proto, Packets,
        Response, Name, Dropped, Interface,
    ],
};

/// A row for each socket: which one drops comes first.
pub static SOCKETS: Sheet = Sheet {
    order: &[
        Process, Address, Peer, Buffer, Fill, FillMost, DropRate, NewDrops, Drops, Advice,
    ],
    need: &[
        Address, Process, DropRate, FillMost, NewDrops, Fill, Drops, Advice, Buffer, Peer,
    ],
};

/// Servers of DNS, or the programs that ask them.
pub static DNS: Sheet = Sheet {
    order: &[
        Group,
        Clients,
        Queries,
        Answers,
        NO_ERROR,
        NX_DOMAIN,
        SERV_FAIL,
        REFUSED,
        FORM_ERR,
        NOT_IMP,
        OTHER_CODES,
        Failed,
        Truncated,
        Retries,
        Lost,
        Response,
        P95,
        Max,
    ],
    need: &[
        Group,
        Queries,
        NX_DOMAIN,
        SERV_FAIL,
        Lost,
        Response,
        NO_ERROR,
        P95,
        REFUSED,
        Answers,
        Failed,
        Retries,
        Truncated,
        Max,
        FORM_ERR,
        NOT_IMP,
        OTHER_CODES,
        Clients,
    ],
};

const NO_ERROR: Column = Code(0);
const FORM_ERR: Column = Code(1);
const SERV_FAIL: Column = Code(2);
const NX_DOMAIN: Column = Code(3);
const NOT_IMP: Column = Code(4);
const REFUSED: Column = Code(5);
const OTHER_CODES: Column = Code(6);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn sheets() -> impl Iterator<Item = (Option<Field>, &'static Sheet)> {
        let by = Field::ALL.into_iter().map(Some).chain([None]);
        let of = by.map(|by| (by, Sheet::of(by)));
        of.chain([(None, &HOOKS), (None, &ENDED), (Some(Field::Server), &DNS)])
    }

    #[test]
    fn each_column_stands_once_in_a_table_and_under_a_title_of_its_own() {
        for (by, sheet) in sheets() {
            let all: HashSet<_> = sheet.order.iter().collect();
            assert_eq!(all.len(), sheet.order.len());
            let needed: HashSet<_> = sheet.need.iter().collect();
            assert_eq!(needed.len(), sheet.need.len());
            assert!(needed.is_subset(&all), "{:?}", needed.difference(&all));
            for is_short in [false, true] {
                let title = |column: &Column| column.title(by, is_short);
                let titles: HashSet<_> = sheet.order.iter().map(title).collect();
                assert_eq!(titles.len(), sheet.order.len(), "{titles:?}");
            }
        }
    }

    #[test]
    fn what_rows_are_sorted_by_is_shown() {
        let connections = Sheet::of(None);
        assert_eq!(connections.sorted_by(Key::Rate), [OrigRate, ReplyRate]);
        assert_eq!(connections.sorted_by(Key::Bytes), [OrigBytes, ReplyBytes]);
        assert_eq!(connections.sorted_by(Key::State), [Lost]);
        let servers = Sheet::of(Some(Field::Port));
        assert_eq!(servers.sorted_by(Key::State), [State]);
        assert_eq!(servers.sorted_by(Key::Responder), [Group]);
        assert_eq!(ENDED.sorted_by(Key::Age), [Lasted]);
        assert_eq!(servers.sorted_by(Key::FirstReply), []);
    }
}
