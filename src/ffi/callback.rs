//! Callbacks: C functions with their user data, called in one place.
//!
//! A host may kill a thread inside its callback (CPython before 3.14 does so at exit, with a forced unwind). Letting that unwind
//! run on through the library's frames would abort the process, so a guard parks the thread for ever instead: it holds no
//! lock of ours there, and its peer stays `STILL_RUNNING`. A release function runs on any thread, the host's own, too: killed there,
//! that thread is parked inside the host's call.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::guard::{around_callback, c_text};
use super::handle::{Held, Reserved, Table};
use super::message::{self, MESSAGES, potluck_message_t};
use super::peer::{potluck_peer_options_t, potluck_peer_t};
use super::resource::{self, RESOURCES, potluck_resource_t};
use super::status::{
    NAMES, POTLUCK_E_REFUSED, POTLUCK_E_UNKNOWN_MESSAGE, POTLUCK_OK, POTLUCK_PENDING, potluck_status_t,
};
use crate::{HandlerError, HandlerResult, Peer, PeerOptions, cancel};

/// Gets every message to the peer, on its thread. `message` is borrowed until it returns, except with POTLUCK_PENDING.
///
/// Returns POTLUCK_OK: handled (an ask without a reply gets POTLUCK_E_NO_REPLY); POTLUCK_PENDING: kept, `message` is now owned, to be
/// answered and released later; POTLUCK_E_UNKNOWN_MESSAGE: unknown; anything else: failed, with the text given to
/// `potluck_set_error`. Must not throw or longjmp.
pub type potluck_on_message_fn = Option<
    unsafe extern "C-unwind" fn(
        peer: potluck_peer_t,
        message: potluck_message_t,
        user_data: *mut c_void,
    ) -> potluck_status_t,
>;

/// Is asked before the peer `from` gets the resource `name` by request, fetch or exchange, held or not (a fetch only comes to those that
/// hold it); on the peer's thread. It may share the resource on the spot. The strings are borrowed until it returns.
///
/// Returns POTLUCK_OK: go on; POTLUCK_E_REFUSED: refused; anything else: failed. The text of either is the one given to
/// `potluck_set_error`. Must not throw or longjmp.
pub type potluck_on_request_fn = Option<
    unsafe extern "C-unwind" fn(
        peer: potluck_peer_t,
        from: *const c_char,
        name: *const c_char,
        user_data: *mut c_void,
    ) -> potluck_status_t,
>;

/// Is asked before the peer `from` puts `offered` on the peer's shelf by offer or exchange; on the peer's thread. `from` and
/// `offered` are borrowed until it returns. Returns as `potluck_on_request_fn` does. Must not throw or longjmp.
pub type potluck_on_offer_fn = Option<
    unsafe extern "C-unwind" fn(
        peer: potluck_peer_t,
        from: *const c_char,
        offered: potluck_resource_t,
        user_data: *mut c_void,
    ) -> potluck_status_t,
>;

/// Is told of each resource that the peer `from` has put on the peer's shelf by offer or exchange, in that order; on the peer's
/// thread. `from` and `received` are borrowed until it returns. It has failed if it called `potluck_set_error`. Must not throw
/// or longjmp.
pub type potluck_on_received_fn = Option<
    unsafe extern "C-unwind" fn(
        peer: potluck_peer_t,
        from: *const c_char,
        received: potluck_resource_t,
        user_data: *mut c_void,
    ),
>;

/// Runs last of all when the peer closes, on its thread. It has failed if it called `potluck_set_error`. Must not throw or
/// longjmp.
pub type potluck_on_stop_fn = Option<unsafe extern "C-unwind" fn(peer: potluck_peer_t, user_data: *mut c_void)>;

/// Frees the user data of a peer's callbacks: exactly once, after the last of them, on the peer's thread; when spawning
/// fails, on the spawning one. Must not throw or longjmp.
pub type potluck_drop_fn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void)>;

/// Releases a buffer that was given to `potluck_peer_share_owned`: exactly once, when the last reference to it is gone, with what was
/// given there. It runs on whichever thread drops that reference: inside a call of the host, also inside the one that gave the buffer,
/// or on a thread of the library. No lock is held, and every function may be called, but the thread has other work to do: it must not
/// block. Must not throw or longjmp.
pub type potluck_release_fn =
    Option<unsafe extern "C-unwind" fn(data: *const u8, data_len: usize, user_data: *mut c_void)>;

/// The user data of one peer's callbacks, owned from the entry of spawn on.
pub(super) struct UserData {
    data: *mut c_void,
    drop: potluck_drop_fn,
}

// SAFETY: the C contract is that the user data may be used on the peer's thread, one callback at a time, and dropped on any.
unsafe impl Send for UserData {}
// SAFETY: as above; nothing here reads through the pointer.
unsafe impl Sync for UserData {}

