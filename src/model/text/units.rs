//! Numbers for people: decimal byte units, bits per second, durations, thousands separators.

use std::fmt;

/// A number with a comma at each thousand.
#[derive(Clone, Copy, Debug)]
pub struct Grouped(pub u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// Bytes in the unit that suits them: `74 B`, `1.2 kB`, `3.4 GB`.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(f, self.0, &[" B", " kB", " MB", " GB", " TB", " PB", " EB"])
    }
}

impl Bytes {
    /// The same in less room: `1.2kB`.
    #[must_use]
    pub fn short(self) -> String {
        self.to_string().replace(' ', "")
    }
}

/// Bytes per second, shown in bits: `512 bit/s`, `9.8 Mbit/s`.
#[derive(Clone, Copy, Debug)]
pub struct Bitrate(pub f32);

impl Bitrate {
    /// The same in less room: `512`, `9.8M`.
    #[must_use]
    pub fn short(self) -> String {
        let text = self.to_string();
        text.trim_end_matches("bit/s").replace(' ', "")
    }
}

impl fmt::Display for Bitrate {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast of a float saturates, and a rate is not negative"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = (f64::from(self.0) * 8.0).round() as u64;
        let units = [
            " bit/s", " kbit/s", " Mbit/s", " Gbit/s", " Tbit/s", " Pbit/s", " Ebit/s",
        ];
        scaled(f, bits, &units)
    }
}

/// Nanoseconds as a duration: `850us`, `11.8ms`, `1.2s`, `3m20s`, `2h05m`, `3d04h`.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // From here on the seconds would be rounded to 60.0.
        if self.0 < 59_950_000_000 {
            return scaled(f, self.0, &["ns", "us", "ms", "s"]);
        }
        let seconds = (self.0 + 500_000_000) / 1_000_000_000;
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        if hours == 0 {
            write!(f, "{minutes}m{:02}s", seconds % 60)
        } else if days == 0 {
            write!(f, "{hours}h{:02}m", minutes % 60)
        } else {
            write!(f, "{days}d{:02}h", hours % 24)
        }
    }
}

/// Writes `value` in the largest of `units`, each a thousand of the one before, that leaves something before the point;
/// with one decimal below 100. Integers throughout, so that no rounding shows `1000` of a unit.
fn scaled(f: &mut fmt::Formatter<'_>, value: u64, units: &[&str]) -> fmt::Result {
    let value = u128::from(value);
    let mut size = 1_u128;
    for (index, unit) in units.iter().enumerate() {
        let whole = (value + size / 2) / size;
        let tenths = (value * 10 + size / 2) / size;
        if index > 0 && tenths < 1000 {
            return write!(f, "{}.{}{unit}", tenths / 10, tenths % 10);
        }
        if whole < 1000 || index + 1 == units.len() {
            return write!(f, "{whole}{unit}");
        }
        size *= 1000;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_thousands() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (123_456, "123,456"),
            (1_234_567, "1,234,567"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ];
        for (number, text) in cases {
            assert_eq!(Grouped(number).to_string(), text);
        }
        assert_eq!(
            format!("{:>7}|{:<7}|", Grouped(1000), Grouped(1000)),
            "  1,000|1,000  |"
        );
    }

    #[test]
    fn bytes_take_the_unit_that_suits() {
        let cases = [
            (0, "0 B"),
            (74, "74 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1249, "1.2 kB"),
            (1250, "1.3 kB"),
            (99_949, "99.9 kB"),
            (99_950, "100 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (3_400_000_000, "3.4 GB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn rates_are_in_bits() {
        let cases = [
            (0.0, "0 bit/s"),
            (0.05, "0 bit/s"),
            (64.0, "512 bit/s"),
            (1_225_000.0, "9.8 Mbit/s"),
            (12_500_000_000.0, "100 Gbit/s"),
            (f32::NAN, "0 bit/s"),
        ];
        for (rate, text) in cases {
            assert_eq!(Bitrate(rate).to_string(), text);
        }
    }

    #[test]
    fn durations_read_well() {
        let cases = [
            (0, "0ns"),
            (740, "740ns"),
            (1500, "1.5us"),
            (850_000, "850us"),
            (999_600, "1.0ms"),
            (11_812_345, "11.8ms"),
            (1_200_000_000, "1.2s"),
            (59_949_999_999, "59.9s"),
            (59_950_000_000, "1m00s"),
            (200_000_000_000, "3m20s"),
            (3_599_499_999_999, "59m59s"),
            (3_599_500_000_000, "1h00m"),
            (7_500_000_000_000, "2h05m"),
            (273_600_000_000_000, "3d04h"),
        ];
        for (ns, text) in cases {
            assert_eq!(Span(ns).to_string(), text, "{ns}");
        }
    }
}
