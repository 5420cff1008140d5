//! Messages: what a mailbox carries, and what a handler or `receive` sees of it.

use std::fmt;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::fork;
use crate::resource::Resource;
use crate::sync::{Arc, AtomicBool, Mutex, Ordering};
use crate::turn::{Cause, Pair, Phase, Wait};

/// What lies in a mailbox.
pub(crate) enum Letter {
    Tell(Tell),
    Ask(Arc<Ask>),
}

/// A message that nobody waits for the answer of.
pub(crate) struct Tell {
    pub(crate) from: Arc<str>,
    pub(crate) kind: Arc<str>,
    pub(crate) body: Bytes,
    /// To be finished when the message is; `None` where a message is finished when accepted.
    pub(crate) pair: Option<Arc<Pair>>,
}

/// A message whose sender waits, which is also where its answer goes.
pub(crate) struct Ask {
    pub(crate) wait: Wait<Option<Resource>>,
    pub(crate) from: Arc<str>,
    pub(crate) kind: Arc<str>,
    pub(crate) size: usize,
    /// Taken by whoever begins it or gives it up.
    pub(crate) body: Mutex<Bytes>,
    /// It has been recorded as a dead letter; changed under the lock of the feed.
    pub(crate) is_recorded: AtomicBool,
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
    pub(crate) fn new(wait: Wait<Option<Resource>>, from: Arc<str>, kind: Arc<str>, body: Bytes) -> Ask {
        Ask { wait, from, kind, size: body.len(), body: Mutex::new(body), is_recorded: AtomicBool::new(false) }
    }

    /// Takes the body, by whoever begins it or gives it up.
    pub(crate) fn take_body(&self) -> Bytes {
        std::mem::take(&mut *self.body.lock())
    }
}

/// A message to a peer: a kind and a body from another peer, perhaps with somebody waiting for the answer.
///
/// A handler borrows it and may [`keep`](Message::keep) it; [`Peer::receive`](crate::Peer::receive) gives it away. When the
/// last reference is dropped unanswered, a sender that waits gets [`Error::NoReply`]; when the peer has closed before,
/// [`Error::PeerClosed`]. It may be used from any thread, and outlives its peer.
pub struct Message(Arc<Received>);

struct Received {
    from: Arc<str>,
    to: Arc<str>,
    kind: Arc<str>,
    body: Bytes,
    ask: Option<Arc<Ask>>,
    is_answered: AtomicBool,
}

impl Message {
    /// Opens a letter: `None` if it is an ask that was given up meanwhile. Also gives the pair to finish afterwards.
    pub(crate) fn open(letter: Letter, to: Arc<str>) -> Option<(Message, Option<Arc<Pair>>)> {
        let is_answered = AtomicBool::new(false);
        let (received, pair) = match letter {
            Letter::Tell(Tell { from, kind, body, pair }) => {
                (Received { from, to, kind, body, ask: None, is_answered }, pair)
            }
            Letter::Ask(ask) => {
                if !ask.wait.step(Phase::Queued, Phase::Begun) {
                    return None;
                }
                let body = ask.take_body();
                let (from, kind) = (Arc::clone(&ask.from), Arc::clone(&ask.kind));
                (Received { from, to, kind, body, ask: Some(ask), is_answered }, None)
            }
        };
        Some((Message(Arc::new(received)), pair))
    }

    /// Another reference, with which a handler keeps the message to answer it after it has returned.
    ///
    /// A handler that keeps a message and then fails has answered it by that.
    #[must_use]
    pub fn keep(&self) -> Message {
        Message(Arc::clone(&self.0))
    }

    /// The peer that sent it.
    pub fn from(&self) -> &str {
        &self.0.from
    }

    /// What kind of message it is.
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// From whom it is and of which kind.
    pub(crate) fn about(&self) -> (Arc<str>, Arc<str>) {
        (Arc::clone(&self.0.from), Arc::clone(&self.0.kind))
    }

    /// The body, borrowed.
    pub fn bytes(&self) -> &[u8] {
        &self.0.body
    }

    /// The body as a counted reference of its own, without a copy.
    pub fn body(&self) -> Bytes {
        self.0.body.clone()
    }

    /// Whether the sender waits for an answer.
    pub fn is_ask(&self) -> bool {
        self.0.ask.is_some()
    }

    /// Answers the sender. Does not block; may be called from any thread.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if nobody asked or it was answered before; [`Error::Canceled`] if the sender waits no more.
    pub fn reply(&self, body: impl Into<Bytes>) -> Result<()> {
        fork::check()?;
        let Some(ask) = &self.0.ask else {
            return Err(Error::InvalidArgument("this message was told, nobody waits for a reply".to_owned()));
        };
        if self.0.is_answered.swap(true, Ordering::AcqRel) {
            return Err(Error::InvalidArgument("this message was answered before".to_owned()));
        }
        let answer = Resource::new(Arc::clone(&self.0.kind), Arc::clone(&self.0.to), 0, body.into());
        if ask.wait.end(Cause::Answered, Ok(Some(answer))) { Ok(()) } else { Err(Error::Canceled) }
    }

    /// Answers the sender with an error, unless it has been answered.
    pub(crate) fn fail(&self, error: Error) {
        self.0.fail(error);
    }
}

impl Received {
    fn fail(&self, error: Error) {
        if let Some(ask) = &self.ask
            && !self.is_answered.swap(true, Ordering::AcqRel)
        {
            ask.wait.end(Cause::Answered, Err(error));
        }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        // In a child made by fork nobody waits.
        if self.ask.is_some() && !fork::is_forked() {
            self.fail(Error::NoReply { peer: self.to.to_string() });
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
