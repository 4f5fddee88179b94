//! Rows that were entered.

use super::super::fold::Fold;
use super::super::rows::RowKey;
use super::super::tab::Tab;
use crate::model::{Connection, Facts};
use crate::model::{Field, Shared};

/// A row that was entered: only its connections are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Inside {
    pub scope: Scope,
    /// Where it was entered.
    pub(super) from: Tab,
}

/// Which connections those are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Scope {
    Group(Field, Shared),
    Fold(Fold),
}

impl Scope {
    pub fn has(&self, connection: &Connection, facts: &dyn Facts) -> bool {
        let sample = &connection.sample;
        match self {
            Self::Group(field, shared) => shared.has(sample, facts, *field),
            Self::Fold(fold) => Fold::of(sample, facts) == *fold,
        }
    }

    /// The same for people. Hostile input for a terminal.
    pub fn text(&self) -> String {
        match self {
            Self::Group(_, shared) => shared.text(),
            Self::Fold(fold) => format!("exchanges with {}", fold.responder),
        }
    }

    pub(super) fn row(&self) -> RowKey {
        match self {
            Self::Group(_, shared) => RowKey::Group(*shared),
            Self::Fold(fold) => RowKey::Fold(*fold),
        }
    }
}
