//! The Debian package, on a bare system with a service manager of its own: what it installs, that its services run as
//! hardened as they are, what they find, and that nothing of it stays. Packages of other kinds stand in `formats`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;
#[path = "package/formats.rs"]
mod formats;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use common::collectors::{Nfcapd, said};
use common::finished::Finished;
use common::kernel::{assert_bare, is_tracked};
use common::machine::Machine;
use common::netns::Pair;
use common::process::Process;
use common::traffic::Talk;
use common::{Ip, SOON, TempDir, wait_for};

/// How long making or judging a package may take.
const PACKED: Duration = Duration::from_secs(180);

/// The package of the program that is tested, made once.
fn package() -> &'static [u8] {
    static PACKAGE: OnceLock<Vec<u8>> = OnceLock::new();
    PACKAGE.get_or_init(|| {
        let folder = TempDir::new("package");
        let made = make("deb", Path::new(env!("CARGO_BIN_EXE_udptrack")), &folder);
        fs::read(made).expect("it says where the package is")
    })
}

/// Makes a package of a kind in a folder; returns where it is.
fn make(kind: &str, binary: &Path, folder: &TempDir) -> PathBuf {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/package.sh"));
    command
        .args([Path::new(kind), binary, folder.path()])
        .env("CARGO", env!("CARGO"));
    let made = Process::start(&mut command)
        .wait(PACKED)
        .success("packaging/package.sh");
    let last = made.stdout.lines().last().expect("it says where it is");
    PathBuf::from(last)
}

/// Each link from one of the installed pages to another file leads to one.
fn assert_links(pages: &Path) {
    let list = Process::run(Command::new("find").arg(pages).args(["-name", "*.md"])).stdout;
    let mut links = 0;
    for page in list.lines().map(Path::new) {
        let text = fs::read_to_string(page).unwrap();
        let targets = text.split("](").skip(1).map(|rest| {
            let end = rest.find([')', '#']).expect("a link ends");
            &rest[..end]
        });
        for target in targets.filter(|target| !target.is_empty() && !target.contains(':')) {
            let file = page.parent().unwrap().join(target);
            assert!(file.exists(), "{}: {target}", page.display());
            links += 1;
        }
    }
    assert!(links > 20, "{links} links in {}", pages.display());
    for there in ["README.md", "docs/grafana.json", "docs/alerts.yml"] {
        assert!(pages.join(there).exists(), "{there}");
    }
}

/// All files but those of dpkg, of caches and of logs.
fn files(machine: &Machine) -> BTreeSet<String> {
    let list = machine.run(
        "find / -xdev -not -path '/var/lib/dpkg/*' -not -path '/var/cache/*' -not -path '/var/log/*' \
         -not -path '/var/tmp/*' -not -path '/udptrack.deb'",
    );
    list.lines().map(str::to_owned).collect()
}

fn install(machine: &Machine) {
    fs::write(machine.path("udptrack.deb"), package()).unwrap();
    machine.run("dpkg --install /udptrack.deb");
}

/// The line of a status or of a unit's properties.
fn property(machine: &Machine, unit: &str, name: &str) -> String {
    let value = machine.run(&format!("systemctl show --value --property {name} {unit}"));
    value.trim().to_owned()
}

/// All that a service has written.
fn journal(machine: &Machine, unit: &str) -> String {
    machine.run(&format!(
        "journalctl --sync; journalctl --unit {unit} --identifier udptrack --output cat --no-pager"
    ))
}

/// The same of one that ended well.
fn finished(machine: &Machine, unit: &str) -> Finished {
    let journal = journal(machine, unit);
    let (records, messages): (Vec<&str>, Vec<&str>) =
        journal.lines().partition(|line| line.starts_with('{'));
    Finished {
        code: Some(0),
        stdout: records.into_iter().map(str::to_owned).collect(),
        stderr: messages.join("\n"),
    }
}

fn checked(program: &str, arguments: &[&str], file: PathBuf) {
    let checked = Process::start(Command::new(program).args(arguments).arg(file))
        .wait(PACKED)
        .success(program);
    assert_eq!(
        (checked.stdout.as_str(), checked.stderr.as_str()),
        ("", ""),
        "{program}"
    );
}

/// Root alone may track, until the installer's question is answered with yes: then so may the group, and only it may start it.
fn assert_group(machine: &Machine, pair: &Pair) {
    let state = || {
        machine.run("stat --format '%U %G %a' /usr/bin/udptrack; getcap /usr/bin/udptrack; getent group udptrack || true")
    };
    let answer = |answer: &str| {
        machine.run(&format!(
            "echo udptrack udptrack/group boolean {answer} | debconf-set-selections
             DEBIAN_FRONTEND=noninteractive dpkg-reconfigure udptrack"
        ));
    };
    let track = |group: &str| {
        machine.try_run(&format!(
            "setpriv --reuid 4000 --regid 4000 --groups {group} sh -c '/usr/bin/udptrack -i {} --once -o json' 2>&1",
            pair.a.iface()
        ))
    };
    assert_eq!(state(), "root root 755\n");
    let refused = track("4000");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    answer("true");
    let made = state();
    let id = made.trim_end().rsplit(':').nth(1).unwrap_or_default();
    assert_eq!(
        made,
        format!(
            "root udptrack 750\n/usr/bin/udptrack cap_net_admin,cap_perfmon,cap_bpf=ep\nudptrack:x:{id}:\n"
        )
    );
    let tracked = track(id);
    assert!(tracked.status.success(), "{tracked:?}");
    let refused = track("4000");
    assert_eq!(refused.status.code(), Some(126), "{refused:?}");
    answer("false");
    assert!(state().starts_with("root root 755\nudptrack:x:"));
}

