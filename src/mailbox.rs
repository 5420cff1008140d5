//! The mailbox: the messages to one peer, bounded by count and by bytes, and who waits for room or for a message.
//!
//! # Two queues, two locks
//!
//! Letters are put in under the lock of the *entry* and taken out under that of the *exit*; when the exit has none left, the two queues
//! are exchanged. So who puts and who takes meet once a batch, not once a letter. The order of the locks is exit, entry; under either,
//! the links of the ring and a wait's listeners may be taken, to claim a wait, and nothing else.
//!
//! Each side counts what has passed it, messages and bytes, in words that only its lock's holder changes and everybody may read. What is
//! inside is the difference. The letters of a mailbox are numbered by the count of the entry, from 1.
//!
//! | what | changed under | when |
//! |---|---|---|
//! | `put` | entry | a letter has come in, which is accepted by that |
//! | `taken` | exit | a letter is begun by a handler or a receiver, or is about to be buried: its room is free |
//! | `handled` | exit | a handler's letter has had its last effect; said as the next one is taken, or when there is none |
//! | `in_hands` | raised under exit | what a receiver or a burier has taken, until it has said what became of it |
//!
//! # Room
//!
//! Room is granted in order of arrival: who finds others waiting waits behind them, or is told that it is full. Who takes a letter
//! lets in the first in line, and ends its wait: no sender has to wake up to be served. A sender gets in line under both locks,
//! if there is no room then; so whoever takes a letter after that sees that somebody is in line. The entry remembers what it last
//! read of `taken`, and reads it again only when it seems full.
//!
//! # Taking
//!
//! At a peer with on_message only its own thread takes, and, once it has closed, whoever buries. What it has not begun is always
//! inside, where the one who closes finds it. It knows that something is inside before it takes it: it tells its notes in between.
//! At an inbox any thread may take. Who waits for a message gets in line under both locks, if there is none then;
//! so whoever puts one in sees that somebody is in line.
//!
//! # Close
//!
//! A closed entry lets nothing in, whoever waits in line is given back, and what is inside is buried. It is drained when all that was
//! put has been taken, and nothing is in hands.
//!
//! Most peers never get a letter: the queues are made with the first one, or with the thread that is to take them. A close before that leaves
//! word that there will be none.
//!
//! # Waking
//!
//! Who puts a letter in looks afterwards whether the peer's thread sleeps; the thread says that it sleeps, and then looks, under
//! the lock of the entry, whether there is a letter. So one of the two sees the other.

use std::collections::VecDeque;
use std::ops::Deref;
#[cfg(unix)]
use std::os::fd::OwnedFd;

use bytes::Bytes;

use crate::bell::Bell;
use crate::error;
use crate::first_use::FirstUse;
use crate::message::{Ask, Letter, Tell};
use crate::readiness::{self, Readiness};
use crate::resource::Resource;
use crate::sync::{Arc, AtomicBool, AtomicU64, AtomicUsize, Mutex, OnceLock, Ordering, fence};
use crate::turn::{Cause, Phase, Wait};
use crate::unwind::drop_user_data;

pub(crate) struct Mailbox {
    /// Made with the first letter; `None` if it was closed before.
    queues: OnceLock<Option<Box<Queues>>>,
    messages_max: u64,
    bytes_max: u64,
    is_inbox: bool,
    bell: Bell,
}

/// What one side changes lies apart from what the other side changes.
struct Queues {
    entry: Apart<Entry>,
    exit: Apart<Exit>,
    common: Apart<Common>,
}

struct Entry {
    door: Mutex<Door>,
    put: Count,
}

struct Door {
    letters: VecDeque<Letter>,
    /// What was last read of `taken`: messages and bytes. No more than is true.
    seen_taken: [u64; 2],
    /// Most mailboxes never have one who waits.
    lines: Option<Box<Lines>>,
    is_closed: bool,
}

struct Exit {
    letters: Mutex<VecDeque<Letter>>,
    taken: Count,
    handled: AtomicU64,
    in_hands: AtomicUsize,
}

