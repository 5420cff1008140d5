//! The state that all threads share: of a system, of a peer, and of an operation under way. What moves it is in
//! `call.rs`, `post.rs`, `close.rs` and `worker.rs`.
//!
//! # Locks, in the order in which they may be taken
//!
//! 1. two shelves, in the order of the peers' ids, or the second one only if it is free;
//! 2. the feed, then a reader's ring;
//! 3. what a peer's thread is doing;
//! 4. a desk's, or `told`; then a mailbox's exit, then its entry;
//! 5. the links of the ring, then who waits for a call that was started, and an operation's route;
//! 6. leaves, under which nothing is taken: the registry's, who waits for arrivals or for quiet, a turn's line, waits, the timer (but for
//!    making its thread).
//!
//! No user code runs under any of them, and nobody is woken under a shelf's lock.

use std::cell::RefCell;
use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;

use crate::arrivals::Arrivals;
use crate::deadline::Deadline;
use crate::desk::{Desk, Note};
use crate::doing::{Call, Doing};
use crate::elsewhere::Elsewhere;
use crate::ending::Ending;
use crate::error::{Error, Result};
use crate::feed::Feed;
use crate::first_use::FirstUse;
use crate::key::Key;
use crate::mailbox::Mailbox;
use crate::message::Ask;
use crate::name;
use crate::near::Near;
use crate::quiet::Quiet;
use crate::registry::{Named, Registry};
use crate::resource::{Edition, Resource};
use crate::ring::Place;
use crate::shelf::Shelf;
use crate::start::Start;
use crate::sync::{Arc, AtomicBool, AtomicU8, AtomicU64, Mutex, MutexGuard, OnceLock, Ordering, thread_local};
use crate::timer::Timer;
use crate::told::{Addressee, Told};
use crate::turn::{Turn, Wait};
use crate::waits::{Interrupt, Waits, Why, give_up};

/// Limits and habits of a system, checked.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) peers_max: u64,
    pub(crate) mailbox_messages_max: u64,
    pub(crate) mailbox_bytes_max: u64,
    pub(crate) shelf_bytes_max: u64,
    pub(crate) resource_bytes_max: u64,
    pub(crate) dead_letters_max: u64,
    pub(crate) drop_timeout: Duration,
    pub(crate) close_on_handler_failure: bool,
    /// Peers get their threads when there is first something to run.
    pub(crate) lazy_threads: bool,
}

/// What lies above the state, and is called from below: given by whoever opens the system.
#[derive(Clone, Copy)]
pub(crate) struct Above {
    /// All that a peer's own thread does.
    pub(crate) run: fn(Arc<PeerCore>),
    /// The end of a peer that has no thread, if it has come to that.
    pub(crate) end: fn(&Arc<PeerCore>),
}

pub(crate) struct SystemCore {
    pub(crate) name: Arc<str>,
    pub(crate) limits: Limits,
    pub(crate) above: Above,
    pub(crate) registry: Registry<PeerCore>,
    pub(crate) feed: Feed,
    /// Who waits for a peer to come; closed by the shutdown.
    pub(crate) arrivals: Arrivals,
    pub(crate) next_id: AtomicU64,
    /// Set by the shutdown: nothing comes in from outside any more.
    pub(crate) is_closed: AtomicBool,
    pub(crate) quiet: Quiet<PeerCore>,
    /// The deadlines of calls that were started.
    pub(crate) timer: Timer,
    /// Held while a peer is made, so that two never race for one name.
    pub(crate) spawning: Mutex<()>,
    /// Peers that have left the registry, or are about to, and have not been joined. One that has not been joined is here or
    /// in the registry, for a moment in both.
    pub(crate) unjoined: Mutex<Unjoined>,
    /// No handle is left that could join a peer.
    pub(crate) is_abandoned: AtomicBool,
    /// The other systems that it has joined, if it has: given once, before anybody else knows of it.
    pub(crate) joined: OnceLock<Arc<dyn Elsewhere>>,
}

