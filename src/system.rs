//! The handle of a system: opening it, spawning peers, looking over all of them, shutting it down.

use std::fmt;
use std::time::Duration;

use crate::arrivals::Arrivals;
use crate::call::{self, After, block};
use crate::close;
use crate::core::{Above, Limits, Made, PeerCore, Stage, SystemCore, in_call};
use crate::dead_letters::DeadLetters;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::feed::{Feed, Heard};
use crate::fork;
use crate::holder::Holder;
use crate::key::Key;
use crate::mailbox::Mailbox;
use crate::mesh::{self, Mesh};
use crate::mingle::{self, Round};
use crate::name;
use crate::peer::{Peer, PeerOptions, check_limit};
use crate::quiet::Quiet;
use crate::reader::EventReader;
use crate::registry::Registry;
use crate::shutdown::{self, Report};
use crate::snapshot::{self, Snapshot};
use crate::start::{self, Start};
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, OnceLock, Ordering};
use crate::timer::Timer;
use crate::turn::{Cause, Wait};
use crate::worker;

/// A set of peers that can reach one another; opened and shut down as one.
///
/// A clone is another handle of the same system. Dropping the last handle shuts the system down, waiting for it at most
/// [`SystemOptions::drop_timeout`]; handles of peers keep no system open. Several systems live in one process, fully apart.
/// All calls may be made from any thread and from any handler. In a child made by fork every call, of everything that came from
/// its parent, answers [`Error::Forked`] at once.
///
/// # Examples
///
/// ```
/// use potluck::PeerSystem;
/// use std::time::Duration;
/// # fn main() -> potluck::Result<()> {
/// let kitchen = PeerSystem::open("kitchen")?;
/// let (ada, bob) = (kitchen.spawn("ada")?, kitchen.spawn("bob")?);
/// ada.share("soup", "tomato")?;
/// let soup = bob.request("ada", "soup", Duration::from_secs(1))?;      // bob holds a copy now and serves it, too
/// assert_eq!((soup.bytes(), soup.origin(), soup.version()), (&b"tomato"[..], "ada", 1));
/// kitchen.shutdown(Duration::from_secs(1))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PeerSystem {
    handle: Arc<Handle>,
}

/// Shuts the system down when the last one is dropped.
struct Handle {
    core: Arc<SystemCore>,
}

impl PeerSystem {
    /// Opens a system with the default options.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`].
    pub fn open(name: &str) -> Result<PeerSystem> {
        PeerSystem::open_with(name, SystemOptions::new())
    }

    /// Opens a system.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]; [`Error::InvalidArgument`] for a limit of 0. With a mesh also [`Error::Unsupported`] in a build without
    /// it, [`Error::InvalidArgument`] for what it cannot use, such as an address that cannot be listened on, and
    /// [`Error::LimitReached`] if its threads cannot be made.
    pub fn open_with(name: &str, options: SystemOptions) -> Result<PeerSystem> {
        fork::check()?;
        name::check_peer(name)?;
        let limits = options.limits()?;
        fork::watch();
        let core = SystemCore {
            name: name.into(),
            registry: Registry::new(),
            feed: Feed::new(limits.dead_letters_max),
            arrivals: Arrivals::new(),
            limits,
            above: Above { run: worker::run, end: worker::end_without_thread },
            next_id: AtomicU64::new(1),
            is_closed: AtomicBool::new(false),
            quiet: Quiet::new(),
            timer: Timer::new(),
            spawning: Mutex::new(()),
            unjoined: Mutex::default(),
            is_abandoned: AtomicBool::new(false),
            joined: OnceLock::new(),
        };
        let core = Arc::new(core);
        if let Some(options) = &options.mesh {
            mesh::join(&core, options)?;
        }
        Ok(PeerSystem { handle: Arc::new(Handle { core }) })
    }

    pub(crate) fn core(&self) -> &Arc<SystemCore> {
        &self.handle.core
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.core().name
    }

    /// Spawns a peer without handlers: it shares, and its messages wait for [`Peer::receive`].
    ///
    /// # Errors
    ///
    /// As [`spawn_with`](PeerSystem::spawn_with).
    pub fn spawn(&self, name: &str) -> Result<Peer> {
        self.spawn_with(name, PeerOptions::new())
    }

