//! How fast messages go to a collector, and how many may wait. Pure.
//!
//! A collector with the kernel's default buffer (212,992 bytes) has room for some ninety messages: what comes faster than it is
//! given a processor is lost there, and nobody says so. So messages go in small bursts, and no faster than they have to.

use std::time::Duration;

use super::message::LARGEST;

/// How many messages go at once.
pub(super) const BURST: usize = 16;
/// What waits is sent within about this time, if it may go so fast.
const WITHIN: Duration = Duration::from_secs(2);
/// Messages a second: what is never waited for, and what is never exceeded.
const SLOWEST: usize = 1000;
const FASTEST: usize = 16_000;
/// The same at the end of a run, which somebody waits for.
const LAST: usize = 4000;
/// Messages that may wait whatever the size of the table: five megabytes.
const LEAST_ROOM: usize = 4096;
/// And at most: 370 megabytes, all records of more than a million connections. At the fastest they are sent in 17 seconds; an end of a run
/// waits for 30, so more could not be sent then anyway.
const MOST_ROOM: usize = 1 << 18;

/// Messages that may wait for one collector, by the size of the table and of a record: each connection may end at once, and has a
/// record for each direction, or one for both. What comes beyond is counted as not sent.
pub(super) fn room(connections: u32, record: usize, biflow: bool) -> usize {
    let records = usize::try_from(connections)
        .unwrap_or(usize::MAX)
        .saturating_mul(if biflow { 1 } else { 2 });
    let in_message = (LARGEST / record.max(1)).max(1);
    records.div_ceil(in_message).clamp(LEAST_ROOM, MOST_ROOM)
}

/// How long to wait after a burst, by the number of messages that wait and the room for them.
pub(super) fn pause(waiting: usize, room: usize, is_last: bool) -> Duration {
    let in_time = waiting / usize::try_from(WITHIN.as_secs()).unwrap_or(1);
    // As it fills up, the room matters more than the time.
    let by_room = FASTEST.saturating_mul(waiting) / room.max(1);
    let slowest = if is_last { LAST } else { SLOWEST };
    let rate = in_time.max(by_room).clamp(slowest, FASTEST);
    Duration::from_secs(1) * u32::try_from(BURST).unwrap_or(1) / u32::try_from(rate).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(waiting: usize, room: usize, is_last: bool) -> u128 {
        1_000_000_000 * BURST as u128 / pause(waiting, room, is_last).as_nanos()
    }

    #[test]
    fn what_waits_is_sent_in_time_and_no_faster() {
        let room = 1_000_000;
        assert_eq!(rate(0, room, false), 1000);
        assert_eq!(rate(10_000, room, false), 5000);
        assert_eq!(rate(100_000, room, false), 16_000);
    }

    #[test]
    fn a_queue_that_fills_up_is_emptied_as_fast_as_it_may() {
        assert_eq!(rate(4096, 4096, false), 16_000);
        assert_eq!(rate(2048, 4096, false), 8000);
    }

    #[test]
    fn an_end_is_no_slower_than_it_has_to_be() {
        assert_eq!(rate(0, 4096, true), 4000);
    }

    #[test]
    fn there_is_room_for_the_whole_table() {
        // 111 bytes: 11 records in a message.
        assert_eq!(room(65_536, 111, false), (2 * 65_536_usize).div_ceil(11));
        assert_eq!(room(65_536, 111, true), 65_536_usize.div_ceil(11));
        assert_eq!(room(1, 111, false), 4096);
    }

    #[test]
    fn there_is_no_more_room_than_can_be_emptied_in_time() {
        let most = room(16_777_216, 111, false);
        assert_eq!(most, 262_144);
        assert_eq!(room(u32::MAX, 111, true), most);
        let bursts = u32::try_from(most / BURST).unwrap();
        assert!(pause(most, most, true) * bursts < Duration::from_secs(30));
    }
}