/// What hardly ever changes, and both sides look at.
struct Common {
    messages_max: u64,
    bytes_max: u64,
    /// How many are in line for room; changed under the lock of the entry, as is the next.
    senders_len: AtomicUsize,
    is_closed: AtomicBool,
    /// Whether `receive` would return at once. Nobody looks until somebody has asked for a descriptor.
    readiness: FirstUse<Mutex<Readiness>>,
}

#[derive(Default)]
struct Lines {
    /// Who waits for room.
    senders: VecDeque<Waiting>,
    /// Who waits for a message, at a peer without on_message.
    receivers: VecDeque<Arc<Wait<Letter>>>,
}

/// In cache lines of its own; two, since processors fetch them in pairs.
#[repr(align(128))]
struct Apart<T>(T);

impl<T> Deref for Apart<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Messages and bytes that have passed; rises for ever.
struct Count {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Count {
    fn new() -> Count {
        Count { messages: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// By one at a time, under a lock. Gives the number of the message.
    fn add(&self, size: usize) -> u64 {
        let number = self.messages.load(Ordering::Relaxed) + 1;
        self.bytes.store(self.bytes.load(Ordering::Relaxed).wrapping_add(size as u64), Ordering::Release);
        self.messages.store(number, Ordering::Release);
        number
    }

    fn messages(&self) -> u64 {
        self.messages.load(Ordering::Acquire)
    }

    fn both(&self) -> [u64; 2] {
        [self.messages(), self.bytes.load(Ordering::Acquire)]
    }
}

/// For so many letters each queue keeps its memory when there are no more in it.
const LETTERS_KEPT: usize = 64;

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

/// Why there is no room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Full,
    Closed,
    TooLarge,
}

/// Whether somebody waited for a message as one was put in.
pub(crate) enum Receivers {
    None,
    Some,
}

impl Mailbox {
    /// With `is_inbox` messages are for `receive`; otherwise they are for the peer's thread.
    pub(crate) fn new(messages_max: u64, bytes_max: u64, is_inbox: bool) -> Mailbox {
        Mailbox { queues: OnceLock::new(), messages_max, bytes_max, is_inbox, bell: Bell::new() }
    }

    pub(crate) fn is_inbox(&self) -> bool {
        self.is_inbox
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }

    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// The queues, unless it was closed before there were any.
    #[inline]
    fn queues(&self) -> Option<&Queues> {
        let make = || Some(Box::new(Queues::new(self.messages_max, self.bytes_max)));
        self.queues.get_or_init(make).as_deref()
    }

    /// The queues, if there are any.
    #[inline]
    fn made(&self) -> Option<&Queues> {
        self.queues.get()?.as_deref()
    }

    /// Makes the queues, before the peer's own thread is made: so that one that sleeps and whoever puts a letter in have a lock in common.
    pub(crate) fn make(&self) {
        self.queues();
    }

    /// Puts a letter in if there is room now and nobody waits for it; otherwise gives it back.
    pub(crate) fn try_send(&self, letter: Letter) -> Result<(), (NoRoom, Letter)> {
        let receivers = self.try_put(letter)?;
        self.has_put(receivers);
        Ok(())
    }

    /// The same, to be followed by `has_put`.
    #[inline]
    pub(crate) fn try_put(&self, letter: Letter) -> Result<Receivers, (NoRoom, Letter)> {
        let Some(queues) = self.queues() else {
            return Err((NoRoom::Closed, letter));
        };
        let mut door = queues.entry.door.lock();
        if let Err(why) = queues.check(&mut door, letter.size()) {
            return Err((why, letter));
        }
        queues.put(&mut door, letter);
        Ok(door.receivers())
    }

    /// Why a letter of `size` bytes could not be put in now; those in line come first.
    pub(crate) fn why_not(&self, size: usize) -> Option<NoRoom> {
        match self.queues() {
            Some(queues) => queues.check(&mut queues.entry.door.lock(), size).err(),
            None => Some(NoRoom::Closed),
        }
    }

