//! Times and rates in records: response times, round trips of QUIC, averages per second. Pure data, as in `eve`.

use serde::Serialize;

use crate::listing::Group;
use crate::model::{RESPONSE_BUCKETS, Rate, Response, RoundTrip, Window};

/// Round trips of QUIC, from its spin bit.
#[derive(Serialize)]
pub(super) struct Quic {
    round_trip: RoundTripTimes,
}

/// Of the latest round trips.
#[derive(Serialize)]
struct RoundTripTimes {
    min_ns: u32,
    median_ns: u32,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    parts: Option<PartTimes>,
}

/// The parts of a round trip: between this machine and each end.
#[derive(Serialize)]
struct PartTimes {
    originator_ns: u32,
    responder_ns: u32,
}

impl From<RoundTrip> for Quic {
    fn from(round_trip: RoundTrip) -> Self {
        Self {
            round_trip: RoundTripTimes {
                min_ns: round_trip.min_ns,
                median_ns: round_trip.median_ns,
                parts: round_trip.parts.map(|parts| PartTimes {
                    originator_ns: parts.originator_ns,
                    responder_ns: parts.responder_ns,
                }),
            },
        }
    }
}

/// Requests and their answers. A one-way connection has none.
#[derive(Serialize)]
pub(super) struct ResponseTimes {
    asked: u64,
    answered: u64,
    /// Not for streams, in which each end sends by its own clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    waiting: u64,
    retries: u64,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    times: Option<Times>,
}

/// The times of all answers.
#[derive(Serialize)]
struct Times {
    min_ns: u64,
    mean_ns: u64,
    median_ns: u64,
    p95_ns: u64,
    max_ns: u64,
    sum_ns: u64,
    /// Several requests were open: the times are lower bounds.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    lower_bound: bool,
    histogram: [u32; RESPONSE_BUCKETS],
}

/// Averages over each window, per second.
#[derive(Serialize)]
pub(super) struct Averages<T> {
    #[serde(rename = "2s")]
    short: T,
    #[serde(rename = "10s")]
    medium: T,
    #[serde(rename = "40s")]
    long: T,
}

#[derive(Serialize)]
pub(super) struct Average {
    pkts_toserver: f64,
    pkts_toclient: f64,
    bytes_toserver: f64,
    bytes_toclient: f64,
}

impl ResponseTimes {
    pub(super) fn of_group(group: &Group) -> Option<Self> {
        let response = &group.response;
        Some(Self {
            asked: group.asked().filter(|asked| *asked > 0)?,
            answered: response.answered,
            lost: group.lost(),
            waiting: response.waiting,
            retries: response.retries,
            times: Times::new(response),
        })
    }
}

impl Times {
    fn new(response: &Response) -> Option<Self> {
        let mean_ns = response.mean_ns()?;
        let percentile = |percent| response.percentile_ns(percent).unwrap_or(mean_ns);
        Some(Self {
            min_ns: response.min_ns,
            mean_ns,
            median_ns: percentile(50),
            p95_ns: percentile(95),
            max_ns: response.max_ns,
            sum_ns: response.sum_ns,
            lower_bound: response.is_bound,
            histogram: response.histogram,
        })
    }
}

impl<T> Averages<T> {
    pub(super) fn of(average: impl Fn(Window) -> T) -> Self {
        Self {
            short: average(Window::Short),
            medium: average(Window::Medium),
            long: average(Window::Long),
        }
    }
}

impl Average {
    pub(super) fn new(orig: Rate, reply: Rate) -> Self {
        Self {
            pkts_toserver: rounded(orig.packets),
            pkts_toclient: rounded(reply.packets),
            bytes_toserver: rounded(orig.bytes),
            bytes_toclient: rounded(reply.bytes),
        }
    }
}

/// Rounds to thousandths: digits below are noise of the average.
pub(super) fn rounded(rate: f32) -> f64 {
    (f64::from(rate) * 1000.0).round() / 1000.0
}
