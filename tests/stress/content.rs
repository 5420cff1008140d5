//! Bodies from which anybody can tell whether they are whole, whose they are, and whether a version means them alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use potluck::{Bytes, Resource};

use crate::kitchen::RESOURCES;
use crate::random::Random;

/// So many versions are remembered at least. A run that lasts for hours must not grow.
const REMEMBERED: usize = 20_000;

/// Makes bodies and checks them.
pub(crate) struct Contents {
    next: AtomicU64,
    alive: Arc<AtomicU64>,
    /// Which share made a version: of the newest that were seen, and of those before them.
    versions: Mutex<[HashMap<Version, u64>; 2]>,
}

/// A peer spawned again under an old name is another maker, though `origin` is the same.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Version {
    maker: u64,
    name: &'static str,
    version: u64,
}

/// A body that is counted for as long as anybody holds it.
struct Counted {
    bytes: Vec<u8>,
    alive: Arc<AtomicU64>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Contents {
    pub(crate) fn new() -> Contents {
        Contents { next: AtomicU64::new(1), alive: Arc::new(AtomicU64::new(0)), versions: Mutex::default() }
    }

    /// A number that no other peer and no other share has.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// How many bodies somebody still holds.
    pub(crate) fn alive(&self) -> u64 {
        self.alive.load(Ordering::SeqCst)
    }

    /// The body of one share: no other is the same.
    pub(crate) fn of_share(&self, maker: u64, origin: &str, name: &str) -> Bytes {
        self.counted(written(maker, self.number(), &[origin, name]))
    }

    /// The body of a message of this number, or of the answer to it.
    pub(crate) fn of_message(&self, number: u64, what: &str) -> Bytes {
        self.counted(written(0, number, &[what]))
    }

    fn counted(&self, bytes: Vec<u8>) -> Bytes {
        self.alive.fetch_add(1, Ordering::SeqCst);
        Bytes::from_owner(Counted { bytes, alive: Arc::clone(&self.alive) })
    }

    /// Says what is wrong with a resource: it is torn, mixed, of another origin, or its version means another content, too.
    pub(crate) fn check(&self, resource: &Resource) -> Result<(), String> {
        let bytes = resource.bytes();
        let maker = maker(resource).ok_or_else(|| format!("{resource:?} is torn: {} bytes", bytes.len()))?;
        let number = number_at(bytes, 8).unwrap_or_default();
        if written(maker, number, &[resource.origin(), resource.name()]) != bytes {
            return Err(format!("{resource:?} is not what {maker} made by share {number}"));
        }
        // All of the body follows from this number, so it stands for the body as its digest would.
        let name =
            RESOURCES.into_iter().find(|name| *name == resource.name()).expect("it is what was made under this name");
        let version = Version { maker, name, version: resource.version() };
        let mut versions = self.versions.lock();
        let known = versions[0].get(&version).or_else(|| versions[1].get(&version)).copied();
        if let Some(other) = known.filter(|it| *it != number) {
            return Err(format!("{resource:?} of {maker} means the shares {other} and {number}"));
        }
        if versions[0].len() >= REMEMBERED {
            versions.swap(0, 1);
            versions[0].clear();
        }
        versions[0].insert(version, number);
        Ok(())
    }

    /// Says what is wrong with the body of a message, or of an answer.
    pub(crate) fn check_message(&self, bytes: &[u8], number: u64, what: &str) -> Result<(), String> {
        if written(0, number, &[what]) == bytes {
            return Ok(());
        }
        Err(format!("{} bytes are not the {what} {number}", bytes.len()))
    }
}

/// Who made a resource, also among peers of one name.
pub(crate) fn maker(resource: &Resource) -> Option<u64> {
    number_at(resource.bytes(), 0)
}

fn number_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// The maker and the number, and then noise whose length and bytes follow from these and from the texts.
fn written(maker: u64, number: u64, texts: &[&str]) -> Vec<u8> {
    let mut seed = Random(maker ^ number.rotate_left(32));
    let all = texts.iter().flat_map(|text| text.bytes().chain([0]));
    let seed = all.fold(seed.next(), |seed, byte| Random(seed ^ u64::from(byte)).next());
    let mut random = Random(seed);
    let words = match random.below(64) {
        0 => random.below(4_000),
        1..8 => random.below(200),
        _ => random.below(8),
    };
    [maker, number].into_iter().chain((0..words).map(|_| random.next())).flat_map(u64::to_le_bytes).collect()
}
