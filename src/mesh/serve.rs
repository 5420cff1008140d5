//! Calls that peers of other nodes make with peers here.
//!
//! # The way of a call
//!
//! The caller is stood for by a guest (`guests.rs`). As the guest the call is started, as
//! a started call of any peer here: so the guest's tells and the order of what comes after them, the handlers that must be asked, the claim against giving up and
//! the dead letters are those of every call, and no thread waits. When it is done, `potluck-mesh-calls` is told, and answers the query that waits for it.
//!
//! A call that changes something is remembered with what became of it, until its node says that it has heard the answer (all numbers below `oldest` are over), or a
//! minute has gone by: one that comes again is not made again. A large body is fetched first (`transfer.rs`).
//!
//! `potluck-mesh-calls` alone has all this state, so none of it is locked. It never waits, but for room on a link when it gives a small answer: what is larger, and all
//! that comes behind that, is answered by threads of their own (`giving.rs`).
//!
//! # In passing
//!
//! Handing a query to another thread takes as long as a sixth of a small request, so the engine's thread that brings one answers it by itself (`answer_in_passing`) where that
//! is nothing but a look at a shelf: a request of something small from a peer that asks no handler, for a guest that is there, when nothing else is to be done
//! first. It must not wait for room on a link, since it is what makes room for the other side: so it answers only while `potluck-mesh-calls` has nothing to do and nobody is
//! sending; then nobody has found the link full.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use super::calls::POLL;
use super::engine::{Incoming, MESSAGE_BODY_MAX};
use super::giving::Says;
use super::guests;
use super::keys::NodeId;
use super::node::Node;
use super::presence::Counters;
use super::transfer::{Event as Transfers, Order, Source};
use super::wire::{self, ASKED_BYTES_MAX, Answer, Body, Edition, Fault, GIVEN_BYTES_MAX, Given, Held, Query, What};
use crate::call;
use crate::core::{Begun, Form, PeerCore, SystemCore, Verb};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::mailbox::NoRoom;
use crate::name;
use crate::pending::Pending;
use crate::post;
use crate::resource::Resource;
use crate::snapshot::Quoted;
use crate::sync::{Arc, Instant};
use crate::unwind::{caught, drop_user_data};

/// How long what became of a call is remembered for a node that does not come back for it.
const REMEMBERED: Duration = Duration::from_secs(60);
/// So many calls of one node are under way or remembered; more are told to come later.
const CALLS_OF_NODE_MAX: usize = 16_384;
/// How often room is made at most where there are more.
const ROOM_MADE_EVERY: Duration = Duration::from_secs(1);
/// What is no larger is given in passing.
const IN_PASSING_BYTES_MAX: usize = 1024;
/// What a stranger calls himself where a name is wanted.
const STRANGER: &str = "stranger@outside";
/// How long a stranger's request may wait for a handler.
const STRANGER_TIMEOUT: Duration = Duration::from_secs(5);

/// A call: whose, and its number.
type CallId = (NodeId, u64);

/// What `potluck-mesh-calls` is to do.
pub(super) enum Job {
    Query {
        query: Incoming,
        from: NodeId,
        header: Vec<u8>,
    },
    /// A get of somebody who is no node.
    Stranger(Incoming),
    /// A call is done.
    Done(CallId),
    /// The body of a call has come, or has not.
    Came(CallId, Result<Bytes>),
    NodeCame(NodeId),
    NodeLeft(NodeId),
    /// What may have a destructor of a user's.
    Drop(Box<dyn Any + Send>),
    /// Says that all before this has been done.
    Flush(Sender<()>),
    Stop,
}

/// An answer as it goes out.
#[derive(Clone)]
struct Outcome {
    header: Vec<u8>,
    body: Bytes,
}

/// A call of another node's peer.
struct Served {
    /// The query that waits for the answer, and when it is told to ask again.
    asking: Option<(Incoming, Instant)>,
    progress: Progress,
    /// Whether it is remembered when it is done.
    changes: bool,
    /// Whom it was made with.
    to: Arc<str>,
    forgotten_at: Instant,
}

