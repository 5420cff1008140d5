//! Messages: one reference behind each id, borrowed by a callback or owned after `receive`.

use std::ffi::{CString, c_char, c_void};
use std::sync::OnceLock;

use super::guard::{c_text, guard};
use super::handle::{Held, Kind, Table};
use super::input::{self, CStruct};
use super::output;
use super::status::potluck_status_t;
use crate::Message;

/// A message: from `potluck_peer_receive` or kept by on_message it owns one reference, to be released once with
/// `potluck_message_release`; as an argument of on_message it is borrowed. May be used from several threads.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct potluck_message_t {
    /// 0 is none.
    pub id: u64,
}

/// What there is to know of a message.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct potluck_message_info_t {
    /// Set by the caller to sizeof(potluck_message_info_t).
    pub struct_size: usize,
    /// The peer that sent it. Valid until the release.
    pub from: *const c_char,
    /// What kind of message it is. Valid until the release.
    pub kind: *const c_char,
    /// Its body, never NULL. Valid until the release.
    pub data: *const u8,
    /// How many bytes.
    pub data_len: usize,
    /// 1 if the sender waits for an answer, else 0.
    pub is_ask: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: a plain C struct of integers and pointers with `struct_size` first.
unsafe impl CStruct for potluck_message_info_t {}

pub(super) static MESSAGES: Table<Entry> = Table::new(Kind::Message);

impl Held for Entry {}

/// A message and, once somebody asks, its names as C has them.
pub(super) struct Entry {
    message: Message,
    names: OnceLock<Box<(CString, CString)>>,
}

pub(super) fn entry(message: Message) -> Entry {
    Entry { message, names: OnceLock::new() }
}

/// Sender, kind and body of a message: all valid until it is released or, in a callback, until that returns. Does not block.
///
/// OK, INVALID_HANDLE, INVALID_ARGUMENT (NULL, or struct_size not set).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_message_info(
    message: potluck_message_t,
    out_info: *mut potluck_message_info_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or as large as its struct_size says.
        unsafe { output::clear_sized("out_info", out_info) }?;
        let entry = MESSAGES.get(message.id)?;
        let of = &entry.message;
        let (from, kind) = &**entry.names.get_or_init(|| Box::new((c_text(of.from()), c_text(of.kind()))));
        let info = potluck_message_info_t {
            struct_size: 0,
            from: from.as_ptr(),
            kind: kind.as_ptr(),
            data: of.bytes().as_ptr(),
            data_len: of.bytes().len(),
            is_ask: u32::from(of.is_ask()),
            reserved: 0,
        };
        // SAFETY: checked above.
        unsafe { output::set_sized(out_info, &info) };
        Ok(())
    })
}

/// Answers the sender that waits. The bytes are copied. Does not block.
///
/// OK, INVALID_ARGUMENT (nobody asked, or it was answered before; data NULL with a length), CANCELED (the sender has given
/// up), LIMIT_REACHED (memory), INVALID_HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_message_reply(
    message: potluck_message_t,
    data: *const c_void,
    data_len: usize,
) -> potluck_status_t {
    guard(|| {
        let entry = MESSAGES.get(message.id)?;
        // SAFETY: the caller promises `data_len` readable bytes at `data` for the length of this call.
        let body = unsafe { input::body(data, data_len) }?;
        entry.message.reply(body)
    })
}

/// Gives the reference back: the id and all that was borrowed by it are over. A sender that still waits gets POTLUCK_E_NO_REPLY. Does
/// not block.
///
/// OK, INVALID_HANDLE (also when it was released before).
#[unsafe(no_mangle)]
pub extern "C" fn potluck_message_release(message: potluck_message_t) -> potluck_status_t {
    guard(|| MESSAGES.release(message.id))
}
