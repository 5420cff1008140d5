//! Who is there: the nodes of the mesh and their peers, as the engine's tokens say it.
//!
//! Two kinds of token come and go, in no order between them: one of each node, one of each peer. A node is there as long as any token of it is. When
//! the node's own goes, all of it is gone: so a node that dies or cannot be reached takes its peers with it at once. So does one that comes again
//! under its old name: of two of a name the newer is there.
//!
//! Changes are made under the feed's lock and then this one, which is a leaf, so that readers see peers come and go in one order.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use super::keys::NodeId;
use crate::elsewhere::NodeSnapshot;
use crate::error::{Error, Result};
use crate::sync::{Arc, Mutex, Ordering};

/// A peer of another node.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) node: NodeId,
    /// What it is called there.
    pub(super) peer: Arc<str>,
    /// What it is called here: `peer@node`.
    pub(super) full: Arc<str>,
    pub(super) counters: Arc<Counters>,
}

/// What has been exchanged with a node.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) calls: AtomicU64,
    pub(super) served: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) failovers: AtomicU64,
    pub(super) denied: AtomicU64,
    last_error: Mutex<String>,
}

impl Counters {
    pub(super) fn count(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn note(&self, error: &str) {
        error.clone_into(&mut self.last_error.lock());
    }
}

#[derive(Default)]
struct Node {
    is_announced: bool,
    /// By the name there; the name here.
    peers: BTreeMap<Arc<str>, Arc<str>>,
    counters: Arc<Counters>,
}

#[derive(Default)]
pub(super) struct Presence {
    nodes: Mutex<BTreeMap<NodeId, Node>>,
    /// Of nodes by name, whichever instance: they go on counting when it comes again.
    counters: Mutex<BTreeMap<Arc<str>, Arc<Counters>>>,
}

/// As many nodes are counted by name.
const COUNTED_MAX: usize = 4096;

impl Presence {
    /// A node's own token: true if it was not known.
    pub(super) fn node_came(&self, node: &NodeId) -> bool {
        let counters = self.counters(&node.name);
        let mut nodes = self.nodes.lock();
        let known = nodes.entry(node.clone()).or_default();
        known.counters = counters;
        !std::mem::replace(&mut known.is_announced, true)
    }

    /// Of those that are there, the older ones of its name: a node that has come again may do so before it is known that it was gone.
    pub(super) fn older(&self, node: &NodeId) -> Vec<NodeId> {
        let nodes = self.nodes.lock();
        nodes.keys().filter(|known| known.name == node.name && known.instance < node.instance).cloned().collect()
    }

    /// Whether a newer one of its name is there.
    pub(super) fn is_superseded(&self, node: &NodeId) -> bool {
        self.nodes.lock().keys().any(|known| known.name == node.name && known.instance > node.instance)
    }

    /// It is gone with all its peers, whose names here are given.
    pub(super) fn node_left(&self, node: &NodeId) -> Vec<Arc<str>> {
        self.nodes.lock().remove(node).map(|gone| gone.peers.into_values().collect()).unwrap_or_default()
    }

    /// The name here, if it was not known.
    pub(super) fn peer_came(&self, node: &NodeId, peer: &str) -> Option<Arc<str>> {
        let counters = self.counters(&node.name);
        let mut nodes = self.nodes.lock();
        let known = nodes.entry(node.clone()).or_default();
        known.counters = counters;
        if known.peers.contains_key(peer) {
            return None;
        }
        let full: Arc<str> = format!("{peer}@{}", node.name).into();
        known.peers.insert(peer.into(), Arc::clone(&full));
        Some(full)
    }

    pub(super) fn peer_left(&self, node: &NodeId, peer: &str) -> Option<Arc<str>> {
        let mut nodes = self.nodes.lock();
        let known = nodes.get_mut(node)?;
        let full = known.peers.remove(peer);
        if known.peers.is_empty() && !known.is_announced {
            nodes.remove(node);
        }
        full
    }

    /// The one peer of this name, on that node or on any.
    pub(super) fn find(&self, peer: &str, node: Option<&str>) -> Result<Address> {
        let nodes = self.nodes.lock();
        let mut found =
            nodes.iter().filter(|(id, _)| node.is_none_or(|name| *id.name == *name)).filter_map(|(id, known)| {
                let (peer, full) = known.peers.get_key_value(peer)?;
                let (peer, full, counters) = (Arc::clone(peer), Arc::clone(full), Arc::clone(&known.counters));
                Some(Address { node: id.clone(), peer, full, counters })
            });
        let first = found.next();
        let others: Vec<Address> = found.collect();
        match first {
            None => Err(Error::NoSuchPeer { peer: node.map_or(peer.to_owned(), |node| format!("{peer}@{node}")) }),
            Some(first) if others.is_empty() => Ok(first),
            Some(first) => {
                Err(Error::Ambiguous { names: [first].iter().chain(&others).map(|one| one.full.to_string()).collect() })
            }
        }
    }

