//! Peers: what they are spawned with, and their calls.

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;
use std::time::Duration;

use super::callback::{
    self, Adopted, UserData, potluck_drop_fn, potluck_on_message_fn, potluck_on_offer_fn, potluck_on_received_fn,
    potluck_on_request_fn, potluck_on_stop_fn, potluck_release_fn,
};
use super::guard::{guard, guard_outcome};
use super::handle::{Held, Kind, Ref, Table};
use super::input::{self, CStruct};
use super::list::{self, potluck_list_t};
use super::message::{self, MESSAGES, potluck_message_t};
use super::output;
use super::resource::{self, potluck_resource_t};
use super::status::{POTLUCK_DEFERRED, POTLUCK_NOT_NEWER, POTLUCK_OK, POTLUCK_STILL_RUNNING, potluck_status_t};
use super::system::{self, potluck_system_t};
use crate::{Ended, Error, Peer, PeerOptions, Result};

/// A peer: a name. Copies are free; `potluck_peer_close` ends it for all, then it answers POTLUCK_E_CLOSED. May be used from several
/// threads and from every callback.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct potluck_peer_t {
    /// 0 is none.
    pub id: u64,
}

/// Callbacks and limits of a peer. All 0 but the size: no callback, the system's limits.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct potluck_peer_options_t {
    /// sizeof(potluck_peer_options_t).
    pub struct_size: usize,
    /// Gets every message; NULL: they wait for `potluck_peer_receive`.
    pub on_message: potluck_on_message_fn,
    /// Is asked before a resource is given; NULL: all are.
    pub on_request: potluck_on_request_fn,
    /// Is asked before a resource is taken; NULL: all are.
    pub on_offer: potluck_on_offer_fn,
    /// Is told of resources that others have put on the shelf.
    pub on_received: potluck_on_received_fn,
    /// Runs last of all.
    pub on_stop: potluck_on_stop_fn,
    /// The last argument of all five.
    pub user_data: *mut c_void,
    /// Called once with user_data after the last of them, also when the spawn fails; NULL: nothing to free.
    pub drop: potluck_drop_fn,
    /// The most messages in the mailbox; 0: the system's.
    pub mailbox_messages_max: u64,
    /// The most bytes of messages in the mailbox; 0: the system's.
    pub mailbox_bytes_max: u64,
    /// The most bytes on the shelf; 0: the system's.
    pub shelf_bytes_max: u64,
}

// SAFETY: a plain C struct of integers, pointers and optional functions with `struct_size` first.
unsafe impl CStruct for potluck_peer_options_t {}

pub(super) static PEERS: Table<Peer> = Table::new(Kind::Peer);

impl Held for Peer {}

impl Table<Peer> {
    /// False, and the id is over, if its peer has ended by itself.
    pub(super) fn end_if_closed(&'static self, id: u64) -> bool {
        match self.find(id) {
            // Then this close only joins the thread, which is about to be gone.
            Some(peer) if peer.has_ended() && peer.close(Duration::ZERO) == Ok(Ended::Yes) => {
                drop(self.remove(id));
                false
            }
            Some(_) => true,
            None => false,
        }
    }
}

#[inline(always)]
pub(super) fn find(peer: potluck_peer_t) -> Result<Ref<Peer>> {
    PEERS.get_named(peer.id)
}

fn limits(options: &potluck_peer_options_t, made: PeerOptions) -> PeerOptions {
    input::set_limits(
        made,
        &[
            (options.mailbox_messages_max, PeerOptions::mailbox_messages_max),
            (options.mailbox_bytes_max, PeerOptions::mailbox_bytes_max),
            (options.shelf_bytes_max, PeerOptions::shelf_bytes_max),
        ],
    )
}

