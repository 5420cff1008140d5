//! Ids: 64-bit values that stand for what C cannot hold. Any value in any place gives a result.
//!
//! From the top: 4 bits kind, 14 bits tag of this copy of the library, 22 bits generation, 24 bits slot. 0 is none. There is one
//! table per kind, so that an older generation of a slot is known to have been issued for that kind and to have ended.
//! A slot's generation rises when its value is taken out, and a slot whose generations are used up is never used again: no id
//! comes twice. A look-up takes a reference of its own, so taking a value out beside a running call is safe.
//!
//! In a child made by fork the locks here may be held for ever, so every look-up fails before it takes one; a call that looks
//! nothing up checks by itself.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::{Error, Result, fork};

const SLOT_BITS: u32 = 24;
const GENERATION_BITS: u32 = 22;
const TAG_BITS: u32 = 14;
const KIND_SHIFT: u32 = SLOT_BITS + GENERATION_BITS + TAG_BITS;
const SLOTS_MAX: u32 = 1 << SLOT_BITS;
const GENERATION_END: u32 = 1 << GENERATION_BITS;

/// The size of the first chunk, a power of two; each later one is twice the one before.
const FIRST_CHUNK: u32 = 64;
const CHUNKS: usize = (SLOT_BITS - FIRST_CHUNK.ilog2() + 1) as usize;

/// What an id stands for, by the number in its top bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    System = 1,
    Peer = 2,
    Events = 3,
    Resource = 4,
    Message = 5,
    List = 6,
    Pending = 7,
}

impl Kind {
    fn named(number: u64) -> &'static str {
        match number {
            1 => "a system",
            2 => "a peer",
            3 => "an event reader",
            4 => "a resource",
            5 => "a message",
            6 => "a list",
            7 => "a pending call",
            _ => "nothing",
        }
    }
}

pub(super) struct Table<T> {
    kind: Kind,
    chunks: [OnceLock<Box<[Slot<T>]>>; CHUNKS],
    /// How many slots have ever been used.
    len: AtomicU32,
    free: Mutex<Vec<u32>>,
    /// How many slots have no generation left.
    used_up: AtomicU32,
}

type Slot<T> = Mutex<Place<T>>;

struct Place<T> {
    /// Of the id that is or will be issued next for this slot.
    generation: u32,
    value: Option<T>,
}

/// What an id stands for now.
pub(super) enum Found<T> {
    Live(T),
    /// It was issued, and its value has been taken out.
    Ended,
}

impl<T> Table<T> {
    pub(super) const fn new(kind: Kind) -> Table<T> {
        Table {
            kind,
            chunks: [const { OnceLock::new() }; CHUNKS],
            len: AtomicU32::new(0),
            free: Mutex::new(Vec::new()),
            used_up: AtomicU32::new(0),
        }
    }

    /// Puts a value in and gives its id.
    pub(super) fn insert(&self, value: T) -> Result<u64> {
        let id = self.reserve()?;
        self.fill(id, || value);
        Ok(id)
    }

    /// An id whose value comes later; until then it counts as never issued.
    pub(super) fn reserve(&self) -> Result<u64> {
        fork::check()?;
        let slot = match self.free.lock().pop() {
            Some(slot) => slot,
            None => {
                let next = |len: u32| (len < SLOTS_MAX).then_some(len + 1);
                let new = self.len.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
                new.map_err(|_| Error::LimitReached(format!("{SLOTS_MAX} ids of one kind at a time")))?
            }
        };
        let generation = self.place(slot).lock().generation;
        Ok((self.kind as u64) << KIND_SHIFT
            | u64::from(tag()) << (SLOT_BITS + GENERATION_BITS)
            | u64::from(generation) << SLOT_BITS
            | u64::from(slot))
    }

    /// Gives a reserved id its value, unless it has one, or is over already.
    pub(super) fn fill(&self, id: u64, value: impl FnOnce() -> T) {
        let (slot, generation) = parts(id);
        let mut place = self.place(slot).lock();
        if place.generation == generation && place.value.is_none() {
            place.value = Some(value());
        }
    }

