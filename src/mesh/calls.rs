//! Calls of peers here with peers of other nodes.
//!
//! # The way of a call
//!
//! It has a number, and is sent as one query to the other node, which makes the call there by a guest that stands for the caller (`serve.rs`). The answer says
//! what came of it, or that it goes on: then it is asked for again, as often as it takes. No answer at all (the link broke, nobody was there yet, the node is gone) is
//! an attempt that is made again after a while, with the same number, so that the call is made once, however often it is sent. When the node itself is gone, the call
//! ends with PeerClosed.
//!
//! - **Until when**: the other side is told how long it has, which is a little less than the caller has, so that its word comes in time: what it says timed out has
//!   not happened and will not. Without its word by the deadline, a read has not happened here; of all else the outcome is unknown.
//! - **The step**: what was read goes on the caller's shelf when all of it is here, in one step with the claim against giving up. An exchange commits on the
//!   other side; then the caller's shelf takes what came back, whatever it holds by then. If the caller has given up meanwhile, the outcome is still asked for, and what comes back is
//!   taken in if the caller holds what it gave: else it would be nobody's.
//! - **Giving up** tells the other side, which gives its own part up if it is not done.
//! - A **fetch** asks all nodes who holds the resource, and makes a request of one after the other.

use std::time::Duration;

use bytes::Bytes;

use super::digests::Digest;
use super::engine::{Rank, Reply, copied};
use super::keys::NodeId;
use super::node::Node;
use super::presence::{Address, Counters};
use super::transfer::{self, Event as Transfers, Order, Source, release};
use super::wire::{self, ASKED_BYTES_MAX, Answer, Body, GIVEN_BYTES_MAX, Given, Held, Query, What};
use crate::call::{self, After, block, moves_on, take_in, wait_out};
use crate::calling::Call;
use crate::core::{Begun, Form, Operation, PeerCore, Underway};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::feed::Heard;
use crate::holder::Holder;
use crate::name;
use crate::post;
use crate::random;
use crate::resource::{Edition, Resource};
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering};
use crate::turn::{Cause, Phase, Wait};
use crate::unwind::drop_user_data;
use crate::waits::{Interrupt, Why, give_up};

/// How long the other side may wait with its answer before it says that the call goes on.
pub(super) const POLL: Duration = Duration::from_secs(5);
/// How much longer the engine waits for it.
const GRACE: Duration = Duration::from_secs(1);
/// So long after the query an answer can still be of use; later it is asked for again, before it could be there.
pub(super) const ANSWERED_WITHIN: Duration = POLL.saturating_add(Duration::from_millis(GRACE.as_millis() as u64 / 2));
/// Between attempts: at first, and at most.
const AGAIN_FIRST: Duration = Duration::from_millis(5);
const AGAIN_MAX: Duration = Duration::from_millis(250);
/// How long all nodes may take to say what they hold, for who asks for the holders.
const HOLDERS_TIMEOUT: Duration = Duration::from_secs(1);
/// How often, once a second, the outcome of an exchange is asked for that was given up.
const LATE_MAX: u32 = 60;

/// A call under way.
pub(super) struct Outgoing {
    node: Arc<Node>,
    wait: Wait<Option<Resource>>,
    /// The fetch that began here, and whose end this is, too.
    of: Option<Arc<Operation>>,
    caller: Arc<PeerCore>,
    verb: Verb,
    /// The resource, or the kind of message.
    what: Arc<str>,
    deadline: Deadline,
    /// A thread waits for it where it was made.
    is_blocking: bool,
    state: Mutex<State>,
}

enum Verb {
    Request,
    RequestNewer(Edition),
    Fetch,
    Offer(Resource),
    Exchange(Resource),
    Tell,
    Ask,
}

impl Verb {
    /// Whether it changes nothing on the other side.
    fn reads(&self) -> bool {
        matches!(self, Verb::Request | Verb::RequestNewer(_) | Verb::Fetch)
    }
}

/// A call to be made.
struct Wanted<'a> {
    /// `None` if that is still to be found.
    to: Option<Address>,
    verb: Verb,
    what: &'a str,
    body: Bytes,
    /// The error when there is nobody left.
    last: Error,
}

struct State {
    /// Whom it is made with now; a fetch has nobody before somebody has said that he holds it.
    to: Option<Address>,
    /// Of a fetch: who else holds it, and how many nodes have not said whether anybody does.
    others: Vec<Address>,
    unheard: usize,
    /// The error when there is nobody left.
    last: Error,
    number: u64,
    tries: u32,
    is_sent: bool,
    is_answered: bool,
    /// What a message or an offer sends, if it is large.
    ticket: Option<u64>,
    body: Bytes,
    /// What is left to do once it has ended.
    left: Option<After>,
}

impl State {
    fn new(to: Option<Address>, last: Error, body: Bytes) -> State {
        State {
            to,
            others: Vec::new(),
            unheard: 0,
            last,
            number: 0,
            tries: 0,
            is_sent: false,
            is_answered: false,
            ticket: None,
            body,
            left: None,
        }
    }
}

