//! The thread behind a peer: runs its handlers, in turn, and carries out its end.
//!
//! One round: it takes the next operation or finds that there is a message, takes its turn, runs on_received for all that has come onto the
//! shelf, then the handler, and frees the turn, doing what callers left in line. As long as there is nothing to do but the next
//! message, it keeps its turn for that, too, and whoever wants the turn meanwhile gets it as soon as the handler returns. The notes are looked at after
//! the message, so that a resource that a peer offered is told before a message that it sent later. An operation is due when as many
//! letters have been taken as had come before it; a note waits for none, since all notes are told in each round. What is
//! not begun lies where the one who closes finds it, so that nobody waits for it longer than that.

use crate::call::{After, Seen, commit_seen, conclude, free_turn, perform, take_turn};
use crate::close::{self, joined, shut};
use crate::core::{Operation, PeerCore, Stage, Verb, as_own};
use crate::deadline::Deadline;
use crate::doing::{About, Doing};
use crate::error::Error;
use crate::event::Event;
use crate::feed::Heard;
use crate::key::Key;
use crate::message::Letter;
use crate::peer::{HandlerError, HandlerResult, Handlers, Peer};
use crate::post::{bury, bury_all, end_kept, keep, open};
use crate::shutdown;
use crate::sync::{Arc, Ordering};
use crate::unwind::{caught, drop_user_data};

/// All that the peer's own thread does.
pub(crate) fn run(core: Arc<PeerCore>) {
    let _own = as_own(Arc::clone(&core));
    let handlers = handlers_of(&core);
    let mut worker = Worker { peer: Peer::new(Arc::clone(&core)), core, handlers };
    let core = Arc::clone(&worker.core);
    while core.life.stage() == Stage::Open {
        worker.round(&core);
    }
    worker.end();
}

/// The end of a peer that has no thread and never will have, once its mailbox is drained: by whoever closes it or, if letters
/// were still in somebody's hands then, by whoever has had the last of them. Its on_stop, if it had one, would have had a thread.
pub(crate) fn end_without_thread(core: &Arc<PeerCore>) {
    if !core.start.is_without() || !core.mailbox.is_drained() || !core.start.end() {
        return;
    }
    // What users' destructors may do here, they may do as on the peer's own thread.
    let _own = as_own(Arc::clone(core));
    leave(core, handlers_of(core));
    core.life.ending.joined();
}

fn handlers_of(core: &PeerCore) -> Handlers {
    core.start.take_handlers().and_then(|handlers| handlers.downcast().ok()).map_or_else(Handlers::default, |it| *it)
}

struct Worker {
    core: Arc<PeerCore>,
    peer: Peer,
    handlers: Handlers,
}

enum Work {
    Operation(Arc<Operation>),
    Letters,
}

impl Worker {
    fn round(&mut self, core: &Arc<PeerCore>) {
        let mut after = After::new();
        core.mailbox.bell().begin_round();
        shutdown::go_on(core);
        core.turn.go_on(&mut |operation| perform(operation, core, &mut after));
        let work = self.next();
        // Those that came before what was taken now: more may come as long as their handlers wait.
        let notes = core.desk.notes_len();
        if work.is_none() && notes == 0 {
            drop(after);
            return self.rest();
        }
        self.in_turn(&mut after, |worker, after| match work {
            Some(Work::Operation(operation)) => {
                worker.tell_notes(notes, after);
                worker.operate(&operation, after);
                core.desk.put_down().into_iter().for_each(|operation| after.release_call(operation));
                after.release_call(operation);
            }
            Some(Work::Letters) => worker.handle_all(notes, after),
            None => worker.tell_notes(notes, after),
        });
        // A turn that was handed on waits for no destructor of what this round has replaced; but where others hand it on without end, what is the
        // peer's own comes after those.
        while core.turn.go_on(&mut |operation| perform(operation, core, &mut after)) && !core.has_own_work() {
            after.settle();
        }
    }

