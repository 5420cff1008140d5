//! The registry: from names to peers, and from a resource's name to who holds it. `P` is the peer.
//!
//! Both tables are cut into shards by the hash of the name, each with a lock of its own on cache lines of its own, so that callers who
//! name different peers do not meet. All locks here are leaves: nothing is called under them.

use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use indexmap::IndexMap;

use crate::key::Key;
use crate::random;
use crate::sync::{Arc, Mutex, RwLock};

pub(crate) struct Registry<P> {
    names: Shards<RwLock<ByName<Arc<P>>>>,
    order: Mutex<Order<P>>,
    /// By resource.
    holders: Shards<Mutex<ByName<Holders<P>>>>,
}

/// With the hash of the name, so that a table that grows reads no names, which lie anywhere.
type ByName<T> = HashTable<(u64, Arc<str>, T)>;

/// By id; an IndexMap, so that any holder can be picked in one step.
type Holders<P> = IndexMap<u64, Arc<P>, RandomState>;

/// The peers by id, which is the order of spawning.
struct Order<P> {
    peers: BTreeMap<u64, Arc<P>>,
    /// All of them, if somebody has asked since the last came or went: who goes through thousands again and again counts no references.
    list: Option<List<P>>,
}

pub(crate) type List<P> = Arc<[Arc<P>]>;

impl<P> Registry<P> {
    pub(crate) fn new() -> Registry<P> {
        Registry {
            names: Shards::new(|| RwLock::new(HashTable::new())),
            order: Mutex::new(Order { peers: BTreeMap::new(), list: None }),
            holders: Shards::new(|| Mutex::new(HashTable::new())),
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<P>> {
        let name = Key::new(name);
        let names = self.names.of(name).read();
        names.find(name.hash, is_named(name)).map(|(_, _, peer)| Arc::clone(peer))
    }

    pub(crate) fn add(&self, id: u64, name: &Arc<str>, peer: &Arc<P>) {
        let (shared, name) = (name, Key::new(name));
        let entry = (name.hash, Arc::clone(shared), Arc::clone(peer));
        self.names.of(name).write().insert_unique(name.hash, entry, rehash);
        self.change_order(|peers| peers.insert(id, Arc::clone(peer)));
    }

    pub(crate) fn remove(&self, id: u64, name: &str) {
        let name = Key::new(name);
        if let Ok(entry) = self.names.of(name).write().find_entry(name.hash, is_named(name)) {
            entry.remove();
        }
        self.change_order(|peers| peers.remove(&id));
    }

    /// All peers in the order of spawning.
    pub(crate) fn list(&self) -> List<P> {
        let mut order = self.order.lock();
        let Order { peers, list } = &mut *order;
        Arc::clone(list.get_or_insert_with(|| peers.values().cloned().collect()))
    }

    fn change_order(&self, change: impl FnOnce(&mut BTreeMap<u64, Arc<P>>) -> Option<Arc<P>>) {
        let before = {
            let mut order = self.order.lock();
            (change(&mut order.peers), order.list.take())
        };
        drop(before);
    }

    pub(crate) fn len(&self) -> usize {
        self.order.lock().peers.len()
    }

    /// The name of a resource as its holders have it, so that all of them share one text.
    pub(crate) fn shared_name(&self, resource: Key<'_>) -> Arc<str> {
        let holders = self.holders.of(resource).lock();
        let held = holders.find(resource.hash, is_named(resource));
        held.map_or_else(|| resource.text.into(), |(_, name, _)| Arc::clone(name))
    }

    pub(crate) fn add_holder(&self, resource: Key<'_>, name: &Arc<str>, id: u64, peer: &Arc<P>) {
        let mut holders = self.holders.of(resource).lock();
        let (_, _, of) = holders
            .entry(resource.hash, is_named(resource), rehash)
            .or_insert_with(|| (resource.hash, Arc::clone(name), Holders::default()))
            .into_mut();
        of.insert(id, Arc::clone(peer));
    }

    pub(crate) fn remove_holder(&self, resource: &str, id: u64) {
        let name = Key::new(resource);
        let mut holders = self.holders.of(name).lock();
        if let Ok(mut entry) = holders.find_entry(name.hash, is_named(name)) {
            let (_, _, of) = entry.get_mut();
            of.swap_remove(&id);
            if of.is_empty() {
                entry.remove();
            }
        }
    }

    /// The ids of all holders of a resource in the order of spawning.
    pub(crate) fn ids_of_holders(&self, resource: Key<'_>) -> Vec<u64> {
        self.each_holder(resource, |_| ()).into_iter().map(|(id, ())| id).collect()
    }

    /// All holders of a resource in the order of spawning.
    pub(crate) fn holders(&self, resource: &str) -> Vec<Arc<P>> {
        self.each_holder(Key::new(resource), Arc::clone).into_iter().map(|(_, peer)| peer).collect()
    }

    fn each_holder<T>(&self, resource: Key<'_>, take: impl Fn(&Arc<P>) -> T) -> Vec<(u64, T)> {
        let mut holders: Vec<(u64, T)> = match self.holders.of(resource).lock().find(resource.hash, is_named(resource))
        {
            Some((_, _, of)) => of.iter().map(|(id, peer)| (*id, take(peer))).collect(),
            None => Vec::new(),
        };
        holders.sort_unstable_by_key(|(id, _)| *id);
        holders
    }

    /// Any holder but the one with this id.
    pub(crate) fn pick_holder(&self, resource: Key<'_>, but: u64) -> Option<Arc<P>> {
        let holders = self.holders.of(resource).lock();
        let (_, _, of) = holders.find(resource.hash, is_named(resource))?;
        let at = random::place_but(of.get_index_of(&but), of.len(), random::below)?;
        of.get_index(at).map(|(_, peer)| Arc::clone(peer))
    }
}

fn is_named<T>(name: Key<'_>) -> impl Fn(&(u64, Arc<str>, T)) -> bool {
    move |(hash, other, _)| *hash == name.hash && **other == *name.text
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
        assert_eq!(registry.holders("soup"), [Arc::new(2)]);
    }
}
