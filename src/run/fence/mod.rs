//! Limits the process once it tracks, in case input from the network should take control of it.
//!
//! Beside the rights that it gives up (`process.rs`): Landlock lets it open files for reading alone, remove nothing but its pins,
//! execute nothing, and neither open nor take TCP connections but on sockets that it has; seccomp leaves it the system calls
//! that a tracker needs (`system_calls.rs`). Both last, for every thread that is started later. Neither costs a packet anything.

mod rights;
mod system_calls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use caps::Capability;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus,
};
use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule};

pub(super) use rights::{give_up_all_rights, give_up_rights};

/// What is handled where the kernel can: version 4 came with Linux 6.7; older ones leave out what they do not know.
const LANDLOCK: ABI = ABI::V4;

/// System calls that load, mount, trace, enter or change the system. They fail with EPERM in a run that starts commands (`--exec`),
/// and in these.
const REFUSED: [libc::c_long; 24] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_chroot,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_personality,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// What holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fence {
    /// Files, execution and TCP.
    pub landlock: bool,
    /// System calls.
    pub seccomp: bool,
}

/// What is left open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Open<'a> {
    /// Whether programs of this run may be attached: to interfaces that come.
    pub attaching: bool,
    /// Where something may be removed.
    pub pins: Option<&'a Path>,
    /// Where pins may be made: the hooks of interfaces that come stay with the others (`--keep`).
    pub links: Option<&'a Path>,
    /// Where files may be made: the live view writes screens there, and the output file is made again when it was moved away.
    pub files: Option<&'a Path>,
}

/// Puts it up. What a run executes inherits the fence, so where it may execute, files are not fenced off: the
/// command could not do its work.
pub(super) fn put_up(open: Open<'_>, executes: bool) -> Result<Fence> {
    let landlock =
        !executes && fence_files(open).context("cannot limit the access to files (Landlock)")?;
    // Last: it takes nothing from Landlock, but Landlock's own calls come before.
    let fenced = if executes {
        fence_commands()
    } else {
        let attaching = open.attaching.then_some(system_calls::ATTACHING);
        let pinning = open.links.map(|_| system_calls::PINNING);
        let more: Vec<u64> = attaching.into_iter().chain(pinning).collect();
        system_calls::fence(&more)
    };
    fenced.context("cannot limit the system calls (seccomp)")?;
    Ok(Fence {
        landlock,
        seccomp: true,
    })
}

/// The same for a thread that writes files, in these folders alone, and does nothing else: it reads none either. There it may go on
/// making them where only root may.
pub(super) fn put_up_for_files(folders: &[PathBuf]) -> Result<()> {
    let kept: &[Capability] = if folders.is_empty() {
        &[]
    } else {
        &[Capability::CAP_DAC_OVERRIDE]
    };
    rights::keep(kept).context("cannot give up the rights that are no longer needed")?;
    fence_folders(folders).context("cannot limit the access to files (Landlock)")?;
    system_calls::fence(&[]).context("cannot limit the system calls (seccomp)")
}

fn fence_folders(folders: &[PathBuf]) -> Result<()> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .create()?;
    for folder in folders.iter().filter_map(|folder| PathFd::new(folder).ok()) {
        let making = AccessFs::MakeReg | AccessFs::WriteFile | AccessFs::Truncate;
        rules = rules.add_rule(PathBeneath::new(folder, making))?;
    }
    rules.restrict_self()?;
    Ok(())
}

