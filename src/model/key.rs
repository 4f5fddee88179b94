//! Names for what could be swapped by mistake: connection ids, interface indexes, VLAN tags.

use std::fmt;

/// The keyed 64-bit hash of a connection's canonical tuple: one id for both directions.
///
/// The key is drawn anew at each start, so an id means nothing outside one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

/// Where a connection lies in the kernel's table, from its first packet to its end; another one may lie there later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place(pub u32);

impl Place {
    /// As an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The kernel's index of an interface, unique within one network namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ifindex(pub u32);

/// VLAN identifiers of a connection's frames, outer tag first; 0 = no such tag.
///
/// A priority tag (VLAN identifier 0, IEEE 802.1Q 9.6) names no VLAN and counts as none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vlans {
    /// Identifier in the outer tag.
    pub outer: u16,
    /// Identifier in the inner tag (`QinQ`).
    pub inner: u16,
}

impl Vlans {
    /// The identifiers that are there, outer first.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        [self.outer, self.inner].into_iter().filter(|id| *id != 0)
    }
}
