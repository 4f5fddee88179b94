//! The exporters of a run: made from the configuration, told what happens, their messages said.

use std::sync::mpsc::Sender;

use anyhow::Result;

use crate::check::Export;
use crate::console::say;
use crate::export::{Exporter, Ipfix, Prometheus, Reply};
use crate::interface::Interface;
use crate::model::text::Visible;
use crate::model::{EndReason, Facts, Sample, Tick};
use crate::plan::Plan;
use crate::run::Run;
use crate::run::signals::Signal;
use crate::run::writer::OutputFile;

/// Whatever the configuration has.
pub(in crate::run) struct Exports {
    ipfix: Vec<Ipfix>,
    metrics: Option<Prometheus>,
}

impl Exports {
    /// Opens what they need, with all rights and before anything is attached.
    pub fn open(plan: &Plan, interfaces: &[Interface]) -> Result<Self> {
        Ok(Self {
            ipfix: plan
                .collectors(interfaces)
                .map(Ipfix::open)
                .collect::<Result<_>>()?,
            metrics: plan.metrics().map(Prometheus::open).transpose()?,
        })
    }

    fn all(&mut self) -> impl Iterator<Item = &mut dyn Exporter> {
        let ipfix = self
            .ipfix
            .iter_mut()
            .map(|ipfix| ipfix as &mut dyn Exporter);
        let metrics = self
            .metrics
            .as_mut()
            .map(|metrics| metrics as &mut dyn Exporter);
        ipfix.chain(metrics)
    }

    /// A connection has ended.
    pub fn ended(&mut self, sample: &Sample, reason: EndReason, facts: &dyn Facts) {
        for exporter in self.all() {
            exporter.ended(sample, reason, facts);
        }
    }

    /// All that one tick has.
    pub fn tick(&mut self, tick: &Tick<'_>) {
        for exporter in self.all() {
            exporter.tick(tick);
        }
        self.say_messages();
    }

    /// All is over. What is still to be sent is sent meanwhile.
    pub fn finish(&mut self, tick: &Tick<'_>) {
        for exporter in self.all() {
            exporter.finish(tick);
        }
    }

    /// Messages that are still to be sent; `None` when all are.
    pub fn unsent(&mut self) -> Option<usize> {
        self.all()
            .filter_map(|exporter| exporter.unsent())
            .reduce(|all, more| all + more)
    }

    /// Nothing is waited for any more. Says what was lost.
    pub fn give_up(&mut self) {
        for exporter in self.all() {
            exporter.give_up();
        }
        self.say_messages();
    }

    fn say_messages(&mut self) {
        for exporter in self.all() {
            for message in exporter.take_messages() {
                say(format_args!("{message}"));
            }
        }
    }
}

/// Opens what a run would open, and lets it go again. A file that is not there is not made.
pub(crate) fn try_out(plan: &Plan) -> Vec<Export> {
    let file = plan.file.as_deref().map(|path| Export {
        subject: "output-file",
        outcome: OutputFile::try_out(path)
            .map(|()| format!("{} can be written", Visible(&path.to_string_lossy()))),
    });
    let ipfix = plan.collectors(&[]).map(|settings| {
        let name = settings.collector.clone();
        Export {
            subject: "ipfix",
            outcome: Ipfix::open(settings)
                .map(|_| format!("records can be sent to {}", Visible(&name))),
        }
    });
    let metrics = plan.metrics().map(|settings| Export {
        subject: "metrics",
        outcome: Prometheus::open(settings).map(|metrics| format!("{} is free", metrics.listen())),
    });
    ipfix.chain(metrics).chain(file).collect()
}

impl Run {
    /// Lets scrapes in: to be called when the process has given up its rights.
    pub(in crate::run) fn serve_metrics(&mut self, caller: &Sender<Signal>) -> Result<()> {
        let caller = caller.clone();
        match &mut self.exports.metrics {
            Some(metrics) => metrics.serve(Box::new(move |reply| {
                caller.send(Signal::Scrape(reply)).is_ok()
            })),
            None => Ok(()),
        }
    }

    /// Gathers what a page of metrics says, as of now.
    pub(in crate::run) fn scrape(&mut self, reply: Reply) -> Result<()> {
        self.tick()?;
        let tick = Tick {
            now_ns: self.table.scanned_ns(),
            table: &self.table,
            turned: &[],
            ended: &[],
            report: &self.report,
            facts: &self.knowledge,
        };
        if let Some(metrics) = &mut self.exports.metrics {
            // Who asked may have gone.
            let _ = reply.send(metrics.snapshot(&tick));
        }
        Ok(())
    }
}
