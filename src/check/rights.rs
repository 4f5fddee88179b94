//! Which rights this process has, and which it needs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use caps::{CapSet, Capability, CapsHashSet};

use super::machine::Machine;
use crate::bpf;

/// What loading and attaching take.
const NEEDED: [Capability; 3] = [
    Capability::CAP_BPF,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_PERFMON,
];
/// Inode of the first user namespace (`PROC_USER_INIT_INO`, `include/linux/proc_ns.h`).
const INITIAL_USERS: u64 = 0xefff_fffd;

impl Machine {
    pub(super) fn look_at_rights(&mut self) {
        let held = caps::read(None, CapSet::Effective).unwrap_or_default();
        let names = |rights: Vec<Capability>| -> Vec<String> {
            rights
                .iter()
                .map(|right| right.to_string().to_lowercase())
                .collect()
        };
        let of_interest = NEEDED.into_iter().chain([Capability::CAP_SYS_ADMIN]);
        self.capabilities = names(of_interest.filter(|right| held.contains(right)).collect());
        self.missing_capabilities = names(missing(&held));
        if !self.missing_capabilities.is_empty() {
            let text = format!("missing: {}", self.missing_capabilities.join(", "));
            self.findings.problem("rights", text, &way_out());
        } else if is_confined() {
            self.findings.problem(
                "rights",
                "this is a user namespace (a container without root): its rights are not valid for eBPF",
                "Run udptrack outside of it",
            );
        } else {
            let text = format!(
                "{}; a run keeps only cap_bpf and cap_net_admin",
                self.capabilities.join(", ")
            );
            self.findings.ok("rights", text);
        }
        if let Some(0) = self.unprivileged_bpf_disabled {
            self.findings.note(
                "unprivileged",
                "every user may load eBPF programs; udptrack does not need that",
                "sysctl kernel.unprivileged_bpf_disabled=1",
            );
        }
    }

    /// Whether rights are there, as far as that can be told.
    pub(super) fn has_rights(&self) -> bool {
        self.missing_capabilities.is_empty()
    }
}

/// What is missing. `CAP_SYS_ADMIN` is as good as the two that were once a part of it.
fn missing(held: &CapsHashSet) -> Vec<Capability> {
    let is_replaced = |right: &Capability| {
        *right != Capability::CAP_NET_ADMIN && held.contains(&Capability::CAP_SYS_ADMIN)
    };
    NEEDED
        .into_iter()
        .filter(|right| !held.contains(right) && !is_replaced(right))
        .collect()
}

fn is_confined() -> bool {
    fs::metadata("/proc/self/ns/user").is_ok_and(|it| it.ino() != INITIAL_USERS)
}

fn way_out() -> String {
    format!(
        "Run udptrack as root (sudo), or give it the capabilities once: sudo setcap cap_bpf,cap_net_admin,cap_perfmon+ep \
         {}",
        bpf::program_path()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(rights: &[Capability]) -> CapsHashSet {
        rights.iter().copied().collect()
    }

    #[test]
    fn each_missing_right_is_named() {
        assert_eq!(missing(&set(&[])), NEEDED);
        assert_eq!(missing(&set(&NEEDED)), []);
        assert_eq!(
            missing(&set(&[Capability::CAP_BPF, Capability::CAP_NET_ADMIN])),
            [Capability::CAP_PERFMON]
        );
        assert_eq!(
            missing(&set(&[Capability::CAP_SYS_ADMIN])),
            [Capability::CAP_NET_ADMIN]
        );
    }
}