impl SystemCore {
    /// Where peers are that are not here. A build without a mesh has no such place, and nothing of this.
    #[inline]
    pub(crate) fn elsewhere(&self) -> Option<&Arc<dyn Elsewhere>> {
        if cfg!(feature = "mesh") { self.joined.get() } else { None }
    }

    /// The peer of this system that a call is aimed at. A name that nobody has is checked only then.
    #[inline(always)]
    pub(crate) fn find(&self, peer: &str) -> Result<Arc<PeerCore>> {
        self.registry.find(Key::new(peer)).ok_or_else(|| no_such_peer(peer))
    }

    /// The check at the entry of each call on the system: after the shutdown has begun, only handlers of it may go on.
    #[inline(always)]
    pub(crate) fn check_inside(&self) -> Result<()> {
        if self.is_closed.load(Ordering::SeqCst) && !runs_in(self) {
            return Err(self.closed());
        }
        Ok(())
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        match self.is_closed.load(Ordering::SeqCst) {
            true => Err(self.closed()),
            false => Ok(()),
        }
    }

    #[cold]
    pub(crate) fn closed(&self) -> Error {
        Error::Closed { name: self.name.to_string() }
    }
}

/// Of a name that nobody has here. `name@node` is a target that only a mesh knows.
#[cold]
fn no_such_peer(peer: &str) -> Error {
    let bad_name = if peer.contains('@') { None } else { name::check_peer(peer).err() };
    bad_name.unwrap_or_else(|| Error::NoSuchPeer { peer: peer.to_owned() })
}

/// Which handlers a peer has; never changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hears {
    pub(crate) messages: bool,
    pub(crate) requests: bool,
    pub(crate) offers: bool,
    pub(crate) receipts: bool,
    pub(crate) stop: bool,
}

impl Hears {
    /// No handler of it ever runs while its shelf is open to others.
    pub(crate) fn nothing(self) -> bool {
        !(self.messages || self.requests || self.offers || self.receipts)
    }
}

/// In this order, so that what a call on another peer's shelf looks at lies in as few cache lines as can be.
#[repr(C)]
pub(crate) struct PeerCore {
    /// Rises with each spawn in the system: the order of spawning and of the shelf locks.
    pub(crate) id: u64,
    pub(crate) hears: Hears,
    /// It stands for a peer of another system, whose shelf is there: nothing lies on this one.
    is_guest: bool,
    pub(crate) side: Mutex<Side>,
    pub(crate) system: Arc<SystemCore>,
    /// What this peer has told others and is perhaps not finished, by their names.
    pub(crate) told: FirstUse<Told<PeerCore>>,
    pub(crate) life: Life,
    /// Of its own: what is cloned from this one stands for this incarnation, as the origin of what it makes.
    pub(crate) name: Arc<str>,
    pub(crate) turn: Turn<Arc<Operation>>,
    /// Of use only where there are handlers.
    pub(crate) desk: FirstUse<Desk<Arc<Operation>>>,
    pub(crate) mailbox: Mailbox,
    /// Asks that handlers have kept, or that were received, and that are perhaps not answered.
    pub(crate) kept: Kept,
    /// What a close of this peer ends: waits as this peer, and waits on its own thread.
    pub(crate) waits: Waits,
    /// Of its thread.
    pub(crate) doing: FirstUse<Doing>,
    /// Whether its thread has been made.
    pub(crate) start: Start,
}

impl Named for PeerCore {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> u64 {
        self.id
    }
}

/// What a peer is made of.
pub(crate) struct Made {
    pub(crate) hears: Hears,
    pub(crate) is_guest: bool,
    pub(crate) shelf_bytes_max: u64,
    pub(crate) mailbox: Mailbox,
    pub(crate) start: Start,
}

impl PeerCore {
    pub(crate) fn new(system: &Arc<SystemCore>, name: &str, made: Made) -> Arc<PeerCore> {
        Arc::new(PeerCore {
            id: system.next_id.fetch_add(1, Ordering::Relaxed),
            name: name.into(),
            system: Arc::clone(system),
            hears: made.hears,
            is_guest: made.is_guest,
            side: Mutex::new(Side { shelf: Shelf::new(made.shelf_bytes_max), near: Near::default() }),
            turn: Turn::new(),
            mailbox: made.mailbox,
            desk: FirstUse::new(),
            told: FirstUse::new(),
            kept: Kept::new(),
            waits: Waits::new(),
            doing: FirstUse::new(),
            life: Life::new(),
            start: made.start,
        })
    }

