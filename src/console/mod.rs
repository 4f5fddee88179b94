//! Standard output and error of the process: lines that are said, and what is written once.

mod messages;
mod stderr;
mod stdout;

pub use messages::say;
pub(crate) use messages::{HeldMessages, note, take_messages};
pub(crate) use stderr::Stderr;
pub(crate) use stdout::{Stdout, can_wait, ignore_closed_pipe, is_stdout_closed, named};
