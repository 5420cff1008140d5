//! What a peer's own thread is doing now, so that a hang can be read. Written by that thread alone, when a handler begins and
//! ends, when a call of it waits, and before it rests. Its lock is held for a few words; who reads it may look where a call waits.
//!
//! The lock guards the texts. They stay between handlers, and are written anew only if the next one is about something
//! else; that one runs, and since when, are words of their own. So a handler of one more message like the last takes no lock.

use std::time::Duration;

use crate::message::{Label, Message};
use crate::sync::{Arc, AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering, clock};

pub(crate) struct Doing {
    texts: Mutex<Texts>,
    /// The address of the label that `texts` has, which is its own as long as it is there; 0 is none.
    label: AtomicUsize,
    /// A handler runs, and it is about what `texts` says.
    runs: AtomicBool,
    /// When the handler began; and when the thread began to rest, 0 for the moment between two handlers. Of the cheap clock, in
    /// nanoseconds.
    runs_since: AtomicU64,
    rests_since: AtomicU64,
}

#[derive(Default)]
struct Texts {
    handler: Option<Handler>,
    call: Option<(Call, u64)>,
}

/// A handler that runs.
struct Handler {
    name: &'static str,
    about: About,
}

/// Whose message or operation a handler handles, and of which kind or resource.
#[derive(Clone)]
pub(crate) enum About {
    /// Nobody's: the stop.
    Nothing,
    Names(Arc<str>, Arc<str>),
    Tells(Arc<Label>),
}

impl About {
    pub(crate) fn of(message: &Message) -> About {
        match (message.label(), message.ask()) {
            (Some(label), _) => About::Tells(Arc::clone(label)),
            (None, Some(ask)) => About::Names(Arc::clone(&ask.from), Arc::clone(&ask.kind)),
            (None, None) => About::Nothing,
        }
    }

    fn names(&self) -> Option<(Arc<str>, Arc<str>)> {
        match self {
            About::Nothing => None,
            About::Names(from, what) => Some((Arc::clone(from), Arc::clone(what))),
            About::Tells(label) => Some((Arc::clone(&label.from), Arc::clone(&label.kind))),
        }
    }
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
    pub(crate) handler: Option<SeenHandler>,
    pub(crate) call: Option<SeenCall>,
    pub(crate) rests: Duration,
}

pub(crate) struct SeenHandler {
    pub(crate) name: &'static str,
    pub(crate) about: Option<(Arc<str>, Arc<str>)>,
    pub(crate) since: Duration,
}

pub(crate) struct SeenCall {
    pub(crate) verb: &'static str,
    pub(crate) whom: Option<Arc<str>>,
    pub(crate) what: Option<Arc<str>>,
    pub(crate) since: Duration,
}

impl Default for Doing {
    fn default() -> Doing {
        Doing {
            texts: Mutex::default(),
            label: AtomicUsize::new(0),
            runs: AtomicBool::new(false),
            runs_since: AtomicU64::new(0),
            rests_since: AtomicU64::new(clock::cheap_ns()),
        }
    }
}

impl Doing {
    /// The handler that `run` runs next, and what it is about.
    pub(crate) fn handles(&self, name: &'static str, about: About) {
        self.write(0, name, about);
    }

    /// The same for the handler of a message.
    pub(crate) fn handles_message(&self, message: &Message) {
        let label = message.label().map_or(0, |label| Arc::as_ptr(label) as usize);
        if label == 0 || label != self.label.load(Ordering::Relaxed) {
            self.write(label, "on_message", About::of(message));
        }
    }

    fn write(&self, label: usize, name: &'static str, about: About) {
        self.write_handler(label, Some(Handler { name, about }));
    }

    fn write_handler(&self, label: usize, handler: Option<Handler>) {
        let before = std::mem::replace(&mut self.texts.lock().handler, handler);
        drop(before);
        self.label.store(label, Ordering::Relaxed);
    }

    /// Runs a handler.
    pub(crate) fn run<T>(&self, run: impl FnOnce() -> T) -> T {
        self.runs_since.store(clock::cheap_ns(), Ordering::Relaxed);
        self.runs.store(true, Ordering::Release);
        let result = run();
        self.rests_since.store(0, Ordering::Relaxed);
        self.runs.store(false, Ordering::Release);
        result
    }

    pub(crate) fn begin_call(&self, call: Call) {
        self.texts.lock().call = Some((call, clock::cheap_ns()));
    }

    /// Before what the call holds on to is dropped.
    pub(crate) fn end_call(&self) {
        let call = self.texts.lock().call.take();
        drop(call);
    }

    pub(crate) fn rest(&self) {
        if self.label.load(Ordering::Relaxed) != 0 {
            // Whose message it was may forget the label when nobody has it any more.
            self.write_handler(0, None);
        }
        self.rests_since.store(clock::cheap_ns(), Ordering::Relaxed);
    }

    pub(crate) fn see(&self) -> Seen {
        let texts = self.texts.lock();
        let call = |(call, since): &(Call, u64)| SeenCall {
            verb: call.verb,
            whom: (call.whom)(),
            what: call.what.clone(),
            since: passed_since(*since),
        };
        let runs = self.runs.load(Ordering::Acquire);
        let handler = texts.handler.as_ref().filter(|_| runs).map(|handler| SeenHandler {
            name: handler.name,
            about: handler.about.names(),
            since: passed_since(self.runs_since.load(Ordering::Relaxed)),
        });
        let rests = match self.rests_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => passed_since(since),
        };
        Seen { handler, call: texts.call.as_ref().map(call), rests }
    }
}

/// Never less than it was; at most a tick of the cheap clock, some milliseconds, more.
fn passed_since(then: u64) -> Duration {
    Duration::from_nanos(clock::exact_ns().saturating_sub(then))
}
