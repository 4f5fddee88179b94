//! A whole system with a service manager of its own, from a bare tree of packages. It has a namespace of each kind, so nothing
//! in it reaches this machine, and it ends with its owner.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::netns::Netns;
use super::process::Process;
use super::{SOON, TempDir, unique, wait_for};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/package");
/// Made once.
const TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/package-tree.tar");
/// How long packages may take to come and be unpacked.
const DOWNLOAD: Duration = Duration::from_secs(600);

/// The system, running. Ended and removed on drop.
#[derive(Debug)]
pub struct Machine {
    namespaces: Option<Process>,
    init: String,
    cgroup: PathBuf,
    tree: TempDir,
}

impl Machine {
    /// Starts one whose network is `netns`, and waits until all its services are up.
    pub fn boot(netns: &Netns) -> Self {
        let mut script = Command::new(format!("{SCRIPTS}/tree.sh"));
        let _ = Process::start(script.arg(TREE))
            .wait(DOWNLOAD)
            .success("tests/package/tree.sh");
        let tree = TempDir::new("machine");
        let mut unpack = Command::new("tar");
        unpack.args(["--extract", "--file", TREE, "--directory"]);
        let _ = Process::start(unpack.arg(tree.path()))
            .wait(DOWNLOAD)
            .success("tar");
        let cgroup = cgroups().join(unique("machine"));
        fs::create_dir(&cgroup).expect("a control group can be made");
        let mut boot = netns.command("sh");
        boot.arg("-c").arg(format!(
            "echo $$ >{}/cgroup.procs && exec unshare --mount --pid --ipc --uts --cgroup --fork --kill-child \
             {SCRIPTS}/boot.sh {}",
            cgroup.display(),
            tree.path().display()
        ));
        let namespaces = Process::start(&mut boot);
        let children = format!("/proc/{0}/task/{0}/children", namespaces.pid());
        let init = wait_for("the first process", SOON, || {
            let children = fs::read_to_string(&children).ok()?;
            Some(children.split_whitespace().next()?.to_owned())
        });
        let machine = Self {
            namespaces: Some(namespaces),
            init,
            cgroup,
            tree,
        };
        wait_for("the system's services", SOON, || {
            // Before it has its own root, this is the machine's own systemctl.
            let is_own = machine
                .command("test")
                .args(["-e", "/run/systemd/system"])
                .status();
            let state = machine
                .command("systemctl")
                .arg("is-system-running")
                .output();
            let up = state.is_ok_and(|state| state.stdout == b"running\n");
            (machine.has_own_root() && is_own.is_ok_and(|status| status.success()) && up)
                .then_some(())
        });
        machine
    }

    fn has_own_root(&self) -> bool {
        let name = fs::read_link(format!("/proc/{}/exe", self.init));
        name.is_ok_and(|name| name.ends_with("systemd"))
    }

    /// A command inside.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--all", "--target", &self.init, "--", program])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Runs a command line of a shell inside, whatever comes of it.
    #[must_use]
    pub fn try_run(&self, line: &str) -> Output {
        let mut shell = self.command("sh");
        shell.args(["-c", line]).output().expect("nsenter runs")
    }

    /// Runs a command line of a shell inside, which must succeed; returns what it wrote.
    pub fn run(&self, line: &str) -> String {
        let output = self.try_run(line);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{line}: {}\n{}{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// Where a file inside is, seen from here.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        self.tree.path().join(inside.trim_start_matches('/'))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The first process is killed with it, and with that one all others and their mounts.
        if let Some(namespaces) = self.namespaces.take() {
            let _ = namespaces.stop(Signal::SIGKILL);
        }
        wait_for("the end of the system", SOON, || {
            remove_groups(&self.cgroup).then_some(())
        });
    }
}

/// Where control groups of version 2 are.
fn cgroups() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts can be read");
    let mount = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|fields| fields[2] == "cgroup2");
    PathBuf::from(mount.expect("control groups of version 2 are mounted")[1])
}

/// Whether they are gone.
fn remove_groups(group: &Path) -> bool {
    let Ok(entries) = fs::read_dir(group) else {
        return true;
    };
    let folders = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    let children = folders.map(|path| remove_groups(&path)).collect::<Vec<_>>();
    children.into_iter().all(|gone| gone) && fs::remove_dir(group).is_ok()
}
