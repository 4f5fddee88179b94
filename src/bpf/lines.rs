//! Response times as the kernel has them: one line for each connection.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, anyhow};
use libbpf_rs::{MapCore as _, MapFlags, libbpf_sys};

use super::kernel::Tables;
use super::sys::{self, types};

/// Reading all lines costs as much as looking up one of so many.
const WHOLE_PER_LOOKUP: usize = 8;

/// The lines of all connections, or the way to those of a few.
pub(super) struct Lines<'a> {
    tables: &'a Tables,
    /// All that were ever used; `None` when few are wanted.
    all: Option<Vec<types::udp_track_response_line>>,
}

impl<'a> Lines<'a> {
    /// For so many connections.
    pub fn read(tables: &'a Tables, connections: usize) -> Result<Self> {
        let used = used(tables)?;
        if connections < used / WHOLE_PER_LOOKUP {
            return Ok(Self { tables, all: None });
        }
        let mut lines = Vec::with_capacity(used);
        sys::read_map(
            tables.responses.as_fd(),
            u64::from(libbpf_sys::BPF_F_LOCK),
            used,
            |_: &u32, line: &types::udp_track_response_line| lines.push(*line),
        )
        .context("cannot read responses")?;
        Ok(Self {
            tables,
            all: Some(lines),
        })
    }

    /// The response times of a connection; all zero where it has no line, or one that is another's by now.
    pub fn response(
        &self,
        id: u64,
        connection: &types::udp_track_connection,
    ) -> Result<types::udp_track_response> {
        let line = match &self.all {
            Some(lines) => lines.get(connection.line as usize).copied(),
            None => self.look_up(connection.line)?,
        };
        Ok(line
            .filter(|line| u64::from(line.tag) == id & u64::from(u32::MAX))
            .map_or_else(Default::default, |line| line.response))
    }

    fn look_up(&self, line: u32) -> Result<Option<types::udp_track_response_line>> {
        let responses = &self.tables.responses;
        let Some(bytes) = responses
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
