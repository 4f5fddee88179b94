//! The ideas that every room uses: connections, their table and the books, groups, services, and text for people.
//!
//! It uses no other room and does no I/O; the clock is an argument. Inside, text, services, protocol, name, key, response,
//! `round_trip`, `traffic_class`, family, hook, kinds, `sort_key` <- record <- dropped <- books, rates, gaps, expiry, facts, source, `place_map` <-
//! buffer, field, connection <- table <- tick, `new_drops` <- sink.

mod books;
mod buffer;
mod connection;
mod dns;
mod dropped;
mod elsewhere;
mod expiry;
mod facts;
mod family;
mod field;
mod gaps;
mod hook;
mod key;
mod kinds;
mod name;
mod new_drops;
mod place_map;
mod protocol;
mod quic;
mod rates;
mod record;
mod response;
mod roles;
mod round_trip;
pub mod services;
mod sink;
mod sort_key;
mod source;
mod table;
pub mod text;
mod tick;
mod traffic_class;
mod unread;

pub use books::{Books, Captured, Direction, HookBooks, Report, Skip};
pub use buffer::Buffer;
pub use connection::{Connection, Grown, Sighting};
pub use dns::{DNS_PORTS, DnsCounts, RCODES};
pub use dropped::{
    DropClass, Dropped, DroppedFor, DroppedWithoutRoom, add_dropped, by_class as dropped_by_class,
};
pub use elsewhere::{answers as answers_from_elsewhere, is_to_many};
pub use expiry::{Expiry, Timeouts};
pub use facts::{Facts, Owner, Processes};
pub use family::Family;
pub use field::{Field, Shared, Side};
pub use gaps::{Gap, Gaps};
pub use hook::{HookChoice, XdpMode};
pub use key::{ConnectionId, Ifindex, Place, Vlans};
pub use kinds::Kinds;
pub use name::Name;
pub use new_drops::NewDrops;
pub use place_map::PlaceMap;
pub use protocol::{Heard, Protocol, Spoken};
pub use quic::{QuicFacts, QuicId, QuicVersion};
pub use rates::{Rate, Rates, Step, Window};
pub use record::{
    Amendment, Change, Counts, End, EndReason, Event, EventKind, Role, Sample, Status,
};
pub use response::{BUCKETS as RESPONSE_BUCKETS, Response};
pub use roles::{Evidence, Predecessors, judge as judge_roles};
pub use round_trip::{Parts, RoundTrip, median};
pub use sink::Sink;
pub use sort_key::SortKey;
pub use source::{Samples, Source};
pub use table::{Table, Walk};
pub use tick::{Ended, Tick};
pub use traffic_class::TrafficClass;
pub use unread::UnreadPayloads;
