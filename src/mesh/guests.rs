//! Guests: who stand here for the peers of other nodes that make calls here. A guest is a peer that is in no list and whose shelf stays empty, with the caller's
//! full name.
//!
//! `potluck-mesh-calls` makes and ends them; the engine's threads look.

use std::collections::HashMap;

use super::keys::NodeId;
use crate::call::After;
use crate::close::shut;
use crate::core::{Hears, Made, PeerCore, SystemCore};
use crate::error::{Error, Result};
use crate::mailbox::Mailbox;
use crate::start::Start;
use crate::sync::{Arc, Mutex};

/// So many peers of one node may make calls here.
const OF_NODE_MAX: usize = 65_536;

#[derive(Default)]
pub(super) struct Guests(Mutex<HashMap<NodeId, OfNode>>);

type OfNode = HashMap<Arc<str>, Guest>;

struct Guest {
    peer: Arc<PeerCore>,
    /// At the last clean-up nobody knew of its peer, and there has been no call of his since: one may be there before it is known who makes it.
    is_unknown: bool,
}

impl Guest {
    fn called(&mut self) -> Arc<PeerCore> {
        self.is_unknown = false;
        Arc::clone(&self.peer)
    }
}

impl Guests {
    /// Who stands for a peer of another node, if that has made a call before.
    pub(super) fn find(&self, node: &NodeId, peer: &str) -> Option<Arc<PeerCore>> {
        self.0.lock().get_mut(node)?.get_mut(peer).map(Guest::called)
    }

    pub(super) fn get(&self, system: &Arc<SystemCore>, node: &NodeId, peer: &Arc<str>) -> Result<Arc<PeerCore>> {
        let mut guests = self.0.lock();
        let guests = guests.entry(node.clone()).or_default();
        if let Some(guest) = guests.get_mut(peer) {
            return Ok(guest.called());
        }
        if guests.len() >= OF_NODE_MAX {
            return Err(Error::LimitReached(format!("{OF_NODE_MAX} peers of one node make calls here")));
        }
        let guest = make(system, &format!("{peer}@{}", node.name));
        guests.insert(Arc::clone(peer), Guest { peer: Arc::clone(&guest), is_unknown: false });
        Ok(guest)
    }

    /// Lets go of those whose peers are there no more, since the last time, and have nothing under way.
    pub(super) fn clean(&self, is_there: impl Fn(&NodeId, &str) -> bool) {
        let mut over = Vec::new();
        self.0.lock().retain(|node, guests| {
            over.extend(guests.extract_if(|peer, guest| {
                let was_unknown = std::mem::replace(&mut guest.is_unknown, !is_there(node, peer));
                was_unknown && guest.is_unknown && Arc::strong_count(&guest.peer) == 1
            }));
            !guests.is_empty()
        });
        over.iter().for_each(|(_, guest)| end(&guest.peer));
    }

    /// Ends what the peers of this node have made.
    pub(super) fn node_left(&self, node: &NodeId) {
        let guests = self.0.lock().remove(node);
        guests.into_iter().flat_map(OfNode::into_values).for_each(|guest| end(&guest.peer));
    }

    pub(super) fn end_all(&self) {
        let guests = std::mem::take(&mut *self.0.lock());
        guests.into_values().flat_map(OfNode::into_values).for_each(|guest| end(&guest.peer));
    }
}

pub(super) fn make(system: &Arc<SystemCore>, name: &str) -> Arc<PeerCore> {
    let hears = Hears { messages: false, requests: false, offers: false, receipts: false, stop: false };
    let mailbox = Mailbox::new(1, 1, true);
    let made = Made { hears, is_guest: true, shelf_bytes_max: u64::MAX, mailbox, start: Start::new(None) };
    PeerCore::new(system, name, made)
}

/// Ends what is made as this guest.
pub(super) fn end(guest: &Arc<PeerCore>) {
    shut(guest, &mut After::new());
    guest.told.close();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::PeerSystem;

    #[test]
    fn a_guest_whose_peer_has_gone_goes_too_once_it_has_nothing_under_way() {
        let system = PeerSystem::open("kitchen").unwrap();
        let (guests, laptop) = (Guests::default(), NodeId { name: "laptop".into(), instance: 1 });
        let get = |peer: &str| guests.get(system.core(), &laptop, &peer.into()).unwrap();
        let has = |peer| guests.0.lock().get(&laptop).is_some_and(|of_it| of_it.contains_key(peer));
        let busy = get("ada");
        drop((get("bob"), get("eve"), get("kim")));
        let clean = || guests.clean(|node, peer| *node == laptop && peer == "kim");
        clean();
        assert_eq!(["ada", "bob", "eve", "kim"].map(has), [true; 4], "perhaps it is not known yet");
        drop(guests.find(&laptop, "eve"));
        clean();
        assert_eq!(["ada", "bob", "eve", "kim"].map(has), [true, false, true, true], "she has called since");
        drop(busy);
        (0..2).for_each(|_| guests.clean(|_, _| false));
        assert!(guests.0.lock().is_empty());
    }
}
