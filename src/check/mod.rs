//! Can udptrack run here, how, and what would it not see? It asks the kernel, loads the programs, attaches nothing, changes
//! nothing; without rights it tells what can be told. Which hook an interface gets it learns from the code that attaches.

mod interface;
mod machine;
mod offloads;
mod others;
mod programs;
mod rights;
mod text;

use anyhow::Result;
use serde::Serialize;

pub use interface::InterfaceReport;
pub use machine::Machine;
pub use text::write_text;

use crate::bpf;
use crate::model::text::Visible;

/// What a run with the same flags would want.
#[derive(Debug)]
pub struct Planned<'a> {
    /// The network namespace that was entered, if another.
    pub netns: Option<&'a str>,
    /// Names of interfaces, as given.
    pub interfaces: &'a [String],
    /// How to attach.
    pub request: bpf::Request,
    /// What to load; its interfaces are filled in.
    pub settings: bpf::Settings,
    /// The name under which others would find it, if one was given.
    pub name: Option<&'a str>,
    /// Whether it fails where it cannot pin anything.
    pub needs_pins: bool,
    /// Whether its hooks are to stay when it ends.
    pub keeps: bool,
    /// What was opened for exporters, and let go again.
    pub exports: Vec<Export>,
}

/// What an exporter of a run needs, tried out.
#[derive(Debug)]
pub struct Export {
    /// Whose it is: one word that does not change.
    pub subject: &'static str,
    /// What is there, or why not, as a run would say it.
    pub outcome: Result<String>,
}

/// How good or bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// As it should be.
    Ok,
    /// Works, but one should know.
    Note,
    /// A run would fail.
    Problem,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about: one word or two that do not change.
    pub subject: &'static str,
    /// How good or bad it is.
    pub mark: Mark,
    /// What was found, in a line.
    pub text: String,
    /// What to do about it.
    pub way_out: Option<String>,
}

/// Findings in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, subject: &'static str, mark: Mark, text: impl Into<String>, way_out: &str) {
        self.0.push(Finding {
            subject,
            mark,
            text: text.into(),
            way_out: (!way_out.is_empty()).then(|| way_out.to_owned()),
        });
    }

    fn ok(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(subject, Mark::Ok, text, "");
    }

    fn note(&mut self, subject: &'static str, text: impl Into<String>, way_out: &str) {
        self.add(subject, Mark::Note, text, way_out);
    }

    fn problem(&mut self, subject: &'static str, text: impl Into<String>, way_out: &str) {
        self.add(subject, Mark::Problem, text, way_out);
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    fn problems(&self) -> impl Iterator<Item = &'static str> {
        let problems = self.iter().filter(|it| it.mark == Mark::Problem);
        problems.map(|finding| finding.subject)
    }
}

/// All that was found. As JSON it is what `-j` writes.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Of udptrack.
    pub version: &'static str,
    /// Whether a run with these flags will work.
    pub works: bool,
    /// The network namespace that was entered, if another.
    pub netns: Option<String>,
    /// What is the same for all interfaces.
    pub machine: Machine,
    /// Each interface.
    pub interfaces: Vec<InterfaceReport>,
}

impl Report {
    /// Subjects that would make a run fail, those of interfaces with the name before them.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let machine = self.machine.findings.problems().map(str::to_owned);
        let interfaces = self.interfaces.iter().flat_map(|interface| {
            let problems = interface.findings.problems();
            problems.map(|subject| format!("{} {subject}", interface.name))
        });
        machine.chain(interfaces).collect()
    }
}

/// Finds out everything.
#[must_use]
pub fn examine(planned: Planned<'_>) -> Report {
    let mut machine = Machine::examine();
    let interfaces = match crate::interface::select(planned.interfaces) {
        Ok(interfaces) => interfaces,
        Err(error) => {
            machine
                .findings
                .problem("interfaces", format!("{error:#}"), "");
            Vec::new()
        }
    };
    let mut settings = planned.settings;
    settings.interfaces = interfaces.iter().map(|it| it.index).collect();
    machine.look_at_files(bpf::OpenFiles::of(&interfaces, planned.request));
    machine.try_programs(&settings);
    machine.look_at_pins(planned.name, planned.needs_pins);
    for export in planned.exports {
        match export.outcome {
            Ok(text) => machine.findings.ok(export.subject, text),
            Err(error) => {
                let text = Visible(&format!("{error:#}")).to_string();
                machine.findings.problem(export.subject, text, "");
            }
        }
    }
    machine.look_at_senders();
    machine.look_at_translation(interfaces.len());
    let names = bpf::probe::program_names();
    let interfaces: Vec<InterfaceReport> = interfaces
        .iter()
        .map(|interface| {
            let mut report = InterfaceReport::examine(interface, planned.request, &names);
            if planned.keeps {
                report.look_at_links();
            }
            report
        })
        .collect();
    if interfaces.iter().any(InterfaceReport::takes_xdp) {
        machine.look_at_xdp_users();
    }
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        works: false,
        netns: planned.netns.map(str::to_owned),
        machine,
        interfaces,
    };
    report.works = report.problems().is_empty();
    report
}
