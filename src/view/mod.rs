//! The live view: the table of connections on a terminal, and the keys that choose what it shows.
//!
//! Owns the terminal while it is on. Reads table, books and facts, changes none of them; `state` is what the user has
//! chosen, `rows` what that makes of the table, `picture` what is kept beside it, `render` turns all of it into a frame.
//! The only room that knows a terminal library.

mod cells;
mod columns;
mod filter;
mod keys;
mod picture;
mod render;
mod rows;
mod state;
mod terminal;
mod text;
mod theme;

use std::io;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event as Input};
use ratatui::crossterm::style::force_color_output;

use columns::Widths;
use picture::Picture;
use render::Scene;
use rows::Rows;
use state::{Effect, State};
use terminal::{Screen, Waiting};
use theme::Theme;

use crate::connection::{EndReason, Event, Facts, Report, Sample, Table};
use crate::listing::Query;
use crate::output::{Clock, Output};
use crate::services::Services;

/// What does not change while the view is on.
#[derive(Debug)]
pub struct Settings {
    /// Each interface with the hooks that see it, in words.
    pub interfaces: Vec<(String, String)>,
    /// Whether sent packets are seen apart from received ones.
    pub egress: bool,
    /// Names of ports for what is typed.
    pub services: Services,
    /// What of all connections is tracked at all, if not all.
    pub only: Option<String>,
    /// What is shown first.
    pub query: Query,
    /// Whether to use colours.
    pub color: bool,
    /// Whether names are shown before the user says so.
    pub names: bool,
}

/// What the user wants of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// That it goes on.
    Continue,
    /// That it ends.
    Quit,
}

/// The live view.
pub struct View {
    screen: Screen,
    model: Model,
}

/// The view without its terminal.
struct Model {
    settings: Settings,
    theme: Theme,
    clock: Clock,
    state: State,
    rows: Rows,
    widths: Widths,
    live: Picture,
    /// What is shown while the view stands still.
    still: Option<Box<(Table, Picture)>>,
}

impl View {
    /// Takes the terminal of standard output until it is dropped.
    pub fn open(settings: Settings) -> io::Result<Self> {
        // The library looks at NO_COLOR by itself; whether there is colour was decided from more than that.
        force_color_output(settings.color);
        let clock = Clock::new()?;
        let model = Model::new(settings, clock)?;
        Ok(Self {
            screen: Screen::open()?,
            model,
        })
    }

    /// Waits for keys for at most so long, does what they ask for, and draws again if one came.
    pub fn input(&mut self, wait: Duration, table: &Table, facts: &dyn Facts) -> io::Result<Wish> {
        match Screen::wait(wait)? {
            Waiting::Gone => return Ok(Wish::Quit),
            // The size may have changed.
            Waiting::Nothing if !event::poll(Duration::ZERO)? => return Ok(Wish::Continue),
            Waiting::Nothing | Waiting::Keys => {}
        }
        while event::poll(Duration::ZERO)? {
            match event::read()? {
                Input::Key(key) => match self.model.press(key, table) {
                    Some(Effect::Quit) => return Ok(Wish::Quit),
                    Some(Effect::Suspend) => self.screen.suspend()?,
                    Some(Effect::Redraw) => self.screen.terminal().clear()?,
                    Some(Effect::Rows | Effect::Pause) => {
                        // The next key may be about these rows.
                        self.model.choose(table, facts);
                    }
                    Some(Effect::Draw) | None => {}
                },
                Input::Resize(..) => self.model.widths.clear(),
                _ => {}
            }
        }
        self.draw(table, facts)?;
        Ok(Wish::Continue)
    }

    /// Shows a message of the program.
    pub fn message(&mut self, text: String) -> io::Result<()> {
        let now_ns = self.model.clock.now_ns()?;
        self.model.live.message(text, now_ns);
        Ok(())
    }

    fn draw(&mut self, table: &Table, facts: &dyn Facts) -> io::Result<()> {
        let model = &mut self.model;
        self.screen
            .terminal()
            .draw(|frame| model.draw(frame, table, facts))?;
        Ok(())
    }
}

impl Output for View {
    fn event(&mut self, event: &Event, _facts: &dyn Facts) -> io::Result<()> {
        self.model.live.event(event);
        Ok(())
    }

    fn end(&mut self, sample: &Sample, reason: EndReason, facts: &dyn Facts) -> io::Result<()> {
        self.model.live.end(sample, reason, facts.processes(sample));
        Ok(())
    }

    fn snapshot(&mut self, table: &Table, report: &Report, facts: &dyn Facts) -> io::Result<()> {
        self.model.tick(table, report, facts);
        self.draw(table, facts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Model {
    fn new(mut settings: Settings, clock: Clock) -> io::Result<Self> {
        let now_ns = clock.now_ns()?;
        Ok(Self {
            theme: Theme::new(settings.color),
            state: State::new(
                settings.query.clone(),
                settings.names,
                std::mem::take(&mut settings.services),
            ),
            settings,
            clock,
            rows: Rows::default(),
            widths: Widths::default(),
            live: Picture::new(now_ns),
            still: None,
        })
    }

    /// Takes in a tick. What is counted is kept also while the view stands still.
    fn tick(&mut self, table: &Table, report: &Report, facts: &dyn Facts) {
        // Wall time may have been set meanwhile. If it cannot be read, the difference of before is good enough.
        let _ = self.clock.resample();
        self.live.tick(table, report);
        if self.still.is_none() {
            self.choose(table, facts);
        }
    }

    /// Chooses and sorts the rows anew.
    fn choose(&mut self, table: &Table, facts: &dyn Facts) {
        let (table, picture) = match &self.still {
            Some(still) => (&still.0, &still.1),
            None => (table, &self.live),
        };
        self.rows.update(&self.state, table, picture, facts);
        self.state.follow(&self.rows);
    }

    fn press(&mut self, key: event::KeyEvent, table: &Table) -> Option<Effect> {
        let action = keys::action(key, self.state.is_typing())?;
        let by = self.state.query.by;
        let effect = self.state.apply(action, &self.rows);
        if self.state.query.by != by {
            self.widths.clear();
        }
        match (self.state.paused, &self.still) {
            (true, None) => self.still = Some(Box::new((table.still(), self.live.clone()))),
            (false, Some(_)) => self.still = None,
            _ => {}
        }
        Some(effect)
    }

    fn draw(&mut self, frame: &mut ratatui::Frame<'_>, table: &Table, facts: &dyn Facts) {
        let (table, picture) = match &self.still {
            Some(still) => (&still.0, &still.1),
            None => (table, &self.live),
        };
        render::draw(
            frame,
            &mut Scene {
                settings: &self.settings,
                state: &mut self.state,
                rows: &self.rows,
                widths: &mut self.widths,
                table,
                picture,
                facts,
                clock: &self.clock,
                theme: self.theme,
            },
        );
        let page = self.state.page;
        let shown = self.rows.keys().iter().skip(self.state.offset).take(page);
        self.live
            .watch(shown.filter_map(|key| render::live(*key, table)));
    }
}

#[cfg(test)]
mod tests;
