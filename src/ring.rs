//! Rings of waits: found before they close, so that nobody hangs in one.
//!
//! A *link* runs from the thread of a peer, which waits in a call of its handler, to the one peer whose handler must return
//! first. A thread waits in one call at a time, so each peer has at most one link, and a ring is found by walking along.
//! Since no link is ever set that closes a ring, the walk ends.
//!
//! Links are set and checked under one lock for the whole process, because a handler may act as peers of several systems. It
//! is taken only by a handler that is about to wait, by a call that was started and comes to wait for another's handler, and by
//! whoever ends such a wait: before the waiter wakes, and before the other peer's thread runs more of a handler. So a link
//! that is seen here is a wait that is not over. Under it only the route of an operation is looked at, and who waits for a
//! started call.
//!
//! | wait of a handler | link |
//! |---|---|
//! | for an answer, or for the vote of a handler | to that peer, set before anything is sent or registered |
//! | for own earlier tells to be finished, for room | to that peer, set after the registration, if it is not over by then |
//! | for a message that the other peer's handler has kept | none from when that handler returns: anybody may answer it |
//! | for a call that was started | to the peer that the call waits for now, as above; whoever moves the call on moves the links |
//! | for a turn | none: whoever waits in a call has given its turn up |
//! | for room or an answer at a peer without on_message | none: its messages are received by the host's threads |
//! | for a close | none: what is closed waits in no call, so it is the end of any walk |
//!
//! [`crate::turn::Wait`] keeps with each wait whether it has a link; whoever claims the wait removes it.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::sync::{Arc, Mutex, MutexGuard, global};

/// A peer as a place in the walk: its address, which is its own as long as it waits or is waited for.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) key: usize,
    pub(crate) name: Arc<str>,
}

global! {
    /// From the key of who waits to whom it waits for.
    fn links() -> Mutex<HashMap<usize, Place>> { Mutex::new(HashMap::new()) }
}

/// The links, locked.
pub(crate) struct Links(MutexGuard<'static, HashMap<usize, Place>>);

pub(crate) fn lock() -> Links {
    Links(links().lock())
}

impl Links {
    /// Sets the link of `from`, unless it would close a ring: then gives the names on it, `from` first and last.
    pub(crate) fn set(&mut self, from: &Place, to: &Place) -> Result<()> {
        let mut ring = vec![from.name.to_string()];
        let mut at = Some(to);
        while let Some(place) = at {
            ring.push(place.name.to_string());
            if place.key == from.key {
                return Err(Error::Deadlock { ring });
            }
            at = self.0.get(&place.key);
        }
        self.0.insert(from.key, to.clone());
        Ok(())
    }

    pub(crate) fn remove(&mut self, from: &Place) {
        self.0.remove(&from.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(key: usize, name: &str) -> Place {
        Place { key, name: name.into() }
    }

    #[test]
    fn a_ring_is_refused_and_a_chain_is_not() {
        // Keys that no peer has, since tests share the links.
        let (a, b, c) = (place(1, "a"), place(2, "b"), place(3, "c"));
        let ring = |names: [&str; 4]| Err(Error::Deadlock { ring: names.map(str::to_owned).to_vec() });
        let mut links = lock();
        assert_eq!(links.set(&a, &b), Ok(()));
        assert_eq!(links.set(&b, &c), Ok(()));
        assert_eq!(links.set(&c, &a), ring(["c", "a", "b", "c"]));
        assert_eq!(links.set(&c, &c), Err(Error::Deadlock { ring: vec!["c".into(), "c".into()] }));
        links.remove(&b);
        assert_eq!(links.set(&c, &a), Ok(()));
        assert_eq!(links.set(&b, &c), ring(["b", "c", "a", "b"]));
        links.remove(&a);
        links.remove(&c);
    }
}
