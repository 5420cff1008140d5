//! The registry: from names to peers, and from a resource's name to who holds it. `P` is the peer.
//!
//! Both tables are cut into shards by the hash of the name, each with a lock of its own on cache lines of its own, so that callers who
//! name different peers do not meet. All locks here are leaves: nothing is called under them.

use std::collections::BinaryHeap;
use std::ops::Deref;

use hashbrown::HashTable;

use crate::key::Key;
use crate::places::Places;
use crate::random;
use crate::sync::{Arc, AtomicU64, AtomicUsize, Mutex, Ordering, RwLock};

pub(crate) struct Registry<P> {
    names: Shards<RwLock<Names<P>>>,
    /// How many there are. Changed, as is the next, under the lock of a shard of names.
    len: AtomicUsize,
    /// How often one has come or gone.
    changes: AtomicU64,
    list: Mutex<Option<List<P>>>,
    /// By resource.
    holders: Shards<Mutex<ByName<Holders<P>>>>,
}

/// All peers in the order of spawning, kept until one comes or goes: who goes through thousands again and again counts no references.
pub(crate) struct All<P> {
    changes: u64,
    peers: Vec<Arc<P>>,
    /// Theirs, for which nobody need look at thousands of peers.
    ids: Vec<u64>,
}

pub(crate) type List<P> = Arc<All<P>>;

impl<P> Deref for All<P> {
    type Target = [Arc<P>];

    fn deref(&self) -> &[Arc<P>] {
        &self.peers
    }
}

impl<P> All<P> {
    pub(crate) fn ids(&self) -> &[u64] {
        &self.ids
    }
}

/// What the registry knows of a peer.
pub(crate) trait Named {
    fn name(&self) -> &str;

    /// Rises with each that is spawned.
    fn id(&self) -> u64;
}

/// Peers by name. Those that are spawned one after another lie side by side, and mostly end so, too: only the table of their places,
/// which is small, is looked at anywhere.
struct Names<P> {
    places: Places,
    peers: Vec<Option<Arc<P>>>,
    /// Where nobody is any more.
    empty: Vec<u32>,
}

impl<P: Named> Names<P> {
    fn new() -> Names<P> {
        Names { places: Places::new(), peers: Vec::new(), empty: Vec::new() }
    }

    fn find(&self, name: Key<'_>) -> Option<&Arc<P>> {
        let place = self.places.find(name.hash, |place| is_named(&self.peers[place], name))?;
        self.peers[place].as_ref()
    }

    fn add(&mut self, name: Key<'_>, peer: Arc<P>) {
        let place = match self.empty.pop() {
            Some(place) => {
                self.peers[place as usize] = Some(peer);
                place as usize
            }
            None => {
                self.peers.push(Some(peer));
                self.peers.len() - 1
            }
        };
        self.places.add(name.hash, place);
    }

    fn remove(&mut self, name: Key<'_>) -> Option<Arc<P>> {
        let place = self.places.remove(name.hash, |place| is_named(&self.peers[place], name))?;
        self.empty.push(place as u32);
        self.peers[place].take()
    }
}

fn is_named<P: Named>(peer: &Option<Arc<P>>, name: Key<'_>) -> bool {
    peer.as_ref().is_some_and(|peer| name.is(peer.name()))
}

/// With the hash of the name, so that a table that grows reads no names, which lie anywhere.
type ByName<T> = HashTable<(u64, Arc<str>, T)>;

/// In a row, so that any of them can be picked in one step, which looks at nothing but the row.
struct Holders<P> {
    /// By id.
    places: Places,
    peers: Vec<Arc<P>>,
    /// Of those, at the same places.
    ids: Vec<u64>,
}

impl<P> Default for Holders<P> {
    fn default() -> Holders<P> {
        Holders { places: Places::new(), peers: Vec::new(), ids: Vec::new() }
    }
}

impl<P> Holders<P> {
    fn place(&self, id: u64) -> Option<usize> {
        self.places.find(hash_of(id), |place| self.ids[place] == id)
    }

    fn add(&mut self, id: u64, peer: &Arc<P>) {
        if self.place(id).is_none() {
            self.places.add(hash_of(id), self.ids.len());
            self.ids.push(id);
            self.peers.push(Arc::clone(peer));
        }
    }