/// A peer of this node was named with the node.
pub(super) fn call_here(caller: &Arc<PeerCore>, peer: &str, call: Call<'_>, form: Form) -> Result<Begun> {
    // Without the check this would come back here when nobody has the name.
    caller.system.find(peer)?;
    match call {
        Call::Request { name, .. } => call::request(caller, peer, name, form),
        Call::RequestNewer { name, than, .. } => call::request_newer(caller, peer, name, than, form),
        Call::Offer { name, .. } => call::offer(caller, peer, name, form),
        Call::Exchange { name, .. } => call::exchange(caller, peer, name, form),
        Call::Tell { kind, body, .. } => post::tell(caller, peer, kind, body, form),
        Call::Ask { kind, body, .. } => post::ask(caller, peer, kind, body, form),
        Call::Fetch { name } => call::fetch(caller, name, form),
    }
}

impl Outgoing {
    pub(super) fn make(
        node: &Arc<Node>,
        caller: &Arc<PeerCore>,
        to: Address,
        call: Call<'_>,
        form: Form,
    ) -> Result<Begun> {
        let (verb, what, body) = match call {
            Call::Request { name, .. } => (Verb::Request, name, Bytes::new()),
            Call::RequestNewer { name, than, .. } => (Verb::RequestNewer(than.edition()), name, Bytes::new()),
            Call::Fetch { name } => (Verb::Fetch, name, Bytes::new()),
            Call::Offer { name, .. } => (Verb::Offer(call::get(caller, name)?), name, Bytes::new()),
            Call::Exchange { name, .. } => (Verb::Exchange(call::get(caller, name)?), name, Bytes::new()),
            Call::Tell { kind, body, .. } => (Verb::Tell, kind, body),
            Call::Ask { kind, body, .. } => (Verb::Ask, kind, body),
        };
        match &verb {
            Verb::Tell | Verb::Ask => name::check_kind(what)?,
            _ => name::check_resource(what)?,
        }
        let last = Error::PeerClosed { peer: to.full.to_string() };
        let wanted = Wanted { to: Some(to), verb, what, body, last };
        Outgoing::set_out(node, caller, wanted, form, |call| call.send())
    }

    pub(super) fn fetch(
        node: &Arc<Node>,
        caller: &Arc<PeerCore>,
        name: &str,
        form: Form,
        here: Error,
    ) -> Result<Begun> {
        let nodes = node.presence.nodes();
        if nodes.is_empty() {
            return Err(here);
        }
        let wanted = Wanted { to: None, verb: Verb::Fetch, what: name, body: Bytes::new(), last: here };
        Outgoing::set_out(node, caller, wanted, form, |call| call.ask_all(nodes))
    }

    /// Goes on with a fetch that began here. It ends with that, and takes nothing in if that has ended by itself.
    pub(super) fn fetch_on(node: &Arc<Node>, fetch: &Arc<Operation>, here: Error) {
        let nodes = node.presence.nodes();
        let call = Arc::new(Outgoing {
            node: Arc::clone(node),
            wait: Wait::of_started(),
            of: Some(Arc::clone(fetch)),
            caller: Arc::clone(&fetch.caller),
            verb: Verb::Fetch,
            what: Arc::clone(&fetch.name),
            deadline: Deadline::Never,
            is_blocking: false,
            state: Mutex::new(State::new(None, here, Bytes::new())),
        });
        call.enlist();
        if nodes.is_empty() { call.next() } else { call.ask_all(nodes) }
    }

    /// Asks all nodes who holds what is fetched.
    fn ask_all(self: &Arc<Outgoing>, nodes: Vec<(NodeId, Arc<Counters>)>) {
        self.state.lock().unheard = nodes.len();
        for (other, counters) in nodes {
            let call = Arc::clone(self);
            let most = self.deadline.left_at_most(POLL);
            ask_holders(&self.node, &other, counters, &self.what, most, move |held| {
                call.hear(held.into_iter().map(|held| held.address).collect());
                Outgoing::let_go(call);
            });
        }
    }

    fn set_out(
        node: &Arc<Node>,
        caller: &Arc<PeerCore>,
        wanted: Wanted<'_>,
        form: Form,
        begin: impl FnOnce(&Arc<Outgoing>),
    ) -> Result<Begun> {
        if form.deadline().is_now() {
            return Err(Error::TimedOut);
        }
        let form = match form {
            Form::Blocking(deadline) => Form::Blocking(deadline.begin()),
            Form::Started(deadline) => Form::Started(deadline.begin()),
        };
        let call = Arc::new(Outgoing {
            node: Arc::clone(node),
            wait: form.wait(&caller.system)?,
            of: None,
            caller: Arc::clone(caller),
            verb: wanted.verb,
            what: wanted.what.into(),
            deadline: form.deadline(),
            is_blocking: form.is_blocking(),
            state: Mutex::new(State::new(wanted.to, wanted.last, wanted.body)),
        });
        call.enlist();
        begin(&call);
        let waited = Arc::clone(&call);
        let result = wait_out(caller, call, form, &mut After::new());
        if form.is_blocking() {
            // Here: others may hold the call for a while yet, on threads where no destructor may run.
            let left = waited.state.lock().left.take();
            drop(left);
        }
        drop_user_data(waited);
        result
    }

