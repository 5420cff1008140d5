//! Ids: 64-bit values that stand for what C cannot hold. Any value in any place gives a result.
//!
//! From the top: 4 bits kind, 14 bits tag of this copy of the library, 22 bits generation, 24 bits slot. 0 is none. There is one
//! table per kind, so that an older generation of a slot is known to have been issued for that kind and to have ended.
//! A slot's generation rises when its id is removed, and a slot whose generations are used up is never used again: no id
//! comes twice. A look-up takes a reference of its own, so removing an id beside a running call is safe.
//!
//! The upper 6 bits of a slot are its slab (`slab`), which has the slots and no lock. A thread takes new ids from a slab of its own,
//! which it shares with others only where there are many threads, and from the next where that one is full; a removed id goes back to where it came from.
//! Of a kind whose ids come and go with each call (`Held::spare`) a thread keeps one slot that it has made vacant, and takes its next id from
//! that: which looks at nothing that threads share. When the thread ends, it goes back.
//!
//! In a child made by fork a slab may be in the middle of anything, so every look-up fails before it touches one; a call that looks
//! nothing up checks by itself.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::LocalKey;

use parking_lot::Mutex;

use super::slab::{self, GENERATION_BITS, INDEX_BITS, Slab, Vacant};
use crate::{Error, Result, cancel, fork};

const SLAB_BITS: u32 = 6;
const TAG_BITS: u32 = 14;
const SLABS: usize = 1 << SLAB_BITS;

const SLOT_BITS: u32 = SLAB_BITS + INDEX_BITS;
const TAG_SHIFT: u32 = SLOT_BITS + GENERATION_BITS;
const KIND_SHIFT: u32 = TAG_SHIFT + TAG_BITS;

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

/// What ids stand for.
pub(super) trait Held: Send + Sync + Sized + 'static {
    /// Where the calling thread keeps a vacant slot for its next id. For a type of which there is one table.
    #[inline(always)]
    fn spare() -> Option<&'static LocalKey<Spare<Self>>> {
        None
    }
}

pub(super) type Spare<T> = Cell<Option<Vacant<'static, T>>>;

/// The ids of one kind and their values.
pub(super) struct Table<T> {
    kind: Kind,
    slabs: [OnceLock<Box<Slab<T>>>; SLABS],
}

impl<T: Held> Table<T> {
    pub(super) const fn new(kind: Kind) -> Table<T> {
        Table { kind, slabs: [const { OnceLock::new() }; SLABS] }
    }

    /// Puts a value in and gives its id.
    #[inline(always)]
    pub(super) fn insert(&'static self, value: T) -> Result<u64> {
        let (id, vacant) = self.issue()?;
        vacant.fill(value);
        Ok(id)
    }

    /// An id whose value comes later.
    pub(super) fn reserve(&'static self) -> Result<Reserved<T>> {
        let (id, vacant) = self.issue()?;
        Ok(Reserved { id, vacant: Mutex::new(Some(vacant)) })
    }

    #[inline(always)]
    fn issue(&'static self) -> Result<(u64, Vacant<'static, T>)> {
        fork::check()?;
        let vacant = match T::spare().and_then(|spare| spare.try_with(Cell::take).ok()?) {
            Some(vacant) => vacant,
            None => self.take_vacant()?,
        };
        Ok((self.prefix() << TAG_SHIFT | vacant.generation() << SLOT_BITS | vacant.number(), vacant))
    }