impl UserData {
    pub(super) fn new(data: *mut c_void, drop: potluck_drop_fn) -> UserData {
        UserData { data, drop }
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            // SAFETY: the caller of spawn promises that it may be called once with this data, on any thread.
            cancel::put_off(|| foreign(|| unsafe { drop(self.data) }));
        }
    }
}

/// A buffer of the host's, owned from the entry of `potluck_peer_share_owned` on.
pub(super) struct Adopted {
    data: *const u8,
    data_len: usize,
    release: unsafe extern "C-unwind" fn(data: *const u8, data_len: usize, user_data: *mut c_void),
    user_data: *mut c_void,
}

// SAFETY: the C contract is that the buffer stays as it is until the release, which may come on any thread.
unsafe impl Send for Adopted {}

impl Adopted {
    /// `None`: without a release function there is nothing to own.
    pub(super) fn new(
        data: *const c_void,
        data_len: usize,
        release: potluck_release_fn,
        user_data: *mut c_void,
    ) -> Option<Adopted> {
        release.map(|release| Adopted { data: data.cast::<u8>(), data_len, release, user_data })
    }
}

impl AsRef<[u8]> for Adopted {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `input::check_body` has checked the two, and the caller of share_owned promises that they are readable, and
        // stay as they are, until the release.
        if self.data.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(self.data, self.data_len) } }
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        // SAFETY: the caller of share_owned promises that it may be called once with this, on any thread.
        cancel::put_off(|| foreign(|| unsafe { (self.release)(self.data, self.data_len, self.user_data) }));
    }
}

/// Calls into the host. Parks this thread for ever if the host unwinds out of it.
fn foreign<T>(call: impl FnOnce() -> T) -> (T, Option<String>) {
    struct ParkForEver;
    impl Drop for ParkForEver {
        fn drop(&mut self) {
            loop {
                std::thread::park();
            }
        }
    }
    around_callback(|| {
        let unwound = ParkForEver;
        let result = call();
        std::mem::forget(unwound);
        result
    })
}

/// The callbacks of one peer: its id, and its user data.
struct Callbacks {
    id: Arc<Reserved<Peer>>,
    user_data: UserData,
}

impl Callbacks {
    /// The peer as the callback's first argument. The first callback may come before spawn has returned.
    fn peer(&self, peer: &Peer) -> potluck_peer_t {
        self.id.fill(|| peer.clone());
        potluck_peer_t { id: self.id.id() }
    }
}

/// An id that is the callback's until it returns.
struct Borrowed<T: Held> {
    table: &'static Table<T>,
    id: u64,
}

impl<T: Held> Borrowed<T> {
    fn new(table: &'static Table<T>, value: T) -> Result<Borrowed<T>, HandlerError> {
        Ok(Borrowed { table, id: table.insert(value)? })
    }

    /// The callback owns it from now on.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl<T: Held> Drop for Borrowed<T> {
    fn drop(&mut self) {
        // A callback that released what it had borrowed has only harmed itself: its id is stale, here as there.
        drop(self.table.remove(self.id));
    }
}

/// The handlers that call the callbacks of `options`, as the peer with this id.
pub(super) fn handlers(options: &potluck_peer_options_t, user_data: UserData, id: Arc<Reserved<Peer>>) -> PeerOptions {
    let callbacks = Arc::new(Callbacks { id, user_data });
    let mut handlers = PeerOptions::new();
    if let Some(function) = options.on_message {
        let callbacks = Arc::clone(&callbacks);
        handlers = handlers.on_message(move |peer, kept| {
            let message = Borrowed::new(&MESSAGES, message::entry(kept.keep()))?;
            let (peer, id) = (callbacks.peer(peer), potluck_message_t { id: message.id });
            // SAFETY: the caller of spawn promises that the function may be called so, on the peer's thread.
            let (status, text) = foreign(|| unsafe { function(peer, id, callbacks.user_data.data) });
            match status {
                POTLUCK_PENDING => message.keep(),
                POTLUCK_OK => {}
                POTLUCK_E_UNKNOWN_MESSAGE => return Err(HandlerError::UnknownMessage),
                _ => return Err(HandlerError::Failed(text_of(status, text))),
            }
            Ok(())
        });
    }
    if let Some(function) = options.on_request {
        let callbacks = Arc::clone(&callbacks);
        handlers = handlers.on_request(move |peer, from, name| {
            let (peer, from, name) = (callbacks.peer(peer), c_text(from), c_text(name));
            let data = callbacks.user_data.data;
            // SAFETY: the caller of spawn promises that the function may be called so, on the peer's thread.
            vote(foreign(|| unsafe { function(peer, from.as_ptr(), name.as_ptr(), data) }))
        });
    }
    if let Some(function) = options.on_offer {
        let callbacks = Arc::clone(&callbacks);
        handlers = handlers.on_offer(move |peer, from, offered| {
            let offered = Borrowed::new(&RESOURCES, resource::entry(offered.clone()))?;
            let (peer, from, id) = (callbacks.peer(peer), c_text(from), potluck_resource_t { id: offered.id });
            let data = callbacks.user_data.data;
            // SAFETY: the caller of spawn promises that the function may be called so, on the peer's thread.
            vote(foreign(|| unsafe { function(peer, from.as_ptr(), id, data) }))
        });
    }
    if let Some(function) = options.on_received {
        let callbacks = Arc::clone(&callbacks);
        handlers = handlers.on_received(move |peer, from, received| {
            // Without an id left there is nothing to tell with; the table says so to everybody who asks for one.
            let Ok(received) = Borrowed::new(&RESOURCES, resource::entry(received.clone())) else {
                return;
            };
            let (peer, from, id) = (callbacks.peer(peer), c_text(from), potluck_resource_t { id: received.id });
            let data = callbacks.user_data.data;
            // SAFETY: the caller of spawn promises that the function may be called so, on the peer's thread.
            fail_if_told(foreign(|| unsafe { function(peer, from.as_ptr(), id, data) }));
        });
    }
    let on_stop = options.on_stop;
    let is_had = Arc::strong_count(&callbacks) > 1;
    if on_stop.is_none() && (is_had || callbacks.user_data.drop.is_none()) {
        // The other handlers have the user data, until the last of them has run; or nobody has to.
        return handlers;
    }
    // With or without a callback: it has the user data where no other handler does.
    handlers.on_stop(move |peer| {
        let peer = callbacks.peer(peer);
        if let Some(function) = on_stop {
            // SAFETY: the caller of spawn promises that the function may be called so, on the peer's thread.
            fail_if_told(foreign(|| unsafe { function(peer, callbacks.user_data.data) }));
        }
    })
}