    /// Handles a letter after the notes that came before it; then, in the same turn, those that follow, as long as there is
    /// nothing else to do and nobody wants the turn. With the turn held no note comes, but while a handler waits in a call.
    fn handle_all(&mut self, notes: usize, after: &mut After) {
        self.tell_notes(notes, after);
        let mut next = self.core.mailbox.take();
        while let Some(letter) = next {
            self.handle(letter, after);
            if self.keeps_turn(after) {
                next = self.core.mailbox.take();
            } else {
                next = None;
                self.core.mailbox.finish();
            }
            after.go_on(self.core.desk.handled(self.core.mailbox.handled()));
            if next.is_some() {
                after.settle();
            }
        }
    }

    fn keeps_turn(&self, after: &After) -> bool {
        let core = &self.core;
        let has_else = core.desk.has_work() || core.desk.is_awaited() || core.turn.is_wanted();
        after.is_empty() && !has_else && !core.system.quiet.is_watched() && core.life.stage() == Stage::Open
    }

    fn rest(&self) {
        let core = &self.core;
        let mut is_due = false;
        core.doing.rest();
        let has_work = || {
            is_due = core.life.stage() == Stage::Open && !core.has_work() && shutdown::is_due(&core.system);
            is_due || core.life.stage() != Stage::Open || core.has_work()
        };
        core.mailbox.bell().sleep(shutdown::closes_by(core), has_work, || core.turn.is_handed());
        if is_due {
            shutdown::close_all(&core.system);
        }
    }

    fn next(&self) -> Option<Work> {
        let mailbox = &self.core.mailbox;
        let is_due = |number| mailbox.is_inbox() || mailbox.has_taken(number) || mailbox.is_empty();
        if let Some(operation) = self.core.desk.take_operation(is_due) {
            return Some(Work::Operation(operation));
        }
        (!mailbox.is_inbox() && mailbox.has_letters()).then_some(Work::Letters)
    }

    fn in_turn(&mut self, after: &mut After, run: impl FnOnce(&mut Worker, &mut After)) {
        let core = Arc::clone(&self.core);
        take_turn(&core, after);
        run(self, after);
        free_turn(&core, after);
    }

    fn tell_notes(&mut self, count: usize, after: &mut After) {
        for note in (0..count).map_while(|_| self.core.desk.take_note()) {
            if let Some(on_received) = &mut self.handlers.on_received {
                let about = About::Names(Arc::clone(&note.from), Arc::clone(note.resource.shared_name()));
                self.core.doing.handles("on_received", about);
                let result = guard(&self.core.doing, || {
                    on_received(&self.peer, &note.from, &note.resource);
                    Ok(())
                });
                if let Err(error) = result {
                    self.failed(&note.from, error, after);
                }
            }
            // Who waits for something of this handler does not wait for the next, nor for a destructor.
            after.settle();
            drop_user_data(note);
        }
    }

    fn handle(&mut self, letter: Letter, after: &mut After) {
        if self.core.life.stage() != Stage::Open {
            return bury(&self.core, letter, after);
        }
        let opened = open(&self.core, letter, after);
        let (Some(message), Some(on_message)) = (opened, &mut self.handlers.on_message) else {
            return;
        };
        self.core.doing.handles_message(&message);
        match guard(&self.core.doing, || on_message(&self.peer, &message)) {
            Ok(()) => {}
            Err(HandlerError::UnknownMessage) => {
                self.core.system.feed.emit(after.heard(), || Event::UnknownMessage {
                    peer: Arc::clone(&self.core.name),
                    from: message.from().into(),
                    kind: message.kind().into(),
                    size: message.bytes().len() as u64,
                });
                let (peer, kind) = (self.core.name.to_string(), message.kind().to_owned());
                message.fail(Error::UnknownMessage { peer, kind });
            }
            Err(error) => message.fail(self.failed(message.from(), error, after)),
        }
        // Who is to be told of a failure does not wait for a destructor.
        after.settle();
        if let Some(ask) = message.ask() {
            // One that was kept waits on, but not for a handler of this peer.
            ask.wait.unlink();
            if ask.wait.is_open() {
                keep(&self.core, ask);
            }
        }
        // An ask that is neither answered nor kept is answered by this.
        drop_user_data(message);
    }

