//! The view on a backend that is a text: what stands where, what each key does, what a tick costs.

mod cost;
mod folds;
mod keys;
mod pointer;
mod screens;
mod tabs;

use std::net::IpAddr;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::rows::RowKey;
use super::state::Effect;
use super::theme::{Background, Theme};
use super::{InterfaceHooks, Model, Settings};
use crate::listing::Query;
use crate::model::services::Services;
use crate::model::{
    Books, ConnectionId, Counts, Direction, DropClass, Dropped, End, EndReason, Facts, Heard,
    HookBooks, Ifindex, Owner, Place, Processes, Report, Response, Role, Sample, Skip, Status,
    Table, Timeouts, TrafficClass, Vlans,
};
use crate::output::Clock;

const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
/// When the view was opened, and the first packets came.
const START: u64 = 100 * SECOND;

/// Two interfaces, some processes, some names.
struct Known {
    owners: Vec<(u16, Owner)>,
    /// By the ports of responders.
    servers: Vec<(u16, Owner)>,
}

impl Facts for Known {
    fn interface(&self, index: Ifindex) -> String {
        format!("eth{}", index.0)
    }

    fn processes(&self, sample: &Sample) -> Processes<'_> {
        let port = sample.originator.port();
        let owner = self.owners.iter().find(|(of, _)| *of == port);
        let port_of_server = sample.responder.port();
        let server = self.servers.iter().find(|(of, _)| *of == port_of_server);
        Processes {
            originator: owner.map(|(_, owner)| owner),
            responder: server.map(|(_, owner)| owner),
            forwarded: port == 40_000,
        }
    }

    fn host_name(&self, address: IpAddr) -> Option<&str> {
        match address.to_string().as_str() {
            "8.8.8.8" => Some("dns.google"),
            // Somebody who sends names hopes that a terminal obeys them.
            "203.0.113.66" => Some("evil\x1b[2J.example"),
            _ => None,
        }
    }

    fn service(&self, port: u16) -> Option<&str> {
        match port {
            53 => Some("domain"),
            123 => Some("ntp"),
            443 => Some("https"),
            _ => None,
        }
    }
}

fn owner(pid: u32, command: &str) -> Owner {
    Owner {
        pid,
        command: command.to_owned(),
        script: None,
        uid: 1000,
        user: "ann".to_owned(),
        cgroup: "/user.slice/user-1000.slice".to_owned(),
        container: (command == "game").then(|| "0123456789ab".to_owned()),
    }
}

fn known() -> Known {
    Known {
        owners: vec![
            (40_001, owner(4321, "iperf3")),
            (40_002, owner(77, "dig")),
            (40_003, owner(801, "ntpd")),
            (40_004, owner(666, "evil\x1b]0;owned\x07")),
            (40_005, owner(4400, "game")),
        ],
        servers: Vec::new(),
    }
}

fn counts(packets: u64, bytes: u64) -> Counts {
    Counts { packets, bytes }
}

/// From a port that says which it is, to a server; both counts in packets of 100 bytes.
fn sample(port: u16, responder: &str, status: Status, orig: u64, reply: u64) -> Sample {
    Sample {
        id: ConnectionId(u64::from(port) << 32 | 0xbeef),
        place: Place::default(),
        ifindex: Ifindex(0),
        reply_ifindex: (reply > 0).then_some(Ifindex(0)),
        vlans: Vlans::default(),
        originator: format!("192.168.1.100:{port}").parse().unwrap(),
        responder: responder.parse().unwrap(),
        orig: counts(orig, orig * 100),
        reply: counts(reply, reply * 100),
        status,
        unreachable: (status == Status::Unreach).then_some(End::Responder),
        first_ns: START + u64::from(port % 100) * MS,
        last_ns: START + 9 * SECOND + 500 * MS,
        first_reply_ns: (reply > 0).then_some(START + u64::from(port % 100) * MS + 11_812_345),
        orig_ttl: Some(64),
        reply_ttl: (reply > 0).then_some(57),
        orig_class: Some(TrafficClass(0xb8)),
        reply_class: (reply > 0).then_some(TrafficClass(0)),
        role: Role::Seen,
        response: Response::default(),
        dropped: Dropped::default(),
        round_trip: None,
        reply_dropped: Counts::default(),
        dns: None,
        heard: Heard::Nothing,
    }
}

