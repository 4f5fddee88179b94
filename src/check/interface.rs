//! How an interface would be tracked, and what would not be seen there.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Findings;
use crate::bpf::probe::{self, Outlook, Prediction, TcProgram};
use crate::bpf::{Hook, Request};
use crate::interface::Interface;
use crate::link::{Link, Xdp, XdpCost};
use crate::model::Direction;
use crate::model::text::Visible;

/// Features of ethtool that decide what a hook sees, and how `ethtool -K` calls them.
const OFFLOADS: [(&str, &str); 5] = [
    ("rx-gro", "gro"),
    ("rx-lro", "lro"),
    ("rx-gro-hw", "rx-gro-hw"),
    ("rx-vlan-hw-parse", "rxvlan"),
    ("hw-tc-offload", "hw-tc-offload"),
];

/// An interface, with names and numbers for scripts, and findings for people.
#[derive(Clone, Debug, Default, Serialize)]
pub struct InterfaceReport {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Whether it is up.
    pub up: bool,
    /// Whether its frames begin with an Ethernet header.
    pub ethernet: bool,
    /// Whether it is a loopback.
    pub loopback: bool,
    /// Bytes of an IP packet at most.
    pub mtu: Option<u32>,
    /// The driver, or the kind of an interface that has no hardware.
    pub driver: Option<String>,
    /// Whether the driver has native XDP; none where the kernel does not tell.
    pub native_xdp: Option<bool>,
    /// The hook that would see received packets, as a run names it.
    pub received: Option<String>,
    /// The hook should the driver refuse that one.
    pub received_else: Option<String>,
    /// The hook that would see sent packets.
    pub sent: Option<String>,
    /// The XDP program that is there.
    pub xdp_program: Option<XdpProgram>,
    /// What others have at TC: `ingress` and `egress`.
    pub tc_programs: BTreeMap<&'static str, Vec<OtherProgram>>,
    /// What the card and the kernel do to packets before a hook sees them, by the names of `ethtool -K`.
    pub offloads: Option<BTreeMap<&'static str, bool>>,
    /// For people.
    pub findings: Findings,
}

/// Somebody's XDP program.
#[derive(Clone, Debug, Serialize)]
pub struct XdpProgram {
    /// Of the program.
    pub id: u32,
    /// As the kernel cuts it; none without the right to ask.
    pub name: Option<String>,
    /// `native`, `generic`, `hardware` or `several`.
    pub mode: &'static str,
}

/// Somebody's program or filter at TC.
#[derive(Clone, Debug, Serialize)]
pub struct OtherProgram {
    /// `TC (tcx)` or `TC (clsact)`.
    pub hook: String,
    /// Of an eBPF program.
    pub id: Option<u32>,
    /// Of a program, or the kind of a filter.
    pub name: Option<String>,
}

impl From<TcProgram> for OtherProgram {
    fn from(program: TcProgram) -> Self {
        Self {
            hook: program.hook.to_string(),
            id: program.id,
            name: program.name,
        }
    }
}

impl InterfaceReport {
    pub(super) fn examine(
        interface: &Interface,
        request: Request,
        names: &BTreeMap<u32, String>,
    ) -> Self {
        let link = Link::ask(interface.index);
        let mut report = Self::new(interface, link.as_ref().ok(), names);
        let link = match link {
            Ok(link) => link,
            Err(error) => {
                let text = format!("the kernel does not describe it: {error}");
                report.findings.problem("interface", text, "");
                return report;
            }
        };
        report.look_at_state(interface);
        let outlook = probe::foresee(interface, request, &link);
        report.foretell_received(&outlook, &link);
        report.foretell_sent(&outlook, interface);
        report.look_at_others(&outlook, interface, names);
        report.look_at_offloads(&outlook, &link, interface);
        report
    }

