//! Control groups: where their file system is, the path of one, and the container that a path speaks of.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::socket::Holder;

/// Digits of a container id that container tools print.
const CONTAINER_DIGITS: usize = 12;
/// Digits of a whole container id.
const WHOLE_ID: usize = 64;
/// How deep and how many folders are read: a hierarchy can be made of any size.
const DEPTH_MAX: usize = 32;
const FOLDERS_MAX: usize = 65_536;
/// Between two walks, when ids are unknown.
const WALK_PAUSE_NS: u64 = 1_000_000_000;

/// Where the version 2 hierarchy is mounted.
#[must_use]
pub fn cgroup_root() -> Option<PathBuf> {
    let mounts = fs::read("/proc/self/mountinfo").ok()?;
    mount_point(&String::from_utf8_lossy(&mounts))
}

/// The mount point of the first cgroup2 in `/proc/self/mountinfo`: `36 35 98:0 / POINT options ... - cgroup2 ...`.
fn mount_point(mounts: &str) -> Option<PathBuf> {
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    let escaped = line.split(' ').nth(4)?;
    Some(std::ffi::OsString::from_vec(unescape(escaped.as_bytes())).into())
}

/// `\040` and the like, as the kernel writes blanks in paths.
fn unescape(text: &[u8]) -> Vec<u8> {
    let octal = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).ok()?;
        u8::from_str_radix(digits, 8).ok()
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\').and_then(octal);
        if let Some(byte) = code {
            bytes.push(byte);
            rest = &after[3..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    bytes
}

/// Paths of control groups. Knows them also when the process is gone, if it had them before or the group is still there.
#[derive(Debug)]
pub(super) struct Cgroups {
    root: Option<PathBuf>,
    paths: HashMap<u64, String>,
    walked_ns: Option<u64>,
    ticks_per_second: u64,
}

/// Where a process belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Path below the root; empty when unknown.
    pub path: String,
    /// The container, if a path shows one.
    pub container: Option<String>,
}

impl Cgroups {
    pub fn new() -> Self {
        let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK);
        Self {
            root: cgroup_root(),
            paths: HashMap::new(),
            walked_ns: None,
            ticks_per_second: ticks.ok().flatten().map_or(100, i64::cast_unsigned),
        }
    }

    /// The control group of a process: from the process while it lives, else by the group's id.
    pub fn place(&mut self, holder: &Holder, now_ns: u64) -> Place {
        if let Some(place) = self.ask_process(holder) {
            if !place.path.is_empty() {
                self.paths.insert(holder.cgroup, place.path.clone());
            }
            return place;
        }
        let path = self.path(holder.cgroup, now_ns);
        Place {
            container: container(&path),
            path,
        }
    }

    fn ask_process(&self, holder: &Holder) -> Option<Place> {
        let read = |file: &str| {
            let bytes = fs::read(format!("/proc/{}/{file}", holder.pid)).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let groups = read("cgroup")?;
        // Read last: if it is still the same process now, it was when the groups were read.
        let started = start_ticks(&read("stat")?)?;
        let expected =
            u128::from(holder.started_ns) * u128::from(self.ticks_per_second) / 1_000_000_000;
        (u128::from(started) == expected).then(|| place_of(&groups))
    }

    fn path(&mut self, id: u64, now_ns: u64) -> String {
        if let Some(path) = self.paths.get(&id) {
            return path.clone();
        }
        let may_walk = self
            .walked_ns
            .is_none_or(|walked| now_ns >= walked + WALK_PAUSE_NS);
        if let (Some(root), true) = (&self.root, may_walk) {
            self.walked_ns = Some(now_ns);
            self.paths = walk(root);
        }
        self.paths.get(&id).cloned().unwrap_or_default()
    }
}

/// Every group below `root` by its id, which is its folder's inode.
fn walk(root: &Path) -> HashMap<u64, String> {
    let mut paths = HashMap::new();
    if let Ok(metadata) = fs::metadata(root) {
        paths.insert(metadata.ino(), "/".to_owned());
    }
    let mut folders = vec![(root.to_owned(), String::new(), 0)];
    while let Some((folder, path, depth)) = folders.pop() {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            if paths.len() >= FOLDERS_MAX {
                return paths;
            }
            let path = format!("{path}/{}", entry.file_name().to_string_lossy());
            paths.insert(entry.ino(), path.clone());
            if depth < DEPTH_MAX {
                folders.push((entry.path(), path, depth + 1));
            }
        }
    }
    paths
}

