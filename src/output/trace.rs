//! Trace lines: one for each packet on the wire, and one for each end.

use std::io::{self, Write};

use super::{Kinds, Output};
use crate::listing::Group;
use crate::model::services::OneWayPorts;
use crate::model::text::Span;
use crate::model::{EndReason, Event, EventKind, Facts, Sample};

/// Writes trace lines. Nothing in one comes from outside but numbers, so none can steer a terminal.
#[derive(Debug)]
pub struct Trace<W> {
    out: W,
    kinds: Kinds,
    one_way_ports: OneWayPorts,
}

impl<W: Write> Trace<W> {
    /// Lines of the given kinds, to `out`.
    pub fn new(out: W, kinds: Kinds) -> Self {
        Self {
            out,
            kinds,
            one_way_ports: OneWayPorts::default(),
        }
    }

    /// With other services that never answer.
    #[must_use]
    pub fn with(self, one_way_ports: OneWayPorts) -> Self {
        Self {
            one_way_ports,
            ..self
        }
    }
}

impl<W: Write> Output for Trace<W> {
    /// A GSO super-packet makes as many lines as it is packets on the wire; if it opens a connection, its first is NEW.
    fn event(&mut self, event: &Event, _facts: &dyn Facts) -> io::Result<()> {
        let (source, destination) = (event.source, event.destination);
        let mut data_lines = event.counts.packets.max(1);
        if event.kind == EventKind::New {
            data_lines -= 1;
            if self.kinds.new {
                writeln!(self.out, "UDP NEW: {source} -> {destination} (ESTABLISHED)")?;
            }
        }
        if self.kinds.data {
            for _ in 0..data_lines {
                writeln!(self.out, "UDP DATA: {source} -> {destination} (DATA)")?;
            }
        }
        Ok(())
    }

