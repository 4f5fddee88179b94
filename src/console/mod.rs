//! Standard output and standard error of the process: messages, and text that is written once.

mod messages;
mod stderr;
mod stdout;

pub use messages::say;
pub(crate) use messages::{HeldMessages, note, take_messages};
pub(crate) use stderr::Stderr;
pub(crate) use stdout::{Stdout, can_wait, ignore_closed_pipe, is_stdout_closed, named};
