//! The handle of a peer, and what a peer is spawned with.

use std::fmt;
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;

use crate::call;
use crate::calling::Call;
use crate::close::{self, Ended};
use crate::core::{Form, Hears, PeerCore, Stage};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::fork;
use crate::message::Message;
use crate::pending::{self, Pending};
use crate::post;
use crate::resource::Resource;
use crate::start::OpaqueHandlers;
use crate::sync::Arc;

/// A named OS thread with a mailbox and a shelf; client and server at once.
///
/// A clone is another reference to the same peer, and dropping one closes nothing. All calls may be made from any thread
/// and from any handler, as this peer. In every call the other peer is named, wherever it is.
///
/// Names of peers and systems: 1 to 255 bytes of UTF-8 without control characters and without `/ * $ # ? @`. Names of resources: the
/// same, but `/` may divide them into parts that are not empty. Kinds of messages: 1 to 255 bytes without control characters.
///
/// In a mesh a name is that of the peer here, else of the one peer of that name on another node; `name@node` is exact. Every call with
/// another peer may then also answer [`Error::Ambiguous`], [`Error::Unreachable`] or [`Error::Denied`], and one that changes something there
/// [`Error::OutcomeUnknown`], if no answer has come by the deadline.
///
/// Calls with a timeout wait at most that long in all; [`Duration::ZERO`] does what needs no waiting and leaves nothing
/// queued, [`Duration::MAX`] waits for ever. Every call as a closed peer answers [`Error::Closed`], and in a child made by fork [`Error::Forked`].
#[derive(Clone)]
pub struct Peer {
    core: Arc<PeerCore>,
}

impl Peer {
    pub(crate) fn new(core: Arc<PeerCore>) -> Peer {
        Peer { core }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// Puts a new version of a resource on this peer's shelf, at once, and returns it. The body is not copied.
    ///
    /// The version is 1 for a name that this peer never held, else one above the highest that it ever held under it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`], [`Error::TooLarge`], [`Error::Closed`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> potluck::Result<()> {
    /// let kitchen = potluck::PeerSystem::open("kitchen")?;
    /// let ada = kitchen.spawn("ada")?;
    /// ada.share("soup", "tomato")?;
    /// assert_eq!(ada.share("soup", vec![1, 2, 3])?.version(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn share(&self, name: &str, body: impl Into<Bytes>) -> Result<Resource> {
        fork::check()?;
        call::share(&self.core, name, body.into())
    }

    /// [`share`](Peer::share), but only if exactly the resource `expected` is held under the name now, or nothing if that is
    /// `None`. Looking and putting are one step, so that of several writers none overwrites what it has not seen.
    ///
    /// The same is held if origin, name and version are the same; a peer spawned again under an old name is another origin.
    ///
    /// # Errors
    ///
    /// [`Error::VersionConflict`] with the version that is held instead; [`Error::InvalidArgument`] if `expected` has another
    /// name; and those of [`share`](Peer::share). After an error nothing has changed.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> potluck::Result<()> {
    /// # use potluck::Error;
    /// let kitchen = potluck::PeerSystem::open("kitchen")?;
    /// let ada = kitchen.spawn("ada")?;
    /// let first = ada.share_if("soup", "tomato", None)?;
    /// ada.share_if("soup", "tomato and salt", Some(&first))?;
    /// let late = ada.share_if("soup", "tomato and pepper", Some(&first));
    /// assert_eq!(late.unwrap_err(), Error::VersionConflict { current: 2 });
    /// # Ok(())
    /// # }
    /// ```
    pub fn share_if(&self, name: &str, body: impl Into<Bytes>, expected: Option<&Resource>) -> Result<Resource> {
        fork::check()?;
        call::share_if(&self.core, name, body.into(), expected)
    }

    /// Takes a resource off this peer's shelf. Copies that others hold stay.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchResource`], [`Error::InvalidName`], [`Error::Closed`].
    pub fn unshare(&self, name: &str) -> Result<()> {
        fork::check()?;
        call::unshare(&self.core, name)
    }

    /// What this peer itself holds under a name. Does not wait.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchResource`], [`Error::InvalidName`], [`Error::Closed`].
    pub fn get(&self, name: &str) -> Result<Resource> {
        fork::check()?;
        self.core.check_acting()?;
        call::get(&self.core, name)
    }

