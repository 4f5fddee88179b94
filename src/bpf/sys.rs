//! All unsafe code: the generated skeleton, plain-data marks for its types, and the few system calls that libbpf-rs
//! does not wrap. Knows nothing of connections.
#![expect(unsafe_code, reason = "all of it is here")]

use std::ffi::CString;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::time::Duration;

use libbpf_rs::{MapCore as _, MapHandle, libbpf_sys};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use plain::Plain;

use crate::bpf::read::cells;

/// What build.rs has made of an object of `bpf/`.
macro_rules! skeleton {
    ($module:ident, $file:literal) => {
        mod $module {
            #![allow(
                clippy::all,
                clippy::pedantic,
                clippy::restriction,
                unused_imports,
                reason = "generated"
            )]
            include!(concat!(env!("OUT_DIR"), "/", $file));
        }
    };
}

skeleton!(skeleton, "udp_track.skel.rs");
pub(in crate::bpf) use skeleton::types;
pub(in crate::bpf) use skeleton::{OpenUdpTrackSkel, UdpTrackSkel, UdpTrackSkelBuilder};

skeleton!(process_skeleton, "process.skel.rs");
pub(in crate::bpf) use process_skeleton::types as process_types;
pub(in crate::bpf) use process_skeleton::{ProcessSkel, ProcessSkelBuilder};

skeleton!(drops_skeleton, "drops.skel.rs");
pub(in crate::bpf) use drops_skeleton::types as drops_types;
pub(in crate::bpf) use drops_skeleton::{DropsSkel, DropsSkelBuilder};

/// Marks structs of the programs as plain data.
macro_rules! plain {
    ($($raw:ty),* $(,)?) => {
        // SAFETY: each is repr(C), made of integers and arrays of them alone, with its padding spelled out (asserted by size in
        // udp_track.h, process.h, drops.h, and in src/bpf/read/ by who reads them): every pattern of bits is a value of it.
        $(unsafe impl Plain for $raw {})*
    };
}
plain!(
    types::udp_track_books,
    types::udp_track_event,
    types::udp_track_payload,
    types::udp_track_payload_budget,
    types::udp_track_frame,
    types::udp_track_ip,
    types::udp_track_clock,
    types::udp_track_publishing,
    types::udp_track_ended,
    types::udp_track_instance,
    types::udp_track_hook,
    types::udp_track_filter,
    process_types::udp_process_socket,
    process_types::udp_process_buffer,
    drops_types::udp_drops_connection,
    drops_types::udp_drops_key,
    drops_types::udp_drops_book,
);

/// Keys of our maps.
pub(in crate::bpf) trait Key: Copy + Default {
    /// As map operations take it.
    fn bytes(&self) -> &[u8];
}
macro_rules! keys {
    ($($key:ty),*) => {
        $(impl Key for $key {
            fn bytes(&self) -> &[u8] {
                // SAFETY: integers have no padding: all of their bytes are there to be read.
                unsafe { plain::as_bytes(self) }
            }
        })*
    };
}
keys!(u32, u64, [u64; 2]);

/// A struct that is made of atomic cells alone, and may be written by others at any time.
///
/// # Safety
/// Must be `repr(C)`, have nothing but atomic integers in it, and be as large as an element of the maps that it is mapped from.
pub(in crate::bpf) unsafe trait Cells {}
/// Marks such structs.
macro_rules! cells {
    ($($cells:ty),* $(,)?) => {
        // SAFETY: cells.rs makes each of atomic integers, and asserts that its size is that of the element.
        $(unsafe impl Cells for $cells {})*
    };
}
cells!(
    cells::SetCells,
    cells::DetailsCells,
    cells::ResponseCells,
    cells::DnsCells,
    cells::ReplayCells,
    cells::SpinCells,
    cells::ProtocolCells,
    cells::PublicationCells,
    cells::PublishingCells,
    cells::AmendmentCells,
    cells::AmendingCells,
    cells::EndedCells,
    cells::InterfacesCells,
    cells::DropsStateCells,
);

/// The elements of an ARRAY with `BPF_F_MMAPABLE`, in this process's memory, until it is dropped; or a copy of them.
pub(in crate::bpf) struct Mapping<T> {
    start: NonNull<T>,
    count: usize,
    bytes: NonZeroUsize,
}

impl<T: Cells> Mapping<T> {
    /// Maps all elements.
    pub fn of(map: &MapHandle) -> io::Result<Self> {
        let (count, bytes) = Self::size(map)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses, takes no other memory's place.
        let start = unsafe { mmap(None, bytes, access, MapFlags::MAP_SHARED, map.as_fd(), 0) }?;
        Ok(Self {
            start: start.cast(),
            count,
            bytes,
        })
    }