/// Spawns a peer: a thread, a mailbox and an empty shelf. Returns once the thread is made: does not block. With `out_peer` NULL only the
/// end of the system, or its own callbacks, can close it.
///
/// `options` NULL: no callbacks. From the entry of this call on, {callbacks, user_data, drop} are the library's, also when it fails:
/// `drop` runs exactly once. (If `options` itself is unusable, or `struct_size` does not reach to `drop`, it is not known.)
///
/// OK, INVALID_NAME, NAME_TAKEN, INVALID_ARGUMENT, UNSUPPORTED, LIMIT_REACHED (peers_max, threads, ids), CLOSED,
/// INVALID_HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_peer_spawn(
    system: potluck_system_t,
    name: *const c_char,
    options: *const potluck_peer_options_t,
    out_peer: *mut potluck_peer_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_peer, potluck_peer_t::default()) };
        // SAFETY: the caller promises that it is NULL or as large as its struct_size says.
        let options = unsafe { input::options("options", options) }?;
        // Owned from here on, whatever fails.
        let user_data = UserData::new(options.user_data, options.drop);
        let entry = system::find(system)?;
        // SAFETY: the caller promises that it is NULL or NUL-terminated for the length of this call.
        let name = unsafe { input::name("name", name) }?;
        let reserved = Arc::new(PEERS.reserve()?);
        let handlers = limits(&options, callback::handlers(&options, user_data, Arc::clone(&reserved)));
        let spawned = entry.system.spawn_with(name, handlers)?;
        reserved.fill(|| spawned);
        let id = reserved.id();
        entry.add(id);
        if system::find(system).is_err() {
            // A shutdown has come to its end meanwhile, and has not seen this id.
            entry.end_ids();
        }
        // SAFETY: as above.
        unsafe { output::set(out_peer, potluck_peer_t { id }) };
        Ok(())
    })
}

/// Closes a peer: a barrier. Lets no new work in; the running callback finishes, its waiting calls end with CLOSED; what is queued is
/// answered PEER_CLOSED or becomes a dead letter; on_stop and then drop run last; waits up to `timeout_ms` for that and for the
/// thread. Closing again, also at the same time, waits for the same end.
///
/// OK: no callback runs or will run, user_data has been dropped, the name is free. DEFERRED: called from the peer's own callback; it
/// happens when that returns. STILL_RUNNING: the deadline passed, the end goes on, call again to wait on. CLOSED (in a callback whose
/// own peer is closed meanwhile), LIMIT_REACHED (lazy_threads, for on_stop; it is as open as before), INVALID_HANDLE, INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub extern "C" fn potluck_peer_close(peer: potluck_peer_t, timeout_ms: i64) -> potluck_status_t {
    guard_outcome(|| {
        let timeout = input::timeout(timeout_ms)?;
        let Some(live) = PEERS.find(peer.id) else {
            return PEERS.check_over(peer.id).map(|()| POTLUCK_OK);
        };
        match live.close(timeout)? {
            Ended::Yes => {
                drop(PEERS.remove(peer.id));
                Ok(POTLUCK_OK)
            }
            Ended::Deferred => Ok(POTLUCK_DEFERRED),
            Ended::StillRunning => Ok(POTLUCK_STILL_RUNNING),
        }
    })
}

/// Puts a new version of a resource on the peer's shelf, at once. The bytes are copied. Does not block. (Here as wherever a last reference
/// goes, the release function of what is replaced may run.)
///
/// `*out_version` is 1 for a name that the peer never held, else one above the highest that it ever held under it.
///
/// OK, INVALID_NAME, INVALID_ARGUMENT, TOO_LARGE, LIMIT_REACHED (memory), CLOSED, INVALID_HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_peer_share(
    peer: potluck_peer_t,
    name: *const c_char,
    data: *const c_void,
    data_len: usize,
    out_version: *mut u64,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_version, 0) };
        let peer = find(peer)?;
        // SAFETY: the caller promises that it is NULL or NUL-terminated for the length of this call.
        let name = unsafe { input::name("name", name) }?;
        // SAFETY: the caller promises `data_len` readable bytes at `data` for the length of this call.
        let shared = peer.share(name, unsafe { input::body(data, data_len) }?)?;
        // SAFETY: as above.
        unsafe { output::set(out_version, shared.version()) };
        Ok(())
    })
}

