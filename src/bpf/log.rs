//! What libbpf says: kept until somebody asks, never printed into the middle of our own output.

use std::sync::Mutex;

use libbpf_rs::{PrintLevel, set_print};

static MESSAGES: Mutex<String> = Mutex::new(String::new());
/// A verifier's log can have megabytes; its end says why.
const KEPT_BYTES: usize = 4000;

/// From here on libbpf's warnings are kept.
pub(super) fn capture() {
    set_print(Some((PrintLevel::Warn, |_, message| {
        if let Ok(mut messages) = MESSAGES.lock() {
            messages.push_str(&message);
        }
    })));
}

/// The end of what was kept; forgets it.
pub(super) fn take() -> String {
    let text = MESSAGES
        .lock()
        .map(|mut messages| std::mem::take(&mut *messages))
        .unwrap_or_default();
    let start = text.len().saturating_sub(KEPT_BYTES);
    let start = (start..text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    text[start..].trim().to_owned()
}
