//! The filter that the user types: an expression of `-f` where it is one, else a text that some cell has in it.

use std::fmt::Write as _;

use crate::filter::{self, Vocabulary};
use crate::model::services::Services;
use crate::model::{Connection, Facts, Sample};

/// What is typed, and what that means.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    text: String,
    meaning: Meaning,
}

#[derive(Clone, Debug, Default)]
enum Meaning {
    #[default]
    Everything,
    Expression(filter::Filter),
    /// In lower case, and why it is no expression.
    Text(String, String),
}

impl Filter {
    /// The filter as it is typed.
    pub fn new(text: &str, services: &Services) -> Self {
        let vocabulary = Vocabulary {
            services,
            user_space: true,
        };
        let meaning = if text.trim().is_empty() {
            Meaning::Everything
        } else {
            match filter::Filter::parse(text, vocabulary) {
                Ok(expression) => Meaning::Expression(expression),
                Err(error) => Meaning::Text(text.trim().to_lowercase(), error.to_string()),
            }
        };
        Self {
            text: text.to_owned(),
            meaning,
        }
    }

    /// What was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        matches!(self.meaning, Meaning::Everything)
    }

    /// Why it is no expression, if it is none. Hostile input for a terminal, as it quotes the text.
    pub fn fault(&self) -> Option<&str> {
        match &self.meaning {
            Meaning::Text(_, fault) => Some(fault),
            Meaning::Everything | Meaning::Expression(_) => None,
        }
    }

    /// Whether a connection is let through. `text` is room that is used again for the next one.
    pub fn matches(&self, connection: &Connection, facts: &dyn Facts, text: &mut String) -> bool {
        match &self.meaning {
            Meaning::Everything => true,
            Meaning::Expression(expression) => expression.wants(&connection.sample, facts),
            Meaning::Text(wanted, _) => {
                cells(&connection.sample, facts, text);
                text.contains(wanted)
            }
        }
    }
}

/// The words of a row in lower case, as the table can show them.
fn cells(sample: &Sample, facts: &dyn Facts, text: &mut String) {
    text.clear();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "{}\n{}\n{}",
        sample.status, sample.originator, sample.responder
    );
    if let Some(service) = facts.service(sample.responder.port()) {
        let _ = write!(text, " {service}");
    }
    if let Some(spoken) = sample.spoken() {
        let _ = write!(text, "\n{spoken}");
    }
    if let Some(name) = facts
        .quic(sample)
        .and_then(|quic| quic.server_name.as_deref())
    {
        let _ = write!(text, "\n{name}");
    }
    let _ = write!(text, "\n{}", facts.interface(sample.ifindex));
    let names = [sample.originator.ip(), sample.responder.ip()].map(|ip| facts.host_name(ip));
    for name in names.into_iter().flatten() {
        let _ = write!(text, "\n{name}");
    }
    let processes = facts.processes(sample);
    for owner in [processes.originator, processes.responder]
        .into_iter()
        .flatten()
    {
        let _ = write!(text, "\n{}/{}", owner.program(), owner.pid);
    }
    if processes.forwarded {
        text.push_str("\nforwarded");
    }
    if text.is_ascii() {
        text.make_ascii_lowercase();
    } else {
        *text = text.to_lowercase();
    }
}
