//! The bell: wakes a peer's own thread when there is something for it to do, if it sleeps.
//!
//! | state | means | next |
//! |---|---|---|
//! | `AWAKE` | the thread looks for work and will look again before it sleeps | all others, by the thread |
//! | `LOOKS` | it found none, and looks at the bell for a while, with a permit of [`crate::spin`] | `ASLEEP`, by the thread; `AWAKE` |
//! | `YIELDS` | it found none, and lets others run | `ASLEEP`, by the thread; `AWAKE` |
//! | `ASLEEP` | it is parked, or about to be | `AWAKE` |
//!
//! Whoever makes it `AWAKE` gives the permit back, or unparks. Falling asleep is say so then look, ringing is change then look whether it
//! sleeps, with a SeqCst fence on each side, or under one lock.

use crate::deadline::Deadline;
use crate::spin::{self, Habit, Way};
use crate::sync::{AtomicU8, AtomicU64, OnceLock, Ordering, Thread, fence};

pub(crate) struct Bell {
    state: AtomicU8,
    /// How often the thread has looked for work; changed by it alone.
    rounds: AtomicU64,
    /// Set when it is made: before it looks for work.
    thread: OnceLock<Thread>,
}

const AWAKE: u8 = 0;
const LOOKS: u8 = 1;
const YIELDS: u8 = 2;
const ASLEEP: u8 = 3;

impl Bell {
    pub(crate) fn new() -> Bell {
        spin::count_cores();
        Bell { state: AtomicU8::new(AWAKE), rounds: AtomicU64::new(0), thread: OnceLock::new() }
    }

    pub(crate) fn own(&self, thread: Thread) {
        self.thread.get_or_init(|| thread);
    }

    /// After there is something to do.
    pub(crate) fn ring(&self) {
        fence(Ordering::SeqCst);
        self.ring_after_lock();
    }

    /// The same after a change under a lock under which the thread looks when it counts as asleep.
    #[inline]
    pub(crate) fn ring_after_lock(&self) {
        if self.state.load(Ordering::Relaxed) != AWAKE
            && self.awaken() == ASLEEP
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Makes it `AWAKE`; gives what it was.
    fn awaken(&self) -> u8 {
        let state = self.state.swap(AWAKE, Ordering::SeqCst);
        if state == LOOKS {
            spin::give_permit();
        }
        state
    }

    /// On the peer's own thread: it looks for work.
    pub(crate) fn begin_round(&self) {
        let rounds = self.rounds.load(Ordering::Relaxed);
        self.rounds.store(rounds + 1, Ordering::Release);
    }

    /// The number of the round after which the thread sleeps. Twice the same: it has slept in between.
    pub(crate) fn rest(&self) -> Option<u64> {
        let before = self.rounds.load(Ordering::SeqCst);
        let sleeps = self.state.load(Ordering::SeqCst) != AWAKE;
        let after = self.rounds.load(Ordering::SeqCst);
        (sleeps && before == after).then_some(after)
    }

    /// On the peer's own thread: sleeps until it is rung or the deadline passes, unless `has_work` finds something once it counts as
    /// asleep. It may also be unparked because `is_called`.
    pub(crate) fn sleep(&self, deadline: Deadline, has_work: impl FnOnce() -> bool, is_called: impl Fn() -> bool) {
        let state = match spin::choose(Habit::Rest) {
            Way::Look => LOOKS,
            Way::Yield => YIELDS,
            Way::Park => ASLEEP,
        };
        self.state.store(state, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if has_work() || state != ASLEEP && self.look(state, deadline, is_called) {
            self.awaken();
            return;
        }
        match deadline.left() {
            None => crate::sync::park(),
            Some(left) => crate::sync::park_timeout(left),
        }
        self.state.store(AWAKE, Ordering::SeqCst);
    }

    /// True if it was rung or called meanwhile; otherwise it is to park, and whoever rings unparks it.
    fn look(&self, state: u8, deadline: Deadline, is_called: impl Fn() -> bool) -> bool {
        let mut is_over = || self.state.load(Ordering::Acquire) != state || is_called();
        if state == YIELDS {
            spin::let_others_run(Habit::Rest, 1, &mut is_over);
            return is_called() || !self.fall_asleep(state);
        }
        spin::look(deadline, &mut is_over);
        let is_over = is_called() || !self.fall_asleep(state);
        if !is_over {
            spin::give_permit();
        }
        spin::learn(Habit::Rest, is_over);
        is_over
    }

    /// False if it was rung.
    fn fall_asleep(&self, state: u8) -> bool {
        self.state.compare_exchange(state, ASLEEP, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}
