//! A relay in which a datagram takes its time, each way: a part of a path that is so long.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::common::netns::Netns;

/// Hands datagrams on, in threads that end with the test: from whoever sent to `near` last, to `to`, and back.
pub fn relay(netns: &Netns, near: SocketAddr, to: SocketAddr, later: Duration) {
    netns.enter(|| {
        let near = Arc::new(UdpSocket::bind(near).unwrap());
        let far = Arc::new(UdpSocket::bind("0.0.0.0:0").unwrap());
        far.connect(to).unwrap();
        let peer = Arc::new(Mutex::new(None));
        let (known, back) = (Arc::clone(&peer), Arc::clone(&near));
        let forth = Arc::clone(&far);
        hand_on(near, later, move |from, datagram| {
            *known.lock().unwrap() = Some(from);
            // A server that is gone refuses.
            let _ = forth.send(datagram);
        });
        hand_on(far, later, move |_, datagram| {
            let to = peer.lock().unwrap().unwrap();
            let _ = back.send_to(datagram, to);
        });
    });
}

/// Gives away all that comes, each so much later.
fn hand_on(
    from: Arc<UdpSocket>,
    later: Duration,
    give: impl Fn(SocketAddr, &[u8]) + Send + 'static,
) {
    let (queue, due) = mpsc::channel::<(Instant, SocketAddr, Vec<u8>)>();
    thread::spawn(move || {
        let mut datagram = [0; 2048];
        loop {
            // What it sent may have been refused.
            if let Ok((bytes, sender)) = from.recv_from(&mut datagram) {
                let due = (Instant::now() + later, sender, datagram[..bytes].to_vec());
                queue.send(due).unwrap();
            }
        }
    });
    thread::spawn(move || {
        for (at, sender, datagram) in due {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            give(sender, &datagram);
        }
    });
}
