//! Network namespaces, the links between them, and work done inside them.
//!
//! A namespace made here is silent: static neighbours, no ARP, no neighbour discovery, no router solicitations, no
//! multicast reports. Every frame on a link is one that a test sent, so a test can say how many there were.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, setns};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike as _, sendto, socket,
};
use nix::unistd::Pid;

use super::{Ip, unique};

/// One end of a link.
#[derive(Clone, Debug)]
pub struct Port {
    /// Interface name, the same never on both ends.
    pub iface: String,
    /// Hardware address, fixed: `02:00:00:00:SUBNET:1` and `…:2`.
    pub mac: [u8; 6],
    /// `10.88.SUBNET.1` and `.2`.
    pub v4: Ipv4Addr,
    /// `fd88:SUBNET::1` and `::2`.
    pub v6: Ipv6Addr,
}

impl Port {
    fn new(subnet: u8, host: u8) -> Self {
        let side = if host == 1 { 'a' } else { 'b' };
        Self {
            iface: format!("veth{subnet}{side}"),
            mac: [2, 0, 0, 0, subnet, host],
            v4: Ipv4Addr::new(10, 88, subnet, host),
            v6: Ipv6Addr::new(0xfd88, subnet.into(), 0, 0, 0, 0, 0, host.into()),
        }
    }

    /// The address of one protocol.
    #[must_use]
    pub fn ip(&self, ip: Ip) -> IpAddr {
        ip.of(self.v4, self.v6)
    }

    fn mac_text(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join(":")
    }
}

/// A network namespace with a name of its own; removed on drop.
#[derive(Debug)]
pub struct Netns {
    name: String,
    /// Its ends of the links made by [`connect`], in that order.
    pub ports: Vec<Port>,
}

impl Netns {
    /// Makes a namespace with nothing but `lo`, which is up. Needs root.
    pub fn new(label: &str) -> Self {
        let name = unique(label);
        let made = Command::new("ip")
            .args(["netns", "add", &name])
            .output()
            .expect("ip (package iproute2) runs");
        assert!(
            made.status.success(),
            "cannot make namespace {name} (this test needs root): {}",
            String::from_utf8_lossy(&made.stderr).trim()
        );
        let netns = Self {
            name,
            ports: Vec::new(),
        };
        netns.enter(|| {
            for (key, value) in [
                ("accept_ra", "0"),
                ("autoconf", "0"),
                ("router_solicitations", "0"),
                ("accept_dad", "0"),
                ("addr_gen_mode", "1"), // none: no link-local address, hence no duplicate detection and no reports
            ] {
                let path = format!("/proc/sys/net/ipv6/conf/default/{key}");
                fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
            }
        });
        netns.ip_batch("link set lo up");
        netns
    }

    /// The name under `/run/netns`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for the namespace.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// The interface of the first link.
    #[must_use]
    pub fn iface(&self) -> &str {
        &self.ports[0].iface
    }

    /// The address on the first link.
    #[must_use]
    pub fn ip(&self, ip: Ip) -> IpAddr {
        self.ports[0].ip(ip)
    }

    /// Address and port on the first link.
    #[must_use]
    pub fn addr(&self, ip: Ip, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(ip), port)
    }

    /// A command that runs inside. `nsenter`, not `ip netns exec`: that one hides bpffs behind a fresh /sys. The
    /// process that `spawn` gives is the program itself, as `nsenter` replaces itself with it.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .arg("--")
            .arg(program);
        command
    }

    /// Runs lines of `ip` inside; panics if one fails.
    pub fn ip_batch(&self, lines: &str) {
        let mut child = Command::new("ip")
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ip (package iproute2) runs");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        stdin.write_all(lines.as_bytes()).expect("ip reads");
        stdin.write_all(b"\n").expect("ip reads");
        drop(stdin);
        let output = child.wait_with_output().expect("ip ends");
        assert!(
            output.status.success(),
            "ip in {}: {}\n{lines}",
            self.name,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }

    /// Moves the calling thread into the namespace, for good: call it on a thread of the test's own.
    pub fn adopt_thread(&self) {
        adopt_thread(&self.path());
    }

    /// Runs `work` inside, on a thread of its own. Sockets that it returns keep belonging to the namespace.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        enter(&self.path(), work)
    }

    /// A UDP socket inside, bound to `address`.
    pub fn udp(&self, address: SocketAddr) -> UdpSocket {
        self.enter(|| {
            UdpSocket::bind(address).unwrap_or_else(|error| panic!("bind {address}: {error}"))
        })
    }

    /// Whether a UDP socket inside is bound to `address`, or to its port on every address.
    #[must_use]
    pub fn is_bound(&self, address: SocketAddr) -> bool {
        // Not /proc/net: that is the main thread's namespace.
        let table = match address {
            SocketAddr::V4(_) => "/proc/thread-self/net/udp",
            SocketAddr::V6(_) => "/proc/thread-self/net/udp6",
        };
        let wildcard = match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let text = self.enter(|| fs::read_to_string(table).expect("the kernel lists UDP sockets"));
        text.lines()
            .skip(1)
            .filter_map(|line| parse_proc_address(line.split_whitespace().nth(1)?))
            .any(|bound| bound == address || bound == SocketAddr::new(wildcard, address.port()))
    }
}

fn adopt_thread(path: &Path) {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    setns(file, CloneFlags::CLONE_NEWNET).expect("the thread may enter the namespace");
}

/// Runs `work` in the namespace that the file stands for, on a thread of its own.
pub fn enter<R: Send>(path: &Path, work: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            adopt_thread(path);
            work()
        });
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