    /// Spawns a peer with handlers or limits of its own. Returns once its thread is made, unless that is left for later by
    /// [`SystemOptions::lazy_threads`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`], [`Error::NameTaken`], [`Error::InvalidArgument`] for a limit of 0, [`Error::LimitReached`],
    /// [`Error::Closed`]. The options, and what their handlers own, are dropped then.
    pub fn spawn_with(&self, name: &str, options: PeerOptions) -> Result<Peer> {
        fork::check()?;
        let system = self.core();
        name::check_peer(name)?;
        options.check()?;
        close::reap(system);
        let hears = options.hears();
        let limits = &system.limits;
        let mailbox = Mailbox::new(
            options.mailbox_messages_max.unwrap_or(limits.mailbox_messages_max),
            options.mailbox_bytes_max.unwrap_or(limits.mailbox_bytes_max),
            !hears.messages,
        );
        let made = Made {
            hears,
            is_guest: false,
            shelf_bytes_max: options.shelf_bytes_max.unwrap_or(limits.shelf_bytes_max),
            mailbox,
            start: Start::new(options.handlers.boxed()),
        };
        let core = PeerCore::new(system, name, made);
        let name = Key::new(name);
        let mut heard = Heard::new();
        let spawning = system.spawning.lock();
        system.check_open()?;
        if system.registry.find(name).is_some() {
            return Err(Error::NameTaken { peer: name.text.to_owned() });
        }
        if system.registry.len() as u64 >= limits.peers_max {
            return Err(Error::LimitReached(format!("peers_max of the system is {}", limits.peers_max)));
        }
        start::begin(&core)?;
        let mut feed = system.feed.lock();
        system.registry.add(name, &core);
        feed.emit(&mut heard, || Event::Joined { peer: Arc::clone(&core.name) });
        if let Some(elsewhere) = system.elsewhere() {
            elsewhere.come(&core.name);
        }
        drop((feed, spawning));
        heard.wake();
        system.arrivals.come(&core.name);
        Ok(Peer::new(core))
    }

    /// The names of all peers, in the order of spawning; then, in a mesh, those of other nodes as `name@node`, sorted.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] after the shutdown; while it goes on, those that are still there.
    pub fn peers(&self) -> Result<Vec<String>> {
        fork::check()?;
        let peers = self.core().registry.list();
        if peers.is_empty() {
            self.core().check_open()?;
        }
        let here = peers.iter().map(|peer| peer.name.to_string());
        let there = self.core().elsewhere().map(|elsewhere| elsewhere.peers()).unwrap_or_default();
        Ok(here.chain(there.iter().map(|peer| peer.to_string())).collect())
    }

    /// Who holds a resource of this name now, in the order of spawning; then, in a mesh, who holds it on other nodes, which are
    /// asked: one that has not answered within a second is left out.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`], [`Error::Closed`].
    pub fn holders(&self, resource: &str) -> Result<Vec<Holder>> {
        fork::check()?;
        self.core().check_inside()?;
        name::check_resource(resource)?;
        let mut holders: Vec<Holder> =
            call::held(self.core(), resource).into_iter().map(|(peer, held)| Holder::new(&peer.name, &held)).collect();
        if let Some(elsewhere) = self.core().elsewhere() {
            holders.extend(elsewhere.holders(resource)?);
        }
        Ok(holders)
    }

