//! Calls that are started and waited for apart: one reference behind each id.

use std::ffi::{c_char, c_int, c_void};
use std::task::Poll;
use std::time::Duration;

use super::guard::{guard, guard_outcome};
use super::handle::{Held, Kind, Table};
use super::input::{self, CStruct};
use super::output;
use super::peer::{self, potluck_peer_t};
use super::resource::{self, potluck_resource_t};
use super::status::{POTLUCK_NOT_NEWER, POTLUCK_OK, POTLUCK_PENDING, potluck_status_t};
use crate::{Call, Error, Pending, Result};

/// A call that was started by `potluck_peer_start`: owns one reference, to be released once with `potluck_pending_release`. Outlives
/// its peer and system. May be used from several threads.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct potluck_pending_t {
    /// 0 is none.
    pub id: u64,
}

/// `potluck_peer_request`, or with `than` set `potluck_peer_request_newer`.
pub const POTLUCK_CALL_REQUEST: u32 = 1;
/// `potluck_peer_fetch`.
pub const POTLUCK_CALL_FETCH: u32 = 2;
/// `potluck_peer_offer`.
pub const POTLUCK_CALL_OFFER: u32 = 3;
/// `potluck_peer_exchange`.
pub const POTLUCK_CALL_EXCHANGE: u32 = 4;
/// `potluck_peer_tell`.
pub const POTLUCK_CALL_TELL: u32 = 5;
/// `potluck_peer_ask`.
pub const POTLUCK_CALL_ASK: u32 = 6;

/// A call with another peer, for `potluck_peer_start`. What a call has no use for must be 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct potluck_call_t {
    /// sizeof(potluck_call_t).
    pub struct_size: usize,
    /// Which one: POTLUCK_CALL_...
    pub verb: u32,
    /// 0.
    pub reserved: u32,
    /// The other peer: from, to or with. Not of FETCH.
    pub to: *const c_char,
    /// The resource; of TELL and ASK the kind of the message.
    pub name: *const c_char,
    /// The body, of TELL and ASK; NULL only with data_len 0. It is copied.
    pub data: *const u8,
    /// How many bytes.
    pub data_len: usize,
    /// Of REQUEST: id 0, or the resource that must be older.
    pub than: potluck_resource_t,
    /// The timeout of the call itself: -1 for ever.
    pub timeout_ms: i64,
}

// SAFETY: a plain C struct of integers and pointers with `struct_size` first.
unsafe impl CStruct for potluck_call_t {}

pub(super) static PENDINGS: Table<Entry> = Table::new(Kind::Pending);

impl Held for Entry {}

/// A call under way, and what it means when it ends without a resource.
pub(super) struct Entry {
    pending: Pending,
    without: potluck_status_t,
}

/// Makes a call as this peer without waiting for its end: `potluck_pending_wait` does that, as often as it takes. At its own deadline
/// it ends as the blocking call would. It has no order with others that are made before it is done. A callback may start any call, also one to its own peer, which then waits for the
/// callback's return. Does not block. Release `*out_pending`.
///
/// OK: it is done, `potluck_pending_wait` gives the result. PENDING: it goes on. INVALID_ARGUMENT (also for out_pending NULL,
/// and for a field that the call has no use for), UNSUPPORTED (of a newer header), LIMIT_REACHED (threads, ids, memory), and those of the blocking call, from
/// `potluck_peer_request` to `potluck_peer_ask`, that can be said at once: then nothing has happened and there is nothing to release.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_peer_start(
    peer: potluck_peer_t,
    call: *const potluck_call_t,
    out_pending: *mut potluck_pending_t,
) -> potluck_status_t {
    guard_outcome(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_pending, potluck_pending_t::default()) };
        let peer = peer::find(peer)?;
        if call.is_null() || out_pending.is_null() {
            let what = if call.is_null() { "call is NULL" } else { "out_pending is NULL: the call would be given up" };
            return Err(Error::InvalidArgument(what.to_owned()));
        }
        // SAFETY: the caller promises that it is as large as its struct_size says.
        let given = unsafe { input::options("call", call) }?;
        let timeout = input::timeout(given.timeout_ms)?;
        let than = resource::find(given.than)?;
        // SAFETY: the caller promises that texts are NUL-terminated, and `data_len` readable bytes, for the length of this call.
        let call = unsafe { read(&given, than.as_ref()) }?;
        let without = if than.is_some() { POTLUCK_NOT_NEWER } else { POTLUCK_OK };
        let reserved = PENDINGS.reserve()?;
        let pending = peer.start(call, timeout)?;
        let is_done = pending.wait(Duration::ZERO).is_ready();
        reserved.fill(|| Entry { pending, without });
        // SAFETY: as above.
        unsafe { output::set(out_pending, potluck_pending_t { id: reserved.id() }) };
        Ok(if is_done { POTLUCK_OK } else { POTLUCK_PENDING })
    })
}