    fn new(interface: &Interface, link: Option<&Link>, names: &BTreeMap<u32, String>) -> Self {
        let xdp_program = link
            .and_then(|link| link.xdp)
            .map(|Xdp { id, mode }| XdpProgram {
                id,
                name: names.get(&id).cloned(),
                mode,
            });
        let has = |feature| link.and_then(|link| link.has(feature));
        let offloads = OFFLOADS
            .iter()
            .map(|(feature, name)| Some((*name, has(feature)?)))
            .collect();
        Self {
            name: interface.name.clone(),
            index: interface.index.0,
            up: interface.up,
            ethernet: interface.ethernet,
            loopback: interface.loopback,
            mtu: link.map(|link| link.mtu),
            driver: link.and_then(|link| link.driver.clone()),
            native_xdp: link.and_then(|link| link.native_xdp),
            received: None,
            received_else: None,
            sent: None,
            xdp_program,
            tc_programs: BTreeMap::new(),
            offloads,
            findings: Findings::default(),
        }
    }

    fn look_at_state(&mut self, interface: &Interface) {
        if !interface.up {
            let way_out = format!("ip link set {} up", Visible(&interface.name));
            self.findings
                .note("state", "down: no packet passes until it is up", &way_out);
        }
        if !interface.ethernet {
            self.findings.ok(
                "link type",
                "no Ethernet header: bytes count from the IP header on, and XDP is not possible",
            );
        }
    }

    fn foretell_received(&mut self, outlook: &Outlook, link: &Link) {
        let prediction = match &outlook.ingress {
            Ok(prediction) => *prediction,
            Err(error) => {
                let text = Visible(&format!("{error:#}")).to_string();
                match self.named_xdp_program().filter(|_| self.ethernet) {
                    Some(program) => self.findings.problem(
                        "received",
                        format!("{program} has the place for XDP, and udptrack leaves it alone"),
                        "Use --hook auto or --hook tc: then udptrack sees the packets that it passes on",
                    ),
                    None => self.findings.problem("received", text, ""),
                }
                return;
            }
        };
        self.received = Some(prediction.hook.to_string());
        self.received_else = prediction.or_else.map(|hook| hook.to_string());
        if let Some(program) = self.named_xdp_program() {
            let hook = prediction.hook;
            let text = format!(
                "{hook}, after {program}: udptrack does not see what that program drops or redirects"
            );
            self.findings.note("received", text, "");
            return;
        }
        for note in &outlook.notes {
            let text = format!("{}: {}", prediction.hook, Visible(note));
            self.findings.note("received", text, "");
        }
        if outlook.notes.is_empty() {
            self.why(prediction, outlook.spared, link);
        }
        if prediction.hook == Hook::XdpNative {
            self.look_at_cost(link);
        }
    }

    fn named_xdp_program(&self) -> Option<String> {
        let program = self.xdp_program.as_ref()?;
        let name = program.name.as_deref().map_or_else(
            || "(only CAP_SYS_ADMIN can see its name)".to_owned(),
            |name| format!("named {}", Visible(name)),
        );
        Some(format!(
            "the XDP program {name} (id {}, {})",
            program.id, program.mode
        ))
    }

    /// Why it is this hook.
    fn why(&mut self, prediction: Prediction, spared: Option<XdpCost>, link: &Link) {
        let hook = prediction.hook;
        let driver = link.driver.as_deref().unwrap_or("the driver");
        let driver = Visible(driver);
        if let Some(cost) = spared {
            let text = format!("{hook}: native XDP {cost}");
            self.findings.ok("received", text);
            return;
        }
        match (hook, prediction.or_else) {
            (Hook::XdpNative, Some(other)) if prediction.is_guess => self.findings.ok(
                "received",
                format!("{hook} if {driver} has it, otherwise {other}: the run will try"),
            ),
            (Hook::XdpNative, None) if prediction.is_guess => self.findings.note(
                "received",
                format!("{hook}, if {driver} has it: only a run can tell"),
                "Use --hook auto: it takes TC if there is no native XDP",
            ),
            (Hook::XdpNative, Some(other)) => self.findings.ok(
                "received",
                format!(
                    "{hook}, which {driver} has; {other} if it refuses at this MTU or with these settings"
                ),
            ),
            (Hook::XdpNative, None) => self
                .findings
                .ok("received", format!("{hook}, which {driver} has")),
            (Hook::Tcx | Hook::Clsact, _) if self.loopback => {
                self.findings
                    .ok("received", format!("{hook}: on loopback, received and sent packets are the same"));
            }
            (Hook::Tcx | Hook::Clsact, _) if link.native_xdp == Some(false) && self.ethernet => {
                self.findings
                    .ok("received", format!("{hook}: {driver} has no native XDP"));
            }
            _ => self.findings.ok("received", hook.to_string()),
        }
    }

