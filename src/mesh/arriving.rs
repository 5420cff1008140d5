//! A large body that arrives in pieces, in any order: its memory, and the digest of what has come.
//!
//! The digest is BLAKE3's, which is that of a tree: a piece is a subtree, hashed while the processor has its bytes at hand, and at the end the subtrees are
//! put together (`blake3::hazmat`). So no piece waits for another.
//!
//! The memory is a mapping of its own, of large pages where the system has them: with small ones a large body takes half as long
//! again. It goes back to the system with the last reference to the body.

use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root};
use bytes::Bytes;
use memmap2::MmapMut;
use zenoh::bytes::ZBytes;

use super::digests::Digest;
use super::wire::PIECE_BYTES;

pub(super) struct Arriving {
    memory: MmapMut,
    /// One of each piece that has come.
    subtrees: Vec<Option<ChainingValue>>,
    bytes_come: u64,
}

/// So many bytes are hashed at a time, right after they were copied.
const HASHED_BYTES: usize = 256 << 10;

impl Arriving {
    /// `None` if there is no memory for so many bytes, which are one at least.
    pub(super) fn new(size: u64) -> Option<Arriving> {
        let memory = MmapMut::map_anon(usize::try_from(size).ok()?).ok()?;
        // Without large pages it is slower, and nothing else.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::HugePage);
        Some(Arriving { memory, subtrees: vec![None; size.div_ceil(PIECE_BYTES) as usize], bytes_come: 0 })
    }

    fn size(&self) -> u64 {
        self.memory.len() as u64
    }

    /// How many bytes the piece has that begins there.
    pub(super) fn piece_len(&self, offset: u64) -> u64 {
        PIECE_BYTES.min(self.size() - offset)
    }

    pub(super) fn has(&self, offset: u64) -> bool {
        self.subtrees[index(offset)].is_some()
    }

    pub(super) fn bytes_come(&self) -> u64 {
        self.bytes_come
    }

    pub(super) fn is_whole(&self) -> bool {
        self.bytes_come == self.size()
    }

    /// Takes a whole piece, which has not come before.
    pub(super) fn put(&mut self, offset: u64, piece: &ZBytes) {
        let mut hasher = Hasher::new();
        hasher.set_input_offset(offset);
        let start = offset as usize;
        let (mut filled, mut hashed) = (start, start);
        for slice in piece.slices() {
            self.memory[filled..filled + slice.len()].copy_from_slice(slice);
            filled += slice.len();
            while filled - hashed >= HASHED_BYTES {
                hasher.update(&self.memory[hashed..hashed + HASHED_BYTES]);
                hashed += HASHED_BYTES;
            }
        }
        hasher.update(&self.memory[hashed..filled]);
        self.bytes_come += (filled - start) as u64;
        // A body of one piece has no tree above it: that piece is the root.
        self.subtrees[index(offset)] = Some(match self.size() <= PIECE_BYTES {
            true => *hasher.finalize().as_bytes(),
            false => hasher.finalize_non_root(),
        });
    }

    /// The digest of the body, once it is whole.
    pub(super) fn digest(&self) -> Option<Digest> {
        let subtrees: Vec<ChainingValue> = self.subtrees.iter().copied().collect::<Option<_>>()?;
        Some(match subtrees.as_slice() {
            [root] => *root,
            subtrees => {
                let (left, right) = halves(subtrees, self.size());
                *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
            }
        })
    }

    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.memory)
    }
}

fn index(offset: u64) -> usize {
    (offset / PIECE_BYTES) as usize
}

/// The two subtrees below the root of so many bytes, of more than one piece.
fn halves(subtrees: &[ChainingValue], size: u64) -> (ChainingValue, ChainingValue) {
    let left = left_subtree_len(size);
    let (lefts, rights) = subtrees.split_at(index(left));
    (merged(lefts, left), merged(rights, size - left))
}

fn merged(subtrees: &[ChainingValue], size: u64) -> ChainingValue {
    match subtrees {
        [one] => *one,
        more => {
            let (left, right) = halves(more, size);
            merge_subtrees_non_root(&left, &right, Mode::Hash)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(size: u64) -> Vec<u8> {
        (0..size).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
    }

    #[test]
    fn pieces_in_any_order_make_the_body_and_its_digest() {
        let few = 1000;
        for size in [1, few, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES, 5 * PIECE_BYTES + few] {
            let expected = body(size);
            let mut arriving = Arriving::new(size).expect("there is memory");
            let mut offsets: Vec<u64> = (0..size).step_by(PIECE_BYTES as usize).collect();
            offsets.reverse();
            let middle = offsets.len() / 2;
            offsets.rotate_left(middle);
            let mut come = 0;
            for offset in offsets {
                assert!(!arriving.has(offset) && !arriving.is_whole() && arriving.digest().is_none());
                let len = arriving.piece_len(offset);
                arriving.put(offset, &ZBytes::from(&expected[offset as usize..][..len as usize]));
                come += len;
                assert!(arriving.has(offset) && arriving.bytes_come() == come);
            }
            assert!(arriving.is_whole() && arriving.bytes_come() == size);
            assert_eq!(arriving.digest(), Some(*blake3::hash(&expected).as_bytes()), "of {size} bytes");
            assert!(arriving.into_bytes() == expected);
        }
    }

    #[test]
    fn one_other_byte_is_another_digest() {
        let size = PIECE_BYTES + 5;
        let expected = *blake3::hash(&body(size)).as_bytes();
        for wrong in [0, PIECE_BYTES, size - 1] {
            let mut arriving = Arriving::new(size).expect("there is memory");
            let mut came = body(size);
            came[wrong as usize] ^= 1;
            let (first, second) = came.split_at(PIECE_BYTES as usize);
            arriving.put(0, &ZBytes::from(first));
            arriving.put(PIECE_BYTES, &ZBytes::from(second));
            assert!(arriving.is_whole() && arriving.digest().is_some_and(|digest| digest != expected));
        }
    }

    #[test]
    fn what_has_no_room_is_none() {
        assert!(Arriving::new(u64::MAX).is_none() && Arriving::new(1 << 60).is_none());
    }
}
