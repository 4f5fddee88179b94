//! What to do about a socket that drops datagrams: the limit that applies, and the size that the burst would need.
//!
//! The need is an estimate: what was dropped in the largest burst, each datagram with the memory that those took that were seen to
//! wait. Where no buffer is large enough, none is advised.

use std::fmt::{self, Write as _};

use super::{Cause, Limits, State};
use crate::model::text::{Grouped, Span};

const SECOND: u64 = 1_000_000_000;
/// Who reads nothing for that long, although something waits, stands still. A look or two would not say so: readers pause.
const STANDS: u64 = SECOND * 9 / 10;
/// Whose buffer has no room at any look for that long does not keep up.
const BEHIND: u64 = 5 * SECOND;
/// What the smallest datagram takes, where none was seen to wait.
const LEAST_BYTES: u32 = 768;
/// The kernel takes no larger buffer (half of what fits into an `int`).
const LARGEST: u64 = i32::MAX as u64 / 2;

/// A limit of a receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// What a socket gets that asks for nothing.
    Default,
    /// What a program may ask for.
    Max,
    /// What the program itself asks for.
    Program,
    /// What all UDP sockets may hold together.
    Memory,
}

impl Limit {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "net.core.rmem_default",
            Self::Max => "net.core.rmem_max",
            Self::Program => "SO_RCVBUF",
            Self::Memory => "net.ipv4.udp_mem",
        }
    }
}

/// What to do about one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nothing is read: a larger buffer would fill, too.
    Stands {
        /// How long.
        for_ns: u64,
    },
    /// It is read, but all the time more comes than that.
    Behind {
        /// How long.
        for_ns: u64,
    },
    /// A larger buffer would have held the largest burst.
    Raise(Raise),
    /// The limit was raised since the socket was opened.
    Restart {
        /// `net.core.rmem_default` now.
        limit: u32,
    },
    /// All UDP sockets together had no memory left.
    Memory {
        /// The third value of `net.ipv4.udp_mem`, where it can be read.
        pages: Option<u64>,
    },
    /// Their checksums were wrong.
    Checksum,
    /// A filter of the socket or a policy refused them.
    Refused,
}

/// Which limit to raise, and to what. `SO_RCVBUF` and `net.core.rmem_max` count half of what the kernel then gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raise {
    /// Which one binds.
    pub limit: Limit,
    /// What it is now.
    pub from: u64,
    /// What it should be.
    pub to: u64,
    /// The same asked for by the program (`SO_RCVBUF`).
    pub program_to: u64,
    /// `net.core.rmem_max`, where the program could not ask for that yet.
    pub max_from: Option<u32>,
    /// The burst may go on, or nothing is known of the size of its datagrams.
    pub at_least: bool,
}

impl Advice {
    /// For a socket in this state; none where nothing is wrong.
    #[must_use]
    pub fn of(state: &State, limits: &Limits) -> Option<Self> {
        let stands = state.stands_ns >= STANDS && state.goes_on;
        match state.cause.filter(|_| state.drops_seen > 0) {
            Some(Cause::Checksum) => Some(Self::Checksum),
            Some(Cause::Refused) => Some(Self::Refused),
            Some(Cause::Memory) => Some(Self::Memory {
                pages: limits.udp_mem,
            }),
            _ if stands => Some(Self::Stands {
                for_ns: state.stands_ns,
            }),
            None => None,
            Some(Cause::Buffer) => Some(Self::room(state, limits)),
        }
    }

