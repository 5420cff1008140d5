//! The handle of a system: opening it, spawning peers, looking over all of them, shutting it down.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use crate::call::{self, After};
use crate::close::{self, Ended};
use crate::core::{Life, Limits, PeerCore, SystemCore, Told, running};
use crate::deadline::Deadline;
use crate::desk::Desk;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::feed::Feed;
use crate::mailbox::Mailbox;
use crate::name;
use crate::peer::{Peer, PeerOptions, check_limit};
use crate::random::SplitMix64;
use crate::reader::EventReader;
use crate::registry::Registry;
use crate::resource::Resource;
use crate::shelf::Shelf;
use crate::signals;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, ThreadBuilder};
use crate::turn::{Turn, Waits};
use crate::worker;

/// A set of peers that can reach one another; opened and shut down as one.
///
/// A clone is another handle of the same system. Dropping the last handle shuts the system down, waiting for it at most
/// [`SystemOptions::drop_timeout`]; handles of peers keep no system open. Several systems live in one process, fully apart.
/// All calls may be made from any thread and from any handler.
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
    /// [`Error::InvalidName`]; [`Error::InvalidArgument`] for a limit of 0.
    pub fn open_with(name: &str, options: SystemOptions) -> Result<PeerSystem> {
        name::check_peer(name)?;
        let core = SystemCore {
            name: name.into(),
            limits: options.limits()?,
            registry: Registry::new(),
            feed: Feed::new(),
            next_id: AtomicU64::new(1),
            is_closed: AtomicBool::new(false),
            spawning: Mutex::new(()),
            unjoined: Mutex::new(BTreeMap::new()),
            is_abandoned: AtomicBool::new(false),
        };
        Ok(PeerSystem { handle: Arc::new(Handle { core: Arc::new(core) }) })
    }

    fn core(&self) -> &Arc<SystemCore> {
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

    /// Spawns a peer with handlers or limits of its own. Returns once its thread is made.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`], [`Error::NameTaken`], [`Error::InvalidArgument`] for a limit of 0, [`Error::LimitReached`],
    /// [`Error::Closed`]. The options, and what their handlers own, are dropped then.
    pub fn spawn_with(&self, name: &str, options: PeerOptions) -> Result<Peer> {
        let system = self.core();
        name::check_peer(name)?;
        options.check()?;
        close::reap(system);
        let hears = options.hears();
        let limits = &system.limits;
        let core = Arc::new(PeerCore {
            id: system.next_id.fetch_add(1, Ordering::Relaxed),
            name: name.into(),
            system: Arc::clone(system),
            hears,
            shelf: Mutex::new(Shelf::new(options.shelf_bytes_max.unwrap_or(limits.shelf_bytes_max))),
            turn: Turn::new(),
            mailbox: Mailbox::new(
                options.mailbox_messages_max.unwrap_or(limits.mailbox_messages_max),
                options.mailbox_bytes_max.unwrap_or(limits.mailbox_bytes_max),
                !hears.messages,
            ),
            desk: Desk::new(),
            told: Told::new(),
            waits: Waits::new(),
            life: Life::new(),
        });
        let mut after = After::new();
        // Shared, so that handlers whose thread cannot be made are dropped here, after the lock below.
        let handlers = Arc::new(Mutex::new(options.handlers));
        let spawning = system.spawning.lock();
        system.check_open()?;
        if system.registry.find(name).is_some() {
            return Err(Error::NameTaken { peer: name.to_owned() });
        }
        if system.registry.len() as u64 >= limits.peers_max {
            return Err(Error::LimitReached(format!("peers_max of the system is {}", limits.peers_max)));
        }
        let thread = {
            let (core, handlers) = (Arc::clone(&core), Arc::clone(&handlers));
            let builder = ThreadBuilder::new().name(format!("potluck:{name}"));
            signals::blocked(|| builder.spawn(move || worker::run(core, handlers)))
        };
        let thread = thread.map_err(|error| Error::LimitReached(format!("threads of this process: {error}")))?;
        core.turn.own(thread.thread().clone());
        core.mailbox.bell().own(thread.thread().clone());
        core.life.ending.lock().thread = Some(thread);
        let mut feed = system.feed.lock();
        system.registry.add(core.id, &core.name, &core);
        feed.emit(&mut after.heard, || Event::Joined { peer: Arc::clone(&core.name) });
        drop((feed, spawning));
        Ok(Peer::new(core))
    }

    /// The names of all peers, in the order of spawning.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] after the shutdown; while it goes on, those that are still there.
    pub fn peers(&self) -> Result<Vec<String>> {
        let peers = self.core().registry.list();
        if peers.is_empty() {
            self.core().check_open()?;
        }
        Ok(peers.iter().map(|peer| peer.name.to_string()).collect())
    }

    /// Who holds a resource of this name now, in the order of spawning.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`], [`Error::Closed`].
    pub fn holders(&self, resource: &str) -> Result<Vec<Holder>> {
        self.core().check_open()?;
        name::check_resource(resource)?;
        let held = |peer: Arc<PeerCore>| {
            let held = peer.shelf.lock().get(resource).cloned()?;
            Some(Holder {
                peer: peer.name.to_string(),
                origin: held.origin().to_owned(),
                version: held.version(),
                size: held.len() as u64,
            })
        };
        Ok(self.core().registry.holders(resource).into_iter().filter_map(held).collect())
    }

    /// A round of requests: the peers in the order of spawning, one after another, each request `resource` from a random other
    /// holder at that moment. What one does the next one sees, so the same seed on the same state gives the same result.
    ///
    /// A peer's failure is its entry, not the end of the rest: [`Error::NoSuchResource`] if nobody else holds it, or any error of
    /// [`Peer::request`]. `timeout` is for all of it. With a single peer there is nobody to mingle with: an empty list.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchResource`] if nobody holds it, [`Error::InvalidName`], [`Error::Closed`].
    pub fn mingle(&self, resource: &str, seed: u64, timeout: Duration) -> Result<Vec<Mingled>> {
        let deadline = Deadline::after(timeout);
        self.core().check_open()?;
        name::check_resource(resource)?;
        let mut holders = Holders::new(self.core().registry.holders(resource));
        if holders.peers.is_empty() {
            return Err(Error::NoSuchResource { name: resource.to_owned(), peer: None });
        }
        let peers = self.core().registry.list();
        if peers.len() < 2 {
            return Ok(Vec::new());
        }
        let mut random = SplitMix64::new(seed);
        Ok(peers.iter().map(|peer| mingle_one(peer, resource, &mut holders, &mut random, deadline)).collect())
    }

    /// A reader of what happens from now on, which begins with a `joined` for every peer that is there.
    ///
    /// It holds up to `capacity` events (at least 1) beyond those; whoever falls behind is told how many it missed.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a capacity of 0, [`Error::Closed`].
    pub fn events(&self, capacity: usize) -> Result<EventReader> {
        let core = self.core();
        core.check_open()?;
        if capacity == 0 {
            return Err(Error::InvalidArgument("the capacity is 0: no event would ever fit".to_owned()));
        }
        let joined =
            || core.registry.list().iter().map(|peer| Event::Joined { peer: Arc::clone(&peer.name) }).collect();
        core.feed.subscribe(Arc::clone(&core.name), capacity, joined).map(EventReader::new)
    }

    /// Closes every peer, as [`Peer::close`] does, and waits for the end of all.
    ///
    /// After [`Ended::Yes`] no handler runs or will run and no thread is left. From a handler of one of its peers it is
    /// [`Ended::Deferred`]. With [`Ended::StillRunning`], [`peers`](PeerSystem::peers) says who has not ended yet.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] from a handler of another system whose own peer is closed meanwhile.
    pub fn shutdown(&self, timeout: Duration) -> Result<Ended> {
        shutdown(self.core(), timeout)
    }
}

