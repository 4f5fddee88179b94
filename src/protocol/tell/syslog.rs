//! Syslog (RFC 5424 6, RFC 3164 4).

use super::super::datagram::Datagram;
use super::super::fit::Fit;

/// Facility 23, severity 7.
const PRIORITY_MAX: u16 = 191;
const MONTHS: [&[u8]; 12] = [
    b"Jan ", b"Feb ", b"Mar ", b"Apr ", b"May ", b"Jun ", b"Jul ", b"Aug ", b"Sep ", b"Oct ",
    b"Nov ", b"Dec ",
];

/// A priority in brackets, then a version and a time, or the name of a month. On its port, any text behind the priority.
pub(super) fn syslog(datagram: &Datagram<'_>) -> Option<Fit> {
    if datagram.u8(0)? != b'<' {
        return Some(Fit::No);
    }
    let mut priority: u16 = 0;
    let mut at = 1;
    while let digit @ b'0'..=b'9' = datagram.u8(at)? {
        priority = priority * 10 + u16::from(digit - b'0');
        at += 1;
        if at > 4 {
            return Some(Fit::No);
        }
    }
    if at == 1 || priority > PRIORITY_MAX || datagram.u8(at)? != b'>' {
        return Some(Fit::No);
    }
    let text = datagram.from(at + 1);
    let is_of_version_1 = matches!(
        text,
        [b'1', b' ', b'-', b' ', ..]
            | [
                b'1',
                b' ',
                b'0'..=b'9',
                b'0'..=b'9',
                b'0'..=b'9',
                b'0'..=b'9',
                b'-',
                ..
            ]
    );
    if is_of_version_1 || MONTHS.iter().any(|month| text.starts_with(month)) {
        return Some(Fit::Sure);
    }
    let is_text = text
        .iter()
        .take(16)
        .all(|byte| *byte >= b' ' && *byte != 0x7f);
    Some(Fit::fits_if(is_text && !text.is_empty()))
}
