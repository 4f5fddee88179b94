//! The rights of the process: gives up those that it no longer needs.

use anyhow::Result;
use caps::{CapSet, Capability};
use nix::sys::prctl::set_no_new_privs;

/// Gives up all rights of this thread, which needs none.
pub(in crate::run) fn give_up_all_rights() -> Result<()> {
    for set in [CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set)?;
    }
    Ok(())
}

/// Gives up all rights but those that a run needs once it is attached: to run our programs and read our maps, and to
/// take filters off. Nor can any be had again.
pub(in crate::run) fn give_up_rights() -> Result<()> {
    keep(&[Capability::CAP_BPF, Capability::CAP_NET_ADMIN])
}

/// The same but for these, of this thread.
pub(super) fn keep(needed: &[Capability]) -> Result<()> {
    let held = caps::read(None, CapSet::Permitted)?;
    let kept = needed
        .iter()
        .copied()
        .filter(|right| held.contains(right))
        .collect();
    caps::set(None, CapSet::Inheritable, &caps::CapsHashSet::new())?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    set_no_new_privs()?;
    Ok(())
}
