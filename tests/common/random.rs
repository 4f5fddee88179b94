//! Random numbers and random frames that can be had again: everything comes from a seed that is printed.

use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use super::frames::{self, Extension};

/// xorshift64*: small, seeded, good enough for test data.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Zero would stay zero; neighbouring seeds should not look alike.
        Self((seed ^ 0x9e37_79b9_7f4a_7c15).max(1))
    }

    /// From `UDPTRACK_SEED`, or from the clock; prints which, so that a failure can be had again.
    #[must_use]
    pub fn from_environment() -> Self {
        let seed = std::env::var("UDPTRACK_SEED").map_or_else(
            |_| {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                now.map_or(1, |since| u64::from(since.subsec_nanos()) ^ since.as_secs())
            },
            |text| text.parse().expect("UDPTRACK_SEED is a number"),
        );
        println!("UDPTRACK_SEED={seed}");
        Self::new(seed)
    }

    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from((self.next() >> 32) % bound as u64).expect("below a usize")
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// Once in `count` times.
    pub fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// A random byte.
    pub fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Random bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }
}

/// Makes frames that are worth parsing: mostly almost right.
///
/// Few addresses, ports, identifications and tags occur, so connections repeat and fragments find their heads.
#[derive(Clone, Debug)]
pub struct FrameGenerator {
    /// The source of all choices.
    pub rng: Rng,
    recent: Vec<Vec<u8>>,
}

impl FrameGenerator {
    /// From a source of random numbers.
    #[must_use]
    pub fn new(rng: Rng) -> Self {
        Self {
            rng,
            recent: Vec::new(),
        }
    }

    /// The next frame: 0 to about 1600 bytes.
    pub fn frame(&mut self) -> Vec<u8> {
        // The rest of a datagram whose first frame went out.
        if !self.recent.is_empty() && self.rng.once_in(2) {
            let at = self.rng.below(self.recent.len());
            let frame = self.recent.swap_remove(at);
            return self.damage(frame);
        }
        let frame = match self.rng.below(20) {
            0 => {
                let length = self.rng.below(200);
                self.rng.bytes(length)
            }
            1 => self.header_soup(),
            2 => self.other(),
            _ => self.datagram(),
        };
        self.damage(frame)
    }

    fn address(&mut self, v6: bool) -> SocketAddr {
        let host = self.rng.between(1, 3);
        let ip: IpAddr = if v6 {
            format!("fd88::{host}")
        } else {
            format!("10.88.0.{host}")
        }
        .parse()
        .expect("an address");
        let port = self.rng.pick(&[0, 53, 123, 40000, 65535]);
        SocketAddr::new(ip, port)
    }

    fn tags(&mut self, frame: &[u8]) -> Vec<u8> {
        let count = self.rng.pick(&[0, 0, 0, 0, 1, 1, 2, 2, 3]);
        let tags: Vec<_> = (0..count)
            .map(|_| {
                (
                    self.rng.pick(&[0x8100, 0x8100, 0x88a8, 0x9100]),
                    self.rng.pick(&[0, 5, 7, 4095, 0x6005, 0xf000]),
                )
            })
            .collect();
        frames::tagged(frame, &tags)
    }

    fn extensions(&mut self, most: usize) -> Vec<Extension> {
        let count = self.rng.below(most + 1);
        (0..count)
            .map(|_| {
                let words = self.rng.pick(&[0, 0, 0, 1, 2, 5]);
                match self.rng.below(12) {
                    0 => Extension::atomic(0x77),
                    1 => Extension::authentication(self.rng.pick(&[1, 1, 2, 4, 0])),
                    _ => Extension::options(self.rng.pick(&[0, 43, 60, 135, 139, 140]), words),
                }
            })
            .collect()
    }

