//! Rings of waits: found before they close, so that nobody hangs in one.
//!
//! A *link* runs from the thread of a peer, which waits in a call of its handler, to the one peer whose handler must return
//! first. A thread waits in one call at a time, so each peer has at most one link, and a ring is found by walking along.
//! Since no link is ever set that closes a ring, the walk ends.
//!
//! Links are set and checked under one lock for the whole process, because a handler may act as peers of several systems. It
//! is taken only by a handler that is about to wait, and by whoever ends such a wait: before the waiter wakes, and before the
//! other peer's thread runs more of a handler. So a link that is seen here is a wait that is not over. Under it only the route of
//! an operation is looked at.
//!
//! | wait of a handler | link |
//! |---|---|
//! | for an answer, or for the vote of a handler | to that peer, set before anything is sent or registered |
//! | for own earlier tells to be finished, for room | to that peer, set after the registration, if it is not over by then |
//! | for a message that the other peer's handler has kept | none from when that handler returns: anybody may answer it |
//! | for a turn | none: whoever waits in a call has given its turn up |
//! | for room or an answer at a peer without on_message | none: its messages are received by the host's threads |
//! | for a close | none: what is closed waits in no call, so it is the end of any walk |
//!
//! [`crate::turn::Wait`] keeps with each wait whether it has a link; whoever claims the wait removes it.

use std::collections::HashMap;

use crate::sync::{Arc, Mutex, global};

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

/// Sets a link from `from` to `to`, unless it would close a ring: then gives the names on it, `from` first and last.
///
/// Under the lock: if `is_over` the wait needs no link; and `mark` notes the link with the wait, or says that it has ended.
pub(crate) fn link(
    from: &Place,
    to: &Place,
    is_over: impl FnOnce() -> bool,
    mark: impl FnOnce() -> bool,
) -> Result<(), Vec<String>> {
    let mut links = links().lock();
    if is_over() {
        return Ok(());
    }
    let mut ring = vec![from.name.to_string()];
    let mut at = Some(to);
    while let Some(place) = at {
        ring.push(place.name.to_string());
        if place.key == from.key {
            return Err(ring);
        }
        at = links.get(&place.key);
    }
    if mark() {
        links.insert(from.key, to.clone());
    }
    Ok(())
}

/// Removes the link of `from`, if `is_still` says so under the lock.
pub(crate) fn unlink(from: usize, is_still: impl FnOnce() -> bool) {
    let mut links = links().lock();
    if is_still() {
        links.remove(&from);
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
        let no = || false;
        assert_eq!(link(&a, &b, no, || true), Ok(()));
        assert_eq!(link(&b, &c, no, || true), Ok(()));
        assert_eq!(link(&c, &a, no, || true), Err(vec!["c".into(), "a".into(), "b".into(), "c".into()]));
        assert_eq!(link(&c, &c, no, || true), Err(vec!["c".into(), "c".into()]));
        assert_eq!(link(&c, &a, || true, || true), Ok(()), "a wait that is over closes no ring");
        unlink(2, || true);
        assert_eq!(link(&c, &a, no, || true), Ok(()));
        assert!(link(&b, &c, no, || true).is_err());
        unlink(1, || true);
        unlink(3, || true);
    }
}
