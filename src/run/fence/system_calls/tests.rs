//! Calls that the fence lets through, and those that it refuses: in a thread that ends behind it.

use super::*;
use std::io;

/// Makes a call that must be refused, so that its arguments do not matter.
#[expect(unsafe_code, reason = "safe functions exist for few calls")]
fn call(number: c_long, arguments: [c_long; 3]) -> Option<i32> {
    let [one, two, three] = arguments;
    // SAFETY: refused, or without a pointer that is used.
    let result = unsafe { libc::syscall(number, one, two, three, 0, 0, 0) };
    (result < 0)
        .then(|| io::Error::last_os_error().raw_os_error())
        .flatten()
}

/// What the work says on a thread of its own, which the fence ends with.
fn inside<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let thread = std::thread::spawn(move || {
        fence(&[ATTACHING]).unwrap();
        work()
    });
    thread.join().unwrap()
}

/// The kernel would answer those that it has with another error: their arguments make no sense.
#[test]
fn whatever_is_not_listed_is_refused() {
    const LAST: c_long = 600;
    // uretprobe and uprobe of x86_64: for the kernel's own trampolines; no filter sees them, and elsewhere they end the process.
    const TRAMPOLINES: [c_long; 2] = [335, 336];
    let listed: Vec<c_long> = unconditional()
        .chain(conditional(&[]).unwrap().into_iter().map(|(call, _)| call))
        .collect();
    for forbidden in [
        libc::SYS_execve,
        libc::SYS_fchmodat,
        libc::SYS_fchownat,
        libc::SYS_setuid,
        libc::SYS_ptrace,
        libc::SYS_process_vm_writev,
        libc::SYS_clone3,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_mount,
        libc::SYS_renameat2,
        libc::SYS_linkat,
        libc::SYS_symlinkat,
        libc::SYS_mkdirat,
        libc::SYS_mknodat,
        libc::SYS_truncate,
        libc::SYS_setxattr,
        libc::SYS_io_uring_setup,
        libc::SYS_perf_event_open,
        libc::SYS_seccomp,
        libc::SYS_capset,
        libc::SYS_reboot,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_send_signal,
        libc::SYS_keyctl,
    ] {
        assert!(!listed.contains(&forbidden), "{forbidden}");
    }
    let not_refused = inside(move || {
        let unlisted =
            (0..LAST).filter(|number| !listed.contains(number) && !TRAMPOLINES.contains(number));
        unlisted
            .filter(|number| call(*number, [-1, -1, -1]) != Some(libc::ENOSYS))
            .collect::<Vec<_>>()
    });
    assert_eq!(not_refused, [0; 0]);
}

#[test]
fn listed_calls_are_refused_with_other_arguments() {
    let other = c_long::from(std::process::id()) + 1;
    let forbidden = [
        ("fork", libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0]),
        (
            "another namespace",
            libc::SYS_clone,
            [libc::CLONE_NEWUSER.into(), 0, 0],
        ),
        ("init", libc::SYS_kill, [1, 0, 0]),
        ("everybody", libc::SYS_kill, [-1, 0, 0]),
        ("the group", libc::SYS_kill, [0, 0, 0]),
        ("another's thread", libc::SYS_tgkill, [other, other, 0]),
        (
            "packet sockets",
            libc::SYS_socket,
            [libc::AF_PACKET.into(), 3, 0],
        ),
        ("AF_XDP", libc::SYS_socket, [44, 3, 0]),
        (
            "virtual sockets",
            libc::SYS_socket,
            [libc::AF_VSOCK.into(), 1, 0],
        ),
        ("typing", libc::SYS_ioctl, [0, 0x5412, 0]),
        ("console", libc::SYS_ioctl, [0, 0x541c, 0]),
        ("programs", libc::SYS_bpf, [5, 0, 0]),
        ("maps", libc::SYS_bpf, [0, 0, 0]),
        ("pins", libc::SYS_bpf, [PINNING.cast_signed(), 0, 0]),
        ("other kinds of hooks", libc::SYS_bpf, [8, 0, 0]),
        ("maps of others", libc::SYS_bpf, [14, 0, 0]),
        (
            "dumps",
            libc::SYS_prctl,
            [libc::PR_SET_DUMPABLE.into(), 1, 0],
        ),
        ("limits", libc::SYS_prlimit64, [0, 7, 1]),
        ("limits of others", libc::SYS_prlimit64, [1, 7, 0]),
    ];
    let refusals =
        inside(move || forbidden.map(|(what, number, arguments)| (what, call(number, arguments))));
    for (what, refusal) in refusals {
        assert_eq!(refusal, Some(libc::ENOSYS), "{what}");
    }
}

#[test]
fn threads_sockets_and_signals_work() {
    inside(|| {
        let thread = std::thread::Builder::new().name("inside".to_owned());
        let port = thread
            .spawn(|| {
                let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.set_nonblocking(true).unwrap();
                socket.local_addr().unwrap().port()
            })
            .unwrap();
        assert_ne!(port.join().unwrap(), 0);
        nix::sys::signal::kill(nix::unistd::Pid::this(), None).unwrap();
        assert!(std::thread::available_parallelism().is_ok());
        assert!(
            !nix::ifaddrs::getifaddrs()
                .unwrap()
                .collect::<Vec<_>>()
                .is_empty()
        );
    });
}