/// As `potluck_peer_share`, but only if exactly the resource `expected` is held under the name now, or nothing if its id is 0.
/// Looking and putting are one step, so that of several writers none overwrites what it has not seen. The same is held
/// if origin, name and version are the same; a peer spawned again under an old name is another origin. `expected` stays the
/// caller's. Does not block.
///
/// OK; VERSION_CONFLICT: something else is held, or nothing, and nothing has changed; `potluck_last_error_detail` gives its version
/// as number, 0 for nothing. INVALID_HANDLE (also of `expected`), INVALID_ARGUMENT (also if `expected` has another name), and those
/// of `potluck_peer_share`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_peer_share_if(
    peer: potluck_peer_t,
    name: *const c_char,
    data: *const c_void,
    data_len: usize,
    expected: potluck_resource_t,
    out_version: *mut u64,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_version, 0) };
        let (peer, expected) = (find(peer)?, resource::find(expected)?);
        // SAFETY: the caller promises that it is NULL or NUL-terminated for the length of this call.
        let name = unsafe { input::name("name", name) }?;
        // SAFETY: the caller promises `data_len` readable bytes at `data` for the length of this call.
        let shared = peer.share_if(name, unsafe { input::body(data, data_len) }?, expected.as_ref())?;
        // SAFETY: as above.
        unsafe { output::set(out_version, shared.version()) };
        Ok(())
    })
}

/// As `potluck_peer_share`, without a copy: everybody who gets the resource reads these very bytes, so they must stay as they are. From the
/// entry of this call on they are the library's, also when it fails: `release` runs exactly once, with what is given here, when the
/// last resource id, shelf and queue has let them go; after a failure before this call returns. With `release` NULL nobody is told,
/// and they must stay for ever: constants, or a mapping that is never taken down. Does not block.
///
/// OK, INVALID_NAME, INVALID_ARGUMENT (name NULL; data NULL with a length; a length beyond what memory can hold), TOO_LARGE, CLOSED,
/// INVALID_HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_peer_share_owned(
    peer: potluck_peer_t,
    name: *const c_char,
    data: *const c_void,
    data_len: usize,
    release: potluck_release_fn,
    user_data: *mut c_void,
    out_version: *mut u64,
) -> potluck_status_t {
    guard(|| {
        // Owned from here on, whatever fails.
        let adopted = Adopted::new(data, data_len, release, user_data);
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_version, 0) };
        // SAFETY: the caller promises that the bytes are readable, and stay as they are, until the release.
        let body = unsafe { input::adopt(data, data_len, adopted) }?;
        let peer = find(peer)?;
        // SAFETY: the caller promises that it is NULL or NUL-terminated for the length of this call.
        let shared = peer.share(unsafe { input::name("name", name) }?, body)?;
        // SAFETY: as above.
        unsafe { output::set(out_version, shared.version()) };
        Ok(())
    })
}

/// Takes a resource off the peer's shelf; copies that others hold stay. Does not block.
///
/// OK, NO_SUCH_RESOURCE, INVALID_NAME, INVALID_ARGUMENT, CLOSED, INVALID_HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_peer_unshare(peer: potluck_peer_t, name: *const c_char) -> potluck_status_t {
    guard(|| {
        let peer = find(peer)?;
        // SAFETY: the caller promises that it is NULL or NUL-terminated for the length of this call.
        peer.unshare(unsafe { input::name("name", name) }?)
    })
}

/// What the peer itself holds under a name. Does not block. Release `*out_resource`.
///
/// OK, NO_SUCH_RESOURCE, INVALID_NAME, INVALID_ARGUMENT, CLOSED, INVALID_HANDLE, LIMIT_REACHED (ids).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_peer_get(
    peer: potluck_peer_t,
    name: *const c_char,
    out_resource: *mut potluck_resource_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_resource, potluck_resource_t::default()) };
        let peer = find(peer)?;
        // SAFETY: the caller promises that it is NULL or NUL-terminated for the length of this call.
        let held = peer.get(unsafe { input::name("name", name) }?)?;
        // SAFETY: as above.
        unsafe { resource::give(held, out_resource) }
    })
}

