//! A snapshot as a page: names, helps and labels of all metrics.
//!
//! Never a label for a connection, nor for an address of others but those of the first DNS servers: there would be no bound.

use std::time::UNIX_EPOCH;

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use prometheus::{Encoder as _, TextEncoder};

use super::snapshot::{REASONS, STATUSES, Share, Snapshot, Times};
use crate::model::text::Visible;
use crate::model::{Books, Counts, Direction, DnsCounts, Protocol, RCODES, Response, Skip};

/// What it is, for who asks.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The same for who asks for `OpenMetrics`.
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Names that every exporter has.
const COMMON: [&str; 6] = [
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_threads",
    "process_open_fds",
    "process_start_time_seconds",
];
/// What stands for all that have no metric of their own.
pub(super) const OTHER: &str = "other";

/// The page. Label values are escaped by the library.
pub(super) fn write(snapshot: &Snapshot) -> prometheus::Result<Vec<u8>> {
    let mut page = Page::default();
    page.about(snapshot);
    page.process(snapshot);
    page.books(snapshot);
    page.dropped(snapshot);
    page.buffers(snapshot);
    page.connections(snapshot);
    page.captures(snapshot);
    page.responses(snapshot);
    page.round_trips(snapshot);
    page.dns(snapshot);
    page.busiest(snapshot);
    let mut text = Vec::new();
    TextEncoder::new().encode(&page.families, &mut text)?;
    Ok(text)
}

/// The same page as `OpenMetrics`: there a counter's family has no `_total`, and the page has an end.
pub(super) fn open_metrics(page: &str) -> String {
    let mut text = String::with_capacity(page.len() + 6);
    for line in page.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", what, name, rest] => {
                let name = name.strip_suffix("_total").unwrap_or(name);
                text.extend(["# ", what, " ", name, " ", rest]);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text.push_str("# EOF\n");
    text
}

#[derive(Default)]
struct Page {
    families: Vec<MetricFamily>,
}

type Labels<'a> = Vec<(&'a str, &'a str)>;

impl Page {
    fn family(
        &mut self,
        kind: MetricType,
        name: &str,
        help: &str,
        metrics: impl Iterator<Item = Metric>,
    ) {
        let metrics: Vec<Metric> = metrics.collect();
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        let own = if COMMON.contains(&name) {
            ""
        } else {
            "udptrack_"
        };
        family.set_name(format!("{own}{name}"));
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.families.push(family);
    }

    fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        let metrics = values.into_iter().map(|(names, value)| {
            let mut counter = Counter::default();
            counter.set_value(value);
            let mut metric = Metric::default();
            metric.set_label(labels(&names));
            metric.set_counter(counter);
            metric
        });
        self.family(MetricType::COUNTER, name, help, metrics);
    }

    fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        let metrics = values.into_iter().map(|(names, value)| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            let mut metric = Metric::default();
            metric.set_label(labels(&names));
            metric.set_gauge(gauge);
            metric
        });
        self.family(MetricType::GAUGE, name, help, metrics);
    }

    fn histograms<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'a>, Times)>,
    ) {
        let metrics = values.into_iter().map(|(names, times)| {
            let mut metric = Metric::default();
            metric.set_label(labels(&names));
            metric.set_histogram(histogram(&times));
            metric
        });
        self.family(MetricType::HISTOGRAM, name, help, metrics);
    }

    fn about(&mut self, snapshot: &Snapshot) {
        let started = snapshot.started.duration_since(UNIX_EPOCH);
        self.gauges(
            "build_info",
            "Which udptrack this is.",
            [(vec![("version", env!("CARGO_PKG_VERSION"))], 1.0)],
        );
        self.gauges(
            "start_time_seconds",
            "When this run began, in seconds since 1970.",
            [(vec![], started.unwrap_or_default().as_secs_f64())],
        );
    }

    fn process(&mut self, snapshot: &Snapshot) {
        let started = snapshot.started.duration_since(UNIX_EPOCH);
        self.gauges(
            "process_start_time_seconds",
            "When this process began, in seconds since 1970.",
            [(vec![], started.unwrap_or_default().as_secs_f64())],
        );
        let Some(process) = snapshot.process else {
            return;
        };
        self.counters(
            "process_cpu_seconds_total",
            "Processor time that this process has used.",
            [(vec![], process.cpu_seconds)],
        );
        self.gauges(
            "process_resident_memory_bytes",
            "Memory of this process, without that of the kernel's tables.",
            [(vec![], float(process.resident_bytes))],
        );
        self.gauges(
            "process_virtual_memory_bytes",
            "Address space of this process.",
            [(vec![], float(process.virtual_bytes))],
        );
        self.gauges(
            "process_threads",
            "Threads of this process.",
            [(vec![], float(process.threads))],
        );
        let files = process.open_files.into_iter();
        self.gauges(
            "process_open_fds",
            "Files that this process has open.",
            files.map(|files| (vec![], float(files))),
        );
    }

    fn books(&mut self, snapshot: &Snapshot) {
        let each = |value: &dyn Fn(&Books) -> u64| -> Vec<_> {
            let hooks = snapshot.hooks.iter();
            hooks
                .map(|hook| {
                    let names = vec![
                        ("interface", hook.interface.as_str()),
                        ("direction", hook.direction.name()),
                    ];
                    (names, float(value(&hook.books)))
                })
                .collect()
        };
        self.counters(
            "seen_packets_total",
            "Frames that the hook ran on.",
            each(&|books| books.seen.packets),
        );
        self.counters(
            "seen_bytes_total",
            "Bytes of the frames that the hook ran on.",
            each(&|books| books.seen.bytes),
        );
        self.counters(
            "tracked_packets_total",
            "Packets that were counted to a connection.",
            each(&|books| books.tracked.packets),
        );
        self.counters(
            "tracked_bytes_total",
            "Frame bytes that were counted to a connection.",
            each(&|books| books.tracked.bytes),
        );
        let skipped = |value: &dyn Fn(Counts) -> u64| -> Vec<_> {
            let hooks = snapshot.hooks.iter();
            hooks
                .flat_map(|hook| Skip::ALL.map(|reason| (hook, reason)))
                .map(|(hook, reason)| {
                    let names = vec![
                        ("interface", hook.interface.as_str()),
                        ("direction", hook.direction.name()),
                        ("reason", reason.name()),
                    ];
                    (names, float(value(hook.books.skipped_for(reason))))
                })
                .collect()
        };
        self.counters(
            "skipped_packets_total",
            "Frames that belong to no connection, by reason.",
            skipped(&|counts| counts.packets),
        );
        self.counters(
            "skipped_bytes_total",
            "Bytes of the frames that belong to no connection, by reason.",
            skipped(&|counts| counts.bytes),
        );
    }

    /// Only reasons that occurred, as a kernel has a hundred of them.
    fn dropped(&mut self, snapshot: &Snapshot) {
        let hooks = snapshot.hooks.iter();
        let reasons =
            hooks.flat_map(|hook| hook.dropped.iter().map(move |dropped| (hook, dropped)));
        self.counters(
            "dropped_datagrams_total",
            "Datagrams that the kernel dropped behind the hook, by its own reason.",
            reasons.map(|(hook, dropped)| {
                let names = vec![
                    ("interface", hook.interface.as_str()),
                    ("direction", hook.direction.name()),
                    ("reason", &*dropped.reason),
                    ("class", dropped.class.name()),
                ];
                (names, float(dropped.counts.packets))
            }),
        );
        let processes = snapshot.losses.iter();
        self.counters(
            "process_dropped_datagrams_total",
            "Datagrams that the kernel dropped behind the hooks by process (-p): the first ones that lost any, and all others.",
            processes.map(|(name, datagrams)| {
                let name = name.as_deref().unwrap_or(OTHER);
                (vec![("process", name)], float(*datagrams))
            }),
        );
    }

    fn buffers(&mut self, snapshot: &Snapshot) {
        let buffers = snapshot.buffers.iter();
        let addresses = buffers.map(|((_, address), _)| address.to_string());
        let addresses: Vec<String> = addresses.collect();
        let each = snapshot.buffers.iter().zip(&addresses);
        self.gauges(
            "socket_buffer_fill_ratio",
            "Part of its receive buffer that a UDP socket of this machine used at most in the last minute: the fullest ones.",
            each.map(|(((process, _), fill), address)| {
                let names = vec![("process", &**process), ("address", &**address)];
                (names, *fill)
            }),
        );
    }

    fn connections(&mut self, snapshot: &Snapshot) {
        let statuses = STATUSES.iter().zip(snapshot.connections);
        self.gauges(
            "connections",
            "Connections in the table now, by status.",
            statuses.map(|(status, count)| (vec![("status", status.word())], float(count))),
        );
        self.gauges(
            "connections_max",
            "Room in the table (--max-connections).",
            [(vec![], float(snapshot.capacity))],
        );
        self.counters(
            "connections_new_total",
            "Connections that have begun.",
            [(vec![], float(snapshot.connections_new))],
        );
        let reasons = REASONS.iter().zip(snapshot.totals.ended);
        self.counters(
            "connections_ended_total",
            "Connections that have ended, by reason.",
            reasons.map(|(reason, count)| (vec![("reason", reason.word())], float(count))),
        );
        self.counters(
            "events_lost_total",
            "Events (-e new,data) that came faster than they were read.",
            [(vec![], float(snapshot.events_lost))],
        );
        self.gauges(
            "addresses",
            "Addresses in ip_stats and ip6_stats.",
            [(vec![], float(snapshot.addresses))],
        );
        self.counters(
            "address_table_full_packets_total",
            "Packets that were counted to no address, as there was no room (--max-ips).",
            [(vec![], float(snapshot.address_table_full.packets))],
        );
    }

    /// Of -w and --record.
    fn captures(&mut self, snapshot: &Snapshot) {
        let Some(captured) = snapshot.captured else {
            return;
        };
        self.counters(
            "capture_written_frames_total",
            "Frames that are in a file (-w, --record).",
            [(vec![], float(captured.written))],
        );
        let directions = [Direction::Ingress, Direction::Egress].into_iter();
        self.counters(
            "capture_lost_frames_total",
            "Frames that were wanted for a capture and came faster than they were taken from the kernel.",
            directions.zip(captured.lost).map(|(direction, lost)| {
                (vec![("direction", direction.name())], float(lost))
            }),
        );
        self.counters(
            "capture_unwritten_frames_total",
            "Frames that were taken and could not be written.",
            [(vec![], float(captured.unwritten))],
        );
    }

    /// Only where some are known.
    fn round_trips(&mut self, snapshot: &Snapshot) {
        let known = || snapshot.round_trips.into_iter();
        self.gauges(
            "quic_round_trip_connections",
            "Live QUIC connections whose spin bit shows how long a round trip takes.",
            known().map(|(connections, _)| (vec![], float(connections))),
        );
        self.gauges(
            "quic_round_trip_seconds",
            "Round trip of these: the median of their medians.",
            known().map(|(_, ns)| (vec![], seconds(ns.into()))),
        );
    }

    fn responses(&mut self, snapshot: &Snapshot) {
        let responses = &snapshot.responses;
        self.histograms(
            "response_time_seconds",
            "From a request to its answer.",
            [(vec![], responses.times)],
        );
        self.counters(
            "requests_total",
            "Requests that were asked, where an answer is expected.",
            [(vec![], float(responses.asked))],
        );
        self.counters(
            "requests_lost_total",
            "Requests that got no answer and wait no longer; not of streams.",
            [(vec![], float(responses.lost))],
        );
        self.counters(
            "requests_retried_total",
            "Requests that repeated the one before.",
            [(vec![], float(responses.retries))],
        );
        self.gauges(
            "requests_waiting",
            "Requests that wait for an answer now.",
            [(vec![], float(responses.waiting))],
        );
    }

    /// By the kernel's counts: names have no place here.
    fn dns(&mut self, snapshot: &Snapshot) {
        let other = || OTHER.to_owned();
        let servers = snapshot.dns.iter();
        let names = servers.map(|(server, _)| server.map_or_else(other, |one| one.to_string()));
        let names: Vec<String> = names.collect();
        let each = || snapshot.dns.iter().zip(&names);
        let of = |value: fn(&DnsCounts) -> u64| {
            each().map(move |((_, dns), server)| {
                (vec![("server", server.as_str())], float(value(&dns.counts)))
            })
        };
        self.counters(
            "dns_queries_total",
            "DNS queries over UDP by server: the first ones that were asked, and all others.",
            of(|dns| dns.queries),
        );
        self.counters(
            "dns_answers_total",
            "DNS answers over UDP by server and code.",
            each().flat_map(|((_, dns), server)| {
                let codes = RCODES.iter().zip(dns.counts.rcodes);
                codes.map(move |(code, count)| {
                    let names = vec![("server", server.as_str()), ("rcode", *code)];
                    (names, float(count))
                })
            }),
        );
        self.counters(
            "dns_truncated_total",
            "DNS answers over UDP that were cut, by server.",
            of(|dns| dns.truncated),
        );
        self.histograms(
            "dns_response_time_seconds",
            "From a DNS query over UDP to its answer, by server.",
            each().map(|((_, dns), server)| (vec![("server", server.as_str())], dns.times)),
        );
    }

    fn busiest(&mut self, snapshot: &Snapshot) {
        let ports: Vec<(String, Share)> = snapshot
            .ports
            .iter()
            .map(|(port, share)| {
                (
                    port.map_or_else(|| OTHER.to_owned(), |port| port.to_string()),
                    *share,
                )
            })
            .collect();
        self.shares("port", "responder's port", &ports);
        let protocols: Vec<(String, Share)> = snapshot
            .protocols
            .iter()
            .map(|(protocol, share)| (protocol.map_or(OTHER, Protocol::word).to_owned(), *share))
            .collect();
        self.shares("protocol", "protocol, as payloads say it", &protocols);
        let processes: Vec<(String, Share)> = snapshot
            .processes
            .iter()
            .map(|(name, share)| (name.clone().unwrap_or_else(|| OTHER.to_owned()), *share))
            .collect();
        self.shares("process", "process (-p)", &processes);
    }

    fn shares(&mut self, label: &str, what: &str, shares: &[(String, Share)]) {
        let each = |value: &dyn Fn(&Share) -> f64| -> Vec<_> {
            let shares = shares.iter();
            shares
                .map(|(name, share)| (vec![(label, name.as_str())], value(share)))
                .collect()
        };
        self.gauges(
            &format!("{label}_connections"),
            &format!("Live connections by {what}: the busiest ones, and all others."),
            each(&|share| float(share.connections)),
        );
        self.gauges(
            &format!("{label}_bytes_per_second"),
            &format!(
                "Frame bytes per second over 10 s by {what}: the busiest ones, and all others."
            ),
            each(&|share| f64::from(share.rate.bytes)),
        );
        self.gauges(
            &format!("{label}_packets_per_second"),
            &format!("Packets per second over 10 s by {what}: the busiest ones, and all others."),
            each(&|share| f64::from(share.rate.packets)),
        );
    }
}

/// Prometheus has the buckets up to each, not each for itself.
fn histogram(times: &Times) -> Histogram {
    let mut histogram = Histogram::default();
    let mut cumulative = 0;
    let mut buckets = Vec::new();
    for (bucket, count) in times.histogram.iter().enumerate() {
        cumulative += count;
        let Some(end_ns) = Response::bucket_end_ns(bucket) else {
            continue;
        };
        let mut end = Bucket::default();
        end.set_cumulative_count(cumulative);
        end.set_upper_bound(seconds(end_ns));
        buckets.push(end);
    }
    histogram.set_bucket(buckets);
    histogram.set_sample_count(cumulative);
    histogram.set_sample_sum(seconds(times.sum_ns));
    histogram
}

fn labels(names: &[(&str, &str)]) -> Vec<LabelPair> {
    names
        .iter()
        .map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(Visible(value).to_string());
            pair
        })
        .collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus has no other numbers; they are exact up to 2^53"
)]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}

fn seconds(ns: u64) -> f64 {
    std::time::Duration::from_nanos(ns).as_secs_f64()
}
