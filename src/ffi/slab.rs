//! Slots for values that are found by number: one shard of a table of ids. Knows nothing of ids but their generations. No lock.
//!
//! A slot has one word: generation, LIVE, and how many references to the value there are, which are those of running calls.
//!
//! | a slot that is | generation | LIVE | references | changed by |
//! |---|---|---|---|---|
//! | vacant: in the stack, or its `Vacant`'s | the next to be issued | no | 0 | `Vacant::fill`, which makes it live |
//! | live | that of its value | yes | any | `find` and `Ref`, by one each; `remove`, which raises the generation and ends it |
//! | over, with a value in use | the next to be issued | no | at least 1 | `Ref`; the last one takes the value out and makes it vacant |
//! | used up | `GENERATION_END` | no | 0 | nobody |
//!
//! Who asks for another generation than that of a live slot changes nothing. So a vacant slot is its owner's alone, and one that is over
//! can only lose references: whoever takes the last one away is alone with the value.
//!
//! - `fill` writes the value, then the word (Release); `find` counts itself in (Acquire) before it reads the value.
//! - A `Ref` counts itself out (Release) after its last look at the value; the one that is the last (Acquire) takes it out after all of those.
//! - Vacant slots are a stack: `head` is changed by read-modify-writes alone, so that whoever pops (Acquire) comes after all that was done
//!   before each push (Release). Its upper part counts the pops: a slot that was popped and pushed again meanwhile makes another word.
//!
//! A value dies after its slot is vacant, under no lock: its destructor may be the host's code.

use std::ops::Deref;

use crate::sync::{AtomicU64, OnceLock, Ordering, UnsafeCell};

/// How many bits of an id are the number of a slot in its slab, and its generation.
pub(super) const INDEX_BITS: u32 = 18;
pub(super) const GENERATION_BITS: u32 = 22;
const GENERATION_END: u64 = 1 << GENERATION_BITS;

const SLOTS_MAX: u64 = 1 << INDEX_BITS;
/// The size of the first chunk, a power of two; each later one is twice the one before.
const FIRST_CHUNK: u64 = if cfg!(loom) { 2 } else { 16 };
const CHUNKS: usize = (INDEX_BITS - FIRST_CHUNK.ilog2() + 1) as usize;

/// A word: 39 bits of references, LIVE, the generation.
const LIVE: u64 = 1 << 39;
const REFERENCES: u64 = LIVE - 1;
const GENERATION_SHIFT: u32 = 40;

/// A head: the number of a slot and 1, where 0 is none; above, how many were popped. By the time that comes round again in full, the thread
/// that would mistake it has slept for a day between two instructions.
const HEAD_SHIFT: u32 = 24;
const HEAD_SLOT: u64 = (1 << HEAD_SHIFT) - 1;

/// Apart from its neighbours, so that threads that use different slabs change no memory that is close together.
#[repr(align(128))]
pub(super) struct Slab<T> {
    /// Its number among others.
    number: u64,
    /// The stack of vacant slots.
    head: AtomicU64,
    /// How many slots have ever been used.
    len: AtomicU64,
    chunks: [OnceLock<Box<[Slot<T>]>>; CHUNKS],
}

/// A cache line of its own: peers that are neighbours here belong to different threads.
#[repr(align(64))]
struct Slot<T> {
    word: AtomicU64,
    /// Its number among those of all slabs.
    number: u64,
    /// While it is in the stack: what `head` shall be without it.
    next: AtomicU64,
    /// Written by whoever is alone with it, read by those who have a reference.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: a value is moved in and out by one thread, and borrowed by several.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

impl<T> Slab<T> {
    /// The slab with this number among others.
    pub(super) fn new(number: usize) -> Slab<T> {
        let chunks = [const { OnceLock::new() }; CHUNKS];
        Slab { number: number as u64, head: AtomicU64::new(0), len: AtomicU64::new(0), chunks }
    }

    /// A vacant slot; `None` if all are in use.
    pub(super) fn take(&self) -> Option<Vacant<'_, T>> {
        let slot = self.pop().or_else(|| self.grow())?;
        Some(Vacant { slab: self, slot })
    }

    /// A slot that was never used.
    #[cold]
    fn grow(&self) -> Option<&Slot<T>> {
        let next = |len: u64| (len < SLOTS_MAX).then_some(len + 1);
        let index = self.len.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        let (chunk, at, size) = place(index);
        let first = self.number << INDEX_BITS | (index - at as u64);
        let slots = self.chunks[chunk].get_or_init(|| (first..first + size).map(Slot::new).collect());
        slots.get(at)
    }