    /// Waits until a peer of this name is there: at once if it is, else until it is spawned. One that is closing is there no more.
    ///
    /// In a mesh the peer may be on any node; `name@node` waits for the peer of that node, `@node` for the node itself.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]; [`Error::Closed`] when the system is shut down before it came, and from a handler whose own peer
    /// is closed meanwhile; [`Error::InvalidName`]; [`Error::NoSuchPeer`] for a `name@node` or `@node`, which can only come in a mesh.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # fn main() -> potluck::Result<()> {
    /// let kitchen = potluck::PeerSystem::open("kitchen")?;
    /// let door = kitchen.clone();
    /// let guest = std::thread::spawn(move || door.spawn("ada").map(drop));
    /// kitchen.wait_for("ada", Duration::from_secs(10))?;
    /// assert_eq!(kitchen.peers()?, ["ada"]);
    /// # guest.join().expect("the guest came")
    /// # }
    /// ```
    pub fn wait_for(&self, peer: &str, timeout: Duration) -> Result<()> {
        fork::check()?;
        let deadline = Deadline::after(timeout);
        let system = self.core();
        system.check_inside()?;
        let is_there = || match system.find(peer) {
            Ok(found) => Ok(found.life.stage() == Stage::Open),
            Err(error @ Error::NoSuchPeer { .. }) => match system.elsewhere() {
                Some(elsewhere) => elsewhere.is_there(peer),
                None if peer.contains('@') => Err(error),
                None => Ok(false),
            },
            Err(error) => Err(error),
        };
        if is_there()? {
            return Ok(());
        }
        if deadline.is_now() {
            return Err(Error::TimedOut);
        }
        let wait = Arc::new(Wait::new());
        if !system.arrivals.add(peer, &wait) {
            return Err(system.closed());
        }
        if is_there()? {
            wait.end(Cause::Answered, Ok(()));
        }
        let awaited: Arc<str> = peer.into();
        let _in_call = in_call("wait_for", None, move || Some(Arc::clone(&awaited)));
        let result = block(None, &wait, |wait| wait, deadline, &mut After::new());
        system.arrivals.leave(&wait);
        result
    }

    /// A round of requests: the peers of this node in the order of spawning, one after another, each request `resource` from a random other
    /// holder here at that moment. What one does the next one sees, so the same seed on the same state gives the same result.
    ///
    /// A peer's failure is its entry, not the end of the rest: [`Error::NoSuchResource`] if nobody else holds it, or any error of
    /// [`Peer::request`]. `timeout` is for all of it. With a single peer there is nobody to mingle with: an empty list.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchResource`] if nobody here holds it, [`Error::InvalidName`], [`Error::Closed`].
    pub fn mingle(&self, resource: &str, seed: u64, timeout: Duration) -> Result<Round> {
        fork::check()?;
        let deadline = Deadline::after(timeout);
        self.core().check_inside()?;
        mingle::mingle(self.core(), resource, seed, deadline)
    }

    /// A reader of what happens from now on, which begins with a `joined` for every peer that is there.
    ///
    /// It holds up to `capacity` events (at least 1) beyond those; whoever falls behind is told how many it missed.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a capacity of 0, [`Error::Closed`].
    pub fn events(&self, capacity: usize) -> Result<EventReader> {
        fork::check()?;
        let core = self.core();
        core.check_inside()?;
        if capacity == 0 {
            return Err(Error::InvalidArgument("the capacity is 0: no event would ever fit".to_owned()));
        }
        let joined = || {
            let here = core.registry.list();
            let there = core.elsewhere().map(|elsewhere| elsewhere.peers()).unwrap_or_default();
            let names = here.iter().map(|peer| &peer.name).chain(&there);
            names.map(|peer| Event::Joined { peer: Arc::clone(peer) }).collect()
        };
        core.feed.subscribe(Arc::clone(&core.name), capacity, joined).map(EventReader::new)
    }

