//! Real traffic, tracked live and captured at both ends of a cable at once: what is read from each capture is what the run says.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::common::netns::{Netns, Pair};
use crate::common::process::Process;
use crate::common::run::{Finished, Udptrack};
use crate::common::{Ip, SOON, TempDir, wait_for};
use crate::peer;

const QUIC: u16 = 4433;
const NOWHERE: u16 = 4999;
const LAST: u16 = 4998;

/// A program that writes what passes an interface, and says so.
struct Capture {
    program: Process,
    file: PathBuf,
}

impl Capture {
    fn start(netns: &Netns, mut command: Command, file: PathBuf, says: &str) -> Self {
        command.args(["-i", netns.iface(), "-w"]).arg(&file);
        let mut program = Process::start(&mut command);
        wait_for(says, SOON, || {
            program.assert_running();
            program.stderr().contains(says).then_some(())
        });
        Self { program, file }
    }

    fn tcpdump(netns: &Netns, folder: &Path) -> Self {
        let mut command = netns.command("tcpdump");
        command.args(["-n", "-U", "--immediate-mode", "-Z", "root"]);
        // AppArmor's profile lets it write files of this name only.
        Self::start(netns, command, folder.join("here.pcap"), "listening on")
    }

    fn tshark(netns: &Netns, folder: &Path) -> Self {
        let mut command = netns.command("tshark");
        command.arg("-n");
        let file = folder.join("there.pcapng");
        Self::start(netns, command, file, "Capture started")
    }

    /// Ends it when this is in the file.
    fn stop(self, last: &[u8]) -> PathBuf {
        wait_for("the last datagram in the capture", SOON, || {
            let bytes = std::fs::read(&self.file).unwrap_or_default();
            let has_it = bytes.windows(last.len()).any(|window| window == last);
            has_it.then_some(())
        });
        let _ = self.program.stop(Signal::SIGINT);
        self.file
    }
}

fn run(netns: &Netns, command: &str, arguments: &[&str]) {
    Process::run(netns.command(command).args(arguments));
}

/// Names that are asked for, connections that are encrypted, a stream of some seconds, and a port where nobody listens.
fn talk(pair: &Pair) {
    let folder = TempDir::new("dnsmasq");
    let mut dnsmasq = pair.b.command("dnsmasq");
    dnsmasq
        .args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
        ])
        .args(["--no-hosts", "--user=root", "--address=/test/10.1.2.3"])
        .arg(format!("--pid-file={}/pid", folder.path().display()));
    let here: Vec<SocketAddr> = [Ip::V4, Ip::V6].map(|ip| pair.b.addr(ip, 53)).to_vec();
    let _names = Process::serve(&pair.b, &mut dnsmasq, &here);
    let certificate = peer::certificate();
    for ip in [Ip::V4, Ip::V6] {
        let there = pair.b.ip(ip).to_string();
        let server = format!("@{there}");
        run(&pair.a, "dig", &[&server, "www.test", "missing.other", "A"]);
        let _server = peer::serve(pair, ip, QUIC, &certificate, &[]);
        peer::ask(pair, ip, QUIC, (40_000, "example.org"), &[]);
        let nobody = pair.a.udp(pair.a.addr(ip, 40_001));
        nobody.send_to(b"hello?", pair.b.addr(ip, NOWHERE)).unwrap();
    }
    let there = pair.b.ip(Ip::V4).to_string();
    let mut command = pair.b.command("iperf3");
    let _server = Process::serve(&pair.b, command.args(["-s", "-1", "-p", "5201"]), &[]);
    wait_for("iperf3", SOON, || {
        let mut probe = pair.b.command("ss");
        let listening = Process::run(probe.args(["-Hltn", "sport", "=", "5201"]));
        (!listening.stdout.is_empty()).then_some(())
    });
    let stream = ["-u", "-b", "500K", "-t", "3", "-p", "5201", "--bidir", "-c"];
    run(&pair.a, "iperf3", &[&stream[..], &[&there]].concat());
}

