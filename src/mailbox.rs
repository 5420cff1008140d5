//! The mailbox: the messages to one peer, bounded by count and by bytes, and who waits for room or for a message.
//!
//! The queue itself is an unbounded crossbeam channel; the bound is one word of our own, so that room can be reserved
//! before anything is counted or pushed, and so that a closed mailbox admits nothing more. What was reserved before the
//! close will be pushed, perhaps after whoever closes has taken out what lay there: so whoever may have pushed looks afterwards
//! whether it is closed, and takes out what is left. The peer's end waits until the word says that nothing is.
//!
//! Room is counted until a letter is begun, by a handler or a receiver, or is buried: whoever gets it says when.
//!
//! Room is granted in order of arrival: who finds others waiting waits behind them, or is told that it is full. Who
//! frees room gives it to the first in line, pushes its message and ends its wait: no sender has to wake up to be served.
//! Waiting is register then re-check, freeing is free then look, with a SeqCst fence on each side.

use std::collections::VecDeque;
#[cfg(unix)]
use std::os::fd::OwnedFd;

use bytes::Bytes;

use crate::deadline::Deadline;
use crate::error;
use crate::message::{Ask, Letter, Tell};
use crate::readiness::Readiness;
use crate::resource::Resource;
use crate::spin::{self, Habit, Way};
use crate::sync::queue::{Receiver, Sender, unbounded};
use crate::sync::{
    Arc, AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Mutex, OnceLock, Ordering, Thread, change_before_load, fence,
};
use crate::turn::{Cause, Phase, Wait};
use crate::unwind::drop_user_data;

pub(crate) struct Mailbox {
    /// Made with the first letter: most peers never get one.
    queue: OnceLock<(Sender<Letter>, Receiver<Letter>)>,
    room: Room,
    /// What the peer's thread has taken out and not begun.
    aside: Mutex<Option<Box<Letter>>>,
    /// How many letters were taken out to be begun, by one thread at a time; with those inside, the number of the newest.
    taken: AtomicU64,
    /// How many were taken out to be buried.
    buried: AtomicU64,
    /// Who waits for room; the count can be read without the lock.
    senders: Mutex<Line<Waiting>>,
    senders_len: AtomicUsize,
    /// Who waits for a message, at a peer without on_message; every taker there holds the lock.
    receivers: Mutex<Line<Arc<Wait<Letter>>>>,
    receivers_len: AtomicUsize,
    /// Whether `receive` would return at once. Nobody looks until somebody has asked for a descriptor.
    readiness: Mutex<Readiness>,
    is_polled: AtomicBool,
    is_inbox: bool,
    bell: Bell,
}

struct Line<T> {
    closed: bool,
    entries: VecDeque<T>,
}

impl<T> Line<T> {
    fn new() -> Mutex<Line<T>> {
        Mutex::new(Line { closed: false, entries: VecDeque::new() })
    }
}

/// A message whose sender waits: for room, and an asker then for the answer.
#[derive(Clone)]
pub(crate) enum Waiting {
    Tell(Arc<Parcel>),
    Ask(Arc<Ask>),
}

/// A tell whose sender waits for room.
pub(crate) struct Parcel {
    pub(crate) wait: Wait<Option<Resource>>,
    pub(crate) kind: Arc<str>,
    tell: Mutex<Option<Tell>>,
    size: usize,
}

impl Parcel {
    pub(crate) fn new(tell: Tell, wait: Wait<Option<Resource>>) -> Parcel {
        Parcel { wait, kind: Arc::clone(&tell.label.kind), size: tell.body.len(), tell: Mutex::new(Some(tell)) }
    }

    /// Takes the message out, by whoever sends it or gives it up.
    fn take_tell(&self) -> Option<Tell> {
        self.tell.lock().take()
    }
}

impl Waiting {
    fn size(&self) -> usize {
        match self {
            Waiting::Tell(parcel) => parcel.size,
            Waiting::Ask(ask) => ask.size,
        }
    }

