//! The turn protocol: who may run, or act on a shelf, for a peer now; and how a call that waits is ended exactly once.
//!
//! This module owns two small machines and knows nothing of peers, shelves or messages. What uses them is `call.rs`
//! (callers) and `worker.rs` (the peer's own thread). All its primitives come from `crate::sync`.
//!
//! # [`Turn`]: one per peer
//!
//! Whoever holds the turn may run the peer's handlers (only its own thread does) or change its shelf on behalf of another
//! peer. The word is the state; the line behind it is a queue in order of arrival.
//!
//! | word | means | left by |
//! |---|---|---|
//! | `FREE` | nobody has it, the line is empty | `try_take`, `enter`, `take` → `HELD` |
//! | `HELD` | somebody has it, the line is empty or was so a moment ago | `free` → `FREE`; `enter`, `take` set `QUEUED` |
//! | `HELD + QUEUED` | somebody has it, the line must be looked at before it is freed | `free` |
//! | `QUEUED` | for an instant, under the lock of the line: the one who set it takes the turn | → `HELD` |
//!
//! The line holds *work* (an operation of a caller, done by whoever frees the turn) and at most one *owner* entry (the peer's
//! own thread, which wants its turn back). `free` does at most as much work as was in line when it came; if then work is
//! still in front, the turn, still held, is handed to the peer's own thread (`handed`), which goes on with it as soon as it
//! looks: it looks before it parks, and is unparked by the hand-over. So no thread works for others without bound. The
//! owner thread never waits for the turn of another peer while it holds this one: it frees its own before it parks.
//!
//! `close` refuses work from then on and gives back what is in line, under the lock of the line: what came before is given
//! back, what comes after is refused. The owner may still take the turn, for the last handlers.
//!
//! # [`Wait`]: one per call that waits, and per thread that waits for one
//!
//! | phase | means | next |
//! |---|---|---|
//! | `Waiting` | registered somewhere: for room, for a turn, for own tells, for a handler's vote | `Queued`, claimed |
//! | `Queued` | an ask: its message is in the mailbox | `Begun`, claimed |
//! | `Begun` | an ask: its handler has begun | claimed |
//! | claimed | one thread has the sole right to say how it ends; the word keeps from which phase, and why | done |
//! | done | the result is there, who waits has been told | |
//!
//! Every end is one `claim`: the commit of an operation (under both shelf locks), an answer, a deadline, a close, a change of
//! mind. Who comes second finds it claimed and does nothing. A thread whose deadline passes and that fails to claim waits the short rest.
//!
//! A call that waits where it was made is a wait of that thread, and the word says whether it is a link in [`crate::ring`]: whoever
//! claims it removes the link, before the waiter wakes. A call that was *started* is a wait of nobody: it knows the peer whose
//! handler it waits for, and the threads that wait for it now. Each of these has a wait of its own, with a link of its own to that
//! peer; whoever moves the call on moves the links, and whoever finishes the call ends those waits. A thread registers and
//! looks again, and the finishing looks after it has finished, under the lock of the list; so none is missed. Which peer it is,
//! and the links, change together, under the lock of the ring.
//!
//! The thread of a wait says in the word how it waits, and whoever finishes it reads that in the step that sets it done: while it
//! `LOOKS`, with a permit of [`crate::spin`], the permit is given back; once it `PARKS`, it is unparked; before either, it will
//! see for itself that it is done.

use std::collections::VecDeque;
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::readiness::Readiness;
use crate::ring::{self, Links, Place};
use crate::spin::{self, Habit, Way};
use crate::sync::{Arc, AtomicBool, AtomicU8, AtomicU32, Mutex, OnceLock, Ordering, Thread, Waker, park};

const FREE: u8 = 0;
const HELD: u8 = 1;
const QUEUED: u8 = 2;

/// Who may act for a peer now. `W` is the work that callers leave in line.
pub(crate) struct Turn<W> {
    word: AtomicU8,
    /// Set with the turn held: the owner's entry has come up.
    granted: AtomicBool,
    /// Set with the turn held: the owner is to go on freeing it.
    handed: AtomicBool,
    /// The peer's own thread; until there is one, whoever hands the turn on sees to that.
    owner: OnceLock<Thread>,
    line: Mutex<Line<W>>,
}