    /// Whether it stands for a peer of another system. Where there is no mesh, this is no question.
    #[inline]
    pub(crate) fn is_guest(&self) -> bool {
        cfg!(feature = "mesh") && self.is_guest
    }

    pub(crate) fn is(&self, other: &PeerCore) -> bool {
        std::ptr::eq(self, other)
    }

    /// The check at the entry of each call as this peer. Its own thread may go on with what needs no waiting.
    #[inline(always)]
    pub(crate) fn check_acting(&self) -> Result<()> {
        if self.life.stage() == Stage::Open && !self.system.is_closed.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.check_acting_at_end()
    }

    #[cold]
    #[inline(never)]
    fn check_acting_at_end(&self) -> Result<()> {
        match self.life.stage() {
            Stage::Open => self.system.check_inside(),
            _ if runs(self) => Ok(()),
            _ => Err(self.closed()),
        }
    }

    /// There is something for its own thread to do.
    pub(crate) fn has_work(&self) -> bool {
        self.has_own_work() || self.turn.is_handed()
    }

    /// The same but for what others have left in the line of its turn.
    pub(crate) fn has_own_work(&self) -> bool {
        self.desk.has_work() || !(self.mailbox.is_inbox() || self.mailbox.is_empty())
    }

    #[cold]
    pub(crate) fn closed(&self) -> Error {
        Error::Closed { name: self.name.to_string() }
    }

    #[cold]
    pub(crate) fn peer_closed(&self) -> Error {
        Error::PeerClosed { peer: self.name.to_string() }
    }

    /// Where it is in a walk along waits.
    pub(crate) fn place(&self) -> Place {
        Place { key: std::ptr::from_ref(self) as usize, name: Arc::clone(&self.name) }
    }

    /// The ring of one that a handler would close by waiting for its own peer.
    pub(crate) fn deadlock(&self) -> Error {
        Error::Deadlock { ring: vec![self.name.to_string(), self.name.to_string()] }
    }

    #[cold]
    pub(crate) fn no_such_resource(&self, name: &str) -> Error {
        Error::NoSuchResource { name: name.to_owned(), peer: Some(self.name.to_string()) }
    }
}

/// Peers in the order of their ids.
#[derive(Default)]
pub(crate) struct Unjoined(Vec<Arc<PeerCore>>);

impl Unjoined {
    pub(crate) fn insert(&mut self, peer: Arc<PeerCore>) {
        let at = self.0.partition_point(|other| other.id < peer.id);
        self.0.insert(at, peer);
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Arc<PeerCore>> {
        let at = self.0.binary_search_by_key(&id, |peer| peer.id).ok()?;
        Some(self.0.remove(at))
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Arc<PeerCore>> {
        self.0.iter()
    }
}

/// A peer's side of an operation: what the lock of its shelf guards. In this order, since only its own calls look at the second.
#[repr(C)]
pub(crate) struct Side {
    pub(crate) shelf: Shelf,
    pub(crate) near: Near<PeerCore>,
}

/// Both sides, locked in the order of the ids.
#[inline(always)]
pub(crate) fn lock_both<'a>(a: &'a PeerCore, b: &'a PeerCore) -> (MutexGuard<'a, Side>, MutexGuard<'a, Side>) {
    debug_assert!(!a.is(b), "one shelf is locked once");
    if a.id < b.id {
        let first = a.side.lock();
        (first, b.side.lock())
    } else {
        let first = b.side.lock();
        (a.side.lock(), first)
    }
}

/// The second side beside the first: nothing if that is against the order and somebody has it.
#[inline(always)]
pub(crate) fn lock_second<'a>(first: &PeerCore, second: &'a PeerCore) -> Option<MutexGuard<'a, Side>> {
    debug_assert!(!first.is(second), "one shelf is locked once");
    if first.id < second.id { Some(second.side.lock()) } else { second.side.try_lock() }
}