    fn end(&mut self, sample: &Sample, reason: EndReason, _facts: &dyn Facts) -> io::Result<()> {
        if !self.kinds.end {
            return Ok(());
        }
        write!(
            self.out,
            "UDP END: {} -> {} ({reason}) {} pkts {} B -> {} pkts {} B <-",
            sample.originator,
            sample.responder,
            sample.orig.packets,
            sample.orig.bytes,
            sample.reply.packets,
            sample.reply.bytes,
        )?;
        if let Some(after_ns) = sample.first_reply_after_ns() {
            write!(self.out, " first reply {}", Span(after_ns))?;
        }
        let requests = Group::alone(sample, &self.one_way_ports);
        write_requests(&mut self.out, &requests)?;
        if let Some(end) = sample.unreachable_end() {
            write!(self.out, " unreachable {end}")?;
        }
        writeln!(self.out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What the first reply does not say: of several answers, and of the requests that none came to.
fn write_requests(out: &mut impl Write, requests: &Group) -> io::Result<()> {
    let response = &requests.response;
    if response.answered == 0 {
        return Ok(());
    }
    if let Some(median_ns) = requests.percentile_ns(50).filter(|_| response.answered > 1) {
        write!(
            out,
            " response median {} max {} answers {}",
            Span(median_ns),
            Span(response.max_ns),
            response.answered
        )?;
    }
    if let Some(lost) = requests.lost().filter(|lost| *lost > 0) {
        write!(out, " lost {lost}")?;
    }
    if response.waiting > 0 {
        write!(out, " waiting {}", response.waiting)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{ALL_KINDS, ETH0, event, sample};
    use super::*;
    use crate::model::{Counts, End, Response, Status};

    fn lines(kinds: Kinds, write: impl Fn(&mut Trace<&mut Vec<u8>>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut Trace::new(&mut out, kinds)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_packet_one_line() {
        assert_eq!(
            lines(ALL_KINDS, |trace| {
                trace.event(&event(EventKind::New, 1), &ETH0)?;
                let mut answer = event(EventKind::Data, 1);
                std::mem::swap(&mut answer.source, &mut answer.destination);
                trace.event(&answer, &ETH0)
            }),
            "UDP NEW: 192.168.1.100:12345 -> 8.8.8.8:53 (ESTABLISHED)\n\
             UDP DATA: 8.8.8.8:53 -> 192.168.1.100:12345 (DATA)\n"
        );
    }

    #[test]
    fn ipv6_stands_in_brackets() {
        let mut event = event(EventKind::New, 1);
        event.source = "[2001:db8::1]:40000".parse().unwrap();
        event.destination = "[2001:db8::2]:443".parse().unwrap();
        assert_eq!(
            lines(ALL_KINDS, |trace| trace.event(&event, &ETH0)),
            "UDP NEW: [2001:db8::1]:40000 -> [2001:db8::2]:443 (ESTABLISHED)\n"
        );
    }

    #[test]
    fn a_super_packet_is_a_line_for_each_packet_on_the_wire() {
        let new = "UDP NEW: 192.168.1.100:12345 -> 8.8.8.8:53 (ESTABLISHED)\n";
        let data = "UDP DATA: 192.168.1.100:12345 -> 8.8.8.8:53 (DATA)\n";
        let written = |new, data, kind, packets| {
            let kinds = Kinds {
                new,
                data,
                ..Kinds::default()
            };
            lines(kinds, |trace| trace.event(&event(kind, packets), &ETH0))
        };
        assert_eq!(written(true, true, EventKind::Data, 3), data.repeat(3));
        assert_eq!(
            written(true, true, EventKind::New, 3),
            format!("{new}{data}{data}")
        );
        assert_eq!(written(true, false, EventKind::New, 3), new);
        assert_eq!(written(false, true, EventKind::New, 3), data.repeat(2));
        assert_eq!(written(true, false, EventKind::Data, 3), "");
        assert_eq!(written(false, true, EventKind::New, 1), "");
    }

    #[test]
    fn an_end_has_the_counts_and_the_first_reply() {
        let mut answered = sample();
        answered.orig = Counts {
            packets: 1,
            bytes: 74,
        };
        answered.reply = Counts {
            packets: 1,
            bytes: 124,
        };
        answered.first_reply_ns = Some(answered.first_ns + 11_812_345);
        assert_eq!(
            lines(ALL_KINDS, |trace| trace.end(
                &answered,
                EndReason::Idle,
                &ETH0
            )),
            "UDP END: 192.168.1.100:12345 -> 8.8.8.8:53 (IDLE) 1 pkts 74 B -> 1 pkts 124 B <- first reply 11.8ms\n"
        );
    }

    #[test]
    fn an_unanswered_end_ends_after_the_counts() {
        let mut silent = sample();
        silent.reply = Counts::default();
        silent.first_reply_ns = None;
        assert_eq!(
            lines(ALL_KINDS, |trace| trace.end(
                &silent,
                EndReason::Evicted,
                &ETH0
            )),
            "UDP END: 192.168.1.100:12345 -> 8.8.8.8:53 (EVICTED) 3 pkts 1234 B -> 0 pkts 0 B <-\n"
        );
        assert_eq!(
            lines(Kinds::default(), |trace| trace.end(
                &silent,
                EndReason::Idle,
                &ETH0
            )),
            ""
        );
    }

    #[test]
    fn an_end_says_which_end_could_not_be_reached() {
        for (end, told) in [
            (End::Responder, "8.8.8.8:53"),
            (End::Originator, "192.168.1.100:12345"),
        ] {
            let mut gone = sample();
            gone.status = Status::Unreach;
            gone.unreachable = Some(end);
            let line = lines(ALL_KINDS, |trace| {
                trace.end(&gone, EndReason::Unreach, &ETH0)
            });
            assert!(line.ends_with(&format!(" unreachable {told}\n")), "{line}");
        }
    }

    #[test]
    fn an_end_has_the_response_times_of_several_answers() {
        let end = |response: Response| {
            let mut sample = sample();
            sample.orig.packets = response.asked();
            sample.reply.packets = response.answered;
            sample.response = response;
            let line = lines(ALL_KINDS, |trace| {
                trace.end(&sample, EndReason::Idle, &ETH0)
            });
            let (_, rest) = line.split_once(" <-").unwrap();
            rest.to_owned()
        };
        let answered = |answered: u32, lost, waiting| {
            let mut response = Response {
                answered: answered.into(),
                lost,
                sum_ns: 12_100_000 * u64::from(answered),
                min_ns: 9_000_000,
                max_ns: 15_000_000,
                waiting,
                ..Response::default()
            };
            response.histogram[11] = answered;
            response
        };
        let first = " first reply 11.8ms";
        assert_eq!(end(answered(0, 1, 1)), format!("{first}\n"));
        assert_eq!(end(answered(1, 0, 0)), format!("{first}\n"));
        assert_eq!(end(answered(1, 0, 1)), format!("{first} waiting 1\n"));
        assert_eq!(end(answered(1, 1, 0)), format!("{first} lost 1\n"));
        let several = " response median 12.0ms max 15.0ms answers 10";
        assert_eq!(end(answered(10, 0, 0)), format!("{first}{several}\n"));
        assert_eq!(
            end(answered(10, 3, 1)),
            format!("{first}{several} lost 3 waiting 1\n")
        );
    }
}
