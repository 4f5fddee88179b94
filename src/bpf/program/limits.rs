//! How much memory this process may still take: of the machine, of its control groups, and of what may be locked. A run that would be
//! killed in a flood, when its tables fill, is refused before it attaches.

use std::fs;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::utsname::uname;

use crate::model::text::Visible;

/// The first kernel that charges tables to control groups instead of `RLIMIT_MEMLOCK`.
const CHARGED_TO_GROUPS: (u32, u32) = (5, 11);

/// A bound, and what is left below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Bytes that are left.
    pub available: u64,
    /// Whose they are, as the subject of a sentence.
    pub of: String,
    /// How it could be more: the end of a sentence; empty where it cannot.
    pub way_out: &'static str,
    /// Whether the kernel's tables count.
    pub tables: bool,
    /// Whether the process's own memory counts.
    pub own: bool,
}

/// All that hold for this process.
pub(in crate::bpf) fn limits() -> Vec<Limit> {
    let is_new = kernel_version().is_none_or(|version| version >= CHARGED_TO_GROUPS);
    let locked = if is_new { None } else { locked() };
    machine()
        .into_iter()
        .chain(group(is_new))
        .chain(locked)
        .collect()
}

/// Major and minor number of the running kernel.
#[must_use]
pub fn kernel_version() -> Option<(u32, u32)> {
    version(&uname().ok()?.release().to_string_lossy())
}

/// Those of a release such as `6.1.0-13-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn machine() -> Option<Limit> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    Some(Limit {
        available: available(&meminfo)?,
        of: "this machine".to_owned(),
        way_out: "",
        tables: true,
        own: true,
    })
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// What may be locked, where that bounds tables and cannot be raised by this process: libbpf does it where it may.
fn locked() -> Option<Limit> {
    let (soft, _) = getrlimit(Resource::RLIMIT_MEMLOCK).ok()?;
    let may_raise = caps::has_cap(None, CapSet::Effective, Capability::CAP_SYS_RESOURCE);
    (soft != RLIM_INFINITY && !may_raise.unwrap_or(false)).then(|| Limit {
        available: soft,
        of: "the limit of locked memory (it includes tables before Linux 5.11)".to_owned(),
        way_out: ", or raise it (ulimit -l unlimited, LimitMEMLOCK=infinity in a unit)",
        tables: true,
        own: false,
    })
}

/// The names of files in a memory control group.
struct Files {
    limits: &'static [&'static str],
    usage: &'static str,
    /// Of `memory.stat`: what the kernel can take back at any time.
    cache: &'static str,
}

const VERSION_1: Files = Files {
    limits: &["memory.limit_in_bytes"],
    usage: "memory.usage_in_bytes",
    cache: "total_inactive_file",
};
const VERSION_2: Files = Files {
    limits: &["memory.max", "memory.high"],
    usage: "memory.current",
    cache: "inactive_file",
};

/// The control group with the least left, of this process's and those above it.
fn group(tables: bool) -> Option<Limit> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let folders = [(folder(&groups, &mounts, ""), VERSION_2)]
        .into_iter()
        .chain([(folder(&groups, &mounts, "memory"), VERSION_1)]);
    let (available, folder) = folders
        .filter_map(|(found, files)| {
            let (folder, top) = found?;
            least_below(&folder, &top, &files)
        })
        .min()?;
    Some(Limit {
        available,
        of: format!("the control group {}", Visible(&folder.to_string_lossy())),
        way_out: ", or raise its limit (MemoryMax= and MemoryHigh= in a unit)",
        tables,
        own: true,
    })
}

/// Where this process's group is, and where its hierarchy begins: of a controller of version 1, or with none of version 2. From
/// `/proc/self/cgroup` (`4:memory:/GROUP`, `0::/GROUP`) and `mountinfo` (`36 35 0:30 /ROOT /POINT rw - cgroup cgroup rw,memory`).
fn folder(groups: &str, mounts: &str, controller: &str) -> Option<(PathBuf, PathBuf)> {
    let group = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let is_it = parts.next()?.split(',').any(|name| name == controller);
        parts.next().filter(|_| is_it)
    })?;
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, Path::new(left.next()?));
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1).unwrap_or_default());
        let is_it = match controller {
            "" => kind == "cgroup2",
            _ => kind == "cgroup" && options.split(',').any(|name| name == controller),
        };
        // In a container the mount may begin where its group is; what is above is not to be seen.
        let below = Path::new(group).strip_prefix(root).unwrap_or(Path::new(""));
        is_it.then(|| (point.join(below), point.to_owned()))
    })
}