    /// Asks the handlers that an operation needs, then commits it; again if a shelf changed meanwhile.
    fn operate(&mut self, operation: &Arc<Operation>, after: &mut After) {
        while operation.wait.is_open() {
            if self.core.life.stage() != Stage::Open {
                return conclude(operation, &self.core, Err(self.core.peer_closed()), after);
            }
            let mut seen = Seen::default();
            let vote = self.vote(operation, &mut seen, after);
            let is_over = match vote {
                Ok(()) => commit_seen(operation, &self.core, &seen, after),
                Err(error) => {
                    conclude(operation, &self.core, Err(error), after);
                    true
                }
            };
            // Others may have put something else in the place of what was shown.
            seen.release();
            if is_over {
                return;
            }
        }
    }

    fn vote(&mut self, operation: &Operation, seen: &mut Seen, after: &mut After) -> Result<(), Error> {
        let (from, name) = (&operation.caller.name, &operation.name);
        let doing = &self.core.doing;
        let about = || About::Names(Arc::clone(from), Arc::clone(name));
        if let (Verb::Request | Verb::RequestNewer(_) | Verb::Fetch | Verb::Exchange(_), Some(on_request)) =
            (&operation.verb, &mut self.handlers.on_request)
        {
            doing.handles("on_request", about());
            let vote = guard(doing, || on_request(&self.peer, from, name));
            vote.map_err(|error| self.refused(from, error, after))?;
            let held = self.core.side.lock().shelf.get(Key::new(name)).cloned();
            seen.theirs = Some(held.ok_or_else(|| self.core.no_such_resource(name))?);
            if !operation.wait.is_open() {
                // It was given up meanwhile: nobody else need be asked.
                return Err(Error::TimedOut);
            }
        }
        let offered = match &operation.verb {
            Verb::Offer(Some(resource)) | Verb::Exchange(Some((resource, _))) => resource.clone(),
            Verb::Offer(None) | Verb::Exchange(None) => {
                let held = operation.caller.side.lock().shelf.get(Key::new(name)).cloned();
                held.ok_or_else(|| operation.caller.no_such_resource(name))?
            }
            Verb::Request | Verb::RequestNewer(_) | Verb::Fetch => return Ok(()),
        };
        let Some(on_offer) = &mut self.handlers.on_offer else {
            offered.release();
            return Ok(());
        };
        doing.handles("on_offer", about());
        let vote = guard(doing, || on_offer(&self.peer, from, &offered));
        seen.mine = Some(offered);
        vote.map_err(|error| self.refused(from, error, after))
    }

    fn refused(&self, from: &str, error: HandlerError, after: &mut After) -> Error {
        match error {
            HandlerError::Refused(reason) => {
                Error::Refused { peer: self.core.name.to_string(), reason: one_line(&reason) }
            }
            error => self.failed(from, error, after),
        }
    }

    /// Says in an event that a handler failed, closes the peer if the system wants that, and makes the asker's error.
    fn failed(&self, from: &str, error: HandlerError, after: &mut After) -> Error {
        let text = match error {
            HandlerError::Failed(text) => one_line(&text),
            HandlerError::Refused(reason) => format!("it refused where it cannot: {reason}"),
            HandlerError::UnknownMessage => "it answered that a message is unknown where there is none".to_owned(),
        };
        self.core.system.feed.emit(after.heard(), || Event::HandlerFailed {
            peer: Arc::clone(&self.core.name),
            from: from.into(),
            text: text.clone(),
        });
        if self.core.system.limits.close_on_handler_failure {
            // What failed is told its failure, not the close that comes of it.
            self.core.desk.put_down().into_iter().for_each(|operation| after.release_call(operation));
            // It has a thread, this one: it cannot fail.
            let _ = close::begin(&self.core, after);
        }
        Error::HandlerFailed { peer: self.core.name.to_string(), text }
    }