    /// A reference to the value; a removal beside it leaves the value there until the reference is gone. `None`: there is no such value.
    pub(super) fn find(&self, index: u64, generation: u64) -> Option<Ref<'_, T>> {
        self.change(index, generation, |word| word + 1)
    }

    /// The id is over; gives a reference to its value, which dies with the last one. `None`: there is no such value.
    pub(super) fn remove(&self, index: u64, generation: u64) -> Option<Ref<'_, T>> {
        self.change(index, generation, |word| (word & !LIVE) + (1 << GENERATION_SHIFT) + 1)
    }

    /// Changes the word of a live slot of this generation so that it counts one reference more.
    #[inline(always)]
    fn change(&self, index: u64, generation: u64, to: impl Fn(u64) -> u64) -> Option<Ref<'_, T>> {
        let slot = self.slot(index)?;
        let mut word = slot.word.load(Ordering::Relaxed);
        loop {
            if word & LIVE == 0 || word >> GENERATION_SHIFT != generation {
                return None;
            }
            match slot.word.compare_exchange(word, to(word), Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(Ref { slab: self, slot }),
                Err(changed) => word = changed,
            }
        }
    }

    /// Whether there was such a value, and it has been removed.
    pub(super) fn is_over(&self, index: u64, generation: u64) -> bool {
        let word = self.slot(index).map_or(0, |slot| slot.word.load(Ordering::Relaxed));
        (1..word >> GENERATION_SHIFT).contains(&generation)
    }

    /// How many values are live; those that come and go meanwhile may count or not.
    pub(super) fn live(&self) -> u64 {
        let slots = self.chunks.iter().filter_map(OnceLock::get).flatten();
        slots.filter(|slot| slot.word.load(Ordering::Relaxed) & LIVE != 0).count() as u64
    }

    fn slot(&self, index: u64) -> Option<&Slot<T>> {
        let (chunk, at, _) = place(index);
        self.chunks.get(chunk)?.get()?.get(at)
    }

    fn pop(&self) -> Option<&Slot<T>> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let index = (head & HEAD_SLOT).checked_sub(1)?;
            // Popped meanwhile, it is anything, and the exchange fails.
            let slot = self.slot(index)?;
            let next = slot.next.load(Ordering::Relaxed);
            let popped = ((head >> HEAD_SHIFT) + 1) << HEAD_SHIFT | next;
            match self.head.compare_exchange(head, popped, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(slot),
                Err(changed) => head = changed,
            }
        }
    }

    fn push(&self, slot: &Slot<T>) {
        let index = slot.number % SLOTS_MAX;
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            slot.next.store(head & HEAD_SLOT, Ordering::Relaxed);
            let pushed = head & !HEAD_SLOT | (index + 1);
            match self.head.compare_exchange(head, pushed, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(changed) => head = changed,
            }
        }
    }
}

impl<T> Slot<T> {
    fn new(number: u64) -> Slot<T> {
        let word = AtomicU64::new(1 << GENERATION_SHIFT);
        Slot { word, number, next: AtomicU64::new(0), value: UnsafeCell::new(None) }
    }
}

/// The chunk of a slot, its place there, and how many slots that chunk has.
fn place(index: u64) -> (usize, usize, u64) {
    let at = index + FIRST_CHUNK;
    let chunk = at.ilog2() - FIRST_CHUNK.ilog2();
    let size = FIRST_CHUNK << chunk;
    (chunk as usize, (at - size) as usize, size)
}

/// A vacant slot, and nobody else's. Dropped, it is vacant as it was: its generation was never issued.
pub(super) struct Vacant<'a, T> {
    slab: &'a Slab<T>,
    slot: &'a Slot<T>,
}

impl<'a, T> Vacant<'a, T> {
    /// Of its slot among those of all slabs.
    #[inline(always)]
    pub(super) fn number(&self) -> u64 {
        self.slot.number
    }

    /// The one that its value will have.
    #[inline(always)]
    pub(super) fn generation(&self) -> u64 {
        self.slot.word.load(Ordering::Relaxed) >> GENERATION_SHIFT
    }

    /// Puts a value in, which is found from now on.
    #[inline(always)]
    pub(super) fn fill(self, value: T) {
        // SAFETY: the slot is vacant and this is its owner, so nobody else reads or writes the value; and there is none that would be lost.
        self.slot.value.with_mut(|place| unsafe { place.write(Some(value)) });
        self.slot.word.store(self.generation() << GENERATION_SHIFT | LIVE, Ordering::Release);
        std::mem::forget(self);
    }
}

