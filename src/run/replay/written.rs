//! Frames of a capture that are written to another one (`-w`), or kept in memory (`--record`).

use anyhow::Result;

use super::queue::{CapturedFrame, Head};
use crate::bpf::{Frame, ReplayedFrame};
use crate::model::{ConnectionId, Place, Tick};
use crate::plan::Plan;
use crate::run::Run;

impl Plan {
    /// Bytes of each frame that are written or kept at most.
    pub(super) fn stored_bytes(&self) -> usize {
        self.captures.as_ref().map_or(0, |captures| {
            captures.snaplen.map_or(usize::MAX, |bytes| bytes as usize)
        })
    }
}

impl Run {
    /// Keeps a frame that may be wanted, as its file has it, until that is known.
    pub(super) fn keep(
        &mut self,
        (place, connection): (Place, ConnectionId),
        frame: &ReplayedFrame<'_>,
        head: &Head,
        stored: &CapturedFrame<'_>,
    ) {
        let most = self.plan.stored_bytes();
        let Some(captures) = &mut self.sinks.captures else {
            return;
        };
        let kept = Frame {
            connection,
            place,
            interface: frame.interface,
            direction: head.says_direction.then_some(head.direction),
            ns: frame.ns,
            length: head.wire_bytes.saturating_add(stored.longer()),
            packets: 1,
            segment: 0,
            vlan: None,
            bytes: stored.stored(most),
        };
        captures.give(kept, head.ns);
    }

    /// Hands over the frames that are known to be wanted. Where too many wait for that, it is found out now.
    pub(super) fn hand_over_frames(&mut self, now_ns: u64) -> Result<()> {
        let Some(captures) = &mut self.sinks.captures else {
            return Ok(());
        };
        if captures.is_full() {
            captures.know(&self.tracker)?;
            let tick = Tick::new(now_ns, &self.table, &self.report, &self.knowledge);
            captures.judge_given(&tick);
            self.tracker.amend(&captures.take_amendments())?;
        }
        Ok(captures.hand_over(now_ns)?)
    }

    /// Whether some are to be written before more are read.
    pub(super) fn is_behind(&self, all: bool) -> bool {
        let captures = self.sinks.captures.as_ref();
        captures.is_some_and(|captures| captures.is_behind(all))
    }
}
