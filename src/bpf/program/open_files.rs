//! How many open files a run takes: each hook is one, for as long as it is attached.

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::bpf::hook::attach::Request;
use crate::interface::Interface;
use crate::model::text::Grouped;

/// What a run has open beside its hooks: maps, programs, sockets of exporters and of those who scrape.
const OTHERS: u64 = 128;

/// Raises the limit as far as this process may. Many systems let a process have 1,024 files unless it asks for more.
pub fn raise_limit() -> Result<()> {
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of open files")?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
            .context("cannot raise the limit of open files")?;
    }
    Ok(())
}

/// The files that tracking these interfaces takes, and how many this process may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// At most.
    pub needed: u64,
    /// The limit.
    pub limit: u64,
}

impl OpenFiles {
    /// Of a run.
    pub fn of(interfaces: &[Interface], request: Request) -> Result<Self> {
        let (limit, _) =
            getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of open files")?;
        let needed = hooks(interfaces, request) + OTHERS;
        Ok(Self { needed, limit })
    }

    /// An error where there are not enough: to be called before anything is attached.
    pub fn suffice(self) -> Result<()> {
        if self.needed <= self.limit {
            return Ok(());
        }
        bail!(
            "to track these interfaces, udptrack needs {} open files, and the limit is {}. Raise the limit (ulimit -Hn, \
             LimitNOFILE= in a unit), or name fewer with -i",
            Grouped(self.needed),
            Grouped(self.limit)
        );
    }
}

fn hooks(interfaces: &[Interface], request: Request) -> u64 {
    let sent = |interface: &&Interface| request.egress && !interface.loopback;
    (interfaces.len() + interfaces.iter().filter(sent).count()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Ifindex;

    fn interface(index: u32) -> Interface {
        Interface {
            other_names: Vec::new(),
            name: format!("eth{index}"),
            index: Ifindex(index),
            ethernet: true,
            loopback: index == 1,
            up: true,
            addresses: Vec::new(),
        }
    }

    #[test]
    fn each_hook_is_a_file() {
        let interfaces: Vec<_> = (1..=3).map(interface).collect();
        let request = |egress| Request {
            egress,
            ..Request::default()
        };
        assert_eq!(hooks(&interfaces, request(true)), 5);
        assert_eq!(hooks(&interfaces, request(false)), 3);
        assert_eq!(hooks(&[], request(true)), 0);
    }

    #[test]
    fn too_few_are_told() {
        let files = |needed| OpenFiles {
            needed,
            limit: 1024,
        };
        assert!(files(1024).suffice().is_ok());
        let error = files(1025).suffice().unwrap_err().to_string();
        assert!(
            error.starts_with(
                "to track these interfaces, udptrack needs 1,025 open files, and the limit is 1,024. "
            ),
            "{error}"
        );
    }
}
