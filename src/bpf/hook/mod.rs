//! Attaches programs: the hook and the slot of each interface, and how to detach.

pub(in crate::bpf) mod attach;
pub(in crate::bpf) mod choice;
pub(in crate::bpf) mod clsact;
pub(in crate::bpf) mod hooks;
pub(in crate::bpf) mod needs;
pub(in crate::bpf) mod slots;
