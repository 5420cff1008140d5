//! The deadlines of started calls: while nobody waits for such a call, nobody's thread sees its deadline pass. One thread per
//! system does, made with the first started call that has a deadline; it ends with the system.
//!
//! The thread takes what is due out of the list and gives it up, under no lock. It parks until the next deadline, and whoever puts
//! an earlier one in than it will look at by itself, or closes the timer, unparks it after that: it looks again before it parks.
//! Who takes one out leaves it asleep, so that of many calls in turn, each done before its deadline, none wakes it.

use std::collections::BTreeMap;
use std::sync::Weak;

use crate::deadline::Deadline;
use crate::edge;
use crate::ending::Ending;
use crate::error::Result;
use crate::fork;
use crate::signals;
use crate::sync::{Arc, Instant, Mutex, Thread, ThreadBuilder, park, park_timeout};
use crate::unwind::drop_user_data;
use crate::waits::{Interrupt, Why};

pub(crate) struct Timer(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    ending: Ending,
}

struct State {
    closed: bool,
    thread: Option<Thread>,
    next: u64,
    /// When the thread looks here at the latest; without it, only when it is unparked.
    looks: Option<Instant>,
    calls: BTreeMap<Key, Weak<dyn Interrupt>>,
}

/// When a call is due, and a number that no other has.
pub(crate) type Key = (Instant, u64);

impl Timer {
    pub(crate) fn new() -> Timer {
        let state = State { closed: false, thread: None, next: 0, looks: None, calls: BTreeMap::new() };
        Timer(Arc::new(Shared { state: Mutex::new(state), ending: Ending::default() }))
    }

    /// Makes sure that there is a thread, before a call is made that will need it.
    pub(crate) fn start(&self, system: &str) -> Result<()> {
        let mut state = self.0.state.lock();
        if state.thread.is_some() || state.closed {
            return Ok(());
        }
        let shared = Arc::clone(&self.0);
        let builder = ThreadBuilder::new().name(format!("potluck-timer:{system}"));
        let thread = edge::make_thread(|| signals::blocked(|| builder.spawn(move || run(&shared))))?;
        state.thread = Some(thread.thread().clone());
        self.0.ending.begin(thread);
        Ok(())
    }

    /// Gives a call up at its deadline, if it has one. Gives the key to remove it by.
    pub(crate) fn add(&self, deadline: Deadline, call: Weak<dyn Interrupt>) -> Option<Key> {
        let Deadline::At(at) = deadline else { return None };
        let mut state = self.0.state.lock();
        let key = (at, state.next);
        state.next += 1;
        state.calls.insert(key, call);
        let is_earlier = state.looks.is_none_or(|looks| at < looks);
        if let (true, Some(thread)) = (is_earlier, &state.thread) {
            thread.unpark();
            state.looks = Some(at);
        }
        Some(key)
    }

    pub(crate) fn remove(&self, key: Key) {
        let removed = self.0.state.lock().calls.remove(&key);
        drop(removed);
    }

    /// Lets the thread come to its end; what is not due by now never will be.
    pub(crate) fn close(&self) {
        let calls = {
            let mut state = self.0.state.lock();
            state.closed = true;
            if let Some(thread) = &state.thread {
                thread.unpark();
            }
            std::mem::take(&mut state.calls)
        };
        drop(calls);
    }

    /// The end of its thread.
    pub(crate) fn ending(&self) -> &Ending {
        &self.0.ending
    }
}

/// Who wants to know when the thread has ended waits for that before.
impl Drop for Timer {
    fn drop(&mut self) {
        if !fork::is_forked() {
            self.close();
        }
    }
}

fn run(shared: &Shared) {
    while let Some(due) = shared.due() {
        // All are told before any destructor runs. Its caller may have let go of a call meanwhile.
        let calls = due.into_iter().filter_map(|call| call.upgrade());
        let ended: Vec<_> = calls.map(|call| (call.give_up(Why::Late), call)).collect();
        for (unsent, call) in ended {
            drop_user_data(unsent);
            drop_user_data(call);
        }
    }
    shared.ending.end();
}

impl Shared {
    /// What is due by now, or nothing after a while; `None` at the end.
    fn due(&self) -> Option<Vec<Weak<dyn Interrupt>>> {
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        let now = Instant::now();
        let mut due = Vec::new();
        let next = loop {
            match state.calls.first_entry() {
                None => break None,
                Some(first) if first.key().0 > now => break Some(first.key().0),
                Some(first) => due.push(first.remove()),
            }
        };
        state.looks = if due.is_empty() { next } else { Some(now) };
        drop(state);
        match next {
            _ if !due.is_empty() => {}
            Some(at) => park_timeout(at.saturating_duration_since(now)),
            None => park(),
        }
        Some(due)
    }
}