    /// Nobody has ended it.
    fn is_wanted(&self) -> bool {
        self.wait.is_open() && self.of.as_ref().is_none_or(|fetch| fetch.wait.is_open())
    }

    /// The wait that is ended: that of the fetch which began here, if there is one.
    fn ended_wait(&self) -> &Wait<Option<Resource>> {
        self.of.as_ref().map_or(&self.wait, |fetch| &fetch.wait)
    }

    /// Takes the sole right to end it.
    fn claim(&self, cause: Cause) -> bool {
        self.ended_wait().claim(cause).is_some()
    }

    /// By the one who claimed.
    fn tell(&self, result: Result<Option<Resource>>) {
        self.ended_wait().finish(result);
        if self.of.is_some() {
            // Nobody waits for that one; it says that nothing more is to be done.
            self.wait.end(Cause::Answered, Ok(None));
        }
    }

    /// Gives it a number that it has not had.
    fn enlist(self: &Arc<Outgoing>) {
        let mut calls = self.node.calls.lock();
        let number = calls.number();
        let mut state = self.state.lock();
        calls.under_way.remove(&state.number);
        state.number = number;
        calls.under_way.insert(number, Arc::clone(self));
    }

    /// Sends it, or sends it again.
    fn send(self: &Arc<Outgoing>) {
        let Some((to, number)) = self.target() else { return };
        let oldest = self.node.calls.lock().oldest(&to.node);
        let Some((kept, large)) = self.sends(&to) else {
            // It has been given up, perhaps before it was in the list under this number.
            self.node.drop_later(self.leave_list());
            return self.abandon();
        };
        let bytes = if large.is_some() { Bytes::new() } else { kept.clone() };
        let body = match large {
            Some((ticket, size)) => Body::Kept { ticket, size },
            None => Body::Here,
        };
        let left_ms = self.deadline.left().map(|left| left.saturating_sub(margin(left)).as_millis() as u64);
        let send = |what: What<'_>| {
            let query = Query::Call { id: number, oldest, from: &self.caller.name, to: &to.peer, left_ms, what, body };
            Counters::count(&to.counters.bytes_out, bytes.len() as u64);
            self.ask(&to.node, number, &query, bytes);
        };
        let origins = &self.node.origins;
        let name = &*self.what;
        match &self.verb {
            Verb::Request | Verb::Fetch => send(What::Request { name }),
            Verb::RequestNewer(than) => send(What::RequestNewer { name, than: origins.shown(than).edition() }),
            Verb::Offer(mine) => send(What::Offer { name, edition: origins.shown(&mine.edition()).edition() }),
            Verb::Exchange(mine) => {
                let room = call::room(&self.caller, mine);
                send(What::Exchange { name, edition: origins.shown(&mine.edition()).edition(), room });
            }
            Verb::Tell => send(What::Tell { kind: name }),
            Verb::Ask => send(What::Ask { kind: name }),
        }
        // Whoever has ended it meanwhile may have dropped the others.
        self.node.drop_sent(kept);
    }

    fn target(&self) -> Option<(Address, u64)> {
        let mut state = self.state.lock();
        let to = state.to.clone()?;
        if !std::mem::replace(&mut state.is_sent, true) {
            Counters::count(&to.counters.calls, 1);
        }
        Some((to, state.number))
    }

    /// What goes along; a large body is kept here instead, under a ticket. `None` if it is over: whoever ends it takes the body away.
    fn sends(&self, to: &Address) -> Option<(Bytes, Option<(u64, u64)>)> {
        let mut state = self.state.lock();
        if !self.is_wanted() {
            return None;
        }
        let body = match &self.verb {
            Verb::Offer(mine) | Verb::Exchange(mine) => mine.body(),
            _ => state.body.clone(),
        };
        if body.len() <= ASKED_BYTES_MAX {
            return Some((body, None));
        }
        let size = body.len() as u64;
        let content = || match &self.verb {
            Verb::Offer(mine) | Verb::Exchange(mine) => {
                self.node.origins.shown(&mine.edition()).content(mine.shared_name(), mine.bytes())
            }
            _ => None,
        };
        let ticket = *state.ticket.get_or_insert_with(|| self.node.kept.keep(body.clone(), content(), &to.node, false));
        Some((body, Some((ticket, size))))
    }

    fn ask(self: &Arc<Outgoing>, to: &NodeId, number: u64, query: &Query<'_>, body: Bytes) {
        let call = Arc::clone(self);
        self.node.query(to, query, body, Rank::Small, self.deadline.left_at_most(POLL) + GRACE, move |reply| {
            call.take(number, reply);
            Outgoing::let_go(call);
        });
    }

    /// An answer to what was sent under that number has come, or none. A fetch may have gone on meanwhile, under another.
    fn take(self: &Arc<Outgoing>, number: u64, reply: Option<Reply>) {
        if !self.is_wanted() {
            return self.abandon();
        }
        {
            let mut state = self.state.lock();
            if state.number != number {
                return;
            }
            state.is_answered |= reply.is_some();
        }
        let answer = reply.as_ref().map(|reply| (wire::decode(&reply.header), &reply.body));
        match answer {
            None | Some((Some(Answer::Busy), _)) => self.again(),
            Some((Some(Answer::Pending), _)) => {
                if let Some((to, id)) = self.target() {
                    self.ask(&to.node, id, &Query::Wait { id }, Bytes::new());
                }
            }
            Some((Some(Answer::Unknown), _)) => self.send(),
            Some((Some(Answer::Done(given)), body)) => match (&self.verb, given) {
                (_, None) => self.finish(Ok(None)),
                // Nothing is given for these: it must not come onto the shelf.
                (Verb::Offer(_) | Verb::Tell, Some(_)) => self.answered_wrongly("gave something for nothing"),
                (_, Some(given)) => self.arrive(&given, body),
            },
            Some((Some(Answer::Failed(fault)), _)) => {
                let Some((to, _)) = self.target() else { return };
                match fault.into_error(&to.peer, &to.full) {
                    // Not by this side: the other one took this node for gone, if only for a moment.
                    Error::Canceled if self.verb.reads() => self.again(),
                    Error::Canceled => self.finish(Err(Error::OutcomeUnknown { peer: to.full.to_string() })),
                    error => {
                        if !matches!(self.verb, Verb::Ask) {
                            // It has not been done, and nothing more is to be known of it there. An ask may have been.
                            self.state.lock().is_sent = false;
                        }
                        self.fail(&to, error);
                    }
                }
            }
            // The other node refuses even to read it.
            Some((None, text)) => {
                let Some((to, _)) = self.target() else { return };
                to.counters.note(&format!("it refused a query: {}", String::from_utf8_lossy(&text.to_bytes())));
                self.fail(&to, Error::Denied { peer: to.full.to_string() });
            }
            Some((Some(other), _)) => self.answered_wrongly(&format!("answered a call with {other:?}")),
        }
    }

    #[cold]
    fn answered_wrongly(self: &Arc<Outgoing>, what: &str) {
        let node = self.state.lock().to.as_ref().map(|to| Arc::clone(&to.node.name)).unwrap_or_default();
        self.finish(Err(Error::Internal(format!("the node {node:?} {what}"))));
    }

    /// Makes another attempt after a while.
    fn again(self: &Arc<Outgoing>) {
        let (to, tries, number) = {
            let mut state = self.state.lock();
            state.tries += 1;
            (state.to.clone(), state.tries, state.number)
        };
        let Some(to) = to else { return };
        if !self.node.is_there(&to.node) {
            return self.fail(&to, Error::PeerClosed { peer: to.full.to_string() });
        }
        Counters::count(&to.counters.retries, 1);
        to.counters.note("it did not answer");
        let call = Arc::clone(self);
        let wait = AGAIN_FIRST.saturating_mul(1 << tries.min(10)).min(AGAIN_MAX);
        self.node.later(wait, move || {
            if call.state.lock().number == number {
                call.send();
            }
            Outgoing::let_go(call);
        });
    }

    /// It has failed at that peer; a fetch goes on to the next.
    fn fail(self: &Arc<Outgoing>, to: &Address, error: Error) {
        if matches!(self.verb, Verb::Fetch) && (moves_on(&error) || matches!(error, Error::NoSuchPeer { .. })) {
            let is_it = |now: &Address| now.node == to.node && now.peer == to.peer;
            {
                let mut state = self.state.lock();
                if !state.to.as_ref().is_some_and(is_it) {
                    return;
                }
                state.to = None;
                state.last = error;
            }
            return self.next();
        }
        self.finish(Err(error));
    }

    /// A node has said which of its peers hold what is fetched.
    fn hear(self: &Arc<Outgoing>, mut holders: Vec<Address>) {
        for i in (1..holders.len()).rev() {
            holders.swap(i, random::below(i + 1));
        }
        {
            let mut state = self.state.lock();
            state.unheard = state.unheard.saturating_sub(1);
            state.others.extend(holders);
        }
        self.next();
    }

    /// Lets a fetch go on with the next holder, if it has none now.
    fn next(self: &Arc<Outgoing>) {
        let is_over = {
            let mut state = self.state.lock();
            if state.to.is_some() {
                return;
            }
            state.to = state.others.pop();
            (state.is_sent, state.tries) = (false, 0);
            state.to.is_none().then(|| (state.unheard == 0).then(|| state.last.clone()))
        };
        match is_over {
            None => {
                self.enlist();
                self.send();
            }
            Some(Some(last)) => self.finish(Err(last)),
            // Others have not said yet.
            Some(None) => {}
        }
    }

    /// A resource was given.
    fn arrive(self: &Arc<Outgoing>, given: &Given<'_>, body: &zenoh::bytes::ZBytes) {
        let Some((to, _)) = self.target() else { return };
        let (limit, size) = (self.caller.system.limits.resource_bytes_max, given.body.size(body.len()));
        // An answer to an ask lies on no shelf.
        let is_checked = matches!(self.verb, Verb::Ask) || given.edition.check().is_ok();
        if !(is_checked && has_sound_body(given)) {
            return self.answered_wrongly("gave what can be no resource");
        }
        if size > limit {
            if let Body::Kept { ticket, .. } = given.body {
                release(&self.node, &to.node, ticket);
            }
            return self.finish(Err(Error::TooLarge { what: "a resource".to_owned(), limit, size }));
        }
        match given.body {
            Body::Here => {
                let body = copied(body);
                Counters::count(&to.counters.bytes_in, body.len() as u64);
                let resource = self.node.origins.resource(Arc::clone(&self.what), &given.edition, body);
                self.put(&to, resource);
            }
            Body::Kept { ticket, size } => {
                // An edition without its body, which is still to come.
                let edition = self.node.origins.edition(&given.edition);
                self.get_body(to, edition, ticket, (size, given.digest));
            }
        }
    }

    fn get_body(
        self: &Arc<Outgoing>,
        to: Address,
        edition: Edition,
        ticket: u64,
        (size, digest): (u64, Option<Digest>),
    ) {
        let source = Source { node: to.node.clone(), ticket, counters: Arc::clone(&to.counters) };
        let (wanting, progressing, arriving) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        let (about, from) = (edition.clone(), Arc::clone(&to.full));
        let look = {
            let (call, edition) = (Arc::clone(self), edition.clone());
            move |transfer| call.look(transfer, &edition)
        };
        let is_read = self.verb.reads();
        let order = Order {
            size,
            digest,
            from: Arc::clone(&to.full),
            source,
            is_shared: matches!(self.verb, Verb::Fetch) && size >= transfer::SHARED_BYTES,
            look: is_read.then(|| Box::new(look) as Box<dyn Fn(u64) + Send>),
            is_wanted: Box::new(move || wanting.is_wanted()),
            is_asked_again: matches!(self.verb, Verb::Exchange(_)),
            progress: Box::new(move |done| progressing.progress(&from, about.version(), done, size)),
            then: Box::new(move |came| {
                match came {
                    Ok(body) => {
                        let name = Arc::clone(&arriving.what);
                        let resource = Resource::new(name, Arc::clone(edition.origin()), edition.version(), body);
                        arriving.put(&to, resource);
                    }
                    Err(error) => arriving.fail(&to, error),
                }
                Outgoing::let_go(arriving);
            }),
        };
        self.node.tell_transfers(Transfers::Start(Box::new(order)));
    }

    fn progress(&self, from: &Arc<str>, version: u64, done: u64, size: u64) {
        let mut heard = Heard::new();
        self.caller.system.feed.emit(&mut heard, || Event::Progress {
            peer: Arc::clone(&self.caller.name),
            from: Arc::clone(from),
            name: Arc::clone(&self.what),
            version,
            done,
            size,
        });
        heard.wake();
    }

    /// Looks for other holders of an edition that a transfer fetches.
    fn look(self: &Arc<Outgoing>, transfer: u64, edition: &Edition) {
        let looked = Arc::new(Looked { node: Arc::clone(&self.node), transfer });
        for (node, counters) in self.node.presence.nodes() {
            let (call, edition, looked) = (Arc::clone(self), edition.clone(), Arc::clone(&looked));
            ask_holders(&self.node, &node, counters, &self.what, self.deadline.left_at_most(POLL), move |held| {
                let current = call.target().map(|(to, _)| to);
                for held in held {
                    let is_same = Arc::ptr_eq(held.edition.origin(), edition.origin())
                        && held.edition.version() == edition.version();
                    let is_it = |now: &Address| now.node == held.address.node && now.peer == held.address.peer;
                    // Whoever it comes from is a source already; if it is one no longer, it is not there any more.
                    if is_same && !current.as_ref().is_some_and(is_it) {
                        call.request_too(held.address, &edition, &looked);
                    }
                }
                Outgoing::let_go(call);
            });
        }
    }

    /// Requests the edition of one more holder, for the transfer alone.
    fn request_too(self: &Arc<Outgoing>, from: Address, edition: &Edition, looked: &Arc<Looked>) {
        let (number, oldest) = {
            let mut calls = self.node.calls.lock();
            let number = calls.number();
            (number, calls.oldest(&from.node))
        };
        let left_ms = Some(self.deadline.left_at_most(POLL).as_millis() as u64);
        let what = What::Request { name: &self.what };
        let (caller, to) = (&self.caller.name, &from.peer);
        let query = Query::Call { id: number, oldest, from: caller, to, left_ms, what, body: Body::Here };
        let (node, edition, looked) = (Arc::clone(&self.node), edition.clone(), Arc::clone(looked));
        let (of, counters) = (from.node.clone(), Arc::clone(&from.counters));
        self.node.query(&from.node, &query, Bytes::new(), Rank::Small, POLL + GRACE, move |reply| {
            let Some(reply) = reply else { return };
            if let Some(Answer::Done(Some(Given { edition: given, body: Body::Kept { ticket, .. }, .. }))) =
                wire::decode(&reply.header)
            {
                let given = node.origins.edition(&given);
                let source = Source { node: of, ticket, counters };
                if Arc::ptr_eq(given.origin(), edition.origin()) && given.version() == edition.version() {
                    node.tell_transfers(Transfers::Source { transfer: looked.transfer, source });
                } else {
                    release(&node, &source.node, ticket);
                }
            }
        });
    }

    /// All of a resource is here.
    fn put(self: &Arc<Outgoing>, to: &Address, resource: Resource) {
        if let Verb::Ask = self.verb {
            return self.finish(Ok(Some(resource)));
        }
        let mut after = After::new();
        let put = take_in(&self.caller, &to.full, &resource, None, || self.claim(Cause::Answered), &mut after);
        after.settle();
        match put {
            Ok(true) => {
                self.leave_list();
                if self.is_blocking && !after.is_empty() {
                    // What it replaced dies with the call, by the thread that waits: no other need be woken for that.
                    self.state.lock().left = Some(std::mem::take(&mut after));
                }
                self.tell(Ok(Some(resource)));
            }
            // It was given up.
            Ok(false) => {
                if let Verb::Exchange(mine) = &self.verb {
                    // What comes back would be nobody's.
                    let _ = take_in(&self.caller, &to.full, &resource, Some(mine), || true, &mut after);
                    after.settle();
                }
                self.abandon();
                self.node.drop_later(resource);
            }
            Err(error) => {
                self.node.drop_later(resource);
                self.finish(Err(error));
            }
        }
        self.node.settle(after);
    }

    fn finish(self: &Arc<Outgoing>, result: Result<Option<Resource>>) {
        let cause = match &result {
            Err(Error::PeerClosed { .. }) => Cause::PeerClosed,
            _ => Cause::Answered,
        };
        if self.claim(cause) {
            if let (Verb::Exchange(mine), Err(Error::PeerClosed { .. } | Error::OutcomeUnknown { .. })) =
                (&self.verb, &result)
            {
                // The other node may have been cut off only, after it was done there.
                self.ask_late(mine);
            }
            let unsent = self.leave_list();
            self.tell(result);
            if !self.verb.reads() {
                self.node.drop_later(unsent);
            }
        } else {
            self.abandon();
        }
    }

    /// The fetch whose end this would be has ended by itself.
    fn abandon(&self) {
        if self.of.is_some() {
            self.node.drop_later(self.give_up(Why::Canceled));
        }
    }

    /// It is over: what it was to send may go.
    fn leave_list(&self) -> Bytes {
        let (number, ticket, to, body) = {
            let mut state = self.state.lock();
            (state.number, state.ticket.take(), state.to.clone(), std::mem::take(&mut state.body))
        };
        let gone = self.node.calls.lock().under_way.remove(&number);
        if let (Some(ticket), Some(to)) = (ticket, to) {
            let node = Arc::clone(&self.node);
            self.node.drop_later(Release { node, ticket, to: to.node });
        }
        if let Some(gone) = gone {
            Outgoing::let_go(gone);
        }
        body
    }

    /// Whoever has the last reference to it has it to what it offers, too, whose destructor may wait. Mostly that is the caller, and then nobody
    /// is woken for it.
    fn let_go(call: Arc<Outgoing>) {
        if let Some(last) = Arc::into_inner(call) {
            let node = Arc::clone(&last.node);
            node.drop_later(last);
        }
    }

    /// A node is gone.
    pub(super) fn node_left(self: &Arc<Outgoing>, node: &NodeId) {
        let to = self.state.lock().to.clone();
        let Some(to) = to.filter(|to| to.node == *node) else { return };
        let error = Error::PeerClosed { peer: to.full.to_string() };
        // A transfer that is under way looks for other holders by itself.
        if !(self.verb.reads() && self.state.lock().is_answered) {
            self.fail(&to, error);
        }
    }

    /// What the caller is told at the deadline.
    fn late(&self) -> Error {
        let state = self.state.lock();
        let peer = || state.to.as_ref().map(|to| to.full.to_string()).unwrap_or_default();
        match self.verb.reads() {
            true if state.to.is_some() && state.tries > 0 && !state.is_answered => Error::Unreachable { peer: peer() },
            true => Error::TimedOut,
            false if state.is_sent => Error::OutcomeUnknown { peer: peer() },
            false => Error::TimedOut,
        }
    }

    /// Tells the other side that nobody waits any more.
    fn take_back(&self) -> Bytes {
        match (&self.verb, self.sent_to()) {
            (Verb::Exchange(mine), _) => self.ask_late(mine),
            (_, Some((to, id))) => {
                self.node.query(&to.node, &Query::GiveUp { id }, Bytes::new(), Rank::Small, GRACE, drop);
            }
            (_, None) => {}
        }
        self.leave_list()
    }

    /// Whom it has been sent to, if it has, and under what number.
    fn sent_to(&self) -> Option<(Address, u64)> {
        let state = self.state.lock();
        Some((state.to.clone().filter(|_| state.is_sent)?, state.number))
    }

    /// Goes on asking what became of an exchange that has been sent.
    fn ask_late(&self, mine: &Resource) {
        if let Some((to, number)) = self.sent_to() {
            Late::begin(self, to, number, mine.clone());
        }
    }
}

