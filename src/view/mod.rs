//! The live view: the table of connections on a terminal, and the keys that choose what it shows.
//!
//! Owns the terminal while it is on. Reads table, books and facts, changes none of them; `state` is what the user has
//! chosen, `rows` what that makes of the table, `picture` what is kept beside it, `render` turns all of it into a frame.
//! The only room that knows a terminal library.

mod ascii;
mod cells;
mod columns;
mod filter;
mod fold;
mod keep;
mod keys;
mod mouse;
mod opening;
mod outgoing;
mod picture;
mod render;
mod rows;
mod state;
mod tab;
mod terminal;
mod text;
mod theme;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event as Input, KeyEvent, MouseEvent};

use mouse::Targets;
use picture::Picture;
use render::Scene;
use rows::Rows;
use state::{Effect, Pane, State};
use terminal::{Screen, Waiting};
use theme::Theme;

use crate::dns::Seen;
use crate::listing::{self, Group, Query};
use crate::model::Field;
use crate::model::services::Services;
use crate::model::{EndReason, Event, Facts, Owner, Report, Sample, Table};
use crate::output::{Clock, Output};
use crate::sockets::Snapshot;

pub use opening::Opening;
pub use theme::Background;

/// An interface that is tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceHooks {
    /// Its name.
    pub name: String,
    /// What sees the packets that it receives, in words.
    pub ingress: String,
    /// What sees those that it sends, if they are seen apart.
    pub egress: Option<String>,
}

/// What does not change while the view is on.
#[derive(Debug)]
pub struct Settings {
    /// Each interface with the hooks that see it.
    pub interfaces: Vec<InterfaceHooks>,
    /// How far a capture is read, where one is.
    pub progress: Option<String>,
    /// Whether sent packets are seen apart from received ones.
    pub egress: bool,
    /// Names of ports for what is typed.
    pub services: Services,
    /// What of all connections is tracked at all, if not all.
    pub only: Option<String>,
    /// What is shown first.
    pub query: Query,
    /// Whether names are shown before the user says so.
    pub names: bool,
    /// The command line of a process, while it is there. Hostile input.
    pub command_line: fn(&Owner) -> Option<String>,
    /// Where screens may be written to.
    pub folder: PathBuf,
}

/// What the user wants of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// That it goes on.
    Continue,
    /// That it saves the frames that are in memory.
    Save,
    /// That it ends.
    Quit,
}

/// The live view.
pub struct View {
    screen: Screen,
    model: Model,
    /// The terminal has not taken all of the latest frame when the next one was to be drawn.
    is_behind: bool,
}

/// The view without its terminal.
struct Model {
    settings: Settings,
    theme: Theme,
    clock: Clock,
    state: State,
    rows: Rows,
    targets: Targets,
    live: Picture,
    /// What is shown while the view stands still.
    still: Option<Box<(Table, Picture)>>,
}

impl View {
    /// Which interfaces there are now.
    pub fn change_interfaces(&mut self, interfaces: Vec<InterfaceHooks>) {
        self.model.settings.interfaces = interfaces;
    }

    /// How far a capture is read, in words.
    pub fn say_progress(&mut self, progress: Option<String>) {
        self.model.settings.progress = progress;
    }

    /// What the sockets of this network namespace are like now.
    pub fn show_sockets(&mut self, sockets: Snapshot) {
        self.model.live.sockets = Some(sockets);
    }

    /// Goes on with the terminal that was taken for it, until it is dropped.
    pub fn open(opening: Opening, settings: Settings) -> io::Result<Self> {
        let theme = Theme::new(opening.background());
        let model = Model::new(settings, theme, Clock::new()?)?;
        Ok(Self {
            screen: opening.finish()?,
            model,
            is_behind: false,
        })
    }

    /// Waits for keys for at most this time, does what they ask for, and draws again if one came.
    pub fn input(&mut self, wait: Duration, table: &Table, facts: &dyn Facts) -> io::Result<Wish> {
        match Screen::wait(wait)? {
            Waiting::Gone => return Ok(Wish::Quit),
            // The size may have changed.
            Waiting::Nothing if !event::poll(Duration::ZERO)? => {
                self.catch_up(table, facts)?;
                return Ok(Wish::Continue);
            }
            Waiting::Nothing | Waiting::Keys => {}
        }
        let mut wish = Wish::Continue;
        while event::poll(Duration::ZERO)? {
            let effect = match event::read()? {
                Input::Key(key) => self.model.press(key, table),
                Input::Mouse(event) => Some(self.model.point(event)),
                _ => None,
            };
            match effect {
                Some(Effect::Quit) => return Ok(Wish::Quit),
                Some(Effect::Suspend) => self.screen.suspend()?,
                Some(Effect::Redraw) => self.screen.terminal().clear()?,
                Some(Effect::Mouse) => Screen::report_mouse(self.model.state.mouse)?,
                Some(Effect::Copy) => self.copy(table)?,
                Some(Effect::Save) => self.save(table, facts)?,
                Some(Effect::Record) => wish = Wish::Save,
                // The next key may be about these rows.
                Some(Effect::Rows | Effect::Pause) => self.model.choose(table, facts, None),
                Some(Effect::Draw) | None => {}
            }
        }
        self.draw(table, facts)?;
        Ok(wish)
    }