    fn foretell_sent(&mut self, outlook: &Outlook, interface: &Interface) {
        match &outlook.egress {
            Ok(Some(hook)) => {
                self.sent = Some(hook.to_string());
                self.findings.ok("sent", hook.to_string());
                self.look_at_queues(interface);
            }
            Ok(None) if interface.loopback => {}
            Ok(None) => self.findings.note("sent", "not tracked (--no-egress)", ""),
            Err(error) => self.findings.problem("sent", format!("{error:#}"), ""),
        }
    }

    /// Whether a run would take the place for XDP.
    pub(super) fn takes_xdp(&self) -> bool {
        let xdp = [Hook::XdpNative, Hook::XdpGeneric].map(|hook| hook.to_string());
        self.received
            .as_ref()
            .is_some_and(|hook| xdp.contains(hook))
    }

    fn look_at_queues(&mut self, interface: &Interface) {
        let kinds = probe::shaping_queues(interface.index);
        if !kinds.is_empty() {
            let way_out = format!(
                "tc -s qdisc show dev {} shows what it dropped",
                Visible(&interface.name)
            );
            let text = format!(
                "sent packets count before the queue ({}): packets that the queue drops count as sent",
                kinds.join(", ")
            );
            self.findings.note("queue", text, &way_out);
        }
    }

    /// Links alone can be kept; filters of clsact, which TC has on older kernels, cannot.
    pub(super) fn look_at_links(&mut self) {
        let is_filter = |hook: &Option<String>| *hook == Some(Hook::Clsact.to_string());
        let way_out = match (is_filter(&self.received), is_filter(&self.sent)) {
            (false, false) => return,
            // A veth, where TC was the better choice.
            (true, _) if self.native_xdp == Some(true) => {
                "Use --hook xdp --no-egress to keep what XDP sees"
            }
            (true, _) => "",
            (false, true) => "Use --no-egress to keep what XDP sees",
        };
        let text = "--keep needs links for TC: Linux 6.6 or later has them";
        self.findings.problem("keep", text, way_out);
    }

    fn look_at_others(
        &mut self,
        outlook: &Outlook,
        interface: &Interface,
        names: &BTreeMap<u32, String>,
    ) {
        for direction in [Direction::Ingress, Direction::Egress] {
            let Ok(programs) = probe::tc_programs(interface.index, direction, names) else {
                continue;
            };
            let (own, others): (Vec<_>, Vec<_>) =
                programs.iter().cloned().partition(TcProgram::is_own);
            if !own.is_empty() {
                let runs = if own.len() == 1 {
                    "another run".to_owned()
                } else {
                    format!("{} other runs", own.len())
                };
                let text = format!(
                    "{runs} of udptrack at {}; each counts all",
                    direction.name()
                );
                self.findings.ok("TC", text);
            }
            self.compare(direction, &hooks(outlook, direction), &others);
            let programs = programs.into_iter().map(OtherProgram::from).collect();
            self.tc_programs.insert(direction.name(), programs);
        }
    }

