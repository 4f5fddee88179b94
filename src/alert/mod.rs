//! Alerts: their rules, checked at each tick, and their messages.
//!
//! Counts come from what each connection did since the tick before, so connections that begin and end between two ticks are in
//! them. They are kept by group and second, for as long as a window is; so is how full buffers are. No I/O, and the clock is passed in.

mod expression;
mod measure;
mod notice;
mod rule;
mod signature;
mod watch;

pub use expression::Error;
pub use notice::Notice;
pub use rule::{Measure, NAMED, Rule};
pub use signature::Signature;
pub use watch::Alerts;
