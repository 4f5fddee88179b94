//! Why this kernel drops packets: its own names for reasons, and their classes.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use libbpf_rs::btf::types::{Enum, FuncProto, Ptr, Typedef};
use libbpf_rs::btf::{Btf, BtfType, ReferencesType as _};

use crate::bpf::sys::drops_types::{
    udp_drops_kind as kinds, udp_drops_reason, udp_drops_sizes as sizes,
    udp_drops_without_reasons as own,
};
use crate::model::DropClass;

/// How many reasons can have names.
pub(in crate::bpf) const REASONS: usize = sizes::UDP_DROPS_REASONS.0 as usize;
/// Where those of queues begin, if the kernel numbers them apart.
const QUEUES: u32 = sizes::UDP_DROPS_QUEUES.0;

/// What the tracepoint tells, and what it means.
pub(in crate::bpf) struct Reasons {
    /// Whether it tells the reason (Linux 5.17).
    pub has_reason: bool,
    /// Whether it tells the socket that the packet was for (Linux 6.11).
    pub has_socket: bool,
    /// What the kernel's numbers of queues' reasons begin with; 0 if it does not number them apart.
    pub first_of_queues: u32,
    /// By index: the kernel's number, or for queues' own reasons from [`QUEUES`] on.
    names: Vec<Option<Arc<str>>>,
    classes: Vec<DropClass>,
    pub kinds: [udp_drops_reason; REASONS],
}

impl Reasons {
    /// Reads the kernel's types.
    pub fn read() -> Result<Self> {
        let btf = Btf::from_vmlinux().context("cannot read the kernel's types")?;
        let count = parameters(&btf, "btf_trace_kfree_skb")
            .context("this kernel has no tracepoint kfree_skb that programs can use")?;
        // The program's own, the packet, where, why, and the socket that it was for.
        let (has_reason, has_socket) = (count > 3, count > 4);
        let mut reasons = Self {
            has_reason,
            has_socket,
            first_of_queues: 0,
            names: vec![None; REASONS],
            classes: vec![DropClass::Other; REASONS],
            kinds: [udp_drops_reason {
                class: DropClass::Other as u8,
                kind: raw(kinds::UDP_DROPS_ANYWHERE),
            }; REASONS],
        };
        if !has_reason {
            // A socket's failure comes with an error: what later kernels call these two.
            reasons.add(own::UDP_DROPS_RCVBUFF.0.into(), "SOCKET_RCVBUFF");
            reasons.add(own::UDP_DROPS_PROTO_MEM.0.into(), "PROTO_MEM");
        } else if let Some(all) = btf.type_by_name::<Enum<'_>>("skb_drop_reason") {
            for member in all.iter() {
                let name = member.name.and_then(|name| name.to_str()).unwrap_or("");
                let name = name.strip_prefix("SKB_DROP_REASON_");
                reasons.add(member.value, name.unwrap_or("SKB_CONSUMED"));
            }
            reasons.add_queues(&btf);
        }
        Ok(reasons)
    }

    /// `enum qdisc_drop_reason` (`include/net/dropreason-qdisc.h`). The names are as if it were a part of the other one, as in earlier
    /// kernels: `qdisc_overlimit`.
    fn add_queues(&mut self, btf: &Btf<'_>) {
        let Some(all) = btf.type_by_name::<Enum<'_>>("qdisc_drop_reason") else {
            return;
        };
        let members = || {
            all.iter().filter_map(|member| {
                let number = u32::try_from(member.value).ok()?;
                Some((member.name?.to_str()?, number))
            })
        };
        let Some((_, first)) = members().find(|(name, _)| *name == "__QDISC_DROP_REASON") else {
            return;
        };
        self.first_of_queues = first;
        for (name, number) in members().filter(|(_, number)| *number > first) {
            if let Some(name) = name.strip_prefix("QDISC_DROP_") {
                let index = i64::from(QUEUES) + i64::from(number - first);
                self.add(index, &format!("QDISC_{name}"));
            }
        }
    }

    fn add(&mut self, index: i64, name: &str) {
        let index = usize::try_from(index).unwrap_or(REASONS);
        if index == 0 || index >= REASONS {
            return;
        }
        let (class, kind) = meaning(name);
        self.names[index] = Some(name.to_lowercase().into());
        self.classes[index] = class;
        self.kinds[index] = udp_drops_reason {
            class: class as u8,
            kind: raw(kind),
        };
    }

    /// The kernel's name, and what it comes down to, by index.
    pub fn of(&self, number: u16) -> (Arc<str>, DropClass) {
        let index = usize::from(number);
        let known = self.names.get(index).cloned().flatten();
        known.map_or_else(
            || ("other".into(), DropClass::Other),
            |name| (name, self.classes[index]),
        )
    }
}

fn raw(kind: kinds) -> u8 {
    u8::try_from(kind.0).unwrap_or_default()
}

