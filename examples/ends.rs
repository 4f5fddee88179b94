//! What ends, as it ends, and whether the books balance: `sudo target/debug/examples/ends eth0 "port 53"`.

use std::io::{self, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

use udptrack::{ErrorKind, Settings, Table, Timeouts, Tracker};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let interface = arguments.next().unwrap_or_else(|| "any".to_owned());
    let filter = arguments.next().unwrap_or_default();
    let end = Instant::now() + Duration::from_secs(60);
    run(
        &interface,
        &filter,
        &mut |_| Instant::now() < end,
        &mut io::stdout(),
    )
}

/// Looks once a second, for as long as it is to go on. Exchanges end after two seconds of silence here.
pub fn run(
    interface: &str,
    filter: &str,
    goes_on: &mut dyn FnMut(&Table) -> bool,
    out: &mut dyn Write,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut settings = Settings::new()
        .interface(interface)
        .without_xdp()
        .timeouts(Timeouts {
            unreplied: Duration::from_secs(2),
            ..Timeouts::default()
        });
    if !filter.is_empty() {
        settings = settings.filter(filter);
    }
    let mut tracker = match Tracker::start(&settings) {
        Err(error) if error.kind() == ErrorKind::Rights => {
            return Err(format!("{error}\nTry it with sudo").into());
        }
        started => started?,
    };
    while goes_on(tracker.table()) {
        sleep(Duration::from_secs(1));
        for ended in tracker.tick()? {
            let sample = ended.sample;
            writeln!(
                out,
                "{} -> {} ended: {}",
                sample.originator, sample.responder, ended.reason
            )?;
        }
    }
    let (table, books) = tracker.stop()?;
    let skipped: u64 = books.skipped.iter().map(|counts| counts.packets).sum();
    writeln!(
        out,
        "seen {} = tracked {} + skipped {skipped}; all connections had {}",
        books.seen.packets,
        books.tracked.packets,
        table.total().packets
    )?;
    Ok(())
}