/// What is known of a connection at its end: who spoke with whom, how much there and back, how far it came, why it ended.
fn said(finished: &Finished) -> Vec<String> {
    let flows = finished.flows();
    let mut all: Vec<String> = flows
        .iter()
        .map(|flow| {
            let there = (flow.pkts_toserver, flow.bytes_toserver);
            let back = (flow.pkts_toclient, flow.bytes_toclient);
            let (from, to) = (flow.src, flow.dst);
            format!(
                "{from} {to} {there:?} {back:?} {} {}",
                flow.status, flow.end_reason
            )
        })
        .collect();
    all.sort();
    all
}

/// All that both say of connections of whole frames: but for ids, which are made anew at each start, times, where they were seen, and
/// whether roles are guessed, as a run sees the sockets of this machine. Of DNS, also how it was answered.
fn records(finished: &Finished) -> Vec<String> {
    const OWN: [&str; 3] = ["conn_id", "rates", "role"];
    let records = finished.records().into_iter();
    let flows = records.filter(|record| record["event_type"] == "flow");
    let mut all: Vec<String> = flows
        .map(|mut record| {
            let forget = |record: &mut Value, path: &[&str], keys: &[&str]| {
                let object = path.iter().try_fold(record, |at, key| at.get_mut(*key));
                let object = object.and_then(Value::as_object_mut);
                if let Some(object) = object {
                    object.retain(|key, _| !keys.contains(&&**key) && !key.ends_with("_ns"));
                }
            };
            forget(&mut record, &[], &["timestamp", "flow_id", "in_iface"]);
            forget(&mut record, &["flow"], &["start", "end", "age"]);
            forget(&mut record, &["udptrack"], &OWN);
            forget(&mut record, &["udptrack", "response"], &["histogram"]);
            // Without ids of messages, requests of one burst are told by ticks of the kernel: 1 to 10 ms, and 1 ms in a capture.
            if record["app_proto"] != "dns" {
                forget(&mut record, &["udptrack"], &["response"]);
            }
            record.to_string()
        })
        .collect();
    all.sort();
    all
}

#[test]
#[ignore = "root"]
fn captures_of_real_traffic_say_what_the_run_says() {
    let pair = Pair::new();
    let folder = TempDir::new("captures");
    let live = Udptrack::start(&pair.a, &["-i", pair.a.iface(), "-j"]);
    let captures = [
        Capture::tcpdump(&pair.a, folder.path()),
        Capture::tshark(&pair.b, folder.path()),
    ];
    talk(&pair);
    let last = b"the last one of this capture";
    let receiver = pair.b.udp(pair.b.addr(Ip::V4, LAST));
    let sender = pair.a.udp(pair.a.addr(Ip::V4, 40_002));
    sender
        .send_to(last, receiver.local_addr().unwrap())
        .unwrap();
    let files = captures.map(|capture| capture.stop(last));
    let live = live.stop().success();
    live.assert_books();
    let expected = said(&live);
    assert!(expected.len() >= 9, "{expected:#?}");

    let [here, there] = &files;
    let mut all = vec![here.clone(), there.clone()];
    for file in &files {
        Process::run(Command::new("gzip").arg("--keep").arg(file));
        all.push(file.with_extension(format!("{}.gz", file.extension().unwrap().display())));
    }
    // As little as CONTRIBUTING.md asks for: with what ICMP errors quote, and without.
    let [errors, headers] = ["110", "64"].map(|bytes| {
        let file = folder.path().join(format!("{bytes}.pcap"));
        Process::run(
            Command::new("editcap")
                .args(["-s", bytes])
                .args([here, &file]),
        );
        file
    });
    all.push(errors.clone());
    for file in &all {
        let arguments = ["-r", file.to_str().unwrap(), "-j"];
        let read = Udptrack::spawn(&pair.a, &arguments).wait().success();
        read.assert_books();
        assert_eq!(said(&read), expected, "{}", file.display());
        if *file != errors {
            assert_eq!(records(&read), records(&live), "{}", file.display());
        }
    }
    let reached = |said: Vec<String>| -> Vec<String> {
        let nowhere = format!(":{NOWHERE} ");
        said.into_iter()
            .filter(|said| !said.contains(&nowhere))
            .collect()
    };
    let arguments = ["-r", headers.to_str().unwrap(), "-j"];
    let read = Udptrack::spawn(&pair.a, &arguments).wait().success();
    assert_eq!(reached(said(&read)), reached(expected));
}
