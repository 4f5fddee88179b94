//! Locks on folders of the bpffs, and who holds one: they end with their process, whatever its end is.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{major, minor};

/// Whether somebody has a lock.
pub(super) enum Lock {
    Free,
    Held,
    /// That cannot be tried.
    Forbidden,
}

pub(super) fn try_lock(path: &Path) -> Lock {
    let Ok(folder) = File::open(path) else {
        return Lock::Forbidden;
    };
    match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
        Ok(_) => Lock::Free,
        Err((_, Errno::EWOULDBLOCK)) => Lock::Held,
        Err(_) => Lock::Forbidden,
    }
}

pub(super) fn lock(path: &Path, how: FlockArg) -> Result<Flock<File>> {
    let folder = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Flock::lock(folder, how)
        .map_err(|(_, error)| anyhow!(error))
        .with_context(|| format!("cannot lock {}", path.display()))
}

/// The process that holds a lock, as the kernel knows it. None where nobody does, or a process that this one cannot see.
pub(super) fn holder(path: &Path) -> Option<u32> {
    let locked = fs::metadata(path).ok()?;
    let (device, inode) = (locked.dev(), locked.ino());
    let place = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    holder_in(&fs::read_to_string("/proc/locks").ok()?, &place)
}

/// `1: FLOCK  ADVISORY  WRITE 16867 00:27:5892566 0 EOF`, with `->` after the number where it is only waited for.
fn holder_in(locks: &str, place: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [_, "FLOCK", _, "WRITE", process, locked, ..] if locked == place => {
                process.parse().ok().filter(|process| *process != 0)
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_who_has_the_lock() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 00:27:12 0 EOF\n\
            2: FLOCK  ADVISORY  READ 8 00:27:12 0 EOF\n\
            3: FLOCK  ADVISORY  WRITE 16867 00:27:12 0 EOF\n\
            3: -> FLOCK  ADVISORY  WRITE 9 00:27:14 0 EOF\n\
            4: FLOCK  ADVISORY  WRITE 0 00:27:15 0 EOF\n";
        assert_eq!(holder_in(locks, "00:27:12"), Some(16_867));
        for place in ["00:27:13", "00:27:14", "00:27:15", "00:27:1"] {
            assert_eq!(holder_in(locks, place), None, "{place}");
        }
    }

    #[test]
    fn a_lock_of_this_process_is_found() {
        let path = std::env::temp_dir().join(format!("udptrack-lock-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        assert_eq!(holder(&path), None);
        let held = lock(&path, FlockArg::LockExclusiveNonblock).unwrap();
        assert_eq!(holder(&path), Some(std::process::id()));
        assert!(matches!(try_lock(&path), Lock::Held));
        drop(held);
        assert!(matches!(try_lock(&path), Lock::Free));
        fs::remove_dir(&path).unwrap();
    }
}
