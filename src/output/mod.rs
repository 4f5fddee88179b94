//! What udptrack writes: trace lines, text snapshots, JSON lines, and the summary of a run.
//!
//! Reads connections and books, changes neither. An output writes to the writer it is given and to nothing else;
//! buffering, locking and flushing at the right moment are its caller's.

mod clock;
mod community_id;
mod units;
mod visible;

pub use clock::{Clock, Stamp};
pub use community_id::CommunityId;
pub use units::{Bitrate, Bytes, Grouped, Span};
pub use visible::Visible;
