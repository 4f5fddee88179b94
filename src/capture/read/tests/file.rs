//! Files that are written field by field, in one byte order.

/// A file so far.
#[derive(Clone)]
pub struct File {
    pub is_big_endian: bool,
    pub bytes: Vec<u8>,
}

impl File {
    pub fn new(is_big_endian: bool) -> Self {
        Self {
            is_big_endian,
            bytes: Vec::new(),
        }
    }

    pub fn number(mut self, number: u32) -> Self {
        self.bytes.extend(if self.is_big_endian {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        });
        self
    }

    /// The high half of a time first, in either byte order.
    pub fn ticks(self, ticks: u64) -> Self {
        let halves = [ticks >> 32, ticks & 0xffff_ffff].map(|half| u32::try_from(half).unwrap());
        self.number(halves[0]).number(halves[1])
    }

    pub fn halves(mut self, halves: &[u16]) -> Self {
        for half in halves {
            self.bytes.extend(if self.is_big_endian {
                half.to_be_bytes()
            } else {
                half.to_le_bytes()
            });
        }
        self
    }

    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    pub fn pcap(is_big_endian: bool, magic: u32, link: u32) -> Self {
        Self::new(is_big_endian)
            .number(magic)
            .halves(&[2, 4])
            .number(0)
            .number(0)
            .number(262_144)
            .number(link)
    }

    pub fn record(self, [seconds, fraction, wire]: [u32; 3], data: &[u8]) -> Self {
        self.number(seconds)
            .number(fraction)
            .number(u32::try_from(data.len()).unwrap())
            .number(wire)
            .bytes(data)
    }

    pub fn block(self, kind: u32, content: impl FnOnce(Self) -> Self) -> Self {
        let mut inner = content(Self::new(self.is_big_endian));
        inner.bytes.resize(inner.bytes.len().next_multiple_of(4), 0);
        let length = u32::try_from(inner.bytes.len()).unwrap() + 12;
        self.number(kind)
            .number(length)
            .bytes(&inner.bytes)
            .number(length)
    }

    pub fn section(self) -> Self {
        self.block(0x0a0d_0d0a, |block| {
            block
                .number(0x1a2b_3c4d)
                .halves(&[1, 0])
                .number(u32::MAX)
                .number(u32::MAX)
        })
    }

    pub fn option(mut self, code: u16, value: &[u8]) -> Self {
        self = self
            .halves(&[code, u16::try_from(value.len()).unwrap()])
            .bytes(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    pub fn interface(self, link: u16, options: impl FnOnce(Self) -> Self) -> Self {
        self.block(1, |block| {
            options(block.halves(&[link, 0]).number(96)).number(0)
        })
    }

    pub fn packet(self, interface: u32, ticks: u64, wire: u32, data: &[u8]) -> Self {
        self.packet_with(interface, ticks, wire, data, |block| block)
    }

    pub fn packet_with(
        self,
        interface: u32,
        ticks: u64,
        wire: u32,
        data: &[u8],
        options: impl FnOnce(Self) -> Self,
    ) -> Self {
        self.block(6, |block| {
            let mut block = block
                .number(interface)
                .ticks(ticks)
                .number(u32::try_from(data.len()).unwrap())
                .number(wire)
                .bytes(data);
            block.bytes.resize(block.bytes.len().next_multiple_of(4), 0);
            options(block)
        })
    }
}