/// All that the peer holds, sorted by name. Item: name, from (the origin), version, size. Does not block. Release `*out_list`.
///
/// OK, CLOSED, INVALID_HANDLE, LIMIT_REACHED (ids).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_peer_resources(
    peer: potluck_peer_t,
    out_list: *mut potluck_list_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_list, potluck_list_t::default()) };
        // SAFETY: as above.
        unsafe { list::give(find(peer)?.resources()?, out_list) }
    })
}

/// Gets what the peer `from` holds now, and in the same step puts it on the peer's own shelf. No byte is copied. If `from` has no
/// on_request it is done on the calling thread at once, after the peer's own earlier tells to `from` are handled (to a peer
/// without on_message a tell counts as handled when it is accepted); otherwise by its callback. Waits up to `timeout_ms` for either.
/// From a peer of another node the bytes come over the network, within that time, which 0 is not enough for; PROGRESS events say how
/// far a large one has come.
/// Release `*out_resource`.
///
/// OK, NO_SUCH_PEER, NO_SUCH_RESOURCE, PEER_CLOSED, REFUSED, HANDLER_FAILED, TOO_LARGE (the peer's shelf has no room), DEADLOCK,
/// TIMED_OUT, INVALID_NAME, INVALID_ARGUMENT, CLOSED, INVALID_HANDLE, and in a mesh AMBIGUOUS (peers of several other nodes are called so:
/// say which by name@node), UNREACHABLE (its node has not answered by the deadline), DENIED: nothing has changed. LIMIT_REACHED: no thread for the callback of
/// `from` (lazy_threads), and nothing has changed; or no id, then it is on the shelf, and `potluck_peer_get` gives it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_peer_request(
    peer: potluck_peer_t,
    from: *const c_char,
    name: *const c_char,
    timeout_ms: i64,
    out_resource: *mut potluck_resource_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_resource, potluck_resource_t::default()) };
        let peer = find(peer)?;
        // SAFETY: the caller promises that both are NULL or NUL-terminated for the length of this call.
        let (from, name) = unsafe { (input::name("from", from)?, input::name("name", name)?) };
        let got = peer.request(from, name, input::timeout(timeout_ms)?)?;
        // SAFETY: as above.
        unsafe { resource::give_here(got, out_resource) }
    })
}

/// As `potluck_peer_request`, but NOT_NEWER with `*out_resource` 0 if `from` holds the resource `than`, or an older version of the same
/// origin: nothing is handed over, no shelf has changed, and no event says anything. Whether the peer still holds `than` is
/// not looked at. A version of another origin counts as newer, whatever its number; a peer spawned again under an old name is
/// another origin. An on_request of `from` is asked all the same. `than` stays the caller's; with its id 0 this is
/// `potluck_peer_request`. Waits as that does, up to `timeout_ms`. Release `*out_resource`.
///
/// OK, NOT_NEWER, INVALID_HANDLE (also of `than`), INVALID_ARGUMENT (also if `than` has another name), and those of
/// `potluck_peer_request`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_peer_request_newer(
    peer: potluck_peer_t,
    from: *const c_char,
    name: *const c_char,
    than: potluck_resource_t,
    timeout_ms: i64,
    out_resource: *mut potluck_resource_t,
) -> potluck_status_t {
    guard_outcome(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_resource, potluck_resource_t::default()) };
        let (peer, than) = (find(peer)?, resource::find(than)?);
        // SAFETY: the caller promises that both are NULL or NUL-terminated for the length of this call.
        let (from, name) = unsafe { (input::name("from", from)?, input::name("name", name)?) };
        let timeout = input::timeout(timeout_ms)?;
        let got = match than {
            Some(than) => peer.request_newer(from, name, &than, timeout)?,
            None => Some(peer.request(from, name, timeout)?),
        };
        let Some(newer) = got else { return Ok(POTLUCK_NOT_NEWER) };
        // SAFETY: as above.
        unsafe { resource::give(newer, out_resource) }?;
        Ok(POTLUCK_OK)
    })
}

