//! What the resolvers say of addresses: which are to be asked for, which names are known, and for how long.

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::ADDRESSES;
use super::cache::Cache;
use super::reverse::Resolver;

/// Addresses that were shown without a name since the last tick, and may be asked for.
const WANTED_MAX: usize = 1024;
/// After this time, the name of an address that is still seen is asked for again: with a name, and without one.
pub(super) const NAMED: Duration = Duration::from_secs(3600);
const NAMELESS: Duration = Duration::from_secs(600);

/// What the resolvers said.
#[derive(Debug)]
pub(super) struct Reverse {
    resolver: Resolver,
    known: Cache<IpAddr, Known>,
    wanted: RefCell<HashSet<IpAddr>>,
    /// At the latest tick.
    now: Instant,
}

#[derive(Debug)]
struct Known {
    name: Option<Box<str>>,
    /// From then on it may be asked for again.
    until: Instant,
}

impl Reverse {
    pub fn new(resolver: Resolver) -> Self {
        Self {
            resolver,
            known: Cache::new(ADDRESSES),
            wanted: RefCell::default(),
            now: Instant::now(),
        }
    }

    pub fn want(&self, address: IpAddr) {
        let known = self.known.peek(address);
        if known.is_some_and(|known| self.now < known.until) {
            return;
        }
        let mut wanted = self.wanted.borrow_mut();
        if wanted.len() < WANTED_MAX {
            wanted.insert(address);
        }
    }

    pub fn tick(&mut self, now: Instant) {
        self.now = now;
        for (address, name) in self.resolver.found() {
            let keep = if name.is_some() { NAMED } else { NAMELESS };
            let until = now + keep;
            self.known.insert(address, Known { name, until });
        }
        for address in self.wanted.take() {
            if !self.resolver.ask(address) {
                break;
            }
            // The old name, if any, is shown until the answer is there; meanwhile nobody asks again.
            let known = self.known.peek(address);
            let name = known.and_then(|known| known.name.clone());
            let until = now + NAMELESS;
            self.known.insert(address, Known { name, until });
        }
    }

    /// The name of an address, if one is known.
    pub fn name(&self, address: IpAddr) -> Option<&str> {
        self.known.get(address)?.name.as_deref()
    }
}
