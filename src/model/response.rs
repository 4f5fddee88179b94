//! Requests and their answers: what was asked, answered, lost, and how long answers took.
//!
//! A packet of the originator that opens a wait is a request; the packet back that closes it is its answer (`bpf/state.h`). A request is
//! *waiting* until its answer comes, a later one is asked, or two seconds have passed: then it is *lost*. A *retry* is a request
//! that repeats the one before it. For media, where both ends send on their own clock, nothing of it is a loss or a round trip.

/// Buckets of the histogram, which is the kernel's: `src/bpf/read/requests.rs` compares it.
pub const BUCKETS: usize = 20;
/// The first bucket ends at 2 to this power, in nanoseconds; each next one at twice the one before.
const FIRST_BUCKET_BITS: usize = 13;

/// Requests and answers of one connection, or of several together. All times are nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Requests that an answer came to.
    pub answered: u64,
    /// Requests that no answer came to, and that wait no longer.
    pub lost: u64,
    /// Of all requests, those that repeated the one before, which had no answer yet.
    pub retries: u64,
    /// All response times together.
    pub sum_ns: u64,
    /// The shortest; 0 when nothing was answered.
    pub min_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// How many response times fell into each bucket ([`Response::bucket_end_ns`]); it stops at `u32::MAX`.
    pub histogram: [u32; BUCKETS],
    /// Requests that wait for an answer now.
    pub waiting: u64,
    /// When the oldest of them was asked, in nanoseconds of `CLOCK_MONOTONIC`.
    pub waiting_since_ns: Option<u64>,
    /// Several requests were under way at once and nothing told their answers apart: each was timed from the latest request before
    /// it, so the times are lower bounds.
    pub is_bound: bool,
}

impl Response {
    /// The average response time, `None` when nothing was answered.
    #[must_use]
    pub fn mean_ns(&self) -> Option<u64> {
        self.sum_ns.checked_div(self.answered)
    }

    /// The response time that this percentage of the answers did not exceed, from the histogram: a point on the line between the ends
    /// of its bucket, and never outside the shortest and the longest. `None` when nothing was answered.
    #[must_use]
    pub fn percentile_ns(&self, percent: u8) -> Option<u64> {
        let total: u64 = self.histogram.iter().copied().map(u64::from).sum();
        if total == 0 {
            return None;
        }
        let rank = (total * u64::from(percent.min(100))).div_ceil(100).max(1);
        let mut before = 0;
        for (bucket, count) in self.histogram.iter().copied().map(u64::from).enumerate() {
            if before + count >= rank {
                let start = bucket
                    .checked_sub(1)
                    .and_then(Self::bucket_end_ns)
                    .unwrap_or(0)
                    .max(self.min_ns);
                let end = Self::bucket_end_ns(bucket)
                    .unwrap_or(u64::MAX)
                    .min(self.max_ns)
                    .max(start);
                let part = u128::from(end - start) * u128::from(rank - before) / u128::from(count);
                return Some(start + u64::try_from(part).unwrap_or(u64::MAX - start));
            }
            before += count;
        }
        Some(self.max_ns)
    }

    /// All requests: answered, lost, waiting.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.answered + self.lost + self.waiting
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
        self.lost += other.lost;
        self.retries += other.retries;
        self.is_bound |= other.is_bound;
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
    fn percentiles_lie_in_their_bucket() {
        assert_eq!(Response::default().percentile_ns(50), None);
        assert_eq!(answered(40_000).percentile_ns(95), Some(40_000));
        let mut all = Response {
            answered: 100,
            min_ns: 5_000,
            max_ns: 3_000_000_000,
            ..Response::default()
        };
        all.histogram[0] = 50;
        all.histogram[1] = 45;
        all.histogram[BUCKETS - 1] = 5;
        // The last of the first bucket, the last of the second, the last of all.
        assert_eq!(all.percentile_ns(50), Some(8192));
        assert_eq!(all.percentile_ns(95), Some(16384));
        assert_eq!(all.percentile_ns(100), Some(3_000_000_000));
        assert_eq!(all.percentile_ns(1), Some(5_000 + (8192 - 5_000) / 50));
    }

    #[test]
    fn buckets_double() {
        assert_eq!(Response::bucket_end_ns(0), Some(8192));
        assert_eq!(Response::bucket_end_ns(1), Some(16384));
        assert_eq!(Response::bucket_end_ns(BUCKETS - 2), Some(1 << 31));
        assert_eq!(Response::bucket_end_ns(BUCKETS - 1), None);
    }
}
