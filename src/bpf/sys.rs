//! All unsafe code: the generated skeleton, plain-data marks for its types, and the few system calls that libbpf-rs
//! does not wrap. Knows nothing of connections.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;
use std::time::Duration;

use libbpf_rs::libbpf_sys;
use plain::Plain;

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    unused_imports
)]
mod skeleton {
    include!(concat!(env!("OUT_DIR"), "/udp_track.skel.rs"));
}
pub(super) use skeleton::types;
pub(super) use skeleton::{OpenUdpTrackSkel, UdpTrackSkel, UdpTrackSkelBuilder};

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    unused_imports
)]
mod process_skeleton {
    include!(concat!(env!("OUT_DIR"), "/process.skel.rs"));
}
pub(super) use process_skeleton::types as process_types;
pub(super) use process_skeleton::{ProcessSkel, ProcessSkelBuilder};

// SAFETY: each is repr(C), made of integers alone with its padding spelled out (asserted by size in udp_track.h and in
// record.rs), so every pattern of bits is a value of it.
unsafe impl Plain for types::udp_track_stats {}
// SAFETY: as above.
unsafe impl Plain for types::udp_track_books {}
// SAFETY: as above.
unsafe impl Plain for types::udp_track_event {}
// SAFETY: as above.
unsafe impl Plain for types::udp_track_dns_budget {}

// SAFETY: as above.
unsafe impl Plain for types::udp_track_ip {}
// SAFETY: as above.
unsafe impl Plain for types::udp_track_response_line {}
// SAFETY: as above.
unsafe impl Plain for types::udp_track_fresh_lines {}

// SAFETY: as above.
unsafe impl Plain for types::udp_track_sweep {}
// SAFETY: as above.
unsafe impl Plain for types::udp_track_expiry {}
// SAFETY: as above.
unsafe impl Plain for types::udp_track_clock {}
// SAFETY: as above.
unsafe impl Plain for types::udp_track_ended {}
// SAFETY: as above.
unsafe impl Plain for types::udp_track_instance {}
// SAFETY: as above.
unsafe impl Plain for types::udp_track_hook {}
// SAFETY: as above.
unsafe impl Plain for types::udp_track_set4 {}
// SAFETY: as above.
unsafe impl Plain for types::udp_track_set6 {}
// SAFETY: as above.
unsafe impl Plain for types::udp_track_filter {}

// SAFETY: the same, asserted in process.h and sockets.rs; its arrays are of bytes.
unsafe impl Plain for process_types::udp_process_socket {}

/// Keys of our maps.
pub(super) trait Key: Copy + Default {}
impl Key for u32 {}
impl Key for u64 {}
impl Key for [u64; 2] {}

/// Creates a link of `program` to an interface: XDP or TCX, which libbpf-rs offers without a mode or not at all.
///
/// The kernel detaches the program when the last copy of the descriptor is closed, however the process ends.
/// `flags` are `XDP_FLAGS_*` for XDP and 0 for TCX. Errors are the kernel's.
pub(super) fn create_link(
    program: BorrowedFd<'_>,
    ifindex: u32,
    attach_type: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let target =
        i32::try_from(ifindex).map_err(|_| io::Error::from_raw_os_error(nix::libc::ENODEV))?;
    let mut options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    options.flags = flags;
    // SAFETY: the descriptor is borrowed for the call, and `options` lives through it with its size filled in.
    let link = unsafe {
        libbpf_sys::bpf_link_create(program.as_raw_fd(), target, attach_type, &raw const options)
    };
    if link < 0 {
        return Err(io::Error::from_raw_os_error(-link));
    }
    // SAFETY: a result that is not negative is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(link) })
}

/// Ids of the programs that TCX links have on one side of an interface, in the order in which they run. EINVAL means that
/// the kernel has no TCX. Needs `CAP_NET_ADMIN`.
pub(super) fn tcx_programs(ifindex: u32, attach_type: u32) -> io::Result<Vec<u32>> {
    /// `BPF_MPROG_MAX` (`include/linux/bpf_mprog.h`).
    const MOST: usize = 64;
    let target =
        i32::try_from(ifindex).map_err(|_| io::Error::from_raw_os_error(nix::libc::ENODEV))?;
    let mut ids = vec![0_u32; MOST];
    let mut options = libbpf_sys::bpf_prog_query_opts {
        sz: size_of::<libbpf_sys::bpf_prog_query_opts>() as libbpf_sys::size_t,
        prog_ids: ids.as_mut_ptr(),
        ..Default::default()
    };
    options.__bindgen_anon_1.count = 64;
    // SAFETY: `ids` has room for the 64 numbers that `count` says, and both live through the call.
    let result = unsafe { libbpf_sys::bpf_prog_query_opts(target, attach_type, &raw mut options) };
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    // SAFETY: both members of the union are the same u32.
    let count = unsafe { options.__bindgen_anon_1.count };
    ids.truncate(count as usize);
    Ok(ids)
}

