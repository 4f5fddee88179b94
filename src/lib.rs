//! Tracks UDP connections: what is known of them, and how it is written down.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod connection;
pub mod output;
