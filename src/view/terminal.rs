//! The terminal while the view is on it: raw mode and the alternate screen, given back whatever happens.

use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

/// Whether the terminal is not as it was found. One for the process, as there is one terminal.
static TAKEN: AtomicBool = AtomicBool::new(false);

type Backend = CrosstermBackend<BufWriter<Stdout>>;

/// What there is to read from the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Nothing yet.
    Nothing,
    /// Keys, perhaps.
    Keys,
    /// The terminal is gone: its window was closed, its connection lost.
    Gone,
}

/// Holds the terminal; dropping it gives it back.
pub(super) struct Screen {
    terminal: Terminal<Backend>,
}

impl Screen {
    /// Takes the terminal of standard output. A panic gives it back before its message is written.
    pub fn open() -> io::Result<Self> {
        give_back_on_panic();
        // A frame is written at once, not cell by cell.
        let out = BufWriter::with_capacity(1 << 16, io::stdout());
        let terminal = Terminal::new(CrosstermBackend::new(out))?;
        take()?;
        let mut screen = Self { terminal };
        screen.terminal.clear()?;
        Ok(screen)
    }

    /// Waits for keys. Not left to the terminal library: it would read the end of a terminal that is gone for ever.
    pub fn wait(limit: Duration) -> io::Result<Waiting> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let terminal = if stdin.is_terminal() || is_gone(stdin.as_fd()) {
            stdin.as_fd()
        } else {
            stdout.as_fd()
        };
        let mut descriptors = [PollFd::new(terminal, PollFlags::POLLIN)];
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        match poll(&mut descriptors, limit) {
            Ok(0) => Ok(Waiting::Nothing),
            Ok(_) if is_gone(terminal) => Ok(Waiting::Gone),
            // A signal: perhaps that the size has changed, which the library knows.
            Ok(_) | Err(Errno::EINTR) => Ok(Waiting::Keys),
            Err(error) => Err(error.into()),
        }
    }

    /// Where to draw.
    pub fn terminal(&mut self) -> &mut Terminal<Backend> {
        &mut self.terminal
    }

    /// Stops the program as Ctrl-Z does, with the terminal as it was found, and takes it again when the program goes on.
    pub fn suspend(&mut self) -> io::Result<()> {
        give_back();
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGTSTP)?;
        take()?;
        self.terminal.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn is_gone(terminal: BorrowedFd<'_>) -> bool {
    let mut descriptors = [PollFd::new(terminal, PollFlags::empty())];
    poll(&mut descriptors, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

fn take() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    let taken = enable_raw_mode().and_then(|()| execute!(io::stdout(), EnterAlternateScreen));
    if taken.is_err() {
        give_back();
    }
    taken
}

/// Once for each time that it was taken. Nothing more can be done about a terminal that refuses.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let mut out = io::stdout();
        let _ = execute!(out, LeaveAlternateScreen, Show);
        let _ = out.flush();
        let _ = disable_raw_mode();
    }
}

fn give_back_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            next(panic);
        }));
    });
}
