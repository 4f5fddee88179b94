//! Connections: their names, what is known of them, the table, and the books.
//!
//! Depends on no other room and does no I/O; the clock is passed in. Inside, key <- record <- books, table.

mod books;
mod key;
mod record;

pub use books::{Books, Direction, HookBooks, Report, Skip};
pub use key::{ConnectionId, Ifindex, Vlans};
pub use record::{Counts, EndReason, Event, EventKind, Sample, Status};