    /// After a letter may have been put in: tells who waits for one. If there are receivers, it may drop what a sender has given up.
    #[inline]
    pub(crate) fn has_put(&self, receivers: Receivers) {
        if let Receivers::Some = receivers {
            self.serve_receivers();
        }
        self.look();
        // Also at an inbox: its thread waits for the last letters when the peer closes.
        self.bell.ring_after_lock();
    }

    /// Puts a sender in line for room, or its letter in; refused if the mailbox is closed.
    pub(crate) fn wait_for_room(&self, waiting: Waiting) -> bool {
        let Some(queues) = self.queues() else {
            return false;
        };
        {
            // With both locks: whoever takes a letter after this sees the line.
            let _exit = queues.exit.letters.lock();
            let mut door = queues.entry.door.lock();
            if door.is_closed {
                return false;
            }
            waiting.wait().wait_for_room();
            let senders = &mut door.lines.get_or_insert_default().senders;
            senders.push_back(waiting);
            queues.common.senders_len.store(senders.len(), Ordering::Relaxed);
        }
        self.serve_senders(queues);
        true
    }

    /// Takes a sender that gave up out of the line; who is behind it may fit now.
    pub(crate) fn leave_line(&self, waiting: &Waiting) {
        let Some(queues) = self.made() else {
            return;
        };
        if let Some(lines) = &mut queues.entry.door.lock().lines {
            lines.senders.retain(|other| !other.is(waiting));
            queues.common.senders_len.store(lines.senders.len(), Ordering::Relaxed);
        }
        self.serve_senders(queues);
    }

    /// Lets in the first senders in line, as long as there is room, and ends their waits.
    #[inline]
    fn serve_senders(&self, queues: &Queues) {
        while queues.common.senders_len.load(Ordering::Relaxed) > 0
            && let Some((waiting, receivers)) = queues.let_in()
        {
            match (waiting, receivers) {
                (waiting, Some(receivers)) => {
                    self.has_put(receivers);
                    if let Waiting::Tell(parcel) = waiting {
                        parcel.wait.finish(Ok(None));
                    }
                }
                (given_up, None) => drop_user_data(given_up),
            }
        }
    }

    /// By the peer's own thread: something is inside.
    pub(crate) fn has_letters(&self) -> bool {
        self.made().is_some_and(Queues::has_letters)
    }

    /// By the peer's own thread, which has handled all that it has taken: takes the next letter.
    // With `take_out`, `post::open` and `Message::open` in one function, but where size counts: what goes from one to the next is written in halves and read
    // whole, for which the processor waits.
    #[cfg_attr(not(feature = "c-library"), inline(always))]
    pub(crate) fn take(&self) -> Option<Letter> {
        let queues = self.made()?;
        let letter = {
            let mut exit = queues.exit.letters.lock();
            queues.exit.say_handled();
            queues.take_out(&mut exit)
        };
        self.has_taken_out(queues);
        letter
    }

    /// By the peer's own thread, which has handled all that it has taken, and goes on with something else.
    pub(crate) fn finish(&self) {
        if let Some(queues) = self.made() {
            let _exit = queues.exit.letters.lock();
            queues.exit.say_handled();
        }
    }

    #[inline]
    fn has_taken_out(&self, queues: &Queues) {
        self.serve_senders(queues);
        self.look();
    }

    /// Takes a letter out of a closed mailbox, by anybody, who puts it down with `put_down`.
    pub(crate) fn take_to_bury(&self) -> Option<Letter> {
        let queues = self.made()?;
        let mut exit = queues.exit.letters.lock();
        queues.take_in_hand(&mut exit)
    }

    /// What became of a letter in hand has been said. True if the mailbox is closed: the peer may be waiting for its end.
    pub(crate) fn put_down(&self) -> bool {
        if let Some(queues) = self.made() {
            let _exit = queues.exit.letters.lock();
            queues.exit.in_hands.fetch_sub(1, Ordering::Relaxed);
        }
        let is_closed = self.is_closed();
        if is_closed {
            self.bell.ring();
        }
        is_closed
    }

    /// The number of the newest letter.
    pub(crate) fn newest(&self) -> u64 {
        self.made().map_or(0, |queues| queues.entry.put.messages())
    }

