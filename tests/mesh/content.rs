//! Bodies from which anybody can tell whether they are whole and whose they are.

use potluck::Bytes;

/// The length of a digest.
const DIGEST: usize = blake3::OUT_LEN;

/// Bytes that follow from a number alone, and are not compressible.
pub(crate) fn noise(seed: u64, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes.into()
}

/// A short text that stands for these bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..16].to_owned()
}

/// Who made a version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Label {
    pub(crate) peer: String,
    pub(crate) node: String,
    /// Which process of that node.
    pub(crate) process: u32,
    pub(crate) resource: String,
    pub(crate) version: u64,
}

/// A body that says whose it is, and then noise, of this length in all if that has room for it, and its digest.
pub(crate) fn written(label: &Label, len: usize) -> Bytes {
    let Label { peer, node, process, resource, version } = label;
    let mut bytes = format!("{peer} {node} {process} {resource} {version}\n").into_bytes();
    let seed = u64::from(*process) << 32 ^ version;
    bytes.extend_from_slice(&noise(seed, len.saturating_sub(bytes.len() + DIGEST)));
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    bytes.into()
}

/// Whose a body is; nothing if it is not whole.
pub(crate) fn read(bytes: &[u8]) -> Option<Label> {
    let (content, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST)?)?;
    if blake3::hash(content).as_bytes() != digest {
        return None;
    }
    let line = content.split(|byte| *byte == b'\n').next()?;
    let words: Vec<&str> = std::str::from_utf8(line).ok()?.split(' ').collect();
    let [peer, node, process, resource, version] = words[..] else { return None };
    Some(Label {
        peer: peer.to_owned(),
        node: node.to_owned(),
        process: process.parse().ok()?,
        resource: resource.to_owned(),
        version: version.parse().ok()?,
    })
}

#[test]
fn a_body_that_is_torn_or_mixed_is_known() {
    let label =
        |version| Label { peer: "ada".into(), node: "desk".into(), process: 7, resource: "soup".into(), version };
    let (first, second) = (written(&label(1), 1000), written(&label(2), 1000));
    assert_eq!((first.len(), read(&first)), (1000, Some(label(1))));
    assert_eq!(read(&[&first[..500], &second[500..]].concat()), None);
    assert_eq!((read(&first[..999]), read(b"")), (None, None));
    assert_eq!(read(&written(&label(3), 0)), Some(label(3)));
}
