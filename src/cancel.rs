//! Cancelling a thread (`pthread_cancel`): put off while the library is in a system call in which it could come.
//!
//! It comes as an unwind that may not be caught, so that inside of ours it would end the process. A host may cancel its own threads
//! wherever they are; with the default, deferred kind, that is at certain functions of the C library alone. What of these
//! is called here (reading, writing, closing, joining, asking for random numbers) goes through [`put_off`]; waiting is by futexes,
//! which are none of them. Library threads are never cancelled, not even by a callback that knows them.

#[cfg(all(target_os = "linux", not(any(shuttle, loom))))]
#[expect(unsafe_code, reason = "a function of the C library")]
mod state {
    use std::ffi::c_int;

    unsafe extern "C" {
        fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    }

    const DISABLED: c_int = 1;

    /// How it was is set again when this is dropped.
    pub(super) struct PutOff(c_int);

    impl PutOff {
        pub(super) fn begin() -> PutOff {
            PutOff(set(DISABLED))
        }
    }

    impl Drop for PutOff {
        fn drop(&mut self) {
            set(self.0);
        }
    }

    /// Gives what it was.
    fn set(state: c_int) -> c_int {
        let mut before = DISABLED;
        // SAFETY: it takes one of its two states, and writes the other to a place of ours. It fails only for another number.
        unsafe { pthread_setcancelstate(state, &mut before) };
        before
    }
}

/// Elsewhere threads are left as they are; the threads of a model checker are none of the operating system's.
#[cfg(not(all(target_os = "linux", not(any(shuttle, loom)))))]
mod state {
    pub(super) struct PutOff;

    impl PutOff {
        pub(super) fn begin() -> PutOff {
            PutOff
        }
    }

    impl Drop for PutOff {
        fn drop(&mut self) {}
    }
}

/// Runs what makes such system calls; who is to be cancelled is so afterwards, in the host's own code.
pub(crate) fn put_off<T>(run: impl FnOnce() -> T) -> T {
    let _put_off = state::PutOff::begin();
    run()
}

/// By a thread of the library itself, first of all.
pub(crate) fn never() {
    std::mem::forget(state::PutOff::begin());
}