/// Field 22 of `/proc/PID/stat`. The name in field 2 may contain anything, so counting begins after its last bracket.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

/// `/proc/PID/cgroup`: `0::PATH` is version 2; `N:CONTROLLERS:PATH` are version 1, where older container tools put theirs.
fn place_of(groups: &str) -> Place {
    let path = |line: &str| Some(line.splitn(3, ':').nth(2)?.to_owned());
    let unified = groups
        .lines()
        .find(|line| line.starts_with("0::"))
        .and_then(path)
        .unwrap_or_default();
    Place {
        container: container(&unified)
            .or_else(|| groups.lines().filter_map(path).find_map(|p| container(&p))),
        path: unified,
    }
}

/// The container that a path speaks of: the innermost part that is an id of 64 digits, alone (`/docker/ID`,
/// `/kubepods/.../ID`) or between a prefix and a suffix (`docker-ID.scope`, `cri-containerd-ID.scope`, `libpod-ID`).
fn container(path: &str) -> Option<String> {
    path.rsplit('/').find_map(|part| {
        let part = part
            .strip_suffix(".scope")
            .or_else(|| part.strip_suffix(".service"))
            .unwrap_or(part);
        let id = part.rsplit(['-', ':']).next()?;
        let is_id = id.len() == WHOLE_ID && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| id[..CONTAINER_DIGITS].to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn container_tools_paths() {
        for path in [
            format!("/system.slice/docker-{ID}.scope"),
            format!("/docker/{ID}"),
            format!("/docker/{ID}/inner.slice/a.service"),
            format!("/machine.slice/libpod-{ID}.scope/container"),
            format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"),
            format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_34.slice/cri-containerd-{ID}.scope"
            ),
            format!("/kubepods/besteffort/pod0f3e/{ID}"),
            format!("/kubepods.slice/crio-{ID}.scope"),
            format!("/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{ID}"),
        ] {
            assert_eq!(container(&path).as_deref(), Some("0123456789ab"), "{path}");
        }
    }

    #[test]
    fn other_paths_show_none() {
        for path in [
            String::new(),
            "/".to_owned(),
            "/system.slice/ssh.service".to_owned(),
            format!("/docker/{}", &ID[1..]),
            format!("/docker/{ID}0"),
            format!("/docker/{}g", &ID[1..]),
            format!("/docker/{}\u{e9}", &ID[2..]),
        ] {
            assert_eq!(container(&path), None, "{path}");
        }
    }

    #[test]
    fn the_innermost_container_counts() {
        let inner = ID.replace('0', "f");
        let path = format!("/docker/{ID}/docker/{inner}");
        assert_eq!(container(&path).as_deref(), Some("f123456789ab"));
    }

    #[test]
    fn version_2_path_and_version_1_container() {
        let groups = format!("5:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/a:b\n");
        assert_eq!(
            place_of(&groups),
            Place {
                path: "/a:b".to_owned(),
                container: Some("0123456789ab".to_owned())
            }
        );
        assert_eq!(place_of("nonsense"), Place::default());
    }

    #[test]
    fn start_of_a_process_whatever_its_name() {
        let stat = "12 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start_ticks(stat), Some(4711));
        assert_eq!(start_ticks("12 (a) S"), None);
        assert_eq!(start_ticks(""), None);
    }

    #[test]
    fn mount_points_are_found_and_unescaped() {
        let mounts = "25 30 0:23 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            26 25 0:24 / /sys/fs/cgroup/my\\040group rw,relatime shared:4 - cgroup2 cgroup2 rw\n";
        assert_eq!(
            mount_point(mounts),
            Some(PathBuf::from("/sys/fs/cgroup/my group"))
        );
        assert_eq!(mount_point("25 30 0:23 / /sys rw - sysfs sysfs rw\n"), None);
        assert_eq!(unescape(b"a\\0"), b"a\\0");
        assert_eq!(unescape(b"a\\999b"), b"a\\999b");
    }

    #[test]
    fn a_walk_finds_folders_by_inode() {
        let root = std::env::temp_dir().join(format!("udptrack-cgroups-{}", std::process::id()));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/file"), "").unwrap();
        let paths = walk(&root);
        let inode = |path: &str| fs::metadata(root.join(path)).unwrap().ino();
        let expected = HashMap::from([
            (inode(""), "/".to_owned()),
            (inode("a"), "/a".to_owned()),
            (inode("a/b"), "/a/b".to_owned()),
        ]);
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(paths, expected);
    }
}
