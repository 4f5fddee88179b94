//! How many requests of a connection wait or are lost, from the kernel's counts by epochs (`bpf/response.h`). Pure.

use crate::bpf::read::record::{has, low_u8};
use crate::bpf::sys::types;
use crate::model::Response;

/// What a place's three structs have of requests.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bpf) struct Requests {
    /// What was counted, with `lost` and `retries`.
    pub response: Response,
    pub sides: u8,
    pub epoch: u8,
    pub open: [u16; 2],
    pub waiting_ns: u64,
}

/// The longest wait of a request that is alone.
const PATIENCE_NS: u64 = types::udp_track_requests::UDP_TRACK_PATIENCE_NS.0 as u64;

/// What is waiting and what is lost of them by now; `idle_ns` is how long the connection has been silent. `is_over`: nothing waits any
/// more.
pub(in crate::bpf) fn response(
    requests: Requests,
    now_ns: u64,
    idle_ns: u64,
    is_over: bool,
) -> Response {
    use types::{udp_track_requests as epochs, udp_track_sides as raw};
    let Requests {
        mut response,
        sides,
        epoch,
        open: [current, before],
        waiting_ns,
    } = requests;
    let shift = epochs::UDP_TRACK_EPOCH_SHIFT.0;
    let ahead = low_u8(now_ns >> shift).wrapping_sub(epoch);
    let is_waiting = has(sides, raw::UDP_TRACK_WAITING);
    let age_ns = now_ns.saturating_sub(waiting_ns);
    let (current, before) = (u64::from(current), u64::from(before));
    let waiting = if is_over || idle_ns >= 2 << shift {
        0
    } else {
        match ahead {
            // The clock was read before another CPU's.
            0 | 128.. if current + before == 1 && is_waiting && age_ns >= PATIENCE_NS => 0,
            1 if current == 1 && is_waiting && age_ns >= PATIENCE_NS => 0,
            0 | 128.. => current + before,
            1 => current,
            _ => 0,
        }
    };
    response.waiting = waiting;
    response.lost += current + before - waiting;
    response.waiting_since_ns = (waiting > 0).then_some(if is_waiting {
        waiting_ns
    } else {
        now_ns.saturating_sub(idle_ns)
    });
    response.is_bound = has(sides, raw::UDP_TRACK_BOUND);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RESPONSE_BUCKETS;

    /// Of 100 requests of which 60 were answered and 30 known to be lost; the latest waits in epoch 5.
    fn requests(open: [u16; 2]) -> Requests {
        Requests {
            response: Response {
                answered: 60,
                lost: 30,
                ..Response::default()
            },
            sides: 8,
            epoch: 5,
            open,
            waiting_ns: 5 << 31,
        }
    }

    #[test]
    fn the_histogram_is_the_kernels() {
        let first = types::udp_track_requests::UDP_TRACK_FIRST_BUCKET_BITS.0;
        let buckets = types::udp_track_sizes::UDP_TRACK_RESPONSE_BUCKETS.0;
        assert_eq!(RESPONSE_BUCKETS, buckets as usize);
        assert_eq!(Response::bucket_end_ns(0), Some(1 << first));
    }

    #[test]
    fn what_is_open_waits_until_its_time_is_over() {
        const EPOCH: u64 = 1 << 31;
        let at = |open, now_ns, idle_ns| {
            let response = response(requests(open), now_ns, idle_ns, false);
            assert_eq!(
                response.asked(),
                90 + u64::from(open[0]) + u64::from(open[1])
            );
            (response.waiting, response.lost, response.waiting_since_ns)
        };
        let since = Some(5 * EPOCH);
        assert_eq!(at([1, 0], 5 * EPOCH + 1_999_999_999, 0), (1, 30, since));
        assert_eq!(at([1, 0], 5 * EPOCH + 2_000_000_000, 0), (0, 31, None));
        assert_eq!(at([0, 1], 5 * EPOCH + 2_000_000_000, 0), (0, 31, None));
        // Several: by their epochs.
        assert_eq!(at([3, 2], 5 * EPOCH + 2_000_000_000, 0), (5, 30, since));
        assert_eq!(at([3, 2], 6 * EPOCH, 0), (3, 32, since));
        assert_eq!(at([3, 2], 7 * EPOCH, 0), (0, 35, None));
        // A clock that was read early; one that has gone round.
        assert_eq!(at([3, 2], 5 * EPOCH - 1, 0), (5, 30, since));
        assert_eq!(at([3, 2], (5 + 256) * EPOCH, 256 * EPOCH), (0, 35, None));
        let over = response(requests([3, 2]), 5 * EPOCH, 0, true);
        assert_eq!((over.waiting, over.lost), (0, 35));
    }
}
