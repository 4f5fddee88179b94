//! The exporters of a run: made from the configuration, told what happens, their messages said.

use std::sync::mpsc::Sender;

use anyhow::Result;

use super::calls::Call;
use super::process::say;
use super::run::Run;
use super::setup::one_way_ports;
use super::writer::OutputFile;
use crate::check::Export;
use crate::cli::Config;
use crate::export::{Exporter, Ipfix, IpfixSettings, Prometheus, PrometheusSettings, Reply};
use crate::interface::Interface;
use crate::model::text::Visible;
use crate::model::{EndReason, Facts, Sample, Tick};

/// Whatever the configuration has.
pub(super) struct Exports {
    ipfix: Vec<Ipfix>,
    metrics: Option<Prometheus>,
}

impl Exports {
    /// Opens what they need, with all rights and before anything is attached.
    pub fn open(config: &Config, interfaces: &[Interface]) -> Result<Self> {
        Ok(Self {
            ipfix: collectors(config, domain(config, interfaces))
                .map(|(_, ipfix)| ipfix)
                .collect::<Result<_>>()?,
            metrics: metrics(config).transpose()?,
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

/// Memory of this process that exports take at most, in bytes.
pub(super) fn bytes(config: &Config) -> u64 {
    let ipfix = config.export.ipfix.iter();
    ipfix
        .map(|ipfix| {
            let each = IpfixSettings::bytes(config.max_connections, ipfix.biflow);
            each * ipfix.collectors.len() as u64
        })
        .sum()
}

/// A way to each collector.
fn collectors(config: &Config, domain: u32) -> impl Iterator<Item = (&str, Result<Ipfix>)> {
    let ipfix = config.export.ipfix.iter();
    ipfix.flat_map(move |ipfix| {
        ipfix.collectors.iter().map(move |collector| {
            let settings = IpfixSettings {
                collector: collector.clone(),
                biflow: ipfix.biflow,
                active_timeout: ipfix.active_timeout,
                domain: ipfix.domain.unwrap_or(domain),
                connections: config.max_connections,
            };
            (&**collector, Ipfix::open(settings))
        })
    })
}

/// No interface has such an index.
const SEVERAL: u32 = 1 << 31;

/// Each run has a domain of its own, so that a collector does not mix their sequences: the interface's, or one for those of this
/// namespace (FNV-1a).
fn domain(config: &Config, interfaces: &[Interface]) -> u32 {
    if let ([interface], None) = (interfaces, &config.netns) {
        return interface.index.0;
    }
    let indexes = interfaces
        .iter()
        .flat_map(|interface| interface.index.0.to_be_bytes());
    let namespace = config.netns.iter().flat_map(|name| name.bytes());
    let hash = namespace
        .chain(indexes)
        .fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
    SEVERAL | hash
}

/// The address for scrapes.
fn metrics(config: &Config) -> Option<Result<Prometheus>> {
    let listen = config.export.metrics?;
    Some(Prometheus::open(PrometheusSettings {
        listen,
        top: config.export.metrics_top,
        one_way_ports: one_way_ports(config),
    }))
}

/// Opens what a run would open, and lets it go again. A file that is not there is not made.
pub(super) fn try_out(config: &Config) -> Vec<Export> {
    let file = config.output_file.as_deref().map(|path| Export {
        subject: "output-file",
        outcome: OutputFile::try_out(path)
            .map(|()| format!("{} can be written", Visible(&path.to_string_lossy()))),
    });
    let ipfix = collectors(config, 0).map(|(name, ipfix)| Export {
        subject: "ipfix",
        outcome: ipfix.map(|_| format!("records can be sent to {}", Visible(name))),
    });
    let metrics = metrics(config).map(|metrics| Export {
        subject: "metrics",
        outcome: metrics.map(|metrics| format!("{} is free", metrics.listen())),
    });
    ipfix.chain(metrics).chain(file).collect()
}

impl Run<'_> {
    /// Lets scrapes in: to be called when the process has given up its rights.
    pub(super) fn serve_metrics(&mut self, caller: &Sender<Call>) -> Result<()> {
        let caller = caller.clone();
        match &mut self.exports.metrics {
            Some(metrics) => metrics.serve(Box::new(move |reply| {
                caller.send(Call::Scrape(reply)).is_ok()
            })),
            None => Ok(()),
        }
    }

    /// Gathers what a page of metrics says, as of now.
    pub(super) fn scrape(&mut self, reply: Reply) -> Result<()> {
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
