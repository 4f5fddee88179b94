//! Offloads: what cards, drivers and the kernel do to packets before a hook sees them, and how a hook affects that.

use std::fmt::Write as _;

use super::InterfaceReport;
use crate::bpf::Hook;
use crate::bpf::probe::Outlook;
use crate::interface::Interface;
use crate::link::{Link, Queues, XdpCost};
use crate::model::text::Visible;

impl InterfaceReport {
    /// What native XDP takes from others, and what may keep the driver from it.
    pub(super) fn look_at_cost(&mut self, link: &Link) {
        let driver = link.driver.as_deref().unwrap_or("the driver");
        let driver = Visible(driver);
        if let Some(cost @ (XdpCost::Veth | XdpCost::Merging(_))) = link.xdp_cost() {
            let text = format!("native XDP {cost}");
            self.findings.note("cost", text, "--hook tc does not");
        }
        if link.is_too_large_for_xdp() {
            let mtu = link.mtu;
            let text = format!(
                "{driver} may refuse native XDP: at MTU {mtu} a frame needs several buffers, and its XDP takes only one"
            );
            self.findings
                .note("MTU", text, "--hook tc works at any MTU");
        }
        if !link.is_device {
            return;
        }
        let mut text = "when native XDP starts or stops, the card may set up its queues again and lose packets"
            .to_owned();
        if let Some(Queues { used, most }) = link.queues
            && used > most / 2
        {
            let _ = write!(
                text,
                "; {used} of {most} queues are in use, and some drivers refuse XDP if they have no free queues"
            );
        }
        self.findings
            .note("queues", text, "--hook tc does not touch the queues");
    }

    pub(super) fn look_at_offloads(
        &mut self,
        outlook: &Outlook,
        link: &Link,
        interface: &Interface,
    ) {
        let Ok(prediction) = &outlook.ingress else {
            return;
        };
        let name = Visible(&interface.name);
        let is_on = |feature| link.has(feature) == Some(true);
        let by_xdp = matches!(prediction.hook, Hook::XdpNative | Hook::XdpGeneric);
        if link.features.is_none() {
            self.findings.note(
                "offloads",
                "this kernel does not tell what the card does to packets before udptrack sees them",
                &format!("ethtool -k {name} shows it"),
            );
            return;
        }
        if by_xdp && is_on("rx-vlan-hw-parse") {
            self.findings.note(
                "VLAN",
                "the card removes VLAN tags before XDP (rxvlan is on): connections have no VLAN, and such frames count 4 bytes less",
                &format!("ethtool -K {name} rxvlan off, or --hook tc"),
            );
        }
        self.look_at_merging(prediction.hook, link);
        if is_on("hw-tc-offload") {
            self.findings.note(
                "offload",
                "the card may forward traffic by itself (hw-tc-offload), and no hook sees that",
                &format!("ethtool -K {name} hw-tc-offload off"),
            );
        }
    }

    /// What is merged, and whether the hook counts it as what it was.
    fn look_at_merging(&mut self, hook: Hook, link: &Link) {
        let is_on = |feature| link.has(feature) == Some(true);
        let merging: Vec<&str> = [
            ("rx-gro", "GRO"),
            ("rx-gro-hw", "hardware GRO"),
            ("rx-lro", "LRO"),
        ]
        .into_iter()
        .filter(|(feature, _)| is_on(feature))
        .map(|(_, word)| word)
        .collect();
        let text = match hook {
            // That was said.
            Hook::XdpGeneric => return,
            Hook::XdpNative if is_on("rx-gro-hw") || is_on("rx-lro") => {
                "on; XDP sees packets before GRO merges them, and with XDP the driver merges none"
            }
            Hook::XdpNative => "on; XDP sees packets before they are merged",
            Hook::Tcx | Hook::Clsact => "on; a merged packet counts as all its packets",
        };
        if !merging.is_empty() {
            self.findings
                .ok("merging", format!("{} {text}", merging.join(", ")));
        }
    }
}
