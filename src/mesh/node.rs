//! One system in a mesh: what its parts share, its threads, and how it comes and goes.
//!
//! | thread | does |
//! |---|---|
//! | `potluck-mesh` | opens the engine's session, announces peers, makes attempts again, cleans up, and ends all of it (`keep`) |
//! | `potluck-mesh-calls` | carries out what other nodes' peers call for (`serve.rs`) |
//! | `potluck-mesh-out` | give away pieces of large bodies, and answers that are not small; of each kind one for each node that asks for any (`giving.rs`) |
//! | `potluck-mesh-sums` | makes the digests of what is given away (`digests.rs`) |
//! | `potluck-mesh-in` | gets large bodies piece by piece (`transfer.rs`) |
//!
//! The engine's callbacks only look at what came and pass it on, but for what is soon done: a small request is answered (`serve.rs`), and the answer to a call of a
//! peer here is worked in, which takes two locks and wakes whoever waits. What that replaced is dropped by the thread that waits, if there is one, else by `potluck-mesh-calls`.
//!
//! No lock of the mesh is held around a call of the engine, nor around one of the system, but for the feed's, under which peers come and go.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use bytes::Bytes;
use zenoh::liveliness::LivelinessToken;

use super::Mesh;
use super::calls::Outgoing;
use super::digests::{self, Digests, Sum};
use super::engine::{self, Engine, Incoming, Part, Rank, Reply};
use super::giving::{Answering, Givers, Piece, Says};
use super::guests::Guests;
use super::kept::Kept;
use super::keys::{Keys, NodeId, Token};
use super::origins::Origins;
use super::presence::{Address, Counters, Presence};
use super::serve::{self, Job};
use super::transfer::{self, Event as Transfers};
use super::wire::{self, Query};
use crate::call::After;
use crate::calling::Call;
use crate::cancel;
use crate::core::{Begun, Form, Operation, PeerCore, SystemCore};
use crate::edge;
use crate::elsewhere::{Elsewhere, NodeSnapshot};
use crate::ending::Ending;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::feed::Heard;
use crate::fork;
use crate::holder::Holder;
use crate::name;
use crate::signals;
use crate::sync::{Arc, AtomicUsize, Instant, JoinHandle, Mutex, Ordering, ThreadBuilder, current_id};
use crate::turn::Cause;
use crate::unwind::{caught, drop_user_data};

/// How often what nobody asks for any more is looked for.
const CLEAN_UP: Duration = Duration::from_secs(1);
/// How long the way to a node that has left is kept, for who may be about to ask it something.
const WAY_KEPT: Duration = Duration::from_secs(1);
/// How long a node that leaves waits for its last answers to arrive, at most.
const SEEN_OFF: Duration = Duration::from_millis(500);
/// How long it waits, at most, for pieces that are on their way.
const PIECES_SEEN_OFF: Duration = Duration::from_secs(5);
/// An attempt that has no answer is made again at most so long after it, and a link that is silent lasts as long as the lease.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// So many queries may wait for `potluck-mesh-calls`; more are told to come again.
const QUERIES_MAX: usize = 4096;

pub(super) struct Node {
    pub(super) me: NodeId,
    keys: Keys,
    pub(super) system: Weak<SystemCore>,
    own: Weak<Node>,
    /// There until the node is dropped.
    engine: Option<Engine>,
    pub(super) presence: Presence,
    pub(super) origins: Origins,
    pub(super) guests: Guests,
    pub(super) kept: Kept,
    pub(super) givers: Givers,
    pub(super) answerers: Givers,
    pub(super) digests: Digests,
    /// The calls of peers here that are under way, by number.
    pub(super) calls: Mutex<Calls>,
    keeper: Sender<Keep>,
    jobs: Sender<Job>,
    sums: Sender<Sum>,
    transfers: Sender<Transfers>,
    /// So long after the answer to a call no attempt to make it can still come.
    pub(super) settled_after: Duration,
    /// Queries that have come and are not worked off.
    queries: AtomicUsize,
    /// What `potluck-mesh-calls` has been given to do, and has not done.
    jobs_left: AtomicUsize,
    /// Who is handing a query to the engine, which waits while the link has no room.
    sending: AtomicUsize,
    /// Pieces and digests that `potluck-mesh-in` has asked of other nodes, and has not heard of yet, also of transfers that are over; that thread's alone.
    pub(super) pieces_asked: AtomicUsize,
    ending: Ending,
}