/// The call that C has described.
///
/// # Safety
///
/// The texts are NULL or NUL-terminated, `data` is NULL or has `data_len` readable bytes, as long as the result is used.
unsafe fn read<'a>(given: &'a potluck_call_t, than: Option<&'a crate::Resource>) -> Result<Call<'a>> {
    let has_peer = given.verb != POTLUCK_CALL_FETCH;
    let has_body = matches!(given.verb, POTLUCK_CALL_TELL | POTLUCK_CALL_ASK);
    let has_data = !given.data.is_null() || given.data_len > 0;
    let unused = [
        ("to", !has_peer && !given.to.is_null()),
        ("data", !has_body && has_data),
        ("than", given.verb != POTLUCK_CALL_REQUEST && than.is_some()),
        ("reserved", given.reserved != 0),
    ];
    if !(POTLUCK_CALL_REQUEST..=POTLUCK_CALL_ASK).contains(&given.verb) {
        return Err(Error::InvalidArgument(format!("verb of call is {}, which is none", given.verb)));
    }
    if let Some((field, _)) = unused.iter().find(|(_, is_set)| *is_set) {
        return Err(Error::InvalidArgument(format!("{field} of call is set, and this verb has no use for it")));
    }
    let to = match has_peer {
        // SAFETY: as the caller of this function promises.
        true => unsafe { input::name("to", given.to) }?,
        false => "",
    };
    // SAFETY: as above.
    let name = unsafe { input::name("name", given.name) }?;
    // SAFETY: as above.
    let body = unsafe { input::body(given.data.cast::<c_void>(), given.data_len) }?;
    Ok(match (given.verb, than) {
        (POTLUCK_CALL_REQUEST, None) => Call::Request { from: to, name },
        (POTLUCK_CALL_REQUEST, Some(than)) => Call::RequestNewer { from: to, name, than },
        (POTLUCK_CALL_FETCH, _) => Call::Fetch { name },
        (POTLUCK_CALL_OFFER, _) => Call::Offer { to, name },
        (POTLUCK_CALL_EXCHANGE, _) => Call::Exchange { with: to, name },
        (POTLUCK_CALL_TELL, _) => Call::Tell { to, kind: name, body },
        _ => Call::Ask { to, kind: name, body },
    })
}

/// Waits up to `timeout_ms` for the end of a call, and gives its result. May be repeated, also when it is done: each gives the
/// resource anew. Release `*out_result`.
///
/// OK and NOT_NEWER: it is done; `*out_result` is 0 for calls that give no resource. PENDING: it goes on. CANCELED: it was released
/// meanwhile. Otherwise the error of the call, as from `potluck_peer_request` to `potluck_peer_ask`. Besides, of this wait alone while
/// the call goes on: DEADLOCK, if the call waits for a callback and so waiting for it in this one would close a ring; CLOSED, if the
/// peer whose callback waits here is closed. With timeout 0 it tells whether the call is done. INVALID_HANDLE, INVALID_ARGUMENT,
/// LIMIT_REACHED (ids).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_pending_wait(
    pending: potluck_pending_t,
    timeout_ms: i64,
    out_result: *mut potluck_resource_t,
) -> potluck_status_t {
    guard_outcome(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_result, potluck_resource_t::default()) };
        let entry = PENDINGS.get(pending.id)?;
        match entry.pending.wait(input::timeout(timeout_ms)?) {
            Poll::Pending => Ok(POTLUCK_PENDING),
            Poll::Ready(result) => match result? {
                // SAFETY: as above.
                Some(resource) => unsafe { resource::give(resource, out_result) }.map(|()| POTLUCK_OK),
                None => Ok(entry.without),
            },
        }
    })
}

/// A descriptor for poll, select or epoll, of the caller's own to close: readable once `potluck_pending_wait` would return at once, and
/// then for good. Only to be waited for. Does not block. `*out_fd` is -1 after a failure.
///
/// OK, LIMIT_REACHED (descriptors), INVALID_HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_pending_fd(pending: potluck_pending_t, out_fd: *mut c_int) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_fd, -1) };
        let entry = PENDINGS.get(pending.id)?;
        // SAFETY: as above.
        unsafe { output::give_descriptor(out_fd, || entry.pending.descriptor()) }
    })
}

/// Releases a call. If it is not done, it is given up: it has then not taken effect and never will, but the callback of an ask may have
/// begun; whoever waits for it gets CANCELED. Does not block.
///
/// OK, INVALID_HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_pending_release(pending: potluck_pending_t) -> potluck_status_t {
    guard(|| {
        // Also if somebody is waiting for it, with a reference of his own.
        PENDINGS.take(pending.id)?.pending.cancel();
        Ok(())
    })
}
