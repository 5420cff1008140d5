//! Whether anything in a system is unfinished, for a shutdown that waits until nothing is. `P` is the peer.
//!
//! Nothing is counted on the way of a message: while somebody watches, each thread of a peer that is about to sleep looks at
//! all peers. Whoever falls asleep last finds all of them at rest. That several were seen so one after another is no proof, since
//! one may have given another work meanwhile: they are seen twice, and none may have woken in between.
//! Watching is register then look, resting is fall asleep then look whether somebody watches, with a SeqCst fence on each side.

use std::sync::Weak;

use crate::deadline::Deadline;
use crate::registry::List;
use crate::sync::{Arc, AtomicBool, Mutex, Ordering, fence};
use crate::turn::{Cause, Wait};

pub(crate) struct Quiet<P> {
    is_watched: AtomicBool,
    watch: Mutex<Watch<P>>,
}

struct Watch<P> {
    /// Nobody waits any more: all was at rest once, or the peers are being closed.
    is_over: bool,
    waits: Vec<Arc<Wait<()>>>,
    /// The peer whose handler wants the system shut down, and when its thread closes all at the latest.
    deferred: Option<(u64, Deadline)>,
    /// One that was seen at work: it looks when it rests, so until then there is no need to.
    busy: Weak<P>,
}

impl<P> Quiet<P> {
    pub(crate) fn new() -> Quiet<P> {
        let watch = Watch { is_over: false, waits: Vec::new(), deferred: None, busy: Weak::new() };
        Quiet { is_watched: AtomicBool::new(false), watch: Mutex::new(watch) }
    }

    /// Whether those that rest must look.
    pub(crate) fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::SeqCst)
    }

    /// Registers one who waits; then it looks. False if it is over.
    pub(crate) fn add(&self, wait: &Arc<Wait<()>>) -> bool {
        {
            let mut watch = self.watch.lock();
            if watch.is_over {
                return false;
            }
            watch.waits.push(Arc::clone(wait));
        }
        self.watch();
        true
    }

    pub(crate) fn leave(&self, wait: &Arc<Wait<()>>) {
        self.watch.lock().waits.retain(|other| !Arc::ptr_eq(other, wait));
    }

    /// Leaves it to the peers to close all when they are at rest, and to the thread of this one to do so by then.
    pub(crate) fn defer(&self, peer: u64, by: Deadline) {
        {
            let mut watch = self.watch.lock();
            let is_earlier = match (by, watch.deferred) {
                (_, None) => true,
                (Deadline::At(by), Some((_, Deadline::At(before)))) => by < before,
                (by, Some((_, Deadline::Never))) => !matches!(by, Deadline::Never),
                _ => false,
            };
            if is_earlier {
                watch.deferred = Some((peer, by));
            }
        }
        self.watch();
    }

    /// By when the thread of this peer must close all.
    pub(crate) fn deferred_to(&self, peer: u64) -> Option<Deadline> {
        if !self.is_watched() {
            return None;
        }
        let watch = self.watch.lock();
        watch.deferred.filter(|(by, _)| *by == peer && !watch.is_over).map(|(_, deadline)| deadline)
    }

    /// Whether it was left to the peers to close all: true for the one who does it then.
    pub(crate) fn take_deferred(&self) -> bool {
        self.watch.lock().deferred.take().is_some()
    }

    fn watch(&self) {
        self.is_watched.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Looks at all peers, and tells who waits if they are at rest. `rest_of` gives the same number of a peer as long as it rests.
    pub(crate) fn look(&self, peers: impl FnOnce() -> List<P>, rest_of: impl Fn(&P) -> Option<u64>) -> bool {
        fence(Ordering::SeqCst);
        let busy = {
            let watch = self.watch.lock();
            if watch.is_over {
                return true;
            }
            watch.busy.upgrade()
        };
        if busy.is_some_and(|busy| rest_of(&busy).is_none()) {
            return false;
        }
        let peers = peers();
        let mut rests = Vec::with_capacity(peers.len());
        for peer in peers.iter() {
            let Some(rest) = rest_of(peer) else {
                self.watch.lock().busy = Arc::downgrade(peer);
                return false;
            };
            rests.push(rest);
        }
        let is_quiet = peers.iter().zip(rests).all(|(peer, rest)| rest_of(peer) == Some(rest));
        if is_quiet {
            self.end();
        }
        is_quiet
    }

    /// Tells who waits that it is over, and lets nobody wait any more.
    pub(crate) fn end(&self) {
        let waits = {
            let mut watch = self.watch.lock();
            watch.is_over = true;
            std::mem::take(&mut watch.waits)
        };
        for wait in waits {
            wait.end(Cause::Answered, Ok(()));
        }
    }
}