    /// Whether all letters up to that number have been taken out.
    pub(crate) fn has_taken(&self, number: u64) -> bool {
        self.taken() >= number
    }

    /// Whether all letters up to that number have been handled. Whoever is registered as waiting for that and then finds that it is
    /// not so is found by the peer's own thread, which says so under the lock of the exit and then looks who waits.
    pub(crate) fn has_handled_now(&self, number: u64) -> bool {
        let _exit = self.made().map(|queues| queues.exit.letters.lock());
        self.handled() >= number
    }

    /// The number of the newest letter that has been handled; what its handler did is seen.
    #[inline]
    pub(crate) fn handled(&self) -> u64 {
        self.made().map_or(0, |queues| queues.exit.handled.load(Ordering::Acquire))
    }

    /// How many letters were taken out so far.
    pub(crate) fn taken(&self) -> u64 {
        self.made().map_or(0, |queues| queues.exit.taken.messages())
    }

    /// How many messages take room.
    pub(crate) fn messages(&self) -> u64 {
        // In this order, so that it is never less than nothing.
        let taken = self.taken();
        self.newest() - taken
    }

    /// Nothing can be taken out now. By the peer's own thread, which counts as asleep: who puts something in after this sees that.
    pub(crate) fn is_empty(&self) -> bool {
        let Some(queues) = self.made() else {
            return true;
        };
        let _door = queues.entry.door.lock();
        !queues.has_letters()
    }

    /// Of a closed one: nothing is inside or in hands, for good.
    pub(crate) fn is_drained(&self) -> bool {
        let Some(queues) = self.made() else {
            return true;
        };
        let _exit = queues.exit.letters.lock();
        !queues.has_letters() && queues.exit.in_hands.load(Ordering::Relaxed) == 0
    }

    /// Takes the next message for `receive`, or puts the wait in line: then `None`. Refused when closed. Who gets a message
    /// puts it down when he has begun it.
    pub(crate) fn receive(&self, wait: Option<&Arc<Wait<Letter>>>) -> Result<Option<Letter>, IsClosed> {
        let queues = self.queues().ok_or(IsClosed)?;
        let letter = {
            let mut exit = queues.exit.letters.lock();
            let mut door = queues.entry.door.lock();
            if door.is_closed {
                return Err(IsClosed);
            }
            if queues.has_letters() && door.lines.as_ref().is_none_or(|lines| lines.no_receiver_is_open()) {
                drop(door);
                queues.take_in_hand(&mut exit)
            } else {
                if let Some(wait) = wait {
                    door.lines.get_or_insert_default().receivers.push_back(Arc::clone(wait));
                }
                None
            }
        };
        if letter.is_some() {
            self.has_taken_out(queues);
        }
        Ok(letter)
    }

    pub(crate) fn leave_receivers(&self, wait: &Arc<Wait<Letter>>) {
        if let Some(queues) = self.made()
            && let Some(lines) = &mut queues.entry.door.lock().lines
        {
            lines.receivers.retain(|other| !Arc::ptr_eq(other, wait));
        }
    }

    /// Gives letters to the first who wait in `receive`.
    fn serve_receivers(&self) {
        let Some(queues) = self.made() else {
            return;
        };
        while let Some((wait, letter)) = queues.grant_letter() {
            // One that has given up gets none.
            if let Some(letter) = letter {
                wait.finish(Ok(letter));
            }
            self.has_taken_out(queues);
        }
    }

    /// A descriptor that is readable whenever `receive` would return at once.
    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> error::Result<OwnedFd> {
        let Some(queues) = self.queues() else {
            return readiness::of_ready();
        };
        queues.common.readiness.make();
        self.look();
        queues.common.readiness.lock().descriptor()
    }

    /// After each change of an inbox: says what is so now. Whoever changes it next looks after that, so what is said last is true.
    #[inline]
    fn look(&self) {
        if self.is_inbox {
            self.look_at_inbox();
        }
    }