/// Looking for work there makes no desk.
impl FirstUse<Desk<Arc<Operation>>> {
    pub(crate) fn has_work(&self) -> bool {
        self.get().is_some_and(Desk::has_work)
    }

    pub(crate) fn notes_len(&self) -> usize {
        self.get().map_or(0, Desk::notes_len)
    }

    pub(crate) fn take_note(&self) -> Option<Note> {
        self.get()?.take_note()
    }

    pub(crate) fn take_operation(&self, is_due: impl FnOnce(u64) -> bool) -> Option<Arc<Operation>> {
        self.get()?.take_operation(is_due)
    }

    pub(crate) fn is_awaited(&self) -> bool {
        self.get().is_some_and(Desk::is_awaited)
    }

    pub(crate) fn handled(&self, number: u64) -> Vec<Arc<Operation>> {
        self.get().map_or_else(Vec::new, |desk| desk.handled(number))
    }
}

/// Of one that has told nobody anything nothing is made.
impl FirstUse<Told<PeerCore>> {
    #[inline(always)]
    pub(crate) fn unfinished(&self, to: &PeerCore) -> Option<u64> {
        self.get()?.unfinished(to)
    }

    pub(crate) fn close(&self) {
        if let Some(told) = self.get() {
            told.close();
        }
    }
}

impl Addressee for PeerCore {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}

/// Asks whose senders wait though no handler runs for them; the end of the peer ends them. Who waits holds the ask, with its answer: the list
/// does not, and those that nobody waits for any more leave it as it grows.
pub(crate) struct Kept(Mutex<KeptAsks>);

struct KeptAsks {
    closed: bool,
    /// Made with the first of them.
    list: Option<Box<KeptList>>,
}

struct KeptList {
    asks: Vec<Weak<Ask>>,
    clean_at: usize,
}

const KEPT_LEN_TO_CLEAN: usize = 64;

impl Default for KeptList {
    fn default() -> KeptList {
        KeptList { asks: Vec::new(), clean_at: KEPT_LEN_TO_CLEAN }
    }
}

impl Kept {
    pub(crate) fn new() -> Kept {
        Kept(Mutex::new(KeptAsks { closed: false, list: None }))
    }

    /// Notes an ask; false if the peer is at its end.
    pub(crate) fn add(&self, ask: &Arc<Ask>) -> bool {
        let mut kept = self.0.lock();
        if kept.closed {
            return false;
        }
        let list = kept.list.get_or_insert_default();
        if list.asks.len() >= list.clean_at {
            // No reference is made here, which might be the last one: an answer has a destructor.
            list.asks.retain(|ask| ask.strong_count() > 0);
            list.clean_at = (2 * list.asks.len()).max(KEPT_LEN_TO_CLEAN);
        }
        list.asks.push(Arc::downgrade(ask));
        true
    }

    /// Gives back all, and refuses whatever comes later.
    pub(crate) fn close(&self) -> Vec<Weak<Ask>> {
        let mut kept = self.0.lock();
        kept.closed = true;
        kept.list.take().map(|list| list.asks).unwrap_or_default()
    }
}

/// How far a peer's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// All works.
    Open,
    /// No new work; its thread finishes.
    Closing,
    /// Its last handler has returned, its user data is gone, its name is free.
    Ended,
}

/// `Open` → `Closing`, by whoever closes first → `Ended`, by its own thread, or by whoever carries out the end of a peer that
/// has none; which then comes to its `ending`. Each call looks at the first alone.
#[repr(C)]
pub(crate) struct Life {
    stage: AtomicU8,
    pub(crate) ending: Ending,
}