    /// All that this peer holds, sorted by name.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn resources(&self) -> Result<Vec<Resource>> {
        fork::check()?;
        self.core.check_acting()?;
        Ok(self.core.side.lock().shelf.list())
    }

    /// Gets what `from` holds now, and in the same step puts it on this peer's shelf, so that this peer serves it from then on.
    ///
    /// If `from` has no on_request it is done on the calling thread and waits for nobody's handler, except for those of this
    /// peer's own earlier tells to `from`. From oneself it is [`get`](Peer::get).
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchPeer`], [`Error::NoSuchResource`], [`Error::PeerClosed`], [`Error::Refused`], [`Error::HandlerFailed`],
    /// [`Error::TooLarge`] if this peer's shelf has no room, [`Error::Deadlock`], [`Error::TimedOut`], [`Error::InvalidName`],
    /// [`Error::Closed`]; [`Error::LimitReached`] if the thread of a peer with threads on demand cannot be made. After an error nothing has
    /// changed.
    // In the C libraries, which call it once; a program in Rust would have all of it at each of its calls.
    #[cfg_attr(feature = "c-library", inline(always))]
    pub fn request(&self, from: &str, name: &str, timeout: Duration) -> Result<Resource> {
        fork::check()?;
        call::request(&self.core, from, name, blocking(timeout))?.resource()
    }

    /// [`request`](Peer::request), but `None` and nothing handed over if `from` holds `than` itself, or an older version of the
    /// same origin. Then no shelf has changed and no event says anything; whether this peer still holds `than` is not looked at.
    ///
    /// A version of another origin counts as newer, whatever its number; a peer spawned again under an old name is another
    /// origin. An on_request of `from` is asked as for any request. From oneself it is [`get`](Peer::get) by the same rule.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if `than` has another name; otherwise as [`request`](Peer::request).
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # fn main() -> potluck::Result<()> {
    /// let kitchen = potluck::PeerSystem::open("kitchen")?;
    /// let (ada, bob) = (kitchen.spawn("ada")?, kitchen.spawn("bob")?);
    /// let second = Duration::from_secs(1);
    /// ada.share("soup", "tomato")?;
    /// let first = bob.request("ada", "soup", second)?;
    /// assert!(bob.request_newer("ada", "soup", &first, second)?.is_none());
    /// ada.share("soup", "tomato and salt")?;
    /// let newer = bob.request_newer("ada", "soup", &first, second)?;
    /// assert_eq!(newer.map(|newer| newer.version()), Some(2));
    /// # Ok(())
    /// # }
    /// ```
    pub fn request_newer(
        &self,
        from: &str,
        name: &str,
        than: &Resource,
        timeout: Duration,
    ) -> Result<Option<Resource>> {
        fork::check()?;
        call::request_newer(&self.core, from, name, than, blocking(timeout))?.done()
    }

    /// Gets a resource from any other peer that holds it, chosen at random; from the next if that one is closed, refuses, fails or
    /// would close a ring. As [`request`](Peer::request) otherwise. (Of more than 128 holders a thread chooses among the same 128 for some
    /// two thousand fetches in a row, which the caches hold then, and among others after that.)
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchResource`] if nobody else holds it, else the last error of [`request`](Peer::request) from a holder.
    pub fn fetch(&self, name: &str, timeout: Duration) -> Result<Resource> {
        fork::check()?;
        call::fetch(&self.core, name, blocking(timeout))?.resource()
    }

    /// Puts a copy of what this peer holds at entry on `to`'s shelf; the last writer wins. Waits while a handler of `to` runs.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchResource`] if this peer does not hold it; otherwise as [`request`](Peer::request). In a mesh it may have been done
    /// after [`Error::OutcomeUnknown`], or [`Error::PeerClosed`] of another node.
    pub fn offer(&self, to: &str, name: &str, timeout: Duration) -> Result<()> {
        fork::check()?;
        call::offer(&self.core, to, name, blocking(timeout))?.done().map(drop)
    }

    /// Swaps what both peers hold under a name at that moment, and returns what this one got. Both shelves change or neither;
    /// with a peer of another node its shelf changes first, and this one when the answer has come.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchResource`] says who has nothing; otherwise as [`offer`](Peer::offer).
    pub fn exchange(&self, with: &str, name: &str, timeout: Duration) -> Result<Resource> {
        fork::check()?;
        call::exchange(&self.core, with, name, blocking(timeout))?.resource()
    }

    /// Sends a message; returns once it is accepted, waiting for room up to `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if there is no room until the deadline, [`Error::TooLarge`], [`Error::NoSuchPeer`],
    /// [`Error::PeerClosed`], [`Error::InvalidName`] of the kind, [`Error::Closed`]; [`Error::Deadlock`] in a handler, if waiting for
    /// room would close a ring; [`Error::LimitReached`] if the thread of a peer with threads on demand cannot be made. After an error it
    /// was not sent, unless that says in a mesh that nobody knows: [`Error::OutcomeUnknown`], or [`Error::PeerClosed`] of another node.
    pub fn tell(&self, to: &str, kind: &str, body: impl Into<Bytes>, timeout: Duration) -> Result<()> {
        fork::check()?;
        post::tell(&self.core, to, kind, body.into(), blocking(timeout))?.done().map(drop)
    }

    /// [`tell`](Peer::tell) without waiting: [`Error::Full`] if there is no room now.
    ///
    /// # Errors
    ///
    /// As [`tell`](Peer::tell).
    pub fn try_tell(&self, to: &str, kind: &str, body: impl Into<Bytes>) -> Result<()> {
        self.tell(to, kind, body, Duration::ZERO)
    }

    /// Sends a message and waits for the answer: a resource named after the kind, from the replier, of version 0.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] if its handler had not begun at the deadline and now never will; [`Error::OutcomeUnknown`] if it had;
    /// [`Error::UnknownMessage`], [`Error::HandlerFailed`], [`Error::NoReply`], [`Error::Deadlock`] from a handler to its own
    /// peer; and those of [`tell`](Peer::tell).
    pub fn ask(&self, to: &str, kind: &str, body: impl Into<Bytes>, timeout: Duration) -> Result<Resource> {
        fork::check()?;
        post::ask(&self.core, to, kind, body.into(), blocking(timeout))?.resource()
    }

    /// Makes a call without waiting for its end: [`Pending::wait`] does that, as often as it takes.
    ///
    /// What can be said before anything is left to wait is said here: what needs no waiting is done when this returns, and what
    /// fails so early fails. The `timeout` is that of the call itself: at the deadline it ends as the blocking call would. What it sends, it sends in no order
    /// with other calls before it is done. A handler may start any call, also one to its own peer, which then waits for the handler's return.
    ///
    /// # Errors
    ///
    /// Those of the blocking call, and [`Error::LimitReached`] if the thread that sees to deadlines cannot be made. After an error nothing
    /// has happened.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{task::Poll, time::Duration};
    /// # fn main() -> potluck::Result<()> {
    /// use potluck::Call;
    /// let kitchen = potluck::PeerSystem::open("kitchen")?;
    /// let (ada, bob) = (kitchen.spawn("ada")?, kitchen.spawn("bob")?);
    /// let answer = bob.start(Call::Ask { to: "ada", kind: "taste", body: "soup".into() }, Duration::from_secs(10))?;
    /// assert!(answer.wait(Duration::ZERO).is_pending());
    /// ada.receive(Duration::from_secs(1))?.reply("more salt")?;
    /// let Poll::Ready(answer) = answer.wait(Duration::from_secs(1)) else { panic!("it was answered") };
    /// assert_eq!(answer?.unwrap().bytes(), b"more salt");
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(&self, call: Call<'_>, timeout: Duration) -> Result<Pending> {
        fork::check()?;
        pending::start(&self.core, call, Form::Started(Deadline::after(timeout)))
    }

    /// A descriptor for a poll loop, of the caller's own: readable whenever [`receive`](Peer::receive) would return at once, and for good
    /// once the peer is closed. Another thread may take the message meanwhile. Only to be waited for.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]; [`Error::InvalidArgument`] if the peer has an on_message; [`Error::LimitReached`] if the process has no
    /// descriptor left.
    #[cfg(unix)]
    pub fn descriptor(&self) -> Result<OwnedFd> {
        fork::check()?;
        post::descriptor(&self.core)
    }

    /// The next message to a peer that was spawned without on_message. Several threads may wait; they are served in order.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], [`Error::Closed`]; [`Error::InvalidArgument`] if the peer has an on_message.
    pub fn receive(&self, timeout: Duration) -> Result<Message> {
        fork::check()?;
        post::receive(&self.core, timeout)
    }

    /// Closes the peer: a barrier.
    ///
    /// No new work is let in; the running handler finishes, its waiting calls end with [`Error::Closed`]; what is queued is answered
    /// [`Error::PeerClosed`] or becomes a dead letter; on_stop runs last. When this returns [`Ended::Yes`], no handler runs or
    /// will run, the shelf is gone from every list, the handlers and what they own have been dropped, the thread has been
    /// joined and the name is free. From the peer's own handler it is [`Ended::Deferred`]: it happens when the handler
    /// returns. Closing again waits for the same end.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] from a handler whose own peer is closed meanwhile; [`Error::LimitReached`], with the peer as open as before, if it
    /// has an on_stop and, by [`SystemOptions::lazy_threads`](crate::SystemOptions::lazy_threads), no thread yet, and none can be made.
    pub fn close(&self, timeout: Duration) -> Result<Ended> {
        fork::check()?;
        close::close(&self.core, Deadline::within(timeout))
    }

    /// Whether it has ended, by whoever's close: its last handler has returned and its name is free.
    pub fn has_ended(&self) -> bool {
        self.core.life.stage() == Stage::Ended
    }
}