/// Whether the kernel enforces at least a part of it.
fn fence_files(open: Open<'_>) -> Result<bool> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_write(LANDLOCK) | AccessFs::Execute)?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .create()?;
    if let Some(pins) = open.pins {
        let removal = AccessFs::RemoveFile | AccessFs::RemoveDir;
        rules = rules.add_rule(PathBeneath::new(PathFd::new(pins)?, removal))?;
    }
    if let Some(links) = open.links {
        rules = rules.add_rule(PathBeneath::new(PathFd::new(links)?, AccessFs::MakeReg))?;
    }
    // Where there is no such folder, nothing can be written to it: nothing else depends on it. What is open stays open.
    if let Some(files) = open.files.and_then(|files| PathFd::new(files).ok()) {
        // Half a line, where the disk is full, is cut off.
        let making = AccessFs::MakeReg | AccessFs::WriteFile | AccessFs::Truncate;
        rules = rules.add_rule(PathBeneath::new(files, making))?;
    }
    let status = rules.restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// What a run with commands can no longer do, and they with it: their own work takes too many calls to list.
fn fence_commands() -> Result<()> {
    let refused = REFUSED.into_iter().map(|call| (call, Vec::new())).collect();
    let refusal = SeccompAction::Errno(u32::try_from(libc::EPERM)?);
    filter_calls(refused, SeccompAction::Allow, refusal)
}

/// From now on, and for every thread that is started later: what is done with calls that have a rule here, and with all others.
fn filter_calls(
    rules: BTreeMap<libc::c_long, Vec<SeccompRule>>,
    with_others: SeccompAction,
    with_these: SeccompAction,
) -> Result<()> {
    let arch = std::env::consts::ARCH.try_into()?;
    let program: BpfProgram =
        SeccompFilter::new(rules, with_others, with_these, arch)?.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::io::ErrorKind::PermissionDenied;
    use std::net::{TcpListener, UdpSocket};
    use std::process::Command;
    use std::thread;

    /// What the work says inside of a fence: on a thread of its own, which the fence ends with.
    fn inside<R: Send + 'static>(
        pins: Option<std::path::PathBuf>,
        executes: bool,
        work: impl FnOnce(Fence) -> R + Send + 'static,
    ) -> R {
        let thread = thread::spawn(move || {
            let open = Open {
                pins: pins.as_deref(),
                ..Open::default()
            };
            let fence = put_up(open, executes).unwrap();
            work(fence)
        });
        thread.join().unwrap()
    }

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("udptrack-{name}-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn reading_and_counting_go_on() {
        let (pins, other) = (folder("pins"), folder("other"));
        for folder in [&pins, &other] {
            fs::create_dir(folder.join("one")).unwrap();
            File::create(folder.join("one/file")).unwrap();
        }
        let places = (pins.clone(), other.clone());
        inside(Some(pins.clone()), false, move |fence| {
            let (pins, other) = places;
            assert!(fence.seccomp);
            assert!(!fs::read("/proc/self/status").unwrap().is_empty());
            UdpSocket::bind("127.0.0.1:0").unwrap();
            fs::remove_dir_all(pins.join("one")).unwrap();
            if !fence.landlock {
                return;
            }
            let kind = |error: std::io::Error| error.kind();
            let removed = fs::remove_file(other.join("one/file")).map_err(kind);
            assert_eq!(removed, Err(PermissionDenied));
            let written = fs::write(other.join("one/file"), "x").map_err(kind);
            assert_eq!(written, Err(PermissionDenied));
            let bound = TcpListener::bind("127.0.0.1:0").map(drop).map_err(kind);
            assert_eq!(bound, Err(PermissionDenied));
        });
        assert!(!pins.join("one").exists());
        for folder in [pins, other] {
            fs::remove_dir_all(folder).unwrap();
        }
    }

    #[test]
    fn screens_are_written_to_their_folder_alone() {
        let (screens, other) = (folder("screens"), folder("other-screens"));
        let places = (screens.clone(), other.clone());
        thread::spawn(move || {
            let (screens, other) = places;
            let open = Open {
                files: Some(&screens),
                ..Open::default()
            };
            let fence = put_up(open, false).unwrap();
            fs::write(screens.join("one"), "x").unwrap();
            if fence.landlock {
                let kind = |error: std::io::Error| error.kind();
                let written = fs::write(other.join("one"), "x").map_err(kind);
                assert_eq!(written, Err(PermissionDenied));
                let removed = fs::remove_file(screens.join("one")).map_err(kind);
                assert_eq!(removed, Err(PermissionDenied));
                assert!(fs::create_dir(screens.join("two")).is_err());
            }
        })
        .join()
        .unwrap();
        for folder in [screens, other] {
            fs::remove_dir_all(folder).unwrap();
        }
    }

    #[test]
    fn who_writes_captures_writes_in_its_folder_alone() {
        let (captures, other) = (folder("captures"), folder("other-captures"));
        let places = (captures.clone(), other.clone());
        thread::spawn(move || {
            let (captures, other) = places;
            put_up_for_files(std::slice::from_ref(&captures)).unwrap();
            let held = caps::read(None, caps::CapSet::Effective).unwrap();
            assert!(
                held.iter()
                    .all(|right| *right == Capability::CAP_DAC_OVERRIDE)
            );
            let mut file = File::create(captures.join("one")).unwrap();
            std::io::Write::write_all(&mut file, b"block, half").unwrap();
            file.set_len(5).unwrap();
            if fence_files(Open::default()).unwrap() {
                let kind = |error: std::io::Error| error.kind();
                let written = fs::write(other.join("one"), "x").map_err(kind);
                assert_eq!(written, Err(PermissionDenied));
                let read = fs::read("/proc/self/status").map_err(kind);
                assert_eq!(read, Err(PermissionDenied));
            }
        })
        .join()
        .unwrap();
        assert_eq!(fs::read(captures.join("one")).unwrap(), b"block");
        for folder in [captures, other] {
            fs::remove_dir_all(folder).unwrap();
        }
    }

    #[test]
    fn nothing_is_executed_or_entered() {
        inside(None, false, |_| {
            let started = Command::new("/bin/true")
                .status()
                .map_err(|error| error.kind());
            assert!(started.is_err());
            let entered = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER);
            assert_eq!(entered, Err(nix::errno::Errno::ENOSYS));
        });
    }

    #[test]
    fn a_run_with_commands_executes_them() {
        inside(None, true, |fence| {
            assert!(!fence.landlock);
            assert!(Command::new("/bin/true").status().unwrap().success());
            let entered = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER);
            assert_eq!(entered, Err(nix::errno::Errno::EPERM));
        });
    }
}