fn shutdown(core: &Arc<SystemCore>, timeout: Duration) -> Result<Ended> {
    let deadline = Deadline::after(timeout);
    let mut after = After::new();
    {
        // No peer is made after this.
        let _spawning = core.spawning.lock();
        core.is_closed.store(true, Ordering::SeqCst);
    }
    for peer in core.registry.list() {
        close::begin(&peer, &mut after);
    }
    after.settle();
    if running().is_some_and(|own| Arc::ptr_eq(&own.system, core)) {
        return Ok(Ended::Deferred);
    }
    // In this order: one that is in neither has been joined.
    let mut ending = core.registry.list();
    ending.extend(core.unjoined.lock().values().cloned());
    for peer in ending {
        match close::wait(&peer, deadline)? {
            Ended::Yes => {}
            not_yet => return Ok(not_yet),
        }
    }
    core.feed.lock().close(&mut after.heard);
    Ok(Ended::Yes)
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Who wants to know how it went calls shutdown; a drop cannot say.
        let _ = shutdown(&self.core, self.core.limits.drop_timeout);
        // Who ends later has nobody to join it, and detaches itself.
        self.core.is_abandoned.store(true, Ordering::SeqCst);
        close::reap(&self.core);
    }
}

impl fmt::Debug for PeerSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peers = self.core().registry.len();
        f.debug_struct("PeerSystem").field("name", &self.name()).field("peers", &peers).finish_non_exhaustive()
    }
}

/// The holders that mingle knows of: those at its beginning, and those that it made. Any can be picked in one step.
struct Holders {
    peers: Vec<Arc<PeerCore>>,
    places: HashMap<u64, usize>,
}

impl Holders {
    fn new(peers: Vec<Arc<PeerCore>>) -> Holders {
        let places = peers.iter().enumerate().map(|(place, peer)| (peer.id, place)).collect();
        Holders { peers, places }
    }

