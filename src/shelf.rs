//! The shelf: the resources that one peer holds. Its lock is the caller's; it knows no thread and no other shelf.

use std::collections::HashMap;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::resource::Resource;
use crate::sync::Arc;

#[derive(Debug)]
pub(crate) struct Shelf {
    slots: HashMap<Arc<str>, Slot>,
    /// Of all that is held.
    bytes: u64,
    bytes_max: u64,
    /// Closed to others: nothing is put on it or found on it by another peer any more.
    is_closed: bool,
}

/// Stays when the resource goes, for the next share's version.
#[derive(Debug, Default)]
struct Slot {
    held: Option<Resource>,
    /// The highest version ever held under the name, 0 for none.
    highest: u64,
}

impl Shelf {
    pub(crate) fn new(bytes_max: u64) -> Shelf {
        Shelf { slots: HashMap::new(), bytes: 0, bytes_max, is_closed: false }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Resource> {
        self.slots.get(name)?.held.as_ref()
    }

    /// Whether a name was ever used here, and so is known to be a good one.
    pub(crate) fn knows(&self, name: &str) -> Option<Arc<str>> {
        self.slots.get_key_value(name).map(|(name, _)| Arc::clone(name))
    }

    /// The next version of the peer's own.
    pub(crate) fn make(&self, name: Arc<str>, origin: Arc<str>, body: Bytes) -> Resource {
        let highest = self.slots.get(&name).map_or(0, |slot| slot.highest);
        Resource::new(name, origin, highest + 1, body)
    }

    /// Whether `resource` fits in place of what is held under its name.
    pub(crate) fn has_room(&self, resource: &Resource, peer: &str) -> Result<()> {
        let old = self.get(resource.name()).map_or(0, Resource::len) as u64;
        let size = resource.len() as u64;
        if self.bytes - old + size > self.bytes_max {
            let what = format!("the shelf of {peer:?}, which holds {} already", self.bytes - old);
            return Err(Error::TooLarge { what, limit: self.bytes_max, size });
        }
        Ok(())
    }

    /// Puts it in place of what is held under its name, which is given back for the caller to drop after the lock.
    pub(crate) fn put(&mut self, resource: Resource) -> Option<Resource> {
        let version = resource.version();
        self.bytes += resource.len() as u64;
        let slot = match self.slots.get_mut(resource.name()) {
            Some(slot) => slot,
            None => self.slots.entry(Arc::clone(resource.shared_name())).or_default(),
        };
        slot.highest = slot.highest.max(version);
        let replaced = slot.held.replace(resource);
        self.bytes -= replaced.as_ref().map_or(0, Resource::len) as u64;
        replaced
    }

    /// Takes what is held under the name.
    pub(crate) fn take(&mut self, name: &str) -> Option<Resource> {
        let taken = self.slots.get_mut(name)?.held.take()?;
        self.bytes -= taken.len() as u64;
        Some(taken)
    }

    /// How many resources are held.
    pub(crate) fn len(&self) -> usize {
        self.slots.values().filter(|slot| slot.held.is_some()).count()
    }

    /// All that is held, sorted by name.
    pub(crate) fn list(&self) -> Vec<Resource> {
        let mut held: Vec<Resource> = self.slots.values().filter_map(|slot| slot.held.clone()).collect();
        held.sort_by(|a, b| a.name().cmp(b.name()));
        held
    }

    /// Empties it, and gives back what was held for the caller to drop after the lock.
    pub(crate) fn clear(&mut self) -> Vec<Resource> {
        self.bytes = 0;
        self.slots.drain().filter_map(|(_, slot)| slot.held).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(shelf: &mut Shelf, name: &str, body: &'static [u8]) -> u64 {
        let made = shelf.make(name.into(), "ada".into(), Bytes::from_static(body));
        let version = made.version();
        shelf.put(made);
        version
    }

    #[test]
    fn versions_rise_also_after_an_unshare_and_above_a_copy() {
        let mut shelf = Shelf::new(u64::MAX);
        assert_eq!((share(&mut shelf, "soup", b"a"), share(&mut shelf, "soup", b"b")), (1, 2));
        assert_eq!(shelf.take("soup").map(|taken| taken.version()), Some(2));
        assert!(shelf.get("soup").is_none());
        assert_eq!(share(&mut shelf, "soup", b"c"), 3);
        shelf.put(Resource::new("soup".into(), "bob".into(), 7, Bytes::new()));
        shelf.put(Resource::new("soup".into(), "bob".into(), 2, Bytes::new()));
        assert_eq!(share(&mut shelf, "soup", b"d"), 8);
        assert_eq!(share(&mut shelf, "bread", b""), 1);
    }

    #[test]
    fn the_limit_counts_what_stays() {
        let mut shelf = Shelf::new(4);
        share(&mut shelf, "soup", b"abc");
        let more = Resource::new("soup".into(), "bob".into(), 1, Bytes::from_static(b"abcd"));
        assert_eq!(shelf.has_room(&more, "ada"), Ok(()));
        let other = Resource::new("bread".into(), "bob".into(), 1, Bytes::from_static(b"ab"));
        assert!(matches!(shelf.has_room(&other, "ada"), Err(Error::TooLarge { limit: 4, size: 2, .. })));
        shelf.take("soup");
        assert_eq!(shelf.has_room(&other, "ada"), Ok(()));
    }
}
