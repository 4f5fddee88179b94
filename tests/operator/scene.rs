//! What an operator meets on one link: services that answer, lose, are slow, dead, refuse, only take, or talk on their own clock. Clients
//! in `a`, servers in `b`. What each came to is known here.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::common::netns::{Netns, Pair};
use crate::common::process::{Ended, Process};
use crate::common::{Ip, SOON, TempDir};

/// How often clients ask.
const PACE: Duration = Duration::from_millis(100);
/// A client gives up waiting long before it asks again.
const PATIENCE: Duration = Duration::from_millis(60);

/// Work that goes on until it is told to end.
pub struct Work {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Work {
    pub fn new() -> Self {
        Self {
            stop: Arc::default(),
            threads: Vec::new(),
        }
    }

    /// Runs `each` again and again, each time with how often it has run before.
    pub fn go_on(&mut self, mut each: impl FnMut(u64) + Send + 'static) {
        let stop = Arc::clone(&self.stop);
        self.threads.push(thread::spawn(move || {
            for round in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                each(round);
            }
        }));
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(
                ended.is_ok() || thread::panicking(),
                "a thread has panicked"
            );
        }
    }
}

/// A socket of `netns` that gives up receiving after a while.
pub fn socket(netns: &Netns, port: u16) -> UdpSocket {
    let socket = netns.udp(netns.addr(Ip::V4, port));
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The same, at a port that the system chooses.
pub fn client(netns: &Netns, server: SocketAddr) -> UdpSocket {
    let socket = socket(netns, 0);
    netns.enter(|| socket.connect(server)).unwrap();
    socket
}

/// Answers requests after `held`, but for those that `loses` is true of, by how many came before.
pub fn serve(
    work: &mut Work,
    netns: &Netns,
    port: u16,
    held: Duration,
    loses: impl Fn(u64) -> bool + Send + 'static,
) -> SocketAddr {
    let socket = socket(netns, port);
    let mut requests = 0;
    work.go_on(move |_| {
        let mut buffer = [0; 2048];
        let Ok((length, client)) = socket.recv_from(&mut buffer) else {
            return;
        };
        requests += 1;
        if !loses(requests - 1) {
            thread::sleep(held);
            socket.send_to(&buffer[..length], client).unwrap();
        }
    });
    netns.addr(Ip::V4, port)
}

/// What a client got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub asked: u64,
    pub answered: u64,
}