impl Served {
    fn is_over(&self) -> bool {
        matches!(self.progress, Progress::Done(_) | Progress::Moot)
    }

    /// What became of it, for who asks again: he may do so once more, since the answer may be lost.
    fn outcome(&mut self) -> Option<Outcome> {
        let Progress::Done(outcome) = &self.progress else { return None };
        self.forgotten_at = Instant::now() + REMEMBERED;
        Some(outcome.clone())
    }
}

enum Progress {
    /// Its body is on its way.
    Fetching(Box<Ready>),
    UnderWay(Pending),
    Done(Outcome),
    /// Given up before it had come.
    Moot,
}

/// A call that can be made as soon as its body is there.
struct Ready {
    from: Arc<str>,
    to: Arc<str>,
    what: Asked,
    deadline: Deadline,
}

/// As it comes from the wire, but its own.
enum Asked {
    Request(String),
    RequestNewer(String, crate::resource::Edition),
    Offer(String, crate::resource::Edition),
    Exchange(String, crate::resource::Edition, u64),
    Tell(String),
    Ask(String),
}

struct Server {
    node: Arc<Node>,
    calls: HashMap<CallId, Served>,
    nodes: HashMap<NodeId, OfNode>,
    /// When queries are to be answered that their calls go on.
    dues: BTreeSet<(Instant, CallId)>,
    stranger: Option<Arc<PeerCore>>,
    next_clean_up: Instant,
    /// When room may be made for more calls, by looking at all.
    next_room: Instant,
}

/// What is known of the calls of a node.
#[derive(Default)]
struct OfNode {
    /// So many are here.
    calls: usize,
    /// All below this number are over.
    oldest: u64,
}

/// All that `potluck-mesh-calls` does.
pub(super) fn run_calls(node: &Arc<Node>, jobs: &Receiver<Job>) {
    let mut server = Server {
        node: Arc::clone(node),
        calls: HashMap::new(),
        nodes: HashMap::new(),
        dues: BTreeSet::new(),
        stranger: None,
        next_clean_up: Instant::now() + REMEMBERED,
        next_room: Instant::now(),
    };
    loop {
        let next = server.dues.first().map_or(server.next_clean_up, |(at, _)| (*at).min(server.next_clean_up));
        let job = match jobs.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
        };
        let was = job.as_ref().map(|job| matches!(job, Job::Query { .. } | Job::Stranger(_)));
        // A bug in what one query wants must not make the node deaf to all others.
        let done = caught(|| {
            if let Some(job) = job {
                server.work(job);
            }
            server.tell_late();
        });
        if let Some(is_query) = was {
            node.has_done_job(is_query);
        }
        if let Err(text) = done {
            node.presence.counters(&node.me.name).note(&format!("a call could not be served: {text}"));
        }
    }
    server.end();
}

impl Server {
    fn work(&mut self, job: Job) {
        match job {
            Job::Query { query, from, header } => self.query(query, from, &header),
            Job::Stranger(query) => self.stranger(query),
            Job::Done(id) => self.done(&id),
            Job::Came(id, body) => self.came(id, body),
            Job::NodeCame(node) => self.node.make_way(&node),
            Job::NodeLeft(node) => self.node_left(&node),
            Job::Drop(data) => drop_user_data(data),
            Job::Flush(done) => {
                // Whoever waits for it may have waited long enough.
                let _ = done.send(());
            }
            Job::Stop => {}
        }
    }