fn answered(mut sample: Sample, times: &[u64]) -> Sample {
    let response = &mut sample.response;
    for ns in times {
        response.answered += 1;
        response.sum_ns += ns;
        response.max_ns = response.max_ns.max(*ns);
        response.min_ns = if response.answered == 1 {
            *ns
        } else {
            response.min_ns.min(*ns)
        };
        let bucket = (0..20)
            .find(|bucket| Response::bucket_end_ns(*bucket).is_none_or(|end| *ns < end))
            .unwrap();
        response.histogram[bucket] += 1;
    }
    sample
}

fn waiting(mut sample: Sample, since_ns: u64) -> Sample {
    sample.response.waiting = 1;
    sample.response.waiting_since_ns = Some(since_ns);
    sample
}

/// One of each kind: a heavy sender, a server that answers, one that does not, one that is not there, and what passes by.
fn few() -> Vec<Sample> {
    let mut quic = answered(
        sample(
            40_005,
            "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:443",
            Status::Assured,
            12_000,
            90_000,
        ),
        &[31 * MS, 33 * MS],
    );
    quic.originator = "[2001:db8::5]:40005".parse().unwrap();
    quic.vlans.outer = 42;
    let mut forwarded = sample(40_000, "203.0.113.66:9000", Status::Replied, 40, 30);
    forwarded.ifindex = Ifindex(1);
    forwarded.reply_ifindex = Some(Ifindex(1));
    vec![
        waiting(
            sample(40_001, "192.0.2.53:5201", Status::Unreplied, 900_000, 0),
            START + MS,
        ),
        answered(
            sample(40_002, "8.8.8.8:53", Status::Replied, 5, 5),
            &[11_812_345, 12 * MS, 19 * MS, 45 * MS, 300 * MS],
        ),
        waiting(
            sample(40_003, "192.0.2.99:123", Status::Unreplied, 4, 0),
            START + 3 * MS,
        ),
        sample(40_004, "192.0.2.53:7777", Status::Unreach, 3, 0),
        quic,
        forwarded,
    ]
}

/// More than any screen has rows for.
fn many() -> Vec<Sample> {
    let mut samples = few();
    samples.extend((0..200).map(|index| {
        let port = 41_000 + index;
        let times = [u64::from(index + 1) * MS];
        answered(
            sample(port, "192.168.1.1:53", Status::Replied, 1, 1),
            &times,
        )
    }));
    samples
}

fn hook(direction: Direction, tracked: Counts, skipped: &[(Skip, Counts)]) -> HookBooks {
    let mut books = Books {
        tracked,
        seen: tracked,
        ..Books::default()
    };
    for (reason, counts) in skipped {
        books.skipped[*reason as usize] = *counts;
        books.seen += *counts;
    }
    HookBooks {
        interface: "eth0".to_owned(),
        direction,
        books,
        dropped: Vec::new(),
    }
}

fn report(connections: usize) -> Report {
    Report {
        hooks: vec![
            hook(
                Direction::Ingress,
                counts(90_035, 9_003_500),
                &[
                    (Skip::NotIp, counts(30, 1800)),
                    (Skip::NotUdp, counts(204, 304_000)),
                ],
            ),
            hook(Direction::Egress, counts(912_052, 91_205_200), &[]),
        ],
        connections_new: connections as u64,
        connections_live: connections as u64,
        connections_max: 8192,
        connections_total: counts(1_002_087, 100_208_700),
        ..Report::default()
    }
}

/// A view, what it shows, and a terminal to show it on.
struct Bench {
    model: Model,
    table: Table,
    facts: Known,
    terminal: Terminal<TestBackend>,
    samples: Vec<Sample>,
}

