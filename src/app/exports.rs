//! The exporters of a run: made from the configuration, told what happens, their messages said.

use std::sync::mpsc::Sender;

use anyhow::Result;

use super::calls::Call;
use super::process::say;
use super::run::Run;
use crate::cli::Config;
use crate::connection::{EndReason, Facts, Sample};
use crate::export::{Exporter, Ipfix, IpfixSettings, Moment};

/// Whatever the configuration has.
pub(super) struct Exports(Vec<Box<dyn Exporter>>);

impl Exports {
    /// Opens what they need, with all rights and before anything is attached. `caller` is for those that ask the loop.
    pub fn open(config: &Config, _caller: &Sender<Call>) -> Result<Self> {
        let mut exporters: Vec<Box<dyn Exporter>> = Vec::new();
        if let Some(ipfix) = &config.export.ipfix {
            exporters.push(Box::new(Ipfix::open(IpfixSettings {
                collector: ipfix.collector.clone(),
                biflow: ipfix.biflow,
                active_timeout: ipfix.active_timeout,
                domain: ipfix.domain,
            })?));
        }
        Ok(Self(exporters))
    }

    /// A connection has ended.
    pub fn ended(&mut self, sample: &Sample, reason: EndReason, facts: &dyn Facts) {
        for exporter in &mut self.0 {
            exporter.ended(sample, reason, facts);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn say_messages(&mut self) {
        for exporter in &mut self.0 {
            for message in exporter.take_messages() {
                say(format_args!("{message}"));
            }
        }
    }
}

impl Run<'_> {
    /// Tells the exporters of the scan that was just made.
    pub(super) fn export_tick(&mut self) -> Result<()> {
        self.export(|exporter, moment| exporter.tick(moment))
    }

    /// Tells them that all is over.
    pub(super) fn export_finish(&mut self) -> Result<()> {
        self.export(|exporter, moment| exporter.finish(moment))
    }

    fn export(&mut self, tell: impl Fn(&mut dyn Exporter, &Moment<'_>)) -> Result<()> {
        if self.exports.is_empty() {
            return Ok(());
        }
        let report = self.report()?;
        let moment = Moment {
            table: &self.table,
            report: &report,
            facts: &self.knowledge,
            now_ns: self.table.scanned_ns(),
        };
        for exporter in &mut self.exports.0 {
            tell(exporter.as_mut(), &moment);
        }
        self.exports.say_messages();
        Ok(())
    }
}
