//! From settings to loaded programs: sizes, constants, the secret key, and what the kernel says to it.

use std::fs;
use std::mem::{MaybeUninit, offset_of};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use caps::{CapSet, Capability};
use libbpf_rs::skel::{OpenSkel as _, SkelBuilder as _};
use libbpf_rs::{ErrorKind, MapCore as _, MapFlags, libbpf_sys};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::time::{ClockId, clock_getres};

use super::kernel::Kernel;
use super::memory::{Sizes, WAYS};
use super::record::Jiffies;
use super::slots::InterfaceSlots;
use super::sys::{OpenUdpTrackSkel, UdpTrackSkelBuilder, types};
use super::{cpus, filter, log};
use crate::connection::Ifindex;
use crate::filter::Program;

/// What is fixed before the programs are loaded.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // they are switches
pub struct Settings {
    /// Room for so many connections.
    pub max_connections: u32,
    /// Room for so many IPv4, and so many IPv6 addresses.
    pub max_ips: u32,
    /// Report the first packet of each connection.
    pub new_events: bool,
    /// Report each later packet.
    pub data_events: bool,
    /// Measure response times.
    pub response_times: bool,
    /// Which connections are wanted; `None` = all.
    pub filter: Option<Program>,
    /// Copy DNS queries and answers, for [`super::Tracker::take_dns`].
    pub names: bool,
    /// Indexes of the interfaces that will be attached to.
    pub interfaces: Vec<Ifindex>,
    /// At most so many slots of the cache for each CPU and family; an IPv4 slot takes 64 bytes, an IPv6 slot 128. There are two for
    /// each connection up to that.
    pub cache_slots: u32,
}

impl Default for Settings {
    /// Every connection on no interface yet, with response times, without events and names.
    fn default() -> Self {
        Self {
            max_connections: 8192,
            max_ips: 1024,
            new_events: false,
            data_events: false,
            response_times: true,
            filter: None,
            names: false,
            interfaces: Vec::new(),
            cache_slots: 131_072,
        }
    }
}

/// A slot in use is written back at least so often by its packets; the sweep before each scan does it anyway. For 64,000 connections
/// a second of it cost a fifth of the hot path.
const FLUSH: Duration = Duration::from_secs(10);
/// netfilter's rule for ASSURED (`nf_conntrack_proto_udp.c`).
pub(super) const ASSURED: Duration = Duration::from_secs(2);
/// How long the kernel itself waits for the rest of a datagram (`ipfrag_time`).
const FRAGMENT: Duration = Duration::from_secs(30);
/// Room for tens of milliseconds of events at millions a second.
const RING_BYTES_DATA: u32 = 16 << 20;
const RING_BYTES_NEW: u32 = 4 << 20;
/// Room for some two thousand DNS messages between two looks.
const RING_BYTES_DNS: u32 = 1 << 20;
/// `DNS_PLACES` of names.h, a macro that the skeleton cannot carry.
const DNS_PLACES: u32 = 4096;
/// How many lines of `responses` an element of `waits` is for.
const WAITS: u32 = 64;
const _: () = assert!(size_of::<types::udp_track_waits>() == WAITS as usize);

/// Which version of the structs in maps this is. build.rs makes it from `bpf/udp_track.h` and `bpf/maps.h`: pins of any other
/// are refused, never misread.
pub(super) const LAYOUT: u64 = include!(concat!(env!("OUT_DIR"), "/layout.rs"));

/// Programs and maps as they were loaded.
pub(super) struct Loaded {
    pub kernel: Kernel,
    /// What of the settings matters after the load; who runs it is not known yet.
    pub instance: Box<types::udp_track_instance>,
    /// Why there is no cache, if so.
    pub cache_obstacle: Option<String>,
}

/// How large the tables become.
pub(super) fn sizes(settings: &Settings, cpus: u32) -> Sizes {
    let sizes = Sizes::new(settings, cpus);
    if settings.filter.is_some() {
        sizes.with_filter()
    } else {
        sizes
    }
}

