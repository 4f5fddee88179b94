//! The protocols of a group, and the server name that its QUIC clients ask for.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::model::{Protocol, QuicFacts, Spoken};

/// How many protocols of a group are counted separately.
const PROTOCOLS: usize = 4;

/// The protocols of a group: a few, by how many connections speak them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Speech {
    protocols: [Option<(Spoken, u64)>; PROTOCOLS],
    is_more: bool,
    server_name: Option<Arc<str>>,
    is_more_names: bool,
    application: Option<Arc<str>>,
}

impl Speech {
    /// Takes in a connection.
    pub(super) fn add(&mut self, spoken: Option<Spoken>, quic: Option<&QuicFacts>) {
        if let Some(spoken) = spoken {
            self.add_protocol(spoken);
        }
        let Some(quic) = quic else {
            return;
        };
        if let Some(name) = quic.server_name.as_deref() {
            match &self.server_name {
                None => self.server_name = Some(name.into()),
                Some(known) => self.is_more_names |= **known != *name,
            }
        }
        if self.application.is_none() {
            let first = quic.offered.first();
            self.application = first.map(|offered| Arc::from(&**offered));
        }
    }

    fn add_protocol(&mut self, spoken: Spoken) {
        for place in &mut self.protocols {
            match place {
                Some((known, connections)) if *known == spoken => {
                    *connections += 1;
                    return;
                }
                Some(_) => {}
                None => {
                    *place = Some((spoken, 1));
                    return;
                }
            }
        }
        self.is_more = true;
    }

    /// The protocol of most connections. Recognized ones come before guesses by the port.
    #[must_use]
    pub fn main(&self) -> Option<Spoken> {
        let known = self.protocols.iter().flatten();
        let most = known.max_by_key(|(spoken, connections)| (!spoken.is_guess, *connections));
        most.map(|(spoken, _)| *spoken)
    }

    /// How many more there are. A guess that others confirm is none.
    fn others(&self) -> usize {
        let known = self.protocols.iter().flatten();
        let known: BTreeSet<Protocol> = known.map(|(spoken, _)| spoken.protocol).collect();
        known.len().saturating_sub(1) + usize::from(self.is_more)
    }

    /// The name of the server that clients ask for, and whether there are more. Hostile input for a terminal.
    #[must_use]
    pub fn server_name(&self) -> Option<(&str, bool)> {
        self.server_name
            .as_deref()
            .map(|name| (name, self.is_more_names))
    }
}

/// `quic h3`, `dns +1`: what most of the connections speak, and how many other protocols there are. Hostile input for a terminal.
impl fmt::Display for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(main) = self.main() else {
            return f.write_str("-");
        };
        write!(f, "{main}")?;
        match (self.others(), &self.application) {
            (0, Some(application)) => write!(f, " {application}"),
            (0, None) => Ok(()),
            (others, _) => write!(f, " +{others}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_most_say_stands_for_a_group() {
        let mut speech = Speech::default();
        assert_eq!((speech.main(), speech.to_string().as_str()), (None, "-"));
        for _ in 0..3 {
            speech.add(
                Some(Spoken {
                    protocol: Protocol::Dns,
                    is_guess: true,
                }),
                None,
            );
        }
        assert_eq!(speech.to_string(), "dns?");
        speech.add(Some(Spoken::said(Protocol::Dns)), None);
        assert_eq!(speech.to_string(), "dns");
        speech.add(Some(Spoken::said(Protocol::Quic)), None);
        speech.add(Some(Spoken::said(Protocol::Quic)), None);
        assert_eq!(speech.to_string(), "quic +1");
    }

    #[test]
    fn servers_with_several_names_say_so() {
        let quic = |name: &str| QuicFacts {
            server_name: Some(name.into()),
            offered: vec!["h3".into(), "h3-29".into()],
            ..QuicFacts::default()
        };
        let mut speech = Speech::default();
        for (name, expected) in [
            ("a.example", ("a.example", false)),
            ("a.example", ("a.example", false)),
            ("b.example", ("a.example", true)),
        ] {
            speech.add(Some(Spoken::said(Protocol::Quic)), Some(&quic(name)));
            assert_eq!(speech.server_name(), Some(expected));
        }
        assert_eq!(speech.to_string(), "quic h3");
    }
}
