//! Verifier statistics of each program: the verifier gives up at a million instructions. For tests.

use anyhow::{Context as _, Result};

#[cfg(feature = "cli")]
use crate::bpf::Buffers;
use crate::bpf::program::log;
use crate::bpf::{Settings, Sockets, Tracker};

/// What the verifier says of a program that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierStatistics {
    /// Its name.
    pub program: String,
    /// Instructions that were looked at, on all ways through the program.
    pub instructions: u64,
    /// Bytes of stack, of the program and of each of its functions, as in `160+48`.
    pub stack: String,
}

/// Loads all programs, with these settings where they have any, and lets them go.
pub fn verifier_statistics(settings: &Settings) -> Result<Vec<VerifierStatistics>> {
    let (loaded, messages) = log::verifier_statistics(|| {
        let tracker = Tracker::load(settings)?;
        #[cfg(not(feature = "cli"))]
        drop(tracker);
        #[cfg(feature = "cli")]
        {
            tracker.try_drops()?;
            Buffers::load()?;
        }
        Sockets::try_out()
    });
    loaded?;
    messages.iter().map(|message| read(message)).collect()
}

/// Such a message begins with `prog 'NAME': `, and among its lines are `stack depth N+N...` and `processed N insns ...`.
fn read(message: &str) -> Result<VerifierStatistics> {
    let after = |label: &str| Some(message.split_once(label)?.1);
    let statistics = || {
        Some(VerifierStatistics {
            program: after("prog '")?.split_once('\'')?.0.to_owned(),
            instructions: after("processed ")?.split_once(' ')?.0.parse().ok()?,
            stack: after("stack depth ")?.lines().next()?.to_owned(),
        })
    };
    statistics().with_context(|| format!("the verifier's log has no such lines: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read() {
        let message = "libbpf: prog 'look': -- BEGIN PROG LOAD LOG --\nverification time 12 usec\nstack depth 160+48\n\
                       processed 4711 insns (limit 1000000) max_states_per_insn 4\n-- END PROG LOAD LOG --\n";
        let statistics = read(message).unwrap();
        assert_eq!(
            (
                &*statistics.program,
                statistics.instructions,
                &*statistics.stack
            ),
            ("look", 4711, "160+48")
        );
        assert!(read("libbpf: prog 'look'").is_err());
    }
}