struct Line<W> {
    closed: bool,
    entries: VecDeque<Entry<W>>,
}

enum Entry<W> {
    Work(W),
    Owner,
}

/// What became of work that wanted the turn.
pub(crate) enum Entered<W> {
    /// The turn is the caller's, who does the work and frees it.
    Taken(W),
    /// Whoever frees the turn will do it.
    InLine,
    /// The peer is closed to others.
    Closed(W),
}

impl<W> Turn<W> {
    pub(crate) fn new() -> Turn<W> {
        Turn {
            word: AtomicU8::new(FREE),
            granted: AtomicBool::new(false),
            handed: AtomicBool::new(false),
            owner: OnceLock::new(),
            line: Mutex::new(Line { closed: false, entries: VecDeque::new() }),
        }
    }

    /// Names the peer's own thread, when it is made.
    pub(crate) fn own(&self, thread: Thread) {
        self.owner.get_or_init(|| thread);
    }

    /// Takes the turn if nobody has it; overtakes nobody, since a free turn has an empty line.
    pub(crate) fn try_take(&self) -> bool {
        self.word.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes the turn for `work`, or leaves the work in line.
    pub(crate) fn enter(&self, work: W) -> Entered<W> {
        if self.try_take() {
            return Entered::Taken(work);
        }
        let mut line = self.line.lock();
        if line.closed {
            return Entered::Closed(work);
        }
        if self.stop_free(&line) {
            return Entered::Taken(work);
        }
        line.entries.push_back(Entry::Work(work));
        Entered::InLine
    }

    /// Takes the turn for the peer's own thread, waiting for it. `run` does work that falls to this thread meanwhile.
    pub(crate) fn take(&self, run: &mut impl FnMut(W)) {
        if self.try_take() {
            return;
        }
        {
            let mut line = self.line.lock();
            if self.stop_free(&line) {
                return;
            }
            line.entries.push_back(Entry::Owner);
        }
        while !self.granted.swap(false, Ordering::Acquire) {
            if !self.go_on(run) {
                park();
            }
        }
    }

    /// Under the lock of the line: makes sure that nobody frees the turn without looking at the line; true if the turn
    /// was free, and is now the caller's.
    fn stop_free(&self, line: &Line<W>) -> bool {
        if self.word.fetch_or(QUEUED, Ordering::AcqRel) & HELD != 0 {
            return false;
        }
        debug_assert!(line.entries.is_empty(), "a free turn has an empty line");
        self.word.store(HELD, Ordering::Relaxed);
        true
    }

    /// Frees the turn: does what is in line, or hands it on.
    pub(crate) fn free(&self, run: &mut impl FnMut(W)) {
        if self.word.compare_exchange(HELD, FREE, Ordering::Release, Ordering::Relaxed).is_ok() {
            return;
        }
        let mut line = self.line.lock();
        let mut budget = line.entries.len();
        loop {
            match line.entries.pop_front() {
                None => {
                    self.word.store(FREE, Ordering::Release);
                    return;
                }
                Some(Entry::Owner) => {
                    self.granted.store(true, Ordering::Release);
                    drop(line);
                    return self.unpark_owner();
                }
                Some(Entry::Work(work)) if budget == 0 => {
                    line.entries.push_front(Entry::Work(work));
                    self.handed.store(true, Ordering::Release);
                    drop(line);
                    return self.unpark_owner();
                }
                Some(Entry::Work(work)) => {
                    budget -= 1;
                    drop(line);
                    run(work);
                    line = self.line.lock();
                }
            }
        }
    }

    /// On the peer's own thread, before it parks anywhere: goes on with a turn that was handed to it. True if it did.
    pub(crate) fn go_on(&self, run: &mut impl FnMut(W)) -> bool {
        // The load first: this is asked often and is rarely so.
        if !self.handed.load(Ordering::Acquire) || !self.handed.swap(false, Ordering::Acquire) {
            return false;
        }
        self.free(run);
        true
    }

    /// With the turn held: whether somebody is in line for it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.word.load(Ordering::SeqCst) & QUEUED != 0
    }

