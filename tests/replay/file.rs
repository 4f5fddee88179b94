//! Captures that tests write: pcapng, of frames with times and interfaces.

/// 2026-01-01 00:00:00 UTC, in nanoseconds since 1970.
pub const BEGIN_NS: u64 = 1_767_225_600_000_000_000;
pub const SECOND: u64 = 1_000_000_000;

/// Link types (pcap-linktype(7)).
pub const ETHERNET: u16 = 1;
pub const RAW: u16 = 101;

/// A pcapng file with times in nanoseconds.
pub struct Capture(Vec<u8>);

impl Capture {
    /// Without interfaces yet.
    pub fn new() -> Self {
        let mut capture = Self(Vec::new());
        let header = [
            &0x1a2b_3c4d_u32.to_le_bytes()[..],
            &1_u16.to_le_bytes(),
            &0_u16.to_le_bytes(),
            &u64::MAX.to_le_bytes(),
        ];
        capture.block(0x0a0d_0d0a, &header.concat());
        capture
    }

    /// With one interface.
    pub fn on(name: &str, link: u16) -> Self {
        let mut capture = Self::new();
        capture.interface(name, link);
        capture
    }

    /// One more interface.
    pub fn interface(&mut self, name: &str, link: u16) {
        let mut body = [&link.to_le_bytes()[..], &[0, 0], &[0; 4]].concat();
        option(&mut body, 2, name.as_bytes());
        // Nanoseconds.
        option(&mut body, 9, &[9]);
        option(&mut body, 0, &[]);
        self.block(1, &body);
    }

    /// A whole frame that was received by the first interface, so long after the beginning.
    pub fn frame(&mut self, after_ns: u64, frame: &[u8]) {
        self.cut(after_ns, 0, None, frame.len(), frame);
    }

    /// A frame, or its beginning; with its direction, 1 for received and 2 for sent.
    pub fn cut(
        &mut self,
        after_ns: u64,
        interface: u32,
        direction: Option<u32>,
        wire: usize,
        data: &[u8],
    ) {
        let time = BEGIN_NS + after_ns;
        let word = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
        let high = u32::try_from(time >> 32).unwrap().to_le_bytes();
        let low = u32::try_from(time & u64::from(u32::MAX))
            .unwrap()
            .to_le_bytes();
        let mut body = [
            &interface.to_le_bytes()[..],
            &high,
            &low,
            &word(data.len()),
            &word(wire),
            data,
        ]
        .concat();
        body.resize(body.len().next_multiple_of(4), 0);
        if let Some(direction) = direction {
            option(&mut body, 2, &direction.to_le_bytes());
            option(&mut body, 0, &[]);
        }
        self.block(6, &body);
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let length = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
        self.0.extend(kind.to_le_bytes());
        self.0.extend(length);
        self.0.extend(body);
        self.0.extend(length);
    }

    /// The file.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    body.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}
