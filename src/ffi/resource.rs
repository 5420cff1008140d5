//! Resources: one counted reference behind each id.

use std::cell::Cell;
use std::ffi::{CString, c_char};
use std::sync::OnceLock;
use std::thread::LocalKey;

use super::guard::{c_text, guard};
use super::handle::{Held, Kind, Spare, Table};
use super::input::CStruct;
use super::output;
use super::status::potluck_status_t;
use crate::{Resource, Result};

/// A resource: owns one reference, to be released once with `potluck_resource_release`; as an argument of a callback it is borrowed, and
/// `potluck_resource_keep` gives one of its own. Outlives its peer and system. May be used from several threads.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct potluck_resource_t {
    /// 0 is none.
    pub id: u64,
}

/// What there is to know of a resource.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct potluck_resource_info_t {
    /// Set by the caller to sizeof(potluck_resource_info_t).
    pub struct_size: usize,
    /// Its name; of an answer to an ask, the kind of the message. Valid until the release.
    pub name: *const c_char,
    /// The peer that made this version. Valid until the release.
    pub origin: *const c_char,
    /// 1, 2, ...; 0 for the answer to an ask.
    pub version: u64,
    /// Its bytes, never NULL. Valid until the release.
    pub data: *const u8,
    /// How many bytes.
    pub data_len: usize,
}

// SAFETY: a plain C struct of integers and pointers with `struct_size` first.
unsafe impl CStruct for potluck_resource_info_t {}

pub(super) static RESOURCES: Table<Entry> = Table::new(Kind::Resource);

thread_local!(static SPARE: Spare<Entry> = const { Cell::new(None) });

impl Held for Entry {
    #[inline(always)]
    fn spare() -> Option<&'static LocalKey<Spare<Entry>>> {
        Some(&SPARE)
    }
}

/// A resource and, once somebody asks, its names as C has them.
pub(super) struct Entry {
    resource: Resource,
    names: OnceLock<Box<(CString, CString)>>,
}

pub(super) fn entry(resource: Resource) -> Entry {
    Entry { resource, names: OnceLock::new() }
}

/// Gives a resource to C, if it wants it.
///
/// # Safety
///
/// `out_resource` is NULL or writable.
pub(super) unsafe fn give(resource: Resource, out_resource: *mut potluck_resource_t) -> Result<()> {
    // SAFETY: as the caller promises.
    unsafe { give_here(resource, out_resource) }
}

/// The same, put in where it is called.
///
/// # Safety
///
/// As for `give`.
#[inline(always)]
pub(super) unsafe fn give_here(resource: Resource, out_resource: *mut potluck_resource_t) -> Result<()> {
    if !out_resource.is_null() {
        let id = RESOURCES.insert(entry(resource))?;
        // SAFETY: the caller promises that it is writable.
        unsafe { output::set(out_resource, potluck_resource_t { id }) };
    }
    Ok(())
}

/// The resource that an id stands for, where id 0 stands for none.
pub(super) fn find(resource: potluck_resource_t) -> Result<Option<Resource>> {
    match resource.id {
        0 => Ok(None),
        id => Ok(Some(RESOURCES.get(id)?.resource.clone())),
    }
}

/// Another id for the same resource: a reference of its own, to be released once. The bytes are not copied. So a callback keeps what
/// was lent to it, and each of several threads has its own to release. Does not block. Release `*out_resource`.
///
/// OK, INVALID_HANDLE, LIMIT_REACHED (ids).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_resource_keep(
    resource: potluck_resource_t,
    out_resource: *mut potluck_resource_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_resource, potluck_resource_t::default()) };
        let kept = RESOURCES.get(resource.id)?.resource.clone();
        // SAFETY: as above.
        unsafe { give(kept, out_resource) }
    })
}

/// The bytes of a resource, without a copy: valid until the resource is released. Does not block.
///
/// OK, INVALID_HANDLE. `*out_data` is never NULL then, also with 0 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_resource_data(
    resource: potluck_resource_t,
    out_data: *mut *const u8,
    out_data_len: *mut usize,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that both are NULL or writable.
        unsafe {
            output::set(out_data, std::ptr::null());
            output::set(out_data_len, 0);
        }
        let entry = RESOURCES.get(resource.id)?;
        // SAFETY: as above.
        unsafe {
            output::set(out_data, entry.resource.bytes().as_ptr());
            output::set(out_data_len, entry.resource.len());
        }
        Ok(())
    })
}

/// Name, origin, version and bytes of a resource: all valid until it is released. Does not block.
///
/// OK, INVALID_HANDLE, INVALID_ARGUMENT (NULL, or struct_size not set).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_resource_info(
    resource: potluck_resource_t,
    out_info: *mut potluck_resource_info_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or as large as its struct_size says.
        unsafe { output::clear_sized("out_info", out_info) }?;
        let entry = RESOURCES.get(resource.id)?;
        let of = &entry.resource;
        let (name, origin) = &**entry.names.get_or_init(|| Box::new((c_text(of.name()), c_text(of.origin()))));
        let info = potluck_resource_info_t {
            struct_size: 0,
            name: name.as_ptr(),
            origin: origin.as_ptr(),
            version: of.version(),
            data: of.bytes().as_ptr(),
            data_len: of.len(),
        };
        // SAFETY: checked above.
        unsafe { output::set_sized(out_info, &info) };
        Ok(())
    })
}

/// Gives the reference back: the id and all that was borrowed by it are over. With the last one, and when no shelf holds it any more, its
/// bytes are freed, by the release function if they were adopted. Does not block.
///
/// OK, INVALID_HANDLE (also when it was released before).
#[unsafe(no_mangle)]
pub extern "C" fn potluck_resource_release(resource: potluck_resource_t) -> potluck_status_t {
    guard(|| RESOURCES.release(resource.id))
}
