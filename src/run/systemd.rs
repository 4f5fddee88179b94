//! Tells the service manager, as in `sd_notify(3)`, that the run has begun, that it goes on, and that it ends.
//!
//! The socket is opened once, while the process has all its rights, and never waited for: a service manager that does not
//! read holds nothing up. By hand, as it is one datagram; the library for it opens its socket anew for each, waits, and
//! knows no abstract addresses.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use super::Run;
use super::attach::attached_names;
use crate::clock::machine_ns;
use crate::console::say;
use crate::model::text::{Grouped, Visible};

/// The service manager, if there is one that wants to know.
#[derive(Debug, Default)]
pub(super) struct ServiceManager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Watchdog>,
}

/// Its watchdog, fed by who waits where the loop does not turn.
pub(super) struct Pulse(ServiceManager);

impl Pulse {
    /// It goes on.
    pub fn alive(&mut self, now: Instant) {
        self.0.alive(now);
    }
}

/// It ends a service that is not heard of for too long.
#[derive(Clone, Debug)]
struct Watchdog {
    pause: Duration,
    next: Instant,
}

impl ServiceManager {
    /// The one that the environment names. A variable that was left over from another service is no reason to fail.
    pub fn of_environment() -> Self {
        let Some(address) = std::env::var_os("NOTIFY_SOCKET") else {
            return Self::default();
        };
        let socket = match connect(&address) {
            Ok(socket) => socket,
            Err(error) => {
                say(format_args!(
                    "cannot tell the service manager about this run: NOTIFY_SOCKET={}: {error}",
                    Visible(&address.to_string_lossy())
                ));
                return Self::default();
            }
        };
        let variable = |name: &str| std::env::var(name).ok()?.parse().ok();
        let pause = watchdog_pause(
            variable("WATCHDOG_USEC"),
            variable("WATCHDOG_PID"),
            std::process::id().into(),
        );
        Self {
            socket: Some(socket),
            watchdog: pause.map(|pause| Watchdog {
                pause,
                next: Instant::now(),
            }),
        }
    }

    /// The hooks are on. `status` says which, in a line.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// How it goes, in a line.
    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={status}"));
    }

    /// The configuration is read anew; [`ServiceManager::ready`] has to follow.
    pub fn reloading(&self) {
        if let Ok(now_ns) = machine_ns() {
            self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now_ns / 1000));
        }
    }

    /// The run ends: from here on no sign of life is to be expected.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// For who waits elsewhere.
    pub fn pulse(&self) -> Pulse {
        let socket = self.socket.as_ref();
        Pulse(Self {
            socket: socket.and_then(|socket| socket.try_clone().ok()),
            watchdog: self.watchdog.clone(),
        })
    }

    /// The loop has turned, which is the sign of life.
    pub fn alive(&mut self, now: Instant) {
        if let Some(watchdog) = &mut self.watchdog
            && now >= watchdog.next
        {
            watchdog.next = now + watchdog.pause;
            self.tell("WATCHDOG=1");
        }
    }

    /// When the loop has to turn at the latest.
    pub fn next_sign(&self) -> Option<Instant> {
        self.watchdog.as_ref().map(|watchdog| watchdog.next)
    }

    /// What cannot be told is not told: a run that counts is worth more than one that is believed to.
    fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(state.as_bytes());
        }
    }
}

impl Run {
    /// Tells the service manager that the hooks are on, and that what was read anew is taken.
    pub(super) fn say_ready(&self) {
        self.service.ready(&self.status());
    }

    /// Tells it how it goes.
    pub(super) fn say_status(&self) {
        self.service.status(&self.status());
    }

    /// In a line, as `systemctl status` shows it.
    fn status(&self) -> String {
        let what = if self.plan.is_replay() {
            "a capture".to_owned()
        } else {
            attached_names(&self.attachments)
        };
        format!(
            "tracking {what}: {} of {} connections",
            Grouped(self.table.len() as u64),
            Grouped(self.table.capacity())
        )
    }
}

/// A path, or behind an `@` an abstract name.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Half of what the service manager waits for, if it waits for this process.
fn watchdog_pause(microseconds: Option<u64>, process: Option<u64>, own: u64) -> Option<Duration> {
    let pause = Duration::from_micros(microseconds?) / 2;
    (process.is_none_or(|process| process == own) && !pause.is_zero()).then_some(pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_of_another_process_is_none_of_ours() {
        let second = Some(1_000_000);
        let half = Some(Duration::from_millis(500));
        assert_eq!(watchdog_pause(second, None, 7), half);
        assert_eq!(watchdog_pause(second, Some(7), 7), half);
        assert_eq!(watchdog_pause(second, Some(8), 7), None);
        assert_eq!(watchdog_pause(None, Some(7), 7), None);
        assert_eq!(watchdog_pause(Some(0), None, 7), None);
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nothing_up() {
        let name = format!("udptrack-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let socket = connect(OsStr::new(&format!("@{name}"))).unwrap();
        let service = ServiceManager {
            socket: Some(socket),
            watchdog: None,
        };
        for _ in 0..10_000 {
            service.status("on and on");
        }
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"STATUS=on and on");
        drop(manager);
        service.stopping();
    }
}
