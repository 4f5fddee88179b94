//! The books: every frame that a hook ran on is in `seen`, and in exactly one of `tracked` or a reason in `skipped`.

use super::dropped::{DroppedFor, DroppedWithoutRoom, add_dropped, by_class};
use super::record::Counts;
use super::text::Grouped;
use super::unread::UnreadPayloads;

/// Why a frame belongs to no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Skip {
    /// Neither IPv4 nor IPv6: ARP, LLDP, 802.3 lengths, …
    NotIp,
    /// IP, but not UDP: TCP, ICMP, ESP, …
    NotUdp,
    /// A later fragment whose head (with the ports) was not seen.
    FragmentWithoutHead,
    /// The frame ends before its headers or its IP length say it does.
    Truncated,
    /// Lengths or header fields contradict each other.
    Malformed,
    /// More VLAN tags or IPv6 extension headers than are followed.
    TooDeep,
    /// The filter does not want it.
    Filtered,
    /// Packets of this direction of the connection are counted on another tracked interface.
    OtherInterface,
    /// A new connection that found no room in the table.
    TableFull,
}

impl Skip {
    /// Every reason, in the order in which they are written.
    pub const ALL: [Self; 9] = [
        Self::NotIp,
        Self::NotUdp,
        Self::FragmentWithoutHead,
        Self::Truncated,
        Self::Malformed,
        Self::TooDeep,
        Self::Filtered,
        Self::OtherInterface,
        Self::TableFull,
    ];

    /// The name in every output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotIp => "not-ip",
            Self::NotUdp => "not-udp",
            Self::FragmentWithoutHead => "fragment-without-head",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::TooDeep => "too-deep",
            Self::Filtered => "filtered",
            Self::OtherInterface => "other-interface",
            Self::TableFull => "table-full",
        }
    }
}

/// What one hook, or several together, did with the frames it saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Books {
    /// Every frame that the hook ran on.
    pub seen: Counts,
    /// Frames counted to a connection.
    pub tracked: Counts,
    /// The others, by [`Skip`] in the order of [`Skip::ALL`].
    pub skipped: [Counts; Skip::ALL.len()],
}

impl Books {
    /// The frames that were skipped for `reason`.
    #[must_use]
    pub fn skipped_for(&self, reason: Skip) -> Counts {
        self.skipped[reason as usize]
    }

    /// All skipped frames.
    #[must_use]
    pub fn skipped_total(&self) -> Counts {
        self.skipped.iter().copied().sum()
    }

    /// The reasons that occurred, with their counts.
    pub fn reasons(&self) -> impl Iterator<Item = (Skip, Counts)> + '_ {
        Skip::ALL
            .into_iter()
            .zip(self.skipped)
            .filter(|(_, counts)| *counts != Counts::default())
    }

    /// Whether `seen = tracked + skipped`, in packets and in bytes.
    #[must_use]
    pub fn balance(&self) -> bool {
        self.seen == self.tracked + self.skipped_total()
    }
}

impl std::ops::AddAssign for Books {
    fn add_assign(&mut self, other: Self) {
        self.seen += other.seen;
        self.tracked += other.tracked;
        for (mine, theirs) in self.skipped.iter_mut().zip(other.skipped) {
            *mine += theirs;
        }
    }
}

impl std::iter::Sum for Books {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), |mut sum, books| {
            sum += books;
            sum
        })
    }
}

/// Which hook of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Received frames.
    Ingress,
    /// Sent frames.
    Egress,
}

impl Direction {
    /// The name in every output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// The books of one hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookBooks {
    /// Name of the interface.
    pub interface: String,
    /// Which of its hooks.
    pub direction: Direction,
    /// What the hook did.
    pub books: Books,
    /// What the kernel dropped of what it has counted.
    pub dropped: Vec<DroppedFor>,
}

