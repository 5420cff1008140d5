//! Event readers, and events as values.

use std::ffi::{c_char, c_int};

use super::guard::guard;
use super::handle::{Held, Kind, Table};
use super::input::{self, CStruct};
use super::library::{POTLUCK_ADDRESS_SIZE, POTLUCK_NAME_SIZE};
use super::output;
use super::status::{POTLUCK_OK, potluck_status_t, status_of};
use crate::{Error, Event, EventReader};

/// An event reader: a name. Copies are free; `potluck_events_close` ends it for all, then it answers POTLUCK_E_CLOSED. May be used
/// from several threads; each event goes to one of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct potluck_events_t {
    /// 0 is none.
    pub id: u64,
}

/// `peer` is there now, or was there when the reader began.
pub const POTLUCK_EVENT_JOINED: u32 = 1;
/// `peer` is gone.
pub const POTLUCK_EVENT_LEFT: u32 = 2;
/// `peer` gave resource `name` to `other`, who requested it.
pub const POTLUCK_EVENT_REQUESTED: u32 = 3;
/// Resource `name` came onto the shelf of `peer` from `other`'s.
pub const POTLUCK_EVENT_RECEIVED: u32 = 4;
/// `peer` does not know messages of kind `name`, sent by `other`.
pub const POTLUCK_EVENT_UNKNOWN_MESSAGE: u32 = 5;
/// A message of kind `name` from `other` to `peer` that no handler will see, for `reason`.
pub const POTLUCK_EVENT_DEAD_LETTER: u32 = 6;
/// A handler of `peer` failed on what came from `other`: `text` says how.
pub const POTLUCK_EVENT_HANDLER_FAILED: u32 = 7;
/// The reader fell behind here: it missed `size` events.
pub const POTLUCK_EVENT_MISSED: u32 = 8;
/// `size` bytes of resource `name` have come to `peer` from `other`, which is on another node: a large one comes piece by piece.
pub const POTLUCK_EVENT_PROGRESS: u32 = 9;

/// An event: a value. Nothing to release, nothing borrowed, no body.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct potluck_event_t {
    /// Set by the caller to sizeof(potluck_event_t).
    pub struct_size: usize,
    /// One of POTLUCK_EVENT_...
    pub kind: u32,
    /// DEAD_LETTER, HANDLER_FAILED: why; else POTLUCK_OK.
    pub reason: potluck_status_t,
    /// Of the resource; else 0.
    pub version: u64,
    /// Bytes of the resource or of the message's body; MISSED: how many events; PROGRESS: how many bytes have come so far, of as many as `potluck_system_holders` says; else 0.
    pub size: u64,
    /// Whom it happened to.
    pub peer: [c_char; POTLUCK_ADDRESS_SIZE],
    /// The other peer, or "".
    pub other: [c_char; POTLUCK_ADDRESS_SIZE],
    /// The resource, or the kind of the message, or "".
    pub name: [c_char; POTLUCK_NAME_SIZE],
    /// One line of text, cut to fit, or "".
    pub text: [c_char; POTLUCK_NAME_SIZE],
}

// SAFETY: a plain C struct of integers with `struct_size` first.
unsafe impl CStruct for potluck_event_t {}

pub(super) static READERS: Table<EventReader> = Table::new(Kind::Events);

impl Held for EventReader {}

