//! The dead letters: a bounded ring of the newest, and a count of all. Its lock is the feed's, so that a letter is counted
//! in the step that emits its event.

use std::collections::VecDeque;

use crate::error::Error;
use crate::sync::Arc;

/// An accepted message that no handler has seen or will see; see [`PeerSystem::dead_letters`](crate::PeerSystem::dead_letters).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Who should have got it.
    pub to: Arc<str>,
    /// Who sent it.
    pub from: Arc<str>,
    /// Its kind.
    pub kind: Arc<str>,
    /// The size of its body in bytes.
    pub size: u64,
    /// Why.
    pub reason: Error,
}

/// The dead letters of a system; see [`PeerSystem::dead_letters`](crate::PeerSystem::dead_letters).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetters {
    /// How many there have ever been.
    pub count: u64,
    /// The newest of them, the newest last; at most as many as the system's option says.
    pub newest: Vec<DeadLetter>,
}

pub(crate) struct Ring {
    letters: VecDeque<DeadLetter>,
    letters_max: u64,
    count: u64,
}

impl Ring {
    pub(crate) fn new(letters_max: u64) -> Ring {
        Ring { letters: VecDeque::new(), letters_max, count: 0 }
    }

    pub(crate) fn put(&mut self, letter: DeadLetter) {
        self.count += 1;
        if self.letters.len() as u64 >= self.letters_max {
            self.letters.pop_front();
        }
        self.letters.push_back(letter);
    }

    pub(crate) fn read(&self) -> DeadLetters {
        DeadLetters { count: self.count, newest: self.letters.iter().cloned().collect() }
    }
}
