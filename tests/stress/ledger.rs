//! Every message by its number: what its sender was told, and what became of it.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use potluck::{Error, Result};

/// What became of an accepted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Handled,
    Buried,
}

/// What the sender's result says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Either of the two.
    Accepted,
    Handled,
    Buried,
    /// A close or its sender ended it: either of the two, or it was never accepted. Kept as a bit.
    Unknown,
    NotSent,
}

/// Of a message whose account is not closed.
enum Open {
    Told(Told),
    Fate(Fate),
}

/// How many there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) tells: u64,
    pub(crate) asks: u64,
    pub(crate) handled: u64,
    pub(crate) buried: u64,
}

#[derive(Default)]
pub(crate) struct Ledger(Mutex<Pages>);

#[derive(Default)]
struct Pages {
    next: u64,
    open: HashMap<u64, Open>,
    /// A bit for each message that ended so, and that nothing may ever become of. They are many.
    unknown: Vec<u64>,
    counts: Counts,
}

impl Pages {
    /// Marks a message, or takes its mark away; says whether it had one.
    fn mark(&mut self, number: u64, is_unknown: bool) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if word >= self.unknown.len() {
            self.unknown.resize(word + 1, 0);
        }
        let had = self.unknown[word] & bit != 0;
        self.unknown[word] = if is_unknown { self.unknown[word] | bit } else { self.unknown[word] & !bit };
        had
    }
}

impl Ledger {
    /// The number of the next message.
    pub(crate) fn number(&self) -> u64 {
        let mut pages = self.0.lock();
        pages.next += 1;
        pages.next
    }

    /// What a tell of this number returned.
    pub(crate) fn told<T>(&self, number: u64, result: &Result<T>) -> Result<(), String> {
        let told = if result.is_ok() { Told::Accepted } else { Told::NotSent };
        self.0.lock().counts.tells += u64::from(result.is_ok());
        self.sender(number, told)
    }

    /// What an ask of this number returned.
    pub(crate) fn asked<T>(&self, number: u64, result: &Result<T>, timeout: Duration) -> Result<(), String> {
        let told = match result {
            Ok(_) => Told::Handled,
            Err(Error::NoReply { .. } | Error::UnknownMessage { .. } | Error::HandlerFailed { .. }) => Told::Handled,
            Err(Error::OutcomeUnknown { .. }) => Told::Handled,
            // It was queued, and taken back; at timeout 0 it never was.
            Err(Error::TimedOut) if !timeout.is_zero() => Told::Buried,
            Err(Error::PeerClosed { .. } | Error::Closed { .. } | Error::Canceled) => Told::Unknown,
            Err(_) => Told::NotSent,
        };
        self.0.lock().counts.asks += u64::from(matches!(told, Told::Handled | Told::Buried));
        self.sender(number, told)
    }

    fn sender(&self, number: u64, told: Told) -> Result<(), String> {
        let mut pages = self.0.lock();
        match pages.open.remove(&number) {
            Some(Open::Fate(fate)) => return agree(number, told, fate),
            Some(Open::Told(before)) => return Err(format!("message {number} was sent twice: {before:?}, {told:?}")),
            None => {}
        }
        match told {
            Told::Unknown => drop(pages.mark(number, true)),
            // If a fate comes nevertheless, it will be found that nobody sent this message.
            Told::NotSent => {}
            _ => drop(pages.open.insert(number, Open::Told(told))),
        }
        Ok(())
    }

    /// A handler or a receiver has it, or it is a dead letter.
    pub(crate) fn fate(&self, number: u64, fate: Fate) -> Result<(), String> {
        let mut pages = self.0.lock();
        match fate {
            Fate::Handled => pages.counts.handled += 1,
            Fate::Buried => pages.counts.buried += 1,
        }
        match pages.open.remove(&number) {
            Some(Open::Told(told)) => return agree(number, told, fate),
            Some(Open::Fate(before)) => return Err(format!("message {number} was {before:?}, and {fate:?}")),
            None => {}
        }
        if !pages.mark(number, false) {
            pages.open.insert(number, Open::Fate(fate));
        }
        Ok(())
    }

    /// When all is over: which messages are not accounted for exactly once.
    pub(crate) fn missing(&self) -> Vec<String> {
        let pages = self.0.lock();
        let missing = pages.open.iter().map(|(number, open)| match open {
            Open::Told(told) => format!("message {number} was {told:?}, and nothing became of it"),
            Open::Fate(fate) => format!("message {number} was {fate:?}, and nobody sent it, or it was so twice"),
        });
        missing.collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.0.lock().counts.clone()
    }
}

fn agree(number: u64, told: Told, fate: Fate) -> Result<(), String> {
    match (told, fate) {
        (Told::Accepted | Told::Unknown, _) | (Told::Handled, Fate::Handled) | (Told::Buried, Fate::Buried) => Ok(()),
        _ => Err(format!("message {number} was {told:?} as its sender knows, and {fate:?}")),
    }
}
