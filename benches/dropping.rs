//! udptrack at XDP on an interface, that drops what it has counted (`dropping.bpf.c`).

use std::fs;
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};
use libbpf_rs::query::{ProgInfoIter, ProgInfoQueryOptions};
use libbpf_rs::{Link, MapCore as _, MapHandle, ObjectBuilder};
use nix::net::if_::if_nametoindex;
use udptrack::bpf::{Entry, Settings, Tracker};
use udptrack::model::{Direction, Ifindex};

use crate::common::netns::Netns;
use crate::programs::compiled;

const PROGRAM: &str = "udp_track_xdp";
/// What the kernel keeps of a map's name (`BPF_OBJ_NAME_LEN`, with a 0 at the end).
const NAME_BYTES: usize = 15;

/// It is there as long as this is.
pub struct Dropping {
    tracker: Tracker,
    interface: Ifindex,
    #[expect(dead_code, reason = "holds it there")]
    link: Link,
}

impl Dropping {
    /// The program gets the maps of one that was loaded as a run loads it.
    pub fn start(receiver: &Netns) -> Result<Self> {
        let iface = receiver.iface();
        let interface = receiver.enter(|| if_nametoindex(iface))?;
        let tracker = Tracker::load(&Settings {
            interfaces: vec![Ifindex(interface)],
            ..Settings::default()
        })?;
        let maps = maps_of(&tracker)?;
        let mut open = ObjectBuilder::default()
            .open_file(compiled("benches/dropping.bpf.c")?)
            .context("cannot open it")?;
        for mut program in open.progs_mut() {
            let is_wanted = program.name() == PROGRAM;
            program.set_autoload(is_wanted);
        }
        for mut map in open.maps_mut() {
            let name = map.name().to_string_lossy().into_owned();
            if let Some(shared) = maps.iter().find(|shared| is_same(shared, &name)) {
                map.reuse_fd(shared.as_fd())?;
            }
        }
        let object = open.load().context("cannot load it")?;
        let link = receiver.enter(|| -> Result<Link> {
            let program = object.progs_mut().find(|program| program.name() == PROGRAM);
            let program = program.with_context(|| format!("no program {PROGRAM}"))?;
            let interface = i32::try_from(interface)?;
            program.attach_xdp(interface).context("cannot attach it")
        })?;
        Ok(Self {
            tracker,
            interface: Ifindex(interface),
            link,
        })
    }

    /// By how many packets and bytes its books differ from what was sent.
    pub fn difference(&self, packets: u64, bytes: u64) -> Result<u64> {
        let books = self.tracker.books(self.interface, Direction::Ingress)?;
        Ok(books.tracked.packets.abs_diff(packets) + books.tracked.bytes.abs_diff(bytes))
    }
}

/// Those that the program of a run uses.
fn maps_of(tracker: &Tracker) -> Result<Vec<MapHandle>> {
    let runner = tracker.runner(Entry::Xdp)?;
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&runner.as_fd());
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}"))?;
    let id = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
    let id: u32 = id.context("a program has an id")?.trim().parse()?;
    let options = ProgInfoQueryOptions::default().include_map_ids(true);
    let program = ProgInfoIter::with_query_opts(options).find(|program| program.id == id);
    program
        .context("the kernel lists it")?
        .map_ids
        .into_iter()
        .map(|map| MapHandle::from_map_id(map).context("cannot open a map"))
        .collect()
}

/// Whether a map is the one of this name; libbpf puts the object's before `.rodata`.
fn is_same(shared: &MapHandle, name: &str) -> bool {
    let shared = shared.name().to_string_lossy().into_owned();
    match name.strip_suffix(".rodata") {
        Some(_) => shared.ends_with(".rodata"),
        None => shared == name.chars().take(NAME_BYTES).collect::<String>(),
    }
}