    fn query(&mut self, query: Incoming, from: NodeId, header: &[u8]) {
        match wire::decode(header) {
            Some(Query::Call { id, oldest, from: peer, to, left_ms, what, body }) => {
                // It was said to be over before this came: an attempt that was held up on its way.
                if self.nodes.get(&from).is_some_and(|of| id < of.oldest) {
                    return self.say(&from, query, failed(&Error::Canceled));
                }
                self.forget_below(&from, oldest);
                let call = (from, id);
                if self.calls.contains_key(&call) {
                    return self.attach(call, query);
                }
                if !self.has_place(&call.0, query.came_at) {
                    return self.say(&call.0, query, wire::encode(&Answer::Busy));
                }
                let counters = self.node.presence.counters(&call.0.name);
                Counters::count(&counters.served, 1);
                Counters::count(&counters.bytes_in, query.body_len() as u64);
                self.begin(call, query, peer, to, left_ms, &what, body);
            }
            Some(Query::Wait { id }) => {
                let call = (from, id);
                match self.calls.contains_key(&call) {
                    true => self.attach(call, query),
                    false => self.say(&call.0, query, wire::encode(&Answer::Unknown)),
                }
            }
            Some(Query::GiveUp { id }) => self.give_up(&(from, id), query),
            Some(Query::Holders { name }) => self.holders(query, &from, name),
            // The others go to the other thread.
            _ => self.answer(&from, query, Says::Refusal("this node cannot read that".to_owned()), Bytes::new()),
        }
    }

    /// One more query for a call that is known.
    fn attach(&mut self, id: CallId, query: Incoming) {
        let Some(served) = self.calls.get_mut(&id) else { return };
        if let Some(outcome) = served.outcome() {
            return self.give(&id.0, query, outcome);
        }
        let due = query.came_at + POLL;
        if let Some((_, before)) = served.asking.replace((query, due)) {
            self.dues.remove(&(before, id.clone()));
        }
        self.dues.insert((due, id));
    }

    #[expect(clippy::too_many_arguments, reason = "what a query says, part by part")]
    fn begin(
        &mut self,
        id: CallId,
        query: Incoming,
        from: &str,
        to: &str,
        left_ms: Option<u64>,
        what: &What<'_>,
        body: Body,
    ) {
        let changes = !matches!(what, What::Request { .. } | What::RequestNewer { .. });
        let deadline = left_ms.map_or(Deadline::Never, |left| Deadline::after(Duration::from_millis(left)));
        let to: Arc<str> = to.into();
        let ready =
            check(&self.node, from, what).map(|what| Ready { from: from.into(), to: Arc::clone(&to), what, deadline });
        let now = Instant::now();
        let here = query.body();
        let served = Served { asking: None, progress: Progress::Moot, changes, to, forgotten_at: now + REMEMBERED };
        self.insert(id.clone(), served);
        self.attach(id.clone(), query);
        let ready = match ready {
            Ok(ready) => ready,
            Err(error) => return self.end_call(&id, Err(error)),
        };
        match body {
            Body::Here => self.make(&id, ready, here),
            Body::Kept { size, .. } if size <= ASKED_BYTES_MAX as u64 => {
                let small = Error::InvalidArgument(format!("a body of {size} bytes is to come along"));
                self.end_call(&id, Err(small));
            }
            Body::Kept { ticket, size } => match self.has_room(&ready, size) {
                Ok(()) => self.fetch_body(id, ready, ticket, size),
                Err(error) => self.end_call(&id, Err(error)),
            },
        }
    }

    /// What can never fit is not fetched.
    fn has_room(&self, ready: &Ready, size: u64) -> Result<()> {
        let system = self.system()?;
        let target = find(&system, &ready.to)?;
        match &ready.what {
            Asked::Tell(_) | Asked::Ask(_) => match target.mailbox.why_not(size as usize) {
                Some(NoRoom::TooLarge) => Err(Error::TooLarge {
                    what: format!("the mailbox of {:?}", target.name),
                    limit: target.mailbox.bytes_max(),
                    size,
                }),
                Some(NoRoom::Closed) => Err(target.peer_closed()),
                _ => Ok(()),
            },
            _ => {
                let limit = system.limits.resource_bytes_max.min(target.side.lock().shelf.bytes_max());
                if size > limit {
                    return Err(Error::TooLarge { what: format!("the shelf of {:?}", target.name), limit, size });
                }
                Ok(())
            }
        }
    }

