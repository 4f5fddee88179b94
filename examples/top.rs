//! The ten connections that moved most in ten seconds: `sudo target/debug/examples/top eth0`.

use std::cmp::Reverse;
use std::io::{self, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

use udptrack::{Settings, Table, Tracker};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let interface = std::env::args().nth(1).unwrap_or_else(|| "any".to_owned());
    let end = Instant::now() + Duration::from_secs(10);
    run(&interface, &mut |_| Instant::now() < end, &mut io::stdout())
}

/// Looks once a second, for as long as it is to go on.
pub fn run(
    interface: &str,
    goes_on: &mut dyn FnMut(&Table) -> bool,
    out: &mut dyn Write,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut tracker = Tracker::start(&Settings::new().interface(interface))?;
    while goes_on(tracker.table()) {
        sleep(Duration::from_secs(1));
        tracker.tick()?;
    }
    let (table, _) = tracker.stop()?;
    let mut connections: Vec<_> = table.iter().collect();
    connections.sort_by_key(|connection| Reverse(connection.sample.total().bytes));
    for connection in connections.iter().take(10) {
        let sample = &connection.sample;
        let total = sample.total();
        writeln!(
            out,
            "{} -> {}: {} packets, {} bytes",
            sample.originator, sample.responder, total.packets, total.bytes
        )?;
    }
    Ok(())
}
