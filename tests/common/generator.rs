//! Frames by the million: a small eBPF program makes them in the kernel and sends them out of a veth end, and says exactly
//! how many there were. Which source each one had is known from its number.
//!
//! Two generators on two processors want a queue for each ([`queue_by_processor`]), or frames get lost on their way.
//!
//! The other end must take frames of XDP (it does while a native XDP program is on it, else with `ethtool -K … gro on`). They
//! are addressed to nobody's hardware address, so the receiver's kernel drops them after its hooks, and never answers.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use libbpf_rs::{
    ErrorKind, MapCore as _, MapFlags, MapHandle, Object, ObjectBuilder, ProgramInput,
};
use nix::net::if_::if_nametoindex;

use super::frames;
use super::kernel::compile;
use super::netns::{Netns, Pair, pin_thread, processors};
use super::process::Process;
use super::{Ip, SOON, TempDir, wait_for};

/// `BPF_F_TEST_XDP_LIVE_FRAMES`: frames are really sent.
const LIVE_FRAMES: u32 = 2;
/// Frames a system call. Each call for more than one frame costs some 40 ms beside them, as the kernel lets two grace periods
/// pass, one call after the other; and a generator stops only between calls.
const CHUNK: u32 = 1 << 18;
/// So many are sent one by one.
const FEW: u32 = 256;
/// Bytes of the struct in generator.bpf.c.
const STATE_BYTES: usize = 32;
const PORTS: u64 = 0x8000;
const FIRST_PORT: u16 = 32_768;

/// Where frames come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// So many sources in turn, from this number on.
    Sources {
        /// Number of the first.
        first: u64,
        /// How many; at least one.
        count: u64,
    },
    /// Each frame has a source of its own, from all over the address space.
    Flood {
        /// Number of the first: two floods have no source in common when their numbers have none.
        first: u64,
    },
}

impl Pattern {
    /// One source.
    pub const ONE: Self = Self::sources(1);

    /// So many sources in turn.
    #[must_use]
    pub const fn sources(count: u64) -> Self {
        Self::Sources { first: 0, count }
    }

    /// The source of a frame: the same rule as in generator.bpf.c.
    #[must_use]
    pub fn source(self, ip: Ip, frame: u64) -> SocketAddr {
        let (n, is_flood) = match self {
            Self::Sources { first, count } => (first + frame % count, false),
            Self::Flood { first } => (first + frame, true),
        };
        let low = u16::try_from(n % PORTS).expect("it fits");
        let host = match ip {
            Ip::V4 if is_flood => Ipv4Addr::from(mix31(truncated(n))).into(),
            Ip::V4 => Ipv4Addr::from(0x0a63_0000 + truncated(n / PORTS)).into(),
            Ip::V6 => {
                let host = if is_flood { mix64(n) } else { n / PORTS };
                IpAddr::from(Ipv6Addr::from(PREFIX | u128::from(host)))
            }
        };
        SocketAddr::new(host, FIRST_PORT + low)
    }
}

/// `fd99::/64`
const PREFIX: u128 = 0xfd99 << 112;

fn truncated(n: u64) -> u32 {
    u32::try_from(n & 0xffff_ffff).expect("it fits")
}

fn mix31(mut n: u32) -> u32 {
    const BITS: u32 = 0x7fff_ffff;
    n &= BITS;
    for shift in [16, 15] {
        n = (n ^ n >> shift).wrapping_mul(0x9e37_79b1) & BITS;
    }
    n ^ n >> 16
}

fn mix64(mut n: u64) -> u64 {
    for shift in [32, 29] {
        n = (n ^ n >> shift).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    n ^ n >> 32
}

/// Whether the kernel can do it: from Linux 5.18 on. Says so when it cannot.
#[must_use]
pub fn is_possible() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("it is there");
    let mut version = release.split('.').map(|part| part.parse().unwrap_or(0));
    let possible = (version.next(), version.next()) >= (Some(5), Some(18));
    if !possible {
        eprintln!(
            "SKIPPED: Linux {} sends no frames of XDP test runs",
            release.trim()
        );
    }
    possible
}

/// Frames of each processor come through a queue of their own, which it empties itself: none is lost, however busy it is.
pub fn queue_by_processor(pair: &Pair) {
    for netns in [&pair.a, &pair.b] {
        let queues = processors().len().to_string();
        let mut ethtool = netns.command("ethtool");
        Process::run(ethtool.args(["-L", netns.iface(), "rx", &queues, "tx", &queues]));
    }
}

/// Sends frames out of one interface.
#[derive(Debug)]
pub struct Generator {
    object: Object,
    link: Link,
    ifindex: u32,
    frame: Vec<u8>,
    ip: Ip,
    pattern: Pattern,
    pace: Option<(u32, Duration)>,
    state: MapHandle,
    /// Frames that were sent many in a system call, and the time in which the kernel did that and nothing else.
    timed: (u64, Duration),
}