/// Reads the first `limit` elements of a HASH or ARRAY map in batches and gives key and value to `each`; `flags` are
/// `BPF_F_*` of a lookup.
///
/// K and V must be the types that the map was created with. libbpf-rs 0.27 takes a short batch for the last one; the
/// kernel ends a batch at a bucket's edge, and the walk only with ENOENT. ENOSPC means that a bucket is larger than the
/// batch.
pub(super) fn read_map<K: Key, V: Plain + Copy + Default>(
    map: BorrowedFd<'_>,
    flags: u64,
    limit: usize,
    mut each: impl FnMut(&K, &V),
) -> io::Result<()> {
    const BATCH: usize = 1024; // with its values, less than a processor's cache
    let mut left = limit;
    let mut keys = vec![K::default(); BATCH];
    let mut values = vec![V::default(); BATCH];
    let options = libbpf_sys::bpf_map_batch_opts {
        sz: size_of::<libbpf_sys::bpf_map_batch_opts>() as libbpf_sys::size_t,
        elem_flags: flags,
        flags: 0,
    };
    let mut position: Option<u32> = None;
    loop {
        let mut next = 0_u32;
        if left == 0 {
            return Ok(());
        }
        let mut count = u32::try_from(keys.len().min(left)).map_err(io::Error::other)?;
        let from = position
            .as_mut()
            .map_or(ptr::null_mut(), |at| ptr::from_mut(at).cast());
        // SAFETY: keys and values have room for `count` elements of the sizes that the map was created with (K and
        // V are those of its definition in maps.h); the position of a walk is a u32, in a HASH the bucket's number, in an
        // ARRAY the key (kernel/bpf/hashtab.c, syscall.c).
        let result = unsafe {
            libbpf_sys::bpf_map_lookup_batch(
                map.as_raw_fd(),
                from,
                (&raw mut next).cast(),
                keys.as_mut_ptr().cast(),
                values.as_mut_ptr().cast(),
                &raw mut count,
                &raw const options,
            )
        };
        let end = match -result {
            0 => false,
            nix::libc::ENOENT => true,
            nix::libc::ENOSPC if keys.len() >= left => return Ok(()),
            nix::libc::ENOSPC => {
                keys.resize(keys.len() * 2, K::default());
                values.resize(values.len() * 2, V::default());
                continue;
            }
            nix::libc::EINTR => continue,
            error => return Err(io::Error::from_raw_os_error(error)),
        };
        for (key, value) in keys.iter().zip(&values).take(count as usize) {
            each(key, value);
        }
        left -= (count as usize).min(left);
        if end {
            return Ok(());
        }
        position = Some(next);
    }
}

/// The bytes of a value, as maps take them.
pub(super) fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: plain data without padding that is not spelled out: all of its bytes are there to be read.
    unsafe { plain::as_bytes(value) }
}

/// Pins an object of this process to a path of a bpffs (`BPF_OBJ_PIN`).
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the descriptor is borrowed and the path lives for the call.
    let result = unsafe { libbpf_sys::bpf_obj_pin(object.as_raw_fd(), path.as_ptr()) };
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    Ok(())
}

/// Opens what is pinned at a path (`BPF_OBJ_GET`).
pub(super) fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path lives for the call.
    let object = unsafe { libbpf_sys::bpf_obj_get(path.as_ptr()) };
    if object < 0 {
        return Err(io::Error::from_raw_os_error(-object));
    }
    // SAFETY: a result that is not negative is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(object) })
}

/// What a test run of a program gave.
#[derive(Clone, Copy, Debug)]
pub(super) struct TestRun {
    /// What the program returned.
    pub returned: u32,
    /// Average of one run, by the kernel's clock.
    pub duration: Duration,
}

/// Runs a program on a frame so many times (`BPF_PROG_TEST_RUN`).
pub(super) fn test_run(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> io::Result<TestRun> {
    let mut options = libbpf_sys::bpf_test_run_opts {
        sz: size_of::<libbpf_sys::bpf_test_run_opts>() as libbpf_sys::size_t,
        data_in: frame.as_ptr().cast(),
        data_size_in: u32::try_from(frame.len()).map_err(io::Error::other)?,
        repeat: i32::try_from(repeat).map_err(io::Error::other)?,
        ..Default::default()
    };
    // SAFETY: the descriptor and the frame are borrowed for the call, and no output is asked for.
    let result =
        unsafe { libbpf_sys::bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut options) };
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    Ok(TestRun {
        returned: options.retval,
        duration: Duration::from_nanos(options.duration.into()),
    })
}

/// A number of this thread's network namespace that no other one ever has (`SO_NETNS_COOKIE`, Linux 5.14). Inode numbers are
/// used again.
pub(super) fn netns_cookie() -> io::Result<u64> {
    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    let mut cookie = 0_u64;
    let mut length =
        nix::libc::socklen_t::try_from(size_of_val(&cookie)).map_err(io::Error::other)?;
    // SAFETY: the socket is open, and `cookie` has room for as many bytes as `length` says.
    let result = unsafe {
        nix::libc::getsockopt(
            socket.as_raw_fd(),
            nix::libc::SOL_SOCKET,
            nix::libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(cookie)
}

/// Waits until every program that was running at the call has returned (an RCU grace period).
pub(super) fn wait_for_programs() {
    const MEMBARRIER_CMD_GLOBAL: nix::libc::c_int = 1;
    // SAFETY: takes three integers, touches no memory.
    let result =
        unsafe { nix::libc::syscall(nix::libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result != 0 {
        // Refused where CPUs run without a tick (nohz_full). A program runs for microseconds.
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
