//! From settings to loaded programs: sizes, constants, the secret key, and the kernel's errors.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use libbpf_rs::skel::{OpenSkel as _, SkelBuilder as _};
use libbpf_rs::{MapHandle, MapType, libbpf_sys};
use nix::time::{ClockId, clock_getres};

use crate::bpf::hook::needs::HookNeeds;
use crate::bpf::hook::slots::SlotShape;
use crate::bpf::program::filter;
use crate::bpf::program::handles::Handles;
use crate::bpf::program::log;
use crate::bpf::program::memory::{Memory, Sizes};
use crate::bpf::program::publish;
use crate::bpf::program::refusal::explain;
use crate::bpf::read::frames::FRAME_BYTES_MAX;
use crate::bpf::read::payload::Payloads;
use crate::bpf::read::record::Jiffies;
use crate::bpf::sys::{OpenUdpTrackSkel, UdpTrackSkelBuilder, types};
use crate::filter::Program;
use crate::model::Ifindex;

/// What is fixed before the programs are loaded.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are switches")]
pub struct Settings {
    /// Room for at least this number of connections.
    pub max_connections: u32,
    /// Room for this number of IPv4 addresses, and for as many IPv6 addresses.
    pub max_ips: u32,
    /// Report the first packet of each connection.
    pub new_events: bool,
    /// Report each later packet.
    pub data_events: bool,
    /// Measure response times.
    pub response_times: bool,
    /// Which connections are wanted; `None` = all.
    pub filter: Option<Program>,
    /// Whose payload is copied, for [`crate::bpf::Tracker::take_payloads`].
    pub payloads: Payloads,
    /// Count DNS messages by what their headers say: [`crate::model::Sample::dns`].
    pub dns: bool,
    /// How many bytes of each frame to copy, for [`crate::bpf::Tracker::frame_ring`]; `None`: no frames, 0: whole frames. In a replay it
    /// copies none, but [`crate::bpf::Tracker::replay`] tells which frames a capture wants.
    pub frames: Option<u32>,
    /// Indexes of the interfaces that will be attached to.
    pub interfaces: Vec<Ifindex>,
    /// Which programs they may need.
    pub hooks: HookNeeds,
    /// Make room for interfaces that are not there yet.
    pub grows: bool,
    /// The interface is a part of a connection: for links with equal addresses.
    pub per_interface: bool,
    /// Publish `connection_track`, `connection_stats`, `ip_stats` and `ip6_stats` for others.
    pub maps: bool,
    /// Nothing is attached: packets are those of a capture, and so is the time ([`replay`](crate::bpf::Tracker::replay)).
    pub replay: bool,
    /// Memory that the process takes beside the table, in bytes, at most: what waits for others.
    pub beside: u64,
}

impl Default for Settings {
    /// Every connection on no interface yet, with response times, without events and payloads.
    fn default() -> Self {
        Self {
            max_connections: 65_536,
            max_ips: 16_384,
            new_events: false,
            data_events: false,
            response_times: true,
            filter: None,
            payloads: Payloads::Off,
            dns: false,
            frames: None,
            interfaces: Vec::new(),
            hooks: HookNeeds::ALL,
            grows: false,
            per_interface: false,
            maps: true,
            replay: false,
            beside: 0,
        }
    }
}

/// netfilter's rule for ASSURED (`nf_conntrack_proto_udp.c`).
pub(in crate::bpf) const ASSURED: Duration = Duration::from_secs(2);
/// How long the kernel itself waits for the rest of a datagram (`ipfrag_time`).
const FRAGMENT: Duration = Duration::from_secs(30);
/// Two epochs of `response.h`.
const LOST: Duration =
    Duration::from_nanos(2 << types::udp_track_requests::UDP_TRACK_EPOCH_SHIFT.0);
/// The unit in which the table has when an ICMP error came.
const QUARTER: Duration = Duration::from_millis(250);
/// If no answer has shown its time yet, a packet this much later is a new request.
const PAUSE: Duration = Duration::from_millis(50);
/// Room for tens of milliseconds of events at millions a second.
const RING_BYTES_DATA: u32 = 16 << 20;
const RING_BYTES_NEW: u32 = 4 << 20;
/// Room for some thousands of DNS messages between two looks, or of first datagrams.
const RING_BYTES_DNS: u32 = 1 << 20;
const RING_BYTES_PAYLOADS: u32 = 4 << 20;
/// Room for ten milliseconds of whole frames at 10 Gbit/s and more, or of the beginnings of frames at millions a second.
const RING_BYTES_FRAMES: u32 = 32 << 20;
/// Which version of the structs in maps this is. build.rs makes it from `bpf/udp_track.h` and `bpf/maps.h`: pins of any other
/// are refused, never misread.
pub(in crate::bpf) const LAYOUT: u64 = include!(concat!(env!("OUT_DIR"), "/layout.rs"));

