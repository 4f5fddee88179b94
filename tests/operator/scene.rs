//! What an operator meets on one link: services that answer, lose, are slow, dead, refuse, only take, or talk on their own clock. Clients
//! in `a`, servers in `b`. What each came to is known here.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::common::Ip;
use crate::common::netns::Netns;

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
