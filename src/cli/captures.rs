//! Flags of captures that are written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum as _, ValueHint};

use super::arguments::Arguments;
use super::choices::OutputKind;
use super::{number, size, time};

/// What is written, and when another file is begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureFlags {
    /// The file; `-` is standard output.
    pub write: Option<PathBuf>,
    /// Bytes of each frame; 0: all.
    pub snaplen: u32,
    /// Bytes of a file.
    pub file_bytes: Option<u64>,
    /// Seconds of a file.
    pub file_seconds: Option<u64>,
    /// How many files.
    pub files: Option<u32>,
    /// Bytes of frames in memory.
    pub record: Option<u64>,
    /// Where an alert saves them.
    pub record_folder: Option<PathBuf>,
    /// How long the frames after it are saved, too.
    pub record_after: Duration,
}

/// The flags themselves.
#[derive(Debug, Args)]
#[command(next_help_heading = "Captures")]
pub(super) struct WriteFlags {
    /// Write frames to this file, as pcapng; `-` for standard output
    ///
    /// It has the frames of the connections that the filter, --status, --proto and --process choose.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    write: Option<PathBuf>,

    /// Write at most N bytes of each frame; 0 for all [default: 128; of a capture that is read: 0]
    #[arg(long, value_name = "N", value_parser = snaplen)]
    snaplen: Option<u32>,

    /// Begin another file when a file is larger than SIZE, such as 100MB; a number alone means millions of bytes
    ///
    /// From the second file on, a number follows the name.
    #[arg(short = 'C', long, value_name = "SIZE", value_parser = size::file)]
    file_size: Option<u64>,

    /// Begin another file after TIME: whole seconds, 1s or more
    ///
    /// Put the time into the file's name, as in strftime: -w 'udp-%H%M%S.pcapng'.
    #[arg(short = 'G', long, value_name = "TIME", value_parser = seconds)]
    file_time: Option<u64>,

    /// Write at most N files: after that, -C overwrites the first one, and -G ends the run
    #[arg(short = 'W', long, value_name = "N", value_parser = number::within(1_u32..))]
    file_count: Option<u32>,

    /// Keep the latest frames in memory, such as 64MB; the key R, SIGUSR2 or an alert saves them
    ///
    /// They go to a file udptrack-TIME.pcapng in the current folder, or in the folder of --record-on-alert.
    #[arg(long, value_name = "SIZE", value_parser = size::memory)]
    record: Option<u64>,

    /// Save the frames of --record to this folder when an alert begins
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    record_on_alert: Option<PathBuf>,

    /// Also save the frames of the next TIME: 0s to 1h [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = time::after)]
    record_after: Option<Duration>,
}

/// Bytes of a frame that are kept: headers, and the first of the payload.
const SNAPLEN: u32 = 128;
/// What follows an alert and is saved with what was before it.
const AFTER: Duration = Duration::from_secs(10);

impl WriteFlags {
    /// Whether frames are written.
    fn is_given(&self) -> bool {
        self.write.is_some()
    }

    /// Whether it goes to standard output.
    fn is_stdout(&self) -> bool {
        self.write.as_deref() == Some(Path::new("-"))
    }

    /// Of a capture that is read, frames are written as they are.
    pub(super) fn captures(self, is_replay: bool) -> Result<CaptureFlags, String> {
        if self.record.is_none() && self.record_on_alert.is_some() {
            return Err("--record-on-alert needs --record SIZE".to_owned());
        }
        if self.record.is_none() && self.record_after.is_some() {
            return Err("--record-after needs --record SIZE".to_owned());
        }
        let more = [
            ("-C", self.file_size.is_some()),
            ("-G", self.file_time.is_some()),
            ("-W", self.file_count.is_some()),
            ("--snaplen", self.snaplen.is_some() && self.record.is_none()),
        ];
        if self.write.is_none()
            && let Some((flag, _)) = more.iter().find(|(_, is_given)| *is_given)
        {
            return Err(format!("{flag} needs -w FILE"));
        }
        if self.file_count.is_some() && self.file_size.is_none() && self.file_time.is_none() {
            return Err("-W needs -C or -G: without them there is only one file".to_owned());
        }
        if self.is_stdout() && (self.file_size.is_some() || self.file_time.is_some()) {
            return Err("-C and -G need a file, but -w - is standard output".to_owned());
        }
        Ok(CaptureFlags {
            write: self.write,
            snaplen: self.snaplen.unwrap_or(if is_replay { 0 } else { SNAPLEN }),
            file_bytes: self.file_size,
            file_seconds: self.file_time,
            files: self.file_count,
            record: self.record,
            record_folder: self.record_on_alert,
            record_after: self.record_after.unwrap_or(AFTER),
        })
    }
}

/// What contradicts a capture. With `-w -`, standard output is taken.
pub(super) fn check(
    arguments: &Arguments,
    output: OutputKind,
    terminal: bool,
) -> Result<(), String> {
    let flags = &arguments.captures;
    if flags.record_on_alert.is_some() && !arguments.act.has_rules() {
        return Err("--record-on-alert needs --alert RULE".to_owned());
    }
    if arguments.pins.keep && (flags.write.is_some() || flags.record.is_some()) {
        return Err(
            "--keep does not work with -w and --record: while udptrack does not run, nothing can write the frames. Leave out one of them"
                .to_owned(),
        );
    }
    if flags.write.is_none() {
        return Ok(());
    }
    if !flags.is_stdout() {
        return Ok(());
    }
    if terminal {
        return Err(
            "-w - would write a binary capture to the terminal: use -w FILE, or a pipe after -w -"
                .to_owned(),
        );
    }
    if arguments.output_file.is_none() && has_output(arguments) {
        return Err(format!(
            "-w - and -o {} cannot both go to standard output: send the second one to a file with --output-file",
            output
                .to_possible_value()
                .map_or_else(String::new, |it| it.get_name().to_owned())
        ));
    }
    Ok(())
}

/// Whether an output was asked for.
fn has_output(arguments: &Arguments) -> bool {
    arguments.output.is_some()
        || arguments.json
        || arguments.once.is_some()
        || !arguments.events.is_empty()
        || arguments.command.is_some()
}

/// Whether nothing is shown beside the capture: it goes to standard output, or it is made of another one and no output was asked for.
pub(super) fn is_all(arguments: &Arguments) -> bool {
    let is_made = arguments.captures.is_given() && !arguments.reading.read.is_empty();
    arguments.output_file.is_none()
        && (arguments.captures.is_stdout() || (is_made && !has_output(arguments)))
}

fn snaplen(text: &str) -> Result<u32, String> {
    let bytes = number::within(0_u32..=262_144)(text)?;
    Ok(if bytes == 262_144 { 0 } else { bytes })
}

fn seconds(text: &str) -> Result<u64, String> {
    let time = time::duration(text)?;
    if time < Duration::from_secs(1) || time.subsec_nanos() > 0 {
        return Err("write it as whole seconds: 1s or more".to_owned());
    }
    Ok(time.as_secs())
}
