//! The reference programs, loaded, and the ones that vary packets before them (`programs.bpf.c`).

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use libbpf_cargo::SkeletonBuilder;
use libbpf_rs::{Link, Map, MapCore as _, MapFlags, Object, ObjectBuilder};
use udptrack::bpf::Runner;

/// Where a program stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Xdp,
    Tc,
}

/// How large the tables of the reference programs are.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub connections: u32,
    pub addresses: u32,
}

/// `SEQUENCE`, `CPUS` and the layout of `struct control` in programs.bpf.c.
pub const SEQUENCE: usize = 1 << 22;
const CONTROL_CPUS: usize = 64;
const CONTROL_BYTES: usize = 16 + CONTROL_CPUS * 64;

/// How the sources of packets follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Variation {
    /// Offset of the four bytes of the source address that change.
    pub address_at: u32,
    /// Offset of the source port.
    pub port_at: u32,
    /// Each packet is the first of its connection.
    pub fresh: bool,
    /// All packets belong to the first connection of the sequence.
    pub one: bool,
}

/// The loaded object.
pub struct Programs {
    object: Object,
    vary: [Runner; 2],
}

impl Programs {
    /// Compiles and loads them, with tables of these sizes.
    pub fn load(sizes: Sizes) -> Result<Self> {
        let mut open = ObjectBuilder::default()
            .open_file(compiled("benches/programs.bpf.c")?)
            .context("cannot open the reference programs")?;
        for mut map in open.maps_mut() {
            let name = map.name().to_string_lossy().into_owned();
            let entries = match name.as_str() {
                "lru" | "seed_stats" => sizes.connections,
                // Both directions have an entry of their own.
                "seed_track" => 2 * sizes.connections,
                "seed_ip_stats" => sizes.addresses,
                _ => continue,
            };
            map.set_max_entries(entries)?;
        }
        let object = open.load().context("cannot load the reference programs")?;
        let vary = [runner(&object, "vary_xdp")?, runner(&object, "vary_tc")?];
        Ok(Self { object, vary })
    }

    /// One of the reference programs.
    pub fn program(&self, name: &str) -> Result<OwnedFd> {
        descriptor(&self.object, name)
    }

    /// Puts one on an interface of this network namespace; it is there as long as the link is.
    pub fn attach(&self, name: &str, ifindex: i32) -> Result<Link> {
        let program = self
            .object
            .progs_mut()
            .find(|program| program.name() == name);
        let program = program.ok_or_else(|| anyhow!("programs.bpf.c has no program {name}"))?;
        program.attach_xdp(ifindex).context("cannot attach it")
    }

    /// Makes varied packets go to this program.
    pub fn measure(&self, hook: Hook, program: BorrowedFd<'_>) -> Result<()> {
        let map = self.map(match hook {
            Hook::Xdp => "measured_xdp",
            Hook::Tc => "measured_tc",
        })?;
        let program = program.as_raw_fd().to_ne_bytes();
        map.update(&0_u32.to_ne_bytes(), &program, MapFlags::ANY)
            .context("cannot name the program that is measured")
    }

    /// What gives it packets.
    pub fn vary(&self, hook: Hook) -> &Runner {
        &self.vary[hook as usize]
    }

    /// Sets how packets are varied; every CPU begins anew, each at a place of its own.
    pub fn set_variation(&self, variation: Variation) -> Result<()> {
        let mut control = vec![0; CONTROL_BYTES];
        let mask = if variation.one { 0 } else { SEQUENCE - 1 };
        let words = [
            variation.address_at,
            variation.port_at,
            u32::try_from(mask)?,
            variation.fresh.into(),
        ];
        for (place, word) in control.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        for cpu in 0..CONTROL_CPUS {
            let next = (cpu as u64) << 26;
            control[16 + cpu * 64..][..8].copy_from_slice(&next.to_ne_bytes());
        }
        self.map(".data.control")?
            .update(&0_u32.to_ne_bytes(), &control, MapFlags::ANY)
            .context("cannot write how packets are varied")
    }

    /// Sets in which order the packets of connections come.
    pub fn set_sequence(&self, connections: &[u32]) -> Result<()> {
        let keys: Vec<u8> = (0..u32::try_from(connections.len())?)
            .flat_map(u32::to_ne_bytes)
            .collect();
        let values: Vec<u8> = connections
            .iter()
            .flat_map(|connection| connection.to_ne_bytes())
            .collect();
        self.map("sequence")?
            .update_batch(
                &keys,
                &values,
                u32::try_from(connections.len())?,
                MapFlags::ANY,
                MapFlags::ANY,
            )
            .context("cannot write the sequence of connections")
    }

    fn map(&self, name: &str) -> Result<Map<'_>> {
        self.object
            .maps()
            .find(|map| map.name().to_string_lossy().ends_with(name))
            .ok_or_else(|| anyhow!("programs.bpf.c has no map {name}"))
    }
}

fn runner(object: &Object, name: &str) -> Result<Runner> {
    Ok(descriptor(object, name)?.into())
}

fn descriptor(object: &Object, name: &str) -> Result<OwnedFd> {
    let program = object
        .progs()
        .find(|program| program.name() == name)
        .ok_or_else(|| anyhow!("programs.bpf.c has no program {name}"))?;
    program
        .as_fd()
        .try_clone_to_owned()
        .context("cannot copy a descriptor")
}

/// Compiles programs of the benchmark, as build.rs compiles those of udptrack.
pub fn compiled(source: &str) -> Result<PathBuf> {
    let name = Path::new(source).with_extension("o");
    let name = name.file_name().context("a source is a file")?;
    let object = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    SkeletonBuilder::new()
        .source(source)
        .obj(&object)
        .clang(env!("UDPTRACK_CLANG"))
        .clang_args([
            "-Ivmlinux",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-Wno-unused-parameter",
            "-mcpu=v3",
        ])
        .build()
        .with_context(|| format!("cannot compile {source}"))?;
    Ok(object)
}
