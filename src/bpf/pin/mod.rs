//! Pinned runs: each has a folder in the bpffs; who may use it, and how to resume it.

pub(in crate::bpf) mod folders;
pub(in crate::bpf) mod locks;
pub(in crate::bpf) mod pins;
pub(in crate::bpf) mod resume;
