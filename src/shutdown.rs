//! The end of a system, in two phases.
//!
//! From the call on nothing comes in from outside: calls of threads that run no handler of the system answer Closed, and no peer
//! is made. Handlers go on, and their calls work, until all peers are at rest: no handler runs, no message waits for one, no operation or
//! receipt is queued. Then, or at half the timeout, `close_all` closes every peer, and the end of each is waited for.
//!
//! A handler cannot wait for its own end, so it leaves the close to the peers: to the one that falls asleep last, or, at half the
//! timeout, to the thread that the handler runs on once it has returned.

use std::time::Duration;

use crate::call::{After, block};
use crate::close::{self, Ended};
use crate::core::{PeerCore, Stage, SystemCore, in_call, running};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::feed::Heard;
use crate::snapshot;
use crate::sync::{Arc, Ordering};
use crate::turn::{Cause, Wait};

/// How a shutdown went; see [`PeerSystem::shutdown`](crate::PeerSystem::shutdown).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Whether it is over.
    pub ended: Ended,
    /// With [`Ended::StillRunning`]: the peers that have not ended. Empty if all have, and what still runs is the destructor
    /// of a message whose deadline had passed.
    pub still_running: Vec<Running>,
}

/// A peer that has not ended at the deadline of a shutdown; see [`Report`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Running {
    /// Its name.
    pub peer: String,
    /// What its thread is doing, as one line: the handler that runs, and the call that it waits in.
    pub doing: String,
    /// For how long.
    pub since: Duration,
}

pub(crate) fn shutdown(system: &Arc<SystemCore>, timeout: Duration) -> Result<Report> {
    let deadline = Deadline::after(timeout);
    let half = Deadline::after(timeout / 2);
    let report = |ended| Report { ended, still_running: Vec::new() };
    refuse(system);
    if let Some(own) = running().filter(|own| Arc::ptr_eq(&own.system, system)) {
        if half.is_now() || own.life.stage() != Stage::Open {
            close_all(system);
        } else {
            system.quiet.defer(own.id, half);
        }
        return Ok(report(Ended::Deferred));
    }
    let waited = if half.is_now() { Ok(()) } else { wait_for_rest(system, half) };
    close_all(system);
    waited?;
    // In this order: one that is in neither has been joined, or had no thread and has ended.
    let mut ending = system.registry.list().to_vec();
    ending.extend(system.unjoined.lock().iter().cloned());
    // Those that found no thread for their on_stop come last: by then those of the others are gone.
    let (last, first): (Vec<_>, Vec<_>) = ending.into_iter().partition(|peer| peer.life.stage() == Stage::Open);
    for peer in first.into_iter().chain(last) {
        match close::close(&peer, deadline)? {
            Ended::Yes => {}
            Ended::Deferred => return Ok(report(Ended::Deferred)),
            Ended::StillRunning => {
                return Ok(Report { ended: Ended::StillRunning, still_running: still_running(system, &peer) });
            }
        }
    }
    // No call is under way any more: its caller has closed.
    system.timer.close();
    let timer = system.timer.ending();
    let mut ended = close::wait_for(timer, "shutdown", None, deadline, || timer.joined())?;
    if let (Ended::Yes, Some(elsewhere)) = (ended, system.elsewhere()) {
        elsewhere.close();
        let ending = elsewhere.ending();
        ended = close::wait_for(ending, "shutdown", None, deadline, || ending.joined())?;
    }
    if ended == Ended::Yes {
        let mut heard = Heard::new();
        system.feed.lock().close(&mut heard);
        heard.wake();
    }
    Ok(report(ended))
}

/// Lets nothing in from outside any more.
fn refuse(system: &SystemCore) {
    {
        // No peer is made after this.
        let _spawning = system.spawning.lock();
        system.is_closed.store(true, Ordering::SeqCst);
    }
    for wait in system.arrivals.close() {
        wait.end(Cause::Closed, Err(system.closed()));
    }
}

/// Waits until all peers are at rest, or closed, or the deadline passes.
fn wait_for_rest(system: &SystemCore, deadline: Deadline) -> Result<()> {
    let wait = Arc::new(Wait::new());
    if !system.quiet.add(&wait) {
        return Ok(());
    }
    look(system);
    let _in_call = in_call("shutdown", None, || None);
    let result = block(None, &wait, |wait| wait, deadline, &mut After::new());
    system.quiet.leave(&wait);
    match result {
        Err(Error::TimedOut) => Ok(()),
        result => result,
    }
}

/// Begins the close of every peer, and carries out the end of those that have no thread. One whose on_stop finds no thread stays
/// open; a shutdown that is waited for says so.
pub(crate) fn close_all(system: &SystemCore) {
    let mut after = After::new();
    system.quiet.end();
    system.quiet.take_deferred();
    let mut peers = system.registry.list().to_vec();
    peers.retain(|peer| close::begin(peer, &mut after).is_ok());
    drop(after);
    peers.iter().for_each(close::end_without_thread);
}

/// Those that have not ended, the one that was waited for among them if it has ended only now.
fn still_running(system: &SystemCore, waited_for: &PeerCore) -> Vec<Running> {
    let mut peers = system.registry.list().to_vec();
    if peers.is_empty() {
        peers.extend(system.unjoined.lock().iter().cloned());
    }
    let running = |peer: &PeerCore| {
        let seen = snapshot::take_of(peer);
        Running { doing: seen.doing(), peer: seen.peer, since: seen.since }
    };
    match peers.is_empty() {
        true => vec![running(waited_for)],
        false => peers.iter().map(|peer| running(peer)).collect(),
    }
}

/// Whether all peers are at rest. By whoever counts as asleep, or has left.
fn look(system: &SystemCore) -> bool {
    system.quiet.look(|| system.registry.list(), rest_of)
}

/// Whether a peer is at rest; the number stays the same as long as it is.
fn rest_of(peer: &PeerCore) -> Option<u64> {
    match peer.life.stage() {
        // Without a thread it has never been at work; a thread's rounds begin with 1.
        Stage::Open if peer.start.is_open() => Some(0).filter(|_| !peer.has_work()),
        Stage::Open => peer.mailbox.bell().rest().filter(|_| !peer.has_work()),
        // It looks when it has left.
        Stage::Closing => None,
        Stage::Ended => Some(0),
    }
}

/// By a peer's thread that counts as asleep: true if it is the one that must close all now.
pub(crate) fn is_due(system: &SystemCore) -> bool {
    system.quiet.is_watched() && look(system) && system.quiet.take_deferred()
}

/// When this peer's thread must close all, if one of its handlers has called for the shutdown.
pub(crate) fn closes_by(peer: &PeerCore) -> Deadline {
    peer.system.quiet.deferred_to(peer.id).unwrap_or(Deadline::Never)
}

/// By a peer's thread between its handlers: closes all if it must by now.
pub(crate) fn go_on(peer: &PeerCore) {
    if closes_by(peer).left().is_some_and(|left| left.is_zero()) {
        close_all(&peer.system);
    }
}

/// By a peer's thread after it has left the system.
pub(crate) fn left(peer: &PeerCore) {
    // Nobody else would do it by the deadline.
    let is_its_own = peer.system.quiet.deferred_to(peer.id).is_some();
    if is_its_own || is_due(&peer.system) {
        close_all(&peer.system);
    }
}