    /// How many ids are neither released nor ended; those that come and go meanwhile may count or not.
    pub(super) fn live(&self) -> u64 {
        let over = self.free.lock().len() as u64 + u64::from(self.used_up.load(Ordering::Relaxed));
        u64::from(self.len.load(Ordering::Relaxed)).saturating_sub(over)
    }

    /// Takes the value out; the id is over.
    pub(super) fn remove(&self, id: u64) -> Result<Found<T>> {
        self.check(id)?;
        let (slot, generation) = parts(id);
        let value = {
            let mut place = self.place(slot).lock();
            if generation < place.generation {
                return Ok(Found::Ended);
            }
            if generation > place.generation {
                return Err(never_issued());
            }
            let Some(value) = place.value.take() else {
                return Err(never_issued());
            };
            place.generation += 1;
            if place.generation < GENERATION_END {
                self.free.lock().push(slot);
            } else {
                self.used_up.fetch_add(1, Ordering::Relaxed);
            }
            value
        };
        Ok(Found::Live(value))
    }

    /// Ends an id that was reserved and got no value.
    pub(super) fn give_up(&self, id: u64) {
        let (slot, generation) = parts(id);
        let place = self.place(slot).lock();
        if place.generation == generation && place.value.is_none() {
            self.free.lock().push(slot);
        }
    }

    /// Whether it is an id of this table that was or will be issued: the kind, the copy and the slot are right. Before any lock is
    /// taken, and so fails in a child made by fork.
    fn check(&self, id: u64) -> Result<()> {
        fork::check()?;
        let (kind, of_copy) = (id >> KIND_SHIFT, (id >> (SLOT_BITS + GENERATION_BITS)) as u32 & ((1 << TAG_BITS) - 1));
        if id == 0 {
            return Err(Error::InvalidHandle(format!("0 is no id; {} is wanted", Kind::named(self.kind as u64))));
        }
        if kind != self.kind as u64 {
            let (wanted, given) = (Kind::named(self.kind as u64), Kind::named(kind));
            return Err(Error::InvalidHandle(format!("{wanted} is wanted, and this is {given}")));
        }
        if of_copy != tag() {
            return Err(Error::InvalidHandle("it was issued by another loaded copy of the library".to_owned()));
        }
        let (slot, generation) = parts(id);
        if slot >= self.len.load(Ordering::Acquire) || generation == 0 {
            return Err(never_issued());
        }
        Ok(())
    }

    /// The place of a slot below `len`.
    fn place(&self, slot: u32) -> &Slot<T> {
        let at = slot + FIRST_CHUNK;
        let chunk = at.ilog2() - FIRST_CHUNK.ilog2();
        let size = FIRST_CHUNK << chunk;
        let places = self.chunks[chunk as usize]
            .get_or_init(|| (0..size).map(|_| Mutex::new(Place { generation: 1, value: None })).collect());
        &places[(at - size) as usize]
    }
}

impl<T: Clone> Table<T> {
    /// What the id stands for; a reference of the caller's own.
    pub(super) fn find(&self, id: u64) -> Result<Found<T>> {
        self.check(id)?;
        let (slot, generation) = parts(id);
        let place = self.place(slot).lock();
        if generation < place.generation {
            return Ok(Found::Ended);
        }
        match &place.value {
            Some(value) if generation == place.generation => Ok(Found::Live(value.clone())),
            _ => Err(never_issued()),
        }
    }

    /// The value of an id that owns a reference.
    pub(super) fn get(&self, id: u64) -> Result<T> {
        match self.find(id)? {
            Found::Live(value) => Ok(value),
            Found::Ended => Err(self.released()),
        }
    }

    /// The value of an id that is a name: one that has ended is closed.
    pub(super) fn get_named(&self, id: u64) -> Result<T> {
        match self.find(id)? {
            Found::Live(value) => Ok(value),
            Found::Ended => Err(Error::Closed { name: String::new() }),
        }
    }
}

