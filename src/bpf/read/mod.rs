//! Reads the maps: connections, their ends, counters, drops, messages, sockets.

#[cfg(feature = "cli")]
pub(in crate::bpf) mod buffers;
pub(in crate::bpf) mod cells;
pub(in crate::bpf) mod counters;
pub(in crate::bpf) mod drops;
pub(in crate::bpf) mod ending;
pub(in crate::bpf) mod frames;
pub(in crate::bpf) mod grace;
pub(in crate::bpf) mod iterator;
pub(in crate::bpf) mod payload;
mod place;
pub(in crate::bpf) mod places;
pub(in crate::bpf) mod reader;
pub(in crate::bpf) mod reasons;
pub(in crate::bpf) mod record;
pub(in crate::bpf) mod requests;
pub(in crate::bpf) mod ring;
pub(in crate::bpf) mod sockets;
pub(in crate::bpf) mod spin;
pub(in crate::bpf) mod walks;
