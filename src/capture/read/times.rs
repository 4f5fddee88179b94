//! Times of pcapng: ticks of a unit that each interface has, from a second that it may have, too.

const SECOND_NS: i128 = 1_000_000_000;

/// The unit and the beginning of an interface's times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    ticks_a_second: u64,
    offset_seconds: i64,
}

impl Clock {
    /// From `if_tsresol` (a negative power of 10 or, with the high bit, of 2) and `if_tsoffset`. `None` where the unit is finer than any
    /// second has room for in 64 bits.
    pub fn new(resolution: u8, offset_seconds: i64) -> Option<Self> {
        let power = u32::from(resolution & 0x7f);
        let ticks_a_second = if resolution & 0x80 == 0 {
            10_u64.checked_pow(power)?
        } else {
            1_u64.checked_shl(power)?
        };
        Some(Self {
            ticks_a_second,
            offset_seconds,
        })
    }

    /// Nanoseconds since 1970, cut to whole ones; `None` for what 63 bits do not hold: before 1970, or after 2262.
    pub fn time_ns(self, ticks: u64) -> Option<u64> {
        let since = i128::from(ticks) * SECOND_NS / i128::from(self.ticks_a_second);
        let time = since + i128::from(self.offset_seconds) * SECOND_NS;
        i64::try_from(time).ok()?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_ten_and_of_two() {
        let time = |resolution, ticks| Clock::new(resolution, 0).and_then(|it| it.time_ns(ticks));
        assert_eq!(time(0, 3), Some(3_000_000_000));
        assert_eq!(
            time(6, 1_340_954_905_298_858),
            Some(1_340_954_905_298_858_000)
        );
        assert_eq!(
            time(9, 1_700_000_000_123_456_789),
            Some(1_700_000_000_123_456_789)
        );
        assert_eq!(time(12, 1_999), Some(1));
        assert_eq!(time(19, u64::MAX), Some(1_844_674_407));
        assert_eq!(time(20, 0), None);
        assert_eq!(time(0x80, 7), Some(7_000_000_000));
        assert_eq!(time(0x8a, 1536), Some(1_500_000_000));
        assert_eq!(time(0xa0, 3 << 31), Some(1_500_000_000));
        assert_eq!(time(0xbf, 1 << 62), Some(500_000_000));
        assert_eq!(time(0xc0, 0), None);
    }

    #[test]
    fn times_are_from_1970_to_2262() {
        let time = |offset, ticks| Clock::new(9, offset).and_then(|it| it.time_ns(ticks));
        assert_eq!(time(1_700_000_000, 5), Some(1_700_000_000_000_000_005));
        assert_eq!(time(-1, 1_000_000_000), Some(0));
        assert_eq!(time(-1, 999_999_999), None);
        assert_eq!(time(0, 1 << 63), None);
        assert_eq!(time(0, (1 << 63) - 1), Some((1 << 63) - 1));
        assert_eq!(time(i64::MAX, 0), None);
        assert_eq!(time(i64::MIN, u64::MAX), None);
    }
}
