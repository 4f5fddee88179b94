//! Response times as the kernel has them: one line for each connection.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, anyhow};
use libbpf_rs::{MapCore as _, MapFlags, libbpf_sys};

use super::kernel::Tables;
use super::record::{self, Jiffies};
use super::sys::{self, types};
use crate::connection::Sample;

/// Reading all lines costs as much as looking up one of so many.
const WHOLE_PER_LOOKUP: usize = 8;
/// `UDP_TRACK_NO_LINE`.
const NO_LINE: u32 = u32::MAX;

/// Connections that were read, of which some still lack their response times.
#[derive(Default)]
pub(super) struct Untimed {
    samples: Vec<Sample>,
    /// Which of them, and their lines.
    owners: Vec<(u32, usize)>,
}

impl Untimed {
    /// With room for so many.
    pub fn with_capacity(connections: usize) -> Self {
        Self {
            samples: Vec::with_capacity(connections),
            owners: Vec::new(),
        }
    }

    /// Takes one, unless it has not counted its first packet yet. One that nobody has answered waits since its first packet: its
    /// line says no more.
    pub fn push(&mut self, id: u64, raw: &types::udp_track_connection, jiffies: Jiffies) {
        let answered = raw.seen & !(1 << (raw.origin & 1)) != 0;
        let response = types::udp_track_response {
            waiting_ns: if answered || raw.line == NO_LINE {
                0
            } else {
                raw.first_ns
            },
            ..Default::default()
        };
        let Some(sample) = record::sample(id, raw, &response, jiffies) else {
            return;
        };
        if answered && raw.line != NO_LINE {
            self.owners.push((raw.line, self.samples.len()));
        }
        self.samples.push(sample);
    }

    /// Gives the others their response times, which are read only now: so no request that was counted is missing among those
    /// that wait. They are all zero where the line is another connection's by now.
    pub fn timed(mut self, tables: &Tables) -> Result<Vec<Sample>> {
        if self.owners.is_empty() {
            return Ok(self.samples);
        }
        let used = used(tables)?;
        if self.owners.len() < used / WHOLE_PER_LOOKUP {
            for (number, owner) in self.owners {
                if let Some(line) = look_up(tables, number)? {
                    time(&mut self.samples[owner], &line);
                }
            }
            return Ok(self.samples);
        }
        let mut owners = vec![usize::MAX; used];
        for (number, owner) in self.owners {
            if let Some(place) = owners.get_mut(number as usize) {
                *place = owner;
            }
        }
        sys::read_map(
            tables.responses.as_fd(),
            u64::from(libbpf_sys::BPF_F_LOCK),
            used,
            |number: &u32, line: &types::udp_track_response_line| {
                let owner = owners.get(*number as usize);
                if let Some(sample) = owner.and_then(|owner| self.samples.get_mut(*owner)) {
                    time(sample, line);
                }
            },
        )
        .context("cannot read responses")?;
        Ok(self.samples)
    }
}

fn time(sample: &mut Sample, line: &types::udp_track_response_line) {
    if u64::from(line.tag) == sample.id.0 & u64::from(u32::MAX) {
        sample.response = record::response(&line.response);
    }
}

fn look_up(tables: &Tables, line: u32) -> Result<Option<types::udp_track_response_line>> {
    let Some(bytes) = tables
        .responses
        .lookup(&line.to_ne_bytes(), MapFlags::LOCK)
        .context("cannot read responses")?
    else {
        return Ok(None);
    };
    let mut raw = types::udp_track_response_line::default();
    plain::copy_from_bytes(&mut raw, &bytes)
        .map_err(|_| anyhow!("response times of {} bytes", bytes.len()))?;
    Ok(Some(raw))
}

/// How many lines were ever used.
fn used(tables: &Tables) -> Result<usize> {
    let mut used = 0;
    sys::read_map(
        tables.fresh_lines.as_fd(),
        0,
        1,
        |_: &u32, fresh: &types::udp_track_fresh_lines| used = fresh.next as usize,
    )
    .context("cannot read fresh_lines")?;
    Ok(used)
}
