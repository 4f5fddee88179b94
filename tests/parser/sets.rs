//! Connections that run over into their second set: a table of a few sets is filled up, emptied in part and filled again, and
//! each connection is found where it lies.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;

use udptrack::model::{Counts, EventKind, Place, Sample, Skip};

use crate::common::maps::Map;
use crate::common::random::Rng;
use crate::common::{Ip, both_families, frames};
use crate::expiry::request;
use crate::rig::{EGRESS, ETHERNET, INGRESS, Rig, address, counts, udp};

both_families!(a_table_of_a_few_sets);

/// Places of a set.
const WAYS: usize = 16;
/// Fewer than these leave every set with so much room that none looks at its second one.
const FEW: usize = 8;

/// Two ends, who sent first and the other.
type Ends = [SocketAddr; 2];

fn set_of(place: Place) -> usize {
    place.index() / WAYS
}

/// How many connections lie in their second sets, by their first ones, as the kernel has it; without those that have none.
pub fn detours() -> BTreeMap<usize, usize> {
    let sets = Map::own("connections").values().into_iter().enumerate();
    let counted = sets.map(|(set, value)| {
        let number = |name: &str| value[name].as_u64().expect("a number");
        let detours = number("detours_opened") - number("detours_freed");
        (set, usize::try_from(detours).unwrap())
    });
    counted.filter(|(_, detours)| *detours > 0).collect()
}

/// What was sent, by sender and receiver, and what is known of each connection's sets.
struct Filled {
    rig: Rig,
    rng: Rng,
    all: Vec<Ends>,
    first: HashMap<Ends, usize>,
    second: HashMap<Ends, usize>,
    /// Of those that are live.
    sent: HashMap<(SocketAddr, SocketAddr), Counts>,
    ended: Counts,
    refused: Counts,
}

impl Filled {
    fn new(ip: Ip, room: u32, tuples: u16) -> Self {
        let (client, server) = match ip {
            Ip::V4 => ("10.88.0.1", "10.88.0.2:53"),
            Ip::V6 => ("[fd88::1]", "[fd88::2]:53"),
        };
        let ends = |number| {
            [
                address(&format!("{client}:{}", 1000 + number)),
                address(server),
            ]
        };
        let mut filled = Self {
            rig: Rig::new(room),
            rng: Rng::from_environment(),
            all: (0..tuples).map(ends).collect(),
            first: HashMap::new(),
            second: HashMap::new(),
            sent: HashMap::new(),
            ended: Counts::default(),
            refused: Counts::default(),
        };
        filled.learn();
        filled
    }

    /// Where each lies when there is room.
    fn learn(&mut self) {
        for some in self.all.clone().chunks(FEW) {
            for ends in some {
                assert_eq!(self.send(*ends), Ok(EventKind::New));
            }
            for sample in self.rig.scan() {
                let set = set_of(sample.place);
                assert_eq!(self.first.insert(ends_of(&sample), set), None);
            }
            self.end(|_, _| true);
        }
        assert_eq!(detours(), BTreeMap::new());
        assert_eq!(self.first.len(), self.all.len());
    }

    fn send(&mut self, [from, to]: Ends) -> Result<EventKind, Skip> {
        let frame = frames::udp(from, to, &vec![0; self.rng.below(60)]);
        let outcome = self.rig.run(self.rng.pick(&ETHERNET), &frame);
        let count = counts(1, frame.len());
        match outcome {
            Ok(_) => *self.sent.entry((from, to)).or_default() += count,
            Err(_) => self.refused += count,
        }
        outcome.map(|(_, packet)| packet.kind)
    }

    /// Sends over all connections that are not live, in random order. Each finds a place, or none.
    fn fill(&mut self) {
        let live = self.live();
        let mut rest: Vec<_> = self
            .all
            .iter()
            .filter(|ends| !live.contains(*ends))
            .copied()
            .collect();
        while !rest.is_empty() {
            let ends = rest.swap_remove(self.rng.below(rest.len()));
            let outcome = self.send(ends);
            assert!(
                [Ok(EventKind::New), Err(Skip::TableFull)].contains(&outcome),
                "{outcome:?}"
            );
        }
    }

    fn live(&self) -> HashSet<Ends> {
        self.rig.scan().iter().map(ends_of).collect()
    }

    /// Each connection is found, by both of its ends; those that are not there find no room.
    fn find_all(&mut self) {
        let live = self.live();
        for [from, to] in self.all.clone() {
            let expected = if live.contains(&[from, to]) {
                Ok(EventKind::Data)
            } else {
                Err(Skip::TableFull)
            };
            for ends in [[from, to], [to, from], [from, to]] {
                assert_eq!(self.send(ends), expected, "{from}");
            }
        }
    }

    /// Ends the connections that are chosen by their ends, and whether they lie in their second set.
    fn end(&mut self, chosen: impl Fn(&Ends, bool) -> bool) {
        let first = &self.first;
        let is_away = |sample: &Sample| {
            let first = first.get(&ends_of(sample));
            first.is_some_and(|first| *first != set_of(sample.place))
        };
        let samples = self.rig.scan();
        let samples = samples.iter();
        let requests: Vec<_> = samples
            .filter(|sample| chosen(&ends_of(sample), is_away(sample)))
            .map(request)
            .collect();
        let ended = self.rig.tracker.expire(&requests).unwrap();
        assert_eq!(ended.len(), requests.len());
        for (sample, _) in ended {
            let [from, to] = ends_of(&sample);
            let mut sent = |from, to| self.sent.remove(&(from, to)).unwrap_or_default();
            assert_eq!(
                [sample.orig, sample.reply],
                [sent(from, to), sent(to, from)]
            );
            self.ended += sample.total();
        }
    }

