//! From the command line to what a run works with: hooks attached and said, the output chosen.

use std::io::{self, BufWriter, StdoutLock};

use anyhow::{Context as _, Result};

use super::process::say;
use crate::bpf::{self, Attachment, Tracker};
use crate::cli::{self, Config, OutputKind};
use crate::interface::Interface;
use crate::output::{Clock, Grouped, Json, Kinds, Output, TextTable, Trace, Visible};

pub(super) fn kinds(events: &[cli::EventKind]) -> Kinds {
    Kinds {
        new: events.contains(&cli::EventKind::New),
        data: events.contains(&cli::EventKind::Data),
        end: events.contains(&cli::EventKind::End),
    }
}

fn request(config: &Config) -> bpf::Request {
    bpf::Request {
        hook: match config.hook {
            cli::Hook::Auto => bpf::HookChoice::Auto,
            cli::Hook::Xdp => bpf::HookChoice::Xdp,
            cli::Hook::Tc => bpf::HookChoice::Tc,
        },
        xdp_mode: match config.xdp_mode {
            cli::XdpMode::Auto => bpf::XdpMode::Auto,
            cli::XdpMode::Native => bpf::XdpMode::Native,
            cli::XdpMode::Generic => bpf::XdpMode::Generic,
        },
        egress: config.egress,
    }
}

pub(super) fn output(config: &Config, kinds: Kinds) -> Result<Box<dyn Output>> {
    let out: BufWriter<StdoutLock<'static>> =
        BufWriter::with_capacity(1 << 16, io::stdout().lock());
    Ok(match config.output {
        OutputKind::Trace => Box::new(Trace::new(out, kinds)),
        OutputKind::Table => Box::new(TextTable::new(out)),
        OutputKind::Json => {
            let clock = Clock::new().context("cannot read the clock")?;
            Box::new(Json::new(out, clock, kinds))
        }
    })
}

/// Attaches to all interfaces or to none, and says how.
pub(super) fn attach_all(
    config: &Config,
    tracker: &mut Tracker,
    interfaces: &[Interface],
) -> Result<Vec<Attachment>> {
    let request = request(config);
    if let Some(obstacle) = tracker.cache_obstacle() {
        say(format_args!(
            "counting without the per-CPU cache, exact but slower: {obstacle}"
        ));
    }
    let attachments = interfaces
        .iter()
        .map(|interface| bpf::attach(tracker, interface, request))
        .collect::<Result<Vec<_>>>()?;
    for attachment in &attachments {
        let name = Visible(&attachment.interface.name);
        for note in &attachment.notes {
            say(format_args!("{name}: {note}"));
        }
        if !attachment.interface.up {
            say(format_args!(
                "{name} is down: nothing passes until it is up"
            ));
        }
        if !config.quiet {
            let sent = match attachment.egress {
                Some(hook) => format!("sent by {hook}"),
                None if attachment.interface.loopback => "which is also what it sends".to_owned(),
                None => "sent is not seen".to_owned(),
            };
            say(format_args!(
                "tracking {name}: received by {}, {sent}",
                attachment.ingress
            ));
        }
    }
    if config.verbose {
        say(format_args!(
            "room for {} connections and {} addresses of each family",
            Grouped(u64::from(config.max_connections)),
            Grouped(u64::from(config.max_ips))
        ));
    }
    Ok(attachments)
}

pub(super) fn attached_names(attachments: &[Attachment]) -> String {
    let names: Vec<String> = attachments
        .iter()
        .map(|attachment| Visible(&attachment.interface.name).to_string())
        .collect();
    names.join(", ")
}
