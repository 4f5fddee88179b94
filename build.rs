//! Compiles bpf/ and makes the skeletons that `src/bpf/sys.rs` includes.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use libbpf_cargo::SkeletonBuilder;

/// Packets, whose sockets they belong to, and which the kernel drops. Objects of their own: where one of the others cannot be loaded,
/// the first still counts.
const OBJECTS: [&str; 3] = ["udp_track", "process", "drops"];

fn main() -> Result<()> {
    for watched in ["bpf", "vmlinux"] {
        println!("cargo:rerun-if-changed={watched}");
    }
    println!("cargo:rerun-if-env-changed=CLANG");
    let out = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    let clang = find_clang()?;
    // For what the tests compile.
    println!("cargo:rustc-env=UDPTRACK_CLANG={}", clang.display());
    for object in OBJECTS {
        let source = format!("bpf/{object}.bpf.c");
        SkeletonBuilder::new()
            .source(&source)
            .clang(&clang)
            .clang_args([
                "-Ivmlinux",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-Wno-unused-parameter",
                "-mcpu=v3",
            ])
            .reference_obj(true)
            // Nobody reads the skeletons. libbpf-cargo leaves them as they are where there is no such program; rustup's
            // stand-in for a rustfmt that is not installed is one, and fails.
            .rustfmt(out.join("no-rustfmt"))
            .build_and_generate(out.join(format!("{object}.skel.rs")))
            .with_context(|| format!("cannot compile {source} with {}", clang.display()))?;
    }
    std::fs::write(
        out.join("layout.rs"),
        format!("u64::from_ne_bytes({:?})", layout()?.to_ne_bytes()),
    )?;
    Ok(())
}

/// The headers that define what lies in maps.
const LAYOUT: [&str; 3] = ["bpf/udp_track.h", "bpf/maps.h", "src/model/protocol.rs"];

/// A number that changes with them (FNV-1a, 64 bits).
fn layout() -> Result<u64> {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for header in LAYOUT {
        for byte in std::fs::read(header).with_context(|| format!("cannot read {header}"))? {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(hash)
}

/// `$CLANG`, else `clang`, else the newest `clang-NN` in PATH: some distributions install only the last.
fn find_clang() -> Result<PathBuf> {
    if let Some(clang) = env::var_os("CLANG").filter(|clang| !clang.is_empty()) {
        return Ok(clang.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    if let Some(clang) = folders
        .iter()
        .map(|folder| folder.join("clang"))
        .find(|file| file.is_file())
    {
        return Ok(clang);
    }
    folders
        .iter()
        .filter_map(|folder| folder.read_dir().ok())
        .flatten()
        .filter_map(|entry| Some((version(&entry.as_ref().ok()?.path())?, entry.ok()?.path())))
        .max()
        .map(|(_, clang)| clang)
        .ok_or_else(|| {
            anyhow!(
                "no clang found, which compiles the eBPF programs. Install the package clang \
                 (`apt-get install clang`, `dnf install clang`), or name one with CLANG=/path/to/clang"
            )
        })
}

/// The NN of a file named clang-NN.
fn version(file: &Path) -> Option<u32> {
    file.file_name()?
        .to_str()?
        .strip_prefix("clang-")?
        .parse()
        .ok()
}
