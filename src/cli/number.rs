//! Whole numbers on the command line.

use std::fmt::Display;
use std::ops::{Bound, RangeBounds};
use std::str::FromStr;

/// A reader of whole numbers in `range`.
pub(super) fn within<T>(
    range: impl RangeBounds<T> + Clone,
) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| match (range.start_bound(), range.end_bound()) {
            (Bound::Included(least), Bound::Included(most)) => {
                format!("write a whole number from {least} to {most}")
            }
            (Bound::Included(least), _) => format!("write a whole number, {least} or more"),
            _ => "not a whole number".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_of_the_range_are_read() {
        let read = within(1_u32..=16);
        assert_eq!((read("1"), read("16")), (Ok(1), Ok(16)));
        for wrong in ["0", "17", "-1", "1.5", "", "x", "4294967297"] {
            let expected = Err("write a whole number from 1 to 16".to_owned());
            assert_eq!(read(wrong), expected, "{wrong}");
        }
        let expected = Err("write a whole number, 1 or more".to_owned());
        assert_eq!(within(1_u64..)("0"), expected);
    }
}
