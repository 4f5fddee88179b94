//! Metrics of statsd (<https://github.com/statsd/statsd/blob/master/docs/metric_types.md>), with tags as Datadog has them.

use super::super::datagram::Datagram;
use super::super::fit::Fit;

/// Counter, gauge, time, histogram, set, distribution, meter.
const KINDS: [&[u8]; 7] = [b"c", b"g", b"ms", b"h", b"s", b"d", b"m"];

/// `name:value|kind` on each line. Where it is cut, on each whole one.
pub(super) fn statsd(datagram: &Datagram<'_>) -> Option<Fit> {
    let mut lines = datagram.bytes.split(|byte| *byte == b'\n');
    if datagram.is_cut() {
        lines.next_back();
    }
    let mut count = 0;
    for line in lines.filter(|line| !line.is_empty()) {
        if !is_metric(line) {
            return Some(Fit::No);
        }
        count += 1;
    }
    (count > 0).then_some(Fit::Sure)
}

fn is_metric(line: &[u8]) -> bool {
    let mut parts = line
        .strip_suffix(b"\r")
        .unwrap_or(line)
        .split(|byte| *byte == b'|');
    let (Some(start), Some(kind)) = (parts.next(), parts.next()) else {
        return false;
    };
    let Some(colon) = start.iter().position(|byte| *byte == b':') else {
        return false;
    };
    let (name, value) = (&start[..colon], &start[colon + 1..]);
    // The value of a set is any word; several values may stand one after the other.
    let is_value = |byte: &u8| {
        byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b':' | b'e' | b'E')
    };
    let is_graphic = |text: &[u8]| text.iter().all(u8::is_ascii_graphic);
    !name.is_empty()
        && is_graphic(name)
        && KINDS.contains(&kind)
        && !value.is_empty()
        && (value.iter().all(is_value) || (kind == b"s" && is_graphic(value)))
        && parts.all(|part| matches!(part.first(), Some(b'@' | b'#' | b'c' | b'T')))
}