impl Bench {
    fn with(width: u16, height: u16, mut samples: Vec<Sample>, color: bool) -> Self {
        // As the table will place them.
        for (place, sample) in (0..).map(Place).zip(&mut samples) {
            sample.place = place;
        }
        let zone = jiff::tz::TimeZone::get("Europe/London").unwrap();
        let clock = Clock::fixed(1_775_597_070_000_000_000, zone, START);
        let settings = Settings {
            interfaces: vec![InterfaceHooks {
                name: "eth0".to_owned(),
                ingress: "XDP native".to_owned(),
                egress: Some("TC (tcx)".to_owned()),
            }],
            egress: true,
            progress: None,
            services: Services::parse("domain 53/udp\nntp 123/udp\n"),
            only: None,
            query: Query::default(),
            names: true,
            command_line: |owner| Some(format!("/usr/bin/{} --now", owner.command)),
            folder: std::env::temp_dir(),
        };
        let background = if color {
            Background::Dark
        } else {
            Background::Plain
        };
        let mut bench = Self {
            model: Model::new(settings, Theme::new(background), clock).unwrap(),
            table: Table::new(8192, Timeouts::default()),
            facts: known(),
            terminal: Terminal::new(TestBackend::new(width, height)).unwrap(),
            samples,
        };
        bench.tick(START + 10 * SECOND);
        bench
    }

    fn new(width: u16, height: u16, samples: Vec<Sample>) -> Self {
        Self::with(width, height, samples, false)
    }

    /// A scan, the books, a frame.
    fn tick(&mut self, now_ns: u64) {
        self.table.apply(self.samples.iter().copied(), now_ns);
        self.tick_with(&report(self.table.len()));
    }

    fn tick_with(&mut self, report: &Report) {
        self.model.tick(&self.table, report, &self.facts);
        self.draw();
    }

    fn draw(&mut self) {
        let Self {
            model,
            table,
            facts,
            terminal,
            ..
        } = self;
        terminal
            .draw(|frame| model.draw(frame, table, facts))
            .unwrap();
    }

    /// Presses a key as the loop does.
    fn press(&mut self, code: KeyCode) -> Option<Effect> {
        let key = KeyEvent::new(code, KeyModifiers::NONE);
        let effect = self.model.press(key, &self.table);
        if matches!(effect, Some(Effect::Rows | Effect::Pause)) {
            self.model.choose(&self.table, &self.facts, None);
        }
        self.draw();
        effect
    }

    /// A connection that has ended: no more in the table, if it was there.
    fn end(&mut self, sample: &Sample, reason: EndReason) {
        self.samples
            .retain(|other| other.id != sample.id || other.first_ns != sample.first_ns);
        if self
            .table
            .get(sample.place)
            .is_some_and(|one| one.sample.id == sample.id)
        {
            self.table.end(sample, reason);
        }
        let query = &self.model.state.query;
        self.model.live.end(sample, reason, &self.facts, query);
    }

    fn keys(&mut self, text: &str) {
        for character in text.chars() {
            let _ = self.press(KeyCode::Char(character));
        }
    }

    fn resize(&mut self, width: u16, height: u16) {
        self.terminal.backend_mut().resize(width, height);
        self.draw();
    }

    fn buffer(&self) -> &Buffer {
        self.terminal.backend().buffer()
    }

    /// The screen as lines without the blanks at their ends.
    fn lines(&self) -> Vec<String> {
        let buffer = self.buffer();
        let width = usize::from(buffer.area.width);
        buffer
            .content()
            .chunks(width)
            .map(|row| {
                let text: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
                text.trim_end().to_owned()
            })
            .collect()
    }

    /// Whether some line has this text in it.
    fn shows(&self, text: &str) -> bool {
        self.lines().iter().any(|line| line.contains(text))
    }

    /// The ports of the originators, from the first row down.
    fn order(&self) -> Vec<u16> {
        self.model
            .rows
            .keys()
            .iter()
            .map(|key| match key {
                RowKey::Connection(id, ..) => u16::try_from(id.0 >> 32).unwrap(),
                other => panic!("{other:?}"),
            })
            .collect()
    }
}
