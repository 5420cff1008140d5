//! The primitives that the rest of the crate stands on, by one name each, so that a model checker can put its own here.
//!
//! `--cfg shuttle` and `--cfg loom` put in those of the two checkers, for the models in `src/model/`; see ARCHITECTURE. Nobody
//! else in the crate names a lock, an atomic, a thread or a clock; what has no other thread in it (`Arc`, `OnceLock`) is
//! std's for all three.

#[cfg(any(shuttle, loom))]
mod checked;

#[cfg(all(target_os = "linux", not(any(shuttle, loom))))]
mod cores;
#[cfg(not(any(shuttle, loom)))]
mod waker;

#[cfg(any(shuttle, loom))]
pub(crate) use checked::*;

pub(crate) use std::sync::{Arc, OnceLock};

#[cfg(all(feature = "capi", not(loom)))]
pub(crate) use cell::UnsafeCell;
#[cfg(not(any(shuttle, loom)))]
pub(crate) use parking_lot::{Mutex, MutexGuard, RwLock};
#[cfg(not(any(shuttle, loom)))]
pub(crate) use std::hint::spin_loop;
#[cfg(not(any(shuttle, loom)))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(not(any(shuttle, loom)))]
pub(crate) use std::thread::{Builder as ThreadBuilder, JoinHandle, Thread, ThreadId, park, park_timeout, yield_now};
#[cfg(not(any(shuttle, loom)))]
pub(crate) use std::thread_local;
#[cfg(not(any(shuttle, loom)))]
pub(crate) use std::time::Instant;
#[cfg(not(any(shuttle, loom)))]
pub(crate) use waker::{Waker, current_id};

/// A value of the whole process, made when it is first used.
#[cfg(not(any(shuttle, loom)))]
macro_rules! global {
    ($(#[$doc:meta])* fn $name:ident() -> $type:ty { $make:expr }) => {
        $(#[$doc])*
        fn $name() -> &'static $type {
            static VALUE: std::sync::OnceLock<$type> = std::sync::OnceLock::new();
            VALUE.get_or_init(|| $make)
        }
    };
}
#[cfg(not(any(shuttle, loom)))]
pub(crate) use global;

/// The monotonic clock in nanoseconds, as the operating system knows it: since the machine was started. For what is only looked at.
#[cfg(target_os = "linux")]
pub(crate) mod clock {
    use nix::time::{ClockId, clock_gettime};

    /// As of the last tick: a fifth of what it takes to read the exact one.
    pub(crate) fn cheap_ns() -> u64 {
        read(ClockId::CLOCK_MONOTONIC_COARSE)
    }

    pub(crate) fn exact_ns() -> u64 {
        read(ClockId::CLOCK_MONOTONIC)
    }

    fn read(clock: ClockId) -> u64 {
        // There is such a clock wherever there is a thread of ours.
        clock_gettime(clock).map_or(0, |now| now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
    }
}

/// Elsewhere only the exact one, since it was first looked at.
#[cfg(not(target_os = "linux"))]
pub(crate) mod clock {
    use std::sync::OnceLock;
    use std::time::Instant;

    static START: OnceLock<Instant> = OnceLock::new();

    pub(crate) fn cheap_ns() -> u64 {
        exact_ns()
    }

    pub(crate) fn exact_ns() -> u64 {
        1 + START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

/// A number that nobody foresees.
#[cfg(not(any(shuttle, loom)))]
pub(crate) fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    crate::cancel::put_off(|| RandomState::new().hash_one(0))
}

/// How many cores the calling thread may run on, as far as anybody knows.
#[cfg(not(any(shuttle, loom)))]
pub(crate) fn available_parallelism() -> usize {
    #[cfg(target_os = "linux")]
    return crate::cancel::put_off(cores::count);
    #[cfg(not(target_os = "linux"))]
    crate::cancel::put_off(std::thread::available_parallelism).map_or(1, std::num::NonZeroUsize::get)
}

#[cfg(all(feature = "capi", not(loom)))]
mod cell {
    /// std's, with the methods of loom's.
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        pub(crate) fn with<R>(&self, look: impl FnOnce(*const T) -> R) -> R {
            look(self.0.get())
        }

        pub(crate) fn with_mut<R>(&self, change: impl FnOnce(*mut T) -> R) -> R {
            change(self.0.get())
        }
    }
}