    pub(super) fn has_peer(&self, node: &NodeId, peer: &str) -> bool {
        self.nodes.lock().get(node).is_some_and(|known| known.peers.contains_key(peer))
    }

    pub(super) fn has_node(&self, name: &str) -> bool {
        self.nodes.lock().iter().any(|(id, known)| *id.name == *name && known.is_announced)
    }

    pub(super) fn is_there(&self, node: &NodeId) -> bool {
        self.nodes.lock().contains_key(node)
    }

    /// All nodes, with what they are counted by.
    pub(super) fn nodes(&self) -> Vec<(NodeId, Arc<Counters>)> {
        self.nodes.lock().iter().map(|(id, known)| (id.clone(), Arc::clone(&known.counters))).collect()
    }

    pub(super) fn peers(&self) -> Vec<Arc<str>> {
        let mut peers: Vec<_> = self.nodes.lock().values().flat_map(|known| known.peers.values().cloned()).collect();
        peers.sort_unstable();
        peers
    }

    pub(super) fn counters(&self, node: &Arc<str>) -> Arc<Counters> {
        let mut counters = self.counters.lock();
        if let Some(known) = counters.get(node) {
            return Arc::clone(known);
        }
        if counters.len() >= COUNTED_MAX {
            return Arc::default();
        }
        Arc::clone(counters.entry(Arc::clone(node)).or_default())
    }

    pub(super) fn snapshot(&self) -> Vec<NodeSnapshot> {
        let mut peers: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for (id, known) in &*self.nodes.lock() {
            *peers.entry(Arc::clone(&id.name)).or_default() += known.peers.len() as u64;
        }
        let counters = self.counters.lock();
        let snapshot = |(name, of): (&Arc<str>, &Arc<Counters>)| NodeSnapshot {
            node: name.to_string(),
            peers: peers.get(name).copied().unwrap_or(0),
            calls: of.calls.load(Ordering::Relaxed),
            served: of.served.load(Ordering::Relaxed),
            bytes_in: of.bytes_in.load(Ordering::Relaxed),
            bytes_out: of.bytes_out.load(Ordering::Relaxed),
            retries: of.retries.load(Ordering::Relaxed),
            failovers: of.failovers.load(Ordering::Relaxed),
            denied: of.denied.load(Ordering::Relaxed),
            last_error: of.last_error.lock().clone(),
        };
        counters.iter().map(snapshot).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, instance: u128) -> NodeId {
        NodeId { name: name.into(), instance }
    }

    #[test]
    fn a_name_is_found_once_or_said_to_be_ambiguous() {
        let presence = Presence::default();
        assert!(
            presence.peer_came(&node("a", 1), "ada").is_some() && presence.peer_came(&node("a", 1), "ada").is_none()
        );
        assert_eq!(presence.find("ada", None).map(|found| found.full.to_string()), Ok("ada@a".to_owned()));
        presence.peer_came(&node("b", 2), "ada");
        let names = vec!["ada@a".to_owned(), "ada@b".to_owned()];
        assert_eq!(presence.find("ada", None).map(drop), Err(Error::Ambiguous { names }));
        assert_eq!(presence.find("ada", Some("b")).map(|found| found.node.instance), Ok(2));
        assert_eq!(presence.find("ada", Some("c")).map(drop), Err(Error::NoSuchPeer { peer: "ada@c".to_owned() }));
    }

    #[test]
    fn a_node_that_is_gone_takes_its_peers_with_it() {
        let presence = Presence::default();
        assert!(presence.node_came(&node("a", 1)) && !presence.node_came(&node("a", 1)) && presence.has_node("a"));
        presence.peer_came(&node("a", 1), "bob");
        presence.peer_came(&node("a", 1), "ada");
        let gone: Vec<_> = presence.node_left(&node("a", 1)).iter().map(|peer| peer.to_string()).collect();
        assert_eq!(gone, ["ada@a", "bob@a"]);
        assert!(presence.peers().is_empty() && !presence.has_node("a") && presence.find("ada", None).is_err());
        presence.peer_came(&node("a", 3), "ada");
        assert!(!presence.has_node("a") && presence.peer_left(&node("a", 3), "ada").is_some());
        assert!(!presence.is_there(&node("a", 3)));
    }
}
