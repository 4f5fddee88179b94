//! Sizes on the command line, in bytes.

/// A size such as `64MB`, `1.5GiB` or `500k`; a number alone counts in `unit`. k, M and G alone are powers of 1,024, as in tcpdump.
fn size(text: &str, unit: u64) -> Result<u64, String> {
    let wrong = || "write a size such as 64MB, 512KiB or 1G".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, word) = text.split_at(digits.unwrap_or(text.len()));
    let factor = match word.trim().to_ascii_lowercase().as_str() {
        "" => unit,
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "no negative number is read, and what is beyond 2^53 is refused by who asks"
    )]
    let bytes = (number * factor as f64) as u64;
    Ok(bytes)
}

fn size_between(text: &str, unit: u64, least: u64, most: u64) -> Result<u64, String> {
    let size = size(text, unit)?;
    if size < least || size > most {
        return Err(format!(
            "not between {} and {} bytes",
            grouped(least),
            grouped(most)
        ));
    }
    Ok(size)
}

fn grouped(bytes: u64) -> String {
    crate::model::text::Grouped(bytes).to_string()
}

/// Of a file; as tcpdump's `-C`, a bare number is millions.
pub(super) fn file(text: &str) -> Result<u64, String> {
    size_between(text, 1_000_000, 1, 1 << 50)
}

/// Of memory for frames.
pub(super) fn memory(text: &str) -> Result<u64, String> {
    size_between(text, 1, 1 << 16, 1 << 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("1", 1_000_000),
            ("0.5", 500_000),
            ("100b", 100),
            ("2k", 2048),
            ("2KB", 2000),
            ("1M", 1 << 20),
            ("1MiB", 1 << 20),
            ("64MB", 64_000_000),
            ("1.5 GiB", 3 << 29),
        ] {
            assert_eq!(file(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "MB", "1x", "1.2.3", "-1", "1e3", "0", "99999999G"] {
            assert!(file(wrong).is_err(), "{wrong}");
        }
    }
}
