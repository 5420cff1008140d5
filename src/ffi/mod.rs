//! The C ABI, over the public Rust API (and `fork` and `sync`, since ids are looked up before any call is made); nobody in the crate imports it. One file per type of the C API, and seven that
//! they stand on: `guard` (one boundary for panics and errors), `faults` (in place of std's handlers), `handle` (ids) on `slab` (their slots), `input`, `output` and `callback`.
//!
//! A body here reads its inputs, makes one call and writes its outputs. The documentation of each item is C's: cbindgen
//! makes `include/potluck.h` of it.

#![allow(unsafe_code, non_camel_case_types, reason = "the C boundary")]
#![allow(
    clippy::missing_safety_doc,
    reason = "the C contract in each function's documentation takes the place of # Safety"
)]

#[cfg(feature = "c-library")]
mod faults;
mod guard;
mod handle;
mod input;
mod output;
mod slab;

// In the order in which the header has them, which is why they stand apart.
pub mod status;

pub mod library;

pub mod mesh;

pub mod system;

pub mod events;

pub mod callback;

pub mod peer;

pub mod pending;

pub mod resource;

pub mod message;

pub mod list;

#[cfg(all(feature = "test-panics", not(any(shuttle, loom))))]
pub mod test_panics;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the C ABI of potluck supports 64-bit targets: there an id struct is passed like a uint64_t");
