//! The feed: from what happens in a system to the readers of its events.
//!
//! Events are put in under one lock, so that all readers see one order; it is a leaf but for the registry and each
//! reader's ring. A reader that falls behind loses the newest and is told how many, at the place where they are missing;
//! nobody waits for it. Without readers an event costs one load. The dead letters are kept under the same lock, read or not.

use std::collections::VecDeque;
#[cfg(unix)]
use std::os::fd::OwnedFd;

use crate::dead_letters::{self, DeadLetter, DeadLetters};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::readiness::Readiness;
use crate::sync::{Arc, AtomicUsize, Mutex, MutexGuard, Ordering};
use crate::turn::{Cause, Wait};

/// Readers to be woken, when the outermost call ends and no lock is held: by `wake`, or by the call's `After`. One word, since most calls wake
/// none.
#[derive(Default)]
#[expect(clippy::box_collection, reason = "three words would be looked at by every call")]
pub(crate) struct Heard(Option<Box<Vec<Arc<Wait<()>>>>>);

impl Heard {
    pub(crate) fn new() -> Heard {
        Heard(None)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn append(&mut self, waits: &mut Vec<Arc<Wait<()>>>) {
        if !waits.is_empty() {
            self.0.get_or_insert_default().append(waits);
        }
    }

    pub(crate) fn join(&mut self, other: Heard) {
        if let Some(mut waits) = other.0 {
            self.append(&mut waits);
        }
    }

    pub(crate) fn wake(&mut self) {
        for wait in self.0.take().into_iter().flat_map(|waits| *waits) {
            wait.end(Cause::Answered, Ok(()));
        }
    }
}

pub(crate) struct Feed {
    readers: Mutex<Readers>,
    readers_len: AtomicUsize,
}

struct Readers {
    closed: bool,
    rings: Vec<Arc<Ring>>,
    dead_letters: dead_letters::Ring,
}

/// What one reader has not read yet.
pub(crate) struct Ring {
    state: Mutex<RingState>,
    capacity: usize,
    system: Arc<str>,
}

struct RingState {
    events: VecDeque<Event>,
    /// How many of those are from before the reader: they do not count.
    first_len: usize,
    missed: u64,
    /// No more will come: what is inside can still be read.
    ended: bool,
    /// The reader was closed: nothing can be read.
    closed: bool,
    waits: Vec<Arc<Wait<()>>>,
    /// Whether `next` would give something, be it that there is nothing more to come.
    readiness: Readiness,
}

impl RingState {
    fn is_ready(&self) -> bool {
        !self.events.is_empty() || self.missed > 0 || self.ended || self.closed
    }

    fn look(&mut self) {
        self.readiness.set(self.is_ready());
    }
}

/// The right to put events in, which is also the order in which peers come and go.
pub(crate) struct FeedGuard<'a> {
    feed: &'a Feed,
    readers: MutexGuard<'a, Readers>,
}

impl Feed {
    pub(crate) fn new(dead_letters_max: u64) -> Feed {
        let dead_letters = dead_letters::Ring::new(dead_letters_max);
        let readers = Readers { closed: false, rings: Vec::new(), dead_letters };
        Feed { readers: Mutex::new(readers), readers_len: AtomicUsize::new(0) }
    }

    /// Whether anybody would read an event.
    pub(crate) fn is_read(&self) -> bool {
        self.readers_len.load(Ordering::Relaxed) > 0
    }

    /// For what must be in order with events: peers that come and go, letters that are recorded once.
    pub(crate) fn lock(&self) -> FeedGuard<'_> {
        FeedGuard { feed: self, readers: self.readers.lock() }
    }

    /// Puts an event in, if anybody reads.
    pub(crate) fn emit(&self, heard: &mut Heard, event: impl FnOnce() -> Event) {
        if self.is_read() {
            self.lock().emit(heard, event);
        }
    }

    /// Those there have been so far; also after the feed is closed.
    pub(crate) fn dead_letters(&self) -> DeadLetters {
        self.readers.lock().dead_letters.read()
    }

    /// A reader that begins with `first`, which is made under the lock.
    pub(crate) fn subscribe(
        &self,
        system: Arc<str>,
        capacity: usize,
        first: impl FnOnce() -> Vec<Event>,
    ) -> Result<Arc<Ring>> {
        let mut guard = self.lock();
        if guard.readers.closed {
            return Err(Error::Closed { name: system.to_string() });
        }
        let first = first();
        let state = RingState {
            first_len: first.len(),
            events: first.into(),
            missed: 0,
            ended: false,
            closed: false,
            waits: Vec::new(),
            readiness: Readiness::default(),
        };
        let ring = Arc::new(Ring { state: Mutex::new(state), capacity, system });
        // One that has been closed would stay until something happens.
        if let Some(gone) = guard.readers.rings.iter().position(|ring| ring.state.lock().closed) {
            guard.readers.rings.swap_remove(gone);
        }
        guard.readers.rings.push(Arc::clone(&ring));
        self.readers_len.store(guard.readers.rings.len(), Ordering::SeqCst);
        Ok(ring)
    }
}

