//! What a peer's own thread is doing now, so that a hang can be read. Written by that thread alone, when a handler begins and
//! ends, when a call of it waits, and before it rests. Its lock is held for a few words; who reads it may look where a call waits.

use std::time::{Duration, Instant};

use crate::sync::{Arc, Mutex};

pub(crate) struct Doing(Mutex<State>);

#[derive(Default)]
struct State {
    handler: Option<(Handler, Instant)>,
    call: Option<(Call, Instant)>,
    /// It has nothing to do; unset for the moment between two handlers.
    rests_since: Option<Instant>,
}

/// A handler that runs.
#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) name: &'static str,
    /// Whose message or operation it handles, and of which kind or resource; nobody's at the stop.
    pub(crate) about: Option<(Arc<str>, Arc<str>)>,
}

/// A call that waits.
pub(crate) struct Call {
    pub(crate) verb: &'static str,
    /// Whom it waits for now: a fetch goes on from one to the next.
    pub(crate) whom: Whom,
    /// The resource or the kind of message.
    pub(crate) what: Option<Arc<str>>,
}

type Whom = Box<dyn Fn() -> Option<Arc<str>> + Send>;

/// What was read: each with how long it has been so. Nothing of a peer that has no thread yet.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) handler: Option<(Handler, Duration)>,
    pub(crate) call: Option<SeenCall>,
    pub(crate) rests: Duration,
}

pub(crate) struct SeenCall {
    pub(crate) verb: &'static str,
    pub(crate) whom: Option<Arc<str>>,
    pub(crate) what: Option<Arc<str>>,
    pub(crate) since: Duration,
}

impl Default for Doing {
    fn default() -> Doing {
        Doing(Mutex::new(State { rests_since: Some(Instant::now()), ..State::default() }))
    }
}

impl Doing {
    /// Runs a handler.
    pub(crate) fn run<T>(&self, handler: Handler, run: impl FnOnce() -> T) -> T {
        self.0.lock().handler = Some((handler, Instant::now()));
        let result = run();
        let mut state = self.0.lock();
        state.rests_since = None;
        let handler = state.handler.take();
        drop((state, handler));
        result
    }

    pub(crate) fn begin_call(&self, call: Call) {
        self.0.lock().call = Some((call, Instant::now()));
    }

    /// Before what the call holds on to is dropped.
    pub(crate) fn end_call(&self) {
        let call = self.0.lock().call.take();
        drop(call);
    }

    pub(crate) fn rest(&self) {
        self.0.lock().rests_since = Some(Instant::now());
    }

    pub(crate) fn see(&self) -> Seen {
        let state = self.0.lock();
        let call = |(call, since): &(Call, Instant)| SeenCall {
            verb: call.verb,
            whom: (call.whom)(),
            what: call.what.clone(),
            since: since.elapsed(),
        };
        Seen {
            handler: state.handler.as_ref().map(|(handler, since)| (handler.clone(), since.elapsed())),
            call: state.call.as_ref().map(call),
            rests: state.rests_since.map_or(Duration::ZERO, |since| since.elapsed()),
        }
    }
}