impl Drop for Netns {
    fn drop(&mut self) {
        let removed = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
        if !removed.is_ok_and(|status| status.success()) {
            eprintln!("cannot remove namespace {}", self.name);
        }
    }
}

/// `0100007F:0035` as in /proc/net/udp: the address in words of the machine's order, the port in plain hexadecimal.
fn parse_proc_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at..at + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip: IpAddr = match address.len() {
        8 => word(0)?.into(),
        32 => {
            let mut bytes = [0; 16];
            for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index * 8)?);
            }
            bytes.into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Joins two namespaces with a veth pair: `10.88.SUBNET.1` and `.2` of /24, `fd88:SUBNET::1` and `::2` of /64. The ends
/// are born inside, so the machine's own namespace never sees them.
pub fn connect(left: &mut Netns, right: &mut Netns, subnet: u8, mtu: u32) {
    let ports = [Port::new(subnet, 1), Port::new(subnet, 2)];
    left.ip_batch(&format!(
        "link add {} type veth peer name {} netns {}",
        ports[0].iface, ports[1].iface, right.name
    ));
    // The other end must be up before an address is used, so first all links, then the addresses.
    let sides = [
        (&*left, &ports[0], &ports[1]),
        (&*right, &ports[1], &ports[0]),
    ];
    for (netns, mine, _) in sides {
        // `arp off` silences neighbour discovery and the joining of multicast groups, too.
        netns.ip_batch(&format!(
            "link set {iface} address {mac} mtu {mtu} arp off\nlink set {iface} up",
            iface = mine.iface,
            mac = mine.mac_text(),
        ));
    }
    address(left, &ports[0], &ports[1]);
    address(right, &ports[1], &ports[0]);
    let [first, second] = ports;
    left.ports.push(first);
    right.ports.push(second);
}

/// Gives an end its addresses and its neighbour, also again after it was down.
fn address(netns: &Netns, mine: &Port, theirs: &Port) {
    netns.ip_batch(&format!(
        "addr replace {v4}/24 dev {iface}\n\
         addr replace {v6}/64 dev {iface} nodad\n\
         neigh replace {peer4} lladdr {mac} dev {iface} nud permanent\n\
         neigh replace {peer6} lladdr {mac} dev {iface} nud permanent",
        iface = mine.iface,
        v4 = mine.v4,
        v6 = mine.v6,
        peer4 = theirs.v4,
        peer6 = theirs.v6,
        mac = theirs.mac_text(),
    ));
}

/// Two namespaces and a link: where most tests take place.
#[derive(Debug)]
pub struct Pair {
    /// `10.88.0.1`, `fd88::1`.
    pub a: Netns,
    /// `10.88.0.2`, `fd88::2`.
    pub b: Netns,
    mtu: u32,
}

impl Pair {
    /// With the usual MTU.
    #[must_use]
    pub fn new() -> Self {
        Self::with_mtu(1500)
    }

    /// With another MTU (IPv6 wants 1280 at least).
    #[must_use]
    pub fn with_mtu(mtu: u32) -> Self {
        let mut a = Netns::new("a");
        let mut b = Netns::new("b");
        connect(&mut a, &mut b, 0, mtu);
        Self { a, b, mtu }
    }

    /// Gives the first link its addresses again: an interface that goes down loses some of them, and its neighbours.
    pub fn address(&self) {
        address(&self.a, &self.a.ports[0], &self.b.ports[0]);
        address(&self.b, &self.b.ports[0], &self.a.ports[0]);
    }

    /// One more veth pair between the two; returns its place in `ports`.
    pub fn add_link(&mut self) -> usize {
        let index = self.a.ports.len();
        let subnet = u8::try_from(index).expect("few links");
        connect(&mut self.a, &mut self.b, subnet, self.mtu);
        index
    }
}

/// Sends whole frames, as they are, out of one interface.
#[derive(Debug)]
pub struct Injector {
    socket: OwnedFd,
    address: LinkAddr,
}

impl Injector {
    /// For an interface of `netns`.
    pub fn new(netns: &Netns, iface: &str) -> Self {
        netns.enter(|| {
            // Protocol 0: this socket receives nothing, so it costs the traffic beside it nothing.
            let socket = socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                None,
            )
            .expect("a packet socket (needs root)");
            // The only way to a link-layer address without `unsafe` is to be given one.
            let address = nix::ifaddrs::getifaddrs()
                .expect("interfaces are listed")
                .filter(|entry| entry.interface_name == iface)
                .find_map(|entry| entry.address?.as_link_addr().copied())
                .unwrap_or_else(|| panic!("no interface {iface}"));
            Self { socket, address }
        })
    }

    /// Sends one frame, from its Ethernet header on (14 bytes at least, MTU + 18 at most).
    pub fn send(&self, frame: &[u8]) {
        let sent = sendto(
            self.socket.as_raw_fd(),
            frame,
            &self.address,
            MsgFlags::empty(),
        )
        .unwrap_or_else(|error| {
            panic!(
                "frame of {} bytes to {} (family {:?}): {error}",
                frame.len(),
                self.address,
                self.address.family()
            )
        });
        assert_eq!(sent, frame.len());
    }
}

/// Lets the calling thread run on one processor only.
pub fn pin_thread(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor).expect("the processor's number is small");
    sched_setaffinity(Pid::from_raw(0), &set).expect("the processor is there");
}

/// The processors that this process may use.
#[must_use]
pub fn processors() -> Vec<usize> {
    let set = nix::sched::sched_getaffinity(Pid::from_raw(0)).expect("the kernel says it");
    (0..CpuSet::count())
        .filter(|processor| set.is_set(*processor) == Ok(true))
        .collect()
}