impl Interrupt for Outgoing {
    fn give_up(&self, why: Why<'_>) -> Bytes {
        give_up(&self.wait, why, |_: Phase| self.late(), |_| self.take_back())
    }
}

impl Underway for Outgoing {
    fn wait(&self) -> &Wait<Option<Resource>> {
        &self.wait
    }

    fn verb(&self) -> &'static str {
        match &self.verb {
            Verb::Request => "request",
            Verb::RequestNewer(_) => "request_newer",
            Verb::Fetch => "fetch",
            Verb::Offer(_) => "offer",
            Verb::Exchange(_) => "exchange",
            Verb::Tell => "tell",
            Verb::Ask => "ask",
        }
    }

    fn what(&self) -> &Arc<str> {
        &self.what
    }

    fn whom(&self) -> Arc<str> {
        self.state.lock().to.as_ref().map_or_else(|| "@".into(), |to| Arc::clone(&to.full))
    }
}

/// Whether the body is where it would be: only a large one is kept.
fn has_sound_body(given: &Given<'_>) -> bool {
    match given.body {
        Body::Here => true,
        Body::Kept { size, .. } => size > GIVEN_BYTES_MAX as u64,
    }
}

/// How much earlier the other side gives up, so that its word comes in time.
fn margin(left: Duration) -> Duration {
    (left / 10).clamp(Duration::from_millis(1), Duration::from_millis(50))
}