    /// The last one takes the place of the one that goes.
    fn remove(&mut self, id: u64) -> Option<Arc<P>> {
        let place = self.places.remove(hash_of(id), |place| self.ids[place] == id)?;
        let last = self.ids.len() - 1;
        if place != last {
            self.places.replace(hash_of(self.ids[last]), last, place);
        }
        self.ids.swap_remove(place);
        Some(self.peers.swap_remove(place))
    }
}

/// Ids come one after another: with an odd factor those of a run all fall to places of their own.
fn hash_of(id: u64) -> u64 {
    id.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<P: Named> Registry<P> {
    pub(crate) fn new() -> Registry<P> {
        Registry {
            names: Shards::new(|| RwLock::new(Names::new())),
            len: AtomicUsize::new(0),
            changes: AtomicU64::new(0),
            list: Mutex::new(None),
            holders: Shards::new(|| Mutex::new(HashTable::new())),
        }
    }

    #[inline]
    pub(crate) fn find(&self, name: Key<'_>) -> Option<Arc<P>> {
        self.names.of(name).read().find(name).map(Arc::clone)
    }

    pub(crate) fn add(&self, name: Key<'_>, peer: &Arc<P>) {
        let mut names = self.names.of(name).write();
        names.add(name, Arc::clone(peer));
        self.len.fetch_add(1, Ordering::SeqCst);
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn remove(&self, name: &str) {
        let name = Key::new(name);
        let removed = {
            let mut names = self.names.of(name).write();
            let removed = names.remove(name);
            self.len.fetch_sub(usize::from(removed.is_some()), Ordering::SeqCst);
            self.changes.fetch_add(1, Ordering::SeqCst);
            removed
        };
        drop(removed);
        // A list that is out of date keeps no peer alive.
        let before = self.list.lock().take();
        drop(before);
    }

    /// All peers in the order of spawning.
    pub(crate) fn list(&self) -> List<P> {
        let mut list = self.list.lock();
        let changes = self.changes.load(Ordering::SeqCst);
        if let Some(list) = list.as_ref().filter(|list| list.changes == changes) {
            return Arc::clone(list);
        }
        let made = Arc::new(self.make_list());
        let before = list.replace(Arc::clone(&made));
        drop(list);
        drop(before);
        made
    }

    /// All shards are locked at once, in their order, so that nobody is missed who was there before another: who changes one holds no second.
    fn make_list(&self) -> All<P> {
        let shards: Vec<_> = self.names.0.iter().map(|names| names.0.read()).collect();
        let peers = shards.iter().flat_map(|names| names.peers.iter().flatten());
        let mut peers: Vec<_> = peers.map(|peer| (peer.id(), Arc::clone(peer))).collect();
        sort(&mut peers);
        let ids = peers.iter().map(|(id, _)| *id).collect();
        let peers = peers.into_iter().map(|(_, peer)| peer).collect();
        All { changes: self.changes.load(Ordering::SeqCst), peers, ids }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::SeqCst)
    }

    /// The name of a resource as its holders have it, so that all of them share one text.
    pub(crate) fn shared_name(&self, resource: Key<'_>) -> Arc<str> {
        let holders = self.holders.of(resource).lock();
        let held = holders.find(resource.hash, is_of(resource));
        held.map_or_else(|| resource.text.into(), |(_, name, _)| Arc::clone(name))
    }

    pub(crate) fn add_holder(&self, resource: Key<'_>, name: &Arc<str>, id: u64, peer: &Arc<P>) {
        let mut holders = self.holders.of(resource).lock();
        let (_, _, of) = holders
            .entry(resource.hash, is_of(resource), rehash)
            .or_insert_with(|| (resource.hash, Arc::clone(name), Holders::default()))
            .into_mut();
        of.add(id, peer);
    }

    pub(crate) fn remove_holder(&self, resource: &str, id: u64) {
        let name = Key::new(resource);
        let mut holders = self.holders.of(name).lock();
        if let Ok(mut entry) = holders.find_entry(name.hash, is_of(name)) {
            let (_, _, of) = entry.get_mut();
            let _ = of.remove(id);
            if of.ids.is_empty() {
                entry.remove();
            }
        }
    }

    /// All holders of a resource in the order of spawning.
    pub(crate) fn holders(&self, resource: Key<'_>) -> Vec<Arc<P>> {
        let mut holders: Vec<_> = match self.holders.of(resource).lock().find(resource.hash, is_of(resource)) {
            Some((_, _, of)) => of.ids.iter().copied().zip(of.peers.iter().cloned()).collect(),
            None => Vec::new(),
        };
        sort(&mut holders);
        holders.into_iter().map(|(_, peer)| peer).collect()
    }

    /// The same by their ids.
    pub(crate) fn holder_ids(&self, resource: Key<'_>) -> Vec<u64> {
        let ids = match self.holders.of(resource).lock().find(resource.hash, is_of(resource)) {
            Some((_, _, of)) => of.ids.clone(),
            None => Vec::new(),
        };
        // They are in order until one has gone. By a heap, which is a tenth of the code of the sort of a Vec.
        if ids.is_sorted() { ids } else { BinaryHeap::from(ids).into_sorted_vec() }
    }

    /// Any holder but the one with this id.
    pub(crate) fn pick_holder(&self, resource: Key<'_>, but: u64) -> Option<Arc<P>> {
        let holders = self.holders.of(resource).lock();
        let (_, _, of) = holders.find(resource.hash, is_of(resource))?;
        let at = random::place_but(of.place(but), of.peers.len(), random::pick)?;
        of.peers.get(at).map(Arc::clone)
    }
}

/// In the order of the ids. Those of one shard mostly lie in that order already, which this sort makes use of.
fn sort<P>(peers: &mut [(u64, Arc<P>)]) {
    peers.sort_by_key(|(id, _)| *id);
}

fn is_of<T>(name: Key<'_>) -> impl Fn(&(u64, Arc<str>, T)) -> bool {
    move |(hash, other, _)| *hash == name.hash && name.is(other)
}

fn rehash<T>((hash, _, _): &(u64, Arc<str>, T)) -> u64 {
    *hash
}

/// The parts of a table.
struct Shards<T>(Box<[Shard<T>]>);

/// On cache lines of its own: two, since a core fetches them in pairs.
#[repr(align(128))]
struct Shard<T>(T);

/// A power of two. Under a model checker one is enough.
const SHARDS: usize = if cfg!(any(shuttle, loom)) { 1 } else { 64 };

impl<T> Shards<T> {
    fn new(make: impl Fn() -> T) -> Shards<T> {
        Shards((0..SHARDS).map(|_| Shard(make())).collect())
    }

    /// By bits of the hash that the table inside makes no use of: it takes the lowest ones and the highest seven.
    fn of(&self, name: Key<'_>) -> &T {
        &self.0[(name.hash >> 48) as usize & (self.0.len() - 1)].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Named for u64 {
        fn name(&self) -> &str {
            ["ada", "bob", "eve", "kim"][*self as usize]
        }

        fn id(&self) -> u64 {
            *self
        }
    }

    #[test]
    fn whoever_is_there_is_found_and_a_place_is_used_again() {
        let registry = Registry::new();
        let add = |id: u64| registry.add(Key::new(id.name()), &Arc::new(id));
        let find = |name| registry.find(Key::new(name)).map(|id| *id);
        let list = || registry.list().iter().map(|id| **id).collect::<Vec<_>>();
        (0..3).for_each(add);
        assert_eq!(list(), [0, 1, 2]);
        registry.remove("bob");
        assert_eq!((find("bob"), find("kim"), registry.len(), list()), (None, None, 2, vec![0, 2]));
        add(3);
        registry.remove("bob");
        assert_eq!((["ada", "eve", "kim"].map(find), find("bob")), ([Some(0), Some(2), Some(3)], None));
        assert_eq!((list(), registry.len()), (vec![0, 2, 3], 3));
    }

    #[test]
    fn any_holder_but_oneself() {
        let registry = Registry::new();
        let soup = Key::new("soup");
        assert!(registry.pick_holder(soup, 1).is_none());
        for id in 1..=3 {
            registry.add_holder(soup, &"soup".into(), id, &Arc::new(id));
        }
        let mut seen = [0; 4];
        (0..300).for_each(|_| seen[*registry.pick_holder(soup, 2).unwrap() as usize] += 1);
        assert!(seen[1] > 50 && seen[2] == 0 && seen[3] > 50, "{seen:?}");
        registry.remove_holder("soup", 1);
        registry.remove_holder("soup", 3);
        assert!(registry.pick_holder(soup, 2).is_none());
        assert_eq!(registry.holders(soup), [Arc::new(2)]);
    }
}