/// Programs and maps as they were loaded.
pub(in crate::bpf) struct Loaded {
    pub handles: Handles,
    /// What of the settings matters after the load; who runs it is not known yet.
    pub instance: Box<types::udp_track_instance>,
}

/// Loads the programs and creates the maps.
pub(in crate::bpf) fn load(settings: &Settings) -> Result<Loaded> {
    if !fs::exists("/sys/kernel/btf/vmlinux").unwrap_or(true) {
        bail!(
            "this kernel has no BTF type information (/sys/kernel/btf/vmlinux), and the eBPF programs need it. Use a kernel with CONFIG_DEBUG_INFO_BTF: Debian 11, Ubuntu 22.04, Fedora 34, RHEL 9 and later have one"
        );
    }
    Memory::of(settings).suffice()?;
    let length_ns = if settings.replay {
        types::udp_track_sizes::UDP_TRACK_REPLAY_JIFFY_NS.0.into()
    } else {
        jiffy_ns()?
    };
    let slots = SlotShape::of(settings.interfaces.len(), settings.grows)?;
    let cpus = possible_cpus()?;
    let sizes = Sizes::new(settings).with_books(slots, cpus);
    let raw = types::udp_track_settings {
        hash_key: random_words()?,
        place_key: random_words()?.map(|word: u64| word | 1),
        blocks: sizes.blocks,
        block_mask: (1 << sizes.block_shift) - 1,
        block_shift: sizes.block_shift,
        slot_bits: slots.bits,
        per_interface: settings.per_interface.into(),
        assured_jiffies: Jiffies::count(length_ns, ASSURED),
        fragment_jiffies: Jiffies::count(length_ns, FRAGMENT),
        lost_jiffies: Jiffies::count(length_ns, LOST),
        error_shift: Jiffies::count(length_ns, QUARTER)
            .next_power_of_two()
            .ilog2(),
        pause_jiffies: Jiffies::count(length_ns, PAUSE),
        events: event_mask(settings),
        response_times: settings.response_times.into(),
        payloads: settings.payloads.raw(),
        dns: settings.dns.into(),
        frame_bytes: frame_bytes(settings),
        realtime: is_realtime().into(),
        unusual: (settings.per_interface || settings.data_events || is_realtime()).into(),
        replay: settings.replay.into(),
    };
    let filter = filter::raw(settings.filter.as_ref());
    let needs = (!settings.replay).then_some(settings.hooks);
    let (handles, raw) = load_handles(&raw, &filter, sizes, needs)?;
    let instance = types::udp_track_instance {
        layout: LAYOUT,
        filter_digest: filter::digest(&filter),
        jiffy_ns: length_ns,
        cpus,
        max_connections: sizes.connections,
        events: raw.events,
        response_times: raw.response_times,
        payloads: raw.payloads,
        dns: raw.dns,
        frame_bytes: raw.frame_bytes,
        per_interface: raw.per_interface,
        slot_bits: slots.bits,
        grows: settings.grows.into(),
        block_shift: sizes.block_shift,
        ..Default::default()
    };
    Ok(Loaded {
        handles,
        instance: Box::new(instance),
    })
}

/// Kernel memory of what the programs send.
pub(in crate::bpf) fn ring_bytes(settings: &Settings) -> u64 {
    let payloads = ring_of(settings.payloads.raw()).unwrap_or(0);
    let events = match (settings.data_events, settings.new_events) {
        (true, _) => RING_BYTES_DATA,
        (false, true) => RING_BYTES_NEW,
        (false, false) => 0,
    };
    let frames = if settings.frames.is_some() && !settings.replay {
        RING_BYTES_FRAMES
    } else {
        0
    };
    u64::from(payloads) + u64::from(events) + u64::from(frames)
}

/// `frame_bytes` as the programs have it.
fn frame_bytes(settings: &Settings) -> u32 {
    match settings.frames {
        None => 0,
        Some(0) => FRAME_BYTES_MAX,
        Some(bytes) => bytes.min(FRAME_BYTES_MAX),
    }
}