/// Writes a text into a field, cut between characters if it does not fit, with a NUL at the end.
fn write(field: &mut [c_char], text: &str) {
    let mut end = text.len().min(field.len() - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    for (place, byte) in field.iter_mut().zip(text[..end].bytes()) {
        // A NUL would end it for C.
        *place = if byte == 0 { b' ' as c_char } else { byte as c_char };
    }
}

fn event(event: &Event) -> potluck_event_t {
    let mut out = potluck_event_t {
        struct_size: 0,
        kind: 0,
        reason: POTLUCK_OK,
        version: 0,
        size: 0,
        peer: [0; POTLUCK_ADDRESS_SIZE],
        other: [0; POTLUCK_ADDRESS_SIZE],
        name: [0; POTLUCK_NAME_SIZE],
        text: [0; POTLUCK_NAME_SIZE],
    };
    let (kind, peer, other, name): (u32, &str, &str, &str) = match event {
        Event::Joined { peer } => (POTLUCK_EVENT_JOINED, peer, "", ""),
        Event::Left { peer } => (POTLUCK_EVENT_LEFT, peer, "", ""),
        Event::Requested { peer, by, name, version, size } => {
            (out.version, out.size) = (*version, *size);
            (POTLUCK_EVENT_REQUESTED, peer, by, name)
        }
        Event::Received { peer, from, name, version, size } => {
            (out.version, out.size) = (*version, *size);
            (POTLUCK_EVENT_RECEIVED, peer, from, name)
        }
        Event::UnknownMessage { peer, from, kind, size } => {
            out.size = *size;
            (POTLUCK_EVENT_UNKNOWN_MESSAGE, peer, from, kind)
        }
        Event::DeadLetter { to, from, kind, size, reason } => {
            (out.size, out.reason) = (*size, status_of(reason));
            write(&mut out.text, &reason.to_string());
            (POTLUCK_EVENT_DEAD_LETTER, to, from, kind)
        }
        Event::HandlerFailed { peer, from, text } => {
            out.reason = status_of(&Error::HandlerFailed { peer: String::new(), text: String::new() });
            write(&mut out.text, text);
            (POTLUCK_EVENT_HANDLER_FAILED, peer, from, "")
        }
        Event::Progress { peer, from, name, version, done, .. } => {
            (out.version, out.size) = (*version, *done);
            (POTLUCK_EVENT_PROGRESS, peer, from, name)
        }
        Event::Missed { count } => {
            out.size = *count;
            (POTLUCK_EVENT_MISSED, "", "", "")
        }
    };
    out.kind = kind;
    write(&mut out.peer, peer);
    write(&mut out.other, other);
    write(&mut out.name, name);
    out
}

/// The next event, waiting for it up to `timeout_ms`.
///
/// OK, TIMED_OUT, CLOSED (the system has ended and all is read, or the reader is closed; or called in a callback whose own peer is
/// closed meanwhile), INVALID_HANDLE, INVALID_ARGUMENT (also if out_event is NULL, or its struct_size not set).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_events_next(
    events: potluck_events_t,
    timeout_ms: i64,
    out_event: *mut potluck_event_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or as large as its struct_size says.
        unsafe { output::clear_sized("out_event", out_event) }?;
        let reader = READERS.get_named(events.id)?;
        let next = reader.next(input::timeout(timeout_ms)?)?;
        // SAFETY: checked above.
        unsafe { output::set_sized(out_event, &event(&next)) };
        Ok(())
    })
}

/// A descriptor for poll, select or epoll, of the caller's own to close: readable whenever `potluck_events_next` would return at once,
/// and for good once the reader is closed, or the system has ended and all is read. Another thread may take the event meanwhile. Only
/// to be waited for: who reads from it takes the sign away from all. Does not block. `*out_fd` is -1 after a failure.
///
/// OK, CLOSED (the reader is closed), LIMIT_REACHED (descriptors), INVALID_HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_events_fd(events: potluck_events_t, out_fd: *mut c_int) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_fd, -1) };
        let reader = READERS.get_named(events.id)?;
        // SAFETY: as above.
        unsafe { output::give_descriptor(out_fd, || reader.descriptor()) }
    })
}

/// Ends a reader for all; who waits in `potluck_events_next` gets CLOSED. Does not block. Closing it again is OK.
///
/// OK, INVALID_HANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn potluck_events_close(events: potluck_events_t) -> potluck_status_t {
    guard(|| {
        match READERS.remove(events.id) {
            Some(reader) => reader.close(),
            None => READERS.check_over(events.id)?,
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        let mut field = [0; 4];
        write(&mut field, "aäö");
        assert_eq!(field.map(|c| c as u8), *b"a\xc3\xa4\0");
        let mut field = [0; 4];
        write(&mut field, "ab\u{0}");
        assert_eq!(field.map(|c| c as u8), *b"ab \0");
    }
}
