//! The comment for a connection in a capture: `conn 0x0123456789abcdef dig[811] dns`.

use std::fmt::Write as _;

use crate::model::text::Visible;
use crate::model::{Facts, Sample};

/// Its id, the process at one of its ends, what it speaks, and which server it asks for by name: what of that is known.
pub(super) fn about(sample: &Sample, facts: &dyn Facts) -> String {
    let mut text = format!("conn {}", sample.id);
    if let Some(owner) = facts.processes(sample).main() {
        let _ = write!(text, " {}[{}]", Visible(owner.program()), owner.pid);
    }
    if let Some(spoken) = sample.spoken() {
        let _ = write!(text, " {spoken}");
    }
    let quic = facts.quic(sample);
    if let Some(name) = quic.and_then(|quic| quic.server_name.as_deref()) {
        let _ = write!(text, " {}", Visible(name));
    }
    text
}