#[derive(Default)]
pub(super) struct Calls {
    last: u64,
    pub(super) under_way: BTreeMap<u64, Arc<Outgoing>>,
    /// Exchanges that have ended here, and whose outcome is still asked for, and of whom.
    pub(super) late: BTreeMap<u64, NodeId>,
}

impl Calls {
    /// A number that no other call of this node has.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// What became of all below this one with that node is known here.
    pub(super) fn oldest(&self, with: &NodeId) -> u64 {
        let under_way = self.under_way.keys().next().copied();
        let late = self.late.iter().find(|(_, of)| *of == with).map(|(number, _)| *number);
        [under_way, late].into_iter().flatten().min().unwrap_or(self.last + 1)
    }
}

/// What `potluck-mesh` is to do.
pub(super) enum Keep {
    Come(Arc<str>),
    Leave(Arc<str>),
    /// At that time, or soon after.
    Later(Instant, Box<dyn FnOnce() + Send>),
    Close,
}

/// Lets a system join. Waits until the engine has opened its session, some milliseconds.
pub(super) fn join(system: &Arc<SystemCore>, options: &Mesh) -> Result<()> {
    let name = match &options.node {
        Some(name) => name.clone(),
        None => default_name(),
    };
    let me = NodeId::new(&name);
    let (options, of) = (options.clone(), Arc::downgrade(system));
    let (opened, open) = mpsc::channel();
    let realm = Arc::clone(&system.name);
    let thread = make_thread("potluck-mesh", move || keep(me, &realm, of, &options, &opened))?;
    match open.recv() {
        Ok(Ok(node)) => {
            node.ending.begin(thread);
            // Nobody else has given one: the system is not known yet.
            let _ = system.joined.set(node);
            Ok(())
        }
        Ok(Err(error)) => {
            let _ = cancel::put_off(|| thread.join());
            Err(error)
        }
        Err(_) => Err(Error::Internal("the mesh's thread ended while it opened".to_owned())),
    }
}

/// The name of the host and the id of this process.
fn default_name() -> String {
    let host =
        std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let host = host.map(|host| host.trim().to_owned()).unwrap_or_default();
    let host = if name::check_peer(&host).is_ok() && host.len() < 200 { host } else { "node".to_owned() };
    format!("{host}-{}", std::process::id())
}

pub(super) fn make_thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let builder = ThreadBuilder::new().name(name.to_owned());
    let body = move || {
        cancel::never();
        current_id();
        run();
    };
    edge::make_thread(|| signals::blocked(|| builder.spawn(body)))
}

/// All that `potluck-mesh` does.
fn keep(me: NodeId, realm: &str, system: Weak<SystemCore>, options: &Mesh, opened: &Sender<Result<Arc<Node>>>) {
    let (keeper, keeps) = mpsc::channel();
    let (jobs, of_calls) = mpsc::channel();
    let (sums, of_sums) = mpsc::channel();
    let (transfers, of_in) = mpsc::channel();
    let keys = Keys::new(realm);
    let node = Engine::open(options, &keys, &me).map(|engine| {
        Arc::new_cyclic(|own| Node {
            own: Weak::clone(own),
            origins: Origins::new(me.clone()),
            me,
            keys,
            system,
            engine: Some(engine),
            presence: Presence::default(),
            guests: Guests::default(),
            kept: Kept::default(),
            givers: Givers::new(|node| &node.givers),
            answerers: Givers::new(|node| &node.answerers),
            digests: Digests::default(),
            calls: Mutex::default(),
            keeper,
            jobs,
            sums,
            transfers,
            settled_after: SETTLED_AFTER.saturating_add(engine::lease(options).saturating_mul(2)),
            queries: AtomicUsize::new(0),
            jobs_left: AtomicUsize::new(0),
            sending: AtomicUsize::new(0),
            pieces_asked: AtomicUsize::new(0),
            ending: Ending::default(),
        })
    });
    let begun = node.and_then(|node| {
        let mut threads = Threads { node: Arc::clone(&node), joins: Vec::new() };
        let [calls, summing, inward] = [(); 3].map(|()| Arc::clone(&node));
        threads.joins.push(make_thread("potluck-mesh-calls", move || serve::run_calls(&calls, &of_calls))?);
        threads.joins.push(make_thread("potluck-mesh-sums", move || digests::run(&summing, &of_sums))?);
        threads.joins.push(make_thread("potluck-mesh-in", move || transfer::run(&inward, &of_in))?);
        let token = node.begin()?;
        Ok((threads, token))
    });
    let (threads, token) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            // What has been made is dropped first: whoever hears of the error may open another node at once.
            let _ = opened.send(Err(error));
            return;
        }
    };
    let node = Arc::clone(&threads.node);
    let _ = opened.send(Ok(Arc::clone(&node)));
    keep_on(&node, &keeps, token);
    drop(threads);
    node.ending.end();
}