/// A callback that returns nothing has failed if it gave a text: the peer's thread takes this for a panic of the handler.
fn fail_if_told(((), text): ((), Option<String>)) {
    if let Some(text) = text {
        // Not a panic, which the hook would print.
        std::panic::resume_unwind(Box::new(text));
    }
}

fn vote((status, text): (potluck_status_t, Option<String>)) -> HandlerResult {
    match status {
        POTLUCK_OK => Ok(()),
        POTLUCK_E_REFUSED => Err(HandlerError::Refused(text_of(status, text))),
        _ => Err(HandlerError::Failed(text_of(status, text))),
    }
}

/// The text that the callback gave, else what its status is called.
fn text_of(status: potluck_status_t, text: Option<String>) -> String {
    let called = || match NAMES.iter().find(|(named, _)| *named == status) {
        Some((_, name)) => name.to_string_lossy().into_owned(),
        None => format!("the callback returned {status}"),
    };
    text.unwrap_or_else(called)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::input;
    use super::*;

    /// Counts: `user_data` is an AtomicUsize.
    unsafe extern "C-unwind" fn count(_: *const u8, data_len: usize, user_data: *mut c_void) {
        // SAFETY: each test gives a counter that outlives the buffer.
        unsafe { &*user_data.cast::<AtomicUsize>() }.fetch_add(data_len, Ordering::Relaxed);
    }

    #[test]
    fn an_adopted_buffer_is_released_once_when_the_last_reference_is_gone() {
        let (bytes, released) = (*b"tomato", AtomicUsize::new(0));
        let user_data = std::ptr::from_ref(&released).cast_mut().cast::<c_void>();
        let adopted = |len| Adopted::new(bytes.as_ptr().cast(), len, Some(count), user_data);
        // SAFETY: the bytes outlive what is made of them.
        let body = unsafe { input::adopt(bytes.as_ptr().cast(), bytes.len(), adopted(bytes.len())) }.unwrap();
        let other = body.clone();
        assert_eq!((&other[..], other.as_ptr()), (&bytes[..], bytes.as_ptr()));
        drop(body);
        assert_eq!(released.load(Ordering::Relaxed), 0);
        drop(other);
        assert_eq!(released.load(Ordering::Relaxed), 6);
        // SAFETY: nothing is read of a length that cannot be.
        let refused = unsafe { input::adopt(bytes.as_ptr().cast(), usize::MAX, adopted(1)) };
        assert!(refused.is_err());
        assert_eq!(released.load(Ordering::Relaxed), 7, "also when it is not taken");
        let nothing = Adopted::new(std::ptr::null(), 0, Some(count), user_data);
        // SAFETY: there are no bytes.
        assert_eq!(unsafe { input::adopt(std::ptr::null(), 0, nothing) }.unwrap().len(), 0);
    }

    #[test]
    fn without_a_release_function_a_buffer_lives_for_ever() {
        static SOUP: &[u8] = b"tomato";
        let adopted = Adopted::new(SOUP.as_ptr().cast(), SOUP.len(), None, std::ptr::null_mut());
        assert!(adopted.is_none());
        // SAFETY: it is a constant.
        let body = unsafe { input::adopt(SOUP.as_ptr().cast(), SOUP.len(), adopted) }.unwrap();
        assert_eq!((&body[..], body.as_ptr()), (SOUP, SOUP.as_ptr()));
    }
}
