//! What waits for one peer beside its mailbox: calls that wait for their own earlier tells, operations that need its
//! handlers, and notes of what came onto its shelf. One lock, under which nothing is called but the mailbox's look at what is handled.

use std::collections::VecDeque;

use crate::resource::Resource;
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering};

/// `O` is the call that waits.
pub(crate) struct Desk<O> {
    papers: Mutex<Papers<O>>,
    /// How many calls wait for their tells, and how much there is for the peer's thread; read without the lock.
    awaiting_len: AtomicUsize,
    work_len: AtomicUsize,
}

struct Papers<O> {
    closed: bool,
    awaiting: Vec<Awaiting<O>>,
    operations: VecDeque<(u64, O)>,
    /// The one that the peer's thread has taken and not ended: who closes ends it.
    in_hand: Option<O>,
    notes: VecDeque<Note>,
}

struct Awaiting<O> {
    number: u64,
    call: O,
}

/// Something came onto the shelf by another's act, for on_received.
pub(crate) struct Note {
    pub(crate) from: Arc<str>,
    pub(crate) resource: Resource,
}

/// What became of a call that wanted to wait here.
pub(crate) enum Waits<O> {
    Yes,
    /// What it wanted to wait for is there already.
    Over(O),
    Closed(O),
}

impl<O> Default for Desk<O> {
    fn default() -> Desk<O> {
        let papers = Papers {
            closed: false,
            awaiting: Vec::new(),
            operations: VecDeque::new(),
            in_hand: None,
            notes: VecDeque::new(),
        };
        Desk { papers: Mutex::new(papers), awaiting_len: AtomicUsize::new(0), work_len: AtomicUsize::new(0) }
    }
}

impl<O: Clone> Desk<O> {
    /// Registers a call until the message of that number is handled; then looks again, by `is_handled`.
    pub(crate) fn await_handled(&self, number: u64, call: O, is_handled: impl FnOnce() -> bool) -> Waits<O> {
        let mut papers = self.papers.lock();
        if papers.closed {
            return Waits::Closed(call);
        }
        self.awaiting_len.fetch_add(1, Ordering::SeqCst);
        if is_handled() {
            self.awaiting_len.fetch_sub(1, Ordering::SeqCst);
            return Waits::Over(call);
        }
        papers.awaiting.push(Awaiting { number, call });
        Waits::Yes
    }

    /// A call waits here for a message to be handled.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaiting_len.load(Ordering::SeqCst) > 0
    }

    /// After the mailbox has said that the messages up to that number are handled: the calls that may go on now.
    #[inline]
    pub(crate) fn handled(&self, number: u64) -> Vec<O> {
        if self.is_awaited() { self.take_awaiting(number) } else { Vec::new() }
    }

    fn take_awaiting(&self, number: u64) -> Vec<O> {
        let mut papers = self.papers.lock();
        let (over, still) = std::mem::take(&mut papers.awaiting)
            .into_iter()
            .partition(|waiting: &Awaiting<O>| waiting.number <= number);
        papers.awaiting = still;
        self.awaiting_len.store(papers.awaiting.len(), Ordering::SeqCst);
        Vec::into_iter(over).map(|waiting| waiting.call).collect()
    }

    /// Leaves an operation for the peer's handlers, behind the letters up to `number`.
    pub(crate) fn post(&self, number: u64, operation: O) -> Waits<O> {
        let mut papers = self.papers.lock();
        if papers.closed {
            return Waits::Closed(operation);
        }
        papers.operations.push_back((number, operation));
        self.work_len.fetch_add(1, Ordering::SeqCst);
        Waits::Yes
    }

    /// Leaves a note; under the lock of the peer's shelf, so that notes come in the order of the changes.
    pub(crate) fn note(&self, note: Note) {
        let mut papers = self.papers.lock();
        papers.notes.push_back(note);
        self.work_len.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn has_work(&self) -> bool {
        self.work_len.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn notes_len(&self) -> usize {
        if self.has_work() { self.papers.lock().notes.len() } else { 0 }
    }

    pub(crate) fn take_note(&self) -> Option<Note> {
        let mut papers = self.papers.lock();
        let note = papers.notes.pop_front()?;
        self.work_len.fetch_sub(1, Ordering::SeqCst);
        Some(note)
    }

    /// Takes the first operation if `is_due` says so of its number.
    pub(crate) fn take_operation(&self, is_due: impl FnOnce(u64) -> bool) -> Option<O> {
        if !self.has_work() {
            return None;
        }
        let mut papers = self.papers.lock();
        let (number, _) = papers.operations.front()?;
        if !is_due(*number) {
            return None;
        }
        let (_, operation) = papers.operations.pop_front()?;
        self.work_len.fetch_sub(1, Ordering::SeqCst);
        papers.in_hand = Some(operation.clone());
        Some(operation)
    }

    /// The operation that was taken last has been dealt with; gives back the desk's reference, to be dropped by the caller.
    pub(crate) fn put_down(&self) -> Option<O> {
        self.papers.lock().in_hand.take()
    }

    /// Takes out a call that was given up; false if it was not here.
    pub(crate) fn remove(&self, is: impl Fn(&O) -> bool) -> bool {
        let mut papers = self.papers.lock();
        let len = papers.awaiting.len() + papers.operations.len();
        papers.awaiting.retain(|waiting| !is(&waiting.call));
        self.awaiting_len.store(papers.awaiting.len(), Ordering::SeqCst);
        let before = papers.operations.len();
        papers.operations.retain(|(_, operation)| !is(operation));
        self.work_len.fetch_sub(before - papers.operations.len(), Ordering::SeqCst);
        papers.awaiting.len() + papers.operations.len() < len
    }

    /// Refuses calls from now on and gives back those that wait. Notes stay, to be told before the end.
    pub(crate) fn close(&self) -> Vec<O> {
        let mut papers = self.papers.lock();
        papers.closed = true;
        self.awaiting_len.store(0, Ordering::SeqCst);
        self.work_len.fetch_sub(papers.operations.len(), Ordering::SeqCst);
        let awaiting = std::mem::take(&mut papers.awaiting);
        let operations = std::mem::take(&mut papers.operations);
        let in_hand = papers.in_hand.clone();
        let awaiting = awaiting.into_iter().map(|waiting| waiting.call);
        in_hand.into_iter().chain(awaiting).chain(operations.into_iter().map(|(_, call)| call)).collect()
    }
}