/// The other threads of a node: told to end, and joined, when this is dropped.
struct Threads {
    node: Arc<Node>,
    joins: Vec<JoinHandle<()>>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        let node = &self.node;
        if let Some(engine) = &node.engine {
            engine.close();
        }
        node.job(Job::Stop);
        node.givers.end();
        node.answerers.end();
        let _ = node.sums.send(Sum::Stop);
        let _ = node.transfers.send(Transfers::Stop);
        for thread in self.joins.drain(..) {
            let _ = cancel::put_off(|| thread.join());
        }
        node.kept.end_all();
    }
}

fn keep_on(node: &Arc<Node>, keeps: &Receiver<Keep>, token: LivelinessToken) {
    let mut tokens: BTreeMap<Arc<str>, LivelinessToken> = BTreeMap::new();
    let mut later: BTreeMap<(Instant, u64), Box<dyn FnOnce() + Send>> = BTreeMap::new();
    let (mut number, mut next_clean_up) = (0, Instant::now() + CLEAN_UP);
    loop {
        let next = later.keys().next().map_or(next_clean_up, |(at, _)| (*at).min(next_clean_up));
        match keeps.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Keep::Come(peer)) => {
                match node.engine().map(|engine| engine.declare_token(node.keys.peer_token(&node.me, &peer))) {
                    Some(Ok(token)) => drop(tokens.insert(peer, token)),
                    Some(Err(error)) => node.presence.counters(&node.me.name).note(&error.to_string()),
                    None => {}
                }
            }
            Ok(Keep::Leave(peer)) => drop(tokens.remove(&peer)),
            Ok(Keep::Later(at, run)) => {
                number += 1;
                later.insert((at, number), run);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Keep::Close) | Err(RecvTimeoutError::Disconnected) => break,
        }
        let now = Instant::now();
        while let Some(due) = later.first_entry().filter(|due| due.key().0 <= now) {
            let _ = caught(due.remove());
        }
        if next_clean_up <= now {
            next_clean_up = now + CLEAN_UP;
            node.kept.clean();
        }
    }
    drop(tokens);
    node.see_off();
    drop(token);
    // What is still to be made again will not be.
    drop_user_data(later);
}

impl Node {
    pub(super) fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    /// Is open for queries and for news, and says that it is there, in this order.
    fn begin(self: &Arc<Node>) -> Result<LivelinessToken> {
        let engine = self.engine().ok_or_else(|| Error::Internal("a node without an engine".to_owned()))?;
        let node = Arc::downgrade(self);
        engine.serve(self.keys.queries(&self.me), move |query| {
            if let Some(node) = node.upgrade() {
                node.take_query(query);
            }
        })?;
        let node = Arc::downgrade(self);
        engine.serve(self.keys.resources(&self.me.name), move |query| {
            if let Some(node) = node.upgrade() {
                node.queue(|| Job::Stranger(query));
            }
        })?;
        for keys in self.keys.tokens() {
            let node = Arc::downgrade(self);
            engine.watch_tokens(keys, move |key, is_there| {
                if let Some(node) = node.upgrade() {
                    node.take_token(key, is_there);
                }
            })?;
        }
        engine.declare_token(self.keys.node_token(&self.me))
    }

    /// No piece is on its way any more, neither of what is given away nor of what was asked for. A link that ends while somebody waits for room on it
    /// would keep the engine from all its links until that wait is over.
    fn settle_pieces(&self) {
        let deadline = Instant::now() + PIECES_SEEN_OFF;
        self.kept.end_all();
        let (done, flushed) = mpsc::channel();
        self.givers.flush(&done);
        self.tell_transfers(Transfers::Flush(done));
        while flushed.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok() {}
    }