/// The form of a call that waits at most so long.
fn blocking(timeout: Duration) -> Form {
    Form::Blocking(Deadline::within(timeout))
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = self.core.life.stage();
        f.debug_struct("Peer").field("name", &self.core.name).field("stage", &stage).finish_non_exhaustive()
    }
}

/// What a handler answers when it does not do what it was asked for. Any error becomes [`HandlerError::Failed`] by `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandlerError {
    /// Of on_message: this kind of message is not known here. The asker gets [`Error::UnknownMessage`].
    UnknownMessage,
    /// Of on_request and on_offer: no, and why. The caller gets [`Error::Refused`].
    Refused(String),
    /// It went wrong. The caller gets [`Error::HandlerFailed`], and an event says so.
    Failed(String),
}

impl HandlerError {
    /// A refusal with its reason.
    pub fn refused(reason: impl Into<String>) -> HandlerError {
        HandlerError::Refused(reason.into())
    }

    /// A failure with its text.
    pub fn failed(text: impl Into<String>) -> HandlerError {
        HandlerError::Failed(text.into())
    }
}

/// So that `?` works in a handler on any error, also on the library's own.
impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> HandlerError {
        HandlerError::Failed(error.to_string())
    }
}

/// The result of a handler.
pub type HandlerResult = std::result::Result<(), HandlerError>;

