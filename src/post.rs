//! Messages on their way: tell, ask and receive, and the record of those that no handler will see.

#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;

use crate::call::{After, block, elsewhere, wait_out};
use crate::calling::Call;
use crate::core::{Begun, Form, PeerCore, Underway, in_call, runs};
use crate::dead_letters::DeadLetter;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::feed::{FeedGuard, Heard};
use crate::key::Key;
use crate::mailbox::{IsClosed, NoRoom, Parcel, Receivers, Waiting};
use crate::message::{Ask, Letter, Message, Tell};
use crate::name;
use crate::resource::Resource;
use crate::start;
use crate::sync::{Arc, Ordering};
use crate::told::Sent;
use crate::turn::{Cause, Phase, Wait};
use crate::unwind::drop_user_data;
use crate::waits::{Interrupt, Why, give_up};

/// A message on its way, whose sender waits: for room, and an asker then for the answer.
struct Sending {
    to: Arc<PeerCore>,
    message: Waiting,
}

impl Interrupt for Sending {
    fn give_up(&self, why: Why<'_>) -> Bytes {
        let peer = || self.to.name.to_string();
        let late = |phase| match phase {
            Phase::Waiting => Error::Full { peer: peer() },
            Phase::Queued => Error::TimedOut,
            Phase::Begun => Error::OutcomeUnknown { peer: peer() },
        };
        give_up(self.message.wait(), why, late, |phase| self.leave(phase))
    }
}

impl Sending {
    /// Takes it out of where it waits; but an ask that is queued keeps its place until it is taken out, and one that was begun
    /// is the handler's.
    fn leave(&self, phase: Phase) -> Bytes {
        match (phase, &self.message) {
            (Phase::Waiting, message) => self.to.mailbox.leave_line(message),
            (Phase::Queued, Waiting::Ask(ask)) => {
                let mut heard = Heard::new();
                record_ask(&self.to, ask, &mut self.to.system.feed.lock(), &mut heard);
                heard.wake();
            }
            _ => return Bytes::new(),
        }
        self.message.take_body()
    }
}

impl Underway for Sending {
    fn wait(&self) -> &Wait<Option<Resource>> {
        self.message.wait()
    }

    fn verb(&self) -> &'static str {
        match self.message {
            Waiting::Tell(_) => "tell",
            Waiting::Ask(_) => "ask",
        }
    }

    fn what(&self) -> &Arc<str> {
        self.message.kind()
    }

    fn whom(&self) -> Arc<str> {
        Arc::clone(&self.to.name)
    }
}

/// Sends a message; waits for room if there is none.
pub(crate) fn tell(caller: &Arc<PeerCore>, to: &str, kind: &str, body: Bytes, form: Form) -> Result<Begun> {
    caller.check_acting()?;
    let size = body.len();
    let (target, why, tell) = match caller.told.send(Key::new(to), kind, body) {
        Sent::Yes => return Ok(Begun::Done(None)),
        Sent::WithReceivers(target) => {
            target.mailbox.has_put(Receivers::Some);
            return Ok(Begun::Done(None));
        }
        Sent::NoRoom(target, why, tell) => (target, why, tell),
        Sent::Unknown(body) => {
            name::check_kind(kind)?;
            let target = match caller.system.find(to) {
                Ok(target) => target,
                Err(error) => return elsewhere(caller, Call::Tell { to, kind, body }, form, error),
            };
            if target.hears.messages {
                start::ensure(&target)?;
            }
            let tell = Tell { label: caller.told.label(&caller.name, &target, kind), body };
            match target.mailbox.try_send(Letter::Tell(tell)) {
                Ok(()) => return Ok(Begun::Done(None)),
                Err((why, Letter::Tell(tell))) => (target, why, tell),
                Err((_, Letter::Ask(_))) => unreachable!("it gives back what it got"),
            }
        }
    };
    if why != NoRoom::Full || form.deadline().is_now() {
        return Err(no_room(caller, &target, &why, size));
    }
    let parcel = Arc::new(Parcel::new(tell, form.wait(&caller.system)?));
    let message = Waiting::Tell(Arc::clone(&parcel));
    if !target.mailbox.wait_for_room(message.clone()) {
        return Err(closed_to(caller, &target));
    }
    if target.hears.messages
        && let Err(ring) = parcel.wait.link(&target.place(), || false)
        && parcel.wait.claim(Cause::Answered).is_some()
    {
        target.mailbox.leave_line(&message);
        return Err(ring);
    }
    wait_out(caller, Arc::new(Sending { to: target, message }), form, &mut After::new())
}

