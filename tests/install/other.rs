//! Another Rust archive in a program that has potluck's: with a standard library, and panics, of its own.

use std::panic::{catch_unwind, resume_unwind};

/// Panics, without a word, and catches it: 7 if that went well.
#[unsafe(no_mangle)]
pub extern "C" fn other_panics() -> i32 {
    catch_unwind(|| resume_unwind(Box::new(7))).map_or_else(|panic| *panic.downcast::<i32>().unwrap_or_default(), |()| 0)
}

/// A thread that panics, and is joined: 1 if the panic came back.
#[unsafe(no_mangle)]
pub extern "C" fn other_thread_panics() -> i32 {
    i32::from(std::thread::spawn(|| resume_unwind(Box::new(()))).join().is_err())
}
