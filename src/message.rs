//! Messages: what a mailbox carries, and what a handler or `receive` sees of it.

use std::fmt;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::fork;
use crate::resource::Resource;
use crate::sync::{Arc, AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering};
use crate::turn::{Cause, Phase, Wait};

/// What lies in a mailbox.
pub(crate) enum Letter {
    Tell(Tell),
    Ask(Arc<Ask>),
}

/// A message that nobody waits for the answer of.
pub(crate) struct Tell {
    pub(crate) label: Arc<Label>,
    pub(crate) body: Bytes,
}

/// What is the same of all tells of one kind from one peer to another.
pub(crate) struct Label {
    pub(crate) from: Arc<str>,
    pub(crate) kind: Arc<str>,
    /// `None` where a message is finished when accepted.
    pub(crate) pair: Option<Arc<Pair>>,
}

/// What one peer has told another: the number of the newest message in the other's mailbox, 0 for none.
///
/// It is said under the lock of the mailbox's entry, so before the tell has returned and in the order of the numbers. A later call reads it
/// and may go ahead once that message is handled: handlers come in the order of the numbers, so all that was told before is handled then,
/// also with several threads that tell as one peer.
#[derive(Debug, Default)]
pub(crate) struct Pair(AtomicU64);

impl Pair {
    pub(crate) fn tell(&self, number: u64) {
        self.0.store(number, Ordering::Release);
    }

