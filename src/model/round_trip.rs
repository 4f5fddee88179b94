//! How long a round trip takes, as QUIC's spin bit shows it to who only listens. It is no response time: nothing is asked or answered.

/// Of one connection, from its latest round trips: end to end, with what both ends take before they send. In nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// The median.
    pub median_ns: u32,
    /// The shortest.
    pub min_ns: u32,
    /// Where both directions are seen: on which side of here it takes how long.
    pub parts: Option<Parts>,
}

/// Medians of the two parts of a round trip. They add up to about its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// From here to the originator and back.
    pub originator_ns: u32,
    /// From here to the responder and back.
    pub responder_ns: u32,
}

/// The middle one of several times, the lower one of two; `None` of none. It puts them in another order.
#[must_use]
pub fn median(times: &mut [u32]) -> Option<u32> {
    let middle = times.len().checked_sub(1)? / 2;
    Some(*times.select_nth_unstable(middle).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_one() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [7]), Some(7));
        assert_eq!(median(&mut [9, 7]), Some(7));
        assert_eq!(median(&mut [9, 1, 7]), Some(7));
    }
}
