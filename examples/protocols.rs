//! Names what the UDP connections of captures speak: `cargo run --example protocols -- FILE.pcap...`
//!
//! A line for each connection: the file, both ends, datagrams of each direction, and the protocol. A capture that other tools have
//! named can so be compared (tests/captures/README.md).

#[path = "../tests/common/capture.rs"]
mod capture;

use std::path::PathBuf;
use std::process::ExitCode;

use udptrack::protocol::{Datagram, Recognizer};

fn word(flow: &capture::Flow) -> String {
    let mut recognizer = Recognizer::default();
    let ports = [flow.originator.port(), flow.responder.port()];
    for datagram in &flow.datagrams {
        recognizer.hear(&Datagram {
            ordinal: datagram.ordinal,
            length: datagram.length,
            ..Datagram::between(ports, datagram.from_originator, &datagram.bytes)
        });
    }
    recognizer
        .spoken()
        .map_or_else(|| "-".to_owned(), |spoken| spoken.to_string())
}

fn main() -> ExitCode {
    let mut is_right = true;
    for path in std::env::args_os().skip(1).map(PathBuf::from) {
        match capture::flows(&path) {
            Ok(flows) => {
                for flow in flows {
                    let [there, back] = flow.counts;
                    println!(
                        "{}\t{}\t{}\t{there}\t{back}\t{}",
                        path.display(),
                        flow.originator,
                        flow.responder,
                        word(&flow)
                    );
                }
            }
            Err(error) => {
                eprintln!("{error}");
                is_right = false;
            }
        }
    }
    if is_right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
