//! Where programs are attached: which hook an interface gets, the slot that it has, and how all come off again.

pub(in crate::bpf) mod attach;
pub(in crate::bpf) mod choice;
pub(in crate::bpf) mod clsact;
pub(in crate::bpf) mod hooks;
pub(in crate::bpf) mod slots;