/// Ends a ticket when it is dropped, where destructors may run.
struct Release {
    node: Arc<Node>,
    ticket: u64,
    to: NodeId,
}

impl Drop for Release {
    fn drop(&mut self) {
        drop_user_data(self.node.kept.release(self.ticket, &self.to));
    }
}

/// Says, when the last one is dropped, that a transfer's search for other sources is over.
struct Looked {
    node: Arc<Node>,
    transfer: u64,
}

impl Drop for Looked {
    fn drop(&mut self) {
        self.node.tell_transfers(Transfers::Looked { transfer: self.transfer });
    }
}

/// An exchange that has ended for the caller, and of which nobody knows what became.
struct Late {
    node: Arc<Node>,
    caller: Arc<PeerCore>,
    to: Address,
    number: u64,
    mine: Resource,
    tries: u32,
}

impl Late {
    fn begin(call: &Outgoing, to: Address, number: u64, mine: Resource) {
        let (node, caller) = (Arc::clone(&call.node), Arc::clone(&call.caller));
        node.calls.lock().late.insert(number, to.node.clone());
        Late { node, caller, to, number, mine, tries: 0 }.ask();
    }

    fn ask(self) {
        let (node, to, id) = (Arc::clone(&self.node), self.to.node.clone(), self.number);
        node.query(&to, &Query::GiveUp { id }, Bytes::new(), Rank::Small, POLL, move |reply| self.take(reply));
    }