impl<T> Table<T> {
    /// Takes out the value of an id that owns a reference.
    pub(super) fn release(&self, id: u64) -> Result<T> {
        match self.remove(id)? {
            Found::Live(value) => Ok(value),
            Found::Ended => Err(self.released()),
        }
    }

    fn released(&self) -> Error {
        Error::InvalidHandle(format!(
            "this id of {} was released, or lent to a callback that has returned",
            Kind::named(self.kind as u64)
        ))
    }
}

fn parts(id: u64) -> (u32, u32) {
    (id as u32 & (SLOTS_MAX - 1), (id >> SLOT_BITS) as u32 & (GENERATION_END - 1))
}

fn never_issued() -> Error {
    Error::InvalidHandle("this id was never issued".to_owned())
}

/// Tells this loaded copy of the library from others in the process: random, not 0.
fn tag() -> u32 {
    static TAG: OnceLock<u32> = OnceLock::new();
    *TAG.get_or_init(|| {
        let keys = RandomState::new().hash_one(std::ptr::from_ref(&TAG) as usize);
        (keys % ((1 << TAG_BITS) - 1)) as u32 + 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_once_and_answer_when_stale() {
        let table: Table<u32> = Table::new(Kind::Resource);
        let first = table.insert(7).unwrap();
        assert_eq!(table.get(first), Ok(7));
        assert_eq!(table.release(first), Ok(7));
        assert!(matches!(table.get(first), Err(Error::InvalidHandle(_))));
        assert!(matches!(table.release(first), Err(Error::InvalidHandle(_))));
        assert!(matches!(table.get_named(first), Err(Error::Closed { .. })));
        let second = table.insert(8).unwrap();
        assert_ne!(first, second);
        assert_eq!(table.live(), 1);
        assert!(matches!(table.get(first), Err(Error::InvalidHandle(_))));
        assert_eq!(table.get(second), Ok(8));
    }

    #[test]
    fn any_value_is_answered() {
        let table: Table<u32> = Table::new(Kind::List);
        let other: Table<u32> = Table::new(Kind::Events);
        let id = table.insert(1).unwrap();
        other.insert(2).unwrap();
        for bit in 0..64 {
            assert!(matches!(table.get(id ^ (1 << bit)), Err(Error::InvalidHandle(_))), "bit {bit}");
            assert!(matches!(other.get(id ^ (1 << bit)), Err(Error::InvalidHandle(_))), "bit {bit}");
            assert!(matches!(table.release(id ^ (1 << bit)), Err(Error::InvalidHandle(_))), "bit {bit}");
        }
        assert_eq!(table.get(id), Ok(1), "nobody else's value was released");
        for value in [0, 1, u64::MAX, u64::MAX >> 4] {
            assert!(matches!(table.find(value), Err(Error::InvalidHandle(_))), "{value:x}");
        }
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_never_used_again() {
        let table: Table<u32> = Table::new(Kind::Message);
        let first = table.insert(0).unwrap();
        table.release(first).unwrap();
        table.place(0).lock().generation = GENERATION_END - 1;
        let last = table.insert(1).unwrap();
        assert_eq!(parts(last), (0, GENERATION_END - 1));
        table.release(last).unwrap();
        let next = table.insert(2).unwrap();
        assert_eq!((parts(next), table.live()), ((1, 1), 1));
        assert!(matches!(table.get(last), Err(Error::InvalidHandle(_))));
    }

    #[test]
    fn slots_lie_in_chunks_that_double() {
        let table: Table<u32> = Table::new(Kind::System);
        let ids: Vec<u64> = (0..1000).map(|value| table.insert(value).unwrap()).collect();
        assert!(ids.iter().zip(0..).all(|(id, value)| table.get(*id) == Ok(value)));
        assert!(table.chunks[4].get().is_some() && table.chunks[5].get().is_none());
    }
}
