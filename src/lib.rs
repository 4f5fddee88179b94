//! Tracks every UDP connection that crosses a Linux interface, exactly.
//!
//! A [`Tracker`] puts eBPF programs on interfaces. They count each packet to its connection, in a table that they share with
//! this process. Each tick brings the [`Table`] up to date: what a user wants to know of a [`Connection`], rates and response
//! times with it. What has been silent for too long is ended, and told once.
//!
//! The connections that moved most in ten seconds (as root):
//!
//! ```no_run
//! use std::{thread::sleep, time::Duration};
//! use udptrack::{Error, Settings, Tracker};
//!
//! fn main() -> Result<(), Error> {
//!     let mut tracker = Tracker::start(&Settings::new().interface("eth0"))?;
//!     for _ in 0..10 {
//!         sleep(Duration::from_secs(1));
//!         for ended in tracker.tick()? {
//!             println!("{} is over: {}", ended.sample.originator, ended.reason);
//!         }
//!     }
//!     let (table, books) = tracker.stop()?;
//!     for connection in table.iter() {
//!         let sample = &connection.sample;
//!         println!("{} -> {}: {} bytes", sample.originator, sample.responder, sample.total().bytes);
//!     }
//!     println!("{} frames were no UDP, or not wanted", books.seen.packets - books.tracked.packets);
//!     Ok(())
//! }
//! ```
//!
//! Two programs stand in `examples/`. Most users need no more than this page has; what else is public here is the program's, and
//! changes with it. Leave the program out:
//! `udptrack = { version = "0.1", default-features = false }`.

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod alert;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod app;
#[doc(hidden)]
pub mod bpf;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod capture;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod check;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod clock;
#[cfg(feature = "cli")]
mod console;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod dns;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod export;
#[doc(hidden)]
pub mod filter;
#[doc(hidden)]
pub mod interface;
mod library;
mod link;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod listing;
pub mod model;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod names;
#[cfg(feature = "cli")]
mod netfilter;
mod netlink;
#[doc(hidden)]
pub mod netns;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod output;
#[cfg(feature = "cli")]
mod plan;
#[doc(hidden)]
pub mod process;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod protocol;
#[cfg(feature = "cli")]
mod run;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod sockets;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod view;

pub use library::{Error, ErrorKind, Settings, Tracker};
pub use model::{Books, Connection, Ended, Sample, Table, Timeouts};
