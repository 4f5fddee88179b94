//! Captures that are made of others: which files there are, and what waits for whom.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{SOON, TempDir, frames, wait_for};
use crate::file::{Capture, ETHERNET, SECOND};
use crate::runs::{MILLISECOND, address, ended, run, udptrack, write};
use crate::written::{hundred, stored};

/// Another file is begun by the time of the frames.
#[test]
#[ignore = "root"]
fn files_follow_each_other_by_the_time_of_frames() {
    let folder = TempDir::new("written");
    let mut capture = Capture::on("eth0", ETHERNET);
    let (client, server) = (address("192.0.2.1:40000"), address("192.0.2.9:9000"));
    for second in 0..5 {
        capture.frame(second * SECOND, &frames::udp(client, server, &[7; 1000]));
    }
    let file = write(&folder, "seconds.pcapng", &capture);
    let made = |flags: &[&str]| -> Vec<(String, usize)> {
        let into = TempDir::new("files");
        let name = into.path().join("at-%M%S");
        let name = name.to_str().unwrap();
        run(&[&["-r", &file, "-w", name], flags].concat());
        let entries = std::fs::read_dir(into.path()).unwrap();
        let files = entries.map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, stored(&entry.path()).len())
        });
        let mut files: Vec<_> = files.collect();
        files.sort();
        files
    };
    let files = |files: &[(&str, usize)]| -> Vec<(String, usize)> {
        files
            .iter()
            .map(|(name, frames)| ((*name).to_owned(), *frames))
            .collect()
    };
    let two = [("at-0000", 2), ("at-0002", 2), ("at-0004", 1)];
    assert_eq!(made(&["-G", "2"]), files(&two));
    assert_eq!(made(&["-G", "2", "-W", "2"]), files(&two[..2]));
    let one = ["at-%M%S", "at-%M%S1", "at-%M%S2"].map(|name| (name, 2));
    let one = [one[0], one[1], (one[2].0, 1)];
    assert_eq!(made(&["-C", "2k"]), files(&one));
}

/// Of files that are written over it is said so, and where the others are.
#[test]
#[ignore = "root"]
fn what_is_left_of_many_files_is_said() {
    let folder = TempDir::new("written");
    let mut capture = Capture::on("eth0", ETHERNET);
    let (client, server) = (address("192.0.2.1:40000"), address("192.0.2.9:9000"));
    for second in 0..6 {
        capture.frame(second * SECOND, &frames::udp(client, server, &[7; 1000]));
    }
    let file = write(&folder, "seconds.pcapng", &capture);
    let said = |name: &str, flags: &[&str]| {
        let into = TempDir::new("files");
        let path = into.path().join(name);
        let ended = run(&[&["-r", &file, "-w", path.to_str().unwrap()], flags].concat());
        let folder = format!("{}/", into.path().display());
        let lines = ended.stderr.lines().filter(|line| {
            [" frames ", "writing", "-G"]
                .iter()
                .any(|word| line.contains(word))
        });
        let lines = lines.map(|line| line.replace(&folder, ""));
        lines.collect::<Vec<_>>()
    };
    let whole = |name| format!("udptrack: writing {name}: each frame as a whole");
    let frames = |text| format!("udptrack: {text}");
    assert_eq!(
        said("s", &["-C", "2k", "-W", "2"]),
        [
            whole("s"),
            frames(
                "6 frames of 1 connection were written to 3 files, of which 2 are left, with 4 frames: from s1 to s0"
            ),
        ]
    );
    assert_eq!(
        said("s", &["-C", "2k"]),
        [
            whole("s"),
            frames("6 frames of 1 connection are in 3 files, from s to s2"),
        ]
    );
    assert_eq!(
        said("n.pcapng", &["-G", "1", "--snaplen", "1000"]),
        [
            "udptrack: -G writes n.pcapng again and again, over what is in it: with the time in the name, as in -w 'n-%s.pcapng', \
             each file stays",
            "udptrack: writing n.pcapng: the first 1,000 bytes of each frame; --snaplen 0 takes all",
            "udptrack: 6 frames of 1 connection were written to 6 files, of which 1 is left, with 1 frames: n.pcapng",
        ]
    );
    assert_eq!(
        said("at-%M%S", &["-G", "2", "-W", "2"]),
        [
            whole("at-%M%S"),
            frames("4 frames of 1 connection are in 2 files, from at-0000 to at-0002"),
            frames("1 frames came after the last file (-W): they are in none"),
        ]
    );
}