/// Gets a resource from any other peer that holds it, chosen at random; from the next if that one is closed, refuses, fails or would
/// close a ring. Otherwise as `potluck_peer_request`, and waits as that does, up to `timeout_ms` in all. Release `*out_resource`.
///
/// OK, NO_SUCH_RESOURCE (nobody else holds it), else as `potluck_peer_request` from the last holder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_peer_fetch(
    peer: potluck_peer_t,
    name: *const c_char,
    timeout_ms: i64,
    out_resource: *mut potluck_resource_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_resource, potluck_resource_t::default()) };
        let peer = find(peer)?;
        // SAFETY: the caller promises that it is NULL or NUL-terminated for the length of this call.
        let name = unsafe { input::name("name", name) }?;
        let got = peer.fetch(name, input::timeout(timeout_ms)?)?;
        // SAFETY: as above.
        unsafe { resource::give(got, out_resource) }
    })
}

/// Puts a reference to what the peer holds at entry on the shelf of the peer `to`; the last writer wins. Waits up to `timeout_ms` while
/// a callback of `to` runs, and for its on_offer.
///
/// OK, NO_SUCH_RESOURCE (the peer does not hold it), TOO_LARGE (the shelf of `to` has no room), OUTCOME_UNKNOWN (in a mesh: the other
/// node has not answered by the deadline, and may have done it), else as `potluck_peer_request`; in a mesh it may have been done after
/// PEER_CLOSED, too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_peer_offer(
    peer: potluck_peer_t,
    to: *const c_char,
    name: *const c_char,
    timeout_ms: i64,
) -> potluck_status_t {
    guard(|| {
        let peer = find(peer)?;
        // SAFETY: the caller promises that both are NULL or NUL-terminated for the length of this call.
        let (to, name) = unsafe { (input::name("to", to)?, input::name("name", name)?) };
        peer.offer(to, name, input::timeout(timeout_ms)?)
    })
}

/// Swaps what both peers hold under a name at that moment; gives what this one got. Both shelves change or neither; with a peer of
/// another node its shelf changes first, and this one when the answer has come. Waits up to `timeout_ms` for the callbacks of `with`. Release `*out_resource`.
///
/// OK, NO_SUCH_RESOURCE (the text says who has nothing), OUTCOME_UNKNOWN (as of `potluck_peer_offer`), else as `potluck_peer_request`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_peer_exchange(
    peer: potluck_peer_t,
    with: *const c_char,
    name: *const c_char,
    timeout_ms: i64,
    out_resource: *mut potluck_resource_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_resource, potluck_resource_t::default()) };
        let peer = find(peer)?;
        // SAFETY: the caller promises that both are NULL or NUL-terminated for the length of this call.
        let (with, name) = unsafe { (input::name("with", with)?, input::name("name", name)?) };
        let got = peer.exchange(with, name, input::timeout(timeout_ms)?)?;
        // SAFETY: as above.
        unsafe { resource::give(got, out_resource) }
    })
}

