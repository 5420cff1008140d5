//! Messages on their way: tell, ask and receive, and the record of those that no handler will see.

use std::time::Duration;

use bytes::Bytes;

use crate::call::{After, block};
use crate::core::{PeerCore, in_call, running, runs};
use crate::dead_letters::DeadLetter;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::mailbox::{NoRoom, NotSent, Parcel, Waiting};
use crate::message::{Ask, Letter, Message, Tell};
use crate::name;
use crate::resource::Resource;
use crate::sync::{Arc, Ordering};
use crate::turn::{Cause, Pair, Phase, Wait};

/// Sends a message; waits for room if there is none.
pub(crate) fn tell(caller: &Arc<PeerCore>, to: &str, kind: &str, body: Bytes, timeout: Duration) -> Result<()> {
    let deadline = Deadline::after(timeout);
    caller.check_acting()?;
    name::check_kind(kind)?;
    let target = caller.system.find(to)?;
    // At a peer without on_message a message is finished when accepted, so there is nothing to count.
    let pair = target.hears.messages.then(|| caller.told.pair(target.id));
    let tell = Tell { from: Arc::clone(&caller.name), kind: kind.into(), body, pair };
    let size = tell.body.len();
    let tell = match target.mailbox.try_send(Letter::Tell(tell)) {
        Ok(()) => return Ok(()),
        Err(NotSent::Full(Letter::Tell(tell))) if !deadline.is_now() => tell,
        Err(why) => return Err(not_sent(caller, &target, why, size)),
    };
    let (whom, kind) = (Arc::clone(&target.name), Arc::clone(&tell.kind));
    let parcel = Arc::new(Parcel::new(tell));
    if !target.mailbox.wait_for_room(Waiting::Tell(Arc::clone(&parcel))) {
        return Err(closed_to(caller, &target));
    }
    if let (true, Some(own)) = (target.hears.messages, running())
        && let Err(ring) = parcel.wait.link(&own.place(), &target.place(), || false)
        && parcel.wait.claim(Cause::TimedOut).is_some()
    {
        target.mailbox.leave_line(&Waiting::Tell(parcel));
        return Err(ring);
    }
    let late = |_| Error::Full { peer: target.name.to_string() };
    let _in_call = in_call("tell", Some(&kind), move || Some(Arc::clone(&whom)));
    let result = block(Some(caller), &parcel, |it| &it.wait, deadline, late, &mut After::new());
    if !matches!(parcel.wait.ended(), Some((_, Cause::Answered))) {
        target.mailbox.leave_line(&Waiting::Tell(parcel));
    }
    result
}

/// Sends a message and waits for the answer.
pub(crate) fn ask(caller: &Arc<PeerCore>, to: &str, kind: &str, body: Bytes, timeout: Duration) -> Result<Resource> {
    let deadline = Deadline::after(timeout);
    caller.check_acting()?;
    name::check_kind(kind)?;
    let target = caller.system.find(to)?;
    if runs(&target) {
        return Err(target.deadlock());
    }
    let size = body.len();
    if deadline.is_now() {
        // An answer always takes waiting, so nothing may be left in the mailbox.
        return Err(match target.mailbox.why_not(size) {
            None => Error::TimedOut,
            Some(why) => no_room(caller, &target, &why, size),
        });
    }
    let ask = Arc::new(Ask::new(Arc::clone(&caller.name), kind.into(), body));
    if let (true, Some(own)) = (target.hears.messages, running()) {
        if let Some(why @ (NoRoom::Closed | NoRoom::TooLarge)) = target.mailbox.why_not(size) {
            return Err(no_room(caller, &target, &why, size));
        }
        ask.wait.link(&own.place(), &target.place(), || false)?;
    }
    match target.mailbox.try_send(Letter::Ask(Arc::clone(&ask))) {
        Ok(()) => {}
        Err(NotSent::Full(_)) => {
            if !target.mailbox.wait_for_room(Waiting::Ask(Arc::clone(&ask))) {
                ask.wait.unlink();
                return Err(closed_to(caller, &target));
            }
        }
        Err(why) => {
            ask.wait.unlink();
            return Err(not_sent(caller, &target, why, size));
        }
    }
    let late = |phase| match phase {
        Phase::Waiting => Error::Full { peer: target.name.to_string() },
        Phase::Queued => Error::TimedOut,
        Phase::Begun => Error::OutcomeUnknown { peer: target.name.to_string() },
    };
    let mut after = After::new();
    let whom = Arc::clone(&target.name);
    let _in_call = in_call("ask", Some(&ask.kind), move || Some(Arc::clone(&whom)));
    let result = block(Some(caller), &ask, |it| &it.wait, deadline, late, &mut after);
    match ask.wait.ended() {
        Some((Phase::Waiting, _)) => target.mailbox.leave_line(&Waiting::Ask(Arc::clone(&ask))),
        Some((Phase::Queued, _)) => record_ask(&target, &ask, &mut after),
        _ => {}
    }
    // Of one that was given up; it keeps its place until it is taken out.
    ask.free_body();
    result?.ok_or_else(|| Error::Internal("an answer was no resource".to_owned()))
}

