//! The bytes that travel. Both sides make the same, so that whoever gets them can tell that they are all there.

use bytes::Bytes;

use crate::Outcome;

pub(crate) const SMALL: usize = 64;
pub(crate) const MIDDLE: usize = 16 << 20;
pub(crate) const LARGE: usize = 256 << 20;
/// What is being fetched when its holder is killed.
pub(crate) const CELLAR: usize = 64 << 20;

/// The name of the resource of that size.
pub(crate) fn name(size: usize) -> String {
    format!("soup of {size}")
}

/// So many bytes, of which no two runs of eight are alike.
pub(crate) fn make(size: usize) -> Bytes {
    let words = (0..size.div_ceil(8) as u64).map(|word| (word + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes: Vec<u8> = Vec::with_capacity(size + 8);
    words.for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
    bytes.truncate(size);
    bytes.into()
}

pub(crate) fn check(came: &[u8], expected: &[u8]) -> Outcome<()> {
    if came == expected {
        Ok(())
    } else {
        Err(format!("{} bytes came, which are not those that were sent", came.len()).into())
    }
}
