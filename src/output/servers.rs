//! Which servers a run was about, in six lines at most: who moved most, who did not answer, who was slow.

use std::cmp::Reverse;
use std::io::{self, Write};

use super::table::Names;
use crate::listing::{Group, State};
use crate::model::Facts;
use crate::model::Shared;
use crate::model::text::{Bytes, Grouped, Span};

/// The line about one server.
struct Line {
    word: &'static str,
    server: String,
    what: String,
}

/// Writes a line for each question that has an answer. The groups are servers, over the whole run.
pub fn write_servers<W: Write>(
    mut out: W,
    servers: &[Group],
    facts: &dyn Facts,
    numeric: bool,
) -> io::Result<()> {
    let names = if numeric { Names::None } else { Names::All };
    let line = |word, (server, what): (&Group, String)| Line {
        word,
        server: match server.shared {
            Shared::End(end) => names.responder(facts, end),
            _ => String::new(),
        },
        what,
    };
    let lines: Vec<Line> = [
        ("busiest", busiest(servers)),
        ("dead", worst(servers, State::Dead, Group::asked, lost)),
        (
            "drops",
            worst(servers, State::Dropping, overflowed, dropped),
        ),
        (
            "lossy",
            worst(servers, State::Lossy, Group::lost_per_mille, lost),
        ),
        (
            "refused",
            worst(servers, State::Refused, Group::asked, refused),
        ),
        ("slowest", slowest(servers)),
    ]
    .into_iter()
    .filter_map(|(word, found)| found.map(|found| line(word, found)))
    .collect();
    let widest = lines.iter().map(|line| line.server.chars().count()).max();
    let width = widest.unwrap_or_default();
    for Line { word, server, what } in &lines {
        writeln!(out, "{word:<7}  {server:<width$}  {what}")?;
    }
    Ok(())
}

/// The one of which a number is largest; of equal ones always the same.
fn largest<'a, T: Ord>(
    servers: impl Iterator<Item = &'a Group>,
    number: impl Fn(&Group) -> Option<T>,
) -> Option<&'a Group> {
    servers
        .filter_map(|server| Some((number(server)?, Reverse(server.shared), server)))
        .max_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)))
        .map(|(.., server)| server)
}

fn busiest(servers: &[Group]) -> Option<(&Group, String)> {
    let server = largest(servers.iter(), |server| Some(server.total().bytes))?;
    let total = server.total();
    let packets = if total.packets == 1 {
        "packet"
    } else {
        "packets"
    };
    let what = format!(
        "{}, {} {packets}",
        Bytes(total.bytes),
        Grouped(total.packets)
    );
    Some((server, what))
}

/// Of those in a state the first by a number, and how many others there are.
fn worst(
    servers: &[Group],
    state: State,
    number: fn(&Group) -> Option<u64>,
    what: fn(&Group) -> String,
) -> Option<(&Group, String)> {
    let found = || servers.iter().filter(|server| server.state == state);
    let server = largest(found(), |server| Some(number(server).unwrap_or_default()))?;
    let what = match found().count() - 1 {
        0 => what(server),
        others => format!("{}; and {} more", what(server), Grouped(others as u64)),
    };
    Some((server, what))
}

fn lost(server: &Group) -> String {
    let per_mille = server.lost_per_mille().unwrap_or_default();
    format!(
        "asked {}, lost {} ({}.{} %)",
        Grouped(server.response.asked()),
        Grouped(server.response.lost),
        per_mille / 10,
        per_mille % 10
    )
}

/// Packets that were dropped here for want of room.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the number of a server, as the others are"
)]
fn overflowed(server: &Group) -> Option<u64> {
    Some(server.dropped.overflowed())
}

fn dropped(server: &Group) -> String {
    let words = server.dropped.in_words().unwrap_or_default();
    format!("dropped here {words}")
}

fn refused(server: &Group) -> String {
    format!(
        "asked {}, answered {}",
        Grouped(server.response.asked()),
        Grouped(server.response.answered)
    )
}