/// How many parameters a program of a tracepoint has.
fn parameters(btf: &Btf<'_>, name: &str) -> Option<usize> {
    let pointer: Ptr<'_> = btf
        .type_by_name::<Typedef<'_>>(name)?
        .referenced_type()
        .try_into()
        .ok()?;
    let function: BtfType<'_> = pointer.referenced_type();
    Some(FuncProto::try_from(function).ok()?.len())
}

/// What a name comes down to, and where such packets die. The names are those of `enum skb_drop_reason`
/// (`include/net/dropreason-core.h`).
fn meaning(name: &str) -> (DropClass, kinds) {
    use DropClass as class;
    let begins = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
    match name {
        // Other machines' frames, copies.
        "SKB_CONSUMED" | "OTHERHOST" | "PACKET_SOCK_ERROR" | "XDP" => {
            (class::Other, kinds::UDP_DROPS_IGNORED)
        }
        "NOT_SPECIFIED" => (class::Other, kinds::UDP_DROPS_UNSPECIFIED),
        "SOCKET_RCVBUFF" => (class::SocketBuffer, kinds::UDP_DROPS_SOCKET),
        "PROTO_MEM" => (class::Memory, kinds::UDP_DROPS_SOCKET),
        "FRAG_REASM_TIMEOUT" => (class::Fragments, kinds::UDP_DROPS_REASSEMBLY),
        "CPU_BACKLOG" => (class::Queue, kinds::UDP_DROPS_BACKLOG),
        "TC_EGRESS" => (class::Firewall, kinds::UDP_DROPS_LEAVING),
        "NO_SOCKET" | "IP_NOPROTO" => (class::NoSocket, kinds::UDP_DROPS_ARRIVING),
        "UDP_CSUM" => (class::Checksum, kinds::UDP_DROPS_READING),
        "IP_CSUM" => (class::Checksum, kinds::UDP_DROPS_ARRIVING),
        "SKB_CSUM" => (class::Checksum, kinds::UDP_DROPS_ANYWHERE),
        "SOCKET_BACKLOG" => (class::SocketBuffer, kinds::UDP_DROPS_ARRIVING),
        "NETFILTER_DROP" | "BPF_CGROUP_EGRESS" | "SOCKET_FILTER" | "XFRM_POLICY"
        | "SECURITY_HOOK" | "TC_INGRESS" => (class::Firewall, kinds::UDP_DROPS_ARRIVING),
        // A socket's queue of copies (raw sockets); of devices what is left is told by what it looks like.
        "QUEUE_PURGE" => (class::Other, kinds::UDP_DROPS_LEAVING),
        "UNICAST_IN_L2_MULTICAST" => (class::Routing, kinds::UDP_DROPS_ARRIVING),
        "NOMEM" | "PFMEMALLOC" | "SKB_UCOPY_FAULT" => (class::Memory, kinds::UDP_DROPS_ANYWHERE),
        "PKT_TOO_BIG" => (class::Mtu, kinds::UDP_DROPS_ARRIVING),
        "FULL_RING" => (class::Queue, kinds::UDP_DROPS_ANYWHERE),
        _ if begins(&["QDISC_", "FQ_", "CAKE_", "DUALPI2_"]) => {
            (class::Queue, kinds::UDP_DROPS_LEAVING)
        }
        _ if begins(&["FRAG_", "DUP_FRAG"]) => (class::Fragments, kinds::UDP_DROPS_ARRIVING),
        _ if begins(&["IP_RPFILTER", "IP_IN", "IP_OUT", "IP_LOCAL", "NEIGH_"]) => {
            (class::Routing, kinds::UDP_DROPS_ARRIVING)
        }
        _ => (class::Other, kinds::UDP_DROPS_ANYWHERE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_down_to_classes() {
        for (name, class) in [
            ("SOCKET_RCVBUFF", DropClass::SocketBuffer),
            ("IP_RPFILTER", DropClass::Routing),
            ("IP_INHDR", DropClass::Routing),
            ("NEIGH_FAILED", DropClass::Routing),
            ("QDISC_OVERLIMIT", DropClass::Queue),
            ("FRAG_TOO_FAR", DropClass::Fragments),
            ("NOT_SPECIFIED", DropClass::Other),
            ("NO_SUCH_REASON", DropClass::Other),
        ] {
            assert_eq!(meaning(name).0, class, "{name}");
        }
        assert_eq!(meaning("OTHERHOST").1, kinds::UDP_DROPS_IGNORED);
    }

    #[test]
    fn this_kernels_reasons_have_names() {
        let Ok(reasons) = Reasons::read() else {
            return;
        };
        let (other, class) = reasons.of(255);
        assert_eq!((&*other, class), ("other", DropClass::Other));
        let named = (0..255).map(|number| reasons.of(number));
        let buffer = named.filter(|(name, _)| &**name == "socket_rcvbuff");
        let classes: Vec<_> = buffer.map(|(_, class)| class).collect();
        assert_eq!(classes, [DropClass::SocketBuffer]);
    }
}
