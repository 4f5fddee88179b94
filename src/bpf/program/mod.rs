//! Programs and their maps: loading, limits, the programs that user space runs itself, and verifier statistics.

pub(in crate::bpf) mod amend;
pub(in crate::bpf) mod filter;
pub(in crate::bpf) mod handles;
pub(in crate::bpf) mod limits;
pub(in crate::bpf) mod load;
pub(in crate::bpf) mod log;
pub(in crate::bpf) mod memory;
pub(in crate::bpf) mod open_files;
#[cfg(feature = "cli")]
pub mod probe;
pub(in crate::bpf) mod publish;
pub(in crate::bpf) mod refusal;
pub(in crate::bpf) mod replay;
pub(in crate::bpf) mod test_run;
pub(in crate::bpf) mod verifier;