    /// Copies all elements as they are now: the kernel maps nothing of a map that was opened for reading alone.
    pub fn copy_of(map: &MapHandle) -> io::Result<Self> {
        const BATCH: usize = 1024;
        let (count, bytes) = Self::size(map)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses, takes no other memory's place.
        let start = unsafe { mmap_anonymous(None, bytes, access, MapFlags::MAP_PRIVATE) }?;
        let copy = Self {
            start: start.cast(),
            count,
            bytes,
        };
        let mut keys = vec![0_u32; BATCH];
        let (mut done, mut position) = (0, 0_u32);
        while done < count {
            let mut some = u32::try_from(BATCH.min(count - done)).map_err(io::Error::other)?;
            let from = if done == 0 {
                ptr::null_mut()
            } else {
                ptr::from_mut(&mut position).cast()
            };
            let mut next = 0_u32;
            // SAFETY: there is room for `some` elements of T's size behind the `done` that were copied, and for as many keys. Nobody
            // else knows this memory yet.
            let result = unsafe {
                libbpf_sys::bpf_map_lookup_batch(
                    map.as_fd().as_raw_fd(),
                    from,
                    (&raw mut next).cast(),
                    keys.as_mut_ptr().cast(),
                    copy.start.as_ptr().add(done).cast(),
                    &raw mut some,
                    ptr::null(),
                )
            };
            match -result {
                0 | nix::libc::ENOENT => {}
                nix::libc::EINTR => continue,
                error => return Err(io::Error::from_raw_os_error(error)),
            }
            if some == 0 {
                return Err(io::Error::other("it ends too early"));
            }
            done += some as usize;
            position = next;
        }
        Ok(copy)
    }

    /// How many elements the map has, and bytes.
    fn size(map: &MapHandle) -> io::Result<(usize, NonZeroUsize)> {
        let count = map.max_entries() as usize;
        if map.value_size() as usize != size_of::<T>() {
            return Err(io::Error::other(format!(
                "its elements have {} bytes and not {}",
                map.value_size(),
                size_of::<T>()
            )));
        }
        let bytes = count
            .checked_mul(size_of::<T>())
            .and_then(NonZeroUsize::new)
            .ok_or_else(|| io::Error::other("it has no size"))?;
        Ok((count, bytes))
    }
}

impl<T: Cells> Deref for Mapping<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the mapping has `count` elements of T's size, begins on a page and lives as long as self. The kernel and its
        // programs write to it, and T is made of cells that allow that.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl<T> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: it was mapped with these bytes, and no reference to it outlives self.
        let _ = unsafe { munmap(self.start.cast(), self.bytes.get()) };
    }
}

/// Creates a link of `program` to an interface: XDP or TCX, which libbpf-rs offers without a mode or not at all.
///
/// The kernel detaches the program when the last copy of the descriptor is closed, however the process ends.
/// `flags` are `XDP_FLAGS_*` for XDP and 0 for TCX. Errors are the kernel's.
pub(in crate::bpf) fn create_link(
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
#[cfg(feature = "cli")]
pub(in crate::bpf) fn tcx_programs(ifindex: u32, attach_type: u32) -> io::Result<Vec<u32>> {
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
pub(in crate::bpf) fn read_map<K: Key, V: Plain + Copy + Default>(
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
pub(in crate::bpf) fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: plain data without padding that is not spelled out: all of its bytes are there to be read.
    unsafe { plain::as_bytes(value) }
}

/// Pins an object of this process to a path of a bpffs (`BPF_OBJ_PIN`).
pub(in crate::bpf) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the descriptor is borrowed and the path lives for the call.
    let result = unsafe { libbpf_sys::bpf_obj_pin(object.as_raw_fd(), path.as_ptr()) };
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    Ok(())
}

/// Opens what is pinned at a path (`BPF_OBJ_GET`).
pub(in crate::bpf) fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
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
pub(in crate::bpf) struct TestRun {
    /// What the program returned.
    pub returned: u32,
    /// Average of one run, by the kernel's clock.
    pub duration: Duration,
}

/// Runs a program on a frame, `repeat` times (`BPF_PROG_TEST_RUN`).
pub(in crate::bpf) fn test_run(
    program: BorrowedFd<'_>,
    frame: &[u8],
    repeat: u32,
) -> io::Result<TestRun> {
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
pub(in crate::bpf) fn netns_cookie() -> io::Result<u64> {
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

/// Waits until every program that was running at the call has returned (an RCU grace period). ENOSYS and EINVAL: this kernel does not
/// offer it, as where CPUs run without a tick (`nohz_full`).
pub(in crate::bpf) fn membarrier() -> io::Result<()> {
    const MEMBARRIER_CMD_GLOBAL: nix::libc::c_int = 1;
    // SAFETY: takes three integers, touches no memory.
    let result =
        unsafe { nix::libc::syscall(nix::libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
