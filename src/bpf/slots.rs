//! Which books belong to which interface.

use anyhow::{Context as _, Result};

use crate::connection::Ifindex;

/// A perfect hash of the tracked interfaces' indexes: the packet path then finds an interface's books without a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InterfaceSlots {
    pub multiplier: u32,
    /// Of a product of 32 bits; 32 when there is one slot.
    pub shift: u32,
}

impl InterfaceSlots {
    /// Twice to sixteen times as many slots as interfaces: the first multiplier in a few thousand that keeps them apart.
    pub fn new(interfaces: &[Ifindex]) -> Result<Self> {
        const MULTIPLIERS: u32 = 4096;
        if interfaces.len() <= 1 {
            return Ok(Self {
                multiplier: 1,
                shift: 32,
            });
        }
        let least = (interfaces.len() * 2).next_power_of_two().ilog2();
        (least..=least + 3)
            .flat_map(|bits| (0..MULTIPLIERS).map(move |n| (bits, n)))
            .map(|(bits, n)| Self {
                // Odd multiples of the golden ratio spread neighbours well (Knuth, TAOCP 6.4).
                multiplier: 0x9e37_79b1_u32.wrapping_mul(2 * n + 1),
                shift: 32 - bits,
            })
            .find(|slots| slots.are_apart(interfaces))
            .context("too many interfaces to be tracked together. Name fewer with -i")
    }

    fn are_apart(self, interfaces: &[Ifindex]) -> bool {
        let mut taken: Vec<u32> = interfaces.iter().map(|index| self.slot(*index)).collect();
        taken.sort_unstable();
        taken.windows(2).all(|pair| pair[0] != pair[1])
    }

    pub fn count(self) -> u32 {
        1 << (32 - self.shift)
    }

    pub fn slot(self, interface: Ifindex) -> u32 {
        let product = interface.0.wrapping_mul(self.multiplier);
        product.checked_shr(self.shift).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(indexes: impl IntoIterator<Item = u32>) -> (InterfaceSlots, Vec<u32>) {
        let indexes: Vec<Ifindex> = indexes.into_iter().map(Ifindex).collect();
        let slots = InterfaceSlots::new(&indexes).unwrap();
        (
            slots,
            indexes.iter().map(|index| slots.slot(*index)).collect(),
        )
    }

    #[test]
    fn one_interface_has_one_slot() {
        let (slots, taken) = slots([77]);
        assert_eq!((slots.count(), taken), (1, vec![0]));
    }

    #[test]
    fn interfaces_have_slots_of_their_own() {
        for indexes in [
            vec![1, 2],
            (1..=64).collect(),
            (0..500).map(|n| n * n * 7 + 3).collect(),
        ] {
            let count = indexes.len();
            let (slots, mut taken) = slots(indexes);
            assert!(
                slots.count() as usize <= count * 32,
                "{count}: {}",
                slots.count()
            );
            taken.sort_unstable();
            taken.dedup();
            assert_eq!(taken.len(), count);
            assert!(taken.iter().all(|slot| *slot < slots.count()));
        }
    }
}