    fn fetch_body(&mut self, id: CallId, ready: Ready, ticket: u64, size: u64) {
        let counters = self.node.presence.counters(&id.0.name);
        let (node, deadline) = (Arc::clone(&self.node), ready.deadline);
        let from: Arc<str> = format!("{}@{}", ready.from, id.0.name).into();
        let source = Source { node: id.0.clone(), ticket, counters };
        if let Some(served) = self.calls.get_mut(&id) {
            served.progress = Progress::Fetching(Box::new(ready));
        }
        let order = Order {
            size,
            digest: None,
            from,
            source,
            is_shared: false,
            look: None,
            is_wanted: Box::new(move || deadline.left().is_none_or(|left| !left.is_zero())),
            is_asked_again: false,
            progress: Box::new(|_| {}),
            then: Box::new(move |body| node.job(Job::Came(id, body))),
        };
        self.node.tell_transfers(Transfers::Start(Box::new(order)));
    }

    fn came(&mut self, id: CallId, body: Result<Bytes>) {
        // It may have been canceled meanwhile: then what became of it stays.
        let is_awaited = |served: &&mut Served| matches!(served.progress, Progress::Fetching(_));
        let Some(served) = self.calls.get_mut(&id).filter(is_awaited) else { return };
        let Progress::Fetching(ready) = std::mem::replace(&mut served.progress, Progress::Moot) else { return };
        match body {
            Ok(body) => self.make(&id, *ready, body),
            // It was no longer wanted: its deadline is over.
            Err(Error::Canceled) => self.end_call(&id, Err(Error::TimedOut)),
            Err(error) => self.end_call(&id, Err(error)),
        }
    }

    /// Makes the call, as the guest that stands for its caller.
    fn make(&mut self, id: &CallId, ready: Ready, body: Bytes) {
        let form = Form::Started(ready.deadline);
        let begun = self.system().and_then(|system| {
            let target = find(&system, &ready.to)?;
            let guest = self.node.guests.get(&system, &id.0, &ready.from)?;
            // At the deadline nothing is left to be done: what needs no waiting, too, was to be done by then.
            if ready.deadline.left().is_some_and(|left| left.is_zero()) {
                return Err(Error::TimedOut);
            }
            let carry = |verb, name: &str| call::carry(&guest, &target, verb, Key::new(name), form);
            let offered = |name: &str, edition: &crate::resource::Edition, body: Bytes| {
                let limit = system.limits.resource_bytes_max;
                if body.len() as u64 > limit {
                    return Err(Error::TooLarge { what: "a resource".to_owned(), limit, size: body.len() as u64 });
                }
                let name = system.registry.shared_name(Key::new(name));
                Ok(Resource::new(name, Arc::clone(edition.origin()), edition.version(), body))
            };
            let begun = match ready.what {
                Asked::Request(name) => carry(Verb::Request, &name),
                Asked::RequestNewer(name, than) => carry(Verb::RequestNewer(than), &name),
                Asked::Offer(name, edition) => {
                    let offered = offered(&name, &edition, body)?;
                    carry(Verb::Offer(Some(offered)), &name)
                }
                Asked::Exchange(name, edition, room) => {
                    let offered = offered(&name, &edition, body)?;
                    carry(Verb::Exchange(Some((offered, room))), &name)
                }
                Asked::Tell(kind) => post::tell(&guest, &ready.to, &kind, body, form),
                Asked::Ask(kind) => post::ask(&guest, &ready.to, &kind, body, form),
            }?;
            Ok((guest, begun))
        });
        match begun {
            Err(error) => self.end_call(id, Err(error)),
            Ok((_, Begun::Done(result))) => self.end_call(id, Ok(result)),
            Ok((guest, Begun::Underway(call))) => {
                let pending = Pending::of(&guest, call, ready.deadline);
                let (node, done) = (Arc::clone(&self.node), id.clone());
                let told = pending.when_done(move || node.job(Job::Done(done)));
                if let Some(served) = self.calls.get_mut(id) {
                    served.progress = Progress::UnderWay(pending);
                }
                if let Err(error) = told {
                    self.end_call(id, Err(error));
                }
            }
        }
    }