    fn take(self, reply: Option<Reply>) {
        let answer = reply.as_ref().map(|reply| (wire::decode(&reply.header), &reply.body));
        match answer {
            Some((Some(Answer::Done(Some(given))), body))
                if given.edition.check().is_ok() && has_sound_body(&given) =>
            {
                match given.body {
                    Body::Here => {
                        let body = copied(body);
                        let name = Arc::clone(self.mine.shared_name());
                        let resource = self.node.origins.resource(name, &given.edition, body);
                        self.put(resource);
                    }
                    Body::Kept { ticket, size } => {
                        let edition = self.node.origins.edition(&given.edition);
                        self.get_body(edition, ticket, (size, given.digest));
                    }
                }
            }
            None | Some((Some(Answer::Busy | Answer::Pending), _)) => self.again(),
            _ => self.end(),
        }
    }

    /// Asks again after a while. A node that is not there may be cut off only.
    fn again(mut self) {
        self.tries += 1;
        if self.tries < LATE_MAX && !self.caller.side.lock().shelf.is_closed() {
            let node = Arc::clone(&self.node);
            node.later(Duration::from_secs(1), move || self.ask());
        } else {
            self.end();
        }
    }

    /// Nothing is left to be known of it.
    fn end(self) {
        self.node.calls.lock().late.remove(&self.number);
        let node = Arc::clone(&self.node);
        node.drop_later((self.mine, self.caller));
    }