    /// The turn waits for the peer's own thread to go on with it.
    pub(crate) fn is_handed(&self) -> bool {
        self.handed.load(Ordering::SeqCst)
    }

    /// After the turn was handed on.
    pub(crate) fn unpark_owner(&self) {
        if let Some(owner) = self.owner.get() {
            owner.unpark();
        }
    }

    /// Takes the first work out of the line for which `is` is true.
    pub(crate) fn remove(&self, is: impl Fn(&W) -> bool) -> Option<W> {
        let mut line = self.line.lock();
        let at = line.entries.iter().position(|entry| matches!(entry, Entry::Work(work) if is(work)))?;
        match line.entries.remove(at) {
            Some(Entry::Work(work)) => Some(work),
            _ => None,
        }
    }

    /// Refuses work from now on and gives back what is in line.
    pub(crate) fn close(&self) -> Vec<W> {
        let mut line = self.line.lock();
        line.closed = true;
        let (mut works, mut kept) = (Vec::new(), VecDeque::new());
        for entry in line.entries.drain(..) {
            match entry {
                Entry::Work(work) => works.push(work),
                Entry::Owner => kept.push_back(Entry::Owner),
            }
        }
        line.entries = kept;
        works
    }
}

/// How far a call that waits has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Waiting = 0,
    Queued = 1,
    Begun = 2,
}

/// Who ended a call that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// What it waited for: an answer, a commit, room, a refusal.
    Answered = 0,
    /// Its own deadline, or a ring that it would have closed.
    TimedOut = 1,
    /// The close of the peer that it acts as, or on whose thread it waits.
    Closed = 2,
    /// The close of the peer that it is aimed at.
    PeerClosed = 3,
    /// Its caller, who has no use for it any more.
    Canceled = 4,
}

const PHASE: u32 = 0b11;
const CLAIMED: u32 = 0b100;
const DONE: u32 = 0b1000;
const LINKED: u32 = 0b1_0000;
/// How its thread waits: it looks, with a permit of [`crate::spin`], or it is parked or about to be.
const LOOKS: u32 = 0b10_0000;
const PARKS: u32 = 0b100_0000;
/// It waits for room: whoever frees that is at work, and needs a core.
const FOR_ROOM: u32 = 0b1000_0000;
const CAUSE_SHIFT: u32 = 8;

impl Phase {
    fn of(word: u32) -> Phase {
        match word & PHASE {
            0 => Phase::Waiting,
            1 => Phase::Queued,
            _ => Phase::Begun,
        }
    }
}

impl Cause {
    fn of(word: u32) -> Cause {
        match word >> CAUSE_SHIFT {
            0 => Cause::Answered,
            1 => Cause::TimedOut,
            2 => Cause::Closed,
            3 => Cause::PeerClosed,
            _ => Cause::Canceled,
        }
    }
}

/// A registration: a call that waits for one result, which is given exactly once.
pub(crate) struct Wait<T> {
    word: AtomicU32,
    /// Written by the one who claimed, before `DONE`; taken by the thread that made the call, after it.
    result: Mutex<Option<Result<T>>>,
    waiter: Waiter,
}

/// Who is told when a call is done.
enum Waiter {
    /// The thread that made the call, and where its link comes from: the peer whose own thread it is.
    Thread { thread: Waker, from: Option<Place> },
    /// Whoever waits for a call that was started.
    Listeners(Mutex<Listeners>),
}

/// Those who wait for a call that was started. Its lock is taken under that of the ring, where links are at stake.
struct Listeners {
    /// The peer whose handler the call waits for now.
    waits_for: Option<Place>,
    waits: Vec<Arc<Wait<()>>>,
    /// What else is to happen once it is done.
    then: Option<Box<dyn FnOnce() + Send>>,
    readiness: Readiness,
}

/// How often a thread that waits for room lets others run before it parks: who makes the room may be among them, and then
/// needs to wake nobody.
const YIELDS_FOR_ROOM: u32 = 8;

impl<T> Wait<T> {
    /// A wait of the calling thread, for what no handler has to do.
    pub(crate) fn new() -> Wait<T> {
        Wait::of_thread(None)
    }