    fn done(&mut self, id: &CallId) {
        let Some(Served { progress: Progress::UnderWay(pending), .. }) = self.calls.get(id) else { return };
        match pending.wait(Duration::ZERO) {
            Poll::Ready(result) => self.end_call(id, result),
            Poll::Pending => {}
        }
    }

    /// A call is over: says so to whoever asks, and remembers it if it changed something.
    fn end_call(&mut self, id: &CallId, result: Result<Option<Resource>>) {
        let Some(served) = self.calls.get_mut(id) else { return };
        let outcome = outcome(&self.node, &id.0, &served.to, result, served.changes);
        let asking = served.asking.take();
        if let Some((_, due)) = &asking {
            self.dues.remove(&(*due, id.clone()));
        }
        let changes = served.changes;
        served.forgotten_at = Instant::now() + REMEMBERED;
        // Its caller's part of it may be the last reference to what it offered, whose destructor runs here.
        let before = std::mem::replace(&mut served.progress, Progress::Done(outcome.clone()));
        let is_answered = asking.is_some();
        if let Some((query, _)) = asking {
            let counters = self.node.presence.counters(&id.0.name);
            Counters::count(&counters.bytes_out, outcome.body.len() as u64);
            self.give(&id.0, query, outcome);
        }
        drop_user_data(before);
        if is_answered && !changes {
            self.forget(id);
        }
    }

    fn insert(&mut self, id: CallId, served: Served) {
        self.nodes.entry(id.0.clone()).or_default().calls += 1;
        self.calls.insert(id, served);
    }

    fn forget(&mut self, id: &CallId) {
        let Some(served) = self.calls.remove(id) else { return };
        if let Some((_, due)) = &served.asking {
            self.dues.remove(&(*due, id.clone()));
        }
        if let Some(of) = self.nodes.get_mut(&id.0) {
            of.calls -= 1;
        }
        drop_user_data(served);
    }

    /// Whether one more call of this node, that came then, can be here. If there are too many, those make way that its node has had the answers of for so
    /// long that no attempt of theirs can come after it: one that goes on for long, to whomever, keeps all after it from being said to be over.
    fn has_place(&mut self, node: &NodeId, came_at: Instant) -> bool {
        let is_full = |server: &Server| server.nodes.get(node).is_some_and(|of| of.calls >= CALLS_OF_NODE_MAX);
        let now = Instant::now();
        if is_full(self) && self.next_room <= now {
            self.next_room = now + ROOM_MADE_EVERY;
            let settled_after = self.node.settled_after;
            self.forget_where(|id, served| {
                let age = (came_at + REMEMBERED).saturating_duration_since(served.forgotten_at);
                id.0 == *node && served.is_over() && served.asking.is_none() && age >= settled_after
            });
        }
        !is_full(self)
    }

    /// What a node has heard the outcome of.
    fn forget_below(&mut self, node: &NodeId, oldest: u64) {
        let of = self.nodes.entry(node.clone()).or_default();
        let is_news = oldest > of.oldest;
        of.oldest = of.oldest.max(oldest);
        // Most calls come in turn, one after the end of the other.
        if !is_news || of.calls == 0 {
            return;
        }
        let below = self.which(|id, served| id.0 == *node && id.1 < oldest && (served.changes || served.is_over()));
        for id in &below {
            // Nobody waits for it any more, though the word of that may be lost.
            self.cancel(id);
            if self.calls.get(id).is_some_and(Served::is_over) {
                self.forget(id);
            }
        }
    }

    fn which(&self, is_one: impl Fn(&CallId, &Served) -> bool) -> Vec<CallId> {
        self.calls.iter().filter(|(id, served)| is_one(id, served)).map(|(id, _)| id.clone()).collect()
    }

