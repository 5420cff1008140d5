//! A resource: the value that peers share. No thread, no lock.

use std::fmt;

use bytes::Bytes;

use crate::sync::Arc;
use crate::unwind::drop_reference;

/// A named, versioned, immutable run of bytes.
///
/// A clone is another reference to the same bytes. It may be used from several threads, and it outlives the peer and the
/// system that it came from.
#[derive(Clone)]
pub struct Resource(Arc<Content>);

/// What each look at it needs comes first.
#[repr(C)]
struct Content {
    name: Arc<str>,
    version: u64,
    body: Bytes,
    /// The name of the peer that made it: the very reference which that peer keeps, so that a peer spawned again under this
    /// name, or one of another system, is told apart. Nobody else's can lie at the same place as long as this one is held.
    origin: Arc<str>,
}

impl Resource {
    pub(crate) fn new(name: Arc<str>, origin: Arc<str>, version: u64, body: Bytes) -> Resource {
        Resource(Arc::new(Content { name, origin, version, body }))
    }

    /// The name that it is shared under; of an answer to an ask, the kind of the message.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The peer that made this version, by name. A peer that is spawned again under an old name is another one to
    /// [`Peer::share_if`](crate::Peer::share_if).
    pub fn origin(&self) -> &str {
        &self.0.origin
    }

    /// 1, 2, …; 0 for the answer to an ask.
    pub fn version(&self) -> u64 {
        self.0.version
    }

    /// The bytes themselves, borrowed.
    pub fn bytes(&self) -> &[u8] {
        &self.0.body
    }

    /// The bytes as a counted reference of their own, without a copy.
    pub fn body(&self) -> Bytes {
        self.0.body.clone()
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.0.body.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.body.is_empty()
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The same reference, which is how one shelf's change is told from none.
    pub(crate) fn is(&self, other: &Resource) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Drops it; if this is the last reference the body's destructor runs, which is user code.
    #[inline]
    pub(crate) fn release(self) {
        drop_reference(self.0);
    }

    /// Drops it, unless it is the last reference: that is given back.
    #[cfg(feature = "mesh")]
    pub(crate) fn release_unless_last(self) -> Option<impl Send + use<>> {
        Arc::into_inner(self.0)
    }

    pub(crate) fn edition(&self) -> Edition {
        Edition { origin: Arc::clone(&self.0.origin), version: self.0.version }
    }

    /// Neither that edition nor an older one of the same origin.
    pub(crate) fn is_newer_than(&self, than: &Edition) -> bool {
        !self.is_from(&than.origin) || self.version() > than.version
    }

    /// Made by the same incarnation of a peer.
    fn is_from(&self, origin: &Arc<str>) -> bool {
        Arc::ptr_eq(&self.0.origin, origin)
    }

    /// The same origin, name and version, which name one content; of resources that lie on shelves, so not of answers to asks.
    pub(crate) fn is_same(&self, other: &Resource) -> bool {
        self.is(other)
            || self.is_from(&other.0.origin) && self.version() == other.version() && self.name() == other.name()
    }
}

/// Which of all the resources of one name: what a call keeps for comparison, so that it keeps no body alive.
#[derive(Clone, Debug)]
pub(crate) struct Edition {
    /// As in a resource.
    origin: Arc<str>,
    version: u64,
}

#[cfg(feature = "mesh")]
impl Edition {
    /// By the reference that the resource has.
    pub(crate) fn new(origin: Arc<str>, version: u64) -> Edition {
        Edition { origin, version }
    }

    pub(crate) fn origin(&self) -> &Arc<str> {
        &self.origin
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }
}

impl AsRef<[u8]> for Resource {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

/// Name, origin, version and size; never the bytes.
impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource")
            .field("name", &self.name())
            .field("origin", &self.origin())
            .field("version", &self.version())
            .field("len", &self.len())
            .finish()
    }
}