impl Life {
    pub(crate) fn new() -> Life {
        Life { stage: AtomicU8::new(Stage::Open as u8), ending: Ending::default() }
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::SeqCst) {
            0 => Stage::Open,
            1 => Stage::Closing,
            _ => Stage::Ended,
        }
    }

    /// True for the one who moved it.
    pub(crate) fn step(&self, from: Stage, to: Stage) -> bool {
        self.stage.compare_exchange(from as u8, to as u8, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// In which of its two forms a call is made, and by when it is over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// The calling thread waits in it.
    Blocking(Deadline),
    /// It goes on by itself.
    Started(Deadline),
}

impl Form {
    pub(crate) fn is_blocking(self) -> bool {
        matches!(self, Form::Blocking(_))
    }

    pub(crate) fn deadline(self) -> Deadline {
        match self {
            Form::Blocking(deadline) | Form::Started(deadline) => deadline,
        }
    }

    /// The wait of a call that must wait.
    pub(crate) fn wait(self, system: &SystemCore) -> Result<Wait<Option<Resource>>> {
        match self {
            Form::Blocking(_) => Ok(Wait::of_thread(running().map(|own| own.place()))),
            Form::Started(deadline) => {
                if let Deadline::At(_) = deadline {
                    system.timer.start(&system.name)?;
                }
                Ok(Wait::of_started())
            }
        }
    }
}

/// What became of a call with another peer.
pub(crate) enum Begun {
    Done(Option<Resource>),
    /// It was started, and goes on.
    Underway(Arc<dyn Underway>),
}

/// A call with another peer that waits.
pub(crate) trait Underway: Interrupt {
    fn wait(&self) -> &Wait<Option<Resource>>;

    fn verb(&self) -> &'static str;

    /// The resource, or the kind of message.
    fn what(&self) -> &Arc<str>;

    /// The peer that it waits for now.
    fn whom(&self) -> Arc<str>;
}

/// An operation on another peer's shelf that has to wait: for own tells, for a turn, for handlers.
pub(crate) struct Operation {
    pub(crate) wait: Wait<Option<Resource>>,
    pub(crate) caller: Arc<PeerCore>,
    pub(crate) verb: Verb,
    pub(crate) name: Arc<str>,
    pub(crate) route: Mutex<Route>,
}

/// Where it is, and where it may go on when that fails.
pub(crate) struct Route {
    pub(crate) target: Arc<PeerCore>,
    /// The caller's tells to the target that it had to wait for are finished.
    pub(crate) is_in_order: bool,
    pub(crate) others: Vec<Arc<PeerCore>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Verb {
    Request,
    /// A request that gives nothing if what is held is not newer than this.
    RequestNewer(Edition),
    /// A request that goes on to the next holder.
    Fetch,
    /// What the caller held at entry, as soon as it has to wait; before that, what it holds.
    Offer(Option<Resource>),
    /// What the caller gives, if that lies on no shelf here, and how many bytes there is room for in its place.
    Exchange(Option<(Resource, u64)>),
}

impl Verb {
    /// Whether it must have the turn of this peer: it changes its shelf, which must not be while a handler runs.
    pub(crate) fn needs_turn(&self, hears: Hears) -> bool {
        matches!(self, Verb::Offer(_) | Verb::Exchange(_)) && !hears.nothing()
    }

    /// Whether it must ask handlers that this peer has.
    pub(crate) fn needs(&self, hears: Hears) -> bool {
        match self {
            Verb::Request | Verb::RequestNewer(_) | Verb::Fetch => hears.requests,
            Verb::Offer(_) => hears.offers,
            Verb::Exchange(_) => hears.requests || hears.offers,
        }
    }

    /// Whether it leaves something for a handler of this peer that nobody waits for.
    pub(crate) fn leaves(&self, hears: Hears) -> bool {
        hears.receipts && matches!(self, Verb::Offer(_) | Verb::Exchange(_))
    }
}

impl Verb {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Verb::Request => "request",
            Verb::RequestNewer(_) => "request_newer",
            Verb::Fetch => "fetch",
            Verb::Offer(_) => "offer",
            Verb::Exchange(_) => "exchange",
        }
    }
}