    /// A wait of the calling thread, whose links come `from` there.
    pub(crate) fn of_thread(from: Option<Place>) -> Wait<T> {
        Wait::of(Waiter::Thread { thread: Waker::of_this_thread(), from })
    }

    /// A wait of a call that was started: of whoever [`listen`](Wait::listen)s.
    pub(crate) fn of_started() -> Wait<T> {
        Wait::of(Waiter::Listeners(Mutex::new(Listeners {
            waits_for: None,
            waits: Vec::new(),
            then: None,
            readiness: Readiness::default(),
        })))
    }

    fn of(waiter: Waiter) -> Wait<T> {
        Wait { word: AtomicU32::new(0), result: Mutex::new(None), waiter }
    }

    /// Moves an ask on, unless it has been claimed.
    pub(crate) fn step(&self, from: Phase, to: Phase) -> bool {
        self.change(|word| (word & CLAIMED == 0 && Phase::of(word) == from).then_some(word & !PHASE | to as u32))
            .is_some()
    }

    /// It waits for the handler of that peer from now on, unless `is_over`: links its thread to the peer, or fails with the names
    /// on the ring that this would close. A call that was started goes on; those who wait for it and would close a ring are told.
    pub(crate) fn link(&self, to: &Place, is_over: impl FnOnce() -> bool) -> Result<()> {
        match &self.waiter {
            Waiter::Thread { from: None, .. } => Ok(()),
            Waiter::Thread { from: Some(from), .. } => {
                let mut links = ring::lock();
                if is_over() { Ok(()) } else { self.set_link(&mut links, from, to) }
            }
            Waiter::Listeners(listeners) => {
                let mut links = ring::lock();
                if is_over() {
                    return Ok(());
                }
                let mut listeners = listeners.lock();
                if self.change(|word| (word & CLAIMED == 0).then_some(word | LINKED)).is_none() {
                    return Ok(());
                }
                listeners.waits_for = Some(to.clone());
                let mut rung = Vec::new();
                listeners.waits.retain(|wait| match wait.follow(&mut links, to) {
                    Ok(()) => true,
                    Err(ring) => {
                        rung.push((Arc::clone(wait), ring));
                        false
                    }
                });
                drop((links, listeners));
                for (wait, ring) in rung {
                    wait.end(Cause::Answered, Err(ring));
                }
                Ok(())
            }
        }
    }

    /// It waits on, but no longer for that peer's handler.
    pub(crate) fn unlink(&self) {
        // Who claims it removes its link; those who wait for a call that was started are told, and remove theirs.
        if !self.is_open() {
            return;
        }
        match &self.waiter {
            Waiter::Thread { from: None, .. } => {}
            // Under the lock of the ring in any case: the link may just be being set.
            Waiter::Thread { from: Some(from), .. } => self.remove_link(&mut ring::lock(), from),
            Waiter::Listeners(listeners) => {
                let mut links = ring::lock();
                let mut listeners = listeners.lock();
                self.change(|word| (word & CLAIMED == 0).then_some(word & !LINKED));
                listeners.waits_for = None;
                for wait in &listeners.waits {
                    wait.unfollow(&mut links);
                }
            }
        }
    }

    fn set_link(&self, links: &mut Links, from: &Place, to: &Place) -> Result<()> {
        if !self.is_open() {
            // Its thread may wait in its next call by now, and the link there is that one's.
            return Ok(());
        }
        links.set(from, to)?;
        if self.change(|word| (word & CLAIMED == 0).then_some(word | LINKED)).is_none() {
            links.remove(from);
        }
        Ok(())
    }

    fn remove_link(&self, links: &mut Links, from: &Place) {
        // Who claims it meanwhile removes the link.
        let is_linked = |word: u32| word & (LINKED | CLAIMED) == LINKED;
        if self.change(|word| is_linked(word).then_some(word & !LINKED)).is_some() {
            links.remove(from);
        }
    }

