//! Scrapes of Prometheus: served by a thread, which asks the loop for what is in a page.

use std::sync::mpsc::Sender;

use anyhow::Result;

use super::Run;
use super::signals::Signal;
use crate::export::Reply;
use crate::model::Tick;

impl Run {
    /// Lets scrapes in: to be called when the process has given up its rights.
    pub(super) fn serve_metrics(&mut self, caller: &Sender<Signal>) -> Result<()> {
        let caller = caller.clone();
        match &mut self.sinks.others.metrics {
            Some(metrics) => metrics.serve(Box::new(move |reply| {
                caller.send(Signal::Scrape(reply)).is_ok()
            })),
            None => Ok(()),
        }
    }

    /// Gathers what a page of metrics says, as of now.
    pub(super) fn scrape(&mut self, reply: Reply) -> Result<()> {
        self.refresh()?;
        let now_ns = self.table.scanned_ns();
        let tick = Tick::new(now_ns, &self.table, &self.report, &self.knowledge);
        if let Some(metrics) = &mut self.sinks.others.metrics {
            // Who asked may have gone.
            let _ = reply.send(metrics.snapshot(&tick));
        }
        Ok(())
    }
}
