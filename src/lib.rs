//! Tracks every UDP connection that crosses a Linux interface, exactly.
//!
//! A [`Tracker`] attaches eBPF programs to interfaces. They count each packet to its connection, in a table that they share with
//! this process. Each tick updates the [`Table`]: packets and bytes of each [`Connection`], rates and response times. A connection
//! that has been silent for too long ends, and the tick returns it once.
//!
//! All connections of ten seconds (as root):
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
//!     println!("{} frames belong to no connection", books.seen.packets - books.tracked.packets);
//!     Ok(())
//! }
//! ```
//!
//! `examples/` has two programs. Most users need only this page. The hidden modules belong to the program and change with it. To
//! use the library without the program: `udptrack = { version = "0.1", default-features = false }`.

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