/// The group with the least left, from `folder` up to `top`.
fn least_below(folder: &Path, top: &Path, files: &Files) -> Option<(u64, PathBuf)> {
    let folders = folder.ancestors().take_while(|it| it.starts_with(top));
    folders
        .filter_map(|folder| Some((left(folder, files)?, folder.to_owned())))
        .min()
}

/// What is left below the limits of one group; `None` where it has none.
fn left(folder: &Path, files: &Files) -> Option<u64> {
    let number = |name: &str| -> Option<u64> {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        text.trim().parse().ok()
    };
    let limit = files.limits.iter().filter_map(|name| number(name)).min()?;
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let cache = stat.lines().find_map(|line| {
        let (name, bytes) = line.split_once(' ')?;
        (name == files.cache).then(|| bytes.parse::<u64>().ok())?
    });
    let used = number(files.usage).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(cache.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read() {
        let meminfo = "MemTotal: 5 kB\nMemAvailable:    2 kB\n";
        assert_eq!(available(meminfo), Some(2048));
        assert_eq!(available(""), None);
    }

    #[test]
    fn versions_of_releases() {
        assert_eq!(version("6.1.0-13-amd64"), Some((6, 1)));
        assert_eq!(version("5.10-rc1"), Some((5, 10)));
        assert_eq!(version("6.6.87.2-microsoft"), Some((6, 6)));
        assert_eq!(version("next"), None);
        assert!(version("5.4.0") < version("5.10.1"));
    }

    #[test]
    fn groups_are_found_where_they_are_mounted() {
        let groups = "9:name=systemd:/\n4:cpu,memory:/one/two\n0::/unified/one\n";
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
            35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
            41 31 0:38 /unified /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let path = |text: &str| PathBuf::from(text);
        assert_eq!(
            folder(groups, mounts, "memory"),
            Some((
                path("/sys/fs/cgroup/memory/one/two"),
                path("/sys/fs/cgroup/memory")
            ))
        );
        assert_eq!(
            folder(groups, mounts, ""),
            Some((
                path("/sys/fs/cgroup/unified/one"),
                path("/sys/fs/cgroup/unified")
            ))
        );
        assert_eq!(folder("0::/\n", mounts, "memory"), None);
        assert_eq!(folder(groups, "", ""), None);
    }

    #[test]
    fn the_tightest_group_above_counts() {
        let top = std::env::temp_dir().join(format!("udptrack-groups-{}", std::process::id()));
        let inner = top.join("slice/unit");
        fs::create_dir_all(&inner).unwrap();
        let write = |folder: &Path, name: &str, text: &str| {
            fs::write(folder.join(name), text).unwrap();
        };
        assert_eq!(least_below(&inner, &top, &VERSION_2), None);
        write(&inner, "memory.max", "max\n");
        write(&inner, "memory.high", "900\n");
        write(&inner, "memory.current", "100\n");
        assert_eq!(
            least_below(&inner, &top, &VERSION_2),
            Some((800, inner.clone()))
        );
        let slice = top.join("slice");
        write(&slice, "memory.max", "1000\n");
        write(&slice, "memory.current", "700\n");
        write(&slice, "memory.stat", "anon 5\ninactive_file 50\n");
        assert_eq!(
            least_below(&inner, &top, &VERSION_2),
            Some((350, slice.clone()))
        );
        write(&slice, "memory.current", "5000\n");
        assert_eq!(least_below(&inner, &top, &VERSION_2), Some((0, slice)));
        write(&inner, "memory.limit_in_bytes", "500\n");
        write(&inner, "memory.usage_in_bytes", "20\n");
        write(&top, "memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(least_below(&inner, &top, &VERSION_1), Some((480, inner)));
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn this_process_has_limits() {
        assert!(limits().iter().any(|limit| limit.of == "this machine"));
    }
}
