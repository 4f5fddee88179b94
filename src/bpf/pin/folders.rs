//! Whether a folder of the bpffs can be trusted: its owner, and users who can write to it, decide what a run and `list` find in it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

const WRITABLE_BY_OTHERS: u32 = 0o022;
const ROOT: u32 = 0;

/// Refuses a folder that another user could change, or whose content another user could replace.
pub(in crate::bpf) fn check(path: &Path) -> Result<()> {
    let found =
        fs::symlink_metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    let (owner, mode) = (found.uid(), found.mode());
    match wrong(found.is_dir(), owner, mode, nix::unistd::geteuid().as_raw()) {
        None => Ok(()),
        Some(wrong) => bail!(
            "{} is not safe: {wrong}. Look at its content, remove it (rm -r {0}), and lock other users out of the bpffs: chmod 0700 /sys/fs/bpf",
            path.display()
        ),
    }
}

fn wrong(is_folder: bool, owner: u32, mode: u32, own: u32) -> Option<String> {
    if !is_folder {
        return Some("it is not a folder".to_owned());
    }
    if owner != ROOT && owner != own {
        return Some(format!("it belongs to user {owner}"));
    }
    let is_open = mode & WRITABLE_BY_OTHERS != 0;
    is_open.then(|| format!("other users can write to it (mode {:04o})", mode & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_others_are_not_safe() {
        assert_eq!(wrong(true, 0, 0o40_755, 0), None);
        assert_eq!(wrong(true, 0, 0o40_755, 1000), None);
        assert_eq!(wrong(true, 1000, 0o40_700, 1000), None);
        for (is_folder, owner, mode, own) in [
            (false, 0, 0o120_777, 0),
            (true, 1000, 0o40_755, 0),
            (true, 1001, 0o40_755, 1000),
            (true, 0, 0o40_775, 0),
            (true, 0, 0o41_777, 0),
        ] {
            assert!(
                wrong(is_folder, owner, mode, own).is_some(),
                "{owner} {mode:o}"
            );
        }
    }
}