impl Operation {
    /// Takes it out of where it waits. It sends nothing but what it offers, which is dropped with it.
    pub(crate) fn leave(&self) -> Bytes {
        let target = Arc::clone(&self.route.lock().target);
        let is_this = |other: &Arc<Operation>| std::ptr::eq(&**other, self);
        target.turn.remove(is_this);
        target.desk.remove(is_this);
        Bytes::new()
    }
}

impl Interrupt for Operation {
    fn give_up(&self, why: Why<'_>) -> Bytes {
        give_up(&self.wait, why, |_| Error::TimedOut, |_| self.leave())
    }
}

impl Underway for Operation {
    fn wait(&self) -> &Wait<Option<Resource>> {
        &self.wait
    }

    fn verb(&self) -> &'static str {
        self.verb.name()
    }

    fn what(&self) -> &Arc<str> {
        &self.name
    }

    fn whom(&self) -> Arc<str> {
        Arc::clone(&self.route.lock().target.name)
    }
}

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// Whose thread this is.
struct Running {
    peer: Arc<PeerCore>,
    /// Whether it holds the peer's turn now: in a handler, and not while a call of that handler waits.
    has_turn: bool,
}

/// The peer whose own thread this is. All user code there runs in a handler of it, but for destructors between handlers.
pub(crate) fn running() -> Option<Arc<PeerCore>> {
    // A destructor that runs after those of this thread's own variables runs in no handler.
    RUNNING.try_with(|running| running.borrow().as_ref().map(|running| Arc::clone(&running.peer))).ok().flatten()
}

/// Whether this thread is the peer's own.
pub(crate) fn runs(peer: &PeerCore) -> bool {
    RUNNING.try_with(|running| running.borrow().as_ref().is_some_and(|running| running.peer.is(peer))).unwrap_or(false)
}

/// Whether this thread is a peer's own of this system.
fn runs_in(system: &SystemCore) -> bool {
    let is_in = |running: &Running| std::ptr::eq(&*running.peer.system, system);
    RUNNING.try_with(|running| running.borrow().as_ref().is_some_and(is_in)).unwrap_or(false)
}

/// Whether this thread is the peer's own and holds its turn.
pub(crate) fn has_turn(peer: &PeerCore) -> bool {
    let holds = |running: &Running| running.has_turn && running.peer.is(peer);
    RUNNING.try_with(|running| running.borrow().as_ref().is_some_and(holds)).unwrap_or(false)
}

/// By the peer's own thread, after it took its turn or before it frees it.
pub(crate) fn set_has_turn(has_turn: bool) {
    RUNNING.with(|running| {
        if let Some(running) = &mut *running.borrow_mut() {
            running.has_turn = has_turn;
        }
    });
}

/// Until it is dropped, whoever looks at the peer whose own thread this is sees that it waits in a call.
pub(crate) struct InCall(Option<Arc<PeerCore>>);

/// For a call that is about to wait; `whom` says for which peer at the moment when somebody looks.
pub(crate) fn in_call(
    verb: &'static str,
    what: Option<&Arc<str>>,
    whom: impl Fn() -> Option<Arc<str>> + Send + 'static,
) -> InCall {
    let own = running();
    if let Some(own) = &own {
        own.doing.begin_call(Call { verb, whom: Box::new(whom), what: what.cloned() });
    }
    InCall(own)
}

impl Drop for InCall {
    fn drop(&mut self) {
        if let Some(own) = &self.0 {
            own.doing.end_call();
        }
    }
}

/// Until it is dropped, this thread is the peer's own; has what it was before.
pub(crate) struct AsOwn(Option<Running>);

/// Makes this thread the peer's own. It may be another's, in a handler that closes a peer without a thread.
pub(crate) fn as_own(peer: Arc<PeerCore>) -> AsOwn {
    AsOwn(replace_running(Some(Running { peer, has_turn: false })))
}

impl Drop for AsOwn {
    fn drop(&mut self) {
        replace_running(self.0.take());
    }
}

/// Gives what was there. In a destructor that runs after those of this thread's own variables there is nothing to replace.
fn replace_running(by: Option<Running>) -> Option<Running> {
    RUNNING.try_with(|running| running.replace(by)).ok().flatten()
}
