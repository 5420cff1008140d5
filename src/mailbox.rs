//! The mailbox: the messages to one peer, bounded by count and by bytes, and who waits for room or for a message.
//!
//! The queue itself is an unbounded crossbeam channel; the bound is one word of our own, so that room can be reserved
//! before anything is counted or pushed, and so that a closed mailbox admits nothing more. What was reserved before the
//! close will be pushed: the last to look waits until the word says that nothing is left.
//!
//! Room is granted in order of arrival: who finds others waiting waits behind them, or is told that it is full. Who
//! frees room gives it to the first in line, pushes its message and ends its wait: no sender has to wake up to be served.
//! Waiting is register then re-check, freeing is free then look, with a SeqCst fence on each side.

use std::collections::VecDeque;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::error::{Error, Result};
use crate::message::{Ask, Letter, Tell};
use crate::sync::{Arc, AtomicBool, AtomicU64, AtomicUsize, Mutex, OnceLock, Ordering, Thread, fence};
use crate::turn::{Cause, Interrupt, Phase, Wait};

pub(crate) struct Mailbox {
    queue: (Sender<Letter>, Receiver<Letter>),
    room: Room,
    /// How many letters were taken out by the peer's thread; with those inside, the number of the newest.
    taken: AtomicU64,
    /// Who waits for room; the count can be read without the lock.
    senders: Mutex<Line<Waiting>>,
    senders_len: AtomicUsize,
    /// Who waits for a message, at a peer without on_message; every taker there holds the lock.
    receivers: Mutex<Line<Arc<Wait<Letter>>>>,
    receivers_len: AtomicUsize,
    is_inbox: bool,
    bell: Bell,
}

struct Line<T> {
    closed: bool,
    entries: VecDeque<T>,
}

impl<T> Line<T> {
    fn new() -> Mutex<Line<T>> {
        Mutex::new(Line {
            closed: false,
            entries: VecDeque::new(),
        })
    }
}

/// A message that waits for room.
#[derive(Clone)]
pub(crate) enum Waiting {
    Tell(Arc<Parcel>),
    Ask(Arc<Ask>),
}

/// A tell whose sender waits for room.
pub(crate) struct Parcel {
    pub(crate) wait: Wait<()>,
    tell: Mutex<Option<Tell>>,
    size: usize,
}

impl Parcel {
    pub(crate) fn new(tell: Tell) -> Parcel {
        Parcel {
            wait: Wait::new(),
            size: tell.body.len(),
            tell: Mutex::new(Some(tell)),
        }
    }
}

impl Interrupt for Parcel {
    fn interrupt(&self, name: &str) {
        self.wait.interrupt(name);
    }
}

impl Waiting {
    fn size(&self) -> usize {
        match self {
            Waiting::Tell(parcel) => parcel.size,
            Waiting::Ask(ask) => ask.size,
        }
    }

    fn is_open(&self) -> bool {
        match self {
            Waiting::Tell(parcel) => parcel.wait.is_open(),
            Waiting::Ask(ask) => ask.wait.is_open(),
        }
    }

