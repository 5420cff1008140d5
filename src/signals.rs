//! Library threads take no asynchronous signal: the host's own threads keep getting all of them.

/// Runs `spawn`, whose new thread inherits a mask with every signal blocked but those that a fault of its own raises.
#[cfg(all(unix, not(any(shuttle, loom))))]
pub(crate) fn blocked<T>(spawn: impl FnOnce() -> T) -> T {
    use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};

    let mut mask = SigSet::all();
    for fault in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGTRAP, Signal::SIGSYS] {
        mask.remove(fault);
    }
    let mut before = SigSet::empty();
    // Setting a mask fails only for an unknown `how`; and if it did, the thread would merely keep the caller's mask.
    let is_set = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&mask), Some(&mut before)).is_ok();
    let made = spawn();
    if is_set {
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    }
    made
}

/// Elsewhere there are no such signals; under a model checker one thread of the system runs all.
#[cfg(not(all(unix, not(any(shuttle, loom)))))]
pub(crate) fn blocked<T>(spawn: impl FnOnce() -> T) -> T {
    spawn()
}