/// How large the ring of payloads is, where it is used.
fn ring_of(payloads: u32) -> Option<u32> {
    use types::udp_track_payloads as raw;
    match raw(payloads) {
        raw::UDP_TRACK_NO_PAYLOADS => None,
        raw::UDP_TRACK_DNS_PAYLOADS => Some(RING_BYTES_DNS),
        _ => Some(RING_BYTES_PAYLOADS),
    }
}

/// CPUs that could ever be there; the books are as many.
pub(in crate::bpf) fn possible_cpus() -> Result<u32> {
    let count = libbpf_rs::num_possible_cpus().context("cannot tell how many CPUs are possible")?;
    Ok(u32::try_from(count)?)
}

/// Whether programs on one CPU may interleave (`PREEMPT_RT`).
fn is_realtime() -> bool {
    fs::read_to_string("/sys/kernel/realtime").is_ok_and(|text| text.trim() == "1")
}

/// The programs and maps, and the settings that they have in the end.
fn load_handles(
    settings: &types::udp_track_settings,
    filter: &types::udp_track_filter,
    sizes: Sizes,
    needs: Option<HookNeeds>,
) -> Result<(Handles, types::udp_track_settings)> {
    log::capture();
    let try_load = |settings: &types::udp_track_settings, frags| {
        try_load(settings, filter, sizes, needs, frags)
    };
    // XDP programs that take frames in several buffers (native XDP at a large MTU) came with Linux 5.18; before, the
    // kernel does not know the flag.
    let first = try_load(settings, true);
    let handles = match first {
        Ok(handles) => Ok(handles),
        Err(error) => try_load(settings, false).map_err(|_| error),
    };
    let loaded = match handles {
        Ok(handles) => Ok((handles, *settings)),
        // Those kernels need bpf_probe_read_kernel() for what is copied, which lockdown may take from them.
        Err(error) if settings.payloads != 0 || settings.dns != 0 || settings.frame_bytes != 0 => {
            let without = types::udp_track_settings {
                payloads: 0,
                dns: 0,
                frame_bytes: 0,
                ..*settings
            };
            try_load(&without, false)
                .map(|handles| (handles, without))
                .map_err(|_| error)
        }
        Err(error) => Err(error),
    };
    let messages = log::take();
    let (handles, settings) = loaded.map_err(|error| explain(error, &messages))?;
    Ok((handles.context("cannot copy a descriptor")?, settings))
}

fn try_load(
    settings: &types::udp_track_settings,
    filter: &types::udp_track_filter,
    sizes: Sizes,
    needs: Option<HookNeeds>,
    frags: bool,
) -> libbpf_rs::Result<Result<Handles>> {
    let mut object = MaybeUninit::uninit();
    let mut open = UdpTrackSkelBuilder::default().open(&mut object)?;
    if let Some(rodata) = open.maps.rodata_settings_data.as_deref_mut() {
        rodata.settings = *settings;
    }
    if let Some(rodata) = open.maps.rodata_data.as_deref_mut() {
        rodata.filter = *filter;
    }
    size_maps(&mut open, settings, sizes)?;
    let large = make_large(settings, sizes)?;
    if let Some([connections, details, responses]) = &large {
        open.maps.connections.reuse_fd(connections.as_fd())?;
        open.maps.details.reuse_fd(details.as_fd())?;
        open.maps.responses.reuse_fd(responses.as_fd())?;
    }
    if frags {
        open.progs
            .udp_track_xdp
            .set_flags(libbpf_sys::BPF_F_XDP_HAS_FRAGS);
    }
    choose_programs(&mut open, needs);
    log::ask_for_statistics(open.open_object_mut());
    Ok(Handles::of(&open.load()?, needs))
}

/// What is not given a packet is not loaded. `needs`: none for a replay.
fn choose_programs(open: &mut OpenUdpTrackSkel<'_>, needs: Option<HookNeeds>) {
    let programs = &mut open.progs;
    let needs_hook = |is_needed: fn(HookNeeds) -> bool| needs.is_some_and(is_needed);
    for (program, is_needed) in [
        (&mut programs.udp_track_xdp, needs_hook(|needs| needs.xdp)),
        (
            &mut programs.udp_track_ingress,
            needs_hook(|needs| needs.ingress),
        ),
        (
            &mut programs.udp_track_egress,
            needs_hook(|needs| needs.egress),
        ),
        (
            &mut programs.udp_track_ingress_ip,
            needs_hook(|needs| needs.ingress_ip),
        ),
        (
            &mut programs.udp_track_egress_ip,
            needs_hook(|needs| needs.egress_ip),
        ),
        (&mut programs.udp_track_replay, needs.is_none()),
    ] {
        program.set_autoload(is_needed);
    }
}