    pub(crate) fn wait(&self) -> &Wait<Option<Resource>> {
        match self {
            Waiting::Tell(parcel) => &parcel.wait,
            Waiting::Ask(ask) => &ask.wait,
        }
    }

    pub(crate) fn kind(&self) -> &Arc<str> {
        match self {
            Waiting::Tell(parcel) => &parcel.kind,
            Waiting::Ask(ask) => &ask.kind,
        }
    }

    /// Takes out what it sends, by whoever ends it before it is sent or begun.
    pub(crate) fn take_body(&self) -> Bytes {
        match self {
            Waiting::Tell(parcel) => parcel.take_tell().map(|tell| tell.body).unwrap_or_default(),
            Waiting::Ask(ask) => ask.take_body(),
        }
    }

    fn is(&self, other: &Waiting) -> bool {
        match (self, other) {
            (Waiting::Tell(a), Waiting::Tell(b)) => Arc::ptr_eq(a, b),
            (Waiting::Ask(a), Waiting::Ask(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// No message will come any more.
pub(crate) struct IsClosed;

impl Mailbox {
    /// With `is_inbox` messages are for `receive`; otherwise they are for the peer's thread.
    pub(crate) fn new(messages_max: u64, bytes_max: u64, is_inbox: bool) -> Mailbox {
        Mailbox {
            queue: OnceLock::new(),
            room: Room::new(messages_max, bytes_max),
            aside: Mutex::new(None),
            taken: AtomicU64::new(0),
            buried: AtomicU64::new(0),
            senders: Line::new(),
            senders_len: AtomicUsize::new(0),
            receivers: Line::new(),
            receivers_len: AtomicUsize::new(0),
            readiness: Mutex::default(),
            is_polled: AtomicBool::new(false),
            is_inbox,
            bell: Bell::new(),
        }
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Puts a letter in if there is room now and nobody waits for it; otherwise gives it back.
    pub(crate) fn try_send(&self, letter: Letter) -> Result<(), (NoRoom, Letter)> {
        let reserved = match self.senders_len.load(Ordering::SeqCst) {
            0 => self.room.reserve(letter.size()),
            _ => Err(self.why_not(letter.size()).unwrap_or(NoRoom::Full)),
        };
        if let Err(why) = reserved {
            return Err((why, letter));
        }
        self.push(letter);
        self.serve();
        Ok(())
    }

    /// Why a letter of `size` bytes could not be put in now; those in line come first.
    pub(crate) fn why_not(&self, size: usize) -> Option<NoRoom> {
        match self.room.check(self.room.word.load(Ordering::SeqCst), size) {
            Ok(_) => (self.senders_len.load(Ordering::SeqCst) > 0).then_some(NoRoom::Full),
            Err(why) => Some(why),
        }
    }

    pub(crate) fn bytes_max(&self) -> u64 {
        self.room.bytes_max
    }

    /// Puts a sender in line for room; refused if the mailbox is closed.
    pub(crate) fn wait_for_room(&self, waiting: Waiting) -> bool {
        {
            let mut senders = self.senders.lock();
            if senders.closed {
                return false;
            }
            waiting.wait().wait_for_room();
            senders.entries.push_back(waiting);
            self.senders_len.store(senders.entries.len(), Ordering::SeqCst);
        }
        fence(Ordering::SeqCst);
        self.serve();
        true
    }

    /// Takes a sender that gave up out of the line; who is behind it may fit now.
    pub(crate) fn leave_line(&self, waiting: &Waiting) {
        {
            let mut senders = self.senders.lock();
            senders.entries.retain(|other| !other.is(waiting));
            self.senders_len.store(senders.entries.len(), Ordering::SeqCst);
        }
        self.serve();
    }

    /// Takes a letter out, on the peer's thread or under the lock of the receivers. Who gets it releases its room: under no lock,
    /// and when it is begun or buried, so that a mailbox is not drained before that.
    pub(crate) fn take(&self) -> Option<Letter> {
        let letter = self.queue.get()?.1.try_recv().ok()?;
        // Only one at a time takes letters here.
        self.taken.store(self.taken.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.look();
        Some(letter)
    }

    /// Takes a letter out of a closed mailbox, by anybody; as `take`.
    pub(crate) fn take_to_bury(&self) -> Option<Letter> {
        let aside = self.take_aside();
        if aside.is_some() {
            return aside;
        }
        let letter = self.queue.get()?.1.try_recv().ok()?;
        self.buried.fetch_add(1, Ordering::Relaxed);
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

    /// How many letters were taken out so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed) + self.buried.load(Ordering::Relaxed)
    }

    /// How many messages take room.
    pub(crate) fn messages(&self) -> u64 {
        self.room.messages()
    }

    /// Nothing can be taken out now; something reserved may be about to come.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.get().is_none_or(|(_, receiver)| receiver.is_empty())
    }

    /// Nothing is inside and nothing is about to come; for good, once it is closed.
    pub(crate) fn is_drained(&self) -> bool {
        self.room.messages() == 0
    }

    /// Puts a letter aside that the peer's thread has taken and not begun: who closes finds it there.
    pub(crate) fn put_aside(&self, letter: Letter) {
        *self.aside.lock() = Some(Box::new(letter));
    }

    pub(crate) fn take_aside(&self) -> Option<Letter> {
        self.aside.lock().take().map(|letter| *letter)
    }

    /// Takes the next message for `receive`, or puts the wait in line: then `None`. Refused when closed. Who gets a message
    /// releases its room when he has begun it.
    pub(crate) fn receive(&self, wait: Option<&Arc<Wait<Letter>>>) -> Result<Option<Letter>, IsClosed> {
        {
            let mut receivers = self.receivers.lock();
            if receivers.closed {
                return Err(IsClosed);
            }
            if receivers.entries.iter().all(|wait| !wait.is_open())
                && let Some(letter) = self.take()
            {
                return Ok(Some(letter));
            }
            let Some(wait) = wait else { return Ok(None) };
            receivers.entries.push_back(Arc::clone(wait));
            self.receivers_len.store(receivers.entries.len(), Ordering::SeqCst);
        }
        fence(Ordering::SeqCst);
        self.serve();
        Ok(None)
    }

    pub(crate) fn leave_receivers(&self, wait: &Arc<Wait<Letter>>) {
        let mut receivers = self.receivers.lock();
        receivers.entries.retain(|other| !Arc::ptr_eq(other, wait));
        self.receivers_len.store(receivers.entries.len(), Ordering::SeqCst);
    }

    /// A descriptor that is readable whenever `receive` would return at once.
    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> error::Result<OwnedFd> {
        self.is_polled.store(true, Ordering::SeqCst);
        self.look();
        self.readiness.lock().descriptor()
    }

    /// After each change of an inbox: says what is so now. Whoever changes it next looks after that, so what is said last is true.
    fn look(&self) {
        if !self.is_inbox {
            return;
        }
        fence(Ordering::SeqCst);
        if self.is_polled.load(Ordering::Relaxed) {
            let mut readiness = self.readiness.lock();
            readiness.set(self.is_closed() || !self.is_empty());
        }
    }

    /// It admits nothing more. Looked at by whoever has pushed a letter in room that he had before.
    pub(crate) fn is_closed(&self) -> bool {
        self.room.is_closed()
    }

    /// Admits nothing more; gives back who waits, to be told. What is inside stays for `take`, which comes after this.
    pub(crate) fn close(&self) -> (VecDeque<Waiting>, VecDeque<Arc<Wait<Letter>>>) {
        let mut senders = self.senders.lock();
        senders.closed = true;
        self.senders_len.store(0, Ordering::SeqCst);
        let mut receivers = self.receivers.lock();
        receivers.closed = true;
        self.receivers_len.store(0, Ordering::SeqCst);
        // Last of all: whoever finds it closed may take letters without the receivers' lock.
        self.room.close();
        self.look();
        fence(Ordering::SeqCst);
        (std::mem::take(&mut senders.entries), std::mem::take(&mut receivers.entries))
    }

    /// Frees the room of a letter that was taken out.
    pub(crate) fn release(&self, size: usize) {
        self.free(size);
        self.serve();
    }

    fn free(&self, size: usize) {
        if self.room.release(size) {
            // It is closed: the peer's thread may be waiting for the last letter to be gone.
            self.bell.ring();
        }
    }

    /// With room reserved: counts the letter, pushes it and wakes the peer's thread. False for an ask that was given up.
    fn push(&self, letter: Letter) -> bool {
        match &letter {
            Letter::Tell(tell) => {
                if let Some(pair) = &tell.label.pair {
                    pair.tell();
                }
            }
            Letter::Ask(ask) => {
                if !ask.wait.step(Phase::Waiting, Phase::Queued) {
                    self.free(ask.size);
                    return false;
                }
            }
        }
        if self.sender().send(letter).is_err() {
            unreachable!("the mailbox keeps its own receiving end");
        }
        self.look();
        // Also at an inbox: its thread waits for the last letters when the peer closes.
        self.bell.ring();
        true
    }

    fn sender(&self) -> &Sender<Letter> {
        &self.queue.get_or_init(unbounded).0
    }

    /// Gives room to the first senders in line and letters to the first receivers, until there is nobody to serve. One loop:
    /// what one gift makes possible is given in the next round. After a change of the room's word, or a fence.
    fn serve(&self) {
        change_before_load();
        loop {
            let has_served = self.senders_len.load(Ordering::SeqCst) > 0 && self.grant_room()
                || self.receivers_len.load(Ordering::SeqCst) > 0 && self.grant_letter();
            if !has_served {
                return;
            }
        }
    }

    /// Gives room to the first in line, or takes it out if it has given up. True if it did either.
    fn grant_room(&self) -> bool {
        let (first, is_reserved) = {
            let mut senders = self.senders.lock();
            let Some(first) = senders.entries.front() else {
                return false;
            };
            let is_open = first.wait().is_open();
            if is_open && self.room.reserve(first.size()).is_err() {
                return false;
            }
            let first = senders.entries.pop_front();
            self.senders_len.store(senders.entries.len(), Ordering::SeqCst);
            (first, is_open)
        };
        match (first, is_reserved) {
            (Some(waiting), true) => self.admit(waiting),
            (given_up, _) => drop_user_data(given_up),
        }
        true
    }

    /// Pushes what waited, in the room reserved for it; if it was given up meanwhile, frees that.
    fn admit(&self, waiting: Waiting) {
        match waiting {
            Waiting::Ask(ask) => {
                self.push(Letter::Ask(ask));
            }
            Waiting::Tell(parcel) => match parcel.wait.claim(Cause::Answered) {
                Some(_) => {
                    if let Some(tell) = parcel.take_tell() {
                        self.push(Letter::Tell(tell));
                    }
                    parcel.wait.finish(Ok(None));
                }
                None => {
                    self.free(parcel.size);
                    drop_user_data(parcel);
                }
            },
        }
    }

    /// Gives a letter to the first who waits in `receive`, or takes him out if he has given up. True if it did either.
    fn grant_letter(&self) -> bool {
        let (wait, letter) = {
            let mut receivers = self.receivers.lock();
            if self.is_empty() {
                return false;
            }
            let Some(wait) = receivers.entries.pop_front() else {
                return false;
            };
            self.receivers_len.store(receivers.entries.len(), Ordering::SeqCst);
            if wait.claim(Cause::Answered).is_none() {
                return true;
            }
            (wait, self.take())
        };
        match letter {
            Some(letter) => wait.finish(Ok(letter)),
            None => unreachable!("letters of an open inbox are taken under its lock"),
        }
        true
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

/// Why there is no room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
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
        let mut word = self.word.load(Ordering::SeqCst);
        loop {
            let more = self.check(word, size)?;
            match self.word.compare_exchange_weak(word, more, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// What the word becomes with one more message of `size` bytes.
    fn check(&self, word: u64, size: usize) -> Result<u64, NoRoom> {
        let size = size as u64;
        if word & CLOSED != 0 {
            return Err(NoRoom::Closed);
        }
        if size > self.bytes_max {
            return Err(NoRoom::TooLarge);
        }
        if Self::messages_of(word) >= self.messages_max || (word & BYTES_MASK) + size > self.bytes_max {
            return Err(NoRoom::Full);
        }
        Ok(word + ONE_MESSAGE + size)
    }

    /// True if the mailbox is closed.
    fn release(&self, size: usize) -> bool {
        self.word.fetch_sub(ONE_MESSAGE + size as u64, Ordering::SeqCst) & CLOSED != 0
    }

    fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::SeqCst);
    }

    fn is_closed(&self) -> bool {
        self.word.load(Ordering::SeqCst) & CLOSED != 0
    }

    fn messages(&self) -> u64 {
        Self::messages_of(self.word.load(Ordering::SeqCst))
    }

    fn messages_of(word: u64) -> u64 {
        (word >> BYTES_BITS) & MESSAGES_MASK
    }
}

/// Wakes the peer's own thread, if it sleeps.
///
/// | state | means | next |
/// |---|---|---|
/// | `AWAKE` | the thread looks for work and will look again before it sleeps | all others, by the thread |
/// | `LOOKS` | it found none, and looks at the bell for a while, with a permit of [`crate::spin`] | `ASLEEP`, by the thread; `AWAKE` |
/// | `YIELDS` | it found none, and lets others run | `ASLEEP`, by the thread; `AWAKE` |
/// | `ASLEEP` | it is parked, or about to be | `AWAKE` |
///
/// Whoever makes it `AWAKE` gives the permit back, or unparks.
pub(crate) struct Bell {
    state: AtomicU8,
    /// How often the thread has looked for work; changed by it alone.
    rounds: AtomicU64,
    /// Set when it is made: before it looks for work.
    thread: OnceLock<Thread>,
}

const AWAKE: u8 = 0;
const LOOKS: u8 = 1;
const YIELDS: u8 = 2;
const ASLEEP: u8 = 3;

impl Bell {
    fn new() -> Bell {
        spin::count_cores();
        Bell { state: AtomicU8::new(AWAKE), rounds: AtomicU64::new(0), thread: OnceLock::new() }
    }

    pub(crate) fn own(&self, thread: Thread) {
        self.thread.get_or_init(|| thread);
    }

    /// After there is something to do.
    pub(crate) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.state.load(Ordering::Relaxed) != AWAKE
            && self.awaken() == ASLEEP
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Makes it `AWAKE`; gives what it was.
    fn awaken(&self) -> u8 {
        let state = self.state.swap(AWAKE, Ordering::SeqCst);
        if state == LOOKS {
            spin::give_permit();
        }
        state
    }

    /// On the peer's own thread: it looks for work.
    pub(crate) fn begin_round(&self) {
        let rounds = self.rounds.load(Ordering::Relaxed);
        self.rounds.store(rounds + 1, Ordering::Release);
    }

    /// The number of the round after which the thread sleeps. Twice the same: it has slept in between.
    pub(crate) fn rest(&self) -> Option<u64> {
        let before = self.rounds.load(Ordering::SeqCst);
        let sleeps = self.state.load(Ordering::SeqCst) != AWAKE;
        let after = self.rounds.load(Ordering::SeqCst);
        (sleeps && before == after).then_some(after)
    }

    /// On the peer's own thread: sleeps until it is rung or the deadline passes, unless `has_work` finds something once it counts as
    /// asleep. It may also be unparked because `is_called`.
    pub(crate) fn sleep(&self, deadline: Deadline, has_work: impl FnOnce() -> bool, is_called: impl Fn() -> bool) {
        let state = match spin::choose(Habit::Rest) {
            Way::Look => LOOKS,
            Way::Yield => YIELDS,
            Way::Park => ASLEEP,
        };
        self.state.store(state, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if has_work() || state != ASLEEP && self.look(state, deadline, is_called) {
            self.awaken();
            return;
        }
        match deadline.left() {
            None => crate::sync::park(),
            Some(left) => crate::sync::park_timeout(left),
        }
        self.state.store(AWAKE, Ordering::SeqCst);
    }

    /// True if it was rung or called meanwhile; otherwise it is to park, and whoever rings unparks it.
    fn look(&self, state: u8, deadline: Deadline, is_called: impl Fn() -> bool) -> bool {
        let is_over = || self.state.load(Ordering::Acquire) != state || is_called();
        if state == YIELDS {
            spin::let_others_run(Habit::Rest, 1, is_over);
            return is_called() || !self.fall_asleep(state);
        }
        spin::look(deadline, is_over);
        let is_over = is_called() || !self.fall_asleep(state);
        if !is_over {
            spin::give_permit();
        }
        spin::learn(Habit::Rest, is_over);
        is_over
    }

    /// False if it was rung.
    fn fall_asleep(&self, state: u8) -> bool {
        self.state.compare_exchange(state, ASLEEP, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::message::Label;

    fn tell(body: &'static [u8]) -> Letter {
        let label = Arc::new(Label { from: "ada".into(), kind: "k".into(), pair: None });
        Letter::Tell(Tell { label, body: Bytes::from_static(body) })
    }

    #[test]
    fn room_counts_messages_and_bytes_in_one_word() {
        let room = Room::new(2, 10);
        assert_eq!(room.reserve(11), Err(NoRoom::TooLarge));
        assert_eq!((room.reserve(6), room.reserve(5), room.reserve(4)), (Ok(()), Err(NoRoom::Full), Ok(())));
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
        let Err((NoRoom::Full, Letter::Tell(second))) = mailbox.try_send(tell(b"b")) else { panic!("it is full") };
        let parcel = Arc::new(Parcel::new(second, Wait::new()));
        assert!(mailbox.wait_for_room(Waiting::Tell(Arc::clone(&parcel))));
        assert!(parcel.wait.is_open());
        let take = || mailbox.take().map(|letter| mailbox.release(letter.size()));
        assert!(take().is_some());
        assert!(!parcel.wait.is_open());
        assert!(matches!(mailbox.try_send(tell(b"c")), Err((NoRoom::Full, _))), "the second has the room");
        assert!(take().is_some());
        assert!(take().is_none());
        assert!(mailbox.is_drained());
    }

    #[test]
    fn who_gave_up_in_line_frees_no_room_and_blocks_nobody() {
        let mailbox = Mailbox::new(1, 100, false);
        assert!(mailbox.try_send(tell(b"a")).is_ok());
        let wait_for_room = || {
            let Err((NoRoom::Full, Letter::Tell(tell))) = mailbox.try_send(tell(b"b")) else { panic!("it is full") };
            let parcel = Arc::new(Parcel::new(tell, Wait::new()));
            assert!(mailbox.wait_for_room(Waiting::Tell(Arc::clone(&parcel))));
            parcel
        };
        let (gone, next) = (wait_for_room(), wait_for_room());
        assert!(gone.wait.end(Cause::Closed, Err(Error::Canceled)));
        mailbox.take().map(|letter| mailbox.release(letter.size())).unwrap();
        assert_eq!((next.wait.is_open(), mailbox.room.messages()), (false, 1));
        assert!(matches!(mailbox.try_send(tell(&[0; 101])), Err((NoRoom::TooLarge, _))));
    }
}
