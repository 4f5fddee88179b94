//! Servers that only receive, as people run them: what they wrote to a file says how many datagrams they have read.

use std::net::SocketAddr;

use nix::sys::signal::Signal;

use super::netns::Netns;
use super::process::Process;
use super::{TempDir, installed};

/// A running server.
pub struct Receiver {
    /// Its name, as the kernel has it.
    pub name: &'static str,
    /// Where it receives.
    pub address: SocketAddr,
    process: Process,
    directory: TempDir,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Log,
    Sound,
}

/// The file that it writes.
const WRITTEN: &str = "written";
/// Samples of a datagram: 20 ms of a telephone call.
const SAMPLES: usize = 160;

impl Receiver {
    /// Starts rsyslogd, inside `netns`, with as little room for datagrams as the kernel gives.
    pub fn rsyslogd(netns: &Netns, address: SocketAddr) -> Self {
        let directory = TempDir::new("rsyslogd");
        let configuration = directory.file(
            "conf",
            &format!(
                "global(net.enableDNS=\"off\")\nmodule(load=\"imudp\")\n\
                 input(type=\"imudp\" address=\"{}\" port=\"{}\" rcvbufSize=\"4096\")\n\
                 template(name=\"line\" type=\"string\" string=\"%msg%\\n\")\n\
                 *.* action(type=\"omfile\" file=\"{}\" template=\"line\")\n",
                address.ip(),
                address.port(),
                directory.path().join(WRITTEN).display()
            ),
        );
        let mut command = netns.command(directory.program("rsyslogd"));
        command.args(["-n", "-iNONE", "-M", &modules(), "-f"]);
        let process = Process::serve(netns, command.arg(configuration), &[address]);
        Self {
            name: "rsyslogd",
            address,
            process,
            directory,
            kind: Kind::Log,
        }
    }

    /// Starts `GStreamer`, inside `netns`, as a receiver of RTP with as little room for datagrams as the kernel gives.
    pub fn gstreamer(netns: &Netns, address: SocketAddr) -> Self {
        let directory = TempDir::new("gstreamer");
        let pipeline = format!(
            "udpsrc address={} port={} buffer-size=4096 \
             ! application/x-rtp,media=audio,clock-rate=8000,encoding-name=PCMU,payload=0 ! rtppcmudepay \
             ! filesink buffer-mode=unbuffered location={}",
            address.ip(),
            address.port(),
            directory.path().join(WRITTEN).display()
        );
        let mut command = netns.command("gst-launch-1.0");
        command
            .env("GST_REGISTRY", directory.path().join("registry"))
            .args(["-q"])
            .args(pipeline.split_whitespace());
        let process = Process::serve(netns, &mut command, &[address]);
        Self {
            name: "gst-launch-1.0",
            address,
            process,
            directory,
            kind: Kind::Sound,
        }
    }

    /// A datagram for it. All are of the same size.
    #[must_use]
    pub fn datagram(&self, number: u16) -> Vec<u8> {
        match self.kind {
            Kind::Log => format!("<13>Nov 28 12:00:00 host program: line {number:05}").into_bytes(),
            Kind::Sound => {
                let mut packet = vec![0x80, 0];
                packet.extend(number.to_be_bytes());
                packet.extend((u32::from(number) * 160).to_be_bytes());
                packet.extend(7_u32.to_be_bytes());
                packet.resize(12 + SAMPLES, 0x55);
                packet
            }
        }
    }

    /// How many datagrams it has read and written to its file.
    #[must_use]
    pub fn read(&self) -> u64 {
        let written = std::fs::read(self.directory.path().join(WRITTEN)).unwrap_or_default();
        let datagrams = match self.kind {
            Kind::Log => written.split(|byte| *byte == b'\n').count() - 1,
            Kind::Sound => written.len() / SAMPLES,
        };
        datagrams as u64
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid().as_raw()
    }
}

/// Where rsyslogd's modules are: beside it, where it was unpacked.
fn modules() -> String {
    let program = installed("rsyslogd").expect("rsyslogd is installed");
    let lib = program.ancestors().nth(2).expect("usr").join("lib");
    let folders = std::fs::read_dir(&lib).expect("lib").flatten();
    folders
        .map(|folder| folder.path().join("rsyslog"))
        .chain([lib.join("rsyslog")])
        .find(|folder| folder.join("imudp.so").exists())
        .expect("rsyslogd's modules")
        .display()
        .to_string()
}
