//! What comes in from C, checked in release builds, too. The only place where lengths and UTF-8 are checked.

use std::ffi::{CStr, c_char, c_void};
use std::mem::MaybeUninit;
use std::time::Duration;

use bytes::Bytes;

use super::callback::Adopted;
use crate::{Error, Result};

/// A name: NUL-terminated UTF-8.
///
/// # Safety
///
/// As for `text`.
#[inline(always)]
pub(super) unsafe fn name<'a>(what: &str, name: *const c_char) -> Result<&'a str> {
    // SAFETY: as the caller promises.
    unsafe { utf8(name).ok_or_else(|| bad_name(what, name)) }
}

/// # Safety
///
/// As for `text`.
#[cold]
unsafe fn bad_name(what: &str, name: *const c_char) -> Error {
    if name.is_null() {
        return is_null(what);
    }
    // SAFETY: as the caller promises.
    let name = unsafe { CStr::from_ptr(name) };
    Error::InvalidName { name: name.to_string_lossy().into_owned(), reason: format!("{what} is not UTF-8") }
}

/// A text: NUL-terminated UTF-8.
///
/// # Safety
///
/// `text` is NULL or NUL-terminated, and stays as it is for as long as the result is used.
pub(super) unsafe fn text<'a>(what: &str, text: *const c_char) -> Result<&'a str> {
    // SAFETY: as the caller promises.
    unsafe { utf8(text) }.ok_or_else(|| match text.is_null() {
        true => is_null(what),
        false => Error::InvalidArgument(format!("{what} is not UTF-8")),
    })
}

/// A list of texts; NULL only with length 0.
///
/// # Safety
///
/// `list` is NULL or has `len` readable pointers, each as for `text`; all of it stays as it is for as long as the result is used.
pub(super) unsafe fn texts<'a>(what: &str, list: *const *const c_char, len: usize) -> Result<Vec<&'a str>> {
    if list.is_null() && len > 0 {
        return Err(Error::InvalidArgument(format!("{what} is NULL and {what}_len is {len}")));
    }
    if len > TEXTS_MAX {
        return Err(Error::InvalidArgument(format!("{what}_len is {len}, more than {TEXTS_MAX}")));
    }
    // SAFETY: the caller promises `len` readable pointers.
    let list: &[*const c_char] = if len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(list, len) } };
    let numbered = list.iter().enumerate();
    // SAFETY: the caller promises that each is NULL or NUL-terminated.
    numbered.map(|(at, entry)| unsafe { text(&format!("{what}[{at}]"), *entry) }).collect()
}

/// No list of addresses or nodes is longer; a length that was never set would lead anywhere.
const TEXTS_MAX: usize = 1 << 16;

#[cold]
fn is_null(what: &str) -> Error {
    Error::InvalidArgument(format!("{what} is NULL"))
}

/// What is NUL-terminated and UTF-8. Most names are ASCII and short, which is seen sooner than by `CStr::to_str`.
///
/// # Safety
///
/// As for `text`.
#[inline(never)]
unsafe fn utf8<'a>(text: *const c_char) -> Option<&'a str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller promises that it is NUL-terminated and stays as it is.
    let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
    // The ends may overlap: a byte may be looked at twice.
    let any = match (bytes.last_chunk(), bytes.first_chunk(), bytes.last_chunk()) {
        (Some(last), _, _) => {
            let words = bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word));
            words.fold(u64::from_ne_bytes(*last), |all, word| all | word)
        }
        (_, Some(first), Some(last)) => u64::from(u32::from_ne_bytes(*first) | u32::from_ne_bytes(*last)),
        _ => u64::from(bytes.iter().fold(0, |all, byte| all | byte)),
    };
    if any & u64::from_ne_bytes([0x80; 8]) == 0 {
        // SAFETY: ASCII is UTF-8.
        return Some(unsafe { str::from_utf8_unchecked(bytes) });
    }
    str::from_utf8(bytes).ok()
}

/// Whether a body can be one: NULL only with length 0.
pub(super) fn check_body(data: *const c_void, data_len: usize) -> Result<()> {
    if data.is_null() && data_len > 0 {
        return Err(Error::InvalidArgument(format!("data is NULL and data_len is {data_len}")));
    }
    if data_len > isize::MAX as usize {
        return Err(Error::InvalidArgument(format!("data_len is {data_len}, more than memory can hold")));
    }
    Ok(())
}

