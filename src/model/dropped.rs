//! What the kernel dropped behind the hooks: by reason, and what a connection has lost.

use std::sync::Arc;

use super::record::Counts;
use super::text::Grouped;

/// What a reason of the kernel comes down to. The order is that of `enum udp_drops_class` in `bpf/drops.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DropClass {
    /// The socket's receive buffer was full.
    SocketBuffer,
    /// Nobody has the port.
    NoSocket,
    /// A checksum is wrong.
    Checksum,
    /// A packet filter, or the filter of the socket or of its control group.
    Firewall,
    /// The way back (`rp_filter`), no route, no neighbour.
    Routing,
    /// The queue of an interface (qdisc), or the backlog of a CPU.
    Queue,
    /// The kernel's memory for UDP (`udp_mem`), or any.
    Memory,
    /// Fragments whose rest never came.
    Fragments,
    /// Larger than the way allows.
    Mtu,
    /// Any other reason.
    Other,
}

impl DropClass {
    /// Every class, in the kernel half's order.
    pub const ALL: [Self; 10] = [
        Self::SocketBuffer,
        Self::NoSocket,
        Self::Checksum,
        Self::Firewall,
        Self::Routing,
        Self::Queue,
        Self::Memory,
        Self::Fragments,
        Self::Mtu,
        Self::Other,
    ];

    /// The name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SocketBuffer => "socket-buffer",
            Self::NoSocket => "no-socket",
            Self::Checksum => "checksum",
            Self::Firewall => "firewall",
            Self::Routing => "routing",
            Self::Queue => "queue",
            Self::Memory => "memory",
            Self::Fragments => "fragments",
            Self::Mtu => "mtu",
            Self::Other => "other",
        }
    }

    /// What it means, for who asks why.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::SocketBuffer => {
                "the process reads too slowly: `udptrack sockets` shows what to raise"
            }
            Self::NoSocket => "no program listens on this port",
            Self::Checksum => "the datagram arrived damaged",
            Self::Firewall => "a packet filter, or the filter of the socket or its control group",
            Self::Routing => "no route, no neighbour, or another way back (rp_filter)",
            Self::Queue => "the queue of an interface or of a CPU was full",
            Self::Memory => "the kernel had no memory for it (udp_mem)",
            Self::Fragments => "the other fragments never came",
            Self::Mtu => "larger than the path allows (MTU)",
            Self::Other => "see the kernel's reasons",
        }
    }

    /// The words for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::SocketBuffer => "socket buffer",
            Self::NoSocket => "no socket",
            Self::Mtu => "MTU",
            _ => self.name(),
        }
    }
}

/// What was dropped, by class: one loss is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    classes: [Counts; DropClass::ALL.len()],
}

impl Dropped {
    /// From the counts of all classes, in the order of [`DropClass::ALL`].
    #[must_use]
    pub fn of(classes: [Counts; DropClass::ALL.len()]) -> Self {
        Self { classes }
    }

    /// What was dropped for one class of reasons.
    #[must_use]
    pub fn for_class(&self, class: DropClass) -> Counts {
        self.classes[class as usize]
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.classes.iter().copied().sum()
    }

    /// Packets that a socket had no room for.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.for_class(DropClass::SocketBuffer).packets + self.for_class(DropClass::Memory).packets
    }

    /// Packets that were dropped for want of room: in a socket's buffer, in the kernel's memory, in a queue.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.unread() + self.for_class(DropClass::Queue).packets
    }

    /// The classes that occurred, with their counts.
    pub fn classes(&self) -> impl Iterator<Item = (DropClass, Counts)> + '_ {
        DropClass::ALL
            .into_iter()
            .zip(self.classes)
            .filter(|(_, counts)| *counts != Counts::default())
    }

    /// Packets, by class: `12 (socket buffer 12)`. Nothing where nothing was dropped.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        let words = |(class, counts): (DropClass, Counts)| {
            format!("{} {}", class.words(), Grouped(counts.packets))
        };
        let classes: Vec<String> = self.classes().map(words).collect();
        let total = Grouped(self.total().packets);
        (!classes.is_empty()).then(|| format!("{total} ({})", classes.join(", ")))
    }

    /// Adds to one class.
    pub fn add(&mut self, class: DropClass, counts: Counts) {
        self.classes[class as usize] += counts;
    }

    /// What came since it was as much as `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut since = *self;
        for (mine, theirs) in since.classes.iter_mut().zip(before.classes) {
            *mine = mine.since(theirs);
        }
        since
    }
}

impl std::ops::AddAssign for Dropped {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.classes.iter_mut().zip(other.classes) {
            *mine += theirs;
        }
    }
}

/// What was dropped behind one hook for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedFor {
    /// The kernel's own name, in lower case; `other` for those that it has none for.
    pub reason: Arc<str>,
    /// What it comes down to.
    pub class: DropClass,
    /// All of it.
    pub counts: Counts,
    /// Of that, what belongs to no connection in the table: the filter does not want it, or the table is full.
    pub apart: Counts,
}

/// What was dropped and found no room among what is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DroppedWithoutRoom {
    /// Of connections that their losses found no room for: it is in the books by reason.
    pub in_no_connection: Counts,
    /// For reasons that the books found no room for: it may be in a connection.
    pub in_no_books: Counts,
}

/// Adds what was dropped for reasons to what was dropped for them before.
pub fn add_dropped(sum: &mut Vec<DroppedFor>, more: &[DroppedFor]) {
    for dropped in more {
        match sum.iter_mut().find(|known| known.reason == dropped.reason) {
            Some(known) => {
                known.counts += dropped.counts;
                known.apart += dropped.apart;
            }
            None => sum.push(dropped.clone()),
        }
    }
}

/// The same by class.
#[must_use]
pub fn by_class(dropped: &[DroppedFor]) -> Dropped {
    let mut sum = Dropped::default();
    for one in dropped {
        sum.add(one.class, one.counts);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(packets: u64) -> Counts {
        Counts {
            packets,
            bytes: packets * 100,
        }
    }

    #[test]
    fn classes_are_in_their_order() {
        for (index, class) in DropClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, index);
        }
    }

    #[test]
    fn reasons_add_up_by_name_and_by_class() {
        let dropped = |reason: &str, class, packets| DroppedFor {
            reason: reason.into(),
            class,
            counts: counts(packets),
            apart: counts(packets - 1),
        };
        let mut sum = vec![dropped("udp_csum", DropClass::Checksum, 3)];
        let more = [
            dropped("ip_csum", DropClass::Checksum, 5),
            dropped("udp_csum", DropClass::Checksum, 2),
            dropped("socket_rcvbuff", DropClass::SocketBuffer, 1),
        ];
        add_dropped(&mut sum, &more);
        let packets: Vec<_> = sum
            .iter()
            .map(|one| (&*one.reason, one.counts.packets, one.apart.packets))
            .collect();
        assert_eq!(
            packets,
            [
                ("udp_csum", 5, 3),
                ("ip_csum", 5, 4),
                ("socket_rcvbuff", 1, 0)
            ]
        );
        let classes = by_class(&sum);
        assert_eq!(
            classes.classes().collect::<Vec<_>>(),
            [
                (DropClass::SocketBuffer, counts(1)),
                (DropClass::Checksum, counts(10))
            ]
        );
        assert_eq!(classes.total(), counts(11));
        let mut before = Dropped::default();
        before.add(DropClass::Checksum, counts(4));
        let since = classes.since(&before);
        assert_eq!(since.for_class(DropClass::Checksum), counts(6));
        before += since;
        assert_eq!(before, classes);
    }
}
