//! A round of requests among all peers: whom each gets it from, and what became of it.
//!
//! Where there are many peers, a round waits for memory more than for anything else. So what became of each is kept in a few bytes; names
//! and errors are made of them for whoever looks at it, and no reference to a peer or a name is counted.

use std::fmt;

use crate::call;
use crate::core::{Begun, Form, PeerCore, SystemCore, Verb};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::name;
use crate::random::{self, SplitMix64};
use crate::registry::List;
use crate::resource::Resource;
use crate::sync::Arc;

/// What became of a [`PeerSystem::mingle`](crate::PeerSystem::mingle): an entry for each peer, in the order of spawning.
///
/// It may be used from several threads, and it outlives the peers and the system.
#[derive(Clone)]
pub struct Round {
    peers: List<PeerCore>,
    entries: Vec<Entry>,
}

/// What one peer did in a [`Round`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Mingled {
    /// Who requested.
    pub peer: Arc<str>,
    /// From whom; `None` if nobody else held it.
    pub from: Option<Arc<str>>,
    /// What it got.
    pub result: Result<Resource>,
}

#[derive(Clone)]
struct Entry {
    /// Whom it was requested from, as a place among the peers, or `NOBODY`.
    from: u32,
    result: Result<Resource, Box<Error>>,
}

const NOBODY: u32 = u32::MAX;

impl Entry {
    /// Of one that could get it from nobody.
    #[cold]
    fn without(error: Error) -> Entry {
        Entry { from: NOBODY, result: Err(Box::new(error)) }
    }
}

impl Round {
    /// How many peers there were.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there was nobody to mingle with.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What became of each, in the order of spawning.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Mingled> {
        self.peers.iter().zip(&self.entries).map(|(peer, entry)| Mingled {
            peer: Arc::clone(&peer.name),
            from: self.peers.get(entry.from as usize).map(|from| Arc::clone(&from.name)),
            result: entry.result.clone().map_err(|error| *error),
        })
    }
}

impl fmt::Debug for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

pub(crate) fn mingle(system: &SystemCore, resource: &str, seed: u64, deadline: Deadline) -> Result<Round> {
    name::check_resource(resource)?;
    let key = Key::new(resource);
    let holders = system.registry.holder_ids(key);
    if holders.is_empty() {
        return Err(Error::NoSuchResource { name: resource.to_owned(), peer: None });
    }
    let peers = system.registry.list();
    let mut entries = Vec::with_capacity(peers.len());
    if peers.len() > 1 {
        let (mut holders, mut random) = (Holders::new(peers.ids(), &holders), SplitMix64::new(seed));
        for at in 0..peers.len() {
            entries.push(mingle_one(&peers, at, key, &mut holders, &mut random, deadline));
        }
    }
    Ok(Round { peers, entries })
}

/// The holders that a round knows of, as places in the order of spawning: those at its beginning, and those that it made. Any can be
/// picked in one step.
struct Holders {
    holders: Vec<u32>,
    /// By peer: its index among the holders, or `NOBODY`.
    index: Vec<u32>,
}

impl Holders {
    /// Both lists are in the order of spawning.
    fn new(peers: &[u64], holders: &[u64]) -> Holders {
        let mut left = holders.iter().peekable();
        let mut found = Holders { holders: Vec::with_capacity(peers.len()), index: vec![NOBODY; peers.len()] };
        for (place, peer) in peers.iter().enumerate() {
            // One that has come or gone between the two lists is left out.
            while left.next_if(|holder| *holder < peer).is_some() {}
            if left.next_if(|holder| *holder == peer).is_some() {
                found.add(place);
            }
        }
        found
    }

    fn pick(&self, but: usize, seeded: &mut SplitMix64) -> Option<usize> {
        let own = Some(self.index[but]).filter(|index| *index != NOBODY).map(|index| index as usize);
        let at = random::place_but(own, self.holders.len(), |choices| seeded.below(choices))?;
        Some(self.holders[at] as usize)
    }

    fn add(&mut self, place: usize) {
        if self.index[place] == NOBODY {
            self.index[place] = self.holders.len() as u32;
            self.holders.push(place as u32);
        }
    }

    fn remove(&mut self, place: usize) {
        let index = std::mem::replace(&mut self.index[place], NOBODY);
        if index != NOBODY {
            self.holders.swap_remove(index as usize);
            if let Some(moved) = self.holders.get(index as usize) {
                self.index[*moved as usize] = index;
            }
        }
    }
}

fn mingle_one(
    peers: &[Arc<PeerCore>],
    at: usize,
    resource: Key<'_>,
    holders: &mut Holders,
    random: &mut SplitMix64,
    deadline: Deadline,
) -> Entry {
    if let Err(error) = peers[at].check_acting() {
        return Entry::without(error);
    }
    while let Some(place) = holders.pick(at, random) {
        let (caller, target) = (&peers[at], &peers[place]);
        let result = call::request_at_once(caller, target, resource).unwrap_or_else(|| {
            let begun = call::carry(caller, target, Verb::Request, resource, Form::Blocking(deadline));
            begun.and_then(Begun::resource).map_err(Box::new)
        });
        match &result {
            // Somebody else's act: at this moment it is no holder.
            Err(error) if matches!(**error, Error::PeerClosed { .. } | Error::NoSuchResource { .. }) => {
                holders.remove(place);
                continue;
            }
            Ok(_) => holders.add(at),
            Err(_) => {}
        }
        return Entry { from: place as u32, result };
    }
    Entry::without(Error::NoSuchResource { name: resource.text.to_owned(), peer: None })
}
