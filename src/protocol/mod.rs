//! Recognizes the protocol of a connection by its first datagrams. docs/protocols.md has the list of protocols, and the order.
//!
//! All that is heard is hostile input: nothing here panics, allocates, or keeps a byte of it but numbers that are compared. No I/O.
//! Inside, datagram, fit <- tell (one file for each protocol, or for a few of one family) <- recognizer. What QUIC says beyond its name
//! is read in `quic`, which allocates, within its bounds.

mod datagram;
mod fit;
pub mod quic;
mod recognizer;
mod tell;

pub use datagram::Datagram;
pub use recognizer::{Recognizer, prepares_media};
