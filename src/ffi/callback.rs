//! Callbacks: C functions with their user data, called in one place.
//!
//! A host may kill a thread inside its callback (CPython before 3.14 does so at exit, with a forced unwind). Letting that unwind
//! run on through the library's frames would abort the process, so a guard parks the thread for ever instead: it holds no
//! lock of ours there, and its peer stays `STILL_RUNNING`.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::guard::{around_callback, c_text};
use super::handle::{Reserved, Table};
use super::message::{self, MESSAGES, potluck_message_t};
use super::peer::{potluck_peer_options_t, potluck_peer_t};
use super::resource::{self, RESOURCES, potluck_resource_t};
use super::status::{
    NAMES, POTLUCK_E_REFUSED, POTLUCK_E_UNKNOWN_MESSAGE, POTLUCK_OK, POTLUCK_PENDING, potluck_status_t,
};
use crate::{HandlerError, HandlerResult, Peer, PeerOptions};

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

/// Is asked before the peer `from` gets the resource `name` by request, fetch or exchange, held or not (a fetch only comes to those that hold it); on the peer's
/// thread.
/// The strings are borrowed until it returns.
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
            foreign(|| unsafe { drop(self.data) });
        }
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
    id: Arc<Reserved<'static, Peer>>,
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
struct Borrowed<T: 'static> {
    table: &'static Table<T>,
    id: u64,
}

impl<T> Borrowed<T> {
    fn new(table: &'static Table<T>, value: T) -> Result<Borrowed<T>, HandlerError> {
        Ok(Borrowed { table, id: table.insert(value)? })
    }

    /// The callback owns it from now on.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl<T> Drop for Borrowed<T> {
    fn drop(&mut self) {
        // A callback that released what it had borrowed has only harmed itself: its id is stale, here as there.
        drop(self.table.remove(self.id));
    }
}

/// The handlers that call the callbacks of `options`, as the peer with this id.
pub(super) fn handlers(
    options: &potluck_peer_options_t,
    user_data: UserData,
    id: Arc<Reserved<'static, Peer>>,
) -> PeerOptions {
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
