//! The report for people: a line for each finding.

use std::io::{self, Write};

use super::{Finding, InterfaceReport, Mark, Report};
use crate::model::text::Visible;

/// Columns of a mark and of a subject.
const MARK: usize = 7;
const SUBJECT: usize = 12;

/// Writes the report, in colours or without.
pub fn write_text(out: &mut impl Write, report: &Report, colors: bool) -> io::Result<()> {
    match &report.netns {
        Some(name) => writeln!(out, "this machine, network namespace {}", Visible(name))?,
        None => writeln!(out, "this machine")?,
    }
    write_findings(out, report.machine.findings.iter(), colors)?;
    for interface in &report.interfaces {
        writeln!(out, "{}", headed(interface))?;
        write_findings(out, interface.findings.iter(), colors)?;
    }
    if report.works {
        writeln!(out, "a run with these flags will work")?;
    }
    Ok(())
}

/// `eth0: virtio_net, MTU 1500, up`.
fn headed(interface: &InterfaceReport) -> String {
    let driver = interface.driver.as_ref();
    let parts = [
        driver.map(|driver| Visible(driver).to_string()),
        interface.mtu.map(|mtu| format!("MTU {mtu}")),
        Some(if interface.up { "up" } else { "down" }.to_owned()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{}: {}", Visible(&interface.name), parts.join(", "))
}

fn write_findings<'a>(
    out: &mut impl Write,
    findings: impl Iterator<Item = &'a Finding>,
    colors: bool,
) -> io::Result<()> {
    for finding in findings {
        let (word, color) = match finding.mark {
            Mark::Ok => ("ok", "\x1b[32m"),
            Mark::Note => ("note", "\x1b[33m"),
            Mark::Problem => ("problem", "\x1b[1;31m"),
        };
        let (color, end) = if colors { (color, "\x1b[0m") } else { ("", "") };
        write!(
            out,
            "  {color}{word:<MARK$}{end}  {:<SUBJECT$}  {}",
            finding.subject, finding.text
        )?;
        match &finding.way_out {
            Some(way_out) => writeln!(out, ". {way_out}")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Findings, Machine};
    use super::*;

    fn interface() -> InterfaceReport {
        let mut findings = Findings::default();
        findings.ok("received", "XDP native");
        findings.note("LRO", "merges packets", "ethtool -K");
        InterfaceReport {
            name: "eth0\n".to_owned(),
            up: true,
            mtu: Some(1500),
            driver: Some("virtio_net".to_owned()),
            findings,
            ..InterfaceReport::default()
        }
    }

    fn report() -> Report {
        let mut findings = Findings::default();
        findings.ok("kernel", "Linux 6.12");
        findings.note("JIT", "off", "sysctl it");
        findings.problem("rights", "missing: cap_bpf", "Use sudo");
        Report {
            version: "1",
            works: false,
            netns: Some("a\x1b".to_owned()),
            machine: Machine {
                findings,
                ..Machine::default()
            },
            interfaces: vec![interface()],
        }
    }

    fn text(colors: bool) -> String {
        let mut out = Vec::new();
        write_text(&mut out, &report(), colors).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_for_each_finding() {
        insta::assert_snapshot!("check", text(false));
    }

    #[test]
    fn colours_are_of_the_mark_alone() {
        let text = text(true);
        assert!(
            text.contains("  \x1b[1;31mproblem\x1b[0m  rights        missing"),
            "{text:?}"
        );
        assert_eq!(text.matches("\x1b[0m").count(), 5);
    }
}