    fn look_at_inbox(&self) {
        fence(Ordering::SeqCst);
        if let Some(queues) = self.made()
            && let Some(readiness) = queues.common.readiness.get()
        {
            let mut readiness = readiness.lock();
            readiness.set(self.is_closed() || queues.has_letters());
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match self.queues.get() {
            None => false,
            Some(None) => true,
            Some(Some(queues)) => queues.common.is_closed.load(Ordering::SeqCst),
        }
    }

    /// Admits nothing more; gives back who waits, to be told. What is inside stays for `take_to_bury`.
    pub(crate) fn close(&self) -> (VecDeque<Waiting>, VecDeque<Arc<Wait<Letter>>>) {
        let lines = self.queues.get_or_init(|| None).as_ref().and_then(|queues| queues.close());
        self.look();
        lines.map_or_else(Default::default, |lines| (lines.senders, lines.receivers))
    }
}

impl Queues {
    fn new(messages_max: u64, bytes_max: u64) -> Queues {
        let door = Door { letters: VecDeque::new(), seen_taken: [0; 2], lines: None, is_closed: false };
        Queues {
            entry: Apart(Entry { door: Mutex::new(door), put: Count::new() }),
            exit: Apart(Exit {
                letters: Mutex::new(VecDeque::new()),
                taken: Count::new(),
                handled: AtomicU64::new(0),
                in_hands: AtomicUsize::new(0),
            }),
            common: Apart(Common {
                messages_max,
                bytes_max,
                senders_len: AtomicUsize::new(0),
                is_closed: AtomicBool::new(false),
                readiness: FirstUse::new(),
            }),
        }
    }

    fn check(&self, door: &mut Door, size: usize) -> Result<(), NoRoom> {
        if door.is_closed {
            return Err(NoRoom::Closed);
        }
        if size as u64 > self.common.bytes_max {
            return Err(NoRoom::TooLarge);
        }
        let is_line_empty = door.lines.as_ref().is_none_or(|lines| lines.senders.is_empty());
        if is_line_empty && self.has_room(door, size) { Ok(()) } else { Err(NoRoom::Full) }
    }

    /// Room for `size` bytes, which are at most as many as may ever be inside.
    fn has_room(&self, door: &mut Door, size: usize) -> bool {
        let (put, common) = (self.entry.put.both(), &self.common);
        let fits = |[messages, bytes]: [u64; 2]| {
            put[0] - messages < common.messages_max && put[1].wrapping_sub(bytes) <= common.bytes_max - size as u64
        };
        fits(door.seen_taken) || {
            door.seen_taken = self.exit.taken.both();
            fits(door.seen_taken)
        }
    }

    /// Accepts a letter; nothing is accepted of an ask that has been given up.
    fn put(&self, door: &mut Door, letter: Letter) {
        if let Letter::Ask(ask) = &letter
            && !ask.wait.step(Phase::Waiting, Phase::Queued)
        {
            return;
        }
        let number = self.entry.put.add(letter.size());
        if let Letter::Tell(tell) = &letter
            && let Some(pair) = &tell.label.pair
        {
            pair.tell(number);
        }
        door.letters.push_back(letter);
    }

    /// Takes the first sender out of the line, and lets its letter in, or has no receivers to tell of one that has given up. None if
    /// there is no room for the first.
    fn let_in(&self) -> Option<(Waiting, Option<Receivers>)> {
        let mut door = self.entry.door.lock();
        let first = door.lines.as_ref()?.senders.front()?;
        let (is_open, size) = (first.wait().is_open(), first.size());
        if is_open && !self.has_room(&mut door, size) {
            return None;
        }
        let senders = &mut door.lines.as_mut()?.senders;
        let waiting = senders.pop_front()?;
        self.common.senders_len.store(senders.len(), Ordering::Relaxed);
        let letter = match &waiting {
            _ if !is_open => None,
            Waiting::Ask(ask) => Some(Letter::Ask(Arc::clone(ask))),
            // Who claims it takes the letter out.
            Waiting::Tell(parcel) => {
                parcel.wait.claim(Cause::Answered).and_then(|_| parcel.take_tell()).map(Letter::Tell)
            }
        };
        let receivers = letter.map(|letter| {
            self.put(&mut door, letter);
            door.receivers()
        });
        Some((waiting, receivers))
    }

