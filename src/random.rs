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

/// What places are picked by.
struct Picker {
    generator: SplitMix64,
    /// Where the stretch begins that it picks from, as a part of 2^64.
    stretch: u64,
    /// How many picks it stays there.
    left: u32,
}

/// So many places make a stretch; of fewer, each pick may be any.
const STRETCH: usize = 128;
/// So many picks in a row are of one stretch: the first ones bring it into the caches for the rest.
const STAY: u32 = 16 * STRETCH as u32;

impl Picker {
    fn new(seed: u64) -> Picker {
        Picker { generator: SplitMix64::new(seed), stretch: 0, left: 0 }
    }

    fn pick(&mut self, places: usize) -> usize {
        if places <= STRETCH {
            return self.generator.below(places);
        }
        if self.left == 0 {
            (self.stretch, self.left) = (self.generator.next(), STAY);
        }
        self.left -= 1;
        let from = ((u128::from(self.stretch) * places as u128) >> 64) as usize;
        let at = from + self.generator.below(STRETCH);
        // Round the end, so that no place is in more stretches than another.
        if at < places { at } else { at - places }
    }
}

fn with_picker<T>(run: impl FnOnce(&mut Picker) -> T) -> T {
    thread_local!(static PICKER: Cell<Option<Picker>> = const { Cell::new(None) });
    PICKER.with(|cell| {
        let mut picker = cell.take().unwrap_or_else(|| Picker::new(random_seed()));
        let result = run(&mut picker);
        cell.set(Some(picker));
        result
    })
}

/// A number below `bound` from a generator of this thread's own, seeded once from the process's random keys.
pub(crate) fn below(bound: usize) -> usize {
    with_picker(|picker| picker.generator.below(bound))
}

/// The same for one of so many places: each is as likely as any other, but of thousands those that a thread picks one after another
/// lie near one another for a while. What lies there is then found in the caches, where of places all over they hold none.
pub(crate) fn pick(places: usize) -> usize {
    with_picker(|picker| picker.pick(places))
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
        assert!((0..1000).all(|_| below(3) < 3 && pick(3) < 3));
    }

    #[test]
    fn of_few_places_each_pick_may_be_any() {
        let mut picker = Picker::new(1);
        let mut seen = [0; STRETCH];
        (0..100 * STRETCH).for_each(|_| seen[picker.pick(STRETCH)] += 1);
        assert!(seen.iter().all(|count| (50..160).contains(count)), "{seen:?}");
    }

    #[test]
    fn of_many_places_each_is_as_likely_and_picks_in_a_row_lie_near_one_another() {
        const PLACES: usize = 3 * STRETCH;
        let mut picker = Picker::new(1);
        let mut seen = [0_usize; PLACES];
        let stretches = 300;
        for _ in 0..stretches {
            let mut here = [false; PLACES];
            for _ in 0..STAY {
                let place = picker.pick(PLACES);
                seen[place] += 1;
                here[place] = true;
            }
            assert!(here.iter().filter(|is| **is).count() <= STRETCH);
        }
        // A place is in a third of all stretches, and picked 16 times in each.
        let expected = stretches * STAY as usize / PLACES;
        assert!(seen.iter().all(|count| count.abs_diff(expected) < expected / 2), "{seen:?}");
    }
}