/// From this number of connections on, the table's maps are made in parallel, each by a thread: the kernel clears all of their memory.
const LARGE: u32 = 1 << 20;
/// Up to this number of connections, the published maps have memory for all of them from the beginning.
const PREALLOCATED_MAX: u32 = 1 << 20;

/// Elements of `responses`.
fn timed(settings: &types::udp_track_settings, sizes: Sizes) -> u32 {
    if settings.response_times == 0 {
        1
    } else {
        sizes.places()
    }
}

/// `connections`, `details` and `responses`, where they are large.
fn make_large(
    settings: &types::udp_track_settings,
    sizes: Sizes,
) -> libbpf_rs::Result<Option<[MapHandle; 3]>> {
    if sizes.connections <= LARGE {
        return Ok(None);
    }
    let make = |name: &'static str, bytes: usize, count: u32| {
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
            map_flags: libbpf_sys::BPF_F_MMAPABLE,
            ..Default::default()
        };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        MapHandle::create(MapType::Array, Some(name), 4, bytes, count, &options)
    };
    let set = size_of::<types::udp_track_set>();
    let details = size_of::<types::udp_track_details>();
    let response = size_of::<types::udp_track_response>();
    thread::scope(|scope| {
        let responses = scope.spawn(|| make("responses", response, timed(settings, sizes)));
        let connections = make("connections", set, sizes.sets())?;
        let details = make("details", details, sizes.sets())?;
        let responses = responses
            .join()
            .unwrap_or_else(|_| make("responses", response, timed(settings, sizes)))?;
        Ok(Some([connections, details, responses]))
    })
}

fn size_maps(
    open: &mut OpenUdpTrackSkel<'_>,
    settings: &types::udp_track_settings,
    sizes: Sizes,
) -> libbpf_rs::Result<()> {
    let maps = &mut open.maps;
    maps.connections.set_max_entries(sizes.sets())?;
    maps.details.set_max_entries(sizes.sets())?;
    maps.responses.set_max_entries(timed(settings, sizes))?;
    maps.protocols.set_max_entries(sizes.protocols())?;
    maps.spins.set_max_entries(sizes.spins())?;
    maps.locks.set_max_entries(sizes.blocks)?;
    maps.requests.set_max_entries(sizes.requests)?;
    if sizes.maps {
        if sizes.connections > PREALLOCATED_MAX {
            // Each element would be touched at once.
            maps.connection_track
                .set_map_flags(libbpf_sys::BPF_F_NO_PREALLOC)?;
            maps.connection_stats
                .set_map_flags(libbpf_sys::BPF_F_NO_PREALLOC)?;
        }
        maps.connection_track.set_max_entries(sizes.connections)?;
        maps.connection_stats.set_max_entries(sizes.connections)?;
        maps.ip_stats.set_max_entries(sizes.addresses)?;
        maps.ip6_stats.set_max_entries(sizes.addresses)?;
        maps.publications.set_max_entries(publish::PUBLICATIONS)?;
    }
    maps.hooks.set_max_entries(sizes.hooks())?;
    maps.books.set_max_entries(sizes.books())?;
    maps.dns_counts.set_max_entries(sizes.dns())?;
    if let Some(bytes) = ring_of(settings.payloads) {
        maps.payloads.set_max_entries(bytes)?;
    }
    // Frames of a capture are not copied.
    if settings.frame_bytes != 0 && settings.replay == 0 {
        maps.frames.set_max_entries(RING_BYTES_FRAMES)?;
    }
    let data = types::udp_track_event_kind::UDP_TRACK_DATA.0;
    if settings.events & data != 0 {
        maps.events.set_max_entries(RING_BYTES_DATA)?;
    } else if settings.events != 0 {
        maps.events.set_max_entries(RING_BYTES_NEW)?;
    }
    Ok(())
}

/// Kinds of events that the programs are to send.
pub(in crate::bpf) fn event_mask(settings: &Settings) -> u32 {
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
