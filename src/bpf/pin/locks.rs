//! Locks on folders of the bpffs, and their holders: a lock ends with its process, however that ends.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{major, minor};

/// Whether somebody has a lock.
pub(in crate::bpf) enum Lock {
    Free,
    Held,
    /// That cannot be tried.
    Forbidden,
}

pub(in crate::bpf) fn try_lock(path: &Path) -> Lock {
    let Ok(folder) = File::open(path) else {
        return Lock::Forbidden;
    };
    match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
        Ok(_) => Lock::Free,
        Err((_, Errno::EWOULDBLOCK)) => Lock::Held,
        Err(_) => Lock::Forbidden,
    }
}

pub(in crate::bpf) fn lock(path: &Path, how: FlockArg) -> Result<Flock<File>> {
    let folder = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    lock_open(folder, path, how)
}

fn lock_open(folder: File, path: &Path, how: FlockArg) -> Result<Flock<File>> {
    Flock::lock(folder, how)
        .map_err(|(_, error)| anyhow!(error))
        .with_context(|| format!("cannot lock {}", path.display()))
}

/// Waits for the lock on a folder. The holder of the lock may remove the folder: then it returns `None`, because others lock the folder
/// that takes its place, and this lock is worth nothing.
pub(in crate::bpf) fn lock_in_turn(path: &Path) -> Result<Option<Flock<File>>> {
    let folder = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(|| format!("cannot open {}", path.display()))?,
    };
    let folder = lock_open(folder, path, FlockArg::LockExclusive)?;
    let Ok(now) = fs::metadata(path) else {
        return Ok(None);
    };
    let locked = folder
        .metadata()
        .with_context(|| format!("cannot look at {}", path.display()))?;
    let is_the_same = (now.dev(), now.ino()) == (locked.dev(), locked.ino());
    Ok(is_the_same.then_some(folder))
}

/// The process that holds a lock, as the kernel knows it. None where nobody does, or a process that this one cannot see.
pub(in crate::bpf) fn holder(path: &Path) -> Option<u32> {
    let locked = fs::metadata(path).ok()?;
    let (device, inode) = (locked.dev(), locked.ino());
    let place = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    holder_in(&read_locks().ok()?, &place)
}

/// All locks. The kernel gives no more lines to a read than fill it, and finds its way back by their number: after a short read, a lock
/// that somebody gives back hides another one. With room it gives a page at a time (`fs/seq_file.c`).
fn read_locks() -> io::Result<String> {
    let mut locks = String::with_capacity(1 << 16);
    File::open("/proc/locks")?.read_to_string(&mut locks)?;
    Ok(locks)
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

    /// Many take turns at a folder that each removes: never two at a time.
    #[test]
    fn a_lock_that_is_removed_by_its_holder_has_one_holder() {
        use std::sync::atomic::{AtomicU32, Ordering};
        const TURNS: u32 = 200;
        let path = std::env::temp_dir().join(format!("udptrack-turns-{}", std::process::id()));
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut turns = 0;
                    while turns < TURNS {
                        let _ = fs::create_dir(&path);
                        let Some(held) = lock_in_turn(&path).unwrap() else {
                            continue;
                        };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                        fs::remove_dir(&path).unwrap();
                        drop(held);
                        turns += 1;
                    }
                });
            }
        });
        assert!(!path.exists());
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
