//! What a connection is when its caches are written back, found out without writing them back. Pure.

use super::sys::types;

/// How long a slot's delta and its entry are told apart: the words of a tuple.
pub(super) type Words = [u64; 5];

/// A connection's slot, with whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub words: Words,
    pub packets: [u32; 2],
    pub bytes: [u64; 2],
    /// Jiffies, low 32 bits, of its latest packet.
    pub last: u32,
}

/// The slots of a set that hold something.
pub(super) fn held4(set: &types::udp_track_set4) -> impl Iterator<Item = Held> + '_ {
    set.way.iter().filter_map(|slot| {
        let [first, second] = slot.words;
        held(&slot.delta, [first, second, 0, 0, 0])
    })
}

/// The same for IPv6.
pub(super) fn held6(set: &types::udp_track_set6) -> impl Iterator<Item = Held> + '_ {
    set.way
        .iter()
        .filter_map(|slot| held(&slot.delta, slot.words))
}

fn held(delta: &types::udp_track_delta, words: Words) -> Option<Held> {
    let is_dirty = delta.ifindex != 0 && (delta.packets[0] | delta.packets[1]) != 0;
    is_dirty.then_some(Held {
        words,
        packets: delta.packets,
        bytes: delta.bytes,
        last: delta.last,
    })
}

/// Adds what a slot holds, as `udp_track_merge()` in connection.h does. A slot never holds a side that the entry has not
/// seen: that is written back at once.
pub(super) fn add(connection: &mut types::udp_track_connection, held: &Held, assured_jiffies: u32) {
    let sides = u8::from(held.packets[0] != 0) | u8::from(held.packets[1] != 0) << 1;
    connection.state = next_state(connection, sides, held.last, assured_jiffies);
    for ((counts, packets), bytes) in connection.from.iter_mut().zip(held.packets).zip(held.bytes) {
        counts.packets += u64::from(packets);
        counts.bytes += bytes;
        connection.bytes += bytes;
    }
    let ahead = difference(held.last, low(connection.last));
    if ahead > 0 {
        connection.last = connection.last.wrapping_add_signed(ahead.into());
    }
}

/// `next_state()` in connection.h.
fn next_state(
    connection: &types::udp_track_connection,
    sides: u8,
    last: u32,
    assured_jiffies: u32,
) -> u8 {
    use types::udp_track_state as states;
    let is = |state: states| u32::from(connection.state) == state.0;
    let state = |state: states| u8::try_from(state.0).unwrap_or(connection.state);
    let older = difference(last, connection.changed) < 0;
    if is(states::UDP_TRACK_UNREACHABLE) {
        let answers = sides & 1 << (connection.unreachable & 1) != 0;
        return match connection.seen | sides {
            _ if older || !answers => connection.state,
            3 => state(states::UDP_TRACK_REPLIED),
            _ => state(states::UDP_TRACK_ESTABLISHED),
        };
    }
    let age = i64::from(difference(last, connection.first));
    if is(states::UDP_TRACK_REPLIED) && !older && age > i64::from(assured_jiffies) {
        return state(states::UDP_TRACK_ASSURED);
    }
    connection.state
}

/// How far one jiffy is ahead of another.
fn difference(one: u32, other: u32) -> i32 {
    one.wrapping_sub(other).cast_signed()
}

#[allow(clippy::cast_possible_truncation)] // the low half is what is wanted
fn low(jiffies: u64) -> u32 {
    jiffies as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSURED: u32 = 500;

    fn connection() -> types::udp_track_connection {
        types::udp_track_connection {
            bytes: 150,
            from: [
                types::udp_track_counts {
                    packets: 1,
                    bytes: 100,
                },
                types::udp_track_counts {
                    packets: 1,
                    bytes: 50,
                },
            ],
            last: (7 << 32) + 1000,
            first: 1000,
            changed: 1000,
            state: 3,
            seen: 3,
            ..Default::default()
        }
    }

    fn held(packets: [u32; 2], last: u32) -> Held {
        Held {
            words: [1, 2, 0, 0, 0],
            packets,
            bytes: [u64::from(packets[0]) * 100, u64::from(packets[1]) * 50],
            last,
        }
    }

    fn merged(before: types::udp_track_connection, held: &Held) -> types::udp_track_connection {
        let mut after = before;
        add(&mut after, held, ASSURED);
        after
    }

    #[test]
    fn counts_and_times_grow() {
        let after = merged(connection(), &held([2, 1], 1300));
        assert_eq!((after.from[0].packets, after.from[0].bytes), (3, 300));
        assert_eq!((after.from[1].packets, after.from[1].bytes), (2, 100));
        assert_eq!(after.bytes, 400);
        assert_eq!(after.last, (7 << 32) + 1300);
        assert_eq!(after.state, 3);
    }

    #[test]
    fn an_older_slot_leaves_the_time() {
        let after = merged(connection(), &held([1, 0], 900));
        assert_eq!(after.last, (7 << 32) + 1000);
    }

    #[test]
    fn jiffies_wrap() {
        let mut before = connection();
        before.last = (7 << 32) - 6;
        before.first = 0_u32.wrapping_sub(6);
        before.changed = before.first;
        let after = merged(before, &held([1, 0], 600));
        assert_eq!((after.last, after.state), ((7 << 32) + 600, 4));
    }

    #[test]
    fn replied_becomes_assured_after_two_seconds() {
        let state = |last| merged(connection(), &held([1, 0], last)).state;
        assert_eq!((state(1500), state(1501)), (3, 4));
    }

    #[test]
    fn unreachable_ends_when_that_end_sends() {
        let mut before = connection();
        (before.state, before.unreachable, before.changed) = (5, 1, 1200);
        let state = |packets, last| merged(before, &held(packets, last)).state;
        assert_eq!(state([1, 0], 1300), 5);
        assert_eq!(state([0, 1], 1199), 5);
        assert_eq!(state([0, 1], 1200), 3);
    }

    #[test]
    fn clean_and_free_slots_hold_nothing() {
        let mut set = types::udp_track_set4::default();
        assert_eq!(held4(&set).count(), 0);
        set.way[1].delta.ifindex = 3;
        assert_eq!(held4(&set).count(), 0);
        set.way[1].delta.packets[1] = 1;
        set.way[1].words = [8, 9];
        let only: Vec<_> = held4(&set).collect();
        assert_eq!(only[0].words, [8, 9, 0, 0, 0]);
        assert_eq!(only.len(), 1);
    }
}
