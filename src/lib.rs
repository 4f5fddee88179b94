//! Tracks every UDP connection that crosses a Linux interface, exactly.
//!
//! A [`Tracker`] is the kernel half: eBPF programs that count each packet to its connection, in a table that they share with this process.
//! [`attach()`] puts them on an interface, a tick walks over the table and ends what is idle, and a [`Table`] makes of walk after
//! walk what a user wants to know of a [`Connection`]: rates, response times. The program `udptrack` is made of nothing else; a
//! [`Reader`] sees the connections of one that runs.
//!
//! The ten connections that moved most in ten seconds (as root):
//!
//! ```no_run
//! use std::{thread::sleep, time::Duration};
//! use udptrack::{Request, Settings, Timeouts, Tracker, attach, clock, interface};
//!
//! fn main() -> anyhow::Result<()> {
//!     let eth0 = interface::select(&["eth0".to_owned()])?.remove(0);
//!     let settings = Settings {
//!         interfaces: vec![eth0.index],
//!         ..Settings::default()
//!     };
//!     let mut tracker = Tracker::load(&settings)?;
//!     let mut table = tracker.table(Timeouts::default());
//!     let attachment = attach(&tracker, &eth0, Request::default())?;
//!     for _ in 0..10 {
//!         sleep(Duration::from_secs(1));
//!         // What has ended is out of the table, and given here.
//!         for ended in tracker.tick(&mut table, clock::monotonic_ns()?)? {
//!             println!("{} is over: {}", ended.sample.originator, ended.reason);
//!         }
//!     }
//!     drop(attachment); // takes the programs off
//!     let mut connections: Vec<_> = table.iter().collect();
//!     connections.sort_by_key(|connection| std::cmp::Reverse(connection.sample.total().bytes));
//!     for connection in connections.iter().take(10) {
//!         let sample = &connection.sample;
//!         println!("{} -> {}: {} bytes", sample.originator, sample.responder, sample.total().bytes);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! What the program itself is made of beside that (command line, outputs, the live view) is public to it alone. Leave it out:
//! `udptrack = { version = "0.1", default-features = false }`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod alert;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod app;
pub mod bpf;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod check;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod clock;
pub mod connection;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod export;
pub mod filter;
pub mod interface;
mod link;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod listing;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod names;
#[cfg(feature = "cli")]
mod netfilter;
mod netlink;
pub mod netns;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod output;
#[doc(hidden)]
pub mod process;
#[doc(hidden)]
pub mod services;
#[doc(hidden)]
pub mod text;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod view;

pub use bpf::{Attachment, Reader, Request, Settings, Tracker, attach, detach};
pub use connection::{Connection, Sample, Table, Timeouts};