    /// What was answered last arrives before the node is gone: a query to each node, which goes the same way behind it, has come back.
    fn see_off(&self) {
        self.settle_pieces();
        let deadline = Instant::now() + SEEN_OFF;
        let left = || deadline.saturating_duration_since(Instant::now());
        let (done, flushed) = mpsc::channel();
        self.job(Job::Flush(done));
        let _ = flushed.recv_timeout(left());
        let (done, flushed) = mpsc::channel();
        self.answerers.flush(&done);
        drop(done);
        while flushed.recv_timeout(left()).is_ok() {}
        let (back, came) = mpsc::channel();
        let nodes = self.presence.nodes();
        for (other, _) in &nodes {
            let back = back.clone();
            // No call has this number.
            self.query(other, &Query::Wait { id: 0 }, Bytes::new(), Rank::Small, SEEN_OFF, move |_| {
                // Nobody waits any more, if it is late.
                let _ = back.send(());
            });
        }
        for _ in nodes {
            let _ = came.recv_timeout(left());
        }
    }

    /// A query has come: to the thread that it is for, or back if there are too many.
    fn take_query(self: &Arc<Node>, query: Incoming) {
        let Some(from) = self.keys.sender(query.key()) else { return };
        let header = query.header();
        let counters = || self.presence.counters(&from.name);
        let is_bounded = header.len() <= wire::HEADER_BYTES_MAX && query.body_len() <= wire::ASKED_BYTES_MAX;
        match is_bounded.then(|| wire::decode(&header)).flatten() {
            None => {
                Counters::count(&counters().denied, 1);
                counters().note("it sent a query that cannot be read");
                self.answer(&from, query, Says::Refusal("this node cannot read that".to_owned()), Bytes::new());
            }
            // At once: what is on its way of it stops.
            Some(Query::Release { ticket }) => {
                if let Some(released) = self.kept.release(ticket, &from) {
                    self.drop_later(released);
                }
            }
            Some(Query::Piece { ticket, offset, len }) => {
                self.givers.give(self, Piece { query, from, ticket, offset, len });
            }
            Some(Query::Digest { ticket }) => self.sum(Sum::Query { query, ticket, from }),
            Some(asked) if self.is_idle() && serve::answer_in_passing(self, &query, &from, &asked) => {}
            Some(_) => self.queue(|| Job::Query { query, from, header }),
        }
    }

    fn queue(self: &Arc<Node>, job: impl FnOnce() -> Job) {
        if self.queries.fetch_add(1, Ordering::Relaxed) < QUERIES_MAX {
            return self.job(job());
        }
        self.queries.fetch_sub(1, Ordering::Relaxed);
        if let Job::Query { query, from, .. } = job() {
            self.answer(&from, query, Says::Answer(wire::encode(&wire::Answer::Busy)), Bytes::new());
        }
    }

    /// Answers a query, by the lane of whoever asks.
    pub(super) fn answer(self: &Arc<Node>, to: &NodeId, query: Incoming, says: Says, body: Bytes) {
        self.answerers.answer(self, to, Answering { query, says, body });
    }

    /// `potluck-mesh-calls` has done a job.
    pub(super) fn has_done_job(&self, is_query: bool) {
        self.queries.fetch_sub(usize::from(is_query), Ordering::Relaxed);
        self.jobs_left.fetch_sub(1, Ordering::Release);
    }

    /// Nobody has anything to do first, or waits for room on a link.
    fn is_idle(&self) -> bool {
        // In this order: what a job leaves to be given is there before the job is done.
        let has_no_job = self.jobs_left.load(Ordering::Acquire) == 0;
        has_no_job && self.answerers.is_idle() && self.sending.load(Ordering::Relaxed) == 0
    }

