//! The end of a peer: begun by anybody, waited for by anybody, carried out by its own thread (see `worker.rs`).
//!
//! `begin` moves the life from Open to Closing and, by `shut`, tells all who wait, at every place where one can wait for this peer. Each of
//! these places refuses whoever comes later, under its own lock, so nobody is missed. `wait` returns when the thread has
//! been joined; whoever comes first after its end joins it.

use crate::call::{After, block, conclude};
use crate::core::{PeerCore, Stage, SystemCore, in_call, runs};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::post::bury;
use crate::sync::{Arc, current_thread};
use crate::turn::{Cause, Wait};

/// How a close or a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is over: no handler runs or will run, and every thread has been joined.
    Yes,
    /// It was called from a handler that must return first; it happens then.
    Deferred,
    /// The deadline passed first; the end goes on by itself, and the call may be repeated to wait for it.
    StillRunning,
}

/// Lets no new work in and tells all who wait. Does not wait.
pub(crate) fn begin(peer: &Arc<PeerCore>, after: &mut After) {
    if peer.life.step(Stage::Open, Stage::Closing) {
        shut(peer, after);
        peer.mailbox.bell().ring();
    }
}

/// Shuts every place where one can wait for the peer, and tells those who do. By the one who begins the close and, since that one
/// may be slow, by the peer's own thread before it goes on to its end; each step finds nothing to do the second time.
pub(crate) fn shut(peer: &Arc<PeerCore>, after: &mut After) {
    peer.shelf.lock().close();
    peer.waits.close(&peer.name);
    for operation in peer.turn.close().into_iter().chain(peer.desk.close()) {
        conclude(&operation, peer, Err(peer.peer_closed()), after);
        after.release_operation(operation);
    }
    let (senders, receivers) = peer.mailbox.close();
    for waiting in senders {
        waiting.refuse(peer.peer_closed());
    }
    for wait in receivers {
        wait.end(Cause::Closed, Err(peer.closed()));
    }
    bury_all(peer, after);
}

/// Buries the letters that are in the mailbox. The room of each is freed after that: the peer's end waits for it.
pub(crate) fn bury_all(peer: &PeerCore, after: &mut After) {
    while let Some(letter) = peer.mailbox.take_aside().or_else(|| peer.mailbox.take()) {
        let size = letter.size();
        bury(peer, letter, after);
        peer.mailbox.release(size);
    }
}

/// Closes a peer and waits for its end.
pub(crate) fn close(peer: &Arc<PeerCore>, deadline: Deadline) -> Result<Ended> {
    let mut after = After::new();
    begin(peer, &mut after);
    // Users' destructors run before the wait: one may close the same peer.
    drop(after);
    if runs(peer) {
        return Ok(Ended::Deferred);
    }
    wait(peer, deadline)
}

/// Waits until a peer has ended and its thread has been joined.
pub(crate) fn wait(peer: &Arc<PeerCore>, deadline: Deadline) -> Result<Ended> {
    loop {
        let wait = {
            let mut ending = peer.life.ending.lock();
            if ending.is_joined {
                return Ok(Ended::Yes);
            }
            if let (Stage::Ended, Some(thread)) = (peer.life.stage(), &ending.thread) {
                if thread.thread().id() == current_thread().id() {
                    // A destructor of the ended thread's own variables called: the thread cannot join itself.
                    return Ok(Ended::Deferred);
                }
                drop(ending);
                join(peer);
                continue;
            }
            if deadline.is_now() {
                return Ok(Ended::StillRunning);
            }
            let wait = Arc::new(Wait::new());
            ending.waits.push(Arc::clone(&wait));
            wait
        };
        let whom = Arc::clone(&peer.name);
        let _in_call = in_call("close", None, move || Some(Arc::clone(&whom)));
        let result = block(None, &wait, |it| it, deadline, |_| Error::TimedOut, &mut After::new());
        peer.life.ending.lock().waits.retain(|other| !Arc::ptr_eq(other, &wait));
        match result {
            Ok(()) => {}
            Err(Error::TimedOut) => return Ok(Ended::StillRunning),
            Err(error) => return Err(error),
        }
    }
}

/// Joins the threads of peers that have ended with nobody waiting.
pub(crate) fn reap(system: &SystemCore) {
    let has_ended = |peer: &&Arc<PeerCore>| peer.life.stage() == Stage::Ended;
    let ended: Vec<Arc<PeerCore>> = system.unjoined.lock().values().filter(has_ended).cloned().collect();
    for peer in ended {
        join(&peer);
    }
}

/// Joins the thread of a peer that has ended: it has nothing left to do. Once, by whoever comes first.
fn join(peer: &Arc<PeerCore>) {
    let thread = {
        let mut ending = peer.life.ending.lock();
        if ending.thread.as_ref().is_some_and(|thread| thread.thread().id() == current_thread().id()) {
            return;
        }
        ending.thread.take()
    };
    if let Some(thread) = thread {
        // A panic of the thread itself has nowhere to go; handlers' panics were caught where they happened.
        let _ = thread.join();
        joined(peer);
    }
}

/// Nothing is left of a peer's thread: tells those who wait for that.
pub(crate) fn joined(peer: &PeerCore) {
    let waits = {
        let mut ending = peer.life.ending.lock();
        ending.is_joined = true;
        std::mem::take(&mut ending.waits)
    };
    peer.system.unjoined.lock().remove(&peer.id);
    for wait in waits {
        wait.end(Cause::Answered, Ok(()));
    }
}
