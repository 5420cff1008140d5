//! Whom a peer calls again and again, so that one more call with the same peer needs no look-up in the system. `P` is the peer.
//!
//! A name stands for the same peer as long as that one's life is open: nobody else gets the name before. Whoever finds that it is not asks the
//! system anew.
//!
//! It lies under the lock of the caller's shelf, which each such call takes anyway. Only who is called twice in a row is kept here: whoever calls
//! another each time counts no references for it. A peer lets go at the beginning of its end, since two that call each other hold each other.

use crate::key;
use crate::registry::Named;
use crate::sync::Arc;

pub(crate) struct Near<P> {
    /// Of whom the last call was with; `NOBODY` has this one.
    id: u64,
    peer: Option<Arc<P>>,
}

const NOBODY: u64 = u64::MAX;

impl<P> Default for Near<P> {
    fn default() -> Near<P> {
        Near { id: NOBODY, peer: None }
    }
}

impl<P: Named> Near<P> {
    #[inline(always)]
    pub(crate) fn get(&mut self, name: &str) -> Option<&Arc<P>> {
        let peer = self.peer.as_ref().filter(|peer| key::is_same(peer.name(), name))?;
        self.id = peer.id();
        Some(peer)
    }

    /// Notes whom a call is made with that has been looked up. Who makes way for him is to be dropped under no lock.
    #[inline(always)]
    pub(crate) fn note(&mut self, peer: &Arc<P>, gone: &mut Option<Arc<P>>) {
        if self.id == peer.id() {
            *gone = self.peer.replace(Arc::clone(peer));
        }
        self.id = peer.id();
    }

    /// Lets go, in the same way.
    pub(crate) fn forget(&mut self) -> Option<Arc<P>> {
        self.id = NOBODY;
        self.peer.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Somebody(u64);

    impl Named for Somebody {
        fn name(&self) -> &str {
            ["ada", "bob"][self.0 as usize % 2]
        }

        fn id(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn who_is_called_twice_in_a_row_is_near_until_another_is() {
        let [ada, bob, next_bob] = [0, 1, 3].map(|id| Arc::new(Somebody(id)));
        let (mut near, mut gone) = (Near::default(), None);
        let id = |near: &Near<Somebody>| near.peer.as_ref().map(|peer| peer.id());
        for peer in [&ada, &bob, &ada] {
            near.note(peer, &mut gone);
            assert_eq!(id(&near), None);
        }
        near.note(&ada, &mut gone);
        assert!(near.get("ada").is_some_and(|near| Arc::ptr_eq(near, &ada)) && near.get("bob").is_none());
        // By turns nobody takes her place.
        for _ in 0..3 {
            near.note(&bob, &mut gone);
            assert!(near.get("ada").is_some());
        }
        assert_eq!((id(&near), gone.is_none()), (Some(0), true));
        (0..2).for_each(|_| near.note(&bob, &mut gone));
        assert_eq!((id(&near), gone.take().map(|gone| gone.id())), (Some(1), Some(0)));
        // He has closed, and another has his name.
        drop(near.forget());
        (0..2).for_each(|_| near.note(&next_bob, &mut gone));
        assert_eq!((id(&near), Arc::strong_count(&bob)), (Some(3), 1));
    }
}