impl Generator {
    /// Of frames to this address, with so many bytes of payload, out of an interface of `netns`.
    pub fn new(
        netns: &Netns,
        iface: &str,
        to: SocketAddr,
        pattern: Pattern,
        payload: usize,
    ) -> Self {
        let ip = if to.is_ipv4() { Ip::V4 } else { Ip::V6 };
        let mut from = pattern.source(ip, 0);
        match &mut from {
            SocketAddr::V4(from) => from.set_ip(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(from) => from.set_ip(Ipv6Addr::from(PREFIX)),
        }
        from.set_port(0);
        Self::of(
            netns,
            iface,
            pattern,
            frames::udp(from, to, &vec![0; payload]),
        )
    }

    /// The same of TCP segments, by IPv4: they have no checksum, and get no further than to a filter.
    pub fn tcp(netns: &Netns, iface: &str, to: SocketAddr) -> Self {
        assert!(to.is_ipv4(), "the fields of IPv6 lie elsewhere");
        let from = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        Self::of(netns, iface, Pattern::ONE, frames::tcp(from, to, &[0; 18]))
    }

    /// Of such frames.
    fn of(netns: &Netns, iface: &str, pattern: Pattern, mut frame: Vec<u8>) -> Self {
        let ip = if frame[frames::ip_offset(&frame)] >> 4 == 4 {
            Ip::V4
        } else {
            Ip::V6
        };
        // Nobody's.
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0xff, 0xff]);
        let object = load(&state(ip, pattern, &mut frame));
        let data = object.maps().find(|map| is_data(map.name()));
        let data = data.expect("the program has data");
        Self {
            state: MapHandle::try_from(&data).expect("it is open"),
            object,
            link: Link::new(netns, iface),
            ifindex: netns.enter(|| if_nametoindex(iface).expect("the interface is there")),
            frame,
            ip,
            pattern,
            pace: None,
            timed: (0, Duration::ZERO),
        }
    }

    /// The same, addressed to who has the address: the receiver's kernel takes them further than to its hooks.
    #[must_use]
    pub fn addressed(mut self) -> Self {
        let to: IpAddr = match self.ip {
            Ip::V4 => Ipv4Addr::from(<[u8; 4]>::try_from(&self.frame[30..34]).expect("4")).into(),
            Ip::V6 => Ipv6Addr::from(<[u8; 16]>::try_from(&self.frame[38..54]).expect("16")).into(),
        };
        self.frame[..6].copy_from_slice(&frames::mac(to));
        self
    }

    /// The same, with a pause after each so many frames, beside that of a system call.
    #[must_use]
    pub fn paced(mut self, frames: u32, pause: Duration) -> Self {
        self.pace = Some((frames, pause));
        self
    }

    /// Bytes of each frame.
    #[must_use]
    pub fn frame_bytes(&self) -> u64 {
        self.frame.len() as u64
    }

    /// The source of the frame with this number, counted from 0.
    #[must_use]
    pub fn source(&self, frame: u64) -> SocketAddr {
        self.pattern.source(self.ip, frame)
    }

    /// How many frames were sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        sent(&self.state)
    }

    /// How many frames a second the latest run has sent, and the other end received, by the kernel's clock. That leaves out what
    /// a system call takes beside them, and what other programs took of the processor. `None` for a few frames.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let (frames, time) = self.timed;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        (frames > 0).then(|| frames as f64 / time.as_secs_f64())
    }

    /// Sends so many frames, and returns when the other end's hooks have seen them. Panics when not all come there.
    pub fn run(&mut self, frames: u64) {
        self.timed = (0, Duration::ZERO);
        let before = self.link.arrived();
        self.send_all(frames);
        let what = format!(
            "{frames} frames to arrive; {:?}, before {before}",
            self.link
        );
        wait_for(&what, SOON, || {
            (self.link.arrived() >= before + frames).then_some(())
        });
    }

    /// Sends so many frames, and does not wait for their arrival: where others send, too.
    pub fn send_all(&mut self, frames: u64) {
        let end = self.sent() + frames;
        let link = self.link.clone();
        link.enter(|| {
            while self.sent() < end {
                self.send(end - self.sent());
            }
        });
        assert_eq!(self.sent(), end);
    }

    /// Sends frames from one processor until it is stopped.
    #[must_use]
    pub fn start(mut self, processor: usize) -> Running {
        let is_over = Arc::new(AtomicBool::new(false));
        let state = MapHandle::try_from(&self.state).expect("it is open");
        let over = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let link = self.link.clone();
            link.enter(|| {
                pin_thread(processor);
                while !over.load(Ordering::Relaxed) {
                    self.send(CHUNK.into());
                }
            });
            self
        });
        Running {
            is_over,
            state,
            thread: Some(thread),
        }
    }

    /// Sends so many frames, or less.
    fn send(&mut self, frames: u64) {
        let (most, pause) = self.pace.unwrap_or((CHUNK, Duration::ZERO));
        let frames = u32::try_from(frames).unwrap_or(most).min(most);
        if frames <= FEW {
            for _ in 0..frames {
                let _ = self.call(1);
            }
        } else if let Some(each) = self.call(frames) {
            self.timed.0 += u64::from(frames);
            self.timed.1 += each * frames;
        }
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }

    /// Gives how long each frame took; `None` for a run that a signal has ended early.
    fn call(&self, repeat: u32) -> Option<Duration> {
        let mut context = [0_u8; 24]; // struct xdp_md
        let length = u32::try_from(self.frame.len()).expect("it fits");
        context[4..8].copy_from_slice(&length.to_ne_bytes());
        context[12..16].copy_from_slice(&self.ifindex.to_ne_bytes());
        let program = self.object.progs_mut().next().expect("it has one program");
        let result = program.test_run(ProgramInput {
            context_in: Some(&mut context),
            data_in: Some(&self.frame),
            flags: LIVE_FRAMES,
            repeat,
            ..ProgramInput::default()
        });
        match result {
            Ok(output) => Some(output.duration),
            Err(error) if error.kind() == ErrorKind::Interrupted => None,
            Err(error) => panic!("frames of test runs: {error}"),
        }
    }
}

