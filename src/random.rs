//! One small generator of random numbers: splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
//! generators", OOPSLA 2014). The same seed gives the same numbers in every language, which `mingle` promises.

use std::cell::Cell;

use crate::sync::{random_seed, thread_local};

#[derive(Debug)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    pub(crate) fn new(seed: u64) -> SplitMix64 {
        SplitMix64(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is above 0. The bias of the remainder is below bound / 2^64.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// A number below `bound` from a generator of this thread's own, seeded once from the process's random keys.
pub(crate) fn below(bound: usize) -> usize {
    thread_local!(static STATE: Cell<Option<u64>> = const { Cell::new(None) });
    STATE.with(|state| {
        let mut generator = SplitMix64(state.get().unwrap_or_else(random_seed));
        let number = generator.below(bound);
        state.set(Some(generator.0));
        number
    })
}

/// Any of `len` places but the one to be skipped, by a number `below` that of the choices; `None` if there is no other.
pub(crate) fn place_but(skipped: Option<usize>, len: usize, below: impl FnOnce(usize) -> usize) -> Option<usize> {
    let choices = len - usize::from(skipped.is_some());
    if choices == 0 {
        return None;
    }
    let at = below(choices);
    Some(at + usize::from(skipped.is_some_and(|skipped| at >= skipped)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_numbers_of_seed_1234567() {
        let mut generator = SplitMix64::new(1_234_567);
        let numbers: Vec<u64> = (0..3).map(|_| generator.next()).collect();
        assert_eq!(numbers, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn any_place_but_the_one_that_is_skipped() {
        let places = |skipped, len, numbers: std::ops::Range<usize>| -> Vec<Option<usize>> {
            numbers.map(|number| place_but(skipped, len, |_| number)).collect()
        };
        assert_eq!(places(None, 3, 0..3), [Some(0), Some(1), Some(2)]);
        assert_eq!(places(Some(0), 3, 0..2), [Some(1), Some(2)]);
        assert_eq!(places(Some(1), 3, 0..2), [Some(0), Some(2)]);
        assert_eq!((places(Some(0), 1, 0..1), places(None, 0, 0..1)), (vec![None], vec![None]));
    }

    #[test]
    fn below_stays_below() {
        assert!((0..1000).all(|_| below(3) < 3));
    }
}
