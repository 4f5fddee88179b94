//! The test ground: network namespaces, real programs inside them, an independent witness on the wire, a reference
//! parser, frames to feed both, and udptrack itself as one more program.
//!
//! Nothing here touches the machine's own interfaces: traffic stays inside namespaces that a test made, and every
//! namespace, process and directory goes away when its owner is dropped, also when the test fails. Nothing here uses
//! udptrack's own code: what judges it stands apart from it.

#![allow(
    dead_code,
    unused_macros,
    unused_imports,
    reason = "each test crate compiles this room and uses a part of it"
)]

pub mod bpffs;
pub mod capture;
pub mod cgroup;
pub mod collectors;
pub mod expressions;
pub mod finished;
pub mod frames;
pub mod generator;
pub mod kernel;
pub mod machine;
pub mod maps;
pub mod netns;
pub mod opinion;
pub mod process;
pub mod random;
pub mod receivers;
pub mod reference;
pub mod run;
pub mod tmux;
pub mod traffic;
pub mod witness;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long anything that should happen at once may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// How much longer than `limit` a wait may really take: `UDPTRACK_TEST_PATIENCE` times, on machines that are that slow.
/// Only for what is waited for, never for what is measured.
pub fn patient(limit: Duration) -> Duration {
    let factor = std::env::var("UDPTRACK_TEST_PATIENCE");
    limit * factor.map_or(1, |text| text.parse().expect("a number"))
}

/// Which of the two protocols a test speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ip {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Ip {
    /// Bytes of a frame before the UDP payload: Ethernet, IP (no options, no extension headers), UDP.
    #[must_use]
    pub fn overhead(self) -> u64 {
        match self {
            Self::V4 => 14 + 20 + 8,
            Self::V6 => 14 + 40 + 8,
        }
    }

    /// The address of this protocol out of two.
    #[must_use]
    pub fn of(self, v4: std::net::Ipv4Addr, v6: std::net::Ipv6Addr) -> IpAddr {
        match self {
            Self::V4 => v4.into(),
            Self::V6 => v6.into(),
        }
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// One root test for each protocol and hook: `fn SCENARIO(ip: Ip, hook: &str)`.
macro_rules! four_ways {
    ($($scenario:ident)*) => {$(
        mod $scenario {
            use crate::common::Ip;

            #[test]
            #[ignore = "root"]
            fn ipv4_xdp() {
                super::$scenario(Ip::V4, "xdp");
            }

            #[test]
            #[ignore = "root"]
            fn ipv4_tc() {
                super::$scenario(Ip::V4, "tc");
            }

            #[test]
            #[ignore = "root"]
            fn ipv6_xdp() {
                super::$scenario(Ip::V6, "xdp");
            }

            #[test]
            #[ignore = "root"]
            fn ipv6_tc() {
                super::$scenario(Ip::V6, "tc");
            }
        }
    )*};
}

/// One root test for each protocol: `fn SCENARIO(ip: Ip)`.
macro_rules! both_families {
    ($($scenario:ident)*) => {$(
        mod $scenario {
            use crate::common::Ip;

            #[test]
            #[ignore = "root"]
            fn ipv4() {
                super::$scenario(Ip::V4);
            }

            #[test]
            #[ignore = "root"]
            fn ipv6() {
                super::$scenario(Ip::V6);
            }
        }
    )*};
}

/// The same as one test, which does all four at a time: for what waits much more than it computes.
macro_rules! four_ways_at_once {
    ($($scenario:ident)*) => {$(
        mod $scenario {
            use crate::common::Ip;

            #[test]
            #[ignore = "root"]
            fn four_ways() {
                let ways = [(Ip::V4, "xdp"), (Ip::V4, "tc"), (Ip::V6, "xdp"), (Ip::V6, "tc")];
                crate::common::at_once(ways, |(ip, hook)| super::$scenario(ip, hook));
            }
        }
    )*};
}

/// The same for both protocols.
macro_rules! both_families_at_once {
    ($($scenario:ident)*) => {$(
        mod $scenario {
            use crate::common::Ip;

            #[test]
            #[ignore = "root"]
            fn both_families() {
                crate::common::at_once([Ip::V4, Ip::V6], super::$scenario);
            }
        }
    )*};
}

pub(crate) use {both_families, both_families_at_once, four_ways, four_ways_at_once};

/// Does this for each of them, four at a time, in threads that are called after them; on machines that are slow (see [`patient`]), one
/// after the other. Each has namespaces and processes of its own.
pub fn at_once<T: fmt::Debug + Send>(all: impl IntoIterator<Item = T>, does: impl Fn(T) + Sync) {
    const AT_ONCE: usize = 4;
    if std::env::var_os("UDPTRACK_TEST_PATIENCE").is_some() {
        return all.into_iter().for_each(does);
    }
    let mut all = all.into_iter();
    loop {
        let some: Vec<T> = all.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            return;
        }
        std::thread::scope(|scope| {
            let begin = |one: T| {
                let thread = std::thread::Builder::new().name(format!("{one:?}"));
                let does = &does;
                thread
                    .spawn_scoped(scope, move || does(one))
                    .expect("a thread")
            };
            let threads: Vec<_> = some.into_iter().map(begin).collect();
            // Each says itself what was wrong; the test fails with the first that failed, when all of these have ended.
            let results: Vec<_> = threads
                .into_iter()
                .map(std::thread::ScopedJoinHandle::join)
                .collect();
            if let Some(wrong) = results.into_iter().find_map(Result::err) {
                std::panic::resume_unwind(wrong);
            }
        });
    }
}

/// A name that no other test, nor another run of the tests, has.
pub(crate) fn unique(label: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!(
        "udpt-{}-{}-{label}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Waits until `probe` has a value; panics with `what` after `limit` (see [`patient`]).
pub fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let (start, limit) = (Instant::now(), patient(limit));
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(
            start.elapsed() < limit,
            "waited {limit:?} in vain for: {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A directory of its own, removed on drop.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// Makes the directory.
    pub fn new(label: &str) -> Self {
        let path = std::env::temp_dir().join(unique(label));
        std::fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it and returns its path.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// A copy of a program, under its name. Profiles of AppArmor that keep a system's own servers to the system's own files
    /// go by path, so they leave the copy alone.
    pub fn program(&self, name: &str) -> PathBuf {
        let installed = installed(name).unwrap_or_else(|| panic!("{name} is not installed"));
        self.copy(&installed, name)
    }

    /// A copy of a program, under another name. Another process makes it: what a thread has open for writing is also open in a child of
    /// another thread, until that becomes its program, and nobody can run a file that is open for writing (ETXTBSY).
    pub fn copy(&self, program: impl AsRef<Path>, name: &str) -> PathBuf {
        let copy = self.0.join(name);
        let program = program.as_ref();
        let made = Command::new("cp").arg(program).arg(&copy).status();
        assert!(
            made.is_ok_and(|status| status.success()),
            "{}",
            program.display()
        );
        copy
    }
}

/// Where a program is that is installed, or was unpacked by `packaging/install-deps.sh` because its package would start a
/// service.
pub fn installed(name: &str) -> Option<PathBuf> {
    const UNPACKED: [&str; 2] = [
        concat!(env!("CARGO_MANIFEST_DIR"), "/target/test-programs/usr/sbin"),
        concat!(env!("CARGO_MANIFEST_DIR"), "/target/test-programs/usr/bin"),
    ];
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .into_iter()
        .chain(UNPACKED)
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.exists())
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}