/// A generator that sends in the background. Stopped on drop.
#[derive(Debug)]
pub struct Running {
    is_over: Arc<AtomicBool>,
    state: MapHandle,
    thread: Option<JoinHandle<Generator>>,
}

impl Running {
    /// How many frames it has sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        sent(&self.state)
    }

    /// Waits until it has sent so many more.
    pub fn wait_for_more(&self, frames: u64) {
        let end = self.sent() + frames;
        wait_for("frames", SOON, || (self.sent() >= end).then_some(()));
    }

    /// Ends it. What it has sent is exact then.
    #[must_use]
    pub fn stop(mut self) -> Generator {
        self.is_over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it runs");
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the kernel counts of the frames that leave an end of a veth pair.
#[derive(Clone, Debug)]
pub struct Link {
    netns: PathBuf,
    iface: String,
}

impl Link {
    /// Of this end.
    #[must_use]
    pub fn new(netns: &Netns, iface: &str) -> Self {
        Self {
            netns: netns.path(),
            iface: iface.to_owned(),
        }
    }

    /// How many frames the other end has taken out of its queue, after which its hooks have seen them. While that end has
    /// XDP or GRO, these are all frames, those of sockets, too.
    #[must_use]
    pub fn arrived(&self) -> u64 {
        self.counter(10)
    }

    /// How many found no room in that queue.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counter(12)
    }

    /// A column of /proc/net/dev, after the name.
    fn counter(&self, column: usize) -> u64 {
        let text = self.enter(|| std::fs::read_to_string("/proc/thread-self/net/dev"));
        text.expect("the kernel lists interfaces")
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim() == self.iface)
            .and_then(|(_, columns)| columns.split_whitespace().nth(column - 1)?.parse().ok())
            .unwrap_or_else(|| panic!("no interface {}", self.iface))
    }

    /// Runs `work` in the namespace, on a thread of its own.
    fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        super::netns::enter(&self.netns, work)
    }
}

/// What the program needs to know. Empties the fields of the frame that it fills.
fn state(ip: Ip, pattern: Pattern, frame: &mut [u8]) -> Vec<u8> {
    let (first, sources) = match pattern {
        Pattern::Sources { first, count } => (first, count),
        Pattern::Flood { first } => (first, 0),
    };
    let sum = match ip {
        Ip::V4 => {
            frame[24..26].fill(0);
            frame[40..42].fill(0); // no UDP checksum
            sum(&frame[14..34])
        }
        Ip::V6 => {
            frame[60..62].fill(0);
            // Both addresses, the length and the protocol, and the packet.
            sum(&frame[22..54]) + sum(&frame[58..60]) + sum(&[0, 17]) + sum(&frame[54..])
        }
    };
    let mut state = Vec::with_capacity(STATE_BYTES);
    for word in [0, first, sources] {
        state.extend(word.to_ne_bytes());
    }
    state.extend(sum.to_ne_bytes());
    state.extend(u32::from(ip == Ip::V6).to_ne_bytes());
    state
}

/// What the program counts.
fn sent(state: &MapHandle) -> u64 {
    let state = state.lookup(&[0; 4], MapFlags::ANY).expect("it is read");
    let sent = state.expect("it is there")[..8].try_into();
    u64::from_ne_bytes(sent.expect("eight bytes"))
}

/// The sum of 16-bit words, as they lie there.
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|word| {
        let word = [word[0], word.get(1).copied().unwrap_or(0)];
        u32::from(u16::from_ne_bytes(word))
    });
    words.sum()
}

fn is_data(map: &OsStr) -> bool {
    map.as_encoded_bytes().ends_with(b".data")
}

fn load(state: &[u8]) -> Object {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let directory = TempDir::new("generator");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/generator.bpf.c");
        std::fs::read(compile(Path::new(source), &directory)).expect("it is there")
    });
    let mut open = ObjectBuilder::default()
        .name("generator")
        .and_then(|builder| builder.open_memory(program))
        .expect("the program can be opened");
    open.maps_mut()
        .find(|map| is_data(map.name()))
        .and_then(|mut data| data.set_initial_value(state).ok())
        .expect("the program's data fits");
    open.load().expect("the program can be loaded (needs root)")
}
