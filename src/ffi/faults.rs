//! What the C libraries do in place of std's own handlers when something panics, or no memory is there: the same, but that no stack is printed.
//!
//! A third of the shared library would else be what reads debug information for that stack, which a stripped library has none of. In
//! it `build.rs` has core and alloc call these two, by the linker; where it finds no names to do so by, std's handlers stay.
//!
//! With the feature `c-library` alone: the libraries have a std of their own there, in which nobody else's panics are.

use std::any::Any;
use std::fmt::Display;
use std::io::Write;
use std::panic::{PanicHookInfo, resume_unwind};

/// Unwinds with the text, as std's does; for std is what else becomes of it, as the end of the process if this is a cleanup.
#[unsafe(no_mangle)]
extern "Rust" fn own_panic_handler(info: &core::panic::PanicInfo<'_>) -> ! {
    say(info);
    let text = info.message();
    let payload: Box<dyn Any + Send> = match text.as_str() {
        Some(text) => Box::new(text),
        None => Box::new(text.to_string()),
    };
    resume_unwind(payload)
}

/// Ends the process, as std's does.
#[unsafe(no_mangle)]
extern "Rust" fn own_alloc_error_handler(size: usize, _align: usize) -> ! {
    // A text that is put together by parts takes no memory.
    print(&format_args!("no memory for {size} bytes"));
    std::process::abort()
}

// For the linker alone: exported are the functions of the header.
#[cfg(target_os = "linux")]
core::arch::global_asm!(".hidden own_panic_handler", ".hidden own_alloc_error_handler");

/// In place of the hook that prints a stack. The archive has std's handlers.
pub(super) fn set_hook() {
    std::panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| say(info)));
}

/// A panic inside a guarded body comes back as a status; any other would be lost.
fn say(panic: &dyn Display) {
    if !super::guard::is_in_body() {
        print(panic);
    }
}

fn print(text: &dyn Display) {
    let _ = writeln!(std::io::stderr(), "potluck: {text}");
}