    /// Changes the word, and gives what it was; `None` if `to` refuses.
    fn change(&self, to: impl Fn(u32) -> Option<u32>) -> Option<u32> {
        self.word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, to).ok()
    }

    /// Takes the sole right to end it, or `None` if somebody else has it. Tells how far it had come.
    ///
    /// Links go in the same step, under the lock of the ring: who comes second may go on at once, and must not find them there.
    pub(crate) fn claim(&self, cause: Cause) -> Option<Phase> {
        let claimed = CLAIMED | (cause as u32) << CAUSE_SHIFT;
        if let Some(word) = self.change(|word| (word & (CLAIMED | LINKED) == 0).then_some(word | claimed)) {
            return Some(Phase::of(word));
        }
        if !self.is_open() {
            return None;
        }
        let mut links = ring::lock();
        let word = self.change(|word| (word & CLAIMED == 0).then_some(word | claimed))?;
        match &self.waiter {
            Waiter::Thread { from: Some(from), .. } if word & LINKED != 0 => links.remove(from),
            Waiter::Thread { .. } => {}
            Waiter::Listeners(listeners) => {
                for wait in &listeners.lock().waits {
                    wait.unfollow(&mut links);
                }
            }
        }
        Some(Phase::of(word))
    }

    /// By the one who claimed: gives the result and wakes who waits.
    pub(crate) fn finish(&self, result: Result<T>) {
        *self.result.lock() = Some(result);
        let word = self.word.fetch_or(DONE, Ordering::SeqCst);
        match &self.waiter {
            Waiter::Thread { .. } if word & LOOKS != 0 => spin::give_permit(),
            Waiter::Thread { thread, .. } if word & PARKS != 0 => thread.unpark(),
            Waiter::Thread { .. } => {}
            Waiter::Listeners(listeners) => {
                let (waits, then) = {
                    let mut listeners = listeners.lock();
                    listeners.readiness.set(true);
                    (std::mem::take(&mut listeners.waits), listeners.then.take())
                };
                for wait in waits {
                    wait.end(Cause::Answered, Ok(()));
                }
                if let Some(then) = then {
                    then();
                }
            }
        }
    }

    /// Claims and finishes; false if somebody else has claimed.
    pub(crate) fn end(&self, cause: Cause, result: Result<T>) -> bool {
        let claimed = self.claim(cause).is_some();
        if claimed {
            self.finish(result);
        }
        claimed
    }

    /// Nobody has claimed it yet.
    pub(crate) fn is_open(&self) -> bool {
        self.word.load(Ordering::SeqCst) & CLAIMED == 0
    }

    /// How far it had come when it was claimed, and why it was; `None` while it is open.
    pub(crate) fn ended(&self) -> Option<(Phase, Cause)> {
        let word = self.word.load(Ordering::SeqCst);
        (word & CLAIMED != 0).then(|| (Phase::of(word), Cause::of(word)))
    }

    fn is_done(&self) -> bool {
        self.word.load(Ordering::Acquire) & DONE != 0
    }

    /// It waits for room from now on.
    pub(crate) fn wait_for_room(&self) {
        self.word.fetch_or(FOR_ROOM, Ordering::SeqCst);
    }

    /// Looks for a while whether it gets done, if that may help.
    fn look(&self, deadline: Deadline, awake: &mut impl FnMut() -> bool) {
        let is_done = |awake: &mut dyn FnMut() -> bool| {
            awake();
            self.is_done()
        };
        let is_in_line = || self.word.load(Ordering::Relaxed) & (FOR_ROOM | PHASE | CLAIMED) == FOR_ROOM;
        match spin::choose(Habit::Call) {
            Way::Look => {
                if self.change(|word| (word & DONE == 0).then_some(word | LOOKS)).is_none() {
                    return spin::give_permit();
                }
                spin::look(deadline, &mut || is_done(awake));
                let is_done = self.change(|word| (word & DONE == 0).then_some(word & !LOOKS)).is_none();
                if !is_done {
                    spin::give_permit();
                }
                spin::learn(Habit::Call, is_done);
            }
            Way::Yield if !is_in_line() => spin::let_others_run(Habit::Call, 1, &mut || is_done(awake)),
            Way::Yield | Way::Park => {}
        }
        if is_in_line() && spin::pays(Habit::Room) {
            let is_late = || deadline.left().is_some_and(|left| left.is_zero());
            spin::let_others_run(Habit::Room, YIELDS_FOR_ROOM, &mut || is_done(awake) || !is_in_line() || is_late());
        }
    }

    /// Blocks the thread that made it until it is done. At the deadline it runs `give_up`, which claims it; if it was claimed
    /// first, the short rest is waited for. `awake` runs before each park, and parks only if it is false.
    pub(crate) fn block(
        &self,
        deadline: Deadline,
        give_up: impl FnOnce(),
        mut awake: impl FnMut() -> bool,
    ) -> Result<T> {
        let (mut deadline, mut give_up) = (deadline.begin(), Some(give_up));
        if !self.is_done() {
            self.look(deadline, &mut awake);
        }
        // From here on whoever finishes it unparks.
        while self.change(|word| (word & DONE == 0).then_some(word | PARKS)).is_some() {
            let went_on = awake();
            match deadline.left() {
                Some(left) if left.is_zero() => {
                    deadline = Deadline::Never;
                    if let Some(give_up) = give_up.take() {
                        give_up();
                    }
                }
                _ if went_on => {}
                left => self.park(left),
            }
        }
        self.result.lock().take().unwrap_or_else(|| Err(Error::Internal("a result was taken twice".to_owned())))
    }
}