/// Loads the programs and creates the maps.
pub(super) fn load(settings: &Settings) -> Result<Loaded> {
    if !fs::exists("/sys/kernel/btf/vmlinux").unwrap_or(true) {
        bail!(
            "this kernel has no BTF type information (/sys/kernel/btf/vmlinux), which the programs need to fit \
                 themselves to it. Use a kernel built with CONFIG_DEBUG_INFO_BTF: those of Debian 11, Ubuntu 20.10, \
                 Fedora 31, RHEL 8.2 and later are"
        );
    }
    let cpus = cpus::possible()?;
    let sizes = sizes(settings, cpus);
    sizes.check()?;
    let cache_obstacle = cpus::cache_obstacle(cpus);
    let length_ns = jiffy_ns()?;
    let slots = InterfaceSlots::new(&settings.interfaces)?;
    let raw = types::udp_track_settings {
        hash_key: random_words()?,
        home_key: random_words()?.map(|word: u64| word | 1),
        home_shift: u64::BITS - (sizes.sets * WAYS).ilog2(),
        sets: sizes.sets,
        interface_multiplier: slots.multiplier,
        interface_shift: slots.shift,
        flush_jiffies: Jiffies::count(length_ns, FLUSH),
        assured_jiffies: Jiffies::count(length_ns, ASSURED),
        fragment_jiffies: Jiffies::count(length_ns, FRAGMENT),
        events: event_mask(settings),
        cache: u32::from(cache_obstacle.is_none()),
        sweep_books: cpus * slots.count() * 2,
        lines: sizes.lines,
        names: settings.names.into(),
    };
    let filter = filter::raw(settings.filter.as_ref());
    let hooks = u32::try_from(settings.interfaces.len().max(1))? * 2;
    let (kernel, raw) = load_kernel(&raw, &filter, sizes, hooks)?;
    number_books(&kernel, &raw, sizes.cpus)?;
    let instance = types::udp_track_instance {
        layout: LAYOUT,
        filter_digest: filter::digest(&filter),
        jiffy_ns: length_ns,
        cpus,
        sets: sizes.sets,
        cache: raw.cache,
        events: raw.events,
        lines: raw.lines,
        names: raw.names,
        interface_multiplier: slots.multiplier,
        interface_shift: slots.shift,
        home_key: raw.home_key,
        home_shift: raw.home_shift,
        ..Default::default()
    };
    Ok(Loaded {
        kernel,
        instance: Box::new(instance),
        cache_obstacle,
    })
}

/// The programs and maps, and the settings that they have in the end.
fn load_kernel(
    settings: &types::udp_track_settings,
    filter: &types::udp_track_filter,
    sizes: Sizes,
    hooks: u32,
) -> Result<(Kernel, types::udp_track_settings)> {
    log::capture();
    let try_load = |settings: &types::udp_track_settings, frags| {
        try_load(settings, filter, sizes, hooks, frags)
    };
    // XDP programs that take frames in several buffers (native XDP at a large MTU) came with Linux 5.18; before, the
    // kernel does not know the flag.
    let first = try_load(settings, true);
    let kernel = match first {
        Ok(kernel) => Ok(kernel),
        Err(error) => try_load(settings, false).map_err(|_| error),
    };
    let loaded = match kernel {
        Ok(kernel) => Ok((kernel, *settings)),
        // Those kernels need bpf_probe_read_kernel() for names, which lockdown may take from them.
        Err(error) if settings.names != 0 => {
            let nameless = types::udp_track_settings {
                names: 0,
                ..*settings
            };
            try_load(&nameless, false)
                .map(|kernel| (kernel, nameless))
                .map_err(|_| error)
        }
        Err(error) => Err(error),
    };
    let messages = log::take();
    let (kernel, settings) = loaded.map_err(|error| explain(error, &messages))?;
    Ok((kernel.context("cannot copy a descriptor")?, settings))
}

