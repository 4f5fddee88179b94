//! The kernel's side of a run: handles of its maps and programs, loaded by this process or found pinned.

use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, ProgramMut};
use plain::Plain;

use crate::bpf::hook::needs::HookNeeds;
use crate::bpf::sys::{self, UdpTrackSkel};

/// Handles of maps, and how to get them from the skeleton or from pins of the same names.
macro_rules! maps {
    ($(#[$doc:meta])* $group:ident { $($name:ident: $map:ident,)* }) => {
        $(#[$doc])*
        pub(in crate::bpf) struct $group {
            $(pub $name: MapHandle,)*
        }

        impl $group {
            pub fn of(skeleton: &UdpTrackSkel<'_>) -> libbpf_rs::Result<Self> {
                Ok(Self {
                    $($name: MapHandle::try_from(&skeleton.maps.$map)?,)*
                })
            }

            /// Pins them into a folder of a bpffs.
            pub fn pin(&mut self, folder: &Path, mode: u32) -> Result<()> {
                $(
                    let path = folder.join(stringify!($name));
                    self.$name.pin(&path).with_context(|| format!("cannot pin {}", path.display()))?;
                    set_mode(&path, mode)?;
                )*
                Ok(())
            }

            /// Opens what was pinned; `flags` are `BPF_F_*` of a map's descriptor.
            pub fn open(folder: &Path, flags: u32) -> Result<Self> {
                Ok(Self {
                    $($name: open_map(&folder.join(stringify!($name)), flags)?,)*
                })
            }
        }
    };
}

maps! {
    /// What readers of other processes may read, too.
    Tables {
        connection_track: connection_track,
        connection_stats: connection_stats,
        ip_stats: ip_stats,
        ip6_stats: ip6_stats,
        connections: connections,
        details: details,
        responses: responses,
        dns_counts: dns_counts,
        spins: spins,
        protocols: protocols,
        publishing: data_publish,
        books: books,
        ended: data_ended,
        hooks: hooks,
        instance: instance,
    }
}

maps! {
    /// What only the process that tracks uses.
    Channels {
        events: events,
        payloads: payloads,
        payload_budgets: payload_budgets,
        frames: frames,
        publications: publications,
        amendments: amendments,
        amending: data_amend,
        clock: data_clock,
        interfaces: data_slots,
        fragments: fragments,
        settings: rodata_settings,
        replay: data_replay,
    }
}

/// Handles of programs, in the same ways.
macro_rules! programs {
    ($(#[$doc:meta])* $group:ident { $($name:ident: $program:ident,)* }) => {
        $(#[$doc])*
        pub(in crate::bpf) struct $group {
            $(pub $name: OwnedFd,)*
        }

        impl $group {
            fn of(skeleton: &UdpTrackSkel<'_>) -> std::io::Result<Self> {
                Ok(Self {
                    $($name: skeleton.progs.$program.as_fd().try_clone_to_owned()?,)*
                })
            }

            fn pin(&self, folder: &Path) -> Result<()> {
                $(pin(&self.$name, &folder.join(stringify!($name)))?;)*
                Ok(())
            }

            fn open(folder: &Path) -> Result<Self> {
                Ok(Self {
                    $($name: open(&folder.join(stringify!($name)))?,)*
                })
            }
        }
    };
}

/// What can be attached: of these, what was loaded.
pub(in crate::bpf) struct HookPrograms {
    pub xdp: Option<OwnedFd>,
    pub ingress: Option<OwnedFd>,
    pub egress: Option<OwnedFd>,
    pub ingress_ip: Option<OwnedFd>,
    pub egress_ip: Option<OwnedFd>,
}

impl HookPrograms {
    fn of(skeleton: &UdpTrackSkel<'_>, needs: HookNeeds) -> std::io::Result<Self> {
        let copy = |is_loaded: bool, program: &ProgramMut<'_>| {
            let program = is_loaded.then(|| program.as_fd().try_clone_to_owned());
            program.transpose()
        };
        let programs = &skeleton.progs;
        Ok(Self {
            xdp: copy(needs.xdp, &programs.udp_track_xdp)?,
            ingress: copy(needs.ingress, &programs.udp_track_ingress)?,
            egress: copy(needs.egress, &programs.udp_track_egress)?,
            ingress_ip: copy(needs.ingress_ip, &programs.udp_track_ingress_ip)?,
            egress_ip: copy(needs.egress_ip, &programs.udp_track_egress_ip)?,
        })
    }

    fn pin(&self, folder: &Path) -> Result<()> {
        let programs = [
            ("xdp", &self.xdp),
            ("ingress", &self.ingress),
            ("egress", &self.egress),
            ("ingress_ip", &self.ingress_ip),
            ("egress_ip", &self.egress_ip),
        ];
        programs.into_iter().try_for_each(|(name, program)| {
            let pinned = program
                .as_ref()
                .map(|program| pin(program, &folder.join(name)));
            pinned.unwrap_or(Ok(()))
        })
    }

    fn open(folder: &Path) -> Result<Self> {
        let open_pinned = |name: &str| {
            let path = folder.join(name);
            path.exists().then(|| open(&path)).transpose()
        };
        Ok(Self {
            xdp: open_pinned("xdp")?,
            ingress: open_pinned("ingress")?,
            egress: open_pinned("egress")?,
            ingress_ip: open_pinned("ingress_ip")?,
            egress_ip: open_pinned("egress_ip")?,
        })
    }
}

programs! {
    /// What user space runs for itself.
    Programs {
        publish: udp_track_publish,
        amend: udp_track_amend,
        clock: udp_track_clock,
    }
}

/// What is given packets.
pub(in crate::bpf) enum PacketPrograms {
    /// Those of hooks.
    Hooks(HookPrograms),
    /// The one that is given the frames of a capture.
    Replay(OwnedFd),
}

impl PacketPrograms {
    fn of(skeleton: &UdpTrackSkel<'_>, needs: Option<HookNeeds>) -> std::io::Result<Self> {
        if let Some(needs) = needs {
            return HookPrograms::of(skeleton, needs).map(Self::Hooks);
        }
        let replay = skeleton.progs.udp_track_replay.as_fd();
        replay.try_clone_to_owned().map(Self::Replay)
    }
}

/// All of it. What only the programs use they keep themselves.
pub(in crate::bpf) struct Handles {
    pub tables: Tables,
    pub channels: Channels,
    pub programs: Programs,
    pub packets: PacketPrograms,
}

/// Where programs are pinned, below the maps.
const PROGRAMS: &str = "programs";

impl Handles {
    /// Of what was loaded; `needs`: none for a replay.
    pub fn of(skeleton: &UdpTrackSkel<'_>, needs: Option<HookNeeds>) -> Result<Self> {
        let copied = "cannot copy a descriptor";
        Ok(Self {
            tables: Tables::of(skeleton).context(copied)?,
            channels: Channels::of(skeleton).context(copied)?,
            programs: Programs::of(skeleton).context(copied)?,
            packets: PacketPrograms::of(skeleton, needs).context(copied)?,
        })
    }

    /// The programs that are attached: a replay has none.
    pub fn hooks(&self) -> Result<&HookPrograms> {
        match &self.packets {
            PacketPrograms::Hooks(hooks) => Ok(hooks),
            PacketPrograms::Replay(_) => bail!("a replay attaches nothing"),
        }
    }

    /// Pins everything into an empty folder of a bpffs; readers may open the tables as `mode` says.
    pub fn pin(&mut self, folder: &Path, mode: u32) -> Result<()> {
        self.channels.pin(folder, 0o600)?;
        let programs = folder.join(PROGRAMS);
        make_folder(&programs, 0o700)?;
        self.programs.pin(&programs)?;
        self.hooks()?.pin(&programs)?;
        self.tables.pin(folder, mode)
    }

    /// Opens what was pinned.
    pub fn open(folder: &Path) -> Result<Self> {
        let programs = folder.join(PROGRAMS);
        Ok(Self {
            tables: Tables::open(folder, 0)?,
            channels: Channels::open(folder, 0)?,
            programs: Programs::open(&programs)?,
            packets: PacketPrograms::Hooks(HookPrograms::open(&programs)?),
        })
    }
}

/// Makes a folder whose mode does not depend on the umask.
pub(in crate::bpf) fn make_folder(path: &Path, mode: u32) -> Result<()> {
    fs::create_dir(path).with_context(|| format!("cannot make {}", path.display()))?;
    set_mode(path, mode)
}

/// Sets the permission bits of a file.
pub(in crate::bpf) fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}

/// Pins a program or a link, for this user alone: the kernel gives it mode 0600.
pub(in crate::bpf) fn pin(object: &OwnedFd, path: &Path) -> Result<()> {
    sys::pin(object.as_fd(), path).with_context(|| format!("cannot pin {}", path.display()))
}

/// Opens a pinned program or link.
pub(in crate::bpf) fn open(path: &Path) -> Result<OwnedFd> {
    sys::open_pinned(path).with_context(|| format!("cannot open {}", path.display()))
}

fn open_map(path: &Path, flags: u32) -> Result<MapHandle> {
    MapHandle::from_pinned_path_with_file_flags(path, flags)
        .with_context(|| format!("cannot open {}", path.display()))
}

/// Element `index` of an ARRAY.
pub(in crate::bpf) fn read<T: Plain + Default>(map: &MapHandle, index: u32) -> Result<T> {
    read_with(map, index, MapFlags::ANY)
}

/// The same, with flags.
pub(in crate::bpf) fn read_with<T: Plain + Default>(
    map: &MapHandle,
    index: u32,
    flags: MapFlags,
) -> Result<T> {
    let name = || map.name().to_string_lossy().into_owned();
    let bytes = map
        .lookup(&index.to_ne_bytes(), flags)
        .with_context(|| format!("cannot read {}", name()))?
        .with_context(|| format!("{} has no element {index}", name()))?;
    let mut value = T::default();
    if bytes.len() != size_of::<T>() {
        return Err(anyhow!("{} has elements of {} bytes", name(), bytes.len()));
    }
    plain::copy_from_bytes(&mut value, &bytes)
        .map_err(|_| anyhow!("{} has elements of {} bytes", name(), bytes.len()))?;
    Ok(value)
}

/// Writes element `index` of an ARRAY.
pub(in crate::bpf) fn write<T: Plain>(map: &MapHandle, index: u32, value: &T) -> Result<()> {
    let bytes = sys::bytes_of(value);
    map.update(&index.to_ne_bytes(), bytes, MapFlags::ANY)
        .with_context(|| format!("cannot write {}", map.name().to_string_lossy()))
}