    /// Who runs first. The hooks are the one that is expected, and the one that is taken should the driver refuse it.
    fn compare(&mut self, direction: Direction, hooks: &[Hook], programs: &[TcProgram]) {
        let (before, after): (Vec<_>, Vec<_>) = programs
            .iter()
            .partition(|program| hooks.contains(&Hook::Clsact) && program.is_before_filter);
        let at = direction.name();
        if !before.is_empty() {
            let only = if hooks.first() == Some(&Hook::Clsact) {
                ""
            } else {
                " where udptrack uses TC"
            };
            let text = format!(
                "{} at {at}, which run first{only}: udptrack does not see what they drop or redirect",
                list(&before)
            );
            self.findings.note("TC", text, "");
        }
        if after.is_empty() {
            return;
        }
        let text = format!("{} at {at}", list(&after));
        match hooks.first() {
            Some(_) => self
                .findings
                .ok("TC", format!("{text}; udptrack runs before them")),
            // What it sends is seen when it is received.
            None if self.loopback => self.findings.note(
                "TC",
                format!(
                    "{text}, which run first: udptrack does not see what they drop or redirect"
                ),
                "",
            ),
            None => self
                .findings
                .ok("TC", format!("{text}, where udptrack does not look")),
        }
    }
}

/// Where udptrack would be in a direction, and where else; none where it would not look.
fn hooks(outlook: &Outlook, direction: Direction) -> Vec<Hook> {
    match direction {
        Direction::Ingress => {
            let received = outlook.ingress.as_ref().ok();
            let hooks = received.map(|it| [Some(it.hook), it.or_else]);
            hooks.into_iter().flatten().flatten().collect()
        }
        Direction::Egress => outlook
            .egress
            .as_ref()
            .ok()
            .copied()
            .flatten()
            .into_iter()
            .collect(),
    }
}

fn list(programs: &[&TcProgram]) -> String {
    let all: Vec<String> = programs.iter().map(|it| described(it)).collect();
    all.join(", ")
}

fn described(program: &TcProgram) -> String {
    let name = program.name.as_deref().unwrap_or("a program");
    match program.id {
        Some(id) => format!("{} (id {id})", Visible(name)),
        None => Visible(name).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Ifindex;

    fn compared(loopback: bool, direction: Direction, hooks: &[Hook]) -> Vec<String> {
        let interface = Interface {
            name: "eth0".to_owned(),
            other_names: Vec::new(),
            index: Ifindex(2),
            ethernet: true,
            loopback,
            up: true,
            addresses: Vec::new(),
        };
        let program = |name: &str, is_before_filter| TcProgram {
            hook: Hook::Clsact,
            id: None,
            name: Some(name.to_owned()),
            is_before_filter,
        };
        let mut report = InterfaceReport::new(&interface, None, &BTreeMap::new());
        let programs = [program("first", true), program("later", false)];
        report.compare(direction, hooks, &programs);
        let findings = report.findings.iter();
        findings.map(|finding| finding.text.clone()).collect()
    }

    #[test]
    fn filters_that_run_first_are_told() {
        let missed = "udptrack does not see what they drop or redirect";
        assert_eq!(
            compared(false, Direction::Ingress, &[Hook::Clsact]),
            [
                format!("first at ingress, which run first: {missed}"),
                "later at ingress; udptrack runs before them".to_owned(),
            ]
        );
        assert_eq!(
            compared(false, Direction::Ingress, &[Hook::XdpNative, Hook::Clsact]),
            [
                format!("first at ingress, which run first where udptrack uses TC: {missed}"),
                "later at ingress; udptrack runs before them".to_owned(),
            ]
        );
        for hooks in [&[Hook::Tcx][..], &[Hook::XdpNative, Hook::Tcx]] {
            assert_eq!(
                compared(false, Direction::Ingress, hooks),
                ["first, later at ingress; udptrack runs before them"]
            );
        }
        assert_eq!(
            compared(false, Direction::Egress, &[]),
            ["first, later at egress, where udptrack does not look"]
        );
        assert_eq!(
            compared(true, Direction::Egress, &[]),
            [format!("first, later at egress, which run first: {missed}")]
        );
    }
}