/// Sends a message to the peer `to`; returns once it is accepted, waiting up to `timeout_ms` for room in its mailbox. The bytes are copied.
///
/// OK, FULL (no room now, with timeout 0, or until the deadline), TOO_LARGE (for the whole mailbox), NO_SUCH_PEER, PEER_CLOSED,
/// DEADLOCK (in a callback that waits for room at a peer that waits for this one), INVALID_NAME, INVALID_ARGUMENT, LIMIT_REACHED
/// (memory, or threads with lazy_threads), CLOSED, INVALID_HANDLE, and in a mesh TIMED_OUT (0 is never enough for another node), AMBIGUOUS,
/// UNREACHABLE, DENIED: it was not sent. OUTCOME_UNKNOWN (in a mesh: the other node has not answered by the deadline) and, in a mesh,
/// PEER_CLOSED: it may be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_peer_tell(
    peer: potluck_peer_t,
    to: *const c_char,
    kind: *const c_char,
    data: *const c_void,
    data_len: usize,
    timeout_ms: i64,
) -> potluck_status_t {
    guard(|| {
        let peer = find(peer)?;
        // SAFETY: the caller promises that both are NULL or NUL-terminated for the length of this call.
        let (to, kind) = unsafe { (input::name("to", to)?, input::name("kind", kind)?) };
        // SAFETY: the caller promises `data_len` readable bytes at `data` for the length of this call.
        let body = unsafe { input::body(data, data_len) }?;
        peer.tell(to, kind, body, input::timeout(timeout_ms)?)
    })
}

/// Sends a message and waits up to `timeout_ms` for room and for the answer, from on_message or from `potluck_message_reply`: a
/// resource named after the kind, from the replier, of version 0. The bytes are copied. Release `*out_reply`.
///
/// OK; TIMED_OUT: its callback had not begun and now never will; OUTCOME_UNKNOWN: it had. UNKNOWN_MESSAGE, HANDLER_FAILED,
/// NO_REPLY, DEADLOCK (also in a callback of `to` itself), LIMIT_REACHED (also of ids: then there was an answer), and those of
/// `potluck_peer_tell`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_peer_ask(
    peer: potluck_peer_t,
    to: *const c_char,
    kind: *const c_char,
    data: *const c_void,
    data_len: usize,
    timeout_ms: i64,
    out_reply: *mut potluck_resource_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_reply, potluck_resource_t::default()) };
        let peer = find(peer)?;
        // SAFETY: the caller promises that both are NULL or NUL-terminated for the length of this call.
        let (to, kind) = unsafe { (input::name("to", to)?, input::name("kind", kind)?) };
        // SAFETY: the caller promises `data_len` readable bytes at `data` for the length of this call.
        let body = unsafe { input::body(data, data_len) }?;
        let answer = peer.ask(to, kind, body, input::timeout(timeout_ms)?)?;
        // SAFETY: as above.
        unsafe { resource::give(answer, out_reply) }
    })
}

/// A descriptor for poll, select or epoll, of the caller's own to close: readable whenever `potluck_peer_receive` would return at once,
/// and for good once the peer is closed. Another thread may take the message meanwhile. Only to be waited for: who reads from it takes
/// the sign away from all. Does not block. `*out_fd` is -1 after a failure.
///
/// OK, CLOSED, INVALID_ARGUMENT (the peer has an on_message), LIMIT_REACHED (descriptors), INVALID_HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_peer_fd(peer: potluck_peer_t, out_fd: *mut c_int) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_fd, -1) };
        let peer = find(peer)?;
        // SAFETY: as above.
        unsafe { output::give_descriptor(out_fd, || peer.descriptor()) }
    })
}

/// The next message to a peer without on_message, waiting for it up to `timeout_ms`. Several threads may wait; they are served in
/// order. Answer it with `potluck_message_reply` if somebody asks; release `*out_message` with `potluck_message_release`.
///
/// OK, TIMED_OUT, CLOSED, INVALID_ARGUMENT (the peer has an on_message, or out_message is NULL), INVALID_HANDLE,
/// LIMIT_REACHED (ids: with sixteen million of them in use the message is lost).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_peer_receive(
    peer: potluck_peer_t,
    timeout_ms: i64,
    out_message: *mut potluck_message_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_message, potluck_message_t::default()) };
        let peer = find(peer)?;
        let timeout = input::timeout(timeout_ms)?;
        if out_message.is_null() {
            return Err(Error::InvalidArgument("out_message is NULL: the message would be lost".to_owned()));
        }
        let received = peer.receive(timeout)?;
        let id = MESSAGES.insert(message::entry(received))?;
        // SAFETY: as above.
        unsafe { output::set(out_message, potluck_message_t { id }) };
        Ok(())
    })
}
