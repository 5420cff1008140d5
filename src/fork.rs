//! Whether this process is a child made by fork, in which no thread of ours runs and any lock may be held for ever.
//!
//! When the first system is opened, one byte is set on a page that the kernel hands to a child as zeros. Every public call begins
//! with a look at it: a load and no system call, before any lock. Where there is no such page, or no memory for one, the process
//! id is compared instead. A child of a process that had opened no system may open its own.
//!
//! Without a lock of its own: a fork may come in the middle of anything here.

use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, Ordering};

use crate::error::{Error, Result};
use crate::panics;

/// Null until the first system is opened; then the byte, which is 1 here and 0 in children. Never changed again.
static MARK: AtomicPtr<AtomicU8> = AtomicPtr::new(std::ptr::null_mut());
/// Where there is no such byte: the process that opened the first system; 0 is none.
static OPENER: AtomicU32 = AtomicU32::new(0);

/// The check at the entry of every public call.
#[inline(always)]
pub(crate) fn check() -> Result<()> {
    panics::at_check();
    if is_forked() { Err(Error::Forked) } else { Ok(()) }
}

/// For destructors, which have nobody to tell and then do nothing.
#[expect(unsafe_code, reason = "the byte is in memory that the operating system gave")]
#[inline(always)]
pub(crate) fn is_forked() -> bool {
    let mark = MARK.load(Ordering::Acquire);
    if mark.is_null() {
        return has_another_id();
    }
    // SAFETY: `watch` put it there: a byte of a page that is never unmapped, and that is only ever read now.
    unsafe { &*mark }.load(Ordering::Relaxed) == 0
}

/// Where there is no mark.
#[cold]
fn has_another_id() -> bool {
    let opener = OPENER.load(Ordering::Acquire);
    opener != 0 && opener != std::process::id()
}

/// From now on `check` fails in the children of this process. By whoever opens a system, which is the first thing anybody does.
pub(crate) fn watch() {
    if !MARK.load(Ordering::Acquire).is_null() || OPENER.load(Ordering::Acquire) != 0 {
        return;
    }
    match page::make() {
        Some(mark) => {
            let (null, success, failure) = (std::ptr::null_mut(), Ordering::AcqRel, Ordering::Acquire);
            if MARK.compare_exchange(null, mark, success, failure).is_err() {
                page::free(mark);
            }
        }
        // Whoever comes second finds the same number there.
        None => OPENER.store(std::process::id(), Ordering::Release),
    }
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the operating system gives and takes pages by address")]
mod page {
    use std::num::NonZeroUsize;
    use std::ptr::NonNull;
    use std::sync::atomic::{AtomicU8, Ordering};

    use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};

    /// Rounded up to a page by the kernel, whatever the size of its pages.
    const LENGTH: NonZeroUsize = NonZeroUsize::MIN;

    /// A byte that is 1, and 0 in every child; `None` if this kernel has no such thing.
    pub(super) fn make() -> Option<*mut AtomicU8> {
        // SAFETY: a new mapping where the kernel likes: it touches no other.
        let page = unsafe {
            let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
            mmap_anonymous(None, LENGTH, access, MapFlags::MAP_PRIVATE)
        };
        let page = page.ok()?;
        let mark = page.cast::<AtomicU8>().as_ptr();
        // SAFETY: it is our own, at least one byte, and nobody else knows of it yet.
        if unsafe { madvise(page, LENGTH.get(), MmapAdvise::MADV_WIPEONFORK) }.is_err() {
            free(mark);
            return None;
        }
        // SAFETY: it is mapped, writable and zero, which is a valid AtomicU8.
        unsafe { &*mark }.store(1, Ordering::Relaxed);
        Some(mark)
    }

    /// Gives a byte back that nobody else has seen.
    pub(super) fn free(mark: *mut AtomicU8) {
        if let Some(page) = NonNull::new(mark) {
            // SAFETY: `make` mapped it with this length, and there is no other pointer to it.
            let _ = unsafe { munmap(page.cast(), LENGTH.get()) };
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod page {
    use std::sync::atomic::AtomicU8;

    pub(super) fn make() -> Option<*mut AtomicU8> {
        None
    }

    pub(super) fn free(_: *mut AtomicU8) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_watches_is_no_child() {
        assert_eq!(check(), Ok(()));
        watch();
        let mark = MARK.load(Ordering::Acquire);
        watch();
        assert_eq!((check(), MARK.load(Ordering::Acquire)), (Ok(()), mark), "it is made once");
    }
}