/// The state of a whole run: for the live view's footer, `stats` records and the summary at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One entry per hook.
    pub hooks: Vec<HookBooks>,
    /// Connections ever shown.
    pub connections_new: u64,
    /// Connections that have ended.
    pub connections_ended: u64,
    /// Connections in the table now.
    pub connections_live: u64,
    /// Room in the table (`--max-connections`).
    pub connections_max: u64,
    /// Packets and bytes of all connections, live and ended: equals `tracked` once the hooks are off.
    pub connections_total: Counts,
    /// Events (`-e new,data`) that came faster than they were read.
    pub events_lost: u64,
    /// What `ip_stats` and `ip6_stats` do not have: of addresses that found no room or gave it up (`--max-ips`), counted once per
    /// address.
    pub addresses_without_entry: Counts,
    /// Addresses in `ip_stats` and `ip6_stats`.
    pub addresses: u64,
    /// Whether this kernel tells what it drops behind the hooks, and somebody listens.
    pub knows_drops: bool,
    /// Drops that are missing in the records.
    pub dropped_without_room: DroppedWithoutRoom,
    /// Payloads that were wanted and did not come up; `None` where none are.
    pub unread: Option<UnreadPayloads>,
    /// What became of frames that were wanted for a capture; `None` where there is none.
    pub captured: Option<Captured>,
}

/// Frames that were wanted for a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// They are in a file.
    pub written: u64,
    /// Of these, those that are several packets: the kernel had merged them, or not cut yet.
    pub merged: u64,
    /// The ring buffer had no room for them, or they were out of reach: received, and sent.
    pub lost: [u64; 2],
    /// They could not be written.
    pub unwritten: u64,
    /// Files that were begun.
    pub files: u64,
    /// Frames that are kept in memory, and those that have made room since the latest file; `None` where none are.
    pub memory: Option<(u64, u64)>,
}

impl Captured {
    /// Those that are in no file.
    #[must_use]
    pub fn lost_in_all(&self) -> u64 {
        self.lost.iter().sum::<u64>() + self.unwritten
    }
}

impl Report {
    /// DNS messages of which nothing can be told, at most: what else is wanted may be among them. None where no payload is wanted.
    #[must_use]
    pub fn dns_unread(&self) -> Option<u64> {
        let unread = self.unread?;
        let of_all = unread.ring_full + unread.merged + unread.fragments + unread.out_of_reach;
        Some(unread.dns_over_budget + of_all + unread.cut)
    }

    /// The books of all hooks together.
    #[must_use]
    pub fn books(&self) -> Books {
        self.hooks.iter().map(|hook| hook.books).sum()
    }

    /// What was dropped behind all hooks together, by reason.
    #[must_use]
    pub fn dropped(&self) -> Vec<DroppedFor> {
        let mut sum = Vec::new();
        for hook in &self.hooks {
            add_dropped(&mut sum, &hook.dropped);
        }
        sum
    }

    /// The same in words, by class: `dropped here 12 (socket buffer 12)`. Nothing where nothing was dropped, or nobody knows.
    #[must_use]
    pub fn dropped_in_words(&self) -> Option<String> {
        let words = by_class(&self.dropped()).in_words();
        words.map(|words| format!("dropped here {words}"))
    }

    /// How many of the packets that were sent left: what a queue dropped had been counted. Nothing where all did, or nobody knows.
    #[must_use]
    pub fn left_in_words(&self) -> Option<String> {
        let hooks = self.hooks.iter();
        let out = hooks.filter(|hook| hook.direction == Direction::Egress);
        let (mut sent, mut dropped) = (0, 0);
        for hook in out {
            sent += hook.books.tracked.packets;
            let lost = hook.dropped.iter();
            dropped += lost
                .map(|one| one.counts.since(one.apart).packets)
                .sum::<u64>();
        }
        let left = sent.saturating_sub(dropped);
        (dropped > 0).then(|| format!("of {} packets sent, {} left", Grouped(sent), Grouped(left)))
    }
}
