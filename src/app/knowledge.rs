//! What a run knows beside the tables: which interfaces it tracks, and what outputs may ask of them.

use crate::connection::{Direction, Facts, Ifindex};

/// A hook that was attached, for its books: also when its interface is gone.
pub(super) struct HookName {
    pub interface: String,
    pub index: Ifindex,
    pub direction: Direction,
}

/// Answers what outputs ask.
pub(super) struct Knowledge {
    pub hooks: Vec<HookName>,
}

impl Facts for Knowledge {
    fn interface(&self, index: Ifindex) -> String {
        self.hooks
            .iter()
            .find(|hook| hook.index == index)
            .map_or_else(|| format!("if{}", index.0), |hook| hook.interface.clone())
    }
}