/// What is read is not written over, by whatever name it is called.
#[test]
#[ignore = "root"]
fn a_file_that_is_read_is_not_written() {
    let folder = TempDir::new("written");
    let file = write(&folder, "in.pcapng", &hundred());
    let link = folder.path().join("link.pcapng");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let before = std::fs::read(&file).unwrap();
    let names = [&*file, link.to_str().unwrap()];
    for (name, flags) in names
        .into_iter()
        .flat_map(|name| [(name, &["-w"][..]), (name, &["-j", "--output-file"])])
    {
        let ended = ended(&[&["-r", &file][..], flags, &[name]].concat());
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        let last = ended.stderr.lines().last().unwrap();
        let said =
            format!("udptrack: cannot write to {name}: -r reads this file: write to another one");
        assert_eq!(last, said);
    }
    assert!(std::fs::read(&file).unwrap() == before);
}

/// Of the process, in kB.
fn most_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}

/// 3,000 frames of 60,042 bytes.
fn large(folder: &TempDir) -> String {
    let mut capture = Capture::on("eth0", ETHERNET);
    let (client, server) = (address("192.0.2.1:40000"), address("192.0.2.9:9000"));
    let frame = frames::udp(client, server, &vec![7; 60_000]);
    for number in 0..3000 {
        capture.frame(number * MILLISECOND, &frame);
    }
    write(folder, "large.pcapng", &capture)
}

/// Nothing is lost where the reader is slow, and memory has a bound; somebody who waits no longer ends it.
#[test]
#[ignore = "root"]
fn reading_waits_for_writing() {
    let folder = TempDir::new("written");
    let file = large(&folder);
    let start = || {
        let mut command = udptrack(&["-r", &file, "-w", "-"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut child = start();
    let pid = child.id();
    let mut stdout = child.stdout.take().unwrap();
    // Nobody reads, until it reads no more either: its frames take more than half of what may wait for that.
    wait_for("it to wait", SOON, || {
        (most_memory(pid) > 60_000).then_some(())
    });
    let (mut bytes, mut some) = (Vec::new(), vec![0; 1 << 20]);
    let mut most = 0;
    loop {
        let read = stdout.read(&mut some).unwrap();
        if read == 0 {
            break;
        }
        bytes.extend(&some[..read]);
        if bytes.len() < 170_000_000 {
            most = most_memory(pid);
        }
    }
    assert!(child.wait().unwrap().success());
    let out = folder.path().join("out.pcapng");
    std::fs::write(&out, bytes).unwrap();
    assert_eq!(stored(&out).len(), 3000);
    assert!(most < 150_000, "{most} kB");

    // Nobody reads at all.
    let mut child = start();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    wait_for("it to wait", SOON, || {
        (most_memory(child.id()) > 60_000).then_some(())
    });
    let status = wait_for("its end", SOON, || {
        kill(pid, Signal::SIGINT).unwrap();
        child.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(1));
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(
        said.contains("frames could not be written to standard output"),
        "{said}"
    );
}

/// What leads to an alert is found in a capture, too, with what follows by its time.
#[test]
#[ignore = "root"]
fn an_alert_saves_what_is_around_it() {
    let folder = TempDir::new("written");
    let mut capture = Capture::on("eth0", ETHERNET);
    let server = address("192.0.2.9:9000");
    let mut add = |ms: u64, ports: std::ops::Range<u16>| {
        for port in ports {
            let client = SocketAddr::new(server.ip(), port);
            capture.frame(ms * MILLISECOND, &frames::udp(client, server, b"new"));
        }
    };
    add(0, 1000..1010);
    add(60_500, 2000..2200);
    add(64_000, 3000..3004);
    add(100_000, 4000..4005);
    let file = write(&folder, "flood.pcapng", &capture);
    let into = folder.path().join("saved");
    std::fs::create_dir(&into).unwrap();
    let arguments = [
        "-r",
        &file,
        "-q",
        "-o",
        "csv",
        "--record",
        "1MB",
        "--record-on-alert",
        into.to_str().unwrap(),
        "--record-after",
        "5s",
        "--alert",
        "new > 50/s over 2s",
        "--alert",
        "connections > 150",
    ];
    run(&arguments);
    let mut files: Vec<_> = std::fs::read_dir(&into)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let saved = files.pop().unwrap();
    assert_eq!(files.len(), 0);
    let name = saved.file_name().unwrap().to_str().unwrap();
    assert_eq!(name, "udptrack-20260101-000101-new-50-s-over-2s.pcapng");
    assert_eq!(stored(&saved).len(), 214);
    // The file says what began, and its first frame after that what else did.
    let bytes = std::fs::read(&saved).unwrap();
    let is_said = |words: &str| bytes.windows(words.len()).any(|it| it == words.as_bytes());
    assert!(is_said("alert new 100/s > 50/s\0"));
    assert!(is_said("alert connections 200 > 150; conn 0x"));
}