    pub(crate) fn told(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// A message whose sender waits, which is also where its answer goes.
pub(crate) struct Ask {
    pub(crate) wait: Wait<Option<Resource>>,
    pub(crate) from: Arc<str>,
    pub(crate) to: Arc<str>,
    pub(crate) kind: Arc<str>,
    pub(crate) size: usize,
    /// Taken by whoever begins it or gives it up.
    pub(crate) body: Mutex<Bytes>,
    /// It has been recorded as a dead letter; changed under the lock of the feed.
    pub(crate) is_recorded: AtomicBool,
    /// How many messages stand for it, since it was begun; who drops the last one answers it.
    messages: AtomicUsize,
    is_answered: AtomicBool,
}

impl Letter {
    /// The ask that it is.
    pub(crate) fn ask(&self) -> Option<Arc<Ask>> {
        match self {
            Letter::Ask(ask) => Some(Arc::clone(ask)),
            Letter::Tell(_) => None,
        }
    }

    /// The bytes that it takes in the mailbox, also after its body was freed.
    pub(crate) fn size(&self) -> usize {
        match self {
            Letter::Tell(tell) => tell.body.len(),
            Letter::Ask(ask) => ask.size,
        }
    }
}

impl Ask {
    pub(crate) fn new(wait: Wait<Option<Resource>>, [from, to, kind]: [Arc<str>; 3], body: Bytes) -> Ask {
        Ask {
            wait,
            from,
            to,
            kind,
            size: body.len(),
            body: Mutex::new(body),
            is_recorded: AtomicBool::new(false),
            messages: AtomicUsize::new(0),
            is_answered: AtomicBool::new(false),
        }
    }

    /// Takes the body, by whoever begins it or gives it up.
    pub(crate) fn take_body(&self) -> Bytes {
        std::mem::take(&mut *self.body.lock())
    }

    /// Answers it with an error, unless it has been answered.
    fn fail(&self, error: Error) {
        if !self.is_answered.swap(true, Ordering::AcqRel) {
            self.wait.end(Cause::Answered, Err(error));
        }
    }
}

/// A message to a peer: a kind and a body from another peer, perhaps with somebody waiting for the answer.
///
/// A handler borrows it and may [`keep`](Message::keep) it; [`Peer::receive`](crate::Peer::receive) gives it away. When the
/// last reference is dropped unanswered, a sender that waits gets [`Error::NoReply`]; when the peer has closed before,
/// [`Error::PeerClosed`]. It may be used from any thread, and outlives its peer.
pub struct Message {
    content: Content,
    body: Bytes,
}

enum Content {
    Told(Arc<Label>),
    Asked(Asked),
}

/// Counts itself among the messages that stand for the ask.
struct Asked(Arc<Ask>);

impl Asked {
    fn new(ask: &Arc<Ask>) -> Asked {
        ask.messages.fetch_add(1, Ordering::Relaxed);
        Asked(Arc::clone(ask))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // In a child made by fork nobody waits.
        if self.0.messages.fetch_sub(1, Ordering::AcqRel) == 1 && !fork::is_forked() {
            self.0.fail(Error::NoReply { peer: self.0.to.to_string() });
        }
    }
}

impl Message {
    /// Opens a letter: `None` if it is an ask that was given up meanwhile.
    #[cfg_attr(not(feature = "c-library"), inline(always))]
    pub(crate) fn open(letter: Letter) -> Option<Message> {
        match letter {
            Letter::Tell(Tell { label, body }) => Some(Message { content: Content::Told(label), body }),
            Letter::Ask(ask) => {
                let is_ours = ask.wait.step(Phase::Queued, Phase::Begun);
                is_ours.then(|| Message { body: ask.take_body(), content: Content::Asked(Asked::new(&ask)) })
            }
        }
    }

    /// Another reference, with which a handler keeps the message to answer it after it has returned.
    ///
    /// A handler that keeps a message and then fails has answered it by that.
    #[must_use]
    pub fn keep(&self) -> Message {
        let content = match &self.content {
            Content::Told(label) => Content::Told(Arc::clone(label)),
            Content::Asked(asked) => Content::Asked(Asked::new(&asked.0)),
        };
        Message { content, body: self.body.clone() }
    }

    /// The peer that sent it.
    pub fn from(&self) -> &str {
        match &self.content {
            Content::Told(label) => &label.from,
            Content::Asked(asked) => &asked.0.from,
        }
    }

    /// What kind of message it is.
    pub fn kind(&self) -> &str {
        match &self.content {
            Content::Told(label) => &label.kind,
            Content::Asked(asked) => &asked.0.kind,
        }
    }

    /// The label that it shares with others, if it was told.
    pub(crate) fn label(&self) -> Option<&Arc<Label>> {
        match &self.content {
            Content::Told(label) => Some(label),
            Content::Asked(_) => None,
        }
    }

    /// The body, borrowed.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as a counted reference of its own, without a copy.
    pub fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// Whether the sender waits for an answer.
    pub fn is_ask(&self) -> bool {
        self.ask().is_some()
    }

    /// The ask that it is.
    pub(crate) fn ask(&self) -> Option<&Arc<Ask>> {
        match &self.content {
            Content::Told(_) => None,
            Content::Asked(asked) => Some(&asked.0),
        }
    }

    /// Answers the sender. Does not block; may be called from any thread.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if nobody asked or it was answered before; [`Error::Canceled`] if the sender waits no more.
    pub fn reply(&self, body: impl Into<Bytes>) -> Result<()> {
        fork::check()?;
        let Some(ask) = self.ask() else {
            return Err(Error::InvalidArgument("this message was told, nobody waits for a reply".to_owned()));
        };
        if ask.is_answered.swap(true, Ordering::AcqRel) {
            return Err(Error::InvalidArgument("this message was answered before".to_owned()));
        }
        let answer = Resource::new(Arc::clone(&ask.kind), Arc::clone(&ask.to), 0, body.into());
        if ask.wait.end(Cause::Answered, Ok(Some(answer))) { Ok(()) } else { Err(Error::Canceled) }
    }

    /// Answers the sender with an error, unless it has been answered.
    pub(crate) fn fail(&self, error: Error) {
        if let Some(ask) = self.ask() {
            ask.fail(error);
        }
    }
}

/// From, kind and size; never the body.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("from", &self.from())
            .field("kind", &self.kind())
            .field("len", &self.bytes().len())
            .field("is_ask", &self.is_ask())
            .finish()
    }
}
