//! Panics on purpose, for the test that every function of the C ABI catches one (`tests/panics`): at its boundary, and at each check that it
//! makes on its way through the library. With the feature `test-panics` alone; elsewhere both calls do nothing.

#[cfg(all(feature = "test-panics", not(any(shuttle, loom))))]
pub(crate) use armed::{Place, arm, at_boundary, at_check, disarm};

/// Inside the boundary of a C function, before its body.
#[cfg(all(feature = "capi", not(all(feature = "test-panics", not(any(shuttle, loom))))))]
#[inline(always)]
pub(crate) fn at_boundary() {}

/// Where a call looks whether the process is a child made by fork.
#[cfg(not(all(feature = "test-panics", not(any(shuttle, loom)))))]
#[inline(always)]
pub(crate) fn at_check() {}

#[cfg(all(feature = "test-panics", not(any(shuttle, loom))))]
mod armed {
    use std::cell::Cell;

    use crate::sync::thread_local;

    /// Where the next panic is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Place {
        /// At the boundary of the next C function.
        Boundary,
        /// At the check of this number, from 1 on.
        Check(u32),
    }

    thread_local! {
        static NEXT: Cell<Option<Place>> = const { Cell::new(None) };
    }

    /// Makes the calling thread panic there, once.
    pub(crate) fn arm(place: Place) {
        NEXT.with(|next| next.set(Some(place)));
    }

    /// Whether it has not panicked yet; it will not any more.
    pub(crate) fn disarm() -> bool {
        NEXT.with(Cell::take).is_some()
    }

    pub(crate) fn at_boundary() {
        if NEXT.with(Cell::get) == Some(Place::Boundary) {
            disarm();
            panic!("on purpose, at the boundary");
        }
    }

    pub(crate) fn at_check() {
        match NEXT.with(Cell::get) {
            Some(Place::Check(1)) => {
                disarm();
                panic!("on purpose, at a check");
            }
            Some(Place::Check(number)) => arm(Place::Check(number - 1)),
            _ => {}
        }
    }
}
