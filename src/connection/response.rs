//! Response times: how long the originator waits from its first unanswered packet to the next packet back.
//!
//! Each packet of the originator either opens a wait or finds one open; each packet of the responder that finds one open
//! closes it. That is the time of a request where one packet asks and one answers (DNS, NTP, STUN, SNMP …); for media,
//! where both ends send on their own clock, it is no round-trip time.

/// Buckets of the histogram. `UDP_TRACK_RESPONSE_BUCKETS` in `bpf/udp_track.h` is the same.
pub const BUCKETS: usize = 20;
/// The first bucket ends at 2 to this power, in nanoseconds; each next one at twice the one before.
const FIRST_BUCKET_BITS: usize = 13;

/// Response times of one connection, or of several together. All times are nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Waits that an answer ended.
    pub answered: u64,
    /// All response times together.
    pub sum_ns: u64,
    /// The shortest; 0 when nothing was answered.
    pub min_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// How many response times fell into each bucket ([`Response::bucket_end_ns`]); it stops at `u32::MAX`.
    pub histogram: [u32; BUCKETS],
    /// Waits that are open now: 0 or 1 for one connection.
    pub waiting: u64,
    /// When the oldest open wait began, in nanoseconds of `CLOCK_MONOTONIC`.
    pub waiting_since_ns: Option<u64>,
}

impl Response {
    /// The average response time, `None` when nothing was answered.
    #[must_use]
    pub fn mean_ns(&self) -> Option<u64> {
        self.sum_ns.checked_div(self.answered)
    }

    /// Waits that were opened: requests, not counting what was sent while one was open.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.answered + self.waiting
    }

    /// How long the oldest open wait has lasted.
    #[must_use]
    pub fn wait_ns(&self, now_ns: u64) -> Option<u64> {
        self.waiting_since_ns
            .map(|since| now_ns.saturating_sub(since))
    }

    /// The end of a bucket: it holds response times below this and not below that of the bucket before. `None` for the
    /// last one, which has no end.
    #[must_use]
    pub fn bucket_end_ns(bucket: usize) -> Option<u64> {
        (bucket + 1 < BUCKETS).then(|| 1 << (FIRST_BUCKET_BITS + bucket))
    }

    /// Takes in the response times of another connection.
    pub fn merge(&mut self, other: &Self) {
        self.min_ns = match (self.answered, other.answered) {
            (_, 0) => self.min_ns,
            (0, _) => other.min_ns,
            _ => self.min_ns.min(other.min_ns),
        };
        self.max_ns = self.max_ns.max(other.max_ns);
        self.answered += other.answered;
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        for (mine, theirs) in self.histogram.iter_mut().zip(other.histogram) {
            *mine = mine.saturating_add(theirs);
        }
        self.waiting += other.waiting;
        self.waiting_since_ns = [self.waiting_since_ns, other.waiting_since_ns]
            .into_iter()
            .flatten()
            .min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(ns: u64) -> Response {
        let mut one = Response {
            answered: 1,
            sum_ns: ns,
            min_ns: ns,
            max_ns: ns,
            ..Response::default()
        };
        one.histogram[3] = 1;
        one
    }

    #[test]
    fn nothing_answered_has_no_mean() {
        assert_eq!(Response::default().mean_ns(), None);
        assert_eq!(Response::default().wait_ns(5), None);
    }

    #[test]
    fn several_connections_together() {
        let mut all = Response {
            waiting: 1,
            waiting_since_ns: Some(90),
            ..Response::default()
        };
        for ns in [20, 10, 60] {
            all.merge(&answered(ns));
        }
        all.merge(&Response {
            waiting: 1,
            waiting_since_ns: Some(70),
            ..Response::default()
        });
        assert_eq!(
            (all.answered, all.min_ns, all.max_ns, all.mean_ns()),
            (3, 10, 60, Some(30))
        );
        assert_eq!(
            (all.asked(), all.waiting, all.wait_ns(100)),
            (5, 2, Some(30))
        );
        assert_eq!(all.histogram[3], 3);
    }

    #[test]
    fn buckets_double() {
        assert_eq!(Response::bucket_end_ns(0), Some(8192));
        assert_eq!(Response::bucket_end_ns(1), Some(16384));
        assert_eq!(Response::bucket_end_ns(BUCKETS - 2), Some(1 << 31));
        assert_eq!(Response::bucket_end_ns(BUCKETS - 1), None);
    }
}