    fn forget_where(&mut self, is_over: impl Fn(&CallId, &Served) -> bool) {
        self.which(is_over).iter().for_each(|id| self.forget(id));
    }

    fn give_up(&mut self, id: &CallId, query: Incoming) {
        if self.calls.contains_key(id) {
            self.cancel(id);
        } else if self.has_place(&id.0, query.came_at) {
            // It may be on its way: then it comes too late.
            let served = Served {
                asking: None,
                progress: Progress::Done(Outcome { header: failed(&Error::Canceled), body: Bytes::new() }),
                changes: true,
                to: "".into(),
                forgotten_at: Instant::now() + REMEMBERED,
            };
            self.insert(id.clone(), served);
        } else {
            return self.say(&id.0, query, failed(&Error::Canceled));
        }
        match self.calls.get_mut(id).and_then(Served::outcome) {
            Some(outcome) => self.give(&id.0, query, outcome),
            None => self.say(&id.0, query, wire::encode(&Answer::Pending)),
        }
    }

    /// Ends a call, unless somebody has claimed it already and is about to end it.
    fn cancel(&mut self, id: &CallId) {
        let result = match self.calls.get(id).map(|served| &served.progress) {
            Some(Progress::UnderWay(pending)) => {
                pending.cancel();
                match pending.wait(Duration::ZERO) {
                    Poll::Ready(result) => result,
                    Poll::Pending => return,
                }
            }
            Some(Progress::Fetching(_) | Progress::Moot) => Err(Error::Canceled),
            Some(Progress::Done(_)) | None => return,
        };
        self.end_call(id, result);
    }

    fn holders(&self, query: Incoming, from: &NodeId, name: &str) {
        let Ok(system) = self.system() else { return };
        let held = call::held(&system, name);
        let shown: Vec<_> = held.iter().map(|(_, resource)| self.node.origins.shown(&resource.edition())).collect();
        let holders = held.iter().zip(&shown).map(|((peer, resource), shown)| Held {
            peer: &peer.name,
            edition: shown.edition(),
            size: resource.len() as u64,
        });
        let list: Vec<Held<'_>> = holders.collect();
        let body = wire::encode(&list).into();
        self.answer(from, query, Says::Answer(wire::encode(&Answer::Holders)), body);
        drop_user_data(held);
    }

    fn answer(&self, to: &NodeId, query: Incoming, says: Says, body: Bytes) {
        self.node.answer(to, query, says, body);
    }

    fn give(&self, to: &NodeId, query: Incoming, Outcome { header, body }: Outcome) {
        self.answer(to, query, Says::Answer(header), body);
    }

    fn say(&self, to: &NodeId, query: Incoming, header: Vec<u8>) {
        self.answer(to, query, Says::Answer(header), Bytes::new());
    }

    fn tell_late(&mut self) {
        let now = Instant::now();
        while let Some((at, _)) = self.dues.first()
            && *at <= now
        {
            let Some((_, id)) = self.dues.pop_first() else { return };
            if let Some((query, _)) = self.calls.get_mut(&id).and_then(|served| served.asking.take()) {
                self.say(&id.0, query, wire::encode(&Answer::Pending));
            }
        }
        if self.next_clean_up <= now {
            self.next_clean_up = now + REMEMBERED;
            self.forget_where(|_, served| served.is_over() && served.asking.is_none() && served.forgotten_at <= now);
            let presence = &self.node.presence;
            self.nodes.retain(|node, of| of.calls > 0 || presence.is_there(node));
            self.node.guests.clean(|node, peer| presence.has_peer(node, peer));
        }
    }

    fn system(&self) -> Result<Arc<SystemCore>> {
        self.node.system.upgrade().ok_or_else(|| Error::Closed { name: String::new() })
    }

