//! Tries to open the exports of a run, for `udptrack check`.

use anyhow::Result;

use crate::check::Export;
use crate::export::{Ipfix, Prometheus};
use crate::model::text::Visible;
use crate::plan::{Captures, Plan, WriteTo};
use crate::run::writer::OutputFile;

/// Opens what a run would open, and lets it go again. A file that is not there is not made.
pub(crate) fn try_out(plan: &Plan) -> Vec<Export> {
    let file = plan.file.as_deref().map(|path| Export {
        subject: "output-file",
        outcome: OutputFile::try_out(path, "--output-file")
            .map(|()| format!("{} can be written", Visible(&path.to_string_lossy()))),
    });
    let capture = plan.captures.as_ref().map(|captures| Export {
        subject: "write",
        outcome: try_out_capture(captures).map(|()| format!("{} can be written", captures.name())),
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
    ipfix.chain(metrics).chain(file).chain(capture).collect()
}

/// Whether the first file could be opened, found out without making it.
pub(in crate::run) fn try_out_capture(captures: &Captures) -> Result<()> {
    if let Some(WriteTo::File { path, .. }) = &captures.to {
        OutputFile::try_out(path, "-w")?;
    }
    if let Some(record) = captures.record.as_ref().filter(|record| record.on_alert) {
        OutputFile::try_out(&record.folder.join("udptrack.pcapng"), "--record-on-alert")?;
    }
    Ok(())
}
