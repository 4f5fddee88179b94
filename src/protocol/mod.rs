//! Which protocol a connection speaks, told by its first datagrams. docs/protocols.md says which, by what and in which order.
//!
//! All that is heard is hostile input: nothing here panics, allocates, or keeps a byte of it but numbers that are compared. No I/O.
//! Inside, datagram <- fit <- one file for each protocol <- `recognizer`.

mod datagram;
pub mod quic;
mod recognizer;

pub use datagram::Datagram;
pub use recognizer::Recognizer;