    /// A slot of this thread's slab, made if it is not there yet, or of the first after it that is not full.
    #[inline(never)]
    fn take_vacant(&'static self) -> Result<Vacant<'static, T>> {
        let own = own_slab();
        let take = |at: usize| self.slabs[at].get_or_init(|| Box::new(Slab::new(at))).take();
        let taken = (own..own + SLABS).find_map(|at| take(at % SLABS));
        taken.ok_or_else(|| Error::LimitReached(format!("{} ids of one kind at a time", 1 << SLOT_BITS)))
    }

    /// How many ids are neither released nor ended; those that come and go meanwhile may count or not.
    #[inline(never)]
    pub(super) fn live(&self) -> u64 {
        self.slabs.iter().filter_map(OnceLock::get).map(|slab| slab.live()).sum()
    }

    /// What the id stands for: a reference of the caller's own. `None` of any other number, for which `check_over` has a reason.
    #[inline(always)]
    pub(super) fn find(&'static self, id: u64) -> Option<Ref<T>> {
        self.look(id, |slab, index, generation| slab.find(index, generation))
    }

    /// The id is over; gives a reference to its value. `None` as of `find`.
    #[inline(always)]
    pub(super) fn remove(&'static self, id: u64) -> Option<Ref<T>> {
        self.look(id, |slab, index, generation| slab.remove(index, generation))
    }

    /// Looks into the slab of an id of this table and this copy; not in a child made by fork.
    #[inline(always)]
    fn look(
        &'static self,
        id: u64,
        look: impl FnOnce(&'static Slab<T>, u64, u64) -> Option<slab::Ref<'static, T>>,
    ) -> Option<Ref<T>> {
        if fork::check().is_err() || id >> TAG_SHIFT != self.prefix() {
            return None;
        }
        let (slab, index, generation) = parts(id);
        look(self.slabs[slab].get()?, index, generation).map(|found| Ref(ManuallyDrop::new(found)))
    }

    /// Of an id that is not found: well if it is over, else why it is none.
    #[cold]
    #[inline(never)]
    pub(super) fn check_over(&self, id: u64) -> Result<()> {
        fork::check()?;
        if id >> TAG_SHIFT != self.prefix() {
            return Err(self.not_of_this_table(id));
        }
        let (slab, index, generation) = parts(id);
        match self.slabs[slab].get().is_some_and(|slab| slab.is_over(index, generation)) {
            true => Ok(()),
            false => Err(Error::InvalidHandle("this id was never issued".to_owned())),
        }
    }

    /// What all ids of this table begin with: kind and tag.
    fn prefix(&self) -> u64 {
        (self.kind as u64) << TAG_BITS | tag()
    }

    fn not_of_this_table(&self, id: u64) -> Error {
        let (wanted, kind) = (Kind::named(self.kind as u64), id >> KIND_SHIFT);
        Error::InvalidHandle(match kind {
            _ if id == 0 => format!("0 is no id; {wanted} is wanted"),
            _ if kind != self.kind as u64 => format!("{wanted} is wanted, and this is {}", Kind::named(kind)),
            _ => "it was issued by another loaded copy of the library".to_owned(),
        })
    }

    /// The value of an id that owns a reference.
    #[inline]
    pub(super) fn get(&'static self, id: u64) -> Result<Ref<T>> {
        self.find(id).ok_or_else(|| self.released(id))
    }

    /// The value of an id that is a name: one that has ended is closed.
    #[inline(always)]
    pub(super) fn get_named(&'static self, id: u64) -> Result<Ref<T>> {
        self.find(id).ok_or_else(|| self.closed(id))
    }

    /// Ends an id that owns a reference; gives that.
    #[inline(always)]
    pub(super) fn take(&'static self, id: u64) -> Result<Ref<T>> {
        self.remove(id).ok_or_else(|| self.released(id))
    }

    /// Ends an id that owns a reference, and that with it.
    #[inline(always)]
    pub(super) fn release(&'static self, id: u64) -> Result<()> {
        self.take(id).map(|found| ManuallyDrop::new(found).count_out())
    }

    #[cold]
    fn released(&self, id: u64) -> Error {
        self.check_over(id).err().unwrap_or_else(|| {
            Error::InvalidHandle(format!(
                "this id of {} was released, or lent to a callback that has returned",
                Kind::named(self.kind as u64)
            ))
        })
    }

    #[cold]
    fn closed(&self, id: u64) -> Error {
        self.check_over(id).err().unwrap_or(Error::Closed { name: String::new() })
    }
}

/// The number of an id's slab, its place there and its generation.
#[inline(always)]
fn parts(id: u64) -> (usize, u64, u64) {
    let slab = (id >> INDEX_BITS) as usize % SLABS;
    (slab, id % (1 << INDEX_BITS), (id >> SLOT_BITS) % (1 << GENERATION_BITS))
}

/// A counted reference to a value: it stays as long as this does, whatever becomes of its id.
pub(super) struct Ref<T: Held>(ManuallyDrop<slab::Ref<'static, T>>);

impl<T: Held> Deref for Ref<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Held> Drop for Ref<T> {
    fn drop(&mut self) {
        self.count_out();
    }
}

impl<T: Held> Ref<T> {
    /// As the last thing that is done with it.
    #[inline(always)]
    fn count_out(&mut self) {
        // SAFETY: it is not used again.
        let reference = unsafe { ManuallyDrop::take(&mut self.0) };
        reference.leave(|vacant| {
            if let Some(spare) = T::spare() {
                // One that was kept before goes back to its slab, as this one does on a thread that is ending.
                let _ = spare.try_with(|spare| drop(spare.replace(Some(vacant))));
            }
        });
    }
}

/// An id that counts as never issued until it has its value. Dropped before that, it is given up.
pub(super) struct Reserved<T: 'static> {
    id: u64,
    vacant: Mutex<Option<Vacant<'static, T>>>,
}

impl<T> Reserved<T> {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Gives the id its value, unless it has or had one. When this returns it has, whoever gave it.
    pub(super) fn fill(&self, value: impl FnOnce() -> T) {
        let mut vacant = self.vacant.lock();
        if let Some(vacant) = vacant.take() {
            vacant.fill(value());
        }
    }
}

/// Tells this loaded copy of the library from others in the process: random, not 0.
fn tag() -> u64 {
    static TAG: OnceLock<u64> = OnceLock::new();
    *TAG.get_or_init(|| {
        let keys = cancel::put_off(|| RandomState::new().hash_one(std::ptr::from_ref(&TAG) as usize));
        keys % ((1 << TAG_BITS) - 1) + 1
    })
}

/// The slab from which this thread takes ids.
fn own_slab() -> usize {
    thread_local!(static OWN: Cell<Option<usize>> = const { Cell::new(None) });
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    OWN.get().unwrap_or_else(|| {
        let own = NEXT.fetch_add(1, Ordering::Relaxed) % SLABS;
        OWN.set(Some(own));
        own
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::AtomicU64;
    use std::sync::{Arc, Barrier};
    use std::thread;

    use super::*;

    /// A value in the tables of these tests.
    type Value = Arc<u64>;

    impl Held for () {}
    impl Held for u32 {}
    impl Held for u64 {}
    impl Held for Value {}

    /// A value of whose ids each thread keeps one.
    #[derive(Debug, PartialEq)]
    struct Kept(u64);

    impl Held for Kept {
        fn spare() -> Option<&'static LocalKey<Spare<Kept>>> {
            thread_local!(static SPARE: Spare<Kept> = const { Cell::new(None) });
            Some(&SPARE)
        }
    }

    fn slab_of(id: u64) -> u64 {
        (id >> INDEX_BITS) % SLABS as u64
    }

    /// Ids of a table, one after another, of a thread of its own.
    fn insert_elsewhere(table: &'static Table<u64>, values: std::ops::Range<u64>) -> Vec<u64> {
        thread::scope(|scope| scope.spawn(|| values.map(|value| table.insert(value).unwrap()).collect()).join())
            .unwrap()
    }

    #[test]
    fn ids_come_once_and_answer_when_stale() {
        static TABLE: Table<u32> = Table::new(Kind::Resource);
        let table = &TABLE;
        let first = table.insert(7).unwrap();
        assert_eq!(table.get(first).as_deref(), Ok(&7));
        assert_eq!(table.take(first).as_deref(), Ok(&7));
        assert!(matches!(table.get(first), Err(Error::InvalidHandle(_))));
        assert!(matches!(table.release(first), Err(Error::InvalidHandle(_))));
        assert!(matches!(table.get_named(first), Err(Error::Closed { .. })));
        let second = table.insert(8).unwrap();
        assert_ne!(first, second);
        assert_eq!(table.live(), 1);
        assert!(matches!(table.get(first), Err(Error::InvalidHandle(_))));
        assert_eq!(table.get(second).as_deref(), Ok(&8));
    }

    #[test]
    fn any_value_is_answered() {
        static TABLE: Table<u32> = Table::new(Kind::List);
        let table = &TABLE;
        static OTHER: Table<u32> = Table::new(Kind::Events);
        let other = &OTHER;
        let id = table.insert(1).unwrap();
        other.insert(2).unwrap();
        for bit in 0..64 {
            assert!(matches!(table.get(id ^ (1 << bit)), Err(Error::InvalidHandle(_))), "bit {bit}");
            assert!(matches!(other.get(id ^ (1 << bit)), Err(Error::InvalidHandle(_))), "bit {bit}");
            assert!(matches!(table.release(id ^ (1 << bit)), Err(Error::InvalidHandle(_))), "bit {bit}");
        }
        assert_eq!(table.get(id).as_deref(), Ok(&1), "nobody else's value was released");
        for value in [0, 1, u64::MAX, u64::MAX >> 4] {
            assert!(table.find(value).is_none());
            assert!(matches!(table.check_over(value), Err(Error::InvalidHandle(_))), "{value:x}");
        }
    }

    #[test]
    fn a_value_outlives_its_id_as_long_as_somebody_uses_it() {
        static TABLE: Table<Value> = Table::new(Kind::Pending);
        let table = &TABLE;
        let value = Arc::new(0);
        let id = table.insert(Arc::clone(&value)).unwrap();
        let (one, other) = (table.get(id).unwrap(), table.get(id).unwrap());
        table.release(id).unwrap();
        assert!(matches!(table.get(id), Err(Error::InvalidHandle(_))));
        assert_eq!((table.live(), Arc::strong_count(&value)), (0, 2));
        drop(one);
        let next = table.insert(Arc::new(1)).unwrap();
        assert_ne!(next % (1 << SLOT_BITS), id % (1 << SLOT_BITS), "its slot is still in use");
        drop(other);
        assert_eq!(Arc::strong_count(&value), 1);
        let next = table.insert(Arc::new(2)).unwrap();
        assert_eq!(next % (1 << SLOT_BITS), id % (1 << SLOT_BITS), "and then used again");
    }

    #[test]
    fn a_reserved_id_was_never_issued_until_it_is_filled() {
        static TABLE: Table<u32> = Table::new(Kind::Peer);
        let table = &TABLE;
        let reserved = table.reserve().unwrap();
        let id = reserved.id();
        assert!(matches!(table.get_named(id), Err(Error::InvalidHandle(_))));
        assert!(table.remove(id).is_none() && table.check_over(id).is_err());
        assert_eq!(table.live(), 0);
        drop(reserved);
        let reserved = table.reserve().unwrap();
        assert_eq!(reserved.id(), id, "it was given up");
        reserved.fill(|| 1);
        reserved.fill(|| 2);
        assert_eq!(table.get_named(id).as_deref(), Ok(&1));
        table.release(id).unwrap();
        reserved.fill(|| 3);
        assert!(matches!(table.get_named(id), Err(Error::Closed { .. })));
        drop(reserved);
        assert_eq!(table.live(), 0);
    }

    #[test]
    fn a_full_slab_goes_on_in_the_next_and_a_full_table_says_so() {
        static TABLE: Table<()> = Table::new(Kind::Message);
        let table = &TABLE;
        let first: Vec<u64> = (0..1 << INDEX_BITS).map(|_| table.insert(()).unwrap()).collect();
        assert!(first.iter().all(|id| slab_of(*id) == slab_of(first[0])));
        let next = table.insert(()).unwrap();
        assert_eq!(slab_of(next), (slab_of(first[0]) + 1) % SLABS as u64);
        table.release(first[7]).unwrap();
        assert_eq!(slab_of(table.insert(()).unwrap()), slab_of(first[0]), "there is room again");
        // All of the other slabs are as good as full.
        for slab in &table.slabs {
            slab.get_or_init(|| Box::new(Slab::new(0))).fill_up();
        }
        assert!(matches!(table.insert(()), Err(Error::LimitReached(_))));
        assert!(matches!(table.reserve(), Err(Error::LimitReached(_))));
        table.release(next).unwrap();
        assert_eq!(slab_of(table.insert(()).unwrap()), slab_of(next));
        assert!(matches!(table.insert(()), Err(Error::LimitReached(_))));
    }

    #[test]
    fn threads_take_from_slabs_of_their_own_and_give_back_where_it_came_from() {
        static TABLE: Table<u64> = Table::new(Kind::Resource);
        let table = &TABLE;
        let (ours, theirs) = (insert_elsewhere(table, 0..100), insert_elsewhere(table, 100..200));
        assert_ne!(slab_of(ours[0]), slab_of(theirs[0]));
        let all = || ours.iter().chain(&theirs);
        assert!(all().zip(0..).all(|(id, value)| table.get(*id).as_deref() == Ok(&value)));
        assert_eq!((all().collect::<HashSet<_>>().len(), table.live()), (200, 200));
        // Whoever releases, no slab grows: each slot is found again by the threads that it belongs to.
        let used =
            |table: &Table<u64>| table.slabs.iter().filter_map(OnceLock::get).map(|slab| slab.len()).sum::<u64>();
        let before = used(table);
        // Joined one by one: the end of the scope alone is nothing that the thread sanitizer sees.
        thread::scope(|scope| {
            let (give, taken) = std::sync::mpsc::sync_channel(8);
            let giver =
                scope.spawn(move || (0..10_000).try_for_each(|value| give.send(table.insert(value).unwrap())).unwrap());
            let taker = scope.spawn(move || taken.iter().for_each(|id| table.release(id).unwrap()));
            giver.join().and(taker.join()).unwrap();
        });
        assert!(used(table) <= before + 10, "{before} and then {}", used(table));
        assert_eq!(table.live(), 200);
    }

    #[test]
    fn a_thread_takes_its_next_id_from_the_slot_that_it_released_last_and_leaves_it_when_it_ends() {
        static TABLE: Table<Kept> = Table::new(Kind::Resource);
        let number = |id: u64| id % (1 << SLOT_BITS);
        let take_and_release = || {
            let [one, other] = [1, 2].map(|value| TABLE.insert(Kept(value)).unwrap());
            for id in [one, other] {
                TABLE.release(id).unwrap();
                assert!(matches!(TABLE.get(id), Err(Error::InvalidHandle(_))));
            }
            let [third, fourth] = [3, 4].map(|value| TABLE.insert(Kept(value)).unwrap());
            assert_eq!([third, fourth].map(number), [other, one].map(number));
            assert_eq!(TABLE.get(third).as_deref(), Ok(&Kept(3)));
            assert_eq!([one, other, third, fourth].into_iter().collect::<HashSet<_>>().len(), 4);
            TABLE.release(fourth).unwrap();
            [third, fourth]
        };
        let [third, fourth] = thread::scope(|scope| scope.spawn(take_and_release).join()).unwrap();
        let slab = TABLE.slabs[slab_of(third) as usize].get().unwrap();
        assert_eq!((slab.take().map(|vacant| vacant.number()), slab.len()), (Some(number(fourth)), 2));
        assert_eq!(TABLE.live(), 1);
    }

    #[test]
    fn a_release_beside_running_calls_is_safe() {
        static TABLE: Table<Value> = Table::new(Kind::Resource);
        let table = &TABLE;
        let (threads, rounds) = (4, 3_000);
        let (barrier, value) = (Barrier::new(threads), Arc::new(7));
        let (current, released) = (AtomicU64::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            let threads = (0..threads).map(|number| {
                let (table, barrier, value, current, released) = (table, &barrier, &value, &current, &released);
                scope.spawn(move || {
                    for round in 0..rounds {
                        if number == round % threads {
                            current.store(table.insert(Arc::clone(value)).unwrap(), Ordering::Relaxed);
                        }
                        barrier.wait();
                        let id = current.load(Ordering::Relaxed);
                        let found = table.get(id).map(|found| **found);
                        assert!(matches!(found, Ok(7) | Err(Error::InvalidHandle(_))));
                        released.fetch_add(usize::from(table.release(id).is_ok()), Ordering::Relaxed);
                        barrier.wait();
                    }
                })
            });
            // As above.
            threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
        });
        assert_eq!(released.into_inner(), rounds, "each id was released by one");
        assert_eq!((table.live(), Arc::strong_count(&value)), (0, 1), "each value died once");
    }
}
