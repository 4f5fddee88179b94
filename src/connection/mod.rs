//! Connections: their names, what is known of them, the table, and the books.
//!
//! Depends on no other room and does no I/O; the clock is passed in. Inside, key, response <- record <- books, rates, gaps, expiry, facts,
//! source, `place_map` <- table <- tick.

mod books;
mod elsewhere;
mod expiry;
mod facts;
mod gaps;
mod key;
mod place_map;
mod rates;
mod record;
mod response;
mod roles;
mod source;
mod table;
mod tick;

pub use books::{Books, Direction, HookBooks, Report, Skip};
pub use elsewhere::{answers as answers_from_elsewhere, is_to_many};
pub use expiry::{Expiry, Timeouts};
pub use facts::{Facts, Owner, Processes};
pub use gaps::{Gap, Gaps};
pub use key::{ConnectionId, Ifindex, Place, Vlans};
pub use place_map::PlaceMap;
pub use rates::{Rate, Rates, Step, Window};
pub use record::{
    Amendment, Change, Counts, End, EndReason, Event, EventKind, Role, Sample, Status,
};
pub use response::{BUCKETS as RESPONSE_BUCKETS, Response};
pub use roles::{Evidence, Predecessors, judge as judge_roles};
pub use source::{Samples, Source};
pub use table::{Connection, Grown, Sighting, Table, Walk};
pub use tick::{Ended, Tick};
