//! The shelf: the resources that one peer holds. Its lock is the caller's; it knows no thread and no other shelf.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use bytes::Bytes;
use hashbrown::HashTable;

use crate::error::{Error, Result};
use crate::key::Key;
use crate::resource::Resource;
use crate::sync::Arc;

/// In this order, so that a read looks at as few cache lines as can be.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Shelf {
    /// Closed to others: nothing is put on it or found on it by another peer any more.
    is_closed: bool,
    /// Of the first names that were used here: a peer that shares one or two resources needs no table, and who looks for them no
    /// cache lines of one.
    first: [Option<Slot>; 2],
    pub(crate) traffic: Traffic,
    /// Of all that is held.
    bytes: u64,
    bytes_max: u64,
    /// Of all further names.
    others: Option<Box<HashTable<Slot>>>,
}

/// How often something has gone from a shelf to another and come from one, as the events say it; counted under its lock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) requested: u64,
    pub(crate) received: u64,
}

/// Stays when the resource goes, for the next share's version.
#[derive(Debug)]
struct Slot {
    /// Of its name.
    hash: u64,
    /// What is held or, once it is gone, an empty one of version 0, which nobody shares. The name is the resource's: whoever looks for it
    /// looks at that next.
    content: Resource,
    /// The highest version ever held under the name, at least 1.
    highest: u64,
}

impl Slot {
    #[inline(always)]
    fn is(&self, name: Key<'_>) -> bool {
        self.hash == name.hash && name.is(self.content.name())
    }

    fn held(&self) -> Option<&Resource> {
        Some(&self.content).filter(|content| is_held(content))
    }
}

/// A resource among those of a shelf, of which no two have one name.
struct ByName(Resource);

impl Ord for ByName {
    fn cmp(&self, other: &ByName) -> Ordering {
        self.0.name().cmp(other.0.name())
    }
}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &ByName) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &ByName) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByName {}

fn is_held(content: &Resource) -> bool {
    content.version() > 0
}

impl Shelf {
    pub(crate) fn new(bytes_max: u64) -> Shelf {
        Shelf { is_closed: false, first: [None, None], traffic: Traffic::default(), bytes: 0, bytes_max, others: None }
    }

    /// What fits on it in all.
    #[cfg(feature = "mesh")]
    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    #[inline(always)]
    pub(crate) fn get(&self, name: Key<'_>) -> Option<&Resource> {
        self.slot(name)?.held()
    }

    #[inline(always)]
    fn slot(&self, name: Key<'_>) -> Option<&Slot> {
        match &self.first {
            [Some(slot), _] | [_, Some(slot)] if slot.is(name) => Some(slot),
            _ => self.others.as_ref()?.find(name.hash, |slot| slot.is(name)),
        }
    }

    #[inline(always)]
    fn slot_mut(&mut self, name: Key<'_>) -> Option<&mut Slot> {
        match &mut self.first {
            [Some(slot), _] | [_, Some(slot)] if slot.is(name) => Some(slot),
            _ => self.others.as_mut()?.find_mut(name.hash, |slot| slot.is(name)),
        }
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.first.iter().flatten().chain(self.others.iter().flat_map(|others| others.iter()))
    }

    /// Whether a name was ever used here, and so is known to be a good one.
    pub(crate) fn knows(&self, name: Key<'_>) -> Option<Arc<str>> {
        self.slot(name).map(|slot| Arc::clone(slot.content.shared_name()))
    }

    /// The version that the peer's own next one has.
    pub(crate) fn next_version(&self, name: Key<'_>) -> u64 {
        self.slot(name).map_or(0, |slot| slot.highest) + 1
    }

    /// How many bytes fit in place of what is held under this name.
    #[cfg(feature = "mesh")]
    pub(crate) fn room(&self, name: Key<'_>) -> u64 {
        let old = self.get(name).map_or(0, Resource::len) as u64;
        self.bytes_max.saturating_sub(self.bytes - old)
    }

    /// Whether `resource` fits in place of what is held under its name.
    #[inline(always)]
    pub(crate) fn has_room(&self, name: Key<'_>, resource: &Resource, peer: &str) -> Result<()> {
        let size = resource.len() as u64;
        if self.bytes.saturating_add(size) <= self.bytes_max { Ok(()) } else { self.has_room_instead(name, size, peer) }
    }

    /// The same once what it takes the place of has gone.
    #[cold]
    fn has_room_instead(&self, name: Key<'_>, size: u64, peer: &str) -> Result<()> {
        let old = self.get(name).map_or(0, Resource::len) as u64;
        if self.bytes - old + size > self.bytes_max {
            let what = format!("the shelf of {peer:?}, which holds {} already", self.bytes - old);
            return Err(Error::TooLarge { what, limit: self.bytes_max, size });
        }
        Ok(())
    }

