//! Which programs the interfaces of a run may need: no others are loaded, because a start waits while the kernel verifies each.

use crate::bpf::hook::attach::Request;
use crate::bpf::hook::choice::spares_others;
use crate::interface::Interface;
use crate::link::Link;
use crate::model::HookChoice;

/// Which of the programs for hooks to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each program")]
pub struct HookNeeds {
    /// XDP.
    pub xdp: bool,
    /// TC, for received frames.
    pub ingress: bool,
    /// TC, for sent frames.
    pub egress: bool,
    /// TC, for received packets without an Ethernet header.
    pub ingress_ip: bool,
    /// TC, for sent packets without an Ethernet header.
    pub egress_ip: bool,
}

impl HookNeeds {
    /// All of them: for interfaces that are not known yet.
    pub const ALL: Self = Self {
        xdp: true,
        ingress: true,
        egress: true,
        ingress_ip: true,
        egress_ip: true,
    };

    /// What [`crate::bpf::attach`] may use on these interfaces, in the network namespace of this thread.
    #[must_use]
    pub fn of(interfaces: &[Interface], request: Request) -> Self {
        let has = |is_needed: &dyn Fn(&Interface) -> bool| interfaces.iter().any(is_needed);
        let has_ingress = request.hook != HookChoice::Xdp;
        let sends = |interface: &Interface| request.egress && !interface.loopback;
        Self {
            xdp: has(&|interface| interface.ethernet && may_use_xdp(interface, request)),
            ingress: has_ingress && has(&|interface| interface.ethernet),
            egress: has(&|interface| interface.ethernet && sends(interface)),
            ingress_ip: has_ingress && has(&|interface| !interface.ethernet),
            egress_ip: has(&|interface| !interface.ethernet && sends(interface)),
        }
    }
}

/// Whether XDP is tried on an interface.
fn may_use_xdp(interface: &Interface, request: Request) -> bool {
    let link = Link::ask(interface.index).unwrap_or_default();
    request.hook != HookChoice::Tc && spares_others(request, &link).is_none()
}
