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

    /// Whether it is this text.
    #[inline(always)]
    pub(crate) fn is(&self, text: &str) -> bool {
        is_same(self.text, text)
    }
}

/// As `==`, which is a call, and takes longer than all of this where a name is as short as most are.
#[inline(always)]
pub(crate) fn is_same(name: &str, text: &str) -> bool {
    let (name, text) = (name.as_bytes(), text.as_bytes());
    let len = name.len();
    len == text.len()
        && match len {
            8..=16 => ends::<8>(name) == ends::<8>(text),
            4..8 => ends::<4>(name) == ends::<4>(text),
            _ => name == text,
        }
}

/// The first and the last bytes, which together are all of up to twice as many.
#[inline(always)]
fn ends<const LEN: usize>(text: &[u8]) -> Option<(&[u8; LEN], &[u8; LEN])> {
    Some((text.first_chunk()?, text.last_chunk()?))
}

/// The hash of a name.
fn hash(text: &str) -> u64 {
    keys().hash_one(text)
}

global! {
    fn keys() -> RandomState { RandomState::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_length_are_the_same_if_each_byte_is() {
        for len in 0..=40 {
            let text = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP"[..len].to_owned();
            assert!(Key::new(&text).is(&text.clone()), "{len}");
            let longer = format!("{text}x");
            assert!(!Key::new(&text).is(&longer) && !Key::new(&longer).is(&text), "{len}");
            for at in 0..len {
                let mut other = text.clone();
                other.replace_range(at..=at, "_");
                assert!(!Key::new(&text).is(&other), "byte {at} of {len}");
            }
        }
    }
}
