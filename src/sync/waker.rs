//! Parking a thread that may be at its end.
//!
//! A host may make calls from the destructors of a thread's own data (`pthread_key_create`), where std's data of the thread are gone, and with
//! them what std parks it by; there a lock and a condition stand in.

use std::cell::Cell;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::thread::{Thread, ThreadId, current, park, park_timeout};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Wakes the thread that made it.
pub(crate) enum Waker {
    Thread(Thread),
    AtItsEnd(Arc<Token>),
}

/// That it may go on.
#[derive(Default)]
pub(crate) struct Token {
    is_given: Mutex<bool>,
    changed: Condvar,
}

impl Waker {
    pub(crate) fn of_this_thread() -> Waker {
        current_thread().map_or_else(|| Waker::AtItsEnd(Arc::default()), Waker::Thread)
    }

    pub(crate) fn unpark(&self) {
        match self {
            Waker::Thread(thread) => thread.unpark(),
            Waker::AtItsEnd(token) => {
                *token.is_given.lock() = true;
                token.changed.notify_one();
            }
        }
    }

    /// By the thread that made it: parks until it is woken, or this time is over; it may also go on for no reason.
    pub(crate) fn park(&self, timeout: Option<Duration>) {
        match (self, timeout) {
            (Waker::Thread(_), None) => park(),
            (Waker::Thread(_), Some(timeout)) => park_timeout(timeout),
            (Waker::AtItsEnd(token), _) => token.take(timeout),
        }
    }
}

impl Token {
    fn take(&self, timeout: Option<Duration>) {
        // Without an end where there is none that can be said.
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut is_given = self.is_given.lock();
        while !*is_given {
            match end {
                None => self.changed.wait(&mut is_given),
                Some(end) if self.changed.wait_until(&mut is_given, end).timed_out() => break,
                Some(_) => {}
            }
        }
        *is_given = false;
    }
}

/// This thread as std knows it; `None` where its data are gone.
fn current_thread() -> Option<Thread> {
    struct Dies;
    impl Drop for Dies {
        fn drop(&mut self) {}
    }
    // Like std's own it dies when the thread ends, but for one that was made only then, which never does: then std panics.
    std::thread_local!(static IS_THERE: Dies = const { Dies });
    IS_THERE.try_with(|_| ()).ok().and_then(|()| catch_unwind(current).ok())
}

/// Which thread this is; `None` at the end of one that was never asked before, which is none of the library's own.
pub(crate) fn current_id() -> Option<ThreadId> {
    // Nothing of it dies: it can be read to the very end.
    std::thread_local!(static ID: Cell<Option<ThreadId>> = const { Cell::new(None) });
    if ID.get().is_none() {
        ID.set(current_thread().map(|thread| thread.id()));
    }
    ID.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_once_and_waited_for_no_longer_than_it_is_told() {
        let waker = Waker::AtItsEnd(Arc::default());
        waker.unpark();
        waker.unpark();
        waker.park(None);
        let begun = Instant::now();
        waker.park(Some(Duration::from_millis(20)));
        assert!(begun.elapsed() >= Duration::from_millis(20));
        waker.unpark();
        waker.park(Some(Duration::MAX));
        assert_eq!(current_id(), Some(current().id()));
    }
}
