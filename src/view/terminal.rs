//! The terminal while the view is on it: raw mode and the alternate screen, given back whatever happens.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::Terminal;
use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{execute, queue};
use ratatui::layout::{Position, Size};
use ratatui::text::Span;

use super::ascii;
use super::outgoing::{self, Outgoing};

/// Whether the terminal is not as it was found. One for the process, as there is one terminal.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Whether the terminal reports the mouse.
static MOUSE: AtomicBool = AtomicBool::new(false);

/// What a terminal that does not know its size is taken for.
const USUAL: Size = Size::new(80, 24);

/// What there is to read from the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Nothing yet; perhaps room for what the terminal did not take before.
    Nothing,
    /// Keys, perhaps.
    Keys,
    /// The terminal is gone: its window was closed, its connection lost.
    Gone,
}

/// The library's backend, but for two questions that some terminals do not answer: serial lines and `script` know no size, and
/// tell nobody where the cursor is.
pub(super) struct Canvas {
    backend: CrosstermBackend<Outgoing>,
    /// The locale has no UTF-8.
    is_ascii: bool,
}

impl Backend for Canvas {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        if !self.is_ascii {
            return self.backend.draw(content);
        }
        let cells: Vec<(u16, u16, Cell)> = content
            .map(|(x, y, cell)| {
                let mut cell = cell.clone();
                if !cell.symbol().is_ascii() {
                    let columns = Span::raw(cell.symbol()).width();
                    cell.set_symbol(&ascii::substitute(cell.symbol(), columns));
                }
                (x, y, cell)
            })
            .collect();
        self.backend
            .draw(cells.iter().map(|(x, y, cell)| (*x, *y, cell)))
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.backend.hide_cursor()
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        // The library writes to standard error where it cannot, and panics where that has gone, too. A frame that cannot be
        // drawn is told of when it is flushed.
        let _ = self.backend.show_cursor();
        Ok(())
    }

    /// The library asks only to put it there again; every frame says where it is.
    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.backend.set_cursor_position(position)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.backend.clear()
    }

    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        self.backend.clear_region(region)
    }

    fn size(&self) -> io::Result<Size> {
        let known = terminal_size::terminal_size_of(io::stdout());
        Ok(known.map_or(USUAL, |(width, height)| usable(width.0, height.0)))
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize {
            columns_rows: self.size()?,
            pixels: Size::default(),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Backend::flush(&mut self.backend)
    }
}

/// A size that something can be drawn on.
fn usable(width: u16, height: u16) -> Size {
    Size {
        width: if width == 0 { USUAL.width } else { width },
        height: if height == 0 { USUAL.height } else { height },
    }
}

/// Holds the terminal; dropping it gives it back.
pub(super) struct Screen {
    terminal: Terminal<Canvas>,
}

impl Screen {
    /// Takes the terminal of standard output. A panic gives it back before its message is written.
    pub fn open() -> io::Result<Self> {
        give_back_on_panic();
        take_keys_from_the_terminal();
        let terminal = Terminal::new(Canvas {
            backend: CrosstermBackend::new(Outgoing),
            is_ascii: ascii::is_asked_for(|name| std::env::var_os(name)),
        })?;
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
        let mut descriptors = [
            PollFd::new(terminal, PollFlags::POLLIN),
            PollFd::new(stdout.as_fd(), PollFlags::POLLOUT),
        ];
        let count = if outgoing::waits() { 2 } else { 1 };
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        match poll(&mut descriptors[..count], limit) {
            Ok(0) => Ok(Waiting::Nothing),
            Ok(_) if is_gone(terminal) => Ok(Waiting::Gone),
            Ok(_) if descriptors[0].any() == Some(false) => Ok(Waiting::Nothing),
            // A signal: perhaps that the size has changed, which the library knows.
            Ok(_) | Err(Errno::EINTR) => Ok(Waiting::Keys),
            Err(error) => Err(error.into()),
        }
    }

    /// Where to draw.
    pub fn terminal(&mut self) -> &mut Terminal<Canvas> {
        &mut self.terminal
    }

    /// Stops the program as Ctrl-Z does, with the terminal as it was found, and takes it again when the program goes on.
    pub fn suspend(&mut self) -> io::Result<()> {
        let mouse = MOUSE.load(Ordering::SeqCst);
        give_back();
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGTSTP)?;
        take()?;
        Self::report_mouse(mouse)?;
        self.terminal.clear()
    }

    /// Asks the terminal to report the mouse, or leaves it to the terminal's own selection again.
    pub fn report_mouse(on: bool) -> io::Result<()> {
        MOUSE.store(on, Ordering::SeqCst);
        if on {
            execute!(Outgoing, EnableMouseCapture)
        } else {
            execute!(Outgoing, DisableMouseCapture)
        }
    }

    /// Puts a text on the clipboard of the person at the terminal (OSC 52); terminals that do not know how ignore it.
    pub fn copy(text: &str) -> io::Result<()> {
        write!(Outgoing, "\x1b]52;c;{}\x07", STANDARD.encode(text))?;
        Outgoing.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Where standard input is something else, as a capture, the terminal takes its place: who reads the capture has a descriptor of its own.
/// The terminal library would open the terminal each time that it wants to know something of it, which the fence does not allow. Without a
/// terminal of its own the process cannot: then the library says so.
fn take_keys_from_the_terminal() {
    if io::stdin().is_terminal() {
        return;
    }
    if let Ok(terminal) = File::options().read(true).write(true).open("/dev/tty") {
        let _ = nix::unistd::dup2_stdin(terminal);
    }
}

fn is_gone(terminal: BorrowedFd<'_>) -> bool {
    let mut descriptors = [PollFd::new(terminal, PollFlags::empty())];
    poll(&mut descriptors, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

fn take() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    let taken = enable_raw_mode().and_then(|()| execute!(Outgoing, EnterAlternateScreen));
    if taken.is_err() {
        give_back();
    }
    taken
}

/// Once for each time that it was taken. Nothing more can be done about a terminal that refuses.
pub(super) fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // First: a terminal that takes nothing never comes to what follows.
        let _ = disable_raw_mode();
        outgoing::forget();
        if MOUSE.swap(false, Ordering::SeqCst) {
            let _ = queue!(Outgoing, DisableMouseCapture);
        }
        let _ = queue!(Outgoing, LeaveAlternateScreen, Show);
        outgoing::finish();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_without_a_size_has_the_usual_one() {
        assert_eq!(usable(0, 0), Size::new(80, 24));
        assert_eq!(usable(0, 50), Size::new(80, 50));
        assert_eq!(usable(132, 43), Size::new(132, 43));
    }
}
