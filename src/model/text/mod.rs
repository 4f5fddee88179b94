//! Text for people: numbers with their units, and what strangers wrote, so that no control character of it reaches a terminal.

mod units;
mod visible;

pub use units::{Bitrate, Bytes, Grouped, Span};
pub use visible::{Visible, steers};
