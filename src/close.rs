//! The end of a peer: begun by anybody, waited for by anybody, carried out by its own thread (see `worker.rs`), or, if it has
//! none, by whoever closes it (see `start.rs`).
//!
//! `begin` moves the life from Open to Closing and, by `shut`, tells all who wait, at every place where one can wait for this peer. Each of
//! these places refuses whoever comes later, under its own lock, so nobody is missed. `wait` returns when the thread has
//! been joined; whoever comes first after its end joins it.

use crate::call::{After, block, conclude};
use crate::cancel;
use crate::core::{PeerCore, Stage, SystemCore, in_call, runs};
use crate::deadline::Deadline;
use crate::ending::{Ending, Look};
use crate::error::{Error, Result};
use crate::post::bury_all;
use crate::start;
use crate::sync::Arc;
use crate::turn::{Cause, Wait};

/// How a close or a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is over: no handler runs or will run, and every thread has been joined.
    Yes,
    /// It was called from a handler that must return first, or from a destructor on the thread that is to end; it happens then.
    Deferred,
    /// The deadline passed first; the end goes on by itself, and the call may be repeated to wait for it.
    StillRunning,
}

/// Lets no new work in and tells all who wait. Does not wait. Whoever calls it calls `end_without_thread` when all are told.
///
/// Fails, with nothing changed, only if the peer has an on_stop and no thread, and none can be made.
pub(crate) fn begin(peer: &Arc<PeerCore>, after: &mut After) -> Result<()> {
    if peer.hears.stop && peer.life.stage() == Stage::Open {
        start::ensure(peer)?;
    }
    if peer.life.step(Stage::Open, Stage::Closing) {
        shut(peer, after);
        peer.mailbox.bell().ring();
        peer.start.go_without();
    }
    Ok(())
}

/// After the close has begun and all are told: carries out the end of a peer that has no thread, unless somebody else does, or a letter
/// is still in somebody's hands, who then does it. Runs users' destructors.
pub(crate) fn end_without_thread(peer: &Arc<PeerCore>) {
    if peer.start.is_open() {
        // Whoever began the close may be slow.
        shut(peer, &mut After::new());
        peer.start.go_without();
    }
    (peer.system.above.end)(peer);
}

/// Shuts every place where one can wait for the peer, and tells those who do. By the one who begins the close and, since that one
/// may be slow, by the peer's own thread before it goes on to its end; each step finds nothing to do the second time.
pub(crate) fn shut(peer: &Arc<PeerCore>, after: &mut After) {
    let near = {
        let mut side = peer.side.lock();
        side.shelf.close();
        side.near.forget()
    };
    drop(near);
    for (unsent, call) in peer.waits.close(&peer.name) {
        after.release_body(unsent);
        after.release_call(call);
    }
    // Without handlers nothing waits for its turn or comes to its desk, before or after.
    if !peer.hears.nothing() {
        for operation in peer.turn.close().into_iter().chain(peer.desk.close()) {
            conclude(&operation, peer, Err(peer.peer_closed()), after);
            after.release_call(operation);
        }
    }
    let (senders, receivers) = peer.mailbox.close();
    for waiting in senders {
        waiting.wait().end(Cause::PeerClosed, Err(peer.peer_closed()));
        after.release_body(waiting.take_body());
    }
    for wait in receivers {
        wait.end(Cause::Closed, Err(peer.closed()));
    }
    bury_all(peer, after);
}

/// Closes a peer and waits for its end.
pub(crate) fn close(peer: &Arc<PeerCore>, deadline: Deadline) -> Result<Ended> {
    let mut after = After::new();
    begin(peer, &mut after)?;
    // Users' destructors run before the wait: one may close the same peer.
    drop(after);
    if runs(peer) {
        return Ok(Ended::Deferred);
    }
    end_without_thread(peer);
    // Whoever began it may be held up by a destructor, which perhaps is this: the peer comes to its end by itself.
    peer.mailbox.bell().ring();
    wait(peer, deadline)
}

/// Waits until a peer has ended and its thread has been joined.
pub(crate) fn wait(peer: &Arc<PeerCore>, deadline: Deadline) -> Result<Ended> {
    wait_for(&peer.life.ending, "close", Some(&peer.name), deadline, || joined(peer))
}

/// Waits until a thread has ended, and joins it; who does that runs `joined` afterwards. `verb` and `whom` say what for.
pub(crate) fn wait_for(
    ending: &Ending,
    verb: &'static str,
    whom: Option<&Arc<str>>,
    mut deadline: Deadline,
    joined: impl FnOnce(),
) -> Result<Ended> {
    let mut wait = None;
    loop {
        match (ending.look(wait.as_ref()), wait.take()) {
            (Look::Over, _) => return Ok(Ended::Yes),
            (Look::Join(thread), _) => {
                // A panic of the thread itself has nowhere to go; handlers' panics were caught where they happened.
                let _ = cancel::put_off(|| thread.join());
                joined();
                return Ok(Ended::Yes);
            }
            // It cannot join itself.
            (Look::Itself, _) => return Ok(Ended::Deferred),
            (Look::Wait, None) if deadline.is_now() => return Ok(Ended::StillRunning),
            (Look::Wait, None) => {
                deadline = deadline.begin();
                wait = Some(Arc::new(Wait::new()));
            }
            (Look::Wait, Some(wait)) => {
                let whom = whom.cloned();
                let _in_call = in_call(verb, None, move || whom.clone());
                let result = block(None, &wait, |wait| wait, deadline, &mut After::new());
                ending.leave(&wait);
                match result {
                    Ok(()) => {}
                    Err(Error::TimedOut) => return Ok(Ended::StillRunning),
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

/// Joins the threads of peers that have ended with nobody waiting.
pub(crate) fn reap(system: &SystemCore) {
    let has_ended = |peer: &&Arc<PeerCore>| peer.life.stage() == Stage::Ended;
    let ended: Vec<Arc<PeerCore>> = system.unjoined.lock().iter().filter(has_ended).cloned().collect();
    for peer in ended {
        // It does not wait: who is not quite at its end is left for the next time.
        let _ = wait(&peer, Deadline::Now);
    }
}

/// Nothing is left of a peer's thread: tells those who wait for that.
pub(crate) fn joined(peer: &PeerCore) {
    let _unjoined = peer.system.unjoined.lock().remove(peer.id);
    peer.life.ending.joined();
}
