//! What colours mean. Without colour, bold and reverse say what must be said.

use ratatui::style::{Color, Modifier, Style};

use crate::connection::Status;

/// How things look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    color: bool,
}

#[allow(
    clippy::unused_self,
    reason = "whether a look depends on colours is nobody else's business"
)]
impl Theme {
    pub fn new(color: bool) -> Self {
        Self { color }
    }

    fn colored(self, color: Color) -> Style {
        if self.color {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }

    /// The bars at the top and above the rows.
    pub fn bar(self) -> Style {
        if self.color {
            Style::new().fg(Color::Black).bg(Color::Cyan)
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        }
    }

    pub fn selected(self) -> Style {
        if self.color {
            Style::new()
                .fg(Color::White)
                .bg(Color::Blue)
                .add_modifier(Modifier::BOLD)
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        }
    }

    /// The title of the column that rows are sorted by.
    pub fn sorted(self) -> Style {
        self.bar()
            .add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
    }

    pub fn status(self, status: Status) -> Style {
        match status {
            Status::Unreplied => self.colored(Color::Yellow),
            Status::Replied => self.colored(Color::Green),
            Status::Assured => self.colored(Color::Green).add_modifier(Modifier::BOLD),
            Status::Unreach => self.bad(),
        }
    }

    pub fn plain(self) -> Style {
        Style::new()
    }

    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Names: of services, processes, hosts.
    pub fn name(self) -> Style {
        self.colored(Color::Cyan)
    }

    pub fn orig(self) -> Style {
        self.colored(Color::Magenta)
    }

    pub fn reply(self) -> Style {
        self.colored(Color::Blue)
    }

    pub fn warning(self) -> Style {
        self.colored(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    pub fn bad(self) -> Style {
        self.colored(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Keys in the footer and in the help page.
    pub fn key(self) -> Style {
        if self.color {
            Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD)
        } else {
            Style::new().add_modifier(Modifier::BOLD)
        }
    }
}