/// Of those that answer requests: who sends on its own clock has no response time.
fn slowest(servers: &[Group]) -> Option<(&Group, String)> {
    let asked = servers.iter().filter(|server| server.lost().is_some());
    let server = largest(asked, |server| server.percentile_ns(50))?;
    let [median, most] = [50, 95].map(|percent| server.percentile_ns(percent).unwrap_or_default());
    let answers = if server.response.answered == 1 {
        "answer"
    } else {
        "answers"
    };
    let what = format!(
        "median {}, p95 {}, {} {answers}",
        Span(median),
        Span(most),
        Grouped(server.response.answered)
    );
    Some((server, what))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{ETH0, SECOND, counts, sample};
    use super::*;
    use crate::listing::{Query, groups};
    use crate::model::Field;
    use crate::model::{End, Ifindex, Place, Response, Sample, Status, Table, Timeouts};

    fn written(samples: Vec<Sample>, facts: &dyn Facts, numeric: bool) -> String {
        let mut table = Table::new(64, Timeouts::default());
        table.apply(samples, 9 * SECOND);
        let query = Query::default();
        let servers = groups(table.iter(), facts, &query, Field::Server, None);
        let mut out = Vec::new();
        write_servers(&mut out, &servers, facts, numeric).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// A server for each number, with this number of answered and of lost requests.
    fn server(number: u8, answered: u64, lost: u64, answer_ns: u64) -> Sample {
        let mut histogram = Response::default().histogram;
        let has_it = |bucket: &usize| {
            let end = Response::bucket_end_ns(*bucket);
            end.is_none_or(|end| answer_ns < end)
        };
        histogram[(0..histogram.len()).find(has_it).unwrap()] = u32::try_from(answered).unwrap();
        let mut sample = sample();
        sample.id.0 += u64::from(number);
        sample.place = Place(number.into());
        sample.responder = std::net::SocketAddr::from(([192, 0, 2, number], 53));
        sample.orig = counts(answered + lost, 100 * (answered + lost));
        sample.reply = counts(answered, 100 * answered);
        sample.status = if answered > 0 {
            Status::Replied
        } else {
            Status::Unreplied
        };
        sample.response = Response {
            answered,
            lost,
            sum_ns: answered * answer_ns,
            min_ns: answer_ns,
            max_ns: answer_ns,
            histogram,
            ..Response::default()
        };
        sample
    }

    /// Calls every host by a name that would like to steer the terminal.
    struct Names;

    impl Facts for Names {
        fn interface(&self, _: Ifindex) -> String {
            String::new()
        }

        fn host_name(&self, _: std::net::IpAddr) -> Option<&str> {
            Some("a\x1b[2J")
        }

        fn service(&self, _: u16) -> Option<&str> {
            Some("domain")
        }
    }

    #[test]
    fn a_line_for_each_question_that_has_an_answer() {
        let mut refused = server(9, 0, 3, 0);
        refused.status = Status::Unreach;
        refused.unreachable = Some(End::Responder);
        let mut much = server(200, 2000, 0, 77_000);
        much.reply.bytes = 41_400_000;
        let samples = vec![
            much,
            server(1, 0, 5, 0),
            server(2, 0, 6, 0),
            server(3, 0, 6, 0),
            server(4, 67, 33, 1_100_000),
            server(5, 90, 10, 1_200_000),
            server(6, 188, 0, 50_300_000),
            refused,
        ];
        assert_eq!(
            written(samples, &ETH0, true),
            "\
busiest  192.0.2.200:53  41.6 MB, 4,000 packets
dead     192.0.2.2:53    asked 6, lost 6 (100.0 %); and 2 more
lossy    192.0.2.4:53    asked 100, lost 33 (33.0 %); and 1 more
refused  192.0.2.9:53    asked 3, answered 0
slowest  192.0.2.6:53    median 50.3ms, p95 50.3ms, 188 answers
"
        );
    }

    #[test]
    fn what_has_nothing_is_left_out_and_names_steer_nothing() {
        assert_eq!(written(Vec::new(), &Names, false), "");
        let mut one_way = server(1, 0, 0, 0);
        one_way.responder.set_port(514);
        one_way.orig = counts(1, 100);
        assert_eq!(
            written(vec![one_way], &Names, false),
            "busiest  192.0.2.1:514 (a\\u{1b}[2J, domain)  100 B, 1 packet\n"
        );
        assert_eq!(
            written(vec![server(1, 1, 0, 2_000_000)], &Names, true),
            "busiest  192.0.2.1:53  200 B, 2 packets\nslowest  192.0.2.1:53  median 2.0ms, p95 2.0ms, 1 answer\n"
        );
    }
}