    fn is(&self, other: &Waiting) -> bool {
        match (self, other) {
            (Waiting::Tell(a), Waiting::Tell(b)) => Arc::ptr_eq(a, b),
            (Waiting::Ask(a), Waiting::Ask(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// Tells the sender that the peer has closed.
    pub(crate) fn refuse(&self, error: Error) {
        match self {
            Waiting::Tell(parcel) => parcel.wait.end(Cause::PeerClosed, Err(error)),
            Waiting::Ask(ask) => ask.wait.end(Cause::PeerClosed, Err(error)),
        };
    }
}

/// Why a letter did not go in at once.
pub(crate) enum NotSent {
    Full(Letter),
    Closed,
    TooLarge { limit: u64 },
}

impl Mailbox {
    /// With `is_inbox` messages are for `receive`; otherwise they are for the peer's thread.
    pub(crate) fn new(messages_max: u64, bytes_max: u64, is_inbox: bool) -> Mailbox {
        Mailbox {
            queue: unbounded(),
            room: Room::new(messages_max, bytes_max),
            taken: AtomicU64::new(0),
            senders: Line::new(),
            senders_len: AtomicUsize::new(0),
            receivers: Line::new(),
            receivers_len: AtomicUsize::new(0),
            is_inbox,
            bell: Bell::new(),
        }
    }

    pub(crate) fn is_inbox(&self) -> bool {
        self.is_inbox
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Puts a letter in if there is room now and nobody waits for it.
    pub(crate) fn try_send(&self, letter: Letter) -> Result<(), NotSent> {
        if self.senders_len.load(Ordering::SeqCst) > 0 {
            return Err(NotSent::Full(letter));
        }
        match self.room.reserve(letter.size()) {
            Ok(()) => {
                self.push(letter);
                Ok(())
            }
            Err(NoRoom::Full) => Err(NotSent::Full(letter)),
            Err(NoRoom::Closed) => Err(NotSent::Closed),
            Err(NoRoom::TooLarge) => Err(NotSent::TooLarge {
                limit: self.room.bytes_max,
            }),
        }
    }

    /// Whether a message of `size` bytes would have to wait for room.
    pub(crate) fn is_full(&self, size: usize) -> bool {
        self.senders_len.load(Ordering::SeqCst) > 0 || self.room.is_full(size)
    }

    /// Puts a sender in line for room; refused if the mailbox is closed.
    pub(crate) fn wait_for_room(&self, waiting: Waiting) -> bool {
        {
            let mut senders = self.senders.lock();
            if senders.closed {
                return false;
            }
            senders.entries.push_back(waiting);
            self.senders_len.store(senders.entries.len(), Ordering::SeqCst);
        }
        fence(Ordering::SeqCst);
        self.grant_room();
        true
    }

    /// Takes a sender that gave up out of the line; who is behind it may fit now.
    pub(crate) fn leave_line(&self, waiting: &Waiting) {
        {
            let mut senders = self.senders.lock();
            senders.entries.retain(|other| !other.is(waiting));
            self.senders_len.store(senders.entries.len(), Ordering::SeqCst);
        }
        self.grant_room();
    }

    /// Takes a letter out, for the peer's thread or for the one who closes; its room is free then.
    pub(crate) fn take(&self) -> Option<Letter> {
        let letter = self.take_out()?;
        self.release(letter.size());
        Some(letter)
    }

    /// Takes a letter out; the caller releases its room, under no lock.
    fn take_out(&self) -> Option<Letter> {
        let letter = self.queue.1.try_recv().ok()?;
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(letter)
    }

    /// The number of the newest letter, roughly: those taken out and those inside.
    pub(crate) fn newest(&self) -> u64 {
        self.taken.load(Ordering::Relaxed) + self.room.messages()
    }

    /// Whether all letters up to that number have been taken out.
    pub(crate) fn has_taken(&self, number: u64) -> bool {
        self.taken.load(Ordering::Relaxed) >= number
    }

    /// Nothing can be taken out now; something reserved may be about to come.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.1.is_empty()
    }

    /// Nothing is inside and nothing is about to come; for good, once it is closed.
    pub(crate) fn is_drained(&self) -> bool {
        self.room.messages() == 0
    }

    /// Takes the next message for `receive`, or puts the wait in line: then `None`. Refused when closed.
    pub(crate) fn receive(&self, wait: Option<&Arc<Wait<Letter>>>) -> Result<Option<Letter>, NotSent> {
        let mut receivers = self.receivers.lock();
        if receivers.closed {
            return Err(NotSent::Closed);
        }
        if receivers.entries.iter().all(|wait| !wait.is_open())
            && let Some(letter) = self.take_out()
        {
            drop(receivers);
            self.release(letter.size());
            return Ok(Some(letter));
        }
        if let Some(wait) = wait {
            receivers.entries.push_back(Arc::clone(wait));
            self.receivers_len.store(receivers.entries.len(), Ordering::SeqCst);
            drop(receivers);
            fence(Ordering::SeqCst);
            self.grant_letters();
        }
        Ok(None)
    }

    pub(crate) fn leave_receivers(&self, wait: &Arc<Wait<Letter>>) {
        let mut receivers = self.receivers.lock();
        receivers.entries.retain(|other| !Arc::ptr_eq(other, wait));
        self.receivers_len.store(receivers.entries.len(), Ordering::SeqCst);
    }

    /// Admits nothing more; gives back who waits, to be told. What is inside stays for `take`.
    pub(crate) fn close(&self) -> (VecDeque<Waiting>, VecDeque<Arc<Wait<Letter>>>) {
        self.room.close();
        let mut senders = self.senders.lock();
        senders.closed = true;
        self.senders_len.store(0, Ordering::SeqCst);
        let mut receivers = self.receivers.lock();
        receivers.closed = true;
        self.receivers_len.store(0, Ordering::SeqCst);
        (
            std::mem::take(&mut senders.entries),
            std::mem::take(&mut receivers.entries),
        )
    }

    /// With room reserved: counts the letter, pushes it and wakes who takes it.
    fn push(&self, letter: Letter) {
        match &letter {
            Letter::Tell(tell) => {
                if let Some(pair) = &tell.pair {
                    pair.tell();
                }
            }
            Letter::Ask(ask) => {
                if !ask.wait.step(Phase::Waiting, Phase::Queued) {
                    self.release(ask.size);
                    return;
                }
            }
        }
        if self.queue.0.send(letter).is_err() {
            unreachable!("the mailbox keeps its own receiving end");
        }
        if self.is_inbox {
            fence(Ordering::SeqCst);
            if self.receivers_len.load(Ordering::SeqCst) > 0 {
                self.grant_letters();
            }
        }
        // Also at an inbox: its thread waits for the last letters when the peer closes.
        self.bell.ring();
    }

    fn release(&self, size: usize) {
        if self.room.release(size) {
            // The peer's thread may be waiting for the last letter to be gone.
            self.bell.ring();
        }
        fence(Ordering::SeqCst);
        if self.senders_len.load(Ordering::SeqCst) > 0 {
            self.grant_room();
        }
    }

    /// Gives the room there is to the first in line.
    fn grant_room(&self) {
        let mut granted = Vec::new();
        {
            let mut senders = self.senders.lock();
            while let Some(first) = senders.entries.front() {
                if first.is_open() && self.room.reserve(first.size()).is_err() {
                    break;
                }
                granted.extend(senders.entries.pop_front());
            }
            self.senders_len.store(senders.entries.len(), Ordering::SeqCst);
        }
        for waiting in granted {
            self.admit(waiting);
        }
    }

    fn admit(&self, waiting: Waiting) {
        match waiting {
            // An ask that was given up since is noticed by the push.
            Waiting::Ask(ask) => self.push(Letter::Ask(ask)),
            Waiting::Tell(parcel) => match parcel.wait.claim(Cause::Answered) {
                Some(_) => {
                    let tell = parcel.tell.lock().take();
                    if let Some(tell) = tell {
                        self.push(Letter::Tell(tell));
                    }
                    parcel.wait.finish(Ok(()));
                }
                None => self.release(parcel.size),
            },
        }
    }

    /// Gives letters to those who wait in `receive`, in order of arrival.
    fn grant_letters(&self) {
        loop {
            let (wait, letter) = {
                let mut receivers = self.receivers.lock();
                if self.queue.1.is_empty() {
                    return;
                }
                let Some(wait) = receivers.entries.pop_front() else {
                    return;
                };
                self.receivers_len.store(receivers.entries.len(), Ordering::SeqCst);
                if wait.claim(Cause::Answered).is_none() {
                    continue;
                }
                (wait, self.take_out())
            };
            match letter {
                Some(letter) => {
                    self.release(letter.size());
                    wait.finish(Ok(letter));
                }
                None => unreachable!("letters of an inbox are taken under its lock"),
            }
        }
    }
}

/// How many messages and bytes are inside: one word, so that both limits cost one atomic operation.
///
/// From the top: 1 bit closed, 22 bits messages, 41 bits bytes. Limits above what the fields hold are what they hold.
struct Room {
    word: AtomicU64,
    messages_max: u64,
    bytes_max: u64,
}

const BYTES_BITS: u32 = 41;
const BYTES_MASK: u64 = (1 << BYTES_BITS) - 1;
const ONE_MESSAGE: u64 = 1 << BYTES_BITS;
const MESSAGES_MASK: u64 = (1 << 22) - 1;
const CLOSED: u64 = 1 << 63;

#[derive(Debug, PartialEq, Eq)]
enum NoRoom {
    Full,
    Closed,
    TooLarge,
}

impl Room {
    fn new(messages_max: u64, bytes_max: u64) -> Room {
        Room {
            word: AtomicU64::new(0),
            messages_max: messages_max.min(MESSAGES_MASK),
            bytes_max: bytes_max.min(BYTES_MASK),
        }
    }

    fn reserve(&self, size: usize) -> Result<(), NoRoom> {
        let size = size as u64;
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & CLOSED != 0 {
                return Err(NoRoom::Closed);
            }
            if size > self.bytes_max {
                return Err(NoRoom::TooLarge);
            }
            if Self::messages_of(word) >= self.messages_max || (word & BYTES_MASK) + size > self.bytes_max {
                return Err(NoRoom::Full);
            }
            let more = word + ONE_MESSAGE + size;
            match self
                .word
                .compare_exchange_weak(word, more, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// True if the mailbox is closed.
    fn release(&self, size: usize) -> bool {
        self.word.fetch_sub(ONE_MESSAGE + size as u64, Ordering::SeqCst) & CLOSED != 0
    }

    fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::SeqCst);
    }

    fn messages(&self) -> u64 {
        Self::messages_of(self.word.load(Ordering::SeqCst))
    }

    fn is_full(&self, size: usize) -> bool {
        let word = self.word.load(Ordering::SeqCst);
        Self::messages_of(word) >= self.messages_max || (word & BYTES_MASK) + size as u64 > self.bytes_max
    }

    fn messages_of(word: u64) -> u64 {
        (word >> BYTES_BITS) & MESSAGES_MASK
    }
}

/// Wakes the peer's own thread, if it sleeps.
pub(crate) struct Bell {
    asleep: AtomicBool,
    /// Set before anybody else can reach the peer.
    thread: OnceLock<Thread>,
}

impl Bell {
    fn new() -> Bell {
        Bell {
            asleep: AtomicBool::new(false),
            thread: OnceLock::new(),
        }
    }

    pub(crate) fn own(&self, thread: Thread) {
        self.thread.get_or_init(|| thread);
    }

    /// After there is something to do.
    pub(crate) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// On the peer's own thread: sleeps until it is rung, unless `has_work` finds something once it counts as asleep.
    pub(crate) fn sleep(&self, has_work: impl FnOnce() -> bool) {
        self.asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if !has_work() {
            crate::sync::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn tell(body: &'static [u8]) -> Letter {
        Letter::Tell(Tell {
            from: "ada".into(),
            kind: "k".into(),
            body: Bytes::from_static(body),
            pair: None,
        })
    }

    #[test]
    fn room_counts_messages_and_bytes_in_one_word() {
        let room = Room::new(2, 10);
        assert_eq!(room.reserve(11), Err(NoRoom::TooLarge));
        assert_eq!(
            (room.reserve(6), room.reserve(5), room.reserve(4)),
            (Ok(()), Err(NoRoom::Full), Ok(()))
        );
        assert_eq!(room.reserve(0), Err(NoRoom::Full));
        room.release(6);
        assert_eq!(room.messages(), 1);
        room.close();
        assert_eq!(room.reserve(0), Err(NoRoom::Closed));
        room.release(4);
        assert_eq!(room.messages(), 0);
    }

    #[test]
    fn limits_beyond_the_fields_saturate() {
        let room = Room::new(u64::MAX, u64::MAX);
        assert_eq!(room.reserve(1 << 40), Ok(()));
        assert_eq!(room.messages(), 1);
    }

    #[test]
    fn who_frees_room_pushes_for_the_first_in_line() {
        let mailbox = Mailbox::new(1, 100, false);
        assert!(mailbox.try_send(tell(b"a")).is_ok());
        let Err(NotSent::Full(Letter::Tell(second))) = mailbox.try_send(tell(b"b")) else {
            panic!("it is full")
        };
        let parcel = Arc::new(Parcel::new(second));
        assert!(mailbox.wait_for_room(Waiting::Tell(Arc::clone(&parcel))));
        assert!(parcel.wait.is_open());
        assert!(mailbox.take().is_some());
        assert!(!parcel.wait.is_open());
        assert!(
            matches!(mailbox.try_send(tell(b"c")), Err(NotSent::Full(_))),
            "the second has the room"
        );
        assert!(mailbox.take().is_some());
        assert!(mailbox.take().is_none());
        assert!(mailbox.is_drained());
    }
}