    fn get_body(self, edition: Edition, ticket: u64, (size, digest): (u64, Option<Digest>)) {
        let node = Arc::clone(&self.node);
        let source = Source { node: self.to.node.clone(), ticket, counters: Arc::clone(&self.to.counters) };
        let order = Order {
            size,
            digest,
            from: Arc::clone(&self.to.full),
            source,
            is_shared: false,
            look: None,
            is_wanted: Box::new(|| true),
            is_asked_again: false,
            progress: Box::new(|_| {}),
            then: Box::new(move |came| match came {
                // The other side goes on keeping it, for a while.
                Err(_) => self.again(),
                Ok(body) => {
                    let (name, origin) = (Arc::clone(self.mine.shared_name()), Arc::clone(edition.origin()));
                    self.put(Resource::new(name, origin, edition.version(), body));
                }
            }),
        };
        node.tell_transfers(Transfers::Start(Box::new(order)));
    }

    fn put(self, resource: Resource) {
        let mut after = After::new();
        // Who closed meanwhile, or has no room, takes nothing any more.
        let _ = take_in(&self.caller, &self.to.full, &resource, Some(&self.mine), || true, &mut after);
        after.settle();
        let node = Arc::clone(&self.node);
        node.drop_later(resource);
        node.settle(after);
        self.end();
    }
}

