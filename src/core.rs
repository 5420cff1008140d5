//! The state that all threads share: of a system, of a peer, and of an operation under way. What moves it is in
//! `call.rs`, `post.rs`, `close.rs` and `worker.rs`.
//!
//! # Locks, in the order in which they may be taken
//!
//! 1. two shelves, in the order of the peers' ids;
//! 2. the feed, then a reader's ring;
//! 3. leaves, under which nothing is taken: the registry's, a desk's, a mailbox's lines, a turn's line, `told`, waits.
//!
//! No user code runs under any of them, and nobody is woken under a shelf's lock.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::desk::Desk;
use crate::error::{Error, Result};
use crate::feed::Feed;
use crate::mailbox::Mailbox;
use crate::name;
use crate::registry::Registry;
use crate::resource::Resource;
use crate::shelf::Shelf;
use crate::sync::{
    Arc, AtomicBool, AtomicU8, AtomicU64, AtomicUsize, JoinHandle, Mutex, MutexGuard, Ordering, thread_local,
};
use crate::turn::{Interrupt, Pair, Turn, Wait, Waits};

/// Limits and habits of a system, checked.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) peers_max: u64,
    pub(crate) mailbox_messages_max: u64,
    pub(crate) mailbox_bytes_max: u64,
    pub(crate) shelf_bytes_max: u64,
    pub(crate) resource_bytes_max: u64,
    pub(crate) drop_timeout: Duration,
    pub(crate) close_on_handler_failure: bool,
}

pub(crate) struct SystemCore {
    pub(crate) name: Arc<str>,
    pub(crate) limits: Limits,
    pub(crate) registry: Registry<PeerCore>,
    pub(crate) feed: Feed,
    pub(crate) next_id: AtomicU64,
    pub(crate) is_closed: AtomicBool,
    /// Held while a peer is made, so that two never race for one name.
    pub(crate) spawning: Mutex<()>,
    /// Peers that have left the registry, or are about to, and have not been joined. One that has not been joined is here or
    /// in the registry, for a moment in both.
    pub(crate) unjoined: Mutex<BTreeMap<u64, Arc<PeerCore>>>,
    /// No handle is left that could join a peer.
    pub(crate) is_abandoned: AtomicBool,
}

impl SystemCore {
    /// The peer that a call is aimed at. A name that nobody has is checked only then.
    pub(crate) fn find(&self, peer: &str) -> Result<Arc<PeerCore>> {
        match self.registry.find(peer) {
            Some(found) => Ok(found),
            // `name@node` is a target that only a mesh knows.
            None if peer.contains('@') => Err(Error::NoSuchPeer { peer: peer.to_owned() }),
            None => name::check_peer(peer).and(Err(Error::NoSuchPeer { peer: peer.to_owned() })),
        }
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        match self.is_closed.load(Ordering::SeqCst) {
            true => Err(Error::Closed { name: self.name.to_string() }),
            false => Ok(()),
        }
    }
}

/// Which handlers a peer has; never changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hears {
    pub(crate) messages: bool,
    pub(crate) requests: bool,
    pub(crate) offers: bool,
    pub(crate) receipts: bool,
}

pub(crate) struct PeerCore {
    /// Rises with each spawn in the system: the order of spawning and of the shelf locks.
    pub(crate) id: u64,
    pub(crate) name: Arc<str>,
    pub(crate) system: Arc<SystemCore>,
    pub(crate) hears: Hears,
    pub(crate) shelf: Mutex<Shelf>,
    pub(crate) turn: Turn<Arc<Operation>>,
    pub(crate) mailbox: Mailbox,
    pub(crate) desk: Desk<Arc<Operation>>,
    /// What this peer has told others and is perhaps not finished, by their ids.
    pub(crate) told: Told,
    /// What a close of this peer ends: waits as this peer, and waits on its own thread.
    pub(crate) waits: Waits,
    pub(crate) life: Life,
}

impl PeerCore {
    pub(crate) fn is(&self, other: &PeerCore) -> bool {
        std::ptr::eq(self, other)
    }

    /// The check at the entry of each call as this peer. Its own thread may go on with what needs no waiting.
    pub(crate) fn check_acting(&self) -> Result<()> {
        if self.life.stage() == Stage::Open || runs(self) {
            return Ok(());
        }
        Err(self.closed())
    }

    pub(crate) fn closed(&self) -> Error {
        Error::Closed { name: self.name.to_string() }
    }

    pub(crate) fn peer_closed(&self) -> Error {
        Error::PeerClosed { peer: self.name.to_string() }
    }

    /// The ring of one that a handler would close by waiting for its own peer.
    pub(crate) fn deadlock(&self) -> Error {
        Error::Deadlock { ring: vec![self.name.to_string(), self.name.to_string()] }
    }

