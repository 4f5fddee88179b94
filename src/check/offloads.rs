//! What cards, drivers and the kernel do to packets before a hook sees them, and what a hook does to that.

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
                "{driver} has no XDP for frames in several buffers, which MTU {mtu} takes: it may refuse"
            );
            self.findings.note("MTU", text, "--hook tc needs none");
        }
        if !link.is_device {
            return;
        }
        let mut text = "a card may set up its queues anew when native XDP comes and goes, and lose packets meanwhile"
            .to_owned();
        if let Some(Queues { used, most }) = link.queues
            && used > most / 2
        {
            let _ = write!(
                text,
                "; {used} of {most} are in use, and drivers that need more of them for XDP refuse it"
            );
        }
        self.findings
            .note("queues", text, "--hook tc leaves them alone");
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
                "this kernel does not tell what the card does to packets before they are seen",
                &format!("ethtool -k {name} shows it"),
            );
            return;
        }
        if by_xdp && is_on("rx-vlan-hw-parse") {
            self.findings.note(
                "VLAN",
                "tags are taken off before XDP (rxvlan is on): connections would lack their VLAN, and 4 bytes in each such frame",
                &format!("ethtool -K {name} rxvlan off, or --hook tc"),
            );
        }
        self.look_at_merging(prediction.hook, link);
        if is_on("hw-tc-offload") {
            self.findings.note(
                "offload",
                "the card may forward traffic by itself (hw-tc-offload), which no hook sees",
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
                "on; XDP comes before GRO, and drivers do no merging of their own with it"
            }
            Hook::XdpNative => "on; XDP comes before it",
            Hook::Tcx | Hook::Clsact => "on; each packet of a merged one is counted",
        };
        if !merging.is_empty() {
            self.findings
                .ok("merging", format!("{} {text}", merging.join(", ")));
        }
    }
}