    /// Each lies in one of its two sets, with all that was sent, the kernel's count of detours is that, and the books agree.
    /// Gives how many lie there, and how many of them in their second sets.
    fn check(&mut self) -> (usize, usize) {
        let samples = self.rig.scan();
        let mut away: BTreeMap<usize, usize> = BTreeMap::new();
        let mut live = Counts::default();
        for sample in &samples {
            let ends = ends_of(sample);
            let [from, to] = ends;
            let told = |from, to| self.sent.get(&(from, to)).copied().unwrap_or_default();
            assert_eq!(
                [sample.orig, sample.reply],
                [told(from, to), told(to, from)]
            );
            live += sample.total();
            let (set, first) = (set_of(sample.place), self.first[&ends]);
            if set != first {
                *away.entry(first).or_default() += 1;
                assert_eq!(*self.second.entry(ends).or_insert(set), set, "{from}");
            }
        }
        assert_eq!(self.live().len(), samples.len());
        assert_eq!(live, self.sent.values().copied().sum());
        assert_eq!(detours(), away);
        let books = self.rig.books(INGRESS);
        let sent = self.rig.books(EGRESS);
        assert_eq!(books.tracked + sent.tracked, live + self.ended);
        let full = |books: udptrack::model::Books| books.skipped_for(Skip::TableFull);
        assert_eq!(full(books) + full(sent), self.refused);
        (samples.len(), away.values().sum())
    }
}

fn ends_of(sample: &Sample) -> Ends {
    [sample.originator, sample.responder]
}

fn a_table_of_a_few_sets(ip: Ip) {
    let mut runs_over = 0;
    for (room, tuples) in [(1, 140), (20, 270), (40, 540)] {
        let mut filled = Filled::new(ip, room, tuples);
        filled.fill();
        filled.find_all();
        let (places, away) = filled.check();
        println!("room for {room}: {places} lie there, {away} in their second sets");
        assert!(places >= usize::try_from(room).unwrap() && places * 4 < tuples.into());
        assert!(places.is_multiple_of(WAYS), "every place is taken");
        runs_over += away;
        // Those in their first sets end: the others are found all the same.
        filled.end(|_, away| !away);
        assert_eq!(filled.check(), (away, away));
        for [from, to] in filled.live() {
            assert_eq!(filled.send([from, to]), Ok(EventKind::Data));
            assert_eq!(filled.send([to, from]), Ok(EventKind::Data));
        }
        filled.fill();
        filled.find_all();
        let (live, away) = filled.check();
        assert_eq!(live, places);
        // Those in their second sets end: nobody looks there any more.
        filled.end(|_, away| away);
        assert_eq!(filled.check(), (places - away, 0));
        filled.fill();
        filled.find_all();
        assert_eq!(filled.check().0, places);
        // Some of each end, again and again.
        for round in 0..6 {
            filled
                .end(|[client, _], _| client.port() % 8 == round || client.port() % 3 == round % 3);
            filled.check();
            filled.fill();
            assert_eq!(filled.check().0, places, "round {round}");
        }
        filled.find_all();
        filled.end(|_, _| true);
        assert_eq!(filled.check(), (0, 0));
    }
    assert!(runs_over > 0);
}

/// What lies in its second set is as whole as all else: who asked, who answered, an error, and an end that comes too late.
#[test]
#[ignore = "root"]
fn a_connection_in_its_second_set_is_like_any_other() {
    let mut filled = Filled::new(Ip::V4, 40, 600);
    filled.fill();
    filled.check();
    let is_away = |sample: &&Sample| filled.first[&ends_of(sample)] != set_of(sample.place);
    let away: Vec<Sample> = filled.rig.scan().iter().filter(is_away).copied().collect();
    assert!(away.len() > 2, "{}", away.len());
    for before in away {
        let [from, to] = ends_of(&before);
        let asked = before.response.waiting + before.response.lost;
        assert_eq!((before.reply, asked), (Counts::default(), 1));
        filled.send([to, from]).unwrap();
        let after = filled.rig.find(from, to);
        assert_eq!((after.place, after.id), (before.place, before.id));
        assert_eq!(after.status.word(), "REPLIED");
        assert_eq!((after.response.answered, after.response.waiting), (1, 0));
        assert_eq!(Some(after.response.sum_ns), after.first_reply_after_ns());
        // It has counted since.
        assert_eq!(filled.rig.tracker.expire(&[request(&before)]).unwrap(), []);
        let error = frames::icmp_unreachable(to.ip(), from.ip(), &udp(from, to));
        assert_eq!(filled.rig.run(INGRESS, &error).unwrap_err(), Skip::NotUdp);
        assert_eq!(filled.rig.find(from, to).status.word(), "UNREACH");
        filled.send([from, to]).unwrap();
        assert_eq!(filled.rig.find(from, to).status.word(), "UNREACH");
        filled.send([to, from]).unwrap();
        assert_eq!(filled.rig.find(from, to).status.word(), "REPLIED");
    }
    filled.check();
    filled.end(|_, _| true);
    assert_eq!(filled.check(), (0, 0));
}
