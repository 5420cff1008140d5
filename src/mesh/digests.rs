//! The digests of large bodies that are given away, made by `potluck-mesh-sums` beside the sending of the pieces. What an edition's bytes have for a
//! digest is remembered, so that only the first who fetches it waits for it.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::Receiver;

use bytes::Bytes;

use super::engine::Incoming;
use super::keys::NodeId;
use super::node::Node;
use super::wire::{self, Answer, OriginId};
use crate::sync::{Arc, Mutex};
use crate::unwind::caught;

/// What names one content: the name, who made it, and the version; not of answers to asks, which have no version. A node that lies may give the
/// same names to other bytes, but those lie at another place here.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Content {
    pub(super) name: Arc<str>,
    pub(super) origin: OriginId,
    pub(super) version: u64,
    pub(super) place: usize,
    pub(super) len: usize,
}

pub(super) type Digest = [u8; 32];

/// What `potluck-mesh-sums` is to do.
pub(super) enum Sum {
    /// The first piece of a body is asked for: so its digest will be.
    Begin {
        ticket: u64,
        from: NodeId,
    },
    /// Answers with the digest.
    Query {
        query: Incoming,
        ticket: u64,
        from: NodeId,
    },
    Stop,
}

/// So many contents are remembered.
const CONTENTS_MAX: usize = 1024;
/// After so many bytes it is looked whether anybody still wants the digest.
const STEP_BYTES: usize = 1 << 20;

/// The digests of contents, the newest ones. Its lock is a leaf.
#[derive(Default)]
pub(super) struct Digests(Mutex<Known>);

#[derive(Default)]
struct Known {
    digests: HashMap<Content, Digest>,
    in_order: VecDeque<Content>,
}

impl Digests {
    pub(super) fn of(&self, content: &Content) -> Option<Digest> {
        self.0.lock().digests.get(content).copied()
    }

    fn remember(&self, content: Content, digest: Digest) {
        let mut known = self.0.lock();
        if known.digests.insert(content.clone(), digest).is_none() {
            known.in_order.push_back(content);
        }
        if known.in_order.len() > CONTENTS_MAX
            && let Some(oldest) = known.in_order.pop_front()
        {
            known.digests.remove(&oldest);
        }
    }
}

/// All that `potluck-mesh-sums` does.
pub(super) fn run(node: &Arc<Node>, sums: &Receiver<Sum>) {
    // The one that was made last, of what has no content to remember it by.
    let mut last = None;
    while let Ok(sum) = sums.recv() {
        let done = match sum {
            Sum::Stop => return,
            Sum::Begin { ticket, from } => caught(|| {
                digest(node, &mut last, ticket, &from);
            }),
            Sum::Query { query, ticket, from } => caught(|| {
                let answer = digest(node, &mut last, ticket, &from).map_or(Answer::Unknown, Answer::Digest);
                query.answer(&wire::encode(&answer), Bytes::new());
            }),
        };
        if let Err(text) = done {
            node.presence.counters(&node.me.name).note(&format!("a digest could not be made: {text}"));
        }
    }
}

/// `None` if the ticket is over.
fn digest(node: &Node, last: &mut Option<(u64, Digest)>, ticket: u64, from: &NodeId) -> Option<Digest> {
    let (body, content) = node.kept.body(ticket, from)?;
    let known = content.as_ref().and_then(|content| node.digests.of(content));
    if let Some(known) = known.or_else(|| last.filter(|(of, _)| *of == ticket).map(|(_, digest)| digest)) {
        return Some(known);
    }
    let mut hasher = blake3::Hasher::new();
    for step in body.chunks(STEP_BYTES) {
        hasher.update(step);
        if !node.kept.is_wanted(ticket) {
            return None;
        }
    }
    let digest = *hasher.finalize().as_bytes();
    match content {
        Some(content) => node.digests.remember(content, digest),
        None => *last = Some((ticket, digest)),
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_one_content_and_the_oldest_is_forgotten_first() {
        let digests = Digests::default();
        let content = |version: u64, place: usize| Content {
            name: "soup".into(),
            origin: OriginId { instance: 1, number: 2 },
            version,
            place,
            len: 1,
        };
        digests.remember(content(1, 64), [1; 32]);
        assert_eq!(digests.of(&content(1, 64)), Some([1; 32]));
        assert_eq!(digests.of(&content(1, 128)), None, "other bytes under the same names");
        assert_eq!(digests.of(&content(2, 64)), None);
        for version in 2..=CONTENTS_MAX as u64 + 1 {
            // Twice, as by two who ask at once: it counts once.
            digests.remember(content(version, 64), [2; 32]);
            digests.remember(content(version, 64), [2; 32]);
        }
        assert_eq!(digests.of(&content(1, 64)), None, "there was no room for it any more");
        assert_eq!(digests.of(&content(2, 64)), Some([2; 32]));
        assert_eq!(digests.0.lock().digests.len(), CONTENTS_MAX);
    }
}
