//! Buffers of UDP sockets: loads `udp_process_buffers` of `bpf/process.bpf.c`, and reads its records.
//!
//! Everything that needs rights is done by [`Buffers::load`]; reading needs `CAP_BPF` alone.

use std::io;

use anyhow::{Context as _, Result};
use libbpf_rs::{IterOpts, Link};

use super::iterator::each_record;
use super::sockets::{Programs, programs, socket};
use crate::bpf::program::log;
use crate::bpf::program::refusal::{is_refused, program_path};
use crate::bpf::sys::process_types as types;
use crate::sockets::Reading;

const RECORD: usize = size_of::<types::udp_process_buffer>();
const _: () = assert!(RECORD == 152);

fn no_rights() -> String {
    format!(
        "not permitted. Run udptrack as root (sudo), or give the program the capabilities (sudo setcap cap_bpf,cap_perfmon+ep {})",
        program_path()
    )
}

/// The iterator over bound sockets, loaded.
pub struct Buffers {
    link: Link,
}

impl Buffers {
    /// Loads it.
    pub fn load() -> Result<Self> {
        log::capture();
        let loaded = Self::load_program();
        let messages = log::take();
        loaded.map_err(|error| {
            if is_refused(&error) {
                return error.context(no_rights());
            }
            match messages.lines().last() {
                Some(why) => error.context(why.to_owned()),
                None => error,
            }
        })
    }

    fn load_program() -> Result<Self> {
        let skeleton = programs(Programs::BUFFERS)?;
        let program = &skeleton.progs.udp_process_buffers;
        let link = program
            .attach_iter_with_opts(IterOpts::None)
            .context("cannot iterate over sockets")?;
        Ok(Self { link })
    }

    /// Every bound UDP socket of the network namespace of this thread, as it is now.
    pub fn read(&self) -> io::Result<Vec<Reading>> {
        let mut readings = Vec::new();
        each_record(&self.link, RECORD, |bytes| readings.extend(reading(bytes)))?;
        Ok(readings)
    }
}

fn reading(bytes: &[u8]) -> Option<Reading> {
    let mut raw = types::udp_process_buffer::default();
    plain::copy_from_bytes(&mut raw, bytes).ok()?;
    Some(Reading {
        socket: socket(&raw.socket),
        inode: raw.inode,
        next: raw.next,
        receive_buffer: raw.receive_buffer,
        is_chosen: raw.chosen != 0,
        charged: raw.charged,
        // What was read may be given back between the two loads that it is made of.
        queued: if raw.queued > raw.charged {
            0
        } else {
            raw.queued
        },
        datagrams: raw.datagrams,
        drops: raw.drops,
        send_buffer: raw.send_buffer,
        sending: raw.sending,
    })
}