    pub(crate) fn no_such_resource(&self, name: &str) -> Error {
        Error::NoSuchResource { name: name.to_owned(), peer: Some(self.name.to_string()) }
    }
}

/// Both shelves, locked in the order of the ids.
pub(crate) fn lock_both<'a>(a: &'a PeerCore, b: &'a PeerCore) -> (MutexGuard<'a, Shelf>, MutexGuard<'a, Shelf>) {
    debug_assert!(!a.is(b), "one shelf is locked once");
    if a.id < b.id {
        let first = a.shelf.lock();
        (first, b.shelf.lock())
    } else {
        let first = b.shelf.lock();
        (a.shelf.lock(), first)
    }
}

/// The pairs of one sender, by receiver. Those that are finished are dropped as the table grows.
pub(crate) struct Told {
    pairs: Mutex<HashMap<u64, Arc<Pair>>>,
    /// The size of the table, so that who has told nothing takes no lock.
    len: AtomicUsize,
}

const TOLD_LEN_TO_CLEAN: usize = 64;

impl Told {
    pub(crate) fn new() -> Told {
        Told { pairs: Mutex::new(HashMap::new()), len: AtomicUsize::new(0) }
    }

    pub(crate) fn pair(&self, receiver: u64) -> Arc<Pair> {
        let mut pairs = self.pairs.lock();
        if let Some(pair) = pairs.get(&receiver) {
            return Arc::clone(pair);
        }
        if pairs.len() >= TOLD_LEN_TO_CLEAN && pairs.len() == pairs.capacity() {
            // One that nobody else holds has nothing under way, since a message holds its pair until it is finished.
            pairs.retain(|_, pair| pair.unfinished().is_some() || Arc::strong_count(pair) > 1);
        }
        let pair = Arc::new(Pair::default());
        pairs.insert(receiver, Arc::clone(&pair));
        self.len.store(pairs.len(), Ordering::SeqCst);
        pair
    }

    /// The pair and the count to wait for, if something told to this receiver is unfinished.
    pub(crate) fn unfinished(&self, receiver: u64) -> Option<(Arc<Pair>, u64)> {
        if self.len.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let pairs = self.pairs.lock();
        let pair = pairs.get(&receiver)?;
        let told = pair.unfinished()?;
        Some((Arc::clone(pair), told))
    }
}

/// How far a peer's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// All works.
    Open,
    /// No new work; its thread finishes.
    Closing,
    /// Its last handler has returned, its user data is gone, its name is free.
    Ended,
}

/// `Open` → `Closing`, by whoever closes first → `Ended`, by its own thread → joined, by whoever comes then.
pub(crate) struct Life {
    stage: AtomicU8,
    pub(crate) ending: Mutex<Ending>,
}

#[derive(Default)]
pub(crate) struct Ending {
    pub(crate) thread: Option<JoinHandle<()>>,
    pub(crate) is_joined: bool,
    /// Who waits for the end, and then for the join.
    pub(crate) waits: Vec<Arc<Wait<()>>>,
}

impl Life {
    pub(crate) fn new() -> Life {
        Life { stage: AtomicU8::new(Stage::Open as u8), ending: Mutex::new(Ending::default()) }
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

/// An operation on another peer's shelf that has to wait: for own tells, for a turn, for handlers.
pub(crate) struct Operation {
    pub(crate) wait: Wait<Option<Resource>>,
    pub(crate) caller: Arc<PeerCore>,
    /// The peer on whose thread it waits, which cannot run another handler meanwhile.
    pub(crate) runs_on: Option<Arc<PeerCore>>,
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
    /// A request that goes on to the next holder.
    Fetch,
    /// What the caller held at entry.
    Offer(Resource),
    Exchange,
}

impl Verb {
    /// It changes no shelf but the caller's own.
    pub(crate) fn only_reads(&self) -> bool {
        matches!(self, Verb::Request | Verb::Fetch)
    }

    /// Whether it must ask handlers that this peer has.
    pub(crate) fn needs(&self, hears: Hears) -> bool {
        match self {
            Verb::Request | Verb::Fetch => hears.requests,
            Verb::Offer(_) => hears.offers,
            Verb::Exchange => hears.requests || hears.offers,
        }
    }
}

impl Operation {
    pub(crate) fn target(&self) -> Arc<PeerCore> {
        Arc::clone(&self.route.lock().target)
    }
}

impl Interrupt for Operation {
    fn interrupt(&self, name: &str) {
        self.wait.interrupt(name);
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

/// Makes this thread the peer's own.
pub(crate) fn begin_running(peer: Arc<PeerCore>) {
    RUNNING.with(|running| running.replace(Some(Running { peer, has_turn: false })));
}

/// Makes this thread nobody's again.
pub(crate) fn end_running() {
    RUNNING.with(|running| running.replace(None));
}