pub(crate) type OnMessage = Box<dyn FnMut(&Peer, &Message) -> HandlerResult + Send>;
pub(crate) type OnRequest = Box<dyn FnMut(&Peer, &str, &str) -> HandlerResult + Send>;
pub(crate) type OnOffer = Box<dyn FnMut(&Peer, &str, &Resource) -> HandlerResult + Send>;
pub(crate) type OnReceived = Box<dyn FnMut(&Peer, &str, &Resource) + Send>;
pub(crate) type OnStop = Box<dyn FnOnce(&Peer) + Send>;

/// The user's code on a peer's thread.
#[derive(Default)]
pub(crate) struct Handlers {
    pub(crate) on_message: Option<OnMessage>,
    pub(crate) on_request: Option<OnRequest>,
    pub(crate) on_offer: Option<OnOffer>,
    pub(crate) on_received: Option<OnReceived>,
    pub(crate) on_stop: Option<OnStop>,
}

impl Handlers {
    /// As the layers below have them; nothing if there are none.
    pub(crate) fn boxed(self) -> Option<OpaqueHandlers> {
        let Handlers { on_message, on_request, on_offer, on_received, on_stop } = &self;
        let is_any = on_message.is_some() || on_request.is_some() || on_offer.is_some() || on_received.is_some();
        (is_any || on_stop.is_some()).then(|| Box::new(self) as OpaqueHandlers)
    }
}

