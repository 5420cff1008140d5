//! A table of places in a row, by hash: where in the row is what has this hash? The row is the owner's, who knows what lies there.
//!
//! Open addressing with linear probing (Knuth, The Art of Computer Programming 6.4, algorithms L and R): an entry has 8 bytes, and one that
//! is looked for lies mostly in the first cache line that is looked at. So among a million, whose table no cache holds, a look-up
//! waits for memory once.

pub(crate) struct Places {
    /// A power of two of them, or none.
    entries: Vec<Entry>,
    len: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    /// The lower half of the hash, whose lowest bits say where it belongs.
    tag: u32,
    /// `NONE` if it is empty.
    place: u32,
}

const NONE: u32 = u32::MAX;
const EMPTY: Entry = Entry { tag: 0, place: NONE };
const LEAST: usize = 4;

impl Places {
    pub(crate) const fn new() -> Places {
        Places { entries: Vec::new(), len: 0 }
    }

    /// The place with this hash that `is` the one looked for.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl Fn(usize) -> bool) -> Option<usize> {
        self.index(hash, is).map(|index| self.entries[index].place as usize)
    }

    /// One more, which is not there yet.
    pub(crate) fn add(&mut self, hash: u64, place: usize) {
        // At most three quarters are full.
        if (self.len + 1) * 4 > self.entries.len() * 3 {
            self.grow();
        }
        self.len += 1;
        // No memory holds a row of so many.
        self.put(Entry { tag: hash as u32, place: u32::try_from(place).unwrap_or(NONE) });
    }

    /// Takes out the place with this hash that `is` the one looked for.
    pub(crate) fn remove(&mut self, hash: u64, is: impl Fn(usize) -> bool) -> Option<usize> {
        let mut hole = self.index(hash, is)?;
        let place = self.entries[hole].place;
        self.len -= 1;
        // Whatever comes behind it and would be looked for from there, or from before it, moves up.
        let mask = self.entries.len() - 1;
        let mut next = (hole + 1) & mask;
        while self.entries[next].place != NONE {
            let home = self.entries[next].tag as usize & mask;
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(hole) & mask {
                self.entries[hole] = self.entries[next];
                hole = next;
            }
            next = (next + 1) & mask;
        }
        self.entries[hole] = EMPTY;
        Some(place as usize)
    }

    /// What was at one place is now at another.
    pub(crate) fn replace(&mut self, hash: u64, from: usize, to: usize) {
        if let Some(index) = self.index(hash, |place| place == from) {
            self.entries[index].place = to as u32;
        }
    }

    #[inline]
    fn index(&self, hash: u64, is: impl Fn(usize) -> bool) -> Option<usize> {
        let mask = self.entries.len().checked_sub(1)?;
        let mut index = hash as u32 as usize & mask;
        loop {
            let entry = self.entries[index];
            if entry.place == NONE {
                return None;
            }
            if entry.tag == hash as u32 && is(entry.place as usize) {
                return Some(index);
            }
            index = (index + 1) & mask;
        }
    }

    fn put(&mut self, entry: Entry) {
        let mask = self.entries.len() - 1;
        let mut index = entry.tag as usize & mask;
        while self.entries[index].place != NONE {
            index = (index + 1) & mask;
        }
        self.entries[index] = entry;
    }

    fn grow(&mut self) {
        let more = vec![EMPTY; (2 * self.entries.len()).max(LEAST)];
        let before = std::mem::replace(&mut self.entries, more);
        before.into_iter().filter(|entry| entry.place != NONE).for_each(|entry| self.put(entry));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::random::SplitMix64;

    /// Against a map, with so few hashes that many fall together, some around the end of the table.
    #[test]
    fn whatever_is_put_in_and_taken_out_the_rest_is_found() {
        let (mut places, mut map, mut random) = (Places::new(), BTreeMap::new(), SplitMix64::new(7));
        for step in 0..3_000 {
            let place = random.below(200);
            let hash = |place: usize| u64::MAX - (place as u64 % 23);
            match map.remove(&place) {
                Some(()) => assert_eq!(places.remove(hash(place), |other| other == place), Some(place)),
                None => {
                    map.insert(place, ());
                    places.add(hash(place), place);
                }
            }
            let is_found = |place: usize| places.find(hash(place), |other| other == place) == Some(place);
            assert!((0..200).all(|place| is_found(place) == map.contains_key(&place)), "after {step} steps");
            assert_eq!(places.len, map.len());
        }
    }

    #[test]
    fn what_has_moved_is_found_where_it_is() {
        let mut places = Places::new();
        places.add(1, 0);
        places.add(1, 1);
        places.replace(1, 1, 5);
        assert_eq!((places.find(1, |place| place == 5), places.find(1, |place| place == 1)), (Some(5), None));
    }
}