/// Lintian finds neither errors nor warnings.
#[test]
#[ignore = "root"]
fn lintian_says_nothing() {
    let folder = TempDir::new("lintian");
    let package = folder.path().join("udptrack.deb");
    fs::write(&package, self::package()).unwrap();
    checked(
        "lintian",
        &["--allow-root", "--fail-on", "error,warning"],
        package,
    );
}

/// The page is found and read, shells accept their completions, and the units are right and off.
#[test]
#[ignore = "root"]
fn what_is_installed_is_found_and_right_and_does_nothing_unasked() {
    let pair = Pair::new();
    let machine = Machine::boot(&pair.a);
    let before = files(&machine);
    install(&machine);
    assert!(machine.run("man udptrack").contains("EXIT STATUS"));
    let page = machine.run("zcat /usr/share/man/man8/udptrack.8.gz");
    let folder = TempDir::new("page");
    checked(
        "mandoc",
        &["-T", "lint", "-W", "warning"],
        folder.file("udptrack.8", &page),
    );
    for (shell, file) in [
        ("bash", "/usr/share/bash-completion/completions/udptrack"),
        ("zsh", "/usr/share/zsh/vendor-completions/_udptrack"),
        ("fish", "/usr/share/fish/vendor_completions.d/udptrack.fish"),
    ] {
        checked(shell, &["-n"], machine.path(file));
    }
    let version = format!("udptrack {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(machine.run("udptrack --version"), version);
    let units =
        "/usr/lib/systemd/system/udptrack.service /usr/lib/systemd/system/udptrack@.service";
    assert_eq!(
        machine.run(&format!("systemd-analyze verify {units} 2>&1")),
        ""
    );
    assert_links(&machine.path("usr/share/doc/udptrack"));
    // Sums of all files but of the configuration, which is compared by itself.
    let sums = machine.run("cat /var/lib/dpkg/info/udptrack.md5sums");
    let listed =
        machine.run("dpkg --listfiles udptrack | while read f; do test -d $f || echo $f; done");
    assert_eq!(sums.lines().count() + 1, listed.lines().count());
    assert_eq!(machine.run("dpkg --verify udptrack"), "");
    assert_group(&machine, &pair);
    let exposure = machine.run(
        "systemd-analyze security --offline=true --threshold=30 --no-pager /usr/lib/systemd/system/udptrack.service",
    );
    eprintln!("{}", exposure.lines().last().unwrap_or_default());
    assert_eq!(property(&machine, "udptrack", "UnitFileState"), "disabled");
    assert_eq!(property(&machine, "udptrack", "ActiveState"), "inactive");
    assert_bare(&pair.a, pair.a.iface());
    machine.run("systemctl enable udptrack udptrack@eth0");
    machine.run("dpkg --purge udptrack");
    let after = files(&machine);
    let left: Vec<_> = after.symmetric_difference(&before).collect();
    assert_eq!(left, Vec::<&String>::new());
}

/// Under its service manager, with all its fences: every packet is counted, `udptrack list` finds it, and it ends well.
#[test]
#[ignore = "root"]
fn the_service_counts_is_found_and_goes_with_its_package() {
    let pair = Pair::new();
    let machine = Machine::boot(&pair.a);
    install(&machine);
    let unit = format!("udptrack@{}", pair.a.iface());
    machine.run(&format!("systemctl start {unit}"));
    let status = property(&machine, &unit, "StatusText");
    assert_eq!(
        status,
        format!("tracking {}: 0 of 65,536 connections", pair.a.iface())
    );
    assert!(is_tracked(&pair.a, pair.a.iface()));
    let process = property(&machine, &unit, "MainPID");
    let rights = machine.run(&format!(
        "grep -E '^(Cap|NoNewPrivs)' /proc/{process}/status"
    ));
    let rights: Vec<_> = rights.split_whitespace().collect();
    // cap_net_admin and cap_bpf; what may be had at most has cap_perfmon as well.
    assert_eq!(
        rights,
        [
            "CapInh:",
            "0000000000000000",
            "CapPrm:",
            "0000008000001000",
            "CapEff:",
            "0000008000001000",
            "CapBnd:",
            "000000c000001000",
            "CapAmb:",
            "0000000000000000",
            "NoNewPrivs:",
            "1",
        ]
    );
    let mut talk = Talk::new(
        pair.a.udp(pair.a.addr(Ip::V4, 45_000)),
        pair.b.udp(pair.b.addr(Ip::V4, 4000)),
    );
    for _ in 0..100 {
        talk.turn();
    }
    let list = machine.run("udptrack list -o conntrack");
    assert_eq!(list.lines().count(), 1, "{list}");
    assert!(
        list.contains("sport=45000 dport=4000 packets=100 "),
        "{list}"
    );
    machine.run(&format!(
        "sed -i 's/^#udp-timeout = .*/udp-timeout = \"20s\"/' /etc/udptrack/udptrack.toml && systemctl reload {unit}"
    ));
    wait_for("the reload", SOON, || {
        journal(&machine, &unit)
            .contains("--udp-timeout changed")
            .then_some(())
    });
    machine.run("dpkg --remove udptrack");
    assert_bare(&pair.a, pair.a.iface());
    let finished = finished(&machine, &unit);
    assert_eq!(finished.connections(), [talk.entry()].into());
    assert_eq!(finished.assert_books().seen, talk.total());
}

/// Each has an address of metrics and a collector of its own, from a file of its own; `udptrack check` reads the same files.
#[test]
#[ignore = "root"]
fn services_side_by_side_differ_by_their_own_files() {
    let mut pair = Pair::new();
    let link = pair.add_link();
    let machine = Machine::boot(&pair.a);
    install(&machine);
    let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let services = [0, link].map(|link| {
        let (iface, number) = (pair.a.ports[link].iface.clone(), u16::from(link > 0));
        (link, iface, address(4739 + number), address(9435 + number))
    });
    let check = |iface: &str| {
        let unit = machine.run(&format!("systemctl cat udptrack@{iface}"));
        let start = unit
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="));
        let start = start.unwrap().replace("%i", iface);
        machine.try_run(&format!("{start} check -j"))
    };
    let collectors = services.each_ref().map(|(_, iface, collector, metrics)| {
        fs::write(
            machine.path(&format!("etc/udptrack/{iface}.toml")),
            format!("ipfix = \"{collector}\"\nmetrics = \"{metrics}\"\n"),
        )
        .unwrap();
        let checked = check(iface);
        assert!(checked.status.success(), "{checked:?}");
        Nfcapd::start(&pair.a, *collector)
    });
    for (_, iface, ..) in &services {
        machine.run(&format!("systemctl start udptrack@{iface}"));
        let checked = check(iface);
        let text = String::from_utf8_lossy(&checked.stdout);
        assert_eq!(checked.status.code(), Some(1), "its address is taken now");
        assert!(text.contains("--metrics"), "{text}");
    }
    for (link, iface, _, metrics) in &services {
        let from = SocketAddr::new(pair.a.ports[*link].ip(Ip::V4), 45_000);
        let to = SocketAddr::new(pair.b.ports[*link].ip(Ip::V4), 4000);
        Talk::new(pair.a.udp(from), pair.b.udp(to)).turn();
        let mut curl = pair.a.command("curl");
        let page = Process::run(curl.args(["-sf", &format!("http://{metrics}/metrics")])).stdout;
        for (_, other, ..) in &services {
            let label = format!("interface=\"{other}\"");
            assert_eq!(page.contains(&label), other == iface, "{page}");
        }
    }
    for ((_, iface, ..), collector) in services.iter().zip(collectors) {
        machine.run(&format!("systemctl stop udptrack@{iface}"));
        let finished = finished(&machine, &format!("udptrack@{iface}"));
        finished.assert_books();
        let (ways, log) = collector.stop();
        assert_eq!(ways, said(&finished), "{log}");
        assert!(!ways.is_empty());
    }
}

/// Whoever stands still is ended and begins anew.
#[test]
#[ignore = "root"]
fn a_service_that_hangs_is_started_again() {
    let pair = Pair::new();
    let machine = Machine::boot(&pair.a);
    install(&machine);
    let unit = format!("udptrack@{}", pair.a.iface());
    machine.run(
        "mkdir /etc/systemd/system/udptrack@.service.d
         printf '[Service]\\nWatchdogSec=1s\\nRestartSec=10ms\\n' >/etc/systemd/system/udptrack@.service.d/soon.conf
         systemctl daemon-reload",
    );
    machine.run(&format!("systemctl start {unit}"));
    let first = property(&machine, &unit, "MainPID");
    machine.run(&format!("kill -STOP {first}"));
    wait_for("the service to be started again", SOON, || {
        (property(&machine, &unit, "NRestarts") == "1"
            && property(&machine, &unit, "ActiveState") == "active")
            .then_some(())
    });
    assert_ne!(property(&machine, &unit, "MainPID"), first);
    assert!(is_tracked(&pair.a, pair.a.iface()));
    machine.run("dpkg --purge udptrack");
    assert_bare(&pair.a, pair.a.iface());
    let left = machine.try_run("ls -d /etc/systemd/system/*udptrack* /sys/fs/bpf/udptrack/*");
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}