    fn has_letters(&self) -> bool {
        self.entry.put.messages() > self.exit.taken.messages()
    }

    /// Under the lock of the exit.
    #[cfg_attr(not(feature = "c-library"), inline(always))]
    fn take_out(&self, exit: &mut VecDeque<Letter>) -> Option<Letter> {
        if exit.is_empty() {
            self.refill(exit);
        }
        let letter = exit.pop_front()?;
        self.exit.taken.add(letter.size());
        Some(letter)
    }

    /// Exchanges the queues, of which the exit's is empty.
    fn refill(&self, exit: &mut VecDeque<Letter>) {
        if !self.has_letters() && exit.capacity() <= LETTERS_KEPT {
            return;
        }
        let mut door = self.entry.door.lock();
        std::mem::swap(exit, &mut door.letters);
        if exit.len() <= LETTERS_KEPT && door.letters.capacity() > LETTERS_KEPT {
            door.letters = VecDeque::new();
        }
        if exit.is_empty() {
            *exit = VecDeque::new();
        }
    }

    fn take_in_hand(&self, exit: &mut VecDeque<Letter>) -> Option<Letter> {
        let letter = self.take_out(exit)?;
        self.exit.in_hands.fetch_add(1, Ordering::Relaxed);
        Some(letter)
    }

    /// Takes the first receiver out of the line, and a letter for him unless he has given up.
    fn grant_letter(&self) -> Option<(Arc<Wait<Letter>>, Option<Letter>)> {
        let mut exit = self.exit.letters.lock();
        let wait = {
            let mut door = self.entry.door.lock();
            if !self.has_letters() {
                return None;
            }
            door.lines.as_mut()?.receivers.pop_front()?
        };
        let letter = wait.claim(Cause::Answered).and_then(|_| self.take_in_hand(&mut exit));
        Some((wait, letter))
    }

