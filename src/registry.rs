//! The registry: from names to peers, and from a resource's name to who holds it. `P` is the peer.
//!
//! Its locks are leaves: nothing is called under them.

use std::collections::{BTreeMap, HashMap};

use indexmap::IndexMap;

use crate::random;
use crate::sync::{Arc, Mutex, RwLock};

pub(crate) struct Registry<P> {
    names: RwLock<HashMap<Arc<str>, Arc<P>>>,
    /// By id, which is the order of spawning.
    order: Mutex<BTreeMap<u64, Arc<P>>>,
    /// By resource.
    holders: Mutex<HashMap<Arc<str>, Holders<P>>>,
}

/// By id; an IndexMap, so that any holder can be picked in one step.
type Holders<P> = IndexMap<u64, Arc<P>>;

impl<P> Registry<P> {
    pub(crate) fn new() -> Registry<P> {
        Registry {
            names: RwLock::new(HashMap::new()),
            order: Mutex::new(BTreeMap::new()),
            holders: Mutex::new(HashMap::new()),
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<P>> {
        self.names.read().get(name).cloned()
    }

    pub(crate) fn add(&self, id: u64, name: &Arc<str>, peer: &Arc<P>) {
        self.names.write().insert(Arc::clone(name), Arc::clone(peer));
        self.order.lock().insert(id, Arc::clone(peer));
    }

    pub(crate) fn remove(&self, id: u64, name: &str) {
        self.names.write().remove(name);
        self.order.lock().remove(&id);
    }

    /// All peers in the order of spawning.
    pub(crate) fn list(&self) -> Vec<Arc<P>> {
        self.order.lock().values().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.order.lock().len()
    }

    pub(crate) fn add_holder(&self, resource: &Arc<str>, id: u64, peer: &Arc<P>) {
        let mut holders = self.holders.lock();
        match holders.get_mut(resource) {
            Some(of) => of.insert(id, Arc::clone(peer)),
            None => holders.entry(Arc::clone(resource)).or_default().insert(id, Arc::clone(peer)),
        };
    }

    pub(crate) fn remove_holder(&self, resource: &str, id: u64) {
        let mut holders = self.holders.lock();
        if let Some(of) = holders.get_mut(resource) {
            of.swap_remove(&id);
            if of.is_empty() {
                holders.remove(resource);
            }
        }
    }

    /// All holders of a resource in the order of spawning.
    pub(crate) fn holders(&self, resource: &str) -> Vec<Arc<P>> {
        let mut holders: Vec<(u64, Arc<P>)> = match self.holders.lock().get(resource) {
            Some(of) => of.iter().map(|(id, peer)| (*id, Arc::clone(peer))).collect(),
            None => Vec::new(),
        };
        holders.sort_unstable_by_key(|(id, _)| *id);
        holders.into_iter().map(|(_, peer)| peer).collect()
    }

    /// Any holder but the one with this id.
    pub(crate) fn pick_holder(&self, resource: &str, but: u64) -> Option<Arc<P>> {
        let holders = self.holders.lock();
        let of = holders.get(resource)?;
        let skipped = of.get_index_of(&but);
        let choices = of.len() - usize::from(skipped.is_some());
        if choices == 0 {
            return None;
        }
        let mut at = random::below(choices);
        if skipped.is_some_and(|skipped| at >= skipped) {
            at += 1;
        }
        of.get_index(at).map(|(_, peer)| Arc::clone(peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_holder_but_oneself() {
        let registry = Registry::new();
        let soup: Arc<str> = "soup".into();
        assert!(registry.pick_holder("soup", 1).is_none());
        for id in 1..=3 {
            registry.add_holder(&soup, id, &Arc::new(id));
        }
        let mut seen = [0; 4];
        (0..300).for_each(|_| seen[*registry.pick_holder("soup", 2).unwrap() as usize] += 1);
        assert!(seen[1] > 50 && seen[2] == 0 && seen[3] > 50, "{seen:?}");
        registry.remove_holder("soup", 1);
        registry.remove_holder("soup", 3);
        assert!(registry.pick_holder("soup", 2).is_none());
        assert_eq!(registry.holders("soup"), [Arc::new(2)]);
    }
}