    /// The messages that were accepted and that no handler has seen or will see: tells still queued when their peer closed, and asks
    /// given up before they were begun or queued at the close. Each is counted once, before its peer has left; the newest
    /// [`SystemOptions::dead_letters_max`] are kept. They can be read after the shutdown, too. Does not wait.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`] in a child made by fork.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # fn main() -> potluck::Result<()> {
    /// let kitchen = potluck::PeerSystem::open("kitchen")?;
    /// let (ada, bob) = (kitchen.spawn("ada")?, kitchen.spawn("bob")?);
    /// bob.tell("ada", "hello", "soup?", Duration::from_secs(1))?;
    /// ada.close(Duration::from_secs(1))?;
    /// let dead = kitchen.dead_letters()?;
    /// assert_eq!((dead.count, &*dead.newest[0].kind), (1, "hello"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn dead_letters(&self) -> Result<DeadLetters> {
        fork::check()?;
        Ok(self.core().feed.dead_letters())
    }

    /// What each peer is doing at this moment, so that a hang can be read: its queue, the handler that runs, the call that its thread
    /// waits in, for whom and since when. Never waits for a handler; the peers are looked at one after another.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] after the shutdown; while it goes on, those that are still there.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> potluck::Result<()> {
    /// let kitchen = potluck::PeerSystem::open("kitchen")?;
    /// kitchen.spawn("ada")?;
    /// let snapshot = kitchen.snapshot()?;
    /// assert_eq!((snapshot.peers[0].doing().as_str(), snapshot.peers[0].messages), ("idle", 0));
    /// # Ok(())
    /// # }
    /// ```
    pub fn snapshot(&self) -> Result<Snapshot> {
        fork::check()?;
        let snapshot = snapshot::take(self.core());
        if snapshot.peers.is_empty() {
            self.core().check_open()?;
        }
        Ok(snapshot)
    }

    /// Shuts the system down, in two phases.
    ///
    /// From the call on, calls of threads that run no handler of this system answer [`Error::Closed`], and so does spawning. Handlers go
    /// on, and their calls work, until nothing is unfinished: no handler runs, no message waits for an on_message, no operation or
    /// receipt is queued. Then, or at half the timeout, every peer is closed, as by [`Peer::close`], and the end of all is
    /// waited for. What a peer without on_message has not received by then is a dead letter; a message that was kept to be answered
    /// later does not hold the shutdown up. With a timeout of 0 every peer is closed at once; with one that never ends both phases may
    /// last for ever.
    ///
    /// After [`Ended::Yes`](crate::Ended::Yes) no handler runs or will run and no thread is left. With [`Ended::StillRunning`](crate::Ended::StillRunning) the report says who has not
    /// ended and what it is doing, and the call may be repeated. From a handler of one of its peers it is [`Ended::Deferred`](crate::Ended::Deferred): the
    /// call refuses what comes from outside and returns; the first phase goes on without it, and at half the timeout, but not before
    /// that handler has returned, every peer is closed.
    ///
    /// [`peers`](PeerSystem::peers), [`snapshot`](PeerSystem::snapshot), [`dead_letters`](PeerSystem::dead_letters),
    /// [`Message::reply`](crate::Message::reply) and readers of events go on working meanwhile, from everywhere.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] from a handler of another system whose own peer is closed meanwhile; [`Error::LimitReached`] if all have ended but
    /// for peers whose on_stop finds no thread (see [`SystemOptions::lazy_threads`]): the call may be repeated.
    pub fn shutdown(&self, timeout: Duration) -> Result<Report> {
        fork::check()?;
        shutdown::shutdown(self.core(), timeout)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if fork::is_forked() {
            // The threads are the parent's, and so is the end.
            return;
        }
        // Who wants to know how it went calls shutdown; a drop cannot say.
        let _ = shutdown::shutdown(&self.core, self.core.limits.drop_timeout);
        // Who ends later has nobody to join it, and detaches itself.
        self.core.is_abandoned.store(true, Ordering::SeqCst);
        close::reap(&self.core);
    }
}

impl fmt::Debug for PeerSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peers = if fork::is_forked() { 0 } else { self.core().registry.len() };
        f.debug_struct("PeerSystem").field("name", &self.name()).field("peers", &peers).finish_non_exhaustive()
    }
}

/// Limits and habits of a system, for [`PeerSystem::open_with`].
#[derive(Clone, Debug, Default)]
pub struct SystemOptions {
    peers_max: Option<u64>,
    mailbox_messages_max: Option<u64>,
    mailbox_bytes_max: Option<u64>,
    shelf_bytes_max: Option<u64>,
    resource_bytes_max: Option<u64>,
    dead_letters_max: Option<u64>,
    drop_timeout: Option<Duration>,
    close_on_handler_failure: bool,
    lazy_threads: bool,
    mesh: Option<Mesh>,
}

const MAILBOX_MESSAGES_MAX: u64 = 1024;
const MAILBOX_BYTES_MAX: u64 = 64 << 20;
const DEAD_LETTERS_MAX: u64 = 1024;
const DROP_TIMEOUT: Duration = Duration::from_secs(1);

impl SystemOptions {
    /// The defaults: 1,024 messages and 64 MiB in each mailbox, the newest 1,024 dead letters kept, no other limit, a drop timeout
    /// of 1 s.
    pub fn new() -> SystemOptions {
        SystemOptions::default()
    }

