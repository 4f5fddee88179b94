//! Messages of libbpf: stored until they are needed, never printed into our own output.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use libbpf_rs::{OpenObject, PrintLevel, set_print};

static MESSAGES: Mutex<String> = Mutex::new(String::new());
/// A verifier's log can have megabytes; its end says why.
const END_BYTES: usize = 4000;
/// What the verifier says of programs that it takes, if somebody wants to know.
static STATISTICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static IS_ASKED_FOR: AtomicBool = AtomicBool::new(false);
/// `BPF_LOG_STATS` (`include/linux/bpf_verifier.h`): the sums at the end alone.
const LOG_STATS: u32 = 4;

/// From here on libbpf's warnings are kept.
pub(in crate::bpf) fn capture() {
    let level = if IS_ASKED_FOR.load(Ordering::Relaxed) {
        PrintLevel::Debug
    } else {
        PrintLevel::Warn
    };
    set_print(Some((level, |level, message| {
        if matches!(level, PrintLevel::Warn) {
            if let Ok(mut messages) = MESSAGES.lock() {
                messages.push_str(&message);
            }
        } else if message.contains("-- BEGIN PROG LOAD LOG --")
            && let Ok(mut verifier_statistics) = STATISTICS.lock()
        {
            verifier_statistics.push(message);
        }
    })));
}

/// The end of what was kept; forgets it.
pub(in crate::bpf) fn take() -> String {
    let text = MESSAGES
        .lock()
        .map(|mut messages| std::mem::take(&mut *messages))
        .unwrap_or_default();
    let start = text.len().saturating_sub(END_BYTES);
    let start = (start..text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    text[start..].trim().to_owned()
}

/// Asks the verifier what each program takes, if that is wanted.
pub(in crate::bpf) fn ask_for_statistics(object: &mut OpenObject) {
    if IS_ASKED_FOR.load(Ordering::Relaxed) {
        for mut program in object.progs_mut() {
            program.set_log_level(LOG_STATS);
        }
    }
}

/// What was said of each program that was loaded during `work`.
pub(in crate::bpf) fn verifier_statistics<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    IS_ASKED_FOR.store(true, Ordering::Relaxed);
    let done = work();
    IS_ASKED_FOR.store(false, Ordering::Relaxed);
    let all = STATISTICS.lock().map(|mut all| std::mem::take(&mut *all));
    (done, all.unwrap_or_default())
}
