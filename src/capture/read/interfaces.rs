//! The interfaces of a file: those that it describes, and those that its frames turn out to be of.

use std::collections::HashMap;

use super::error::Cause;
use super::link::LinkType;
use super::{CapturedInterface, LeftOut, Link};

/// More are told apart nowhere; and a file that describes more is made to do harm.
const INTERFACES_MAX: usize = 65_536;

/// One that the file describes.
struct Described {
    name: String,
    is_named: bool,
    number: i32,
    kind: Option<LinkType>,
    left_out: u64,
}

/// What tells an interface from others: which one it is described as, the index that its frames tell, and what they begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Origin {
    described: usize,
    index: Option<u32>,
    link: Link,
}

pub(super) struct Interfaces {
    /// The name of those that have none.
    file: String,
    described: Vec<Described>,
    by_name: HashMap<(Option<String>, i32, u32), usize>,
    found: Vec<CapturedInterface>,
    by_origin: HashMap<Origin, usize>,
    /// The last one that was looked for: mostly the next frame's, too.
    last: Option<(Origin, usize)>,
}

impl Interfaces {
    pub fn new(file: String) -> Self {
        Self {
            file,
            described: Vec::new(),
            by_name: HashMap::new(),
            found: Vec::new(),
            by_origin: HashMap::new(),
            last: None,
        }
    }

    /// The name of those that have none.
    pub fn nameless(&self) -> &str {
        &self.file
    }

    /// The next interface of a section, and how many that are the same stand before it there. In a further section it is the one that it
    /// was in those before.
    pub fn describe(
        &mut self,
        name: Option<String>,
        number: i32,
        same: u32,
    ) -> Result<usize, Cause> {
        let key = (name, number, same);
        if let Some(described) = self.by_name.get(&key) {
            return Ok(*described);
        }
        let place = self.described.len();
        if place >= INTERFACES_MAX {
            return Err(Cause::TooManyInterfaces);
        }
        self.described.push(Described {
            name: key.0.clone().unwrap_or_else(|| self.file.clone()),
            is_named: key.0.is_some(),
            number,
            kind: LinkType::from_number(number),
            left_out: 0,
        });
        self.by_name.insert(key, place);
        if let Some(link) = self.kind(place).and_then(LinkType::only_link) {
            self.of(place, None, link)?;
        }
        Ok(place)
    }

    pub fn kind(&self, described: usize) -> Option<LinkType> {
        self.described.get(described)?.kind
    }

    /// The place in `found` of an interface whose frames begin with `link`; `index` is what they tell of which it is.
    pub fn of(&mut self, described: usize, index: Option<u32>, link: Link) -> Result<usize, Cause> {
        let origin = Origin {
            described,
            index,
            link,
        };
        if let Some((_, place)) = self.last.filter(|(last, _)| *last == origin) {
            return Ok(place);
        }
        let place = match self.by_origin.get(&origin) {
            Some(place) => *place,
            None if self.found.len() >= INTERFACES_MAX => return Err(Cause::TooManyInterfaces),
            None => {
                let name = index.map_or_else(
                    || self.described[described].name.clone(),
                    |index| format!("if{index}"),
                );
                self.found.push(CapturedInterface {
                    name,
                    is_named: index.is_some() || self.described[described].is_named,
                    link,
                    link_type: self.described[described].number,
                });
                self.by_origin.insert(origin, self.found.len() - 1);
                self.found.len() - 1
            }
        };
        self.last = Some((origin, place));
        Ok(place)
    }

    pub fn leave_out(&mut self, described: usize) {
        if let Some(described) = self.described.get_mut(described) {
            described.left_out += 1;
        }
    }

    pub fn found(&self) -> &[CapturedInterface] {
        &self.found
    }

    pub fn left_out(&self) -> impl Iterator<Item = LeftOut<'_>> {
        self.described
            .iter()
            .filter(|described| described.left_out > 0)
            .map(|described| LeftOut {
                interface: &described.name,
                link_type: described.number,
                frames: described.left_out,
            })
    }
}
