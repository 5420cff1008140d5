//! Two functions more, in builds with the feature `test-panics` alone: they ask for a panic on purpose. The header does not have them;
//! `tests/panics/calls.c` declares them itself.

use crate::panics::{Place, arm, disarm};

/// The next call on this thread panics: at its boundary (0), or at the check of this number that it makes.
#[unsafe(no_mangle)]
pub extern "C" fn potluck_test_arm(place: u32) {
    arm(if place == 0 { Place::Boundary } else { Place::Check(place) });
}

/// No call panics any more. 1: none has since `potluck_test_arm`; 0: one has.
#[unsafe(no_mangle)]
pub extern "C" fn potluck_test_disarm() -> i32 {
    i32::from(disarm())
}