    /// The most peers at a time, at least 1.
    #[must_use]
    pub fn peers_max(mut self, peers: u64) -> Self {
        self.peers_max = Some(peers);
        self
    }

    /// The most messages in each mailbox, at least 1.
    #[must_use]
    pub fn mailbox_messages_max(mut self, messages: u64) -> Self {
        self.mailbox_messages_max = Some(messages);
        self
    }

    /// The most bytes of messages in each mailbox, at least 1.
    #[must_use]
    pub fn mailbox_bytes_max(mut self, bytes: u64) -> Self {
        self.mailbox_bytes_max = Some(bytes);
        self
    }

    /// The most bytes on each shelf, at least 1.
    #[must_use]
    pub fn shelf_bytes_max(mut self, bytes: u64) -> Self {
        self.shelf_bytes_max = Some(bytes);
        self
    }

    /// The most bytes of one resource, at least 1.
    #[must_use]
    pub fn resource_bytes_max(mut self, bytes: u64) -> Self {
        self.resource_bytes_max = Some(bytes);
        self
    }

    /// How many dead letters are kept for [`PeerSystem::dead_letters`], at least 1; all are counted.
    #[must_use]
    pub fn dead_letters_max(mut self, letters: u64) -> Self {
        self.dead_letters_max = Some(letters);
        self
    }

    /// How long dropping the last handle waits for the end at most.
    #[must_use]
    pub fn drop_timeout(mut self, timeout: Duration) -> Self {
        self.drop_timeout = Some(timeout);
        self
    }

    /// Whether a peer closes when one of its handlers fails; otherwise it goes on.
    #[must_use]
    pub fn close_on_handler_failure(mut self, closes: bool) -> Self {
        self.close_on_handler_failure = closes;
        self
    }

    /// Whether a peer's thread is made only when there is first something to run on it: a handler, also on_stop. Otherwise it is made at spawn.
    ///
    /// So peers that only share and request are cheap, and there may be far more of them than threads. A peer that never had a
    /// thread ends on the thread that closes it, where its handlers, which never ran, are dropped. What
    /// spawning says of threads is then said by the call that needs the first one: a tell, an ask, a request, an offer or an
    /// exchange fails with [`Error::LimitReached`] if none can be made, and so does the close of a peer with an on_stop.
    /// Nothing has happened then, and the call may be repeated.
    #[must_use]
    pub fn lazy_threads(mut self, lazy: bool) -> Self {
        self.lazy_threads = lazy;
        self
    }

    /// Joins the systems of the same name in other processes. See [`Mesh`]; without the feature `mesh` opening answers
    /// [`Error::Unsupported`].
    #[must_use]
    pub fn mesh(mut self, mesh: Mesh) -> Self {
        self.mesh = Some(mesh);
        self
    }

    fn limits(&self) -> Result<Limits> {
        check_limit("peers_max", self.peers_max)?;
        check_limit("mailbox_messages_max", self.mailbox_messages_max)?;
        check_limit("mailbox_bytes_max", self.mailbox_bytes_max)?;
        check_limit("shelf_bytes_max", self.shelf_bytes_max)?;
        check_limit("resource_bytes_max", self.resource_bytes_max)?;
        check_limit("dead_letters_max", self.dead_letters_max)?;
        Ok(Limits {
            peers_max: self.peers_max.unwrap_or(u64::MAX),
            mailbox_messages_max: self.mailbox_messages_max.unwrap_or(MAILBOX_MESSAGES_MAX),
            mailbox_bytes_max: self.mailbox_bytes_max.unwrap_or(MAILBOX_BYTES_MAX),
            shelf_bytes_max: self.shelf_bytes_max.unwrap_or(u64::MAX),
            resource_bytes_max: self.resource_bytes_max.unwrap_or(u64::MAX),
            dead_letters_max: self.dead_letters_max.unwrap_or(DEAD_LETTERS_MAX),
            drop_timeout: self.drop_timeout.unwrap_or(DROP_TIMEOUT),
            close_on_handler_failure: self.close_on_handler_failure,
            lazy_threads: self.lazy_threads,
        })
    }
}
