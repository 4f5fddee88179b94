//! What colours mean: only the sixteen that every terminal has. Without colours, bold, underline and reverse take their place.

use ratatui::style::{Color, Modifier, Style};

use crate::listing::State;
use crate::model::Status;

/// What the terminal's background is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Background {
    /// Dark, as that of a console.
    #[default]
    Dark,
    /// White, or nearly so: nothing is yellow, cyan or light green.
    Light,
    /// Whatever it is, no colours.
    Plain,
}

/// How things look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    background: Background,
}

impl Theme {
    pub fn new(background: Background) -> Self {
        Self { background }
    }

    /// A colour on a dark ground, and one on a light ground.
    fn colored(self, dark: Color, light: Color) -> Style {
        match self.background {
            Background::Dark => Style::new().fg(dark),
            Background::Light => Style::new().fg(light),
            Background::Plain => Style::new(),
        }
    }

    /// The line of tabs, and the titles above the rows.
    pub fn bar(self) -> Style {
        match self.background {
            Background::Dark => Style::new().fg(Color::Black).bg(Color::Cyan),
            Background::Light => Style::new().fg(Color::White).bg(Color::Blue),
            Background::Plain => Style::new().add_modifier(Modifier::UNDERLINED),
        }
    }

    /// The tab that is open.
    pub fn open_tab(self) -> Style {
        self.strong().add_modifier(Modifier::REVERSED)
    }

    /// The row that is selected. Its colours stay, on the other side.
    #[expect(clippy::unused_self, reason = "the looks are nobody else's business")]
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The title of the column that rows are sorted by.
    pub fn sorted(self) -> Style {
        self.bar()
            .add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
    }

    pub fn status(self, status: Status) -> Style {
        match status {
            Status::Unreplied => self.wait(),
            Status::Replied => self.good(),
            Status::Assured => self.good().add_modifier(Modifier::BOLD),
            Status::Unreach => self.bad(),
        }
    }

    /// How a server does.
    pub fn state(self, state: State) -> Style {
        match state {
            State::Dead | State::Refused | State::Dropping | State::Lossy => self.bad(),
            State::Slow => self.warning(),
            State::Ok => self.good(),
            State::OneWay => self.faint(),
        }
    }

    #[expect(clippy::unused_self, reason = "the looks are nobody else's business")]
    pub fn plain(self) -> Style {
        Style::new()
    }

    #[expect(clippy::unused_self, reason = "the looks are nobody else's business")]
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    #[expect(clippy::unused_self, reason = "the looks are nobody else's business")]
    pub fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Names: of services, processes, hosts.
    pub fn name(self) -> Style {
        self.colored(Color::Cyan, Color::Blue)
    }

    /// What is as it should be.
    pub fn good(self) -> Style {
        self.colored(Color::Green, Color::Reset)
    }

    pub fn orig(self) -> Style {
        self.colored(Color::Magenta, Color::Magenta)
    }

    pub fn reply(self) -> Style {
        self.colored(Color::Cyan, Color::Blue)
    }

    /// What may be all right in a moment.
    pub fn wait(self) -> Style {
        self.colored(Color::Yellow, Color::Magenta)
    }

    pub fn warning(self) -> Style {
        self.wait().add_modifier(Modifier::BOLD)
    }

    pub fn bad(self) -> Style {
        self.colored(Color::Red, Color::Red)
            .add_modifier(Modifier::BOLD)
    }

    /// Keys in the footer and in the help page.
    pub fn key(self) -> Style {
        self.name().add_modifier(Modifier::BOLD)
    }
}
