//! A datagram as the kernel hands it over: its first bytes, and what is known of the rest.

/// One of the first datagrams of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Who sent it: the connection's originator, or its responder.
    pub from_originator: bool,
    /// Its source port, host order.
    pub source_port: u16,
    /// Its destination port, host order.
    pub destination_port: u16,
    /// Which one it is of its direction, from 0.
    pub ordinal: u32,
    /// Bytes of the whole payload.
    pub length: u16,
    /// The first of them: all, or fewer.
    pub bytes: &'a [u8],
    /// When it was seen, in nanoseconds of `CLOCK_MONOTONIC`.
    pub ns: u64,
}

impl<'a> Datagram<'a> {
    /// The first of its direction, whole, between the originator's port and the responder's.
    #[must_use]
    pub fn between(
        [originator, responder]: [u16; 2],
        from_originator: bool,
        bytes: &'a [u8],
    ) -> Self {
        let (source_port, destination_port) = if from_originator {
            (originator, responder)
        } else {
            (responder, originator)
        };
        Self {
            from_originator,
            source_port,
            destination_port,
            ordinal: 0,
            length: u16::try_from(bytes.len()).unwrap_or(u16::MAX),
            bytes,
            ns: 0,
        }
    }

    /// The same, without bytes that would be past its end.
    pub(super) fn within_its_length(&self) -> Self {
        let count = self.bytes.len().min(self.length());
        Self {
            bytes: &self.bytes[..count],
            ..*self
        }
    }

    /// Whether an end has this port.
    pub(super) fn has_port(&self, port: u16) -> bool {
        self.source_port == port || self.destination_port == port
    }

    /// Bytes of the whole payload.
    pub(super) fn length(&self) -> usize {
        usize::from(self.length)
    }

    /// Whether there is more of it than we have.
    pub(super) fn is_cut(&self) -> bool {
        self.bytes.len() < self.length()
    }

    /// Bytes `at` and on; `None` where we do not have them all.
    pub(super) fn slice(&self, at: usize, count: usize) -> Option<&'a [u8]> {
        self.bytes.get(at..at.checked_add(count)?)
    }

    /// All bytes that we have from `at` on.
    pub(super) fn from(&self, at: usize) -> &'a [u8] {
        self.bytes.get(at..).unwrap_or_default()
    }

    /// Byte `at`.
    pub(super) fn u8(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// Two bytes, big-endian.
    pub(super) fn be16(&self, at: usize) -> Option<u16> {
        let bytes = self.slice(at, 2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    }

    /// Two bytes, big-endian, as a count of bytes or of things.
    pub(super) fn count16(&self, at: usize) -> Option<usize> {
        self.be16(at).map(usize::from)
    }

    /// Four bytes, big-endian.
    pub(super) fn be32(&self, at: usize) -> Option<u32> {
        let bytes = self.slice(at, 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    /// Four bytes, little-endian.
    pub(super) fn le32(&self, at: usize) -> Option<u32> {
        self.be32(at).map(u32::swap_bytes)
    }

    /// Whether these bytes stand at `at`; `None` where we do not have them all, and nothing that we have differs.
    pub(super) fn has(&self, at: usize, wanted: &[u8]) -> Option<bool> {
        let ours = self.from(at);
        if ours.len() >= wanted.len() {
            return Some(ours.starts_with(wanted));
        }
        if wanted.starts_with(ours) {
            None
        } else {
            Some(false)
        }
    }
}
