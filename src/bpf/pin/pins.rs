//! Where other processes and the next run find a run: each has a folder in the bpffs.
//!
//! ```text
//! /sys/fs/bpf/udptrack/        refused where another user could change it
//!   =lock/                     one process at a time changes what is in here: it holds a lock on it. Nobody else may open it.
//!                              The last one removes it
//!   NAME/                      maps, readable as --pin-mode says
//!     lock/                    the run holds a lock on it, which ends with the process
//!     programs/
//!     links/                   only with --keep: the hooks stay as long as these
//! ```
//!
//! Without a holder of `lock/`, an instance with links is kept, and one without is what a killed run left.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::bpf::pin::folders;
use crate::bpf::pin::locks::{Lock, holder, lock, lock_in_turn, try_lock};
use crate::bpf::program::handles::make_folder;
use crate::bpf::program::load::LAYOUT;
use crate::bpf::sys::{self, types};
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, libbpf_sys};

/// Where every distribution mounts it.
const BPFFS: &str = "/sys/fs/bpf";
const HOME: &str = "udptrack";
const LOCK: &str = "lock";
/// No run can have this name.
const HOME_LOCK: &str = "=lock";
pub(in crate::bpf) const LINKS: &str = "links";

/// The state of a pinned run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A process tracks.
    Running,
    /// No process runs, but the kernel continues to track: `--keep` left it.
    Left,
    /// Nothing tracks: a killed run left its folder.
    Dead,
    /// It belongs to another user, and this one may not read it.
    Hidden,
}

/// A pinned run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// Its name.
    pub name: String,
    /// Whether a process or the kernel tracks.
    pub state: State,
    /// The process that tracks, if it can be seen from here.
    pub process: Option<u32>,
    pub(in crate::bpf) folder: PathBuf,
    /// The network namespace it tracks in.
    netns: u64,
    layout: u64,
}

impl Pinned {
    /// Which process that is, as the end of a sentence. Never a number that is no process.
    #[must_use]
    pub fn as_process(&self) -> String {
        let process = self
            .process
            .map(|process| format!(", as process {process}"));
        process.unwrap_or_default()
    }

    /// Whether its process has not pinned its tables yet. Every version's first word is another number than 0.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        self.state == State::Running && self.layout == 0
    }

    /// Refuses pins that may not be read, and those whose structs are not ours.
    pub(in crate::bpf) fn check_layout(&self) -> Result<()> {
        if self.state == State::Hidden {
            // Where its mode is what forbids it, the error is EACCES.
            let error = sys::open_pinned(&self.folder.join("instance")).err();
            if error.is_some_and(|error| error.raw_os_error() == Some(Errno::EPERM as i32)) {
                bail!(
                    "cannot read what {} tracks: not permitted. Run udptrack as root (sudo): before Linux 5.19, only root can read if kernel.unprivileged_bpf_disabled is set",
                    self.name
                );
            }
            bail!(
                "cannot read what {} tracks: not permitted. Run udptrack as root (sudo), or start the run that you want to list with --pin-mode 0644",
                self.name
            );
        }
        if self.layout == LAYOUT {
            return Ok(());
        }
        if self.is_starting() {
            bail!("{} is just starting. Try again in a moment", self.name);
        }
        bail!(
            "{} belongs to another version of udptrack, and this version cannot read its tables. Use that version, or end the tracking: rm -r {}",
            self.name,
            self.folder.display()
        )
    }
}

/// A name that is this process's own, and its folder: no other process tracks there. When it is dropped, the folder is
/// removed, unless it is kept.
#[derive(Debug)]
pub struct Claim {
    /// What `udptrack list --name` takes.
    pub name: String,
    /// Whether the folder has what an earlier run has kept.
    pub is_kept: bool,
    pub(in crate::bpf) folder: PathBuf,
    /// Whether it stays when this is dropped.
    pub(in crate::bpf) stays: bool,
    _lock: Flock<File>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.stays {
            // What is left is removed by the next run.
            let _ = remove(&self.folder);
            let home = self.home().to_owned();
            if let Ok(Some(lock)) = lock_in_turn(&home.join(HOME_LOCK)) {
                drop(Home {
                    path: home,
                    lock: Some(lock),
                });
            }
        }
    }
}