/// Sends a message and waits for the answer.
pub(crate) fn ask(caller: &Arc<PeerCore>, to: &str, kind: &str, body: Bytes, form: Form) -> Result<Begun> {
    caller.check_acting()?;
    name::check_kind(kind)?;
    let target = match caller.system.find(to) {
        Ok(target) => target,
        Err(error) => return elsewhere(caller, Call::Ask { to, kind, body }, form, error),
    };
    if form.is_blocking() && runs(&target) {
        return Err(target.deadlock());
    }
    let size = body.len();
    match target.mailbox.why_not(size) {
        Some(why @ (NoRoom::Closed | NoRoom::TooLarge)) => return Err(no_room(caller, &target, &why, size)),
        // An answer always takes waiting, so nothing may be left in the mailbox.
        Some(why) if form.deadline().is_now() => return Err(no_room(caller, &target, &why, size)),
        None if form.deadline().is_now() => return Err(Error::TimedOut),
        _ => {}
    }
    if target.hears.messages {
        start::ensure(&target)?;
    }
    let ask = Arc::new(Ask::new(
        form.wait(&caller.system)?,
        [Arc::clone(&caller.name), Arc::clone(&target.name), kind.into()],
        body,
    ));
    if target.hears.messages {
        ask.wait.link(&target.place(), || false)?;
    }
    let message = Waiting::Ask(Arc::clone(&ask));
    match target.mailbox.try_send(Letter::Ask(Arc::clone(&ask))) {
        Ok(()) => {}
        Err((NoRoom::Full, _)) => {
            if !target.mailbox.wait_for_room(message.clone()) {
                ask.wait.unlink();
                return Err(closed_to(caller, &target));
            }
        }
        Err((why, _)) => {
            ask.wait.unlink();
            return Err(no_room(caller, &target, &why, size));
        }
    }
    wait_out(caller, Arc::new(Sending { to: target, message }), form, &mut After::new())
}

fn no_room(caller: &PeerCore, target: &PeerCore, why: &NoRoom, size: usize) -> Error {
    match why {
        NoRoom::Full => Error::Full { peer: target.name.to_string() },
        NoRoom::Closed => closed_to(caller, target),
        NoRoom::TooLarge => Error::TooLarge {
            what: format!("the mailbox of {:?}", target.name),
            limit: target.mailbox.bytes_max(),
            size: size as u64,
        },
    }
}

fn closed_to(caller: &PeerCore, target: &PeerCore) -> Error {
    if caller.is(target) { caller.closed() } else { target.peer_closed() }
}

/// The next message to a peer that has no on_message.
pub(crate) fn receive(peer: &Arc<PeerCore>, timeout: Duration) -> Result<Message> {
    let deadline = Deadline::after(timeout);
    peer.check_acting()?;
    check_inbox(peer)?;
    let mut after = After::new();
    loop {
        let wait = (!deadline.is_now()).then(|| Arc::new(Wait::new()));
        let letter = match (peer.mailbox.receive(wait.as_ref()), wait) {
            (Err(IsClosed), _) => return Err(peer.closed()),
            (Ok(Some(letter)), _) => letter,
            (Ok(None), None) => return Err(Error::TimedOut),
            (Ok(None), Some(wait)) => {
                let _in_call = in_call("receive", None, || None);
                let result = block(Some(peer), &wait, |wait| wait, deadline, &mut after);
                if result.is_err() {
                    peer.mailbox.leave_receivers(&wait);
                }
                result?
            }
        };
        let ask = letter.ask();
        // An ask that was given up is a dead letter; the next one may be there. The peer does not end before it is recorded.
        let opened = open(peer, letter, &mut after);
        if peer.mailbox.put_down() {
            // If it has no thread, whoever has had the last letter comes to its end.
            (peer.system.above.end)(peer);
        }
        if let Some(message) = opened {
            if let Some(ask) = &ask {
                keep(peer, ask);
            }
            return Ok(message);
        }
    }
}

/// A descriptor that is readable whenever `receive` would return at once.
#[cfg(unix)]
pub(crate) fn descriptor(peer: &PeerCore) -> Result<OwnedFd> {
    peer.check_acting()?;
    check_inbox(peer)?;
    peer.mailbox.descriptor()
}

fn check_inbox(peer: &PeerCore) -> Result<()> {
    if peer.mailbox.is_inbox() {
        return Ok(());
    }
    Err(Error::InvalidArgument(format!("{:?} has an on_message handler, which gets its messages", peer.name)))
}

