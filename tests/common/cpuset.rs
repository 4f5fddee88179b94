//! A control group whose threads may run on CPU 0 only: there udptrack counts without its per-CPU cache.

use std::fs;
use std::path::PathBuf;
use std::thread;

use super::{SOON, wait_for};

/// Runs `work` on a thread that may use CPU 0 only, with all processes that it starts; `None`, and says so, where that
/// cannot be had.
pub fn on_one_cpu<R: Send>(label: &str, work: impl FnOnce() -> R + Send) -> Option<R> {
    let group = Cpuset::new(label);
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let Some(group) = group.filter(|_| processors > 1) else {
        eprintln!("SKIPPED: no CPU control group can be made here, or there is one CPU only");
        return None;
    };
    let result = thread::scope(|scope| {
        let worker = scope.spawn(|| {
            group.enter();
            let _back = Back(&group);
            work()
        });
        worker.join()
    });
    Some(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// Removed on drop.
#[derive(Debug)]
struct Cpuset {
    root: PathBuf,
    path: PathBuf,
    /// The file that takes threads (version 1) or processes (version 2).
    members: &'static str,
}

impl Cpuset {
    fn new(label: &str) -> Option<Self> {
        let name = format!("udptrack-test-{label}-{}", std::process::id());
        let (root, members) = [
            ("/sys/fs/cgroup/cpuset", "tasks"),
            ("/sys/fs/cgroup", "cgroup.procs"),
        ]
        .into_iter()
        .find(|(root, members)| fs::exists(format!("{root}/{members}")).unwrap_or(false))?;
        let root = PathBuf::from(root);
        let path = root.join(name);
        fs::create_dir(&path).ok()?;
        let group = Self {
            root,
            path,
            members,
        };
        let memory = fs::read_to_string(group.root.join("cpuset.mems")).unwrap_or_default();
        if !memory.trim().is_empty() {
            fs::write(group.path.join("cpuset.mems"), memory.trim()).ok()?;
        }
        fs::write(group.path.join("cpuset.cpus"), "0").ok()?;
        Some(group)
    }

    fn enter(&self) {
        fs::write(self.path.join(self.members), "0").expect("a thread can enter the group");
    }
}

/// Takes the thread out of the group again.
struct Back<'a>(&'a Cpuset);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        let _ = fs::write(self.0.root.join(self.0.members), "0");
    }
}

impl Drop for Cpuset {
    fn drop(&mut self) {
        // What ran in it leaves a moment after its end.
        wait_for("the end of the control group", SOON, || {
            fs::remove_dir(&self.path).ok()
        });
    }
}
