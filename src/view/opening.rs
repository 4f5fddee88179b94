//! The first screen, before the view begins: that the kernel verifies the programs, and for how long already.
//!
//! Drawn by a thread of its own, as loading cannot be called meanwhile. The thread ends before the view opens, and before rights
//! are given up.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event as Input, KeyCode, KeyModifiers};
use ratatui::crossterm::style::force_color_output;

use super::tab::Tab;
use super::terminal::{Screen, Waiting, give_back};
use super::theme::{Background, Theme};
use super::{outgoing, render};

/// How often the time is drawn anew.
const PAUSE: Duration = Duration::from_millis(100);

/// Held while something is drawn, and for ever by who ends the process meanwhile.
static DRAWING: Mutex<()> = Mutex::new(());

/// The terminal, taken for a view that is still to come.
pub struct Opening {
    drawer: Option<JoinHandle<Screen>>,
    is_over: Arc<AtomicBool>,
    background: Background,
}

impl Opening {
    /// Takes the terminal of standard output, and draws at once.
    pub fn begin(background: Background) -> io::Result<Self> {
        // The library looks at NO_COLOR by itself; whether there is colour was decided from more than that.
        force_color_output(background != Background::Plain);
        let mut screen = Screen::open()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, theme, began) = (is_over.clone(), Theme::new(background), Instant::now());
        draw(&mut screen, theme, began)?;
        let drawer = thread::Builder::new()
            .name("opening".to_owned())
            .spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    // Nobody waits for these frames: the view says what is wrong with the terminal, if something is.
                    if let Ok(Waiting::Keys | Waiting::Gone) = Screen::wait(PAUSE) {
                        take_keys();
                    }
                    let _ = draw(&mut screen, theme, began);
                }
                screen
            })?;
        Ok(Self {
            drawer: Some(drawer),
            is_over,
            background,
        })
    }

    /// The terminal as it was found, for a process that ends at once.
    pub fn give_back() {
        // Never let go: nothing is drawn after this.
        std::mem::forget(DRAWING.lock());
        give_back();
    }

    /// What the terminal's background is taken for.
    pub(super) fn background(&self) -> Background {
        self.background
    }

    /// Ends the thread.
    pub(super) fn finish(mut self) -> io::Result<Screen> {
        self.stop()
            .ok_or_else(|| io::Error::other("the start of the live view failed"))
    }

    fn stop(&mut self) -> Option<Screen> {
        self.is_over.store(true, Ordering::SeqCst);
        let drawer = self.drawer.take()?;
        drawer.thread().unpark();
        drawer.join().ok()
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        drop(self.stop());
    }
}

fn draw(screen: &mut Screen, theme: Theme, began: Instant) -> io::Result<()> {
    let _drawing = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    if !outgoing::pass_on()? {
        return Ok(());
    }
    let seconds = began.elapsed().as_secs_f32();
    screen
        .terminal()
        .draw(|frame| draw_frame(frame, theme, seconds))?;
    Ok(())
}

pub(super) fn draw_frame(frame: &mut Frame<'_>, theme: Theme, seconds: f32) {
    let area = frame.area();
    render::draw_tabs(frame.buffer_mut(), area, Tab::default(), theme);
    let text = format!(" verifying programs… {seconds:.1} s");
    if let Some(y) = area.height.min(3).checked_sub(1) {
        frame.buffer_mut().set_string(0, y, text, theme.plain());
    }
}

/// `q` and Ctrl-C end the program as SIGINT does; all other keys come too early.
fn take_keys() {
    while let Ok(true) = event::poll(Duration::ZERO) {
        let Ok(Input::Key(key)) = event::read() else {
            continue;
        };
        let interrupts = key.code == KeyCode::Char('c')
            && key.modifiers.contains(KeyModifiers::CONTROL)
            || key.code == KeyCode::Char('q');
        if interrupts {
            let _ = kill(Pid::this(), Signal::SIGINT);
        }
    }
}