    /// Its calls end; what became of those that are done is remembered, since the node may have been cut off only.
    fn node_left(&mut self, node: &NodeId) {
        let under_way = |(id, served): (&CallId, &Served)| {
            let is_over = matches!(served.progress, Progress::Done(_));
            (id.0 == *node && !is_over).then(|| (id.clone(), served.changes))
        };
        let under_way: Vec<_> = self.calls.iter().filter_map(under_way).collect();
        for (id, changes) in under_way {
            // What changes nothing may be made once more.
            if changes { self.cancel(&id) } else { self.forget(&id) }
        }
        self.node.guests.node_left(node);
        self.node.forget_way(node);
        self.node.kept.node_left(node);
    }

    /// Somebody who speaks to the engine directly gets a resource, or a part of it.
    fn stranger(&mut self, query: Incoming) {
        let (says, body) = match self.given_to_stranger(&query) {
            Ok((about, body)) => (Says::About(about), body),
            Err(why) => (Says::Refusal(why), Bytes::new()),
        };
        // All of them wait for room as one node would.
        let strangers = NodeId { name: STRANGER.into(), instance: 0 };
        self.answer(&strangers, query, says, body);
    }

    fn given_to_stranger(&mut self, query: &Incoming) -> std::result::Result<(String, Bytes), String> {
        let system = self.system().map_err(|error| error.to_string())?;
        if !query.has_no_wildcard() {
            return Err("name one peer and one resource".to_owned());
        }
        let (peer, name) = self.node.wanted(query.key()).ok_or("name a peer and a resource")?;
        let guest = self.stranger.get_or_insert_with(|| guests::make(&system, STRANGER));
        let number = |parameter| query.parameter(parameter).map_or(Ok(None), |text| text.parse::<u64>().map(Some));
        let (Ok(offset), Ok(len)) = (number("offset"), number("len")) else {
            return Err("offset and len are numbers of bytes".to_owned());
        };
        let form = Form::Started(Deadline::after(STRANGER_TIMEOUT));
        let given = find(&system, peer).and_then(|target| {
            match call::carry(guest, &target, Verb::Request, Key::new(name), form)? {
                Begun::Done(given) => Ok(given),
                // A handler must be asked first, and nobody waits here.
                Begun::Underway(call) => {
                    drop(Pending::of(guest, call, Deadline::Now));
                    Err(Error::Unsupported(format!("{peer:?} asks a handler before it gives something away")))
                }
            }
        });
        let given = given.map_err(|error| error.to_string())?.ok_or("nothing was given")?;
        let size = given.len() as u64;
        let start = offset.unwrap_or(0).min(size);
        let end = len.map_or(size, |len| start.saturating_add(len)).min(size);
        if end - start > MESSAGE_BODY_MAX as u64 {
            return Err(format!("{size} bytes: get up to {MESSAGE_BODY_MAX} at a time, by offset=...;len=..."));
        }
        let about = self.node.origins.shown(&given.edition());
        let about =
            format!("{{\"origin\":{},\"version\":{},\"size\":{size}}}", Quoted(&about.address()), given.version());
        let body = given.body().slice(start as usize..end as usize);
        given.release();
        Ok((about, body))
    }

    fn end(mut self) {
        self.node.guests.end_all();
        self.stranger.iter().for_each(guests::end);
        let calls: Vec<CallId> = self.calls.keys().cloned().collect();
        calls.iter().for_each(|id| self.forget(id));
    }
}

/// What a node may say.
fn check(node: &Node, from: &str, what: &What<'_>) -> Result<Asked> {
    name::check_peer(from)?;
    let edition = |edition: &Edition<'_>| edition.check().map(|()| node.origins.edition(edition));
    Ok(match what {
        What::Request { name } => {
            name::check_resource(name)?;
            Asked::Request((*name).to_owned())
        }
        What::RequestNewer { name, than } => {
            name::check_resource(name)?;
            Asked::RequestNewer((*name).to_owned(), edition(than)?)
        }
        What::Offer { name, edition: of } => {
            name::check_resource(name)?;
            Asked::Offer((*name).to_owned(), edition(of)?)
        }
        What::Exchange { name, edition: of, room } => {
            name::check_resource(name)?;
            Asked::Exchange((*name).to_owned(), edition(of)?, *room)
        }
        What::Tell { kind } => Asked::Tell((*kind).to_owned()),
        What::Ask { kind } => Asked::Ask((*kind).to_owned()),
    })
}

