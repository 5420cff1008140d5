//! Lists: one shape for all of them, with the strings that their items point to.

use std::ffi::{CString, c_char};

use super::guard::{c_text, guard};
use super::handle::{Held, Kind, Table};
use super::output;
use super::status::{POTLUCK_OK, potluck_status_t, status_of};
use crate::{DeadLetter, Holder, Mingled, Resource, Result, Running};

/// A list: owns one reference, to be released once with `potluck_list_release`. May be used from several threads.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct potluck_list_t {
    /// 0 is none.
    pub id: u64,
}

/// One item of any list. Strings are "" where they do not apply, never NULL, and valid until the list is released.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct potluck_item_t {
    /// The peer that it is about.
    pub peer: *const c_char,
    /// The other peer: where it came from, or its origin.
    pub from: *const c_char,
    /// The resource; of a dead letter, its kind.
    pub name: *const c_char,
    /// What there is to say: of a failure, its text; in a report, what the peer's thread is doing.
    pub text: *const c_char,
    /// The version of the resource; of a dead letter, its number.
    pub version: u64,
    /// The size of the resource, or of the message, in bytes; in a report, for how many milliseconds.
    pub size: u64,
    /// POTLUCK_OK, or why it failed.
    pub status: potluck_status_t,
    /// 0.
    pub reserved: u32,
    /// 0.
    pub reserved2: u64,
}

pub(super) static LISTS: Table<Entries> = Table::new(Kind::List);

impl Held for Entries {}

/// The items, and the strings that they point to.
pub(super) struct Entries {
    items: Vec<potluck_item_t>,
    _strings: Vec<CString>,
}

// SAFETY: the pointers lead into `_strings`, which nothing changes as long as the list lives.
unsafe impl Send for Entries {}
// SAFETY: as above.
unsafe impl Sync for Entries {}

/// One item before its strings are C's.
#[derive(Default)]
pub(super) struct Item {
    peer: String,
    from: String,
    name: String,
    text: String,
    version: u64,
    size: u64,
    status: potluck_status_t,
}

impl From<String> for Item {
    fn from(peer: String) -> Item {
        Item { peer, ..Item::default() }
    }
}

impl From<Holder> for Item {
    fn from(holder: Holder) -> Item {
        let Holder { peer, origin, version, size } = holder;
        Item { peer, from: origin, version, size, ..Item::default() }
    }
}

impl From<Resource> for Item {
    fn from(held: Resource) -> Item {
        Item {
            from: held.origin().to_owned(),
            name: held.name().to_owned(),
            version: held.version(),
            size: held.len() as u64,
            ..Item::default()
        }
    }
}

impl From<Running> for Item {
    fn from(running: Running) -> Item {
        let size = u64::try_from(running.since.as_millis()).unwrap_or(u64::MAX);
        Item { peer: running.peer, text: running.doing, size, ..Item::default() }
    }
}

/// With its number.
impl From<(u64, DeadLetter)> for Item {
    fn from((number, letter): (u64, DeadLetter)) -> Item {
        Item {
            peer: letter.to.to_string(),
            from: letter.from.to_string(),
            name: letter.kind.to_string(),
            text: letter.reason.to_string(),
            version: number,
            size: letter.size,
            status: status_of(&letter.reason),
        }
    }
}

impl From<Mingled> for Item {
    fn from(mingled: Mingled) -> Item {
        let (peer, from) = (mingled.peer.to_string(), mingled.from.map(|from| from.to_string()).unwrap_or_default());
        match mingled.result {
            Ok(got) => Item { peer, from, status: POTLUCK_OK, ..Item::from(got) },
            Err(error) => Item { peer, from, text: error.to_string(), status: status_of(&error), ..Item::default() },
        }
    }
}

/// Gives a list to C, if it wants it.
///
/// # Safety
///
/// `out_list` is NULL or writable.
pub(super) unsafe fn give<T: Into<Item>>(items: Vec<T>, out_list: *mut potluck_list_t) -> Result<()> {
    if !out_list.is_null() {
        let id = LISTS.insert(entries(items.into_iter().map(T::into).collect()))?;
        // SAFETY: the caller promises that it is writable.
        unsafe { output::set(out_list, potluck_list_t { id }) };
    }
    Ok(())
}

/// Once for all kinds of items.
fn entries(items: Vec<Item>) -> Entries {
    let mut strings = Vec::new();
    let mut keep = |text: &str| {
        if text.is_empty() {
            return c"".as_ptr();
        }
        let text = c_text(text);
        let pointer = text.as_ptr();
        // Moving the CString moves the pointer to its bytes, not the bytes.
        strings.push(text);
        pointer
    };
    let items = items
        .into_iter()
        .map(|item| potluck_item_t {
            peer: keep(&item.peer),
            from: keep(&item.from),
            name: keep(&item.name),
            text: keep(&item.text),
            version: item.version,
            size: item.size,
            status: item.status,
            reserved: 0,
            reserved2: 0,
        })
        .collect();
    Entries { items, _strings: strings }
}

/// The items of a list: an array of `*out_items_len`, valid until the list is released; with none there is nothing to be read at
/// `*out_items`. Does not block.
///
/// OK, INVALID_HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_list_items(
    list: potluck_list_t,
    out_items: *mut *const potluck_item_t,
    out_items_len: *mut usize,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that both are NULL or writable.
        unsafe {
            output::set(out_items, std::ptr::null());
            output::set(out_items_len, 0);
        }
        let entries = LISTS.get(list.id)?;
        // SAFETY: as above.
        unsafe {
            output::set(out_items, entries.items.as_ptr());
            output::set(out_items_len, entries.items.len());
        }
        Ok(())
    })
}

/// Gives the list back: its items and their strings are over. Does not block.
///
/// OK, INVALID_HANDLE (also when it was released before).
#[unsafe(no_mangle)]
pub extern "C" fn potluck_list_release(list: potluck_list_t) -> potluck_status_t {
    guard(|| LISTS.release(list.id))
}
