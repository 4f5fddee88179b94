//! How much each interface receives and sends, and how fast: from the books, which have the direction of every packet.

use super::group::Group;
use crate::model::Name;
use crate::model::Shared;
use crate::model::{Books, Direction, Rates, Report, Role, Step};

/// The interfaces of a run. Fed once a tick.
#[derive(Clone, Debug, Default)]
pub struct Interfaces(Vec<Interface>);

#[derive(Clone, Debug)]
struct Interface {
    name: Name,
    /// Received, sent.
    books: [Books; 2],
    rates: Rates,
}

impl Interfaces {
    /// Takes in the books of a tick. What the first one finds came since `began_ns`, when the table's program began to look.
    pub fn tick(&mut self, report: &Report, began_ns: Option<u64>, now_ns: u64) {
        let mut step = Step::to(now_ns).looking_since(began_ns);
        let mut books: Vec<(Name, [Books; 2])> = Vec::new();
        for hook in &report.hooks {
            let name = Name::new(&hook.interface);
            let known = books.iter().position(|(known, _)| *known == name);
            let place = known.unwrap_or(books.len());
            if known.is_none() {
                books.push((name, Default::default()));
            }
            books[place].1[usize::from(hook.direction == Direction::Egress)] += hook.books;
        }
        let is_first = self.0.is_empty();
        let before = std::mem::take(&mut self.0);
        let of = |(name, books): (Name, [Books; 2])| {
            let known = before.iter().find(|one| one.name == name);
            let (mut rates, then) = known.map_or_else(
                || {
                    if is_first {
                        (Rates::new(began_ns.unwrap_or(now_ns)), Default::default())
                    } else {
                        (Rates::new(now_ns), books)
                    }
                },
                |known| (known.rates, known.books),
            );
            let [received, sent] = [0, 1].map(|way| books[way].tracked.since(then[way].tracked));
            rates.update(received, sent, &mut step);
            Interface { name, books, rates }
        };
        self.0 = books.into_iter().map(of).collect();
    }

    /// Gives groups by interface the counts of the books; an interface without a connection becomes a group, too.
    pub fn complete(&self, groups: &mut Vec<Group>) {
        for Interface { name, books, rates } in &self.0 {
            let shared = Shared::Interface(*name);
            let known = groups.iter().position(|group| group.shared == shared);
            let place = known.unwrap_or(groups.len());
            if known.is_none() {
                groups.push(Group::new(shared, Role::Seen, rates.updated_ns()));
            }
            groups[place].take_books(books, *rates);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Nothing, sample};
    use super::super::{Query, groups};
    use super::*;
    use crate::model::Field;
    use crate::model::{Connection, Counts, HookBooks, Window};

    fn report(received: u64, sent: u64) -> Report {
        let hook = |interface: &str, direction, packets| {
            let tracked = Counts {
                packets,
                bytes: 100 * packets,
            };
            let books = Books {
                tracked,
                seen: tracked,
                ..Books::default()
            };
            HookBooks {
                interface: interface.to_owned(),
                direction,
                books,
                dropped: Vec::new(),
            }
        };
        Report {
            hooks: vec![
                hook("if2", Direction::Ingress, received),
                hook("if2", Direction::Egress, sent),
                hook("idle", Direction::Ingress, 0),
            ],
            ..Report::default()
        }
    }

    #[test]
    fn counts_and_rates_are_those_of_the_books() {
        struct Named;
        impl crate::model::Facts for Named {
            fn interface(&self, index: crate::model::Ifindex) -> String {
                format!("if{}", index.0)
            }
        }
        let mut interfaces = Interfaces::default();
        // What the first tick finds came since the beginning.
        interfaces.tick(&report(1000, 2), Some(0), 1_000_000_000);
        assert!(interfaces.0[0].rates.orig(Window::Short).packets > 100.0);
        interfaces.tick(&report(3000, 6), Some(0), 2_000_000_000);
        let connections = || [1, 2].map(|id| Connection::new(&sample(id), 0)).into_iter();
        let query = Query::default();
        let mut made = groups(connections(), &Named, &query, Field::Interface, None);
        assert_eq!(made.len(), 1);
        interfaces.complete(&mut made);
        made.sort_by_key(|group| std::cmp::Reverse(group.received.packets));
        let names: Vec<_> = made.iter().map(|group| group.shared.text()).collect();
        assert_eq!(names, ["if2", "idle"]);
        assert_eq!(
            (
                made[0].connections,
                made[0].received.packets,
                made[0].sent.packets
            ),
            (2, 3000, 6)
        );
        assert_eq!(
            (made[1].connections, made[1].total()),
            (0, Counts::default())
        );
        let ratio =
            made[0].received_rate(Window::Short).packets / made[0].sent_rate(Window::Short).packets;
        assert!((ratio - 500.0).abs() < 0.01, "{ratio}");
        // Without names of interfaces it is a group of its own.
        assert_eq!(
            groups(connections(), &Nothing, &query, Field::Interface, None).len(),
            1
        );
    }
}
