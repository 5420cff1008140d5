//! Who made a resource, across nodes. Inside a system the origin of a resource is one reference to its maker's name, compared by place; between
//! nodes it is a number that the maker's node gives. This table is where one becomes the other: what came from elsewhere and was made by the same peer
//! has the same reference here, and what comes back has the one it left with.
//!
//! Its lock is a leaf.

use std::collections::HashMap;

use super::digests::Content;
use super::keys::NodeId;
use super::wire::{Edition, Origin, OriginId};
use crate::resource::{self, Resource};
use crate::sync::{Arc, Mutex};

pub(super) struct Origins {
    me: NodeId,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    by_place: HashMap<usize, Line>,
    by_id: HashMap<OriginId, Arc<str>>,
    next: u64,
    clean_at: usize,
}

/// Holds the reference, so that no other comes to lie at its place.
#[derive(Clone)]
struct Line {
    origin: Arc<str>,
    peer: Arc<str>,
    node: Arc<str>,
    id: OriginId,
}

/// An edition that is to be shown to other nodes.
pub(super) struct Shown {
    line: Line,
    version: u64,
}

impl Shown {
    pub(super) fn edition(&self) -> Edition<'_> {
        let Line { peer, node, id, .. } = &self.line;
        Edition { origin: Origin { peer, node, id: *id }, version: self.version }
    }

    /// What names the bytes of the resource of that name; an answer to an ask has no such thing.
    pub(super) fn content(&self, name: &Arc<str>, body: &[u8]) -> Option<Content> {
        (self.version > 0).then(|| Content {
            name: Arc::clone(name),
            origin: self.line.id,
            version: self.version,
            place: body.as_ptr() as usize,
            len: body.len(),
        })
    }

    /// Its maker, as everybody but the maker's node calls it.
    pub(super) fn address(&self) -> String {
        format!("{}@{}", self.line.peer, self.line.node)
    }
}

const LEN_TO_CLEAN: usize = 1024;
/// The two of the table.
const REFERENCES_OF_TABLE: usize = 2;

fn place(origin: &Arc<str>) -> usize {
    Arc::as_ptr(origin).cast::<u8>() as usize
}

impl Table {
    fn put(&mut self, line: Line) {
        if self.by_id.len() >= self.clean_at {
            // What nobody else has any more is not asked for again; what its maker still has is used.
            let unused = |line: &Line| {
                let own = if Arc::ptr_eq(&line.origin, &line.peer) { 1 } else { 0 };
                Arc::strong_count(&line.origin) <= REFERENCES_OF_TABLE + own
            };
            let gone: Vec<_> = self.by_place.extract_if(|_, line| unused(line)).map(|(_, line)| line.id).collect();
            gone.iter().for_each(|id| drop(self.by_id.remove(id)));
            self.clean_at = (2 * self.by_id.len()).max(LEN_TO_CLEAN);
        }
        self.by_id.insert(line.id, Arc::clone(&line.origin));
        self.by_place.insert(place(&line.origin), line);
    }
}

impl Origins {
    pub(super) fn new(me: NodeId) -> Origins {
        Origins { me, table: Mutex::new(Table { clean_at: LEN_TO_CLEAN, ..Table::default() }) }
    }

    /// An edition as another node understands it.
    pub(super) fn shown(&self, edition: &resource::Edition) -> Shown {
        Shown { line: self.line(edition.origin()), version: edition.version() }
    }

    fn line(&self, origin: &Arc<str>) -> Line {
        let mut table = self.table.lock();
        if let Some(line) = table.by_place.get(&place(origin)) {
            return line.clone();
        }
        table.next += 1;
        let id = OriginId { instance: self.me.instance, number: table.next };
        let line = Line { origin: Arc::clone(origin), peer: Arc::clone(origin), node: Arc::clone(&self.me.name), id };
        table.put(line.clone());
        line
    }

    /// The reference here of an origin of another node, or of this one.
    fn import(&self, origin: &Origin<'_>) -> Arc<str> {
        let mut table = self.table.lock();
        if let Some(known) = table.by_id.get(&origin.id) {
            return Arc::clone(known);
        }
        let is_mine = origin.id.instance == self.me.instance;
        let shown: Arc<str> =
            if is_mine { origin.peer.into() } else { format!("{}@{}", origin.peer, origin.node).into() };
        let (peer, node) = (origin.peer.into(), origin.node.into());
        table.put(Line { origin: Arc::clone(&shown), peer, node, id: origin.id });
        shown
    }

    pub(super) fn edition(&self, edition: &Edition<'_>) -> resource::Edition {
        resource::Edition::new(self.import(&edition.origin), edition.version)
    }

    pub(super) fn resource(&self, name: Arc<str>, edition: &Edition<'_>, body: bytes::Bytes) -> Resource {
        Resource::new(name, self.import(&edition.origin), edition.version, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, instance: u128) -> Origins {
        Origins::new(NodeId { name: name.into(), instance })
    }

    /// A resource as it arrives at `to`.
    fn sent(from: &Origins, to: &Origins, resource: &Resource) -> Resource {
        to.resource(Arc::clone(resource.shared_name()), &from.shown(&resource.edition()).edition(), resource.body())
    }

    #[test]
    fn what_comes_back_is_what_went() {
        let (a, b, c) = (node("a", 1), node("b", 2), node("c", 3));
        let ada: Arc<str> = "ada".into();
        let soup = Resource::new("soup".into(), Arc::clone(&ada), 1, "x".into());
        let at_b = sent(&a, &b, &soup);
        let at_c = sent(&b, &c, &at_b);
        assert_eq!((at_b.origin(), at_c.origin(), at_c.version()), ("ada@a", "ada@a", 1));
        let back = sent(&c, &a, &at_c);
        assert!(back.is_same(&soup) && back.origin() == "ada");
        assert!(sent(&a, &b, &soup).is_same(&at_b) && sent(&a, &c, &soup).is_same(&at_c));
    }

    #[test]
    fn a_peer_that_came_again_is_another_origin() {
        let (a, b) = (node("a", 1), node("b", 2));
        let [first, second] = [(); 2].map(|()| Resource::new("soup".into(), "ada".into(), 1, "x".into()));
        assert!(!sent(&a, &b, &first).is_same(&sent(&a, &b, &second)));
    }

    #[test]
    fn what_nobody_has_any_more_is_forgotten() {
        let (a, b) = (node("a", 1), node("b", 2));
        let kept = Resource::new("soup".into(), "ada".into(), 1, "x".into());
        let kept_at_b = sent(&a, &b, &kept);
        for _ in 0..10 * LEN_TO_CLEAN {
            sent(&a, &b, &Resource::new("soup".into(), "ada".into(), 1, "x".into()));
        }
        for origins in [&a, &b] {
            let table = origins.table.lock();
            assert!(table.by_id.len() <= 2 * LEN_TO_CLEAN && table.by_place.len() == table.by_id.len());
        }
        assert!(sent(&a, &b, &kept).is_same(&kept_at_b));
    }
}
