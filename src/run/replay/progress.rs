//! How far reading is: a bar on standard error, or words in the live view.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::console::Stderr;
use crate::model::text::Grouped;

/// Columns of the bar.
const BAR: usize = 20;
/// What is read faster has no bar.
const FIRST: Duration = Duration::from_millis(500);
/// How often it is drawn.
const AGAIN: Duration = Duration::from_millis(200);

/// How far it is.
pub(super) struct Progress {
    total_bytes: Option<u64>,
    began: Instant,
    /// When the bar is drawn next; `None` where there is none.
    next: Option<Instant>,
    is_drawn: bool,
}

impl Progress {
    /// It begins. `is_shown`: there is a bar.
    pub fn new(total_bytes: Option<u64>, is_shown: bool) -> Self {
        let began = Instant::now();
        Self {
            total_bytes,
            began,
            next: is_shown.then(|| began + FIRST),
            is_drawn: false,
        }
    }

    /// Draws the bar, if it is time for that.
    pub fn show(&mut self, now: Instant, frames: u64, read_bytes: u64) {
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = Some(now + AGAIN);
        self.is_drawn = true;
        let bar = self.bar(read_bytes);
        let words = self.words(now, frames, read_bytes);
        let _ = Stderr::lock().write_all(format!("\r\x1b[K{bar}{words}").as_bytes());
    }

    /// Takes the bar away.
    pub fn clear(&mut self) {
        if self.is_drawn {
            let _ = Stderr::lock().write_all(b"\r\x1b[K");
        }
        self.next = None;
        self.is_drawn = false;
    }

    /// Of a thousand parts, how many are read; nobody knows it of a pipe.
    fn part(&self, read_bytes: u64) -> Option<u64> {
        let total = self.total_bytes.filter(|total| *total > 0)?;
        Some(read_bytes.min(total).saturating_mul(1000) / total)
    }

    fn bar(&self, read_bytes: u64) -> String {
        let Some(part) = self.part(read_bytes) else {
            return String::new();
        };
        let full = usize::try_from(part).unwrap_or(0) * BAR / 1000;
        format!("[{}{}] ", "#".repeat(full), ".".repeat(BAR - full))
    }

    /// `43 %, 1,234,567 frames, 410,000/s, 2 s left`
    pub fn words(&self, now: Instant, frames: u64, read_bytes: u64) -> String {
        let elapsed = now.saturating_duration_since(self.began).as_millis().max(1);
        let rate = u128::from(frames) * 1000 / elapsed;
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        let read = format!("{} frames, {}/s", Grouped(frames), Grouped(rate));
        match self.part(read_bytes) {
            None => read,
            Some(0) => format!("0 %, {read}"),
            Some(part) => {
                let left = elapsed * u128::from(1000 - part) / u128::from(part) / 1000;
                format!("{} %, {read}, {left} s left", part / 10)
            }
        }
    }
}

/// The message when everything is read.
pub(super) fn ended(frames: u64) -> String {
    let noun = if frames == 1 { "frame" } else { "frames" };
    format!("{} {noun}, all read", Grouped(frames))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_it_is() {
        let mut progress = Progress::new(Some(1000), false);
        let now = progress.began + Duration::from_secs(2);
        assert_eq!(progress.bar(250), "[#####...............] ");
        assert_eq!(
            progress.words(now, 5000, 250),
            "25 %, 5,000 frames, 2,500/s, 6 s left"
        );
        assert_eq!(progress.words(now, 0, 0), "0 %, 0 frames, 0/s");
        assert_eq!(
            progress.words(now, 5000, 2000),
            "100 %, 5,000 frames, 2,500/s, 0 s left"
        );
        progress.total_bytes = None;
        assert_eq!(progress.bar(250), "");
        assert_eq!(progress.words(now, 5000, 250), "5,000 frames, 2,500/s");
        assert_eq!(ended(1), "1 frame, all read");
    }
}
