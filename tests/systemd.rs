//! What a service manager hears: the test is one, with a socket of its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::fs;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use common::netns::Pair;
use common::run::Udptrack;
use common::{SOON, TempDir, unique, wait_for};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// Half of it is how often a sign of life is due.
const WATCHDOG: Duration = Duration::from_millis(400);

/// Waits for what is told next.
fn told(manager: &UnixDatagram) -> String {
    manager.set_read_timeout(Some(SOON)).unwrap();
    let mut buffer = [0; 1024];
    let length = manager.recv(&mut buffer).expect("something is told");
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

/// Takes what has been told and was not waited for.
fn forget(manager: &UnixDatagram) {
    manager.set_nonblocking(true).unwrap();
    while manager.recv(&mut [0; 1024]).is_ok() {}
    manager.set_nonblocking(false).unwrap();
}

fn field(pid: Pid, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim_start_matches(':').trim().to_owned()
}

fn start(pair: &Pair, address: &str) -> Udptrack {
    let mut command = pair.a.command(env!("CARGO_BIN_EXE_udptrack"));
    command
        .args(["-i", pair.a.iface(), "-j", "--hook", "xdp"])
        .env("NOTIFY_SOCKET", address)
        .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    Udptrack::spawn_command(&mut command, usize::MAX)
}

/// Ready when the hooks are on, a sign of life while the loop turns and only then, and the end.
#[test]
#[ignore = "root"]
fn a_service_manager_hears_of_the_beginning_of_each_turn_and_of_the_end() {
    let pair = Pair::new();
    let folder = TempDir::new("notify");
    let path = folder.path().join("socket");
    let manager = UnixDatagram::bind(&path).unwrap();
    let udptrack = start(&pair, path.to_str().unwrap());
    let ready = format!(
        "READY=1\nSTATUS=tracking {}: 0 of 65,536 connections",
        pair.a.iface()
    );
    assert_eq!(told(&manager), ready);
    udptrack
        .objects(common::kernel::links("xdp"))
        .assert_there();
    // cap_net_admin and cap_bpf: it was told by a process that has given up the rest.
    assert_eq!(field(udptrack.pid(), "CapPrm"), "0000008000001000");
    for _ in 0..3 {
        assert_eq!(told(&manager), "WATCHDOG=1");
    }
    udptrack.signal(Signal::SIGSTOP);
    wait_for("the process to stand still", SOON, || {
        field(udptrack.pid(), "State")
            .starts_with('T')
            .then_some(())
    });
    forget(&manager);
    manager.set_read_timeout(Some(WATCHDOG * 3)).unwrap();
    let silence = manager.recv(&mut [0; 1024]).unwrap_err();
    assert_eq!(silence.kind(), ErrorKind::WouldBlock);
    udptrack.signal(Signal::SIGCONT);
    assert_eq!(told(&manager), "WATCHDOG=1");
    udptrack.signal(Signal::SIGINT);
    let last = wait_for("the end", SOON, || {
        let told = told(&manager);
        let before = told == "WATCHDOG=1" || told.starts_with("STATUS=");
        (!before).then_some(told)
    });
    assert_eq!(last, "STOPPING=1");
    let finished = udptrack.wait().success();
    assert_eq!(finished.messages().len(), 1, "{finished:?}");
    manager.set_nonblocking(true).unwrap();
    assert!(manager.recv(&mut [0; 1024]).is_err());
}

/// An abstract address; and the status every ten seconds.
#[test]
#[ignore = "root"]
fn an_abstract_address_is_reached_and_the_status_comes_again() {
    let pair = Pair::new();
    let name = unique("notify");
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    // An abstract name is one of a network namespace.
    let manager = pair.a.enter(|| UnixDatagram::bind_addr(&address).unwrap());
    let udptrack = start(&pair, &format!("@{name}"));
    let ready = told(&manager);
    let status = ready.strip_prefix("READY=1\n").unwrap();
    let again = wait_for("the status", SOON, || {
        let told = told(&manager);
        (told != "WATCHDOG=1").then_some(told)
    });
    assert_eq!(again, status);
    let _ = udptrack.stop().success();
}

/// A reload is a time of its own, after which the run is ready again.
#[test]
#[ignore = "root"]
fn a_service_manager_hears_of_a_reload() {
    let pair = Pair::new();
    let folder = TempDir::new("notify");
    let path = folder.path().join("socket");
    let manager = UnixDatagram::bind(&path).unwrap();
    let config = folder.file("udptrack.toml", "udp-timeout = \"10s\"");
    let mut command = pair.a.command(env!("CARGO_BIN_EXE_udptrack"));
    command
        .args(["-i", pair.a.iface(), "-j", "--config"])
        .arg(&config)
        .env("NOTIFY_SOCKET", &path);
    let mut udptrack = Udptrack::spawn_command(&mut command, usize::MAX);
    let ready = told(&manager);
    folder.file("udptrack.toml", "udp-timeout = \"20s\"");
    udptrack.signal(Signal::SIGHUP);
    let reloading = wait_for("the reload", SOON, || {
        let told = told(&manager);
        (!told.starts_with("STATUS=")).then_some(told)
    });
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    assert!(since.unwrap().parse::<u64>().unwrap() > 0, "{reloading}");
    assert_eq!(told(&manager), ready);
    udptrack.wait_for_message("what has changed", |line| {
        line.contains("--udp-timeout changed")
    });
    assert_eq!(udptrack.stop().success().code, Some(0));
}

/// A variable that was left over from another service.
#[test]
#[ignore = "root"]
fn a_service_manager_that_is_not_there_is_no_reason_to_fail() {
    let pair = Pair::new();
    let udptrack = start(&pair, "/nonexistent/socket").until_tracking(1);
    let finished = udptrack.stop().success();
    let messages = finished.messages();
    assert!(
        messages[0].contains("NOTIFY_SOCKET=/nonexistent/socket: No such file"),
        "{messages:?}"
    );
}
