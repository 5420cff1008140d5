//! A part of a peer that is made when it is first used. Most peers of a million never need it, and it is not small.

use std::ops::Deref;

use crate::sync::OnceLock;

pub(crate) struct FirstUse<T>(OnceLock<Box<T>>);

impl<T> FirstUse<T> {
    pub(crate) fn new() -> FirstUse<T> {
        FirstUse(OnceLock::new())
    }

    /// What was made, if it was.
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.get().map(Box::as_ref)
    }
}

/// Makes it, if nobody has.
impl<T: Default> Deref for FirstUse<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.get().unwrap_or_else(|| self.make())
    }
}

impl<T: Default> FirstUse<T> {
    /// Ahead of its first use.
    #[cold]
    pub(crate) fn make(&self) -> &T {
        self.0.get_or_init(Box::default)
    }
}
