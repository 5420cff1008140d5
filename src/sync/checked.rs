//! The primitives of a model checker, in the shape of those that they stand for.

use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{PoisonError, TryLockError};
use std::time::Duration;

#[cfg(loom)]
use loom as checker;
#[cfg(shuttle)]
use shuttle as checker;

#[cfg(loom)]
pub(crate) use checker::cell::UnsafeCell;
pub(crate) use checker::hint::spin_loop;
#[cfg(shuttle)]
pub(crate) use checker::sync::atomic::AtomicBool;
pub(crate) use checker::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
pub(crate) use checker::thread::{
    Builder as ThreadBuilder, JoinHandle, Thread, ThreadId, current as current_thread, park, yield_now,
};

/// loom's own, but for a swap that changes nothing. loom may put a swap from false to false behind a store of true that it did not read,
/// which the memory model forbids: nothing comes between a swap and what it read. So such a swap only reads, which allows more
/// than a swap does, and loses no failure.
#[cfg(loom)]
#[derive(Debug)]
pub(crate) struct AtomicBool(loom::sync::atomic::AtomicBool);

#[cfg(loom)]
impl AtomicBool {
    pub(crate) fn new(value: bool) -> AtomicBool {
        AtomicBool(loom::sync::atomic::AtomicBool::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> bool {
        self.0.load(order)
    }

    pub(crate) fn store(&self, value: bool, order: Ordering) {
        self.0.store(value, order);
    }

    pub(crate) fn swap(&self, value: bool, order: Ordering) -> bool {
        let failed = if order == Ordering::Release { Ordering::Relaxed } else { Ordering::Acquire };
        self.0.compare_exchange(!value, value, order, failed).unwrap_or_else(|found| found)
    }
}

/// A lock that does not poison.
#[derive(Default)]
pub(crate) struct Mutex<T>(checker::sync::Mutex<T>);

pub(crate) struct MutexGuard<'a, T>(checker::sync::MutexGuard<'a, T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(checker::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(MutexGuard(guard)),
            Err(TryLockError::Poisoned(poisoned)) => Some(MutexGuard(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

/// A lock of many readers that does not poison.
pub(crate) struct RwLock<T>(checker::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> RwLock<T> {
        RwLock(checker::sync::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> checker::sync::RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> checker::sync::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A checker's variables of a thread are not initialized by constants.
macro_rules! checked_thread_local {
    ($vis:vis static $name:ident: $t:ty = const { $init:expr }$(;)?) => {
        $crate::sync::checker_thread_local! { $vis static $name: $t = $init }
    };
}

pub(crate) use checked_thread_local as thread_local;

#[cfg(loom)]
pub(crate) use loom::thread_local as checker_thread_local;
#[cfg(shuttle)]
pub(crate) use shuttle::thread_local as checker_thread_local;

/// What wakes the thread that made it.
pub(crate) struct Waker(Thread);

impl Waker {
    pub(crate) fn of_this_thread() -> Waker {
        Waker(current_thread())
    }

    pub(crate) fn unpark(&self) {
        self.0.unpark();
    }

    /// By the thread that made it.
    pub(crate) fn park(&self, timeout: Option<Duration>) {
        match timeout {
            None => park(),
            Some(timeout) => park_timeout(timeout),
        }
    }
}

pub(crate) fn current_id() -> Option<ThreadId> {
    Some(current_thread().id())
}

/// Parks for a time that may be over at once: there is no time here, so others get to run, and the caller looks at its deadline.
pub(crate) fn park_timeout(_timeout: Duration) {
    checker::thread::yield_now();
}

/// With two, one thread at a time may look before it parks, and so at random. For loom that is far too much to try in every model: those
/// that are about it ask for it.
pub(crate) fn available_parallelism() -> usize {
    if cfg!(shuttle) { 1 + random_seed() as usize % 2 } else { CORES.get() }
}

// All threads of a model are run by one thread of the system, and so are all executions of it.
std::thread_local!(static CORES: Cell<usize> = const { Cell::new(1) });

/// How many cores the models of this thread see.
#[cfg(loom)]
pub(crate) fn set_cores(cores: usize) {
    CORES.set(cores);
}

/// A clock that ticks when it is looked at. However far away a deadline is, it comes within a few looks, or is over at once:
/// giving up races with everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(u64);

impl Instant {
    pub(crate) fn now() -> Instant {
        // All threads of a model are run by one thread of the system, of which this is.
        std::thread_local!(static TICKS: Cell<u64> = const { Cell::new(0) });
        TICKS.set(TICKS.get() + 1);
        Instant(TICKS.get())
    }

    pub(crate) fn checked_add(self, timeout: Duration) -> Option<Instant> {
        (timeout != Duration::MAX).then(|| Instant(self.0 + ticks()))
    }

    pub(crate) fn saturating_duration_since(self, earlier: Instant) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// How many looks a deadline is away.
fn ticks() -> u64 {
    1 + random_seed() % 24
}

/// Of the schedule, so that its seed gives it again.
#[cfg(shuttle)]
pub(crate) fn random_seed() -> u64 {
    use shuttle::rand::RngCore;
    shuttle::rand::thread_rng().next_u64()
}

#[cfg(loom)]
pub(crate) fn random_seed() -> u64 {
    0
}

/// A value of one execution, made when it is first used: a checker runs many in one process.
macro_rules! global {
    ($(#[$doc:meta])* fn $name:ident() -> $type:ty { $make:expr }) => {
        $(#[$doc])*
        fn $name() -> &'static $type {
            $crate::sync::lazy_static! { static ref VALUE: $type = $make; }
            &VALUE
        }
    };
}
pub(crate) use global;

#[cfg(loom)]
pub(crate) use loom::lazy_static;
#[cfg(shuttle)]
pub(crate) use shuttle::lazy_static;
