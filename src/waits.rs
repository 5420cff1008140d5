//! The calls that a close ends: one list per peer, of those that act as it and of those that wait on its own thread. And in
//! general, what can end a call before it is done, whatever it waits for.

use bytes::Bytes;

use crate::error::Error;
use crate::sync::{Arc, Mutex};
use crate::turn::{Cause, Phase, Wait};

/// Why a call is given up before it is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Why<'a> {
    /// Its deadline has passed.
    Late,
    /// The peer of this name, which it acts as or on whose thread it waits, has closed.
    Closed(&'a str),
    /// Its caller has no use for it any more.
    Canceled,
}

impl Why<'_> {
    pub(crate) fn cause(self) -> Cause {
        match self {
            Why::Late => Cause::TimedOut,
            Why::Closed(_) => Cause::Closed,
            Why::Canceled => Cause::Canceled,
        }
    }

    /// What the caller is told; `late` makes the error of a deadline.
    pub(crate) fn error(self, late: impl FnOnce() -> Error) -> Error {
        match self {
            Why::Late => late(),
            Why::Closed(name) => Error::Closed { name: name.to_owned() },
            Why::Canceled => Error::Canceled,
        }
    }
}

/// A call that waits.
pub(crate) trait Interrupt: Send + Sync {
    /// Ends it, unless it has ended: takes it out of where it waits, and tells who waits for it why. Gives what it was to
    /// send, to be dropped when all are told: its destructor is user code.
    #[must_use]
    fn give_up(&self, why: Why<'_>) -> Bytes;
}

/// One that the thread that made it takes out of where it waits.
impl<T: Send> Interrupt for Wait<T> {
    fn give_up(&self, why: Why<'_>) -> Bytes {
        give_up(self, why, |_| Error::TimedOut, |_| Bytes::new())
    }
}

/// Gives a call up by its wait; `late` makes the error of a deadline, `leave` takes it out of where it waits.
pub(crate) fn give_up<T>(
    wait: &Wait<T>,
    why: Why<'_>,
    late: impl FnOnce(Phase) -> Error,
    leave: impl FnOnce(Phase) -> Bytes,
) -> Bytes {
    let Some(phase) = wait.claim(why.cause()) else { return Bytes::new() };
    let unsent = leave(phase);
    wait.finish(Err(why.error(|| late(phase))));
    unsent
}

pub(crate) struct Waits(Mutex<List>);

struct List {
    closed: bool,
    /// Made with the first call: most peers never wait.
    places: Option<Box<Places>>,
}

#[derive(Default)]
struct Places {
    /// By number; empty places are used again, so that one more call mostly takes no memory.
    calls: Vec<Option<Arc<dyn Interrupt>>>,
    empty: Vec<usize>,
}

impl Waits {
    pub(crate) fn new() -> Waits {
        Waits(Mutex::new(List { closed: false, places: None }))
    }

    /// Adds a call, and gives the number to remove it by; `None` if they are closed.
    pub(crate) fn add(&self, call: Arc<dyn Interrupt>) -> Option<usize> {
        let mut list = self.0.lock();
        if list.closed {
            return None;
        }
        let Places { calls, empty } = &mut **list.places.get_or_insert_default();
        match empty.pop() {
            Some(number) => {
                calls[number] = Some(call);
                Some(number)
            }
            None => {
                calls.push(Some(call));
                Some(calls.len() - 1)
            }
        }
    }

    /// Removes a call, which is done once for each that was added.
    pub(crate) fn remove(&self, number: usize) {
        let mut list = self.0.lock();
        // A close may have taken all.
        let Some(Places { calls, empty }) = list.places.as_deref_mut() else { return };
        let removed = calls.get_mut(number).and_then(Option::take);
        if removed.is_some() {
            empty.push(number);
        }
        drop(list);
        // After the lock: it may be the last reference to what the call offered.
        drop(removed);
    }

    /// Refuses all from now on and ends those there are.
    pub(crate) fn close(&self, name: &str) -> Vec<(Bytes, Arc<dyn Interrupt>)> {
        let places = {
            let mut list = self.0.lock();
            list.closed = true;
            list.places.take()
        };
        // Its caller may have let go of it meanwhile.
        let calls = places.map(|places| places.calls).into_iter().flatten().flatten();
        calls.map(|call| (call.give_up(Why::Closed(name)), call)).collect()
    }
}