/// Notes an ask that is to be answered later: at the end of the peer its sender is told, if nobody has answered.
pub(crate) fn keep(by: &PeerCore, ask: &Arc<Ask>) {
    if !by.kept.add(ask) {
        ask.wait.end(Cause::PeerClosed, Err(by.peer_closed()));
    }
}

/// Tells the senders of asks that have been kept and not answered that the peer is at its end.
pub(crate) fn end_kept(by: &PeerCore) {
    for ask in by.kept.close().iter().filter_map(Weak::upgrade) {
        ask.wait.end(Cause::PeerClosed, Err(by.peer_closed()));
        drop_user_data(ask);
    }
}

/// Opens a letter to a peer, or records it if it was given up before.
#[cfg_attr(not(feature = "c-library"), inline(always))]
pub(crate) fn open(to: &PeerCore, letter: Letter, after: &mut After) -> Option<Message> {
    match letter {
        Letter::Ask(ask) => {
            let opened = Message::open(Letter::Ask(Arc::clone(&ask)));
            if opened.is_none() {
                record_ask(to, &ask, &mut to.system.feed.lock(), after.heard());
            }
            opened
        }
        tell => Message::open(tell),
    }
}

/// Buries the letters that are in a closed mailbox; the peer's end waits for that. Whoever closes a peer and the peer's own thread may do so at once: each letter
/// is taken out and recorded under the lock of the feed, so that they are recorded in their order.
pub(crate) fn bury_all(to: &PeerCore, after: &mut After) {
    while !to.mailbox.is_empty() {
        let (letter, is_claimed) = {
            let mut feed = to.system.feed.lock();
            let Some(letter) = to.mailbox.take_to_bury() else { return };
            let is_claimed = record(to, &letter, &mut feed, after.heard());
            (letter, is_claimed)
        };
        lay_down(to, letter, is_claimed, after);
        to.mailbox.put_down();
    }
}

/// What becomes of a letter that is still in a mailbox when its peer closes.
pub(crate) fn bury(to: &PeerCore, letter: Letter, after: &mut After) {
    let is_claimed = record(to, &letter, &mut to.system.feed.lock(), after.heard());
    lay_down(to, letter, is_claimed, after);
}

/// Records a letter that nobody will handle; true if its sender is to be told, which is done after that: the events of a call come before it returns.
fn record(to: &PeerCore, letter: &Letter, feed: &mut FeedGuard<'_>, heard: &mut Heard) -> bool {
    match letter {
        Letter::Tell(Tell { label, body }) => {
            feed.bury(heard, dead_letter(to, &label.from, &label.kind, body.len(), to.peer_closed()));
            false
        }
        Letter::Ask(ask) => {
            let is_claimed = ask.wait.claim(Cause::PeerClosed).is_some();
            record_ask(to, ask, feed, heard);
            is_claimed
        }
    }
}

fn lay_down(to: &PeerCore, letter: Letter, is_claimed: bool, after: &mut After) {
    let body = match letter {
        Letter::Tell(tell) => tell.body,
        Letter::Ask(ask) => {
            if is_claimed {
                ask.wait.finish(Err(to.peer_closed()));
            }
            ask.take_body()
        }
    };
    after.release_body(body);
}

/// Records an ask that was ended while it was queued, once: by whoever ended it or by whoever takes it out, so that the
/// event comes before the call returns and before the peer has left.
fn record_ask(to: &PeerCore, ask: &Ask, feed: &mut FeedGuard<'_>, heard: &mut Heard) {
    let reason = match ask.wait.ended() {
        Some((Phase::Queued, Cause::TimedOut)) => Error::TimedOut,
        Some((Phase::Queued, Cause::Closed)) => Error::Closed { name: ask.from.to_string() },
        Some((Phase::Queued, Cause::PeerClosed)) => to.peer_closed(),
        Some((Phase::Queued, Cause::Canceled)) => Error::Canceled,
        _ => return,
    };
    if !ask.is_recorded.swap(true, Ordering::SeqCst) {
        feed.bury(heard, dead_letter(to, &ask.from, &ask.kind, ask.size, reason));
    }
}

fn dead_letter(to: &PeerCore, from: &Arc<str>, kind: &Arc<str>, size: usize, reason: Error) -> DeadLetter {
    let (to, from, kind) = (Arc::clone(&to.name), Arc::clone(from), Arc::clone(kind));
    DeadLetter { to, from, kind, size: size as u64, reason }
}