impl Claim {
    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes a name: the one that is wanted, or else the first that is free of `default`, `default-2`, … An instance that
    /// was kept in this network namespace is taken over; what a killed run left is removed.
    pub fn take(wanted: Option<&str>, default: &str) -> Result<Self> {
        const NAMES: usize = 1000;
        let home = Home::open()?;
        let netns = netns()?;
        let default = file_name(default);
        let mut names = (1..NAMES).map(|n| match n {
            1 => default.clone(),
            _ => format!("{default}-{n}"),
        });
        let mut one = wanted.map(str::to_owned).into_iter();
        let names: &mut dyn Iterator<Item = String> = if wanted.is_some() {
            &mut one
        } else {
            &mut names
        };
        for name in names {
            let Some(pinned) = home.find(&name) else {
                return home.make(name);
            };
            match pinned.state {
                State::Dead => {
                    remove(&pinned.folder)?;
                    return home.make(name);
                }
                State::Left if pinned.netns == netns => {
                    pinned.check_layout()?;
                    return home.own(name, true);
                }
                State::Running | State::Hidden if wanted.is_some() => bail!(
                    "a run named {name} is active already{}. Choose another --name",
                    pinned.as_process()
                ),
                State::Left if wanted.is_some() => bail!(
                    "the tracking {name} that --keep left is in another network namespace. Resume it there, choose another --name, or end it: udptrack detach --name {name}"
                ),
                State::Running | State::Hidden | State::Left => {}
            }
        }
        bail!("{NAMES} runs named {default} are active already")
    }

    /// Takes over what was kept, whatever the network namespace.
    pub fn take_left(name: &str) -> Result<Self> {
        let home = Home::open()?;
        match home.find(name).map(|pinned| (pinned.state, pinned)) {
            Some((State::Left, pinned)) => {
                pinned.check_layout()?;
                home.own(name.to_owned(), true)
            }
            Some((State::Running | State::Hidden, pinned)) => bail!(
                "a run named {name} is active{}: end it{}",
                pinned.as_process(),
                pinned
                    .process
                    .map_or_else(String::new, |process| format!(" (kill {process})"))
            ),
            Some((State::Dead, _)) | None => {
                bail!("there is no tracking named {name} that --keep left")
            }
        }
    }

    /// The folder of all instances, which the one of this claim is in.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }

    /// Where links are pinned, if hooks are to stay.
    #[must_use]
    pub fn links(&self) -> PathBuf {
        self.folder.join(LINKS)
    }

    /// Unpins the links: the hooks then stay only as long as this process holds them, and the folder as long as this claim.
    pub fn release(&mut self) -> Result<()> {
        self.stays = false;
        let links = self.links();
        if links.exists() {
            remove(&links)?;
        }
        Ok(())
    }
}

/// The instances that are pinned, by name. Those that killed runs left are removed, where that is allowed.
pub fn instances() -> Result<Vec<Pinned>> {
    let Some(home) = Home::open_existing()? else {
        return Ok(Vec::new());
    };
    let mut instances = Vec::new();
    for name in home.names()? {
        match home.find(&name) {
            Some(dead) if dead.state == State::Dead => {
                // Not ours to remove: then it is not shown, and its owner's next run removes it.
                let _ = remove(&dead.folder);
            }
            found => instances.extend(found),
        }
    }
    instances.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(instances)
}

/// Removes what killed runs left.
pub fn remove_dead() -> Result<()> {
    instances().map(drop)
}

