//! Which CPUs there are, and running on a chosen one: a slot of the cache has one writer, the CPU it belongs to.

use std::fs;

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// CPUs that could ever be there; parts of the cache and the books are as many.
pub(super) fn possible() -> Result<u32> {
    let count = libbpf_rs::num_possible_cpus().context("cannot tell how many CPUs are possible")?;
    Ok(u32::try_from(count)?)
}

/// Why the per-CPU cache cannot be swept here, if so.
pub(super) fn cache_obstacle(cpus: u32) -> Option<String> {
    if fs::read_to_string("/sys/kernel/realtime").is_ok_and(|text| text.trim() == "1") {
        return Some(
            "this kernel is PREEMPT_RT, where packets on one CPU can interleave".to_owned(),
        );
    }
    let before = sched_getaffinity(Pid::from_raw(0)).ok()?;
    let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let refused = parse_list(&online)
        .into_iter()
        .filter(|cpu| *cpu < cpus)
        .find(|cpu| !pin(*cpu));
    let _ = sched_setaffinity(Pid::from_raw(0), &before);
    refused.map(|cpu| format!("CPU {cpu} is outside of this process's cpuset"))
}

/// Runs `work` on each CPU that is online, giving it the CPU's number; restores the thread's affinity.
pub(super) fn on_each(cpus: u32, mut work: impl FnMut(u32) -> Result<()>) -> Result<()> {
    let before =
        sched_getaffinity(Pid::from_raw(0)).context("cannot read the thread's CPU affinity")?;
    let result = (0..cpus).filter(|cpu| pin(*cpu)).try_for_each(&mut work);
    sched_setaffinity(Pid::from_raw(0), &before)
        .context("cannot restore the thread's CPU affinity")?;
    result
}

/// Moves this thread to a CPU; false when it is offline or not allowed.
fn pin(cpu: u32) -> bool {
    let mut set = CpuSet::new();
    set.set(cpu as usize).is_ok() && sched_setaffinity(Pid::from_raw(0), &set).is_ok()
}

/// CPU numbers of a list such as `0-3,8`.
fn parse_list(text: &str) -> Vec<u32> {
    text.trim()
        .split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse().ok()?..=last.parse().ok()?)
        })
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists() {
        assert_eq!(parse_list("0-3,8\n"), [0, 1, 2, 3, 8]);
        assert_eq!(parse_list("0\n"), [0]);
        assert_eq!(parse_list(""), [0; 0]);
    }

    #[test]
    fn work_runs_on_each_cpu_and_the_affinity_comes_back() {
        let before = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let mut ran = Vec::new();
        on_each(possible().unwrap(), |cpu| {
            assert_eq!(nix::sched::sched_getcpu().unwrap(), cpu as usize);
            ran.push(cpu);
            Ok(())
        })
        .unwrap();
        assert!(!ran.is_empty());
        assert_eq!(sched_getaffinity(Pid::from_raw(0)).unwrap(), before);
    }
}