    /// Puts it in place of what is held under its name, which is given back for the caller to drop after the lock.
    pub(crate) fn put(&mut self, name: Key<'_>, resource: Resource) -> Option<Resource> {
        let (version, size) = (resource.version(), resource.len() as u64);
        let replaced = match self.slot_mut(name) {
            Some(slot) => {
                slot.highest = slot.highest.max(version);
                Some(std::mem::replace(&mut slot.content, resource)).filter(is_held)
            }
            None => {
                let slot = Slot { hash: name.hash, content: resource, highest: version };
                match self.first.iter_mut().find(|place| place.is_none()) {
                    Some(place) => *place = Some(slot),
                    None => {
                        let others = self.others.get_or_insert_default();
                        others.insert_unique(name.hash, slot, |slot| slot.hash);
                    }
                }
                None
            }
        };
        self.bytes = self.bytes + size - replaced.as_ref().map_or(0, Resource::len) as u64;
        replaced
    }

    /// Takes what is held under the name.
    pub(crate) fn take(&mut self, name: Key<'_>) -> Option<Resource> {
        let slot = self.slot_mut(name).filter(|slot| slot.held().is_some())?;
        let [name, origin] = [(); 2].map(|()| Arc::clone(slot.content.shared_name()));
        let taken = std::mem::replace(&mut slot.content, Resource::new(name, origin, 0, Bytes::new()));
        self.bytes -= taken.len() as u64;
        Some(taken)
    }

    /// How many resources are held.
    pub(crate) fn len(&self) -> usize {
        self.slots().filter_map(Slot::held).count()
    }

    /// All that is held, sorted by name.
    pub(crate) fn list(&self) -> Vec<Resource> {
        // By a heap, which is a tenth of the code of the sort of a Vec.
        let held: BinaryHeap<ByName> = self.slots().filter_map(Slot::held).cloned().map(ByName).collect();
        held.into_sorted_vec().into_iter().map(|ByName(resource)| resource).collect()
    }

    /// Empties it, and gives back what was held for the caller to drop after the lock.
    pub(crate) fn clear(&mut self) -> Vec<Resource> {
        self.bytes = 0;
        let first = std::mem::take(&mut self.first).into_iter().flatten();
        let others = self.others.take().into_iter().flat_map(|others| *others);
        first.chain(others).map(|slot| slot.content).filter(is_held).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUP: &str = "soup";

    fn share(shelf: &mut Shelf, name: &str, body: &'static [u8]) -> u64 {
        let version = shelf.next_version(Key::new(name));
        shelf.put(Key::new(name), Resource::new(name.into(), "ada".into(), version, Bytes::from_static(body)));
        version
    }

    #[test]
    fn versions_rise_also_after_an_unshare_and_above_a_copy() {
        let mut shelf = Shelf::new(u64::MAX);
        let soup = Key::new(SOUP);
        assert_eq!((share(&mut shelf, SOUP, b"a"), share(&mut shelf, SOUP, b"b")), (1, 2));
        assert_eq!(shelf.take(soup).map(|taken| taken.version()), Some(2));
        assert!(shelf.get(soup).is_none());
        assert_eq!(share(&mut shelf, SOUP, b"c"), 3);
        shelf.put(soup, Resource::new(SOUP.into(), "bob".into(), 7, Bytes::new()));
        shelf.put(soup, Resource::new(SOUP.into(), "bob".into(), 2, Bytes::new()));
        assert_eq!(share(&mut shelf, SOUP, b"d"), 8);
        assert_eq!(share(&mut shelf, "bread", b""), 1);
    }

    #[test]
    fn the_limit_counts_what_stays() {
        let mut shelf = Shelf::new(4);
        let (soup, bread) = (Key::new(SOUP), Key::new("bread"));
        share(&mut shelf, SOUP, b"abc");
        let more = Resource::new(SOUP.into(), "bob".into(), 1, Bytes::from_static(b"abcd"));
        assert_eq!(shelf.has_room(soup, &more, "ada"), Ok(()));
        let other = Resource::new("bread".into(), "bob".into(), 1, Bytes::from_static(b"ab"));
        assert!(matches!(shelf.has_room(bread, &other, "ada"), Err(Error::TooLarge { limit: 4, size: 2, .. })));
        shelf.take(soup);
        assert_eq!(shelf.has_room(bread, &other, "ada"), Ok(()));
    }

    #[test]
    fn many_names_are_all_found() {
        let mut shelf = Shelf::new(u64::MAX);
        let names: Vec<String> = (0..1000).map(|number| format!("dish {number}")).collect();
        names.iter().for_each(|name| assert_eq!(share(&mut shelf, name, b"."), 1));
        assert!(names.iter().all(|name| shelf.get(Key::new(name)).is_some_and(|held| held.name() == name)));
        assert_eq!((shelf.len(), shelf.clear().len(), shelf.len()), (1000, 1000, 0));
    }
}