/// The folder of all instances, locked where this user may.
struct Home {
    path: PathBuf,
    lock: Option<Flock<File>>,
}

impl Home {
    /// Makes it if it is not there.
    fn open() -> Result<Self> {
        let path = bpffs()?.join(HOME);
        loop {
            let made = fs::DirBuilder::new().mode(0o755).create(&path);
            match made {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(error).with_context(|| format!("cannot make {}", path.display()));
                }
                _ => {}
            }
            // The last run may remove it at any time before it is locked: then this one makes it again.
            let checked = folders::check(&path);
            if checked.is_err() && !path.exists() {
                continue;
            }
            checked?;
            if let Some(lock) = lock_home(&path)? {
                let lock = Some(lock);
                return Ok(Self { path, lock });
            }
        }
    }

    fn open_existing() -> Result<Option<Self>> {
        let path = bpffs()?.join(HOME);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => bail!(
                "cannot read {BPFFS}: not permitted. Run udptrack as root (sudo), or allow others: chmod a+x {BPFFS}, and start the run with --pin-mode 0644"
            ),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot look at {}", path.display()));
            }
            Ok(_) => {}
        }
        folders::check(&path)?;
        // Who may not lock reads all the same.
        let is_ours =
            fs::metadata(&path).is_ok_and(|home| home.uid() == nix::unistd::geteuid().as_raw());
        if !is_ours {
            return Ok(Some(Self { path, lock: None }));
        }
        // Where it has gone, so have all that were in it.
        let lock = lock_home(&path)?;
        Ok(lock.map(|lock| Self {
            path,
            lock: Some(lock),
        }))
    }

    fn names(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(&self.path)
            .with_context(|| format!("cannot list {}", self.path.display()))?;
        Ok(entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name != HOME_LOCK)
            .collect())
    }

    fn find(&self, name: &str) -> Option<Pinned> {
        let folder = self.path.join(name);
        if !folder.exists() {
            return None;
        }
        let instance = Header::read(&folder);
        let has_links = fs::metadata(folder.join(LINKS)).is_ok();
        let lock = folder.join(LOCK);
        let process = holder(&lock);
        let state = match try_lock(&lock) {
            Lock::Held => State::Running,
            Lock::Forbidden if instance.layout == 0 => State::Hidden,
            // Another user's: what can be told is whether a process has it.
            Lock::Forbidden if process.is_some() => State::Running,
            Lock::Free | Lock::Forbidden if has_links => State::Left,
            Lock::Free | Lock::Forbidden => State::Dead,
        };
        Some(Pinned {
            name: name.to_owned(),
            state,
            process,
            netns: instance.netns,
            layout: instance.layout,
            folder,
        })
    }

    fn make(&self, name: String) -> Result<Claim> {
        let folder = self.path.join(&name);
        make_folder(&folder, 0o700)?;
        make_folder(&folder.join(LOCK), 0o700)?;
        self.own(name, false)
    }

    fn own(&self, name: String, is_kept: bool) -> Result<Claim> {
        let folder = self.path.join(&name);
        let lock = lock(&folder.join(LOCK), FlockArg::LockExclusiveNonblock)?;
        Ok(Claim {
            name,
            is_kept,
            folder,
            stays: is_kept,
            _lock: lock,
        })
    }
}