    fn room(state: &State, limits: &Limits) -> Self {
        let behind = Self::Behind {
            for_ns: state.behind_ns,
        };
        let Some(needed) = needed(state).filter(|_| state.behind_ns < BEHIND) else {
            return behind;
        };
        let buffer = u64::from(state.reading.receive_buffer);
        let program_to = needed / 2;
        let may_ask = limits.rmem_max.map(u64::from);
        let raise = |limit, from, to| {
            Self::Raise(Raise {
                limit,
                from,
                to,
                program_to,
                max_from: limits
                    .rmem_max
                    .filter(|max| limit != Limit::Max && u64::from(*max) < program_to),
                at_least: state.goes_on || state.datagram_bytes.is_none(),
            })
        };
        if !state.reading.is_chosen {
            return match limits.rmem_default {
                Some(limit) if u64::from(limit) >= needed => Self::Restart { limit },
                now => raise(Limit::Default, now.map_or(buffer, u64::from), needed),
            };
        }
        // The kernel doubles what is asked for, and cuts it off before that.
        match may_ask {
            Some(max) if max * 2 == buffer => raise(Limit::Max, max, program_to),
            _ => raise(Limit::Program, buffer / 2, program_to),
        }
    }

    /// The limit that binds, what it is now, and what it should be, where that can be said.
    #[must_use]
    pub fn limit(&self) -> Option<(Limit, Option<u64>, Option<u64>)> {
        match self {
            Self::Raise(raise) => Some((raise.limit, Some(raise.from), Some(raise.to))),
            Self::Restart { limit } => Some((Limit::Default, Some(u64::from(*limit)), None)),
            Self::Memory { pages } => Some((Limit::Memory, *pages, None)),
            _ => None,
        }
    }

    /// In words. `who`: the program that holds the socket, safe for a terminal.
    #[must_use]
    pub fn text(&self, who: &str) -> String {
        match self {
            Self::Stands { for_ns } => format!(
                "{who} has read nothing for {}: find out why it hangs. A larger buffer helps only for short pauses",
                Span(*for_ns)
            ),
            Self::Behind { for_ns } => format!(
                "{who} does not keep up: its buffer was more than half full at every look for {}. A larger buffer only fills later: make it read faster, or with more sockets (SO_REUSEPORT)",
                Span(*for_ns)
            ),
            Self::Raise(raise) => raise.text(who),
            Self::Restart { limit } => format!(
                "restart {who}: net.core.rmem_default is now {}, but its socket has less",
                Grouped(u64::from(*limit))
            ),
            Self::Memory { pages } => {
                let pages = pages.map_or_else(String::new, |pages| {
                    format!(" ({} pages)", Grouped(pages))
                });
                format!(
                    "all UDP sockets together had no memory left: raise the third value of net.ipv4.udp_mem{pages}"
                )
            }
            Self::Checksum => {
                "wrong checksums: find out who sends them. A larger buffer does not help".to_owned()
            }
            Self::Refused => "a filter of the socket or an IPsec policy refused them. A larger buffer does not help"
                .to_owned(),
        }
    }
}

impl Raise {
    fn text(&self, who: &str) -> String {
        let (from, to) = (Grouped(self.from), Grouped(self.to));
        let least = if self.at_least { "at least " } else { "" };
        let mut text = match self.limit {
            Limit::Max => format!(
                "raise net.core.rmem_max ({from}) to {least}{to} and restart {who}: its SO_RCVBUF is above this limit"
            ),
            Limit::Program => format!("raise SO_RCVBUF in {who} ({from}) to {least}{to}"),
            _ => format!(
                "raise net.core.rmem_default ({from}) to {least}{to} and restart {who}, or set SO_RCVBUF in it to {} (the kernel doubles it)",
                Grouped(self.program_to)
            ),
        };
        if let Some(max) = self.max_from {
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "; raise net.core.rmem_max ({}) to the same value",
                Grouped(u64::from(max))
            );
        }
        text
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The buffer, in the kernel's bytes, that the largest burst would have fit into: twice what it is, or that again, and so on. None
/// where the kernel gives no such buffer.
fn needed(state: &State) -> Option<u64> {
    let datagram = u64::from(state.datagram_bytes.unwrap_or(LEAST_BYTES).max(1));
    let buffer = u64::from(state.reading.receive_buffer.max(1));
    let burst = buffer.saturating_add(state.burst.max(1).saturating_mul(datagram));
    let mut needed = buffer;
    while needed < burst && needed <= LARGEST {
        needed *= 2;
    }
    (needed <= LARGEST).then_some(needed)
}

#[cfg(test)]
mod tests;
