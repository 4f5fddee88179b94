//! Other network namespaces, by the names that `ip netns` gives them. Only the network is entered: files, bpffs among
//! them, stay those of the caller.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, setns};

use crate::model::text::Visible;

/// Where `ip netns add` puts its names.
const NAMES: &str = "/run/netns";
/// Where it looks for files that a namespace has instead of those of /etc.
const FILES: &str = "/etc/netns";

/// Moves the calling thread, and those that it will start, into a network namespace: a name of `ip netns`, or a path such
/// as `/proc/PID/ns/net`. Needs `CAP_SYS_ADMIN`. To be called while there is no other thread. `None` stays where it is.
pub fn enter(name: Option<&str>) -> Result<()> {
    let Some(name) = name else {
        return Ok(());
    };
    let path = path(name)?;
    let shown = Visible(name);
    // A pipe in its place would be waited for.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&path);
    let file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!(
                "there is no network namespace named {shown}: {}",
                there_are()
            )
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot open network namespace {shown}"));
        }
    };
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|error| match error {
        Errno::EINVAL => anyhow!("{shown} is not a network namespace: {}", there_are()),
        Errno::EPERM => anyhow!(
            "cannot enter network namespace {shown}: not permitted. This needs CAP_SYS_ADMIN: run udptrack as root (sudo)"
        ),
        error => anyhow!(error).context(format!("cannot enter network namespace {shown}")),
    })
}

/// The resolvers' file of a namespace: its own where it has one, as `ip netns exec` would show it, else everybody's.
#[must_use]
pub fn resolver_file(name: Option<&str>) -> PathBuf {
    let everybodys = PathBuf::from("/etc/resolv.conf");
    name.filter(|name| is_plain(name))
        .map(|name| Path::new(FILES).join(name).join("resolv.conf"))
        .filter(|path| path.exists())
        .unwrap_or(everybodys)
}

/// The names that `ip netns` has given, in order.
#[must_use]
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(NAMES).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A name has no `/`; what has one is a path.
fn path(name: &str) -> Result<PathBuf> {
    if name.contains('/') {
        return Ok(name.into());
    }
    if !is_plain(name) {
        bail!(
            "{} cannot be the name of a network namespace: {}",
            Visible(&format!("{name:?}")),
            there_are()
        );
    }
    Ok(Path::new(NAMES).join(name))
}

fn is_plain(name: &str) -> bool {
    !name.contains('/') && !matches!(name, "" | "." | "..")
}

fn there_are() -> String {
    const MOST: usize = 20;
    let names = names();
    if names.is_empty() {
        return "no namespace has a name here (ip netns). You can use a path, such as /proc/PID/ns/net"
            .to_owned();
    }
    let more = if names.len() > MOST { ", ..." } else { "" };
    let shown: Vec<String> = names
        .iter()
        .take(MOST)
        .map(|name| Visible(name).to_string())
        .collect();
    format!("there are {}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_a_path() {
        assert_eq!(path("blue").unwrap(), Path::new("/run/netns/blue"));
        assert_eq!(path("/proc/1/ns/net").unwrap(), Path::new("/proc/1/ns/net"));
        assert_eq!(path("./here").unwrap(), Path::new("./here"));
        for name in ["", ".", ".."] {
            assert!(path(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn what_is_no_namespace_is_refused_with_what_there_is() {
        let refusal = |name: &str| format!("{:#}", enter(Some(name)).unwrap_err());
        let unknown = refusal("udpt-no-such");
        assert!(
            unknown.starts_with("there is no network namespace named udpt-no-such: "),
            "{unknown}"
        );
        assert!(refusal("/etc/passwd").starts_with("/etc/passwd is not a network namespace: "));
        assert!(refusal("/proc/self/ns/uts").contains("is not a network namespace"));
    }

    #[test]
    fn a_namespace_without_files_has_those_of_everybody() {
        let everybodys = Path::new("/etc/resolv.conf");
        for name in [
            None,
            Some("udpt-no-such"),
            Some(".."),
            Some("/proc/1/ns/net"),
        ] {
            assert_eq!(resolver_file(name), everybodys, "{name:?}");
        }
    }
}