    /// Gives back who waits.
    fn close(&self) -> Option<Box<Lines>> {
        let mut door = self.entry.door.lock();
        door.is_closed = true;
        self.common.is_closed.store(true, Ordering::SeqCst);
        self.common.senders_len.store(0, Ordering::Relaxed);
        door.lines.take()
    }
}

impl Exit {
    /// Under its lock.
    fn say_handled(&self) {
        self.handled.store(self.taken.messages.load(Ordering::Relaxed), Ordering::Release);
    }
}

impl Door {
    fn receivers(&self) -> Receivers {
        match &self.lines {
            Some(lines) if !lines.receivers.is_empty() => Receivers::Some,
            _ => Receivers::None,
        }
    }
}

impl Lines {
    fn no_receiver_is_open(&self) -> bool {
        self.receivers.iter().all(|wait| !wait.is_open())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::message::Label;

    fn tell(body: impl Into<Bytes>) -> Letter {
        let label = Arc::new(Label { from: "ada".into(), kind: "k".into(), pair: None });
        Letter::Tell(Tell { label, body: body.into() })
    }

    fn fills(mailbox: &Mailbox, size: usize) -> Result<(), NoRoom> {
        mailbox.try_send(tell(vec![0; size])).map_err(|(why, _)| why)
    }

    #[test]
    fn room_is_bounded_by_messages_and_by_bytes() {
        let mailbox = Mailbox::new(2, 10, false);
        assert_eq!(fills(&mailbox, 11), Err(NoRoom::TooLarge));
        assert_eq!([6, 5, 4].map(|size| fills(&mailbox, size)), [Ok(()), Err(NoRoom::Full), Ok(())]);
        assert_eq!(fills(&mailbox, 0), Err(NoRoom::Full));
        assert!(mailbox.take().is_some());
        assert_eq!((mailbox.messages(), fills(&mailbox, 7), fills(&mailbox, 6)), (1, Err(NoRoom::Full), Ok(())));
        mailbox.close();
        assert_eq!(fills(&mailbox, 0), Err(NoRoom::Closed));
        assert!(!mailbox.is_drained());
        while mailbox.take_to_bury().is_some() {
            assert!(!mailbox.is_drained(), "it is in hands");
            assert!(mailbox.put_down());
        }
        assert!(mailbox.is_drained());
    }

    #[test]
    fn the_largest_limits_are_no_limits() {
        let mailbox = Mailbox::new(u64::MAX, u64::MAX, false);
        assert_eq!([fills(&mailbox, 0), fills(&mailbox, 100)], [Ok(()), Ok(())]);
    }

    #[test]
    fn one_that_is_closed_before_its_first_letter_makes_no_queues() {
        let mailbox = Mailbox::new(1, 1, true);
        assert_eq!((mailbox.is_closed(), mailbox.messages(), mailbox.taken()), (false, 0, 0));
        mailbox.close();
        assert!(mailbox.is_closed() && mailbox.is_drained() && mailbox.made().is_none());
        assert_eq!(fills(&mailbox, 0), Err(NoRoom::Closed));
        assert!(mailbox.receive(None).is_err());
    }

    #[test]
    fn letters_come_out_as_they_were_put_in_and_leave_no_memory_behind() {
        let mailbox = Mailbox::new(u64::MAX, u64::MAX, false);
        let (mut put, mut taken) = (0_u64, 0_u64);
        for burst in [1, 3, 1000, 2] {
            for _ in 0..burst {
                put += 1;
                assert!(mailbox.try_send(tell(put.to_ne_bytes().to_vec())).is_ok());
            }
            for _ in 0..burst - burst / 3 {
                let Some(Letter::Tell(letter)) = mailbox.take() else { panic!("one was put in") };
                taken += 1;
                assert_eq!(*letter.body, taken.to_ne_bytes());
            }
        }
        while mailbox.take().is_some() {
            taken += 1;
        }
        assert_eq!((taken, mailbox.handled()), (put, put));
        let queues = mailbox.made().unwrap();
        let capacity = queues.exit.letters.lock().capacity() + queues.entry.door.lock().letters.capacity();
        assert!(capacity <= 2 * LETTERS_KEPT, "{capacity}");
    }

    #[test]
    fn who_frees_room_pushes_for_the_first_in_line() {
        let mailbox = Mailbox::new(1, 100, false);
        assert!(mailbox.try_send(tell("a")).is_ok());
        let Err((NoRoom::Full, Letter::Tell(second))) = mailbox.try_send(tell("b")) else { panic!("it is full") };
        let parcel = Arc::new(Parcel::new(second, Wait::new()));
        assert!(mailbox.wait_for_room(Waiting::Tell(Arc::clone(&parcel))));
        assert!(parcel.wait.is_open());
        assert!(mailbox.take().is_some());
        assert!(!parcel.wait.is_open());
        assert!(matches!(mailbox.try_send(tell("c")), Err((NoRoom::Full, _))), "the second has the room");
        assert!(mailbox.take().is_some());
        assert!(mailbox.take().is_none());
        assert!(mailbox.is_drained());
    }

    #[test]
    fn who_gave_up_in_line_frees_no_room_and_blocks_nobody() {
        let mailbox = Mailbox::new(1, 100, false);
        assert!(mailbox.try_send(tell("a")).is_ok());
        let wait_for_room = || {
            let Err((NoRoom::Full, Letter::Tell(tell))) = mailbox.try_send(tell("b")) else { panic!("it is full") };
            let parcel = Arc::new(Parcel::new(tell, Wait::new()));
            assert!(mailbox.wait_for_room(Waiting::Tell(Arc::clone(&parcel))));
            parcel
        };
        let (gone, next) = (wait_for_room(), wait_for_room());
        assert!(gone.wait.end(Cause::Closed, Err(Error::Canceled)));
        assert!(mailbox.take().is_some());
        assert_eq!((next.wait.is_open(), mailbox.messages()), (false, 1));
        assert!(matches!(mailbox.try_send(tell(vec![0; 101])), Err((NoRoom::TooLarge, _))));
    }
}
