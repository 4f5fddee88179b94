//! Lines for people on standard error. While the live view has the terminal, they wait.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;

use super::stderr::Stderr;

/// Messages that wait while the live view has the terminal; `None` while it has not.
static HELD: Mutex<Option<Held>> = Mutex::new(None);
/// How many messages wait at most.
const MOST_HELD: usize = 100;

#[derive(Default)]
struct Held {
    /// What the view has not shown yet.
    news: Vec<String>,
    /// What goes to standard error when the terminal is free again.
    waiting: Vec<String>,
}

/// A line on standard error. That nobody reads it is no reason to fail.
///
/// While the live view has the terminal that is standard error, too, the line waits: the view shows it.
pub fn say(message: fmt::Arguments<'_>) {
    hold_or_write(message, true);
}

/// The same of what the live view shows by itself: there it is no news.
pub(crate) fn note(message: fmt::Arguments<'_>) {
    hold_or_write(message, false);
}

fn hold_or_write(message: fmt::Arguments<'_>, is_news: bool) {
    if let Ok(mut held) = HELD.lock()
        && let Some(held) = held.as_mut()
    {
        if is_news {
            held.news.push(message.to_string());
        }
        if io::stderr().is_terminal() {
            if held.waiting.len() == MOST_HELD {
                held.waiting.remove(0);
            }
            held.waiting.push(message.to_string());
            return;
        }
    }
    write_message(message);
}

fn write_message(message: fmt::Arguments<'_>) {
    // In one piece, as others may write there, too.
    let _ = Stderr::lock().write_all(format!("udptrack: {message}\n").as_bytes());
}

/// While it is there, messages are for the live view. When it is dropped, what waited is written: the terminal must be free
/// by then.
pub(crate) struct HeldMessages(());

impl HeldMessages {
    pub(crate) fn hold() -> Self {
        if let Ok(mut held) = HELD.lock() {
            *held = Some(Held::default());
        }
        Self(())
    }
}

impl Drop for HeldMessages {
    fn drop(&mut self) {
        let held = HELD.lock().ok().and_then(|mut held| held.take());
        for message in held.into_iter().flat_map(|held| held.waiting) {
            write_message(format_args!("{message}"));
        }
    }
}

/// What was said since the last call.
pub(crate) fn take_messages() -> Vec<String> {
    HELD.lock()
        .ok()
        .and_then(|mut held| Some(std::mem::take(&mut held.as_mut()?.news)))
        .unwrap_or_default()
}
