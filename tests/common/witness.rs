//! An independent witness: tcpdump writes down every frame on a wire, and the reference parser says what they were.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::net::SocketAddr;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use udptrack::capture::read::{Link, Reader};

use super::frames;
use super::netns::{Injector, Netns};
use super::process::Process;
use super::reference::{Reference, Skip, Vlans};
use super::{SOON, TempDir, wait_for};

/// Packets and frame bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Frames.
    pub packets: u64,
    /// Bytes from the Ethernet header on.
    pub bytes: u64,
}

impl Count {
    /// One more frame.
    pub fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

impl std::iter::Sum for Count {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), |mut sum, count| {
            sum += count;
            sum
        })
    }
}

/// Who talked to whom; the source sent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// Tags of the frames.
    pub vlans: Vlans,
    /// Sender of the first packet.
    pub source: SocketAddr,
    /// The other one.
    pub destination: SocketAddr,
}

/// How much was said in a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// From the source to the destination.
    pub toserver: Count,
    /// Back.
    pub toclient: Count,
}

/// What went over the wire, as the reference understands it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Every frame.
    pub seen: Count,
    /// Frames of connections.
    pub tracked: Count,
    /// The others, by reason.
    pub skipped: BTreeMap<Skip, Count>,
    /// The connections.
    pub connections: BTreeMap<Connection, Volume>,
}

impl Account {
    /// Takes frames in the order in which they crossed the wire.
    pub fn of<'a>(frames: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut account = Self::default();
        let mut reference = Reference::default();
        for frame in frames {
            account.take(&mut reference, frame);
        }
        account
    }

    fn take(&mut self, reference: &mut Reference, frame: &[u8]) {
        self.seen.add(frame.len());
        let udp = match reference.frame(frame) {
            Ok(udp) => udp,
            Err(skip) => return self.skipped.entry(skip).or_default().add(frame.len()),
        };
        self.tracked.add(frame.len());
        let forward = Connection {
            vlans: udp.vlans,
            source: udp.source,
            destination: udp.destination,
        };
        let backward = Connection {
            source: udp.destination,
            destination: udp.source,
            ..forward
        };
        if let Some(volume) = self.connections.get_mut(&forward) {
            volume.toserver.add(frame.len());
        } else if let Some(volume) = self.connections.get_mut(&backward) {
            volume.toclient.add(frame.len());
        } else {
            let volume = self.connections.entry(forward).or_default();
            volume.toserver.add(frame.len());
        }
    }
}

/// tcpdump on one interface.
#[derive(Debug)]
pub struct Witness {
    tcpdump: Process,
    directory: TempDir,
    injector: Injector,
}

/// AppArmor's profile of tcpdump lets it write files of this kind only.
const FILE: &str = "frames.pcap";

/// Ends the capture: sent by the witness itself when all else has been said, and left out of its frames.
const LAST: &[u8] = b"udptrack test: the last frame of this capture";

impl Witness {
    /// Starts to write down the frames of `iface`, both directions, and returns when it does.
    pub fn start(netns: &Netns, iface: &str) -> Self {
        let directory = TempDir::new("witness");
        let mut command = netns.command("tcpdump");
        // Root stays root (-Z), so that it may write into the directory of whoever runs the test.
        command
            .args(["-i", iface, "-n", "-U", "--immediate-mode", "-Z", "root"])
            .args(["-B", "65536", "-w"])
            .arg(directory.path().join(FILE));
        let mut tcpdump = Process::start(&mut command);
        wait_for("tcpdump to listen", SOON, || {
            tcpdump.assert_running();
            tcpdump.stderr().contains("listening on").then_some(())
        });
        Self {
            tcpdump,
            directory,
            injector: Injector::new(netns, iface),
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join(FILE)
    }

    /// Ends the capture and returns its frames, all of them: sends one more, which the wire's other end sees, too.
    #[must_use]
    pub fn frames(self) -> Vec<Vec<u8>> {
        let last = frames::experimental(LAST);
        self.injector.send(&last);
        let mut frames = wait_for("the last frame in the capture", SOON, || {
            let bytes = fs::read(self.file()).expect("tcpdump made the file");
            bytes
                .windows(LAST.len())
                .any(|window| window == LAST)
                .then(|| read_pcap(&bytes))
        });
        let ended = self.tcpdump.stop(Signal::SIGINT).success("tcpdump");
        assert!(
            ended.stderr.contains("\n0 packets dropped by kernel"),
            "{}",
            ended.stderr
        );
        assert_eq!(frames.pop(), Some(last));
        frames
    }

    /// Ends the capture and says what was in it.
    #[must_use]
    pub fn account(self) -> Account {
        let frames = self.frames();
        Account::of(frames.iter().map(Vec::as_slice))
    }
}

/// The frames in a pcap file of this machine's byte order. A frame at the end that is not all there is left out.
///
/// Panics when it is no such file, or when a frame was cut by the capture.
#[must_use]
pub fn read_pcap(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut reader = Reader::new("frames", Cursor::new(bytes.to_vec())).expect("a capture");
    while let Ok(Some(frame)) = reader.next() {
        assert_eq!(frame.link, Link::Ethernet);
        assert_eq!(frame.data.len(), frame.wire_bytes as usize, "a whole frame");
        frames.push(frame.data.to_vec());
    }
    frames
}
