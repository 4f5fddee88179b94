//! `BitTorrent` over UDP: its transport (BEP 29), its distributed table (BEP 5), its trackers (BEP 15).

use super::super::datagram::Datagram;
use super::super::fit::Fit;

const UTP_HEADER: usize = 20;
const SYN: u8 = 0x41;
const STATE: u8 = 0x21;
const DATA: u8 = 0x01;
/// What opens a connection to a tracker.
const TRACKER_MAGIC: [u8; 8] = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80];
/// Keys of a dictionary in their order: a query's arguments, an answer's values, whom an answer is to, an error.
const DHT_STARTS: [&[u8]; 2] = [b"d1:ad2:id20:", b"d1:rd2:id20:"];
const DHT_ADDRESSED: [&[u8]; 2] = [b"d2:ip6:", b"d2:ip18:"];
const DHT_VALUES: &[u8] = b"1:rd2:id20:";
const DHT_ERROR: &[u8] = b"d1:eli20";

/// What opens a connection; data, or acknowledgements, that count.
pub(super) fn utp(datagram: &Datagram<'_>) -> Option<Fit> {
    let (first, extension, id) = (datagram.u8(0)?, datagram.u8(1)?, datagram.be16(2)?);
    if datagram.length() < UTP_HEADER || extension > 4 {
        return Some(Fit::No);
    }
    let (number, acknowledged) = (datagram.be16(16)?, datagram.be16(18)?);
    let key = |number: u16| u32::from(id) << 16 | u32::from(number);
    Some(match first {
        // Nothing was received yet: no delay, nothing to acknowledge.
        SYN => Fit::sure_if(datagram.be32(8)? == 0 && acknowledged == 0),
        STATE => Fit::Counts {
            key: key(number),
            number: acknowledged,
        },
        DATA if datagram.length() > UTP_HEADER => Fit::Counts {
            key: key(u16::from(extension)),
            number,
        },
        _ => Fit::No,
    })
}

/// A dictionary with the keys of a message.
pub(super) fn dht(datagram: &Datagram<'_>) -> Option<Fit> {
    if datagram.u8(0)? != b'd' {
        return Some(Fit::No);
    }
    for start in DHT_STARTS {
        if datagram.has(0, start)? {
            return Some(Fit::Sure);
        }
    }
    let has_start = |starts: &[&[u8]]| starts.iter().any(|start| datagram.bytes.starts_with(start));
    let has_values = datagram
        .bytes
        .windows(DHT_VALUES.len())
        .any(|part| part == DHT_VALUES);
    let is_answer = has_start(&DHT_ADDRESSED) && has_values;
    Some(Fit::sure_if(is_answer || has_start(&[DHT_ERROR])))
}

/// The magic that opens a connection, and its answer.
pub(super) fn tracker(datagram: &Datagram<'_>) -> Option<Fit> {
    if datagram.length == 16 && datagram.has(0, &TRACKER_MAGIC)? {
        return Some(Fit::sure_if(datagram.be32(8)? == 0));
    }
    Some(Fit::No)
}