    /// Where it writes screens to.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.model.settings.folder
    }

    /// Shows a message of the program.
    pub fn message(&mut self, text: String) -> io::Result<()> {
        self.model.message(text)
    }

    fn copy(&mut self, table: &Table) -> io::Result<()> {
        let text = match self.model.filter_of_row(table) {
            Some(filter) => {
                Screen::copy(&filter)?;
                format!("copied: {filter}")
            }
            None => "there is no filter for this row".to_owned(),
        };
        self.model.message(text)
    }

    fn save(&mut self, table: &Table, facts: &dyn Facts) -> io::Result<()> {
        let model = &mut self.model;
        let frame = self
            .screen
            .terminal()
            .draw(|frame| model.draw(frame, table, facts))?;
        let text = keep::text_of(frame.buffer);
        let message = self.model.write_screen(&text);
        self.model.message(message)
    }

    /// Goes on with what the terminal did not take before.
    fn catch_up(&mut self, table: &Table, facts: &dyn Facts) -> io::Result<()> {
        if outgoing::pass_on()? && self.is_behind {
            self.draw(table, facts)?;
        }
        Ok(())
    }

    /// Draws, unless the terminal still has to take what was drawn before.
    fn draw(&mut self, table: &Table, facts: &dyn Facts) -> io::Result<()> {
        self.is_behind = !outgoing::pass_on()?;
        if self.is_behind {
            return Ok(());
        }
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

    fn dns(&mut self, seen: &Seen<'_>, facts: &dyn Facts) -> io::Result<()> {
        self.model.live.names.take(seen, facts);
        Ok(())
    }

    fn end(&mut self, sample: &Sample, reason: EndReason, facts: &dyn Facts) -> io::Result<()> {
        let query = &self.model.state.query;
        self.model.live.end(sample, reason, facts, query);
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
    fn new(mut settings: Settings, theme: Theme, clock: Clock) -> io::Result<Self> {
        let now_ns = clock.now_ns()?;
        let services = std::mem::take(&mut settings.services);
        Ok(Self {
            theme,
            state: State::new(settings.query.clone(), settings.names, services),
            settings,
            clock,
            rows: Rows::default(),
            targets: Targets::default(),
            live: Picture::new(now_ns),
            still: None,
        })
    }

    /// Takes in a tick. What is counted is kept also while the view stands still.
    fn tick(&mut self, table: &Table, report: &Report, facts: &dyn Facts) {
        // Wall time may have been set meanwhile. If it cannot be read, the difference of before is good enough.
        let _ = self.clock.resample();
        self.live.tick(table, report);
        let servers = self.judge(table, facts);
        if self.still.is_none() {
            self.choose(table, facts, Some(servers));
        }
    }

    /// How the servers do, whatever is shown.
    fn judge(&mut self, table: &Table, facts: &dyn Facts) -> Vec<Group> {
        let ended = self.live.ended_by(Field::Server);
        let query = &self.state.query;
        let mut servers = listing::groups(table.iter(), facts, query, Field::Server, ended);
        self.live.servers.tick(&mut servers, table.scanned_ns());
        self.live.note_drops(&servers);
        servers
    }

    /// Chooses and sorts the rows anew; with all servers, if they have just been judged.
    fn choose(&mut self, table: &Table, facts: &dyn Facts, servers: Option<Vec<Group>>) {
        let (table, picture) = match &self.still {
            Some(still) => (&still.0, &still.1),
            None => (table, &self.live),
        };
        let state = &mut self.state;
        self.rows.update(state, table, picture, facts, servers);
        // Half of an expression is no reason for an empty table.
        state.keeps_rows =
            state.is_typing() && state.filter.fault().is_some() && self.rows.keys().is_empty();
        if state.keeps_rows {
            std::mem::swap(&mut state.filter, &mut state.good_filter);
            self.rows.update(state, table, picture, facts, None);
            std::mem::swap(&mut state.filter, &mut state.good_filter);
        } else {
            state.good_filter.clone_from(&state.filter);
        }
        state.follow(&self.rows);
    }

    fn press(&mut self, key: KeyEvent, table: &Table) -> Option<Effect> {
        let action = keys::action(key, self.state.is_typing())?;
        let effect = self.state.apply(action, &self.rows);
        match (self.state.paused, &self.still) {
            (true, None) => self.still = Some(Box::new((table.still(), self.live.clone()))),
            (false, Some(_)) => self.still = None,
            _ => {}
        }
        Some(effect)
    }

    fn point(&mut self, event: MouseEvent) -> Effect {
        mouse::apply(event, &self.targets, &mut self.state, &self.rows)
    }

    /// Shows a message, also while the view stands still.
    fn message(&mut self, text: String) -> io::Result<()> {
        let now_ns = self.clock.now_ns()?;
        if let Some(still) = &mut self.still {
            still.1.message(text.clone(), now_ns);
        }
        self.live.message(text, now_ns);
        Ok(())
    }

    /// The selected row, or the one whose details are open, as a filter.
    fn filter_of_row(&self, table: &Table) -> Option<String> {
        let (table, picture) = match &self.still {
            Some(still) => (&still.0, &still.1),
            None => (table, &self.live),
        };
        let key = match self.state.pane {
            Pane::Details(key) => key,
            _ => *self.rows.keys().get(self.state.cursor)?,
        };
        keep::filter_of(key, &self.rows, table, picture)
    }

    /// Writes a screen, and says where to.
    fn write_screen(&self, text: &str) -> String {
        let stamp = self.clock.stamp(self.live.now_ns).to_string();
        let digits: String = stamp
            .chars()
            .take_while(|letter| *letter != '.')
            .filter(char::is_ascii_alphanumeric)
            .collect();
        match keep::write_screen(&self.settings.folder, &digits, text) {
            Ok(path) => format!("the screen was written to {}", path.display()),
            Err(error) => format!(
                "the screen cannot be written to {}: {error}",
                self.settings.folder.display()
            ),
        }
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
                targets: &mut self.targets,
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
