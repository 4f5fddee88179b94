//! Which system calls a process may make once it tracks: an allow list (seccomp).
//!
//! All others fail with ENOSYS, as if this kernel did not have them. So a C library that is newer than this list does what it does on
//! an old kernel, and takes the call that it used before; with EPERM it would give up, and a kill would end runs that nobody attacks.
//! The list stands by what calls are for: a new feature adds its calls to its line.

use std::collections::BTreeMap;

use anyhow::Result;
use nix::libc::{self, c_long};
use seccompiler::{SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

/// Memory, threads and signals of the process itself.
const OWN: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
];
/// Time, and waiting.
const WAITING: &[c_long] = &[
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_getrusage,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
];
/// Open files, and files that Landlock lets it open; locks of pins.
const FILES: &[c_long] = &[
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pipe2,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
];
/// Sockets, but for making one: that depends on the family.
const SOCKETS: &[c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_listen,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_socketpair,
];
/// What the machine and the process are.
const QUESTIONS: &[c_long] = &[
    libc::SYS_capget,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpgid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];
/// The same with older names, that aarch64 never had.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_dup2,
    libc::SYS_epoll_wait,
    libc::SYS_getrlimit,
    libc::SYS_lstat,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// Families of sockets: the service manager; collectors, resolvers and scrapers; interfaces and filters.
const FAMILIES: &[libc::c_int] = &[
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];
/// `bpf(2)` commands (`enum bpf_cmd`): maps that are open, programs of ours that are run, links that are taken off. None that loads a
/// program, makes a map or opens what others have.
const BPF_COMMANDS: &[u64] = &[
    1,  // MAP_LOOKUP_ELEM
    2,  // MAP_UPDATE_ELEM
    3,  // MAP_DELETE_ELEM
    4,  // MAP_GET_NEXT_KEY
    10, // PROG_TEST_RUN
    15, // OBJ_GET_INFO_BY_FD
    24, // MAP_LOOKUP_BATCH
    25, // MAP_LOOKUP_AND_DELETE_BATCH
    26, // MAP_UPDATE_BATCH
    27, // MAP_DELETE_BATCH
    33, // ITER_CREATE
    34, // LINK_DETACH
];
/// What the loop calls beside these, for interfaces that come: `LINK_CREATE` attaches programs of ours, which let every packet pass.
pub(super) const ATTACHING: u64 = 28;
/// The same where hooks are to stay: `OBJ_PIN`.
pub(super) const PINNING: u64 = 6;
/// Of `ioctl(2)`: a terminal's settings and size, interfaces by name and index, flags of descriptors. Not TIOCSTI, which types for
/// the user.
const REQUESTS: &[u64] = &[
    0x5401,      // TCGETS
    0x5402,      // TCSETS
    0x5403,      // TCSETSW
    0x5404,      // TCSETSF
    0x540b,      // TCFLSH
    0x5413,      // TIOCGWINSZ
    0x5421,      // FIONBIO
    0x5451,      // FIOCLEX
    0x8910,      // SIOCGIFNAME
    0x8933,      // SIOCGIFINDEX
    0x802c_542a, // TCGETS2
    0x402c_542b, // TCSETS2
    0x402c_542c, // TCSETSW2
    0x402c_542d, // TCSETSF2
];
/// What makes a thread of this process, and nothing else (`clone(2)`).
const THREAD: u64 = libc::CLONE_THREAD as u64;

/// One argument of a call is one of these values.
fn one_of(argument: u8, values: impl IntoIterator<Item = u64>) -> Result<Vec<SeccompRule>> {
    let rule = |value| Ok(SeccompRule::new(vec![equals(argument, value)?])?);
    values.into_iter().map(rule).collect()
}

fn equals(argument: u8, value: u64) -> Result<SeccompCondition> {
    let length = SeccompCmpArgLen::Dword;
    Ok(SeccompCondition::new(
        argument,
        length,
        SeccompCmpOp::Eq,
        value,
    )?)
}

fn all_bits(argument: u8, bits: u64) -> Result<SeccompCondition> {
    let (length, is) = (SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits));
    Ok(SeccompCondition::new(argument, length, is, bits)?)
}

/// Calls that are allowed with some arguments alone, and those.
fn conditional(more: &[u64]) -> Result<Vec<(c_long, Vec<SeccompRule>)>> {
    let this = u64::from(std::process::id());
    let families = FAMILIES
        .iter()
        .filter_map(|family| u64::try_from(*family).ok());
    let name = [libc::PR_SET_NAME, libc::PR_GET_NAME].into_iter();
    Ok(vec![
        (
            libc::SYS_bpf,
            one_of(0, BPF_COMMANDS.iter().chain(more).copied())?,
        ),
        // clone3 has its flags in memory, where no filter can see them: with ENOSYS the C library takes this one.
        (
            libc::SYS_clone,
            vec![SeccompRule::new(vec![all_bits(0, THREAD)?])?],
        ),
        (libc::SYS_ioctl, one_of(1, REQUESTS.iter().copied())?),
        (libc::SYS_kill, one_of(0, [this])?),
        (libc::SYS_tgkill, one_of(0, [this])?),
        (
            libc::SYS_prctl,
            one_of(0, name.filter_map(|option| u64::try_from(option).ok()))?,
        ),
        // Of this process, and not to be set.
        (
            libc::SYS_prlimit64,
            vec![SeccompRule::new(vec![equals(0, 0)?, no_pointer(2)?])?],
        ),
        (libc::SYS_socket, one_of(0, families)?),
    ])
}

fn no_pointer(argument: u8) -> Result<SeccompCondition> {
    let length = SeccompCmpArgLen::Qword;
    Ok(SeccompCondition::new(
        argument,
        length,
        SeccompCmpOp::Eq,
        0,
    )?)
}

/// Calls that are allowed whatever their arguments are.
pub(super) fn unconditional() -> impl Iterator<Item = c_long> {
    let lists = [OWN, WAITING, FILES, SOCKETS, QUESTIONS, OLDER];
    lists.into_iter().flatten().copied()
}

/// Nothing but what is allowed, from now on and for every thread that is started later. `more` are commands of `bpf(2)`.
pub(super) fn fence(more: &[u64]) -> Result<()> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        unconditional().map(|call| (call, Vec::new())).collect();
    rules.extend(conditional(more)?);
    let refusal = SeccompAction::Errno(u32::try_from(libc::ENOSYS)?);
    super::filter_calls(rules, refusal, SeccompAction::Allow)
}

#[cfg(test)]
mod tests;
