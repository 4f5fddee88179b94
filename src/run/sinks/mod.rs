//! Whom a run feeds: lines or the live view, exporters, alerts, and the servers of the last lines.

mod alerts;
mod commands;
mod display;
mod exports;
mod lines;
mod servers;

pub(super) use alerts::Alerting;
pub(super) use display::{Display, Taken};
pub(super) use exports::Exports;
pub(crate) use exports::try_out;
pub(crate) use lines::output;
pub(super) use lines::terminal_size;
pub(super) use servers::Servers;