    /// A token has come or gone.
    fn take_token(self: &Arc<Node>, key: &str, is_there: bool) {
        let Some(system) = self.system.upgrade() else { return };
        let mut heard = Heard::new();
        let token = self.keys.token(key);
        if let (Some(Token::Node(node) | Token::Peer(node, _)), true) = (&token, is_there) {
            for older in self.presence.older(node) {
                self.lose(&system, &older, &mut heard);
            }
        }
        match (token, is_there) {
            (None, _) => {}
            (Some(Token::Node(node) | Token::Peer(node, _)), _) if node.instance == self.me.instance => {}
            (Some(Token::Node(node) | Token::Peer(node, _)), true) if self.presence.is_superseded(&node) => {}
            (Some(Token::Node(node)), true) => {
                if self.presence.node_came(&node) {
                    self.job(Job::NodeCame(node.clone()));
                    system.arrivals.come(&format!("@{}", node.name));
                }
            }
            (Some(Token::Node(node)), false) => self.lose(&system, &node, &mut heard),
            (Some(Token::Peer(node, peer)), true) => {
                let mut feed = system.feed.lock();
                let came = self.presence.peer_came(&node, peer);
                if let Some(full) = &came {
                    feed.emit(&mut heard, || Event::Joined { peer: Arc::clone(full) });
                }
                drop(feed);
                if let Some(full) = came {
                    system.arrivals.come(&full);
                    system.arrivals.come(peer);
                }
            }
            (Some(Token::Peer(node, peer)), false) => {
                let mut feed = system.feed.lock();
                if let Some(full) = self.presence.peer_left(&node, peer) {
                    feed.emit(&mut heard, || Event::Left { peer: full });
                }
            }
        }
        heard.wake();
    }

    /// A node is gone with all its peers: so is all that it was to do, or that is to be done for it.
    fn lose(&self, system: &SystemCore, node: &NodeId, heard: &mut Heard) {
        let mut feed = system.feed.lock();
        for peer in self.presence.node_left(node) {
            feed.emit(heard, || Event::Left { peer });
        }
        drop(feed);
        let waiting: Vec<Arc<Outgoing>> = self.calls.lock().under_way.values().cloned().collect();
        waiting.iter().for_each(|call| call.node_left(node));
        self.tell_transfers(Transfers::NodeLeft(node.clone()));
        self.job(Job::NodeLeft(node.clone()));
        // The threads that hold these may run destructors; this one belongs to the engine.
        self.drop_later(waiting);
    }

    pub(super) fn is_there(&self, node: &NodeId) -> bool {
        self.presence.is_there(node)
    }

    /// Asks another node. `then` gets the whole answer, or `None` if there is none.
    pub(super) fn query(
        &self,
        to: &NodeId,
        query: &Query<'_>,
        body: Bytes,
        rank: Rank,
        timeout: Duration,
        then: impl FnOnce(Option<Reply>) + Send + 'static,
    ) {
        self.query_parts(to, query, body, rank, timeout, engine::whole(then));
    }

    /// The same for who gets the answer part by part; see [`Engine::query`].
    pub(super) fn query_parts(
        &self,
        to: &NodeId,
        query: &Query<'_>,
        body: Bytes,
        rank: Rank,
        timeout: Duration,
        each: impl Fn(Option<Part>) + Send + Sync + 'static,
    ) {
        if let Some(engine) = self.engine() {
            self.sending.fetch_add(1, Ordering::Relaxed);
            let key = || self.keys.query(to, &self.me);
            engine.query(to, key, (wire::encode(query), body), rank, timeout, each);
            self.sending.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// To a node that is there, and will be asked more than once.
    pub(super) fn make_way(&self, to: &NodeId) {
        if let Some(engine) = self.engine() {
            engine.declare(to, self.keys.query(to, &self.me));
        }
    }

    /// To a node that has left.
    pub(super) fn forget_way(&self, to: &NodeId) {
        if let Some(key) = self.engine().and_then(|engine| engine.forget(to)) {
            self.later(WAY_KEPT, move || drop(key));
        }
    }

    pub(super) fn wanted<'a>(&self, key: &'a str) -> Option<(&'a str, &'a str)> {
        self.keys.wanted(key)
    }

    pub(super) fn tell_transfers(&self, event: Transfers) {
        let _ = self.transfers.send(event);
    }

    pub(super) fn sum(&self, sum: Sum) {
        let _ = self.sums.send(sum);
    }

    pub(super) fn job(&self, job: Job) {
        self.jobs_left.fetch_add(1, Ordering::Relaxed);
        let _ = self.jobs.send(job);
    }

    /// Runs something after a while, on `potluck-mesh`.
    pub(super) fn later(&self, after: Duration, run: impl FnOnce() + Send + 'static) {
        let _ = self.keeper.send(Keep::Later(Instant::now() + after, Box::new(run)));
    }

    /// Drops what may have a destructor of a user's, where it may wait.
    pub(super) fn drop_later(&self, data: impl Send + 'static) {
        self.job(Job::Drop(Box::new(data)));
    }

    /// Drops a body that the engine has been given, too, which may have let go of it already.
    pub(super) fn drop_sent(&self, body: Bytes) {
        if body.is_unique() { self.drop_later(body) } else { drop_user_data(body) }
    }

    /// Works off what a call has left to do, but for the destructors.
    pub(super) fn settle(&self, mut after: After) {
        after.settle();
        if !after.is_empty() {
            self.drop_later(after);
        }
    }

    /// Where a peer is whose name nobody here has, or which is named with its node.
    fn resolve(&self, to: &str) -> Result<Place> {
        let Some((peer, node)) = to.split_once('@') else {
            return self.presence.find(to, None).map(Place::There);
        };
        name::check_peer(peer)?;
        name::check_peer(node)?;
        if *node == *self.me.name {
            Ok(Place::Here(peer.to_owned()))
        } else {
            self.presence.find(peer, Some(node)).map(Place::There)
        }
    }
}

enum Place {
    /// A peer of this node was named with it.
    Here(String),
    There(Address),
}

impl Drop for Node {
    fn drop(&mut self) {
        let engine = self.engine.take();
        if fork::is_forked() {
            // Its threads are the parent's.
            std::mem::forget(engine);
            self.givers.forget();
            self.answerers.forget();
        }
    }
}

impl Elsewhere for Node {
    fn call(&self, caller: &Arc<PeerCore>, call: Call<'_>, form: Form) -> Result<Begun> {
        let node = self.this()?;
        match node.resolve(target(&call))? {
            Place::There(address) => Outgoing::make(&node, caller, address, call, form),
            Place::Here(peer) => super::calls::call_here(caller, &peer, call, form),
        }
    }