impl FeedGuard<'_> {
    /// Puts an event in; who waits for it is woken when the outermost call ends.
    pub(crate) fn emit(&mut self, heard: &mut Heard, event: impl FnOnce() -> Event) {
        if !self.readers.rings.is_empty() {
            self.put(heard, &event());
        }
    }

    /// One function for all kinds of events.
    #[inline(never)]
    fn put(&mut self, heard: &mut Heard, event: &Event) {
        let before = self.readers.rings.len();
        self.readers.rings.retain(|ring| ring.put(event, heard));
        if self.readers.rings.len() != before {
            self.feed.readers_len.store(self.readers.rings.len(), Ordering::SeqCst);
        }
    }

    /// Records a dead letter and puts its event in.
    pub(crate) fn bury(&mut self, heard: &mut Heard, letter: DeadLetter) {
        self.emit(heard, || Event::DeadLetter {
            to: Arc::clone(&letter.to),
            from: Arc::clone(&letter.from),
            kind: Arc::clone(&letter.kind),
            size: letter.size,
            reason: letter.reason.clone(),
        });
        self.readers.dead_letters.put(letter);
    }

    /// No event will come any more.
    pub(crate) fn close(&mut self, heard: &mut Heard) {
        self.readers.closed = true;
        for ring in self.readers.rings.drain(..) {
            let mut state = ring.state.lock();
            state.ended = true;
            state.look();
            heard.append(&mut state.waits);
        }
        self.feed.readers_len.store(0, Ordering::SeqCst);
    }
}

impl Ring {
    /// False if its reader is gone.
    fn put(&self, event: &Event, heard: &mut Heard) -> bool {
        let mut state = self.state.lock();
        if state.closed {
            return false;
        }
        if state.events.len() - state.first_len >= self.capacity {
            state.missed += 1;
            return true;
        }
        if state.missed > 0 {
            let count = std::mem::take(&mut state.missed);
            state.events.push_back(Event::Missed { count });
        }
        state.events.push_back(event.clone());
        state.look();
        heard.append(&mut state.waits);
        true
    }

    /// The next event, or `None` with the wait that `register` made in line for it.
    pub(crate) fn next(&self, register: impl FnOnce() -> Option<Arc<Wait<()>>>) -> Result<Option<Event>> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(self.gone());
        }
        if let Some(event) = state.events.pop_front() {
            state.first_len = state.first_len.saturating_sub(1);
            state.look();
            return Ok(Some(event));
        }
        if state.missed > 0 {
            let count = std::mem::take(&mut state.missed);
            state.look();
            return Ok(Some(Event::Missed { count }));
        }
        if state.ended {
            return Err(self.gone());
        }
        state.waits.extend(register());
        Ok(None)
    }

    pub(crate) fn leave(&self, wait: &Arc<Wait<()>>) {
        self.state.lock().waits.retain(|other| !Arc::ptr_eq(other, wait));
    }

    /// Ends the reader for all threads.
    pub(crate) fn close(&self) {
        let waits = {
            let mut state = self.state.lock();
            state.closed = true;
            state.events.clear();
            state.first_len = 0;
            state.look();
            std::mem::take(&mut state.waits)
        };
        for wait in waits {
            wait.end(Cause::Closed, Err(self.gone()));
        }
    }

    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> Result<OwnedFd> {
        let mut state = self.state.lock();
        state.look();
        state.readiness.descriptor()
    }

    pub(crate) fn system(&self) -> &str {
        &self.system
    }

    fn gone(&self) -> Error {
        Error::Closed { name: self.system.to_string() }
    }
}

#[cfg(all(test, not(any(shuttle, loom))))]
mod tests {
    use super::*;

    #[test]
    fn readers_that_were_closed_are_gone_with_the_next_one_though_nothing_happens() {
        let feed = Feed::new(0);
        for _ in 0..10 {
            feed.subscribe("kitchen".into(), 1, Vec::new).unwrap().close();
        }
        assert_eq!(feed.readers.lock().rings.len(), 1);
    }
}
