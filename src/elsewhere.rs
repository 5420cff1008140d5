//! Peers that are not here, as the layers below the mesh know them: only that calls can be carried out there.
//!
//! The mesh implements [`Elsewhere`] and gives itself to the system that it is of. A build without a mesh has no implementation, and
//! calls on it are left out.

use crate::calling::Call;
use crate::core::{Begun, Form, Operation, PeerCore};
use crate::ending::Ending;
use crate::error::{Error, Result};
use crate::holder::Holder;
use crate::sync::Arc;

/// The systems of the same name that a system has joined. No method waits unless it says so; none runs user code.
pub(crate) trait Elsewhere: Send + Sync {
    /// Carries out a call with a peer that nobody here has the name of. `fetch` has a method of its own.
    fn call(&self, caller: &Arc<PeerCore>, call: Call<'_>, form: Form) -> Result<Begun>;

    /// Gets a resource from any peer elsewhere that holds it; `here` is the error if there is none.
    fn fetch(&self, caller: &Arc<PeerCore>, name: &str, form: Form, here: Error) -> Result<Begun>;

    /// Goes on with a fetch that nobody here could end; it ends with `here` if nobody elsewhere holds the resource.
    fn fetch_on(&self, fetch: &Arc<Operation>, here: Error);

    /// Who holds a resource elsewhere, sorted. Asks, and waits for the answers for a bounded time.
    fn holders(&self, name: &str) -> Result<Vec<Holder>>;

    /// The peers elsewhere, as `name@node`, sorted. May be called under the feed's lock.
    fn peers(&self) -> Vec<Arc<str>>;

    /// Whether there is a peer of this name, or, by `@node`, a node.
    fn is_there(&self, peer: &str) -> Result<bool>;

    /// A peer has come here. Under the feed's lock, which is the order in which peers come and go.
    fn come(&self, peer: &Arc<str>);

    /// A peer has left. Under the feed's lock.
    fn leave(&self, peer: &Arc<str>);

    /// What has gone to other nodes and come from them.
    fn nodes(&self) -> Vec<NodeSnapshot>;

    /// Leaves the other systems, once no peer is here any more; the end of that is [`ending`](Elsewhere::ending)'s.
    fn close(&self);

    fn ending(&self) -> &Ending;
}

/// What a system and another node of its mesh have exchanged so far; see [`Snapshot`](crate::Snapshot).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeSnapshot {
    /// The name of the other node.
    pub node: String,
    /// The peers that it has.
    pub peers: u64,
    /// Calls made with its peers.
    pub calls: u64,
    /// Calls that its peers made here.
    pub served: u64,
    /// Bytes of bodies that came from it.
    pub bytes_in: u64,
    /// Bytes of bodies that went there.
    pub bytes_out: u64,
    /// Attempts that were made again because no answer came.
    pub retries: u64,
    /// Transfers from it that went on with another holder.
    pub failovers: u64,
    /// Its calls that were turned away here because of what they were.
    pub denied: u64,
    /// What the engine last said about it, or about its last call, as one line; empty if nothing.
    pub last_error: String,
}