/// Asks so often, one request after the other at an even pace; each is different. What has an answer is waited for, however long that takes.
pub fn ask(
    netns: &Netns,
    server: SocketAddr,
    requests: u64,
    has_answer: impl Fn(u64) -> bool,
) -> Asked {
    let socket = client(netns, server);
    let mut got = Asked::default();
    let mut next = Instant::now();
    for number in 0..requests {
        let mut buffer = [0; 64];
        buffer[..8].copy_from_slice(&number.to_be_bytes());
        socket.send(&buffer).unwrap();
        got.asked += 1;
        let patience = if has_answer(number) { SOON } else { PATIENCE };
        socket.set_read_timeout(Some(patience)).unwrap();
        // An error is that of the request before: nobody is there.
        got.answered += u64::from(socket.recv(&mut buffer).is_ok());
        next += PACE;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    got
}

/// The whole link, with its servers.
pub struct Scene {
    pub pair: Pair,
    work: Work,
    servers: Vec<Process>,
    /// Sockets that take everything and never answer.
    silent: Vec<UdpSocket>,
    files: TempDir,
}

/// Ports of servers that are no programs of their own.
pub const LOSSY: u16 = 7001;
pub const SLOW: u16 = 4000;
pub const CLOSED: u16 = 7777;
pub const STUN: u16 = 3478;
pub const RTP: u16 = 16_384;
pub const IPERF: u16 = 5201;

/// Of the requests to the lossy server.
fn is_lost(number: u64) -> bool {
    number % 3 == 2
}

impl Scene {
    pub fn new() -> Self {
        let pair = Pair::new();
        let files = TempDir::new("scene");
        files.file("boot", &"x".repeat(3000));
        let mut work = Work::new();
        let held = Duration::from_millis(1);
        serve(&mut work, &pair.b, LOSSY, held, is_lost);
        serve(&mut work, &pair.b, SLOW, Duration::from_millis(50), |_| {
            false
        });
        serve(&mut work, &pair.b, STUN, Duration::ZERO, |_| false);
        let silent = vec![socket(&pair.b, 123), socket(&pair.b, 514)];
        let address = pair.b.ip(Ip::V4);
        let dnsmasq = Process::serve(
            &pair.b,
            pair.b
                .command("dnsmasq")
                .args([
                    "--keep-in-foreground",
                    "--conf-file=/dev/null",
                    "--no-resolv",
                ])
                .args([
                    "--no-hosts",
                    "--bind-interfaces",
                    "--user=root",
                    "--enable-tftp",
                ])
                .arg(format!("--tftp-root={}", files.path().display()))
                .arg("--address=/test/10.1.2.3")
                .arg(format!("--listen-address={address}"))
                .arg(format!("--pid-file={}/pid", files.path().display())),
            &[pair.b.addr(Ip::V4, 53), pair.b.addr(Ip::V4, 69)],
        );
        let iperf = Process::start(
            pair.b
                .command("iperf3")
                .args(["--server", "--bind", &address.to_string()])
                .args(["--port", &IPERF.to_string()]),
        );
        Self {
            pair,
            work,
            servers: vec![dnsmasq, iperf],
            silent,
            files,
        }
    }

    fn server(&self, port: u16) -> SocketAddr {
        self.pair.b.addr(Ip::V4, port)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Ended {
        Process::run(self.pair.a.command(program).args(arguments))
    }

    /// Packets both ways, each end on its own clock.
    pub fn talk(&mut self, port: u16, pace: Duration) {
        let server = socket(&self.pair.b, port);
        let client = client(&self.pair.a, self.server(port));
        self.pair
            .b
            .enter(|| server.connect(client.local_addr().unwrap()))
            .unwrap();
        for socket in [client, server] {
            socket.set_nonblocking(true).unwrap();
            self.work.go_on(move |round| {
                let mut packet = [0; 160];
                packet[..2].copy_from_slice(&[0x80, 0]);
                packet[2..4].copy_from_slice(&u16::try_from(round & 0xffff).unwrap().to_be_bytes());
                socket.send(&packet).unwrap();
                // What nobody reads is lost on this machine, and that would be told.
                while socket.recv(&mut packet).is_ok() {}
                thread::sleep(pace);
            });
        }
    }

    /// All clients do what they do, at once; gives what those of the lossy and of the slow server got.
    pub fn happen(&mut self) -> [Asked; 2] {
        self.talk(RTP, Duration::from_millis(20));
        let ntpdate = Process::start(
            self.pair
                .a
                .command("ntpdate")
                .args(["-q", &self.pair.b.ip(Ip::V4).to_string()]),
        );
        let iperf = Process::start(
            self.pair
                .a
                .command("iperf3")
                .args(["--client", &self.pair.b.ip(Ip::V4).to_string()])
                .args(["--port", &IPERF.to_string(), "--udp"])
                .args(["--bitrate", "1M", "--time", "5"]),
        );
        let got = thread::scope(|scope| {
            let ask = |port, requests, has_answer: fn(u64) -> bool| {
                ask(&self.pair.a, self.server(port), requests, has_answer)
            };
            let lossy = scope.spawn(move || ask(LOSSY, 100, |number| !is_lost(number)));
            let slow = scope.spawn(move || ask(SLOW, 30, |_| true));
            let stun = scope.spawn(|| self.stun(20));
            let closed = scope.spawn(move || ask(CLOSED, 5, |_| false));
            self.names_files_and_logs();
            stun.join().unwrap();
            closed.join().unwrap();
            [lossy.join().unwrap(), slow.join().unwrap()]
        });
        // What it says is that nobody answers.
        drop(ntpdate.wait(SOON));
        let iperf = iperf.wait(SOON);
        assert!(iperf.status.success(), "{iperf:?}");
        got
    }

    /// dig, a download by TFTP, and lines to syslog, each in a connection of its own.
    fn names_files_and_logs(&self) {
        let address = self.pair.b.ip(Ip::V4).to_string();
        for _ in 0..12 {
            let dig = self.run("dig", &[&format!("@{address}"), "+short", "a.test"]);
            assert_eq!(dig.stdout.trim(), "10.1.2.3");
        }
        let file = self.files.path().join("got");
        let file = file.to_str().unwrap();
        self.run(
            "curl",
            &[
                "--silent",
                "--output",
                file,
                &format!("tftp://{address}/boot"),
            ],
        );
        for line in 0..15 {
            let line = format!("line {line}");
            self.run(
                "logger",
                &["--server", &address, "--port", "514", "--udp", &line],
            );
        }
    }

    /// Binding requests (RFC 8489), whose cookie and id are echoed.
    fn stun(&self, requests: u64) {
        let socket = client(&self.pair.a, self.server(STUN));
        socket.set_read_timeout(Some(SOON)).unwrap();
        for number in 0..requests {
            let mut request = [0; 20];
            request[1] = 1;
            request[4..8].copy_from_slice(&0x2112_a442_u32.to_be_bytes());
            request[12..20].copy_from_slice(&number.to_be_bytes());
            socket.send(&request).unwrap();
            socket.recv(&mut request).unwrap();
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.silent.clear();
        self.servers.clear();
    }
}
