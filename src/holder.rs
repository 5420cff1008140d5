//! Who holds a resource, as a value.

use crate::resource::Resource;

/// One peer that holds a resource; see [`PeerSystem::holders`](crate::PeerSystem::holders).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Its name; of a peer of another node, `name@node`.
    pub peer: String,
    /// Who made the version that it holds.
    pub origin: String,
    /// That version.
    pub version: u64,
    /// Its size in bytes.
    pub size: u64,
}

impl Holder {
    pub(crate) fn new(peer: &str, held: &Resource) -> Holder {
        let (origin, version, size) = (held.origin().to_owned(), held.version(), held.len() as u64);
        Holder { peer: peer.to_owned(), origin, version, size }
    }
}
