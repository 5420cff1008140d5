//! What names are looked up by: the text with its hash, which is computed once for all tables that it is looked up in.
//!
//! The hash is foldhash's, keyed anew in each process, so that nobody can choose names that fall together without watching it.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use crate::sync::global;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    pub(crate) text: &'a str,
    pub(crate) hash: u64,
}

impl<'a> Key<'a> {
    #[inline(always)]
    pub(crate) fn new(text: &'a str) -> Key<'a> {
        Key { text, hash: hash(text) }
    }
}

/// The hash of a name.
fn hash(text: &str) -> u64 {
    keys().hash_one(text)
}

global! {
    fn keys() -> RandomState { RandomState::default() }
}