impl Drop for Home {
    /// The last one takes the lock away, and the folder where it may: a run that tracks may remove only what is in it.
    fn drop(&mut self) {
        if self.lock.is_some() && self.names().is_ok_and(|names| names.is_empty()) {
            let _ = fs::remove_dir(self.path.join(HOME_LOCK));
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// The lock on the folder of all instances: on a folder in it that its owner alone may open, as who may open one may lock it. `None`
/// where one of them has gone meanwhile.
fn lock_home(home: &Path) -> Result<Option<Flock<File>>> {
    let path = home.join(HOME_LOCK);
    match fs::DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make {}", path.display()));
        }
        _ => {}
    }
    lock_in_turn(&path)
}

/// What can be told of an instance without knowing its version.
#[derive(Default)]
struct Header {
    layout: u64,
    netns: u64,
}

impl Header {
    fn read(folder: &Path) -> Self {
        let path = folder.join("instance");
        let bytes = MapHandle::from_pinned_path_with_file_flags(path, libbpf_sys::BPF_F_RDONLY)
            .and_then(|map| map.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY))
            .ok()
            .flatten()
            .unwrap_or_default();
        let layout = bytes.first_chunk().copied().map_or(0, u64::from_ne_bytes);
        let mut raw = types::udp_track_instance::default();
        let is_ours = layout == LAYOUT && bytes.len() == size_of_val(&raw);
        if !is_ours || plain::copy_from_bytes(&mut raw, &bytes).is_err() {
            return Self {
                layout,
                ..Self::default()
            };
        }
        Self {
            layout,
            netns: raw.netns,
        }
    }
}

fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// The bpffs, if it is there.
pub(in crate::bpf) fn bpffs() -> Result<PathBuf> {
    let found = statfs(BPFFS).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC);
    if found {
        return Ok(BPFFS.into());
    }
    bail!(
        "there is no bpffs at {BPFFS}. Mount it (mount -t bpf -o mode=0700 bpf {BPFFS}); under `ip netns exec`, which hides it, use \
         udptrack -N NAME instead"
    )
}

/// The folder in which this process would make its own.
#[cfg(feature = "cli")]
pub(in crate::bpf) fn place() -> Result<PathBuf> {
    let bpffs = bpffs()?;
    let home = bpffs.join(HOME);
    if !home.exists() {
        return Ok(bpffs);
    }
    folders::check(&home)?;
    Ok(home)
}

/// The network namespace of this thread: a number that no other one ever has, or on older kernels none that is there now.
pub(in crate::bpf) fn netns() -> Result<u64> {
    if let Ok(cookie) = sys::netns_cookie() {
        return Ok(cookie);
    }
    let namespace =
        fs::metadata("/proc/thread-self/ns/net").context("cannot tell this network namespace")?;
    Ok(namespace.ino())
}

/// A name that a bpffs takes: it has no use for dots.
fn file_name(name: &str) -> String {
    const LONGEST: usize = 64;
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || "_-:@+".contains(c) {
            c
        } else {
            '_'
        }
    };
    name.chars().take(LONGEST).map(safe).collect()
}

/// The mode of a folder whose files have `mode`: who may read them may walk in.
pub(in crate::bpf) fn folder_mode(mode: u32) -> u32 {
    let readable = mode & 0o444;
    0o700 | readable | readable >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_takes_the_lock_and_the_folder_away() {
        let path = std::env::temp_dir().join(format!("udptrack-home-{}", std::process::id()));
        let instance = path.join("veth0");
        fs::create_dir_all(&instance).unwrap();
        let come_and_go = || {
            drop(Home {
                path: path.clone(),
                lock: lock_home(&path).unwrap(),
            });
        };
        come_and_go();
        assert!(path.join(HOME_LOCK).exists());
        fs::remove_dir(&instance).unwrap();
        come_and_go();
        assert!(!path.exists());
        assert!(lock_home(&path).unwrap().is_none());
    }

    #[test]
    fn names_of_interfaces_become_file_names() {
        assert_eq!(file_name("eth0.100"), "eth0_100");
        assert_eq!(file_name("a+b"), "a+b");
        assert_eq!(file_name("../x/ü"), "___x__");
        assert_eq!(file_name(&"a".repeat(100)).len(), 64);
    }

    #[test]
    fn folders_let_in_who_may_read() {
        assert_eq!(folder_mode(0o600), 0o700);
        assert_eq!(folder_mode(0o640), 0o750);
        assert_eq!(folder_mode(0o644), 0o755);
    }
}
