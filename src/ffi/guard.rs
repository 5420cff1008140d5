//! The one boundary around every exported body: a panic becomes a status, an error becomes a status and the thread's last
//! error. Owns the last error, and the text that a callback gives for its refusal or failure.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use super::status::{POTLUCK_OK, potluck_status_t, status_of};
use crate::unwind::drop_user_data;
use crate::{Error, Result, panics};

/// What the last failing call of a thread said.
#[derive(Clone)]
pub(super) struct LastError {
    pub(super) status: potluck_status_t,
    pub(super) text: CString,
    pub(super) number: u64,
    pub(super) number2: u64,
}

thread_local! {
    static LAST: RefCell<Option<LastError>> = const { RefCell::new(None) };
    /// The text that the callback which runs on this thread gave; the outer is `None` outside of callbacks.
    static GIVEN: RefCell<Option<Option<String>>> = const { RefCell::new(None) };
    /// How many guarded bodies this thread is in: there a panic prints nothing.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Runs the body of an exported function that can end in an outcome other than OK.
pub(super) fn guard_outcome(body: impl FnOnce() -> Result<potluck_status_t>) -> potluck_status_t {
    match caught(body) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => set_last(error),
        Err(panic) => set_panicked(panic),
    }
}

/// Runs the body of an exported function.
pub(super) fn guard(body: impl FnOnce() -> Result<()>) -> potluck_status_t {
    guard_outcome(|| body().map(|()| POTLUCK_OK))
}

/// Runs the body of an exported function that gives something else than a status.
pub(super) fn guard_value<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    caught(body).unwrap_or_else(|panic| {
        drop_user_data(panic);
        otherwise
    })
}

/// Catches a panic; nothing is printed.
fn caught<T>(body: impl FnOnce() -> T) -> std::thread::Result<T> {
    be_silent();
    // A thread that is being torn down has no depth to count any more; then a panic prints, and is caught all the same.
    let _ = DEPTH.try_with(|depth| depth.set(depth.get().wrapping_add(1)));
    let result = catch_unwind(AssertUnwindSafe(|| {
        panics::at_boundary();
        body()
    }));
    let _ = DEPTH.try_with(|depth| depth.set(depth.get().wrapping_sub(1)));
    result
}

#[cold]
fn set_panicked(panic: Box<dyn Any + Send>) -> potluck_status_t {
    let text = panic_text(&*panic);
    drop_user_data(panic);
    set_last(Error::Panic(text))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a text".to_owned(),
    }
}

/// Puts a hook before the one there is, once, that keeps panics inside guarded bodies from being printed.
#[inline]
fn be_silent() {
    // Nobody waits until it is in place: a child that was forked in between would wait for ever.
    static IS_HOOKED: AtomicBool = AtomicBool::new(false);
    if !IS_HOOKED.load(Ordering::Relaxed) && !IS_HOOKED.swap(true, Ordering::Relaxed) {
        hook();
    }
}

#[cold]
#[cfg(not(feature = "c-library"))]
fn hook() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !is_in_body() {
            before(info);
        }
    }));
}

#[cold]
#[cfg(feature = "c-library")]
fn hook() {
    super::faults::set_hook();
}

/// Whether this thread is in a guarded body.
pub(super) fn is_in_body() -> bool {
    DEPTH.try_with(Cell::get).unwrap_or(0) > 0
}

/// By value, so that it is dropped here, and not once in each function.
#[cold]
fn set_last(error: Error) -> potluck_status_t {
    let status = status_of(&error);
    let (number, number2) = match error {
        Error::VersionConflict { current } => (current, 0),
        Error::TooLarge { limit, size, .. } => (limit, size),
        _ => (0, 0),
    };
    let last = LastError { status, text: c_text(&error.to_string()), number, number2 };
    let _ = LAST.try_with(|place| place.replace(Some(last)));
    status
}

/// A text for C: without the NULs that C would end it at.
pub(super) fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}

/// The last error's text, valid until the next failing call on this thread.
pub(super) fn last_text() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ref().map_or(c"".as_ptr(), |last| last.text.as_ptr())).unwrap_or(c"".as_ptr())
}

/// The last error in full: status, numbers and the pointer of `last_text`.
pub(super) fn last_detail() -> (potluck_status_t, u64, u64, *const c_char) {
    LAST.try_with(|last| {
        let last = last.borrow();
        last.as_ref().map(|last| (last.status, last.number, last.number2, last.text.as_ptr()))
    })
    .ok()
    .flatten()
    .unwrap_or((POTLUCK_OK, 0, 0, c"".as_ptr()))
}

/// Gives the text of a refusal or failure; only inside a callback.
pub(super) fn give_text(text: String) -> Result<()> {
    let is_given =
        GIVEN.try_with(|given| given.borrow_mut().as_mut().map(|given| *given = Some(text))).ok().flatten().is_some();
    if is_given {
        return Ok(());
    }
    Err(Error::InvalidArgument(
        "potluck_set_error gives the text of a callback, and none runs on this thread".to_owned(),
    ))
}

/// Runs a callback: its calls leave the thread's last error and an outer callback's text as they were. Gives its own text.
pub(super) fn around_callback<T>(run: impl FnOnce() -> T) -> (T, Option<String>) {
    let around = Around::begin();
    let result = run();
    (result, around.end())
}

/// What a callback interrupts: the thread's last error, and the text of an outer callback.
struct Around {
    last: Option<LastError>,
    outer: Option<Option<String>>,
}

impl Around {
    // Neither is inlined: once for all kinds of callbacks.
    #[inline(never)]
    fn begin() -> Around {
        let last = LAST.try_with(|last| last.borrow_mut().take()).ok().flatten();
        let outer = GIVEN.try_with(|given| given.replace(Some(None))).ok().flatten();
        Around { last, outer }
    }

    /// Gives the callback's own text.
    #[inline(never)]
    fn end(self) -> Option<String> {
        let given = GIVEN.try_with(|given| given.replace(self.outer)).ok().flatten().flatten();
        let _ = LAST.try_with(|place| place.replace(self.last));
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::status::{POTLUCK_E_INVALID_ARGUMENT, POTLUCK_E_PANIC, POTLUCK_E_TIMED_OUT};

    #[test]
    fn a_panic_is_a_status_with_its_text() {
        assert_eq!(guard(|| panic!("broken: {}", 7)), POTLUCK_E_PANIC);
        let (status, _, _, text) = last_detail();
        // SAFETY: the text is the thread's last error, which nothing has replaced.
        let text = unsafe { std::ffi::CStr::from_ptr(text) };
        assert_eq!((status, text.to_str()), (POTLUCK_E_PANIC, Ok("panic: broken: 7")));
        assert_eq!(guard(|| Ok(())), POTLUCK_OK);
        assert_eq!(last_detail().0, POTLUCK_E_PANIC, "a call that succeeds leaves the last error");
        assert_eq!(guard_value(7, || panic!("again")), 7);
    }

    #[test]
    fn calls_inside_a_callback_leave_the_interrupted_call_alone() {
        guard(|| Err(Error::TimedOut));
        let ((), text) = around_callback(|| {
            assert_eq!(guard(|| Err(Error::Canceled)), 45);
            assert_eq!(give_text("no soup".to_owned()), Ok(()));
        });
        assert_eq!(text.as_deref(), Some("no soup"));
        assert_eq!(last_detail().0, POTLUCK_E_TIMED_OUT);
        assert_eq!(guard(|| give_text("nowhere".to_owned())), POTLUCK_E_INVALID_ARGUMENT);
    }
}
