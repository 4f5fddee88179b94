//! `udptrack sockets`: what the UDP sockets of a network namespace drop. Tracks nothing and attaches nothing.

use std::io::{self, BufWriter, IsTerminal as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::Outcome;
use super::fence::{self, give_up_rights};
use super::looking::{Looking, PAUSE_PER_LOOK};
use super::signals::{self, Signal};
use super::sinks::terminal_size;
use crate::cli::{Config, OutputKind};
use crate::clock::processor_time;
use crate::console::{Stdout, ignore_closed_pipe, say};
use crate::interface;
use crate::model::services::{SERVICES, Services};
use crate::model::text::{Grouped, Span, Visible};
use crate::netns;
use crate::output::{Clock, CsvRows, JsonLines, SocketOutput, SocketRecords, SocketTable};
use crate::sockets::{Choice, Limits, Snapshot};

/// How often it looks, at most: the more often, the truer is what it has seen at most.
const LOOK: Duration = Duration::from_millis(100);

/// Looks and shows, until something says that it is enough.
pub(crate) fn sockets(config: &Config) -> Result<Outcome> {
    // Many limits are the whole machine's, and another namespace does not show them.
    let limits = Limits::read();
    netns::enter(config.netns.as_deref())?;
    signals::hold_signals()?;
    let (caller, signals) = signals::channel();
    let mut watching = Watching::start(config, limits)?;
    give_up_rights().context("cannot give up the rights that are no longer needed")?;
    fence::put_up(fence::Open::default(), false)?;
    signals::forward_signals(caller, false, || {})?;
    ignore_closed_pipe(watching.until_stopped(&signals))?;
    watching.say_cost();
    Ok(if config.check && watching.has_drops {
        Outcome::Rows
    } else {
        Outcome::Fine
    })
}

struct Watching<'a> {
    config: &'a Config,
    looking: Looking,
    choice: Choice,
    output: Box<dyn SocketOutput>,
    /// A snapshot had a socket that dropped something since the first look.
    has_drops: bool,
    /// It was said that no socket fits.
    has_said: bool,
    looks: u32,
    /// What they took together.
    took: Duration,
}

impl<'a> Watching<'a> {
    fn start(config: &'a Config, limits: Limits) -> Result<Self> {
        Ok(Self {
            looking: Looking::start(limits)?,
            choice: Choice {
                process: config.rows.process.clone(),
                top: config.rows.top,
            },
            output: output(config)?,
            has_drops: false,
            has_said: false,
            looks: 0,
            took: Duration::ZERO,
            config,
        })
    }

    fn until_stopped(&mut self, signals: &Receiver<Signal>) -> Result<()> {
        let started = Instant::now();
        let deadline = self.config.duration.map(|duration| started + duration);
        let mut remaining = self.config.count;
        let mut next_look = self.look()?;
        let mut next_snapshot = started + self.config.delay;
        while remaining != Some(0) {
            let wake = next_look.min(next_snapshot);
            let wake = deadline.map_or(wake, |deadline| deadline.min(wake));
            match signals.recv_timeout(wake.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) | Ok(Signal::Summary) => {}
                _ => break,
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                break;
            }
            if now < next_look.min(next_snapshot) {
                continue;
            }
            next_look = self.look()?;
            if now >= next_snapshot {
                self.show()?;
                next_snapshot = now + self.config.delay;
                remaining = remaining.map(|remaining| remaining - 1);
            }
        }
        Ok(())
    }

    /// Takes a look, and says when to take the next one.
    fn look(&mut self) -> Result<Instant> {
        let (start, before) = (Instant::now(), processor_time()?);
        self.looking.look()?;
        let took = processor_time()?.saturating_sub(before);
        self.looks += 1;
        self.took += took;
        Ok(start + LOOK.max(took * PAUSE_PER_LOOK))
    }

    fn show(&mut self) -> Result<()> {
        let snapshot = self.looking.snapshot(&self.choice)?;
        self.has_drops |= snapshot.drops_seen > 0;
        if snapshot.rows.is_empty() && !self.config.check {
            self.say_that_nothing_fits(&snapshot)?;
        }
        self.output.snapshot(&snapshot)?;
        self.output.flush()?;
        Ok(())
    }

    /// Once. A failure where it is the only table, as in `udptrack list`.
    fn say_that_nothing_fits(&mut self, snapshot: &Snapshot) -> Result<()> {
        let Some(process) = &self.choice.process else {
            return Ok(());
        };
        let (process, watched) = (Visible(process), Grouped(snapshot.watched));
        let word = if snapshot.watched == 1 {
            "socket"
        } else {
            "sockets"
        };
        let text = format!("nothing fits \"process {process}\" ({watched} {word})");
        if self.config.once {
            bail!(text);
        }
        if !std::mem::replace(&mut self.has_said, true) {
            say(format_args!("{text}"));
        }
        Ok(())
    }

    /// What looking comes to.
    fn say_cost(&self) {
        if let Some(each) = self.took.checked_div(self.looks)
            && self.config.verbose
        {
            let ns = |time: Duration| Span(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
            say(format_args!(
                "looked {} times, with {} of processor time each",
                Grouped(self.looks.into()),
                ns(each)
            ));
        }
    }
}

fn output(config: &Config) -> Result<Box<dyn SocketOutput>> {
    let out = BufWriter::with_capacity(1 << 16, Stdout::lock());
    let clock = || Clock::new().context("cannot read the clock");
    let device = interface::name_of;
    Ok(match config.output {
        OutputKind::Json => Box::new(SocketRecords::new(JsonLines::new(out), clock()?, device)),
        OutputKind::Csv => Box::new(SocketRecords::new(CsvRows::sockets(out)?, clock()?, device)),
        _ => {
            let is_terminal = io::stdout().is_terminal();
            let mut table = SocketTable::new(out, device);
            table.services = (!config.numeric).then(|| Services::read(Path::new(SERVICES)));
            table.size = is_terminal.then_some(terminal_size);
            table.replaces = is_terminal && !config.once;
            Box::new(table)
        }
    })
}