    fn fetch(&self, caller: &Arc<PeerCore>, name: &str, form: Form, here: Error) -> Result<Begun> {
        Outgoing::fetch(&self.this()?, caller, name, form, here)
    }

    fn fetch_on(&self, fetch: &Arc<Operation>, here: Error) {
        match self.this() {
            Ok(node) => Outgoing::fetch_on(&node, fetch, here),
            Err(error) => drop(fetch.wait.end(Cause::Answered, Err(error))),
        }
    }

    fn holders(&self, name: &str) -> Result<Vec<Holder>> {
        super::calls::holders(&self.this()?, name)
    }

    fn peers(&self) -> Vec<Arc<str>> {
        self.presence.peers()
    }

    fn is_there(&self, peer: &str) -> Result<bool> {
        if let Some(node) = peer.strip_prefix('@') {
            name::check_peer(node)?;
            return Ok(*node == *self.me.name || self.presence.has_node(node));
        }
        match self.resolve(peer) {
            Ok(Place::There(_)) | Err(Error::Ambiguous { .. }) => Ok(true),
            Ok(Place::Here(peer)) => {
                let found = self.system.upgrade().map(|system| system.find(&peer));
                Ok(found.is_some_and(|found| found.is_ok()))
            }
            Err(Error::NoSuchPeer { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn come(&self, peer: &Arc<str>) {
        let _ = self.keeper.send(Keep::Come(Arc::clone(peer)));
    }

    fn leave(&self, peer: &Arc<str>) {
        let _ = self.keeper.send(Keep::Leave(Arc::clone(peer)));
    }

    fn nodes(&self) -> Vec<NodeSnapshot> {
        self.presence.snapshot()
    }

    fn close(&self) {
        let _ = self.keeper.send(Keep::Close);
    }

    fn ending(&self) -> &Ending {
        &self.ending
    }
}

impl Node {
    /// The reference that the system has.
    fn this(&self) -> Result<Arc<Node>> {
        self.own.upgrade().ok_or_else(|| Error::Internal("a node that is being dropped".to_owned()))
    }
}

/// The name of the other peer.
fn target<'a>(call: &Call<'a>) -> &'a str {
    match *call {
        Call::Request { from, .. } | Call::RequestNewer { from, .. } => from,
        Call::Offer { to, .. } | Call::Tell { to, .. } | Call::Ask { to, .. } => to,
        Call::Exchange { with, .. } => with,
        Call::Fetch { .. } => "",
    }
}