/// A body, copied. Memory of the size that the caller chose may not be there: that is a result, too.
///
/// # Safety
///
/// `data` is NULL or has `data_len` readable bytes.
pub(super) unsafe fn body(data: *const c_void, data_len: usize) -> Result<Bytes> {
    check_body(data, data_len)?;
    if data.is_null() {
        return Ok(Bytes::new());
    }
    let mut copy = Vec::new();
    copy.try_reserve_exact(data_len).map_err(|_| Error::LimitReached(format!("memory for {data_len} bytes")))?;
    // SAFETY: the caller promises `data_len` readable bytes, which is no more than isize::MAX.
    copy.extend_from_slice(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), data_len) });
    Ok(Bytes::from(copy))
}

/// A body as it lies in the host's memory: with a release function until that has run, else for ever. Not taken: it was released.
///
/// # Safety
///
/// `data` is NULL or has `data_len` bytes that are readable and stay as they are until the release, without one for ever.
pub(super) unsafe fn adopt(data: *const c_void, data_len: usize, adopted: Option<Adopted>) -> Result<Bytes> {
    check_body(data, data_len)?;
    Ok(match adopted {
        Some(adopted) => Bytes::from_owner(adopted),
        None if data.is_null() => Bytes::new(),
        // SAFETY: the caller promises that the bytes are readable and stay as they are for ever.
        None => Bytes::from_static(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), data_len) }),
    })
}

/// A timeout: -1 for ever, 0 do not wait.
#[inline(always)]
pub(super) fn timeout(timeout_ms: i64) -> Result<Duration> {
    duration("timeout_ms", timeout_ms)
}

/// A time in milliseconds: -1 for ever.
#[inline(always)]
pub(super) fn duration(what: &str, timeout_ms: i64) -> Result<Duration> {
    match timeout_ms {
        -1 => Ok(Duration::MAX),
        0.. => Ok(Duration::from_millis(timeout_ms.unsigned_abs())),
        _ => Err(is_no_time(what, timeout_ms)),
    }
}

#[cold]
fn is_no_time(what: &str, timeout_ms: i64) -> Error {
    Error::InvalidArgument(format!("{what} is {timeout_ms}; below 0 only -1 means something"))
}

/// A C struct that begins with `struct_size`, and of which all zero is a valid value.
///
/// # Safety
///
/// Only plain C structs of integers, pointers and optional functions, with a `usize` as first field.
pub(super) unsafe trait CStruct: Copy {}

/// Whether a `struct_size` can be one: a forgotten one is found, not followed. All of these structs are aligned like a pointer, so that
/// no version's size ends inside of one.
pub(super) fn check_size(what: &str, size: usize) -> Result<()> {
    if size > size_of::<usize>() && size <= STRUCT_SIZE_MAX && size.is_multiple_of(align_of::<usize>()) {
        return Ok(());
    }
    Err(Error::InvalidArgument(format!("struct_size of {what} is {size}: set it to sizeof")))
}

/// No struct of any version will be larger.
const STRUCT_SIZE_MAX: usize = 1 << 16;

/// An options struct: NULL is all defaults; a smaller one reads as zeros beyond its size, a larger one must be zero there.
///
/// # Safety
///
/// `options` is NULL or has as many readable bytes as its first field says.
pub(super) unsafe fn options<T: CStruct>(what: &str, options: *const T) -> Result<T> {
    let mut read = MaybeUninit::<T>::zeroed();
    if options.is_null() {
        // SAFETY: `CStruct` promises that all zero is a valid value.
        return Ok(unsafe { read.assume_init() });
    }
    // SAFETY: the first field is a `usize`, and the caller promises at least that much.
    let size = unsafe { options.cast::<usize>().read_unaligned() };
    let known = size_of::<T>();
    check_size(what, size)?;
    if size > known {
        // SAFETY: the caller promises `size` readable bytes.
        let tail = unsafe { std::slice::from_raw_parts(options.cast::<u8>().add(known), size - known) };
        if tail.iter().any(|byte| *byte != 0) {
            let what = format!("{what} has {size} bytes with something set beyond the {known} that this library knows");
            return Err(Error::Unsupported(what));
        }
    }
    // SAFETY: both have at least that many bytes, and are apart; all bytes not copied are zero, which is valid.
    Ok(unsafe {
        std::ptr::copy_nonoverlapping(options.cast::<u8>(), read.as_mut_ptr().cast::<u8>(), size.min(known));
        read.assume_init()
    })
}

/// A limit as C gives it, and what sets it in the options of Rust.
pub(super) type Limit<O> = (u64, fn(O, u64) -> O);

/// Sets the limits that are not 0, which is the default.
pub(super) fn set_limits<O>(options: O, limits: &[Limit<O>]) -> O {
    limits.iter().filter(|(limit, _)| *limit != 0).fold(options, |options, (limit, set)| set(options, *limit))
}
