//! The library itself: its version, the names of statuses, the last error.

use std::ffi::c_char;

use super::guard::{give_text, guard, guard_value, last_detail, last_text};
use super::input::{self, CStruct};
use super::output;
use super::status::{NAMES, potluck_status_t};
use crate::{Error, Result, fork};

/// The version of the ABI, which is also in the name of the shared library. It changes when a caller must be compiled anew.
pub const POTLUCK_ABI: u32 = 1;
/// Room for a name: 255 bytes and a NUL.
pub const POTLUCK_NAME_SIZE: usize = 256;
/// Room for a peer's name with its node.
pub const POTLUCK_ADDRESS_SIZE: usize = 512;

/// What the last failing call of a thread said.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct potluck_error_t {
    /// Set by the caller to sizeof(potluck_error_t).
    pub struct_size: usize,
    /// Its status.
    pub status: potluck_status_t,
    /// 0.
    pub reserved: u32,
    /// VERSION_CONFLICT: the version held now; TOO_LARGE: the limit in bytes; else 0.
    pub number: u64,
    /// TOO_LARGE: the size asked for in bytes; else 0.
    pub number2: u64,
    /// As from potluck_last_error.
    pub text: *const c_char,
}

// SAFETY: a plain C struct of integers and pointers with `struct_size` first.
unsafe impl CStruct for potluck_error_t {}

/// Checks that header and library fit: call it first, with POTLUCK_ABI. Writes the library's version as
/// `major << 16 | minor << 8 | patch`, also when they do not fit. Does not block.
///
/// OK, ABI_MISMATCH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_check(abi: u32, out_version: *mut u32) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_version, version()) };
        if abi == POTLUCK_ABI {
            return Ok(());
        }
        Err(Error::AbiMismatch(format!("the caller has {abi}, the library {POTLUCK_ABI}")))
    })
}

fn version() -> u32 {
    let part = |text: &str| text.parse::<u32>().unwrap_or(0);
    part(env!("CARGO_PKG_VERSION_MAJOR")) << 16
        | part(env!("CARGO_PKG_VERSION_MINOR")) << 8
        | part(env!("CARGO_PKG_VERSION_PATCH"))
}

/// What a status is called: a text that lives for ever, never NULL, for any number. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn potluck_status_str(status: potluck_status_t) -> *const c_char {
    guard_value(c"unknown status".as_ptr(), || {
        NAMES.iter().find(|(number, _)| *number == status).map_or(c"unknown status", |(_, name)| *name).as_ptr()
    })
}

/// What the last failing call on this thread said: one line, "" if none has failed. Valid until the next failing call on this
/// thread, or the end of it; means something only right after a failure, since a call that succeeds leaves it. In a callback it begins
/// anew, and what fails there is forgotten when that returns. Where a thread's own data have gone (late in pthread_key_create's
/// destructors) there is none: "". Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn potluck_last_error() -> *const c_char {
    guard_value(c"".as_ptr(), last_text)
}

/// Status, numbers and text of the last failing call on this thread. Does not block.
///
/// OK, INVALID_ARGUMENT (NULL, or struct_size not set; this failure is then the last one).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_last_error_detail(out_error: *mut potluck_error_t) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or as large as its struct_size says.
        unsafe { output::clear_sized("out_error", out_error) }?;
        let (status, number, number2, text) = last_detail();
        let error = potluck_error_t { struct_size: 0, status, reserved: 0, number, number2, text };
        // SAFETY: checked above.
        unsafe { output::set_sized(out_error, &error) };
        Ok(())
    })
}

/// Only in a callback, on its thread: gives the text of the refusal or failure that it is about to return. The text is copied. Does not
/// block.
///
/// OK, INVALID_ARGUMENT (NULL, not UTF-8, or not in a callback), FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_set_error(text: *const c_char) -> potluck_status_t {
    guard(|| {
        fork::check()?;
        // SAFETY: the caller promises that it is NULL or NUL-terminated for the length of this call.
        let text: Result<&str> = unsafe { input::text("text", text) };
        give_text(text?.to_owned())
    })
}
