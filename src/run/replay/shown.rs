//! What is shown while a capture is read, and at its end, beside what the run shows: the live view, how far reading is, what was late.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::progress;
use super::{Goes, Replay};
use crate::console::say;
use crate::model::Tick;
use crate::model::text::Grouped;
use crate::run::Run;

impl Replay<'_> {
    /// The live view as it is now, if it is time for that.
    pub(super) fn show_frame(&mut self, now: Instant) -> Result<()> {
        if self.run.sinks.display.view().is_none() || !self.run.sinks.display.wants_snapshot() {
            return Ok(());
        }
        let state = match self.run.plan.speed {
            Some(speed) => format!("{} frames at {speed}x", Grouped(self.frames)),
            None => self
                .progress
                .words(now, self.frames, self.source.queue.read_bytes()),
        };
        self.draw(Some(state))
    }

    pub(super) fn draw(&mut self, state: Option<String>) -> Result<()> {
        if let Some(view) = self.run.sinks.display.view() {
            view.say_progress(state);
        }
        self.run.refresh()?;
        let run = &mut *self.run;
        let tick = Tick::new(self.now_ns, &run.table, &run.report, &run.knowledge);
        run.sinks.display.show(&tick)?;
        Ok(())
    }

    /// The live view stays as the capture has ended, until somebody wants it to end.
    pub(super) fn show_end(&mut self) -> Result<()> {
        self.draw(Some(progress::ended(self.frames)))?;
        while self.rest(Duration::from_secs(1))? == Goes::On {
            self.run.service.alive(Instant::now());
        }
        Ok(())
    }

    pub(super) fn say_late(&self) {
        if self.late > 0 && !self.run.plan.quiet {
            let (are, their) = if self.late == 1 {
                ("frame is", "it counts")
            } else {
                ("frames are", "they count")
            };
            say(format_args!(
                "{} {are} older than one before, by up to {}: {their} as of its time",
                Grouped(self.late),
                humantime::format_duration(Duration::from_micros(self.latest_ns.div_ceil(1000)))
            ));
        }
    }
}

/// Whether nothing else is written to the terminal meanwhile.
pub(super) fn can_show_progress(run: &Run) -> bool {
    let shown = &run.plan.shown;
    let is_written_to_it =
        io::stdout().is_terminal() && run.plan.file.is_none() && !shown.is_nothing();
    io::stderr().is_terminal() && (!is_written_to_it || run.plan.shown.once)
}