/// Handlers and limits of a peer, for [`PeerSystem::spawn_with`](crate::PeerSystem::spawn_with).
///
/// Handlers run on the peer's own thread, one at a time, with no lock of the library held; every call is legal inside one,
/// or answers a documented error. A panic stays in the peer: it counts as a failure. They are dropped, with what they own,
/// on the peer's thread after on_stop, or when spawning fails; of a peer that never had a thread, on the thread that closes it.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// use potluck::{HandlerError, PeerOptions, PeerSystem};
/// # fn main() -> potluck::Result<()> {
/// let kitchen = PeerSystem::open("kitchen")?;
/// let cook = PeerOptions::new().on_message(|_peer, message| match message.kind() {
///     "taste" => Ok(message.reply("more salt")?),
///     _ => Err(HandlerError::UnknownMessage),
/// });
/// kitchen.spawn_with("ada", cook)?;
/// let answer = kitchen.spawn("bob")?.ask("ada", "taste", "", Duration::from_secs(1))?;
/// assert_eq!(answer.bytes(), b"more salt");
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct PeerOptions {
    pub(crate) handlers: Handlers,
    pub(crate) mailbox_messages_max: Option<u64>,
    pub(crate) mailbox_bytes_max: Option<u64>,
    pub(crate) shelf_bytes_max: Option<u64>,
}

impl PeerOptions {
    /// No handler, and the limits of the system.
    pub fn new() -> PeerOptions {
        PeerOptions::default()
    }

    /// Gets every message. Answers by [`Message::reply`]; an ask that it leaves unanswered gets [`Error::NoReply`].
    /// Without it messages wait for [`Peer::receive`].
    #[must_use]
    pub fn on_message(mut self, handler: impl FnMut(&Peer, &Message) -> HandlerResult + Send + 'static) -> Self {
        self.handlers.on_message = Some(Box::new(handler));
        self
    }

    /// Is asked before another peer (the second argument) gets the resource (the third) by request, fetch or exchange, whether it is
    /// held or not: it may share it on the spot, or refuse. (A fetch only comes to those that hold it.)
    #[must_use]
    pub fn on_request(mut self, handler: impl FnMut(&Peer, &str, &str) -> HandlerResult + Send + 'static) -> Self {
        self.handlers.on_request = Some(Box::new(handler));
        self
    }

    /// Is asked before another peer (the second argument) puts a resource on this peer's shelf by offer or exchange; may refuse.
    #[must_use]
    pub fn on_offer(mut self, handler: impl FnMut(&Peer, &str, &Resource) -> HandlerResult + Send + 'static) -> Self {
        self.handlers.on_offer = Some(Box::new(handler));
        self
    }

    /// Is told of each resource that another peer (the second argument) has put on this peer's shelf by offer or exchange, in
    /// that order. Nobody waits for it.
    #[must_use]
    pub fn on_received(mut self, handler: impl FnMut(&Peer, &str, &Resource) + Send + 'static) -> Self {
        self.handlers.on_received = Some(Box::new(handler));
        self
    }

    /// Runs last of all, when the peer closes.
    #[must_use]
    pub fn on_stop(mut self, handler: impl FnOnce(&Peer) + Send + 'static) -> Self {
        self.handlers.on_stop = Some(Box::new(handler));
        self
    }

    /// The most messages in the mailbox, at least 1; otherwise the system's.
    #[must_use]
    pub fn mailbox_messages_max(mut self, messages: u64) -> Self {
        self.mailbox_messages_max = Some(messages);
        self
    }

    /// The most bytes of messages in the mailbox, at least 1; otherwise the system's.
    #[must_use]
    pub fn mailbox_bytes_max(mut self, bytes: u64) -> Self {
        self.mailbox_bytes_max = Some(bytes);
        self
    }

    /// The most bytes on the shelf, at least 1; otherwise the system's.
    #[must_use]
    pub fn shelf_bytes_max(mut self, bytes: u64) -> Self {
        self.shelf_bytes_max = Some(bytes);
        self
    }

    pub(crate) fn hears(&self) -> Hears {
        Hears {
            messages: self.handlers.on_message.is_some(),
            requests: self.handlers.on_request.is_some(),
            offers: self.handlers.on_offer.is_some(),
            receipts: self.handlers.on_received.is_some(),
            stop: self.handlers.on_stop.is_some(),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_limit("mailbox_messages_max", self.mailbox_messages_max)?;
        check_limit("mailbox_bytes_max", self.mailbox_bytes_max)?;
        check_limit("shelf_bytes_max", self.shelf_bytes_max)
    }
}

pub(crate) fn check_limit(what: &str, limit: Option<u64>) -> Result<()> {
    match limit {
        Some(0) => Err(Error::InvalidArgument(format!("{what} is 0: nothing would ever fit"))),
        _ => Ok(()),
    }
}

impl fmt::Debug for PeerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerOptions").field("hears", &self.hears()).finish_non_exhaustive()
    }
}