    /// A valid UDP frame of some kind; of a fragmented datagram one frame, the others come later.
    fn datagram(&mut self) -> Vec<u8> {
        let v6 = self.rng.once_in(2);
        let (source, destination) = (self.address(v6), self.address(v6));
        let length = self.rng.pick(&[0, 1, 8, 18, 100, 300]);
        let payload = self.rng.bytes(length);
        let frame = if v6 {
            let most = self.rng.pick(&[0, 0, 2, 8, 10]);
            let extensions = self.extensions(most);
            frames::ipv6_with_extensions(source, destination, &extensions, &payload)
        } else {
            let words = self.rng.pick(&[0, 0, 0, 1, 4, 10]);
            frames::ipv4_with_options(source, destination, words * 4, &payload)
        };
        if length < 18 || !self.rng.once_in(4) {
            let mut frame = self.tags(&frame);
            if self.rng.once_in(8) {
                let padding = self.rng.below(30);
                frame.resize(frame.len() + padding, 0);
            }
            return frame;
        }
        let identification = self.rng.pick(&[0, 1, 0xffff]);
        let size = self.rng.pick(&[8, 16, 64, 128]);
        let plain = frames::udp(source, destination, &payload);
        let whole = self.tags(&plain);
        let mut parts = frames::fragments(&whole, identification, size);
        parts.truncate(6);
        // Mostly the head goes first.
        let first = if self.rng.once_in(5) {
            self.rng.below(parts.len())
        } else {
            0
        };
        let frame = parts.swap_remove(first);
        self.recent.extend(parts);
        self.recent.truncate(32);
        frame
    }

    /// Frames that are right, but not UDP over IP.
    fn other(&mut self) -> Vec<u8> {
        let v6 = self.rng.once_in(2);
        let (source, destination) = (self.address(v6), self.address(v6));
        let quoted = frames::udp(destination, source, b"quoted");
        let frame = match self.rng.below(4) {
            0 => frames::arp(),
            1 => frames::tcp(source, destination, b"tcp"),
            2 => frames::icmp_unreachable(source.ip(), destination.ip(), &quoted),
            _ => frames::icmp_echo(source.ip(), destination.ip()),
        };
        self.tags(&frame)
    }

    /// Ethernet, and then IP-like beginnings with random bodies.
    fn header_soup(&mut self) -> Vec<u8> {
        let mut frame = self.rng.bytes(12);
        let length = self.rng.between(0, 120);
        let mut body = self.rng.bytes(length.max(8));
        if self.rng.once_in(2) {
            frame.extend([0x08, 0x00]);
            body[0] = 0x40 | self.rng.between(4, 15).to_le_bytes()[0];
            if body.len() > 9 {
                body[9] = self.rng.pick(&[17, 17, 17, 6]);
            }
        } else {
            frame.extend([0x86, 0xdd]);
            body[0] = 0x60;
            let headers = [0, 17, 43, 44, 50, 51, 58, 59, 60, 135, 139, 140];
            body[6] = self.rng.pick(&headers);
            let mut at = 40;
            while at + 8 <= body.len() {
                body[at] = self.rng.pick(&headers);
                body[at + 1] = self.rng.pick(&[0, 0, 1]);
                at += 8;
            }
            if body.len() > 40 {
                let rest = u16::try_from(body.len() - 40).expect("small");
                body[4..6].copy_from_slice(&rest.to_be_bytes());
            }
        }
        frame.extend(body);
        self.tags(&frame)
    }

    /// Leaves half of the frames alone; cuts, stretches or falsifies the others.
    fn damage(&mut self, mut frame: Vec<u8>) -> Vec<u8> {
        if frame.is_empty() || self.rng.once_in(2) {
            return frame;
        }
        let headers = frame.len().min(14 + 8 + 60);
        match self.rng.below(6) {
            0 => frame.truncate(self.rng.below(frame.len())),
            1 => frame.truncate(self.rng.below(headers)),
            // A flipped bit in the headers.
            2 => {
                let at = self.rng.below(headers);
                frame[at] ^= 1 << self.rng.below(8);
            }
            // A lying 16-bit field: the true value and a little more or less, or an extreme.
            3 | 4 if headers > 16 => {
                let at = 12 + self.rng.below(headers - 13);
                let value = u16::from_be_bytes([frame[at], frame[at + 1]]);
                let lie = self.rng.pick(&[
                    value.wrapping_add(1),
                    value.wrapping_sub(1),
                    value.wrapping_add(8),
                    value.wrapping_sub(8),
                    value ^ 0x2000,
                    value | 1,
                    0,
                    7,
                    8,
                    0xffff,
                ]);
                frame[at..at + 2].copy_from_slice(&lie.to_be_bytes());
            }
            // A random byte.
            _ => {
                let at = self.rng.below(headers);
                frame[at] = self.rng.byte();
            }
        }
        frame
    }
}
