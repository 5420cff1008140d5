//! Looking before sleeping: a thread that is about to park waits for a short while whether what it waits for comes.
//!
//! Waking a thread that sleeps costs some 4 µs on its own core and some 40 µs on another one. Who looks meanwhile holds a core for
//! nothing, so that:
//!
//! - at most as many threads of the process look at once as there are cores but one, by a count of permits. How many there are is
//!   found out once, when the first peer is made. A process that is kept to fewer cores later has permits that no longer help,
//!   and learns that;
//! - on one core nobody looks: who is about to park lets others run first, once, and who waits for room a few times. Often
//!   one of these is who ends the wait, and then no thread has to be woken;
//! - a thread learns whether either pays. Each time that it was in vain twice as many waits go by before it is tried again, up to
//!   [`SKIPPED_MAX`], so that it is hardly ever done where it does not help; as soon as it helped it is done every time.
//!
//! A permit is given back by whoever ends the wait, not by the thread that looks and has yet to see that: the one who
//! ends it may be the next that waits. So the word of the wait says whether its thread looks.

use std::cell::Cell;
use std::time::Duration;

use crate::deadline::Deadline;
use crate::sync::{AtomicUsize, Instant, Ordering, available_parallelism, global, spin_loop, thread_local, yield_now};

/// What a thread is about to wait for; it learns for each apart.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Habit {
    /// The end of a call.
    Call = 0,
    /// Room in a mailbox.
    Room = 1,
    /// Work, on a peer's own thread.
    Rest = 2,
}

/// How long a thread looks at most: about as long as it takes to wake another core.
const LOOKING_MAX: Duration = Duration::from_micros(50);

/// The clock is looked at once in so many looks.
const LOOKS_OF_CLOCK: u32 = if cfg!(any(shuttle, loom)) { 1 } else { 32 };

/// If others that were let run kept the core for so long, they were none that help, and a thread that had slept would have
/// got it sooner.
const OTHERS_MAX: Duration = Duration::from_millis(1);

/// How many waits a thread lets go by at most before it tries again.
const SKIPPED_MAX: u16 = 255;

#[derive(Clone, Copy)]
struct Learned {
    /// How many waits it lets go by before it looks again.
    left: u16,
    /// How many it let go by the last time.
    skipped: u16,
}

const LOOKS_AT_ONCE: Learned = Learned { left: 0, skipped: 0 };

/// A thread that has only just been made hardly ever gets work at once.
const RESTS_ONCE: Learned = Learned { left: if cfg!(any(shuttle, loom)) { 0 } else { 1 }, skipped: 0 };

thread_local! {
    static LEARNED: Cell<[Learned; 3]> = const { Cell::new([LOOKS_AT_ONCE, LOOKS_AT_ONCE, RESTS_ONCE]) };
}

struct Permits {
    cores: usize,
    /// How many more threads may look now.
    left: AtomicUsize,
}

global! {
    fn permits() -> Permits { Permits::new(available_parallelism()) }
}

impl Permits {
    fn new(cores: usize) -> Permits {
        Permits { cores, left: AtomicUsize::new(cores - 1) }
    }
}

/// Finds out how many cores there are, on a thread that is kept to no fewer than the process.
pub(crate) fn count_cores() {
    permits();
}

/// Whether looking has paid of late, or it is time to try again.
pub(crate) fn pays(habit: Habit) -> bool {
    let asked = LEARNED.try_with(|learned| {
        let mut all = learned.get();
        let of = &mut all[habit as usize];
        let pays = of.left == 0;
        of.left = of.left.saturating_sub(1);
        learned.set(all);
        pays
    });
    // A thread whose variables are gone is at its end.
    asked.unwrap_or(false)
}

/// The thread has looked: whether that has ended its wait.
pub(crate) fn learn(habit: Habit, has_paid: bool) {
    let _ = LEARNED.try_with(|learned| {
        let mut all = learned.get();
        let skipped = if has_paid { 0 } else { (2 * all[habit as usize].skipped + 1).min(SKIPPED_MAX) };
        all[habit as usize] = Learned { left: skipped, skipped };
        learned.set(all);
    });
}

/// How a thread may wait for a while before it parks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It may look: it has a permit.
    Look,
    /// There is one core: others may run first.
    Yield,
    Park,
}

/// The way that pays now, if a core is spare for it.
pub(crate) fn choose(habit: Habit) -> Way {
    let permits = permits();
    if permits.cores == 1 {
        return if pays(habit) { Way::Yield } else { Way::Park };
    }
    // A load first: with many that wait, that is mostly all.
    let takes = permits.left.load(Ordering::Relaxed) > 0
        && pays(habit)
        && permits.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    if takes { Way::Look } else { Way::Park }
}

pub(crate) fn give_permit() {
    permits().left.fetch_add(1, Ordering::Relaxed);
}

/// As many threads may look as there are cores but one: nobody looks now.
#[cfg(loom)]
pub(crate) fn no_permit_is_out() -> bool {
    permits().left.load(Ordering::Relaxed) == permits().cores - 1
}

/// Looks until it is over, the deadline passes, or it has been long enough.
#[inline(never)]
pub(crate) fn look(deadline: Deadline, is_over: &mut dyn FnMut() -> bool) {
    let enough = Deadline::after(LOOKING_MAX);
    let end = if deadline.is_before(enough) { deadline } else { enough };
    loop {
        for _ in 0..LOOKS_OF_CLOCK {
            if is_over() {
                return;
            }
            spin_loop();
        }
        if end.left().is_none_or(|left| left.is_zero()) {
            return;
        }
    }
}

/// Lets others run so many times, until it is over: those that make it so may be among them, and then need to wake nobody.
#[inline(never)]
pub(crate) fn let_others_run(habit: Habit, times: u32, is_over: &mut dyn FnMut() -> bool) {
    let start = Instant::now();
    for _ in 0..times {
        if is_over() {
            break;
        }
        yield_now();
    }
    let took = Instant::now().saturating_duration_since(start);
    learn(habit, is_over() && took < OTHERS_MAX);
}

#[cfg(all(test, not(any(shuttle, loom))))]
mod tests {
    use super::*;

    /// Of so many waits in a row, in which it was tried; each time in vain.
    fn tried_in_vain(waits: usize) -> Vec<usize> {
        let mut tried = Vec::new();
        for wait in 0..waits {
            if pays(Habit::Call) {
                tried.push(wait);
                learn(Habit::Call, false);
            }
        }
        tried
    }

    #[test]
    fn what_is_in_vain_is_tried_ever_more_rarely_and_what_helps_every_time() {
        assert_eq!(tried_in_vain(600), [0, 2, 6, 14, 30, 62, 126, 254, 510]);
        assert_eq!(tried_in_vain(1024).len(), 4, "at most 255 go by");
        learn(Habit::Call, true);
        assert!(pays(Habit::Call) && pays(Habit::Call));
        assert_eq!(tried_in_vain(7), [0, 2, 6], "it begins anew");
    }

    #[test]
    fn each_kind_of_wait_is_learned_apart() {
        learn(Habit::Room, false);
        assert!(!pays(Habit::Room) && pays(Habit::Call));
    }

    #[test]
    fn looking_ends_with_what_it_looks_for_and_by_itself() {
        let mut looks = 0;
        look(Deadline::Never, &mut || {
            looks += 1;
            looks == 3
        });
        assert_eq!(looks, 3);
        look(Deadline::Never, &mut || false);
        look(Deadline::Now, &mut || false);
    }
}