impl<T> Drop for Vacant<'_, T> {
    fn drop(&mut self) {
        self.slab.push(self.slot);
    }
}

/// A counted reference to a value.
pub(super) struct Ref<'a, T> {
    slab: &'a Slab<T>,
    slot: &'a Slot<T>,
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: as long as this reference is counted nobody writes the value, which is taken out only after the last one.
        self.slot.value.with(|place| unsafe { (*place).as_ref().unwrap_unchecked() })
    }
}

impl<T> Drop for Ref<'_, T> {
    fn drop(&mut self) {
        self.count_out(drop);
    }
}

impl<'a, T> Ref<'a, T> {
    /// As if it was dropped, but if that makes the slot vacant `keep` gets it.
    #[inline(always)]
    pub(super) fn leave(self, keep: impl FnOnce(Vacant<'a, T>)) {
        std::mem::ManuallyDrop::new(self).count_out(keep);
    }

    #[inline(always)]
    fn count_out(&self, keep: impl FnOnce(Vacant<'a, T>)) {
        // The last reference to what is over: no other can come, so it need not be counted out.
        let is_last = |word: u64| word & (LIVE | REFERENCES) == 1;
        let word = self.slot.word.load(Ordering::Acquire);
        if is_last(word) || is_last(self.slot.word.fetch_sub(1, Ordering::AcqRel)) {
            self.take_out(keep);
        }
    }

    /// Makes the slot vacant, and then drops the value.
    #[inline(always)]
    fn take_out(&self, keep: impl FnOnce(Vacant<'a, T>)) {
        // SAFETY: it was the last reference, and there will be no other before the slot is filled again, for which it must be vacant.
        let value = self.slot.value.with_mut(|place| unsafe { (*place).take() });
        let generation = self.slot.word.load(Ordering::Relaxed) >> GENERATION_SHIFT;
        self.slot.word.store(generation << GENERATION_SHIFT, Ordering::Relaxed);
        if generation < GENERATION_END {
            keep(Vacant { slab: self.slab, slot: self.slot });
        }
        drop(value);
    }
}

#[cfg(test)]
impl<T> Slab<T> {
    /// How many slots have ever been used.
    pub(super) fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// As if all slots that were never used were in use.
    pub(super) fn fill_up(&self) {
        self.len.store(SLOTS_MAX, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn insert(slab: &Slab<u32>, value: u32) -> (u64, u64) {
        let vacant = slab.take().unwrap();
        let id = (vacant.number(), vacant.generation());
        vacant.fill(value);
        id
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_never_used_again() {
        let slab = Slab::new(0);
        let (index, first) = insert(&slab, 0);
        assert!(slab.remove(index, first).is_some());
        slab.slot(index).unwrap().word.store((GENERATION_END - 1) << GENERATION_SHIFT, Ordering::Relaxed);
        let last = insert(&slab, 1);
        assert_eq!(last, (index, GENERATION_END - 1));
        assert!(slab.remove(index, last.1).is_some());
        let next = insert(&slab, 2);
        assert_eq!((next, slab.live()), ((1, 1), 1));
        assert!(slab.find(index, last.1).is_none() && slab.is_over(index, last.1));
        assert!(slab.find(index, 0).is_none() && !slab.is_over(index, 0), "0 is no generation");
        assert!(slab.find(2, 1).is_none() && !slab.is_over(2, 1), "there is no such slot yet");
    }

    #[test]
    fn slots_lie_in_chunks_that_double() {
        let slab = Slab::new(0);
        let ids: Vec<_> = (0..250).map(|value| insert(&slab, value)).collect();
        let found = |(index, generation)| slab.find(index, generation).is_some_and(|value| *value == index as u32);
        assert!(ids.into_iter().all(found));
        assert!(slab.chunks[4].get().is_some() && slab.chunks[5].get().is_none());
        assert_eq!(place(SLOTS_MAX - 1).0, CHUNKS - 1);
    }

    #[test]
    fn the_slot_that_was_left_last_is_taken_first() {
        let slab = Slab::new(0);
        let ids: Vec<_> = (0..3).map(|value| insert(&slab, value)).collect();
        for (index, generation) in [ids[2], ids[0], ids[1]] {
            assert!(slab.remove(index, generation).is_some());
        }
        assert_eq!([3, 4, 5, 6].map(|value| insert(&slab, value)), [(1, 2), (0, 2), (2, 2), (3, 1)]);
    }
}