    fn pick(&self, but: &PeerCore, random: &mut SplitMix64) -> Option<Arc<PeerCore>> {
        let skipped = self.places.get(&but.id).copied();
        let choices = self.peers.len() - usize::from(skipped.is_some());
        if choices == 0 {
            return None;
        }
        let mut at = random.below(choices);
        if skipped.is_some_and(|skipped| at >= skipped) {
            at += 1;
        }
        Some(Arc::clone(&self.peers[at]))
    }

    fn add(&mut self, peer: &Arc<PeerCore>) {
        if !self.places.contains_key(&peer.id) {
            self.places.insert(peer.id, self.peers.len());
            self.peers.push(Arc::clone(peer));
        }
    }

    fn remove(&mut self, peer: &PeerCore) {
        if let Some(place) = self.places.remove(&peer.id) {
            self.peers.swap_remove(place);
            if let Some(moved) = self.peers.get(place) {
                self.places.insert(moved.id, place);
            }
        }
    }
}

fn mingle_one(
    peer: &Arc<PeerCore>,
    resource: &str,
    holders: &mut Holders,
    random: &mut SplitMix64,
    deadline: Deadline,
) -> Mingled {
    let name = peer.name.to_string();
    if let Err(error) = peer.check_acting() {
        return Mingled { peer: name, from: None, result: Err(error) };
    }
    while let Some(holder) = holders.pick(peer, random) {
        let result = call::request_from(peer, &holder, resource, deadline);
        match &result {
            // Somebody else's act: at this moment it is no holder.
            Err(Error::PeerClosed { .. } | Error::NoSuchResource { .. }) => {
                holders.remove(&holder);
                continue;
            }
            Ok(_) => holders.add(peer),
            Err(_) => {}
        }
        return Mingled { peer: name, from: Some(holder.name.to_string()), result };
    }
    Mingled { peer: name, from: None, result: Err(Error::NoSuchResource { name: resource.to_owned(), peer: None }) }
}

/// One peer that holds a resource; see [`PeerSystem::holders`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Its name.
    pub peer: String,
    /// Who made the version that it holds.
    pub origin: String,
    /// That version.
    pub version: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// What one peer did in a [`PeerSystem::mingle`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Mingled {
    /// Who requested.
    pub peer: String,
    /// From whom; `None` if nobody else held it.
    pub from: Option<String>,
    /// What it got.
    pub result: Result<Resource>,
}

/// Limits and habits of a system, for [`PeerSystem::open_with`].
#[derive(Clone, Debug, Default)]
pub struct SystemOptions {
    peers_max: Option<u64>,
    mailbox_messages_max: Option<u64>,
    mailbox_bytes_max: Option<u64>,
    shelf_bytes_max: Option<u64>,
    resource_bytes_max: Option<u64>,
    drop_timeout: Option<Duration>,
    close_on_handler_failure: bool,
}

const MAILBOX_MESSAGES_MAX: u64 = 1024;
const MAILBOX_BYTES_MAX: u64 = 64 << 20;
const DROP_TIMEOUT: Duration = Duration::from_secs(1);

impl SystemOptions {
    /// The defaults: 1,024 messages and 64 MiB in each mailbox, no other limit, a drop timeout of 1 s.
    pub fn new() -> SystemOptions {
        SystemOptions::default()
    }

    /// The most peers at a time, at least 1.
    #[must_use]
    pub fn peers_max(mut self, peers: u64) -> Self {
        self.peers_max = Some(peers);
        self
    }

    /// The most messages in each mailbox, at least 1; more than 4,194,303 count as that many.
    #[must_use]
    pub fn mailbox_messages_max(mut self, messages: u64) -> Self {
        self.mailbox_messages_max = Some(messages);
        self
    }

    /// The most bytes of messages in each mailbox, at least 1; more than 2 TiB count as that much.
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

    fn limits(&self) -> Result<Limits> {
        check_limit("peers_max", self.peers_max)?;
        check_limit("mailbox_messages_max", self.mailbox_messages_max)?;
        check_limit("mailbox_bytes_max", self.mailbox_bytes_max)?;
        check_limit("shelf_bytes_max", self.shelf_bytes_max)?;
        check_limit("resource_bytes_max", self.resource_bytes_max)?;
        Ok(Limits {
            peers_max: self.peers_max.unwrap_or(u64::MAX),
            mailbox_messages_max: self.mailbox_messages_max.unwrap_or(MAILBOX_MESSAGES_MAX),
            mailbox_bytes_max: self.mailbox_bytes_max.unwrap_or(MAILBOX_BYTES_MAX),
            shelf_bytes_max: self.shelf_bytes_max.unwrap_or(u64::MAX),
            resource_bytes_max: self.resource_bytes_max.unwrap_or(u64::MAX),
            drop_timeout: self.drop_timeout.unwrap_or(DROP_TIMEOUT),
            close_on_handler_failure: self.close_on_handler_failure,
        })
    }
}
