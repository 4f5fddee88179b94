//! Flow records: `NetFlow` 1, 5, 7 (Cisco's export formats) and 9 (RFC 3954 5), IPFIX (RFC 7011 3), sFlow 5
//! (<https://sflow.org/sflow_version_5.txt>).

use super::super::datagram::Datagram;
use super::super::fit::Fit;

/// Records of the old formats in one datagram.
const RECORDS_MAX: usize = 30;
/// Templates have smaller numbers, data those from here on (RFC 7011 3.3.2).
const DATA_MIN: u16 = 256;
const SFLOW_SAMPLES_MAX: u32 = 512;

/// A version and records that fill the datagram; in version 9, sets to the end.
pub(super) fn netflow(datagram: &Datagram<'_>) -> Option<Fit> {
    let (header, record) = match datagram.be16(0)? {
        1 => (16, 52),
        5 => (24, 48),
        7 => (24, 52),
        9 if datagram.count16(2)? > 0 => return sets(datagram, 20, 0..=1),
        _ => return Some(Fit::No),
    };
    let records = datagram.count16(2)?;
    let is_full =
        (1..=RECORDS_MAX).contains(&records) && header + record * records == datagram.length();
    Some(Fit::sure_if(is_full))
}

/// Version 10, its length, and sets to the end.
pub(super) fn ipfix(datagram: &Datagram<'_>) -> Option<Fit> {
    if datagram.be16(0)? != 10 || datagram.count16(2)? != datagram.length() {
        return Some(Fit::No);
    }
    sets(datagram, 16, 2..=3)
}

/// Sets of templates or data, as far as we have them; one at least.
fn sets(
    datagram: &Datagram<'_>,
    start: usize,
    templates: std::ops::RangeInclusive<u16>,
) -> Option<Fit> {
    let mut at = start;
    while at < datagram.length() {
        if at > start && at >= datagram.bytes.len() {
            return Some(Fit::Sure);
        }
        let (id, length) = (datagram.be16(at)?, datagram.count16(at + 2)?);
        if (id < DATA_MIN && !templates.contains(&id)) || length < 4 {
            return Some(Fit::No);
        }
        at += length;
    }
    Some(Fit::sure_if(at == datagram.length() && at > start))
}

/// Version 5, the agent's address, a count of samples, and the first of them.
pub(super) fn sflow(datagram: &Datagram<'_>) -> Option<Fit> {
    if datagram.be32(0)? != 5 {
        return Some(Fit::No);
    }
    let address = match datagram.be32(4)? {
        1 => 4,
        2 => 16,
        _ => return Some(Fit::No),
    };
    let count = 20 + address;
    let samples = datagram.be32(count)?;
    if samples == 0 {
        return Some(Fit::fits_if(datagram.length() == count + 4));
    }
    let length = usize::try_from(datagram.be32(count + 8)?).ok()?;
    let is_inside =
        length.is_multiple_of(4) && length.saturating_add(count + 12) <= datagram.length();
    Some(Fit::sure_if(samples <= SFLOW_SAMPLES_MAX && is_inside))
}