/// Tells each element of `books` its index, which the programs pass on where they cannot pass a pointer, and which part of the
/// cache is its CPU's.
fn number_books(kernel: &Kernel, settings: &types::udp_track_settings, cpus: u32) -> Result<()> {
    let mut books = vec![0; size_of::<types::udp_track_books>()];
    for index in 0..settings.sweep_books + cpus {
        let cpu = match index.checked_sub(settings.sweep_books) {
            Some(cpu) => cpu,
            None => index / (settings.sweep_books / cpus),
        };
        for (at, value) in [
            (offset_of!(types::udp_track_books, index), index),
            (
                offset_of!(types::udp_track_books, first_set),
                cpu * settings.sets,
            ),
        ] {
            books[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        kernel
            .tables
            .books
            .update(&index.to_ne_bytes(), &books, MapFlags::ANY)
            .context("cannot write the books")?;
    }
    Ok(())
}

fn try_load(
    settings: &types::udp_track_settings,
    filter: &types::udp_track_filter,
    sizes: Sizes,
    hooks: u32,
    frags: bool,
) -> libbpf_rs::Result<Result<Kernel>> {
    let mut object = MaybeUninit::uninit();
    let mut open = UdpTrackSkelBuilder::default().open(&mut object)?;
    if let Some(rodata) = open.maps.rodata_data.as_deref_mut() {
        rodata.settings = *settings;
        rodata.filter = *filter;
    }
    size_maps(&mut open, settings, sizes)?;
    open.maps.hooks.set_max_entries(hooks)?;
    if frags {
        open.progs
            .udp_track_xdp
            .set_flags(libbpf_sys::BPF_F_XDP_HAS_FRAGS);
    }
    log::judge(open.open_object_mut());
    Ok(Kernel::of(&open.load()?))
}

fn size_maps(
    open: &mut OpenUdpTrackSkel<'_>,
    settings: &types::udp_track_settings,
    sizes: Sizes,
) -> libbpf_rs::Result<()> {
    let maps = &mut open.maps;
    let cache = if settings.cache == 0 {
        1
    } else {
        sizes.cpus * sizes.sets
    };
    maps.connection_track.set_max_entries(sizes.connections)?;
    maps.connection_stats.set_max_entries(sizes.connections)?;
    maps.ip_stats.set_max_entries(sizes.addresses)?;
    maps.ip6_stats.set_max_entries(sizes.addresses)?;
    maps.cache4.set_max_entries(cache)?;
    maps.cache6.set_max_entries(cache)?;
    maps.refused
        .set_max_entries(sizes.refused.min(cache).max(1))?;
    maps.responses.set_max_entries(sizes.lines.max(1))?;
    maps.waits
        .set_max_entries(sizes.lines.div_ceil(WAITS).max(1))?;
    maps.free_lines.set_max_entries(sizes.lines.max(1))?;
    maps.books
        .set_max_entries(settings.sweep_books + sizes.cpus)?;
    if settings.names != 0 {
        maps.dns_messages.set_max_entries(RING_BYTES_DNS)?;
        maps.dns_queries.set_max_entries(DNS_PLACES)?;
    }
    let data = types::udp_track_event_kind::UDP_TRACK_DATA.0;
    if settings.events & data != 0 {
        maps.events.set_max_entries(RING_BYTES_DATA)?;
    } else if settings.events != 0 {
        maps.events.set_max_entries(RING_BYTES_NEW)?;
    }
    Ok(())
}

/// The kernel's answer to a load, with the way out. `messages` are libbpf's, of all attempts.
fn explain(error: libbpf_rs::Error, messages: &str) -> anyhow::Error {
    // Without CAP_PERFMON the verifier refuses what it else allows.
    let may_all = caps::has_cap(None, CapSet::Effective, Capability::CAP_PERFMON).unwrap_or(true);
    let refused_by_verifier = may_all && messages.contains("PROG LOAD LOG");
    let advice = match error.kind() {
        ErrorKind::PermissionDenied if !refused_by_verifier && lacks_memory_alone() => {
            "cannot load the eBPF programs: not permitted. Before Linux 5.11 the tables must fit into the memory that may be \
             locked: ulimit -l unlimited, or LimitMEMLOCK=infinity in a unit"
        }
        ErrorKind::PermissionDenied if !refused_by_verifier => {
            "cannot load the eBPF programs: not permitted. Run it as root (sudo), or give the program the \
             capabilities: setcap cap_bpf,cap_net_admin,cap_perfmon+ep udptrack"
        }
        ErrorKind::OutOfMemory => {
            "cannot load the eBPF programs: the kernel has not enough memory for the tables. Choose a smaller \
             --max-connections or --max-ips, or raise the memory limit of this control group"
        }
        _ => {
            return anyhow!(
                "cannot load the eBPF programs into this kernel: {error}. libbpf says:\n{messages}"
            );
        }
    };
    anyhow::Error::new(error).context(advice)
}

/// Whether a kernel that has no other right to refuse counts tables as locked memory, of which there is a limit.
fn lacks_memory_alone() -> bool {
    let needed = [
        Capability::CAP_BPF,
        Capability::CAP_NET_ADMIN,
        Capability::CAP_PERFMON,
    ];
    let held = caps::read(None, CapSet::Effective).unwrap_or_default();
    let release = nix::sys::utsname::uname().ok();
    let release = release.map(|it| it.release().to_string_lossy().into_owned());
    let old = release.is_some_and(|it| it.starts_with("5.10."));
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(RLIM_INFINITY, |(soft, _)| soft);
    old && limit != RLIM_INFINITY && needed.iter().all(|right| held.contains(right))
}

/// Kinds of events that the programs are to send.
pub(super) fn event_mask(settings: &Settings) -> u32 {
    use types::udp_track_event_kind as kinds;
    let mut mask = 0;
    if settings.new_events {
        mask |= kinds::UDP_TRACK_NEW.0;
    }
    if settings.data_events {
        mask |= kinds::UDP_TRACK_DATA.0;
    }
    mask
}

/// Secret multipliers, from the kernel's random source.
fn random_words<const N: usize>() -> Result<[u64; N]> {
    let mut words = [0; N];
    for word in &mut words {
        *word = getrandom::u64()
            .map_err(|error| anyhow!("cannot get random numbers from the kernel: {error}"))?;
    }
    Ok(words)
}

/// The length of a jiffy: the coarse clocks advance once per tick (`kernel/time/posix-timers.c`).
fn jiffy_ns() -> Result<u64> {
    let resolution =
        clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).context("cannot tell the kernel's tick")?;
    Ok(Duration::from(resolution).as_nanos().try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_words_differ() {
        assert_ne!(random_words::<2>().unwrap(), random_words().unwrap());
    }
}
