//! What goes out to C. Out-parameters are set to 0 at entry and written for statuses 0 to 9; NULL is one not wanted.

use std::ffi::c_int;
use std::os::fd::IntoRawFd;

use super::input::{CStruct, check_size};
use crate::{Error, Result};

/// Sets an out-parameter.
///
/// # Safety
///
/// `out` is NULL or writable.
pub(super) unsafe fn set<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: the caller promises that it is writable.
        unsafe { out.write_unaligned(value) };
    }
}

/// Gives C a descriptor of its own, made only if it is wanted.
///
/// # Safety
///
/// `out_fd` is NULL or writable.
pub(super) unsafe fn give_descriptor<D: IntoRawFd>(out_fd: *mut c_int, make: impl FnOnce() -> Result<D>) -> Result<()> {
    if !out_fd.is_null() {
        let descriptor = make()?.into_raw_fd();
        // SAFETY: as the caller of this function promises.
        unsafe { set(out_fd, descriptor) };
    }
    Ok(())
}

/// Sets all but `struct_size` of a struct that the library fills in to zero, as far as both sides know it. Checks that it
/// can be filled in.
///
/// # Safety
///
/// `out` is NULL or has as many writable bytes as its first field says.
pub(super) unsafe fn clear_sized<T: CStruct>(what: &str, out: *mut T) -> Result<()> {
    if out.is_null() {
        return Err(Error::InvalidArgument(format!("{what} is NULL")));
    }
    // SAFETY: the first field is a `usize`, and the caller promises at least that much.
    let size = unsafe { out.cast::<usize>().read_unaligned() };
    check_size(what, size)?;
    let known = size.min(size_of::<T>());
    // SAFETY: the caller promises `size` writable bytes.
    unsafe { out.cast::<u8>().add(size_of::<usize>()).write_bytes(0, known - size_of::<usize>()) };
    Ok(())
}

/// Fills in a struct that `clear_sized` has checked: what both sides know of it, but for `struct_size`.
///
/// # Safety
///
/// As for `clear_sized`, which has returned Ok for it.
pub(super) unsafe fn set_sized<T: CStruct>(out: *mut T, value: &T) {
    let skip = size_of::<usize>();
    // SAFETY: the first field is a `usize`.
    let size = unsafe { out.cast::<usize>().read_unaligned() }.min(size_of::<T>());
    // SAFETY: both have at least `size` bytes, which is more than `skip`, and are apart.
    unsafe {
        let from = std::ptr::from_ref(value).cast::<u8>().add(skip);
        std::ptr::copy_nonoverlapping(from, out.cast::<u8>().add(skip), size - skip);
    }
}
