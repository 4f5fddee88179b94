//! Runs that others find: a folder of the bpffs for each, who may use it, and how a pinned one is resumed.

pub(in crate::bpf) mod folders;
pub(in crate::bpf) mod locks;
pub(in crate::bpf) mod pins;
pub(in crate::bpf) mod resume;