impl<T> Wait<T> {
    /// Parks the thread that made it, whom `finish` unparks.
    fn park(&self, timeout: Option<Duration>) {
        if let Waiter::Thread { thread, .. } = &self.waiter {
            thread.park(timeout);
        }
    }
}

/// Of a call that was started.
impl<T: Clone> Wait<T> {
    /// Its result, once it is done.
    pub(crate) fn result(&self) -> Option<Result<T>> {
        if self.is_done() { self.result.lock().clone() } else { None }
    }

    /// Registers a wait of the calling thread until it is done; then the caller looks whether it is. Fails with the names on
    /// the ring that this would close.
    pub(crate) fn listen(&self, wait: &Arc<Wait<()>>) -> Result<()> {
        let listeners = self.listeners()?;
        let mut links = wait.from().map(|_| ring::lock());
        let mut listeners = listeners.lock();
        // One that has been claimed is about to be done, which ends the wait.
        if let (Some(links), Some(to), true) = (&mut links, &listeners.waits_for, self.is_open()) {
            wait.follow(links, to)?;
        }
        listeners.waits.push(Arc::clone(wait));
        Ok(())
    }

    /// Runs `then` once it is done, under no lock, on the thread of whoever finishes it; at once if it is done. It must not wait, nor run
    /// users' code. There is one for each call.
    #[cfg(feature = "mesh")]
    pub(crate) fn when_done(&self, then: impl FnOnce() + Send + 'static) -> Result<()> {
        let mut listeners = self.listeners()?.lock();
        // Whoever finishes it says that it is done before he looks here.
        if self.is_done() {
            drop(listeners);
            then();
        } else {
            listeners.then = Some(Box::new(then));
        }
        Ok(())
    }

    fn listeners(&self) -> Result<&Mutex<Listeners>> {
        match &self.waiter {
            Waiter::Listeners(listeners) => Ok(listeners),
            Waiter::Thread { .. } => Err(Error::Internal("this call was not started".to_owned())),
        }
    }

    /// A descriptor that is readable once it is done.
    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> Result<OwnedFd> {
        let mut listeners = self.listeners()?.lock();
        listeners.readiness.set(self.is_done());
        listeners.readiness.descriptor()
    }

    /// Takes out a wait that has ended before the call.
    pub(crate) fn leave(&self, wait: &Arc<Wait<()>>) {
        if let Waiter::Listeners(listeners) = &self.waiter {
            listeners.lock().waits.retain(|other| !Arc::ptr_eq(other, wait));
        }
    }
}

/// Of a thread that waits for a call that was started: its link goes where the call waits.
impl Wait<()> {
    fn from(&self) -> Option<&Place> {
        match &self.waiter {
            Waiter::Thread { from, .. } => from.as_ref(),
            Waiter::Listeners(_) => None,
        }
    }

    fn follow(&self, links: &mut Links, to: &Place) -> Result<()> {
        self.from().map_or(Ok(()), |from| self.set_link(links, from, to))
    }

    fn unfollow(&self, links: &mut Links) {
        if let Some(from) = self.from() {
            self.remove_link(links, from);
        }
    }
}