/// By the engine's thread, when nothing else is to be done first: true if the query has been answered. Runs no code of a user's.
pub(super) fn answer_in_passing(node: &Node, query: &Incoming, from: &NodeId, asked: &Query<'_>) -> bool {
    let Query::Call { from: peer, to, left_ms, what, body: Body::Here, .. } = asked else { return false };
    let (What::Request { name } | What::RequestNewer { name, .. }) = what else { return false };
    let Some(system) = node.system.upgrade() else { return false };
    let (Some(guest), Ok(target)) = (node.guests.find(from, peer), find(&system, to)) else { return false };
    let is_small = |held: &Resource| held.len() <= IN_PASSING_BYTES_MAX;
    if *left_ms == Some(0)
        || target.hears.requests
        || !target.side.lock().shelf.get(Key::new(name)).is_some_and(is_small)
    {
        return false;
    }
    // At once or not at all.
    let form = Form::Started(Deadline::Now);
    let given = match check(node, peer, what) {
        Ok(Asked::Request(name)) => call::carry(&guest, &target, Verb::Request, Key::new(&name), form),
        Ok(Asked::RequestNewer(name, than)) => {
            call::carry(&guest, &target, Verb::RequestNewer(than), Key::new(&name), form)
        }
        _ => return false,
    };
    let Ok(Begun::Done(given)) = given else { return false };
    let last = given.clone();
    let Outcome { header, body } = outcome(node, from, to, Ok(given), false);
    let counters = node.presence.counters(&from.name);
    Counters::count(&counters.served, 1);
    Counters::count(&counters.bytes_out, body.len() as u64);
    // A copy: what the engine drops at last must not be a user's.
    query.answer(&header, Bytes::copy_from_slice(&body));
    drop(body);
    if let Some(last) = last.and_then(Resource::release_unless_last) {
        node.drop_later(last);
    }
    true
}

fn find(system: &Arc<SystemCore>, peer: &str) -> Result<Arc<PeerCore>> {
    // Only who is here: a node passes nothing on.
    name::check_peer(peer)?;
    system.find(peer)
}

fn failed(error: &Error) -> Vec<u8> {
    wire::encode(&Answer::Failed(Fault::new(error)))
}

/// What became of a call, as an answer for that node; with `is_remembered` also if that is cut off for a while.
fn outcome(node: &Node, to: &NodeId, peer: &str, result: Result<Option<Resource>>, is_remembered: bool) -> Outcome {
    match result {
        Ok(None) => Outcome { header: wire::encode(&Answer::Done(None)), body: Bytes::new() },
        Ok(Some(given)) => {
            let bytes = given.body();
            let shown = node.origins.shown(&given.edition());
            let mut digest = None;
            let (body, along) = match bytes.len() {
                len if len <= GIVEN_BYTES_MAX => (Body::Here, bytes),
                len => {
                    let content = shown.content(given.shared_name(), &bytes);
                    digest = content.as_ref().and_then(|content| node.digests.of(content));
                    let ticket = node.kept.keep(bytes, content, to, is_remembered);
                    (Body::Kept { ticket, size: len as u64 }, Bytes::new())
                }
            };
            let header = wire::encode(&Answer::Done(Some(Given { edition: shown.edition(), body, digest })));
            given.release();
            Outcome { header, body: along }
        }
        // The system is being shut down, which for whoever is elsewhere is the end of the peer.
        Err(Error::Closed { .. }) => {
            Outcome { header: failed(&Error::PeerClosed { peer: peer.to_owned() }), body: Bytes::new() }
        }
        Err(error) => Outcome { header: failed(&error), body: Bytes::new() },
    }
}