    /// The end, after close has begun: the last letters, the last notes, on_stop, the user's data, the lists, the waiters.
    fn end(mut self) {
        let mut after = After::new();
        let core = Arc::clone(&self.core);
        shut(&core, &mut after);
        // What was accepted before the close may still be on its way in, or in the hands of the one who closes.
        while !core.mailbox.is_drained() {
            bury_all(&core, &mut after);
            after.settle();
            let has_work = || core.mailbox.is_drained() || !core.mailbox.is_empty();
            core.mailbox.bell().sleep(Deadline::Never, has_work, || false);
        }
        self.in_turn(&mut after, |worker, after| {
            // No more can come: the shelf is closed.
            worker.tell_notes(usize::MAX, after);
            if let Some(on_stop) = worker.handlers.on_stop.take() {
                let doing = &worker.core.doing;
                doing.handles("on_stop", About::Nothing);
                let result = guard(doing, || {
                    on_stop(&worker.peer);
                    Ok(())
                });
                if let Err(error) = result {
                    let name = Arc::clone(&worker.core.name);
                    worker.failed(&name, error, after);
                }
            }
        });
        drop(after);
        core.system.unjoined.lock().insert(Arc::clone(&core));
        leave(&core, std::mem::take(&mut self.handlers));
        core.life.ending.end();
        // Nobody is left to join this thread. If somebody has the handle all the same, he joins it.
        if core.system.is_abandoned.load(Ordering::SeqCst) && core.life.ending.detach() {
            joined(&core);
        }
    }
}

/// The last steps, after the last handler: the senders of what has been kept, the user's data, the lists, the waiters.
fn leave(core: &Arc<PeerCore>, handlers: Handlers) {
    // on_stop was the last that could answer.
    end_kept(core);
    let Handlers { on_message, on_request, on_offer, on_received, on_stop } = handlers;
    // One by one: a destructor that panics ends there.
    drop_user_data(on_message);
    drop_user_data(on_request);
    drop_user_data(on_offer);
    drop_user_data(on_received);
    drop_user_data(on_stop);
    clear_shelf(core);
    let mut heard = Heard::new();
    {
        let mut feed = core.system.feed.lock();
        core.system.registry.remove(&core.name);
        feed.emit(&mut heard, || Event::Left { peer: Arc::clone(&core.name) });
        if let Some(elsewhere) = core.system.elsewhere() {
            elsewhere.leave(&core.name);
        }
        if core.system.check_open().is_err() && core.system.registry.len() == 0 {
            feed.close(&mut heard);
            // No call is under way any more, and nobody may come to say so.
            core.system.timer.close();
            if let Some(elsewhere) = core.system.elsewhere() {
                elsewhere.close();
            }
        }
        // Under the lock, which a shutdown takes last: after it, all have ended.
        core.life.step(Stage::Closing, Stage::Ended);
    }
    heard.wake();
    core.told.close();
    shutdown::left(core);
}

fn clear_shelf(core: &PeerCore) {
    let held = {
        let mut side = core.side.lock();
        let held = side.shelf.clear();
        for resource in &held {
            core.system.registry.remove_holder(resource.name(), core.id);
        }
        held
    };
    held.into_iter().for_each(drop_user_data);
}

/// A text of the user's as errors and events have it: one line without control characters, of a bounded length.
fn one_line(text: &str) -> String {
    let line = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(TEXT_CHARS_MAX).map(line).collect()
}

const TEXT_CHARS_MAX: usize = 4096;

/// Runs the handler that `doing` has been told of; its panic becomes a failure with the panic's text.
fn guard(doing: &Doing, run: impl FnOnce() -> HandlerResult) -> HandlerResult {
    doing.run(|| caught(run)).unwrap_or_else(|text| Err(HandlerError::Failed(text)))
}
