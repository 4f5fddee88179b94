//! How long each direction of a connection was silent between two packets, as far as scans can tell: to the time between
//! two of them.

use super::record::Counts;

/// The silences of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// The scan that last found new packets, in nanoseconds of `CLOCK_MONOTONIC`; 0 while there was none.
    since_ns: u64,
    longest_ns: u64,
}

impl Gap {
    fn update(&mut self, grown: bool, now_ns: u64) {
        if !grown {
            return;
        }
        if self.since_ns > 0 {
            self.longest_ns = self.longest_ns.max(now_ns.saturating_sub(self.since_ns));
        }
        self.since_ns = now_ns;
    }

    /// The longest time between two scans that found new packets, `None` while there was but one such scan.
    #[must_use]
    pub fn longest_ns(self) -> Option<u64> {
        (self.longest_ns > 0).then_some(self.longest_ns)
    }
}

/// The silences of both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Between packets of the originator.
    pub orig: Gap,
    /// Between packets of the responder.
    pub reply: Gap,
}

impl Gaps {
    /// Of a connection that a scan first had at `now_ns`.
    pub(super) fn new(orig: Counts, reply: Counts, now_ns: u64) -> Self {
        let mut gaps = Self::default();
        gaps.update(orig.packets > 0, reply.packets > 0, now_ns);
        gaps
    }

    /// Originator and responder change places.
    pub(super) fn swap(&mut self) {
        std::mem::swap(&mut self.orig, &mut self.reply);
    }

    /// Takes in which directions a scan found grown.
    pub(super) fn update(&mut self, orig: bool, reply: bool, now_ns: u64) {
        self.orig.update(orig, now_ns);
        self.reply.update(reply, now_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silence_between_two_packets() {
        let mut gaps = Gaps::default();
        let scans = [
            (10, true, false),
            (11, false, false),
            (13, true, false),
            (14, true, true),
            (19, false, false),
        ];
        for (now_ns, orig, reply) in scans {
            gaps.update(orig, reply, now_ns);
        }
        assert_eq!(gaps.orig.longest_ns(), Some(3));
        assert_eq!(gaps.reply.longest_ns(), None);
        // What lasts is no gap before it has ended.
        gaps.update(true, true, 20);
        assert_eq!(gaps.orig.longest_ns(), Some(6));
        assert_eq!(gaps.reply.longest_ns(), Some(6));
    }
}
