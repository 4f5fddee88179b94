//! Text for people: numbers with their units, and what strangers wrote, so that no control character of it reaches a terminal.

#[cfg(feature = "cli")]
mod closest;
mod units;
mod visible;

#[cfg(feature = "cli")]
pub use closest::closest;
pub use units::{Bitrate, Bytes, Grouped, Span};
pub use visible::{Visible, steers};
