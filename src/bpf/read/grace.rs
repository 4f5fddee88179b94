//! Waiting for programs that run.

use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context as _, Result};
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType, libbpf_sys};

use crate::bpf::sys;

/// Returns when every program that was running at the call has returned.
pub(in crate::bpf) fn wait_for_programs() -> Result<()> {
    if sys::membarrier().is_ok() {
        return Ok(());
    }
    replace_inner_map().context("cannot wait for the programs that run")
}

/// Putting a map into a map waits for all programs, because they may be using the map that was there
/// (`maybe_wait_bpf_programs()` in kernel/bpf/syscall.c, from Linux 4.20 on).
fn replace_inner_map() -> Result<()> {
    let size = u32::try_from(size_of::<u32>())?;
    let mut options = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    let inner = MapHandle::create(MapType::Array, None::<&str>, size, size, 1, &options)?;
    options.inner_map_fd = u32::try_from(inner.as_fd().as_raw_fd())?;
    let outer = MapHandle::create(MapType::ArrayOfMaps, None::<&str>, size, size, 1, &options)?;
    let descriptor = inner.as_fd().as_raw_fd().to_ne_bytes();
    outer.update(&0_u32.to_ne_bytes(), &descriptor, MapFlags::ANY)?;
    Ok(())
}
