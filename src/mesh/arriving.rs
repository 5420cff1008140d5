//! A large body that arrives in pieces, in any order, and each piece in parts, one after the other: its memory, and the digest of what has come.
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
    pieces: Vec<Piece>,
    bytes_come: u64,
}

enum Piece {
    /// Of the piece so many bytes, and of these the hasher has had so many.
    Comes {
        filled: usize,
        hashed: usize,
        hasher: Box<Hasher>,
    },
    Whole(ChainingValue),
    Missing,
}

/// So many bytes are hashed at a time, soon after they were copied.
const HASHED_BYTES: usize = 128 << 10;

impl Arriving {
    /// `None` if there is no memory for so many bytes, or none is wanted.
    pub(super) fn new(size: u64) -> Option<Arriving> {
        if size == 0 {
            return None;
        }
        let memory = MmapMut::map_anon(usize::try_from(size).ok()?).ok()?;
        // Without large pages it is slower, and nothing else.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::HugePage);
        let pieces = (0..size.div_ceil(PIECE_BYTES)).map(|_| Piece::Missing).collect();
        Some(Arriving { memory, pieces, bytes_come: 0 })
    }

    fn size(&self) -> u64 {
        self.memory.len() as u64
    }

    /// Where the piece ends that begins there.
    pub(super) fn piece_end(&self, offset: u64) -> u64 {
        self.size().min(offset + PIECE_BYTES)
    }

    /// Up to where the piece has come that begins there.
    pub(super) fn come(&self, offset: u64) -> u64 {
        match &self.pieces[index(offset)] {
            Piece::Missing => offset,
            Piece::Comes { filled, .. } => offset + *filled as u64,
            Piece::Whole(_) => self.piece_end(offset),
        }
    }

    pub(super) fn has(&self, offset: u64) -> bool {
        self.come(offset) == self.piece_end(offset)
    }

    pub(super) fn bytes_come(&self) -> u64 {
        self.bytes_come
    }

    pub(super) fn is_whole(&self) -> bool {
        self.bytes_come == self.size()
    }

    /// Takes the next part of the piece that begins at `offset`. One for another place is dropped: it has come already, or is too much.
    pub(super) fn put(&mut self, offset: u64, at: u64, part: &ZBytes) {
        let end = self.piece_end(offset) as usize;
        let memory = &mut self.memory[offset as usize..end];
        let is_all = self.pieces.len() == 1;
        let piece = &mut self.pieces[index(offset)];
        if let Piece::Missing = piece {
            let mut hasher = Box::new(Hasher::new());
            hasher.set_input_offset(offset);
            *piece = Piece::Comes { filled: 0, hashed: 0, hasher };
        }
        let Piece::Comes { filled, hashed, hasher } = piece else { return };
        if at != offset + *filled as u64 || part.len() > memory.len() - *filled {
            return;
        }
        for slice in part.slices() {
            memory[*filled..*filled + slice.len()].copy_from_slice(slice);
            *filled += slice.len();
        }
        self.bytes_come += part.len() as u64;
        while *filled - *hashed >= HASHED_BYTES {
            hasher.update(&memory[*hashed..*hashed + HASHED_BYTES]);
            *hashed += HASHED_BYTES;
        }
        if *filled == memory.len() {
            hasher.update(&memory[*hashed..]);
            // A body of one piece has no tree above it: that piece is the root.
            *piece = Piece::Whole(match is_all {
                true => *hasher.finalize().as_bytes(),
                false => hasher.finalize_non_root(),
            });
        }
    }

    /// The digest of the body, once it is whole.
    pub(super) fn digest(&self) -> Option<Digest> {
        let whole = |piece: &Piece| match piece {
            Piece::Whole(subtree) => Some(*subtree),
            _ => None,
        };
        let subtrees: Vec<ChainingValue> = self.pieces.iter().map(whole).collect::<Option<_>>()?;
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

    /// Puts a piece of a body that begins there, in parts of so many bytes.
    fn put(arriving: &mut Arriving, offset: u64, body: &[u8], part: usize) {
        let piece = &body[offset as usize..arriving.piece_end(offset) as usize];
        let mut at = offset;
        for part in piece.chunks(part) {
            assert!(!arriving.has(offset) && arriving.come(offset) == at);
            arriving.put(offset, at, &ZBytes::from(part));
            at += part.len() as u64;
        }
        assert!(arriving.has(offset) && arriving.come(offset) == at);
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
            for (offset, part) in offsets.into_iter().zip([61_440, 1 << 20, 99_999, 4096].into_iter().cycle()) {
                assert!(!arriving.is_whole() && arriving.digest().is_none());
                put(&mut arriving, offset, &expected, part);
                come += arriving.piece_end(offset) - offset;
                assert_eq!(arriving.bytes_come(), come);
            }
            assert!(arriving.is_whole());
            assert_eq!(arriving.digest(), Some(*blake3::hash(&expected).as_bytes()), "of {size} bytes");
            assert!(arriving.into_bytes() == expected);
        }
    }

    /// As when a piece has been asked for again, and both answers come.
    #[test]
    fn a_part_for_another_place_is_dropped() {
        let size = PIECE_BYTES + 5;
        let expected = body(size);
        let part = |at: usize, end: usize| ZBytes::from(&expected[at..end]);
        let mut arriving = Arriving::new(size).expect("there is memory");
        arriving.put(0, 0, &part(0, 1000));
        arriving.put(0, 0, &part(0, 1000));
        arriving.put(0, 500, &part(500, 1500));
        arriving.put(0, 2000, &part(2000, 3000));
        assert_eq!((arriving.come(0), arriving.bytes_come()), (1000, 1000));
        arriving.put(0, 1000, &ZBytes::from(vec![1; PIECE_BYTES as usize - 999]));
        assert_eq!(arriving.come(0), 1000, "more than belongs to the piece");
        arriving.put(0, 1000, &part(1000, PIECE_BYTES as usize));
        arriving.put(0, 1000, &part(1000, 2000));
        put(&mut arriving, PIECE_BYTES, &expected, 2);
        assert_eq!((arriving.bytes_come(), arriving.digest()), (size, Some(*blake3::hash(&expected).as_bytes())));
        assert!(arriving.into_bytes() == expected);
    }

    #[test]
    fn one_other_byte_is_another_digest() {
        let size = PIECE_BYTES + 5;
        let expected = *blake3::hash(&body(size)).as_bytes();
        for wrong in [0, PIECE_BYTES, size - 1] {
            let mut arriving = Arriving::new(size).expect("there is memory");
            let mut came = body(size);
            came[wrong as usize] ^= 1;
            put(&mut arriving, 0, &came, 61_440);
            put(&mut arriving, PIECE_BYTES, &came, 61_440);
            assert!(arriving.is_whole() && arriving.digest().is_some_and(|digest| digest != expected));
        }
    }

    #[test]
    fn what_has_no_room_is_none() {
        assert!([0, 1 << 60, u64::MAX].into_iter().all(|size| Arriving::new(size).is_none()));
    }
}
