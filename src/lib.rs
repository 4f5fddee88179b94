//! Tracks every UDP connection that crosses a Linux interface.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod app;
pub mod bpf;
pub mod cli;
pub mod connection;
pub mod export;
pub mod filter;
pub mod interface;
pub mod listing;
pub mod names;
pub mod output;
pub mod process;
pub mod services;
pub mod view;
