//! Why the kernel refuses to load a program, and the way out.

use anyhow::anyhow;
use caps::{CapSet, Capability};
use libbpf_rs::ErrorKind;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use crate::model::text::Visible;

/// Whether the kernel has refused something for missing rights.
#[must_use]
pub fn is_refused(error: &anyhow::Error) -> bool {
    use std::io::{Error, ErrorKind as Kind};
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<Error>().map(Error::kind);
        let libbpf = cause.downcast_ref::<libbpf_rs::Error>();
        io == Some(Kind::PermissionDenied)
            || libbpf.is_some_and(|error| error.kind() == ErrorKind::PermissionDenied)
    })
}

/// Where this program lies, for who gives it rights.
#[must_use]
pub fn program_path() -> String {
    std::env::current_exe().map_or_else(
        |_| "udptrack".to_owned(),
        |path| Visible(&path.to_string_lossy()).to_string(),
    )
}

/// The kernel's answer to a load, with the way out. `messages` are libbpf's, of all attempts.
pub(in crate::bpf) fn explain(error: libbpf_rs::Error, messages: &str) -> anyhow::Error {
    // Without CAP_PERFMON the verifier refuses what it else allows.
    let may_all = caps::has_cap(None, CapSet::Effective, Capability::CAP_PERFMON).unwrap_or(true);
    let refused_by_verifier = may_all && messages.contains("PROG LOAD LOG");
    let advice = match error.kind() {
        ErrorKind::PermissionDenied if !refused_by_verifier && lacks_memory_alone() => {
            "cannot load the eBPF programs: not permitted. Before Linux 5.11, the tables must fit into the limit of locked memory. Raise it: ulimit -l unlimited, or LimitMEMLOCK=infinity in a unit".to_owned()
        }
        ErrorKind::PermissionDenied if !refused_by_verifier => {
            format!(
                "cannot load the eBPF programs: not permitted. Run udptrack as root (sudo), or give the program the \
                 capabilities (sudo setcap cap_bpf,cap_net_admin,cap_perfmon+ep {})",
                program_path()
            )
        }
        ErrorKind::OutOfMemory => {
            "cannot load the eBPF programs: the kernel does not have enough memory for the tables. Choose a smaller \
             --max-connections or --max-ips, or raise the memory limit of this control group"
                .to_owned()
        }
        _ => {
            return anyhow!(
                "cannot load the eBPF programs into this kernel: {error}. libbpf says:\n{messages}"
            );
        }
    };
    anyhow::Error::new(error).context(advice)
}

/// Whether a kernel that has no other right to refuse counts tables as locked memory, of which there is a limit.
fn lacks_memory_alone() -> bool {
    let needed = [
        Capability::CAP_BPF,
        Capability::CAP_NET_ADMIN,
        Capability::CAP_PERFMON,
    ];
    let held = caps::read(None, CapSet::Effective).unwrap_or_default();
    let release = nix::sys::utsname::uname().ok();
    let release = release.map(|it| it.release().to_string_lossy().into_owned());
    let old = release.is_some_and(|it| it.starts_with("5.10."));
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(RLIM_INFINITY, |(soft, _)| soft);
    old && limit != RLIM_INFINITY && needed.iter().all(|right| held.contains(right))
}