/// A peer of another node that holds a resource.
struct HeldThere {
    address: Address,
    edition: Edition,
    size: u64,
}

/// Asks one node who holds a resource; without an answer nobody does.
fn ask_holders(
    node: &Arc<Node>,
    of: &NodeId,
    counters: Arc<Counters>,
    name: &str,
    timeout: Duration,
    then: impl FnOnce(Vec<HeldThere>) + Send + 'static,
) {
    let (asking, other) = (Arc::clone(node), of.clone());
    node.query(of, &Query::Holders { name }, Bytes::new(), Rank::Small, timeout, move |reply| {
        let Some(reply) = reply else { return then(Vec::new()) };
        let list = reply.body.to_bytes();
        let held: Vec<Held<'_>> = match wire::decode(&reply.header) {
            Some(Answer::Holders) => wire::decode(&list).unwrap_or_default(),
            _ => Vec::new(),
        };
        let is_sound = |held: &Held<'_>| name::check_peer(held.peer).is_ok() && held.edition.check().is_ok();
        let there = held.into_iter().filter(is_sound).map(|held| HeldThere {
            address: Address {
                node: other.clone(),
                peer: held.peer.into(),
                full: format!("{}@{}", held.peer, other.name).into(),
                counters: Arc::clone(&counters),
            },
            edition: asking.origins.edition(&held.edition),
            size: held.size,
        });
        then(there.collect());
    });
}

/// What all nodes have said so far.
struct Gathered {
    wait: Arc<Wait<()>>,
    unheard: AtomicUsize,
    holders: Mutex<Vec<Holder>>,
}

/// Who holds a resource elsewhere, as far as the nodes say so in time.
pub(super) fn holders(node: &Arc<Node>, name: &str) -> Result<Vec<Holder>> {
    let nodes = node.presence.nodes();
    if nodes.is_empty() {
        return Ok(Vec::new());
    }
    let wait = Arc::new(Wait::new());
    let gathered = Arc::new(Gathered {
        wait: Arc::clone(&wait),
        unheard: AtomicUsize::new(nodes.len()),
        holders: Mutex::new(Vec::new()),
    });
    for (other, counters) in nodes {
        let gathered = Arc::clone(&gathered);
        ask_holders(node, &other, counters, name, HOLDERS_TIMEOUT, move |held| {
            let of = |held: HeldThere| Holder {
                peer: held.address.full.to_string(),
                origin: held.edition.origin().to_string(),
                version: held.edition.version(),
                size: held.size,
            };
            gathered.holders.lock().extend(held.into_iter().map(of));
            if gathered.unheard.fetch_sub(1, Ordering::AcqRel) == 1 {
                gathered.wait.end(Cause::Answered, Ok(()));
            }
        });
    }
    match block(None, &wait, |wait| wait, Deadline::after(HOLDERS_TIMEOUT), &mut After::new()) {
        Ok(()) | Err(Error::TimedOut) => {}
        Err(error) => return Err(error),
    }
    let mut holders = std::mem::take(&mut *gathered.holders.lock());
    holders.sort_by(|a, b| a.peer.cmp(&b.peer));
    Ok(holders)
}