fn not_sent(caller: &PeerCore, target: &PeerCore, why: NotSent, size: usize) -> Error {
    let why = match why {
        NotSent::Full(_) => NoRoom::Full,
        NotSent::Closed => NoRoom::Closed,
        NotSent::TooLarge => NoRoom::TooLarge,
    };
    no_room(caller, target, &why, size)
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
    if !peer.mailbox.is_inbox() {
        let what = format!("{:?} has an on_message handler, which gets its messages", peer.name);
        return Err(Error::InvalidArgument(what));
    }
    let mut after = After::new();
    loop {
        let wait = (!deadline.is_now()).then(|| Arc::new(Wait::new()));
        let letter = match (peer.mailbox.receive(wait.as_ref()), wait) {
            (Err(_), _) => return Err(peer.closed()),
            (Ok(Some(letter)), _) => letter,
            (Ok(None), None) => return Err(Error::TimedOut),
            (Ok(None), Some(wait)) => {
                let _in_call = in_call("receive", None, || None);
                let result = block(Some(peer), &wait, |it| it, deadline, |_| Error::TimedOut, &mut after);
                if result.is_err() {
                    peer.mailbox.leave_receivers(&wait);
                }
                result?
            }
        };
        let ask = letter.ask();
        // An ask that was given up is a dead letter; the next one may be there.
        if let Some((message, _)) = open(peer, letter, &mut after) {
            if let Some(ask) = ask {
                keep(peer, ask);
            }
            return Ok(message);
        }
    }
}

/// Notes an ask that is to be answered later: at the end of the peer its sender is told, if nobody has answered.
pub(crate) fn keep(by: &PeerCore, ask: Arc<Ask>) {
    if let Some(late) = by.kept.add(ask) {
        late.wait.end(Cause::PeerClosed, Err(by.peer_closed()));
    }
}

/// Tells the senders of asks that have been kept and not answered that the peer is at its end.
pub(crate) fn end_kept(by: &PeerCore) {
    for ask in by.kept.close() {
        ask.wait.end(Cause::PeerClosed, Err(by.peer_closed()));
    }
}

/// Opens a letter to a peer, or records it if it was given up before.
pub(crate) fn open(to: &PeerCore, letter: Letter, after: &mut After) -> Option<(Message, Option<Arc<Pair>>)> {
    match letter {
        Letter::Ask(ask) => {
            let opened = Message::open(Letter::Ask(Arc::clone(&ask)), Arc::clone(&to.name));
            if opened.is_none() {
                record_ask(to, &ask, after);
            }
            opened
        }
        tell => Message::open(tell, Arc::clone(&to.name)),
    }
}

/// What becomes of a letter that is still in a mailbox when its peer closes. The caller releases its room afterwards, so
/// that the peer does not end before this is done.
pub(crate) fn bury(to: &PeerCore, letter: Letter, after: &mut After) {
    match letter {
        Letter::Tell(tell) => {
            let letter = dead_letter(to, &tell.from, &tell.kind, tell.body.len(), to.peer_closed());
            to.system.feed.lock().bury(&mut after.heard, letter);
            if let Some(pair) = &tell.pair {
                pair.finish();
                after.go_on(to.desk.finished());
            }
            after.release_body(tell.body);
        }
        Letter::Ask(ask) => {
            // First the record, then the answer: the events of a call come before it returns.
            let claimed = ask.wait.claim(Cause::PeerClosed).is_some();
            record_ask(to, &ask, after);
            if claimed {
                ask.wait.finish(Err(to.peer_closed()));
            }
            after.release_body(ask.take_body());
        }
    }
}

/// Records an ask that was ended while it was queued, once: by whoever ended it or by whoever takes it out, so that the
/// event comes before the call returns and before the peer has left.
fn record_ask(to: &PeerCore, ask: &Ask, after: &mut After) {
    let reason = match ask.wait.ended() {
        Some((Phase::Queued, Cause::TimedOut)) => Error::TimedOut,
        Some((Phase::Queued, Cause::Closed)) => Error::Closed { name: ask.from.to_string() },
        Some((Phase::Queued, Cause::PeerClosed)) => to.peer_closed(),
        _ => return,
    };
    let mut feed = to.system.feed.lock();
    if !ask.is_recorded.swap(true, Ordering::SeqCst) {
        feed.bury(&mut after.heard, dead_letter(to, &ask.from, &ask.kind, ask.size, reason));
    }
}

fn dead_letter(to: &PeerCore, from: &Arc<str>, kind: &Arc<str>, size: usize, reason: Error) -> DeadLetter {
    let (to, from, kind) = (Arc::clone(&to.name), Arc::clone(from), Arc::clone(kind));
    DeadLetter { to, from, kind, size: size as u64, reason }
}
