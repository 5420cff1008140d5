//! Operations on shelves: request, fetch, offer, exchange, and how a thread waits inside them.
//!
//! # The way of an operation of peer C on peer T (the numbers are those of the turn protocol's rules)
//!
//! 1. `carry` is the short way, without an allocation: if C has nothing unfinished told to T, and T has no handler that must
//!    be asked, the calling thread does it: a read at once, a change under T's turn if that is free. A handler of T itself
//!    has T's turn already (rule 5), and where there is no handler there is nothing that a turn would keep apart. A call by T's name goes
//!    a shorter way first, `call_at_once`: C's shelf is locked before T is looked up, since it knows whom C calls again and again
//!    (`near.rs`), and where no turn is needed either, T's shelf is locked beside it, if that keeps to the order or is free.
//! 2. Otherwise the operation becomes an [`Operation`], and `place` leaves it where it has to wait, one place after the
//!    other: (a) on T's desk until C's tells to T are finished; then (b) on T's desk for T's thread, if handlers must be asked,
//!    or in the line of T's turn, if it changes T's shelf. Whoever finishes a tell, frees a turn or runs the handlers
//!    moves it on (rule 6); the thread that called parks.
//! 3. `step` is the one step in which shelves change: under both locks, where closed is checked too, with one claim
//!    against giving up.
//! 4. `conclude` ends it, or lets a fetch go on to the next holder.
//!
//! Who moves calls on never waits and never nests: what comes up meanwhile goes into the [`After`] of the outermost call,
//! which works it off before it parks or returns. There the replaced resources are released, too, under no lock and no
//! turn taken for an operation, since their destructors are user code (rule 8).

use std::collections::VecDeque;
use std::mem::ManuallyDrop;

use bytes::Bytes;

use crate::calling::Call;
use crate::core::{
    Begun, Form, Operation, PeerCore, Route, Side, Stage, SystemCore, Underway, Verb, has_turn, in_call, lock_both,
    lock_second, running, runs, set_has_turn,
};
use crate::deadline::Deadline;
use crate::desk::{Note, Waits};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::feed::{FeedGuard, Heard};
use crate::key::Key;
use crate::name;
use crate::random;
use crate::resource::Resource;
use crate::shelf::Shelf;
use crate::start;
use crate::sync::{Arc, Mutex, MutexGuard};
use crate::turn::{Cause, Entered, Wait};
use crate::unwind::drop_user_data;
use crate::waits::{Interrupt, Why};

/// What is left to do at the end of the outermost call.
#[derive(Default)]
pub(crate) struct After {
    /// What most calls have nothing of.
    rare: ManuallyDrop<Option<Box<Rare>>>,
    /// What was replaced on shelves; an operation replaces at most two, which need no allocation.
    replaced: ManuallyDrop<[Option<Resource>; 2]>,
}

#[derive(Default)]
struct Rare {
    /// Readers to be woken.
    heard: Heard,
    /// Calls that may go on.
    place: VecDeque<Arc<Operation>>,
    dying: Vec<Dying>,
}

/// What may be the last reference to something of a user's.
enum Dying {
    Resource(Resource),
    /// A call that has ended; it holds what it offered or sent.
    Call(Arc<dyn Interrupt>),
    /// Of a message that nobody will handle.
    Body(Bytes),
}

impl After {
    pub(crate) fn new() -> After {
        After::default()
    }

    #[cold]
    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Readers to be woken.
    pub(crate) fn heard(&mut self) -> &mut Heard {
        &mut self.rare().heard
    }

    fn hear(&mut self, heard: Heard) {
        if !heard.is_empty() {
            self.heard().join(heard);
        }
    }

    /// Lets calls go on whose own tells are finished.
    pub(crate) fn go_on(&mut self, calls: Vec<Arc<Operation>>) {
        for call in calls {
            // The handler that it waited for has returned.
            call.wait.unlink();
            call.route.lock().is_in_order = true;
            self.place_later(call);
        }
    }

    fn place_later(&mut self, call: Arc<Operation>) {
        self.rare().place.push_back(call);
    }

    pub(crate) fn release_call(&mut self, call: Arc<dyn Interrupt>) {
        self.rare().dying.push(Dying::Call(call));
    }

    pub(crate) fn release_body(&mut self, body: Bytes) {
        self.rare().dying.push(Dying::Body(body));
    }

    #[inline(always)]
    fn release(&mut self, resource: Resource) {
        match self.replaced.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(resource),
            None => self.rare().dying.push(Dying::Resource(resource)),
        }
    }

    /// Nothing is left to do.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rare.as_ref().is_none_or(|rare| rare.is_empty()) && self.replaced.iter().all(Option::is_none)
    }

    /// Works off the list; under no lock. What it replaces is released with `self`.
    #[inline(always)]
    pub(crate) fn settle(&mut self) {
        if self.rare.is_some() {
            self.work_off();
        }
    }

    #[cold]
    fn work_off(&mut self) {
        while let Some(rare) = &mut *self.rare {
            rare.heard.wake();
            match rare.place.pop_front() {
                Some(operation) => place(operation, self),
                None => return,
            }
        }
    }
}

/// Ends the list: who is on it is served before what was replaced is released, whose destructors are user code. It takes all out, so that nothing is looked at
/// once more.
impl Drop for After {
    #[cfg_attr(not(feature = "c-library"), inline)]
    fn drop(&mut self) {
        self.settle();
        for replaced in &mut *self.replaced {
            if let Some(replaced) = replaced.take() {
                replaced.release();
            }
        }
        if let Some(rare) = self.rare.take() {
            rare.release();
        }
    }
}

impl Rare {
    fn is_empty(&self) -> bool {
        self.heard.is_empty() && self.place.is_empty() && self.dying.is_empty()
    }

    #[cold]
    fn release(self) {
        for dying in self.dying {
            match dying {
                Dying::Resource(resource) => resource.release(),
                Dying::Call(call) => drop_user_data(call),
                Dying::Body(body) => drop_user_data(body),
            }
        }
    }
}

/// Blocks the thread in the wait of `call`, which has been registered where somebody will end it.
///
/// On a peer's own thread the turn is given up meanwhile and taken back before this returns; the close of that peer ends
/// the wait with Closed, as does the close of `caller`, the peer that the call acts as.
pub(crate) fn block<C, T>(
    caller: Option<&PeerCore>,
    call: &Arc<C>,
    wait: fn(&C) -> &Wait<T>,
    deadline: Deadline,
    after: &mut After,
) -> Result<T>
where
    C: Interrupt + 'static,
{
    let own = running();
    let on_thread = own.as_deref().filter(|own| !caller.is_some_and(|caller| caller.is(own)));
    let listed = [caller, on_thread].map(|peer| peer.and_then(|peer| list(peer, call, after)));
    let held = own.as_ref().filter(|own| has_turn(own));
    if let Some(own) = held {
        free_turn(own, after);
    }
    after.settle();
    let mut unsent = None;
    let give_up = || unsent = Some(call.give_up(Why::Late));
    let result = wait(call).block(deadline, give_up, || match &own {
        Some(own) => {
            let went_on = own.turn.go_on(&mut |operation| perform(operation, own, after));
            after.settle();
            went_on
        }
        None => false,
    });
    if let Some(own) = held {
        take_turn(own, after);
        after.settle();
    }
    for (peer, number) in listed.into_iter().flatten() {
        peer.waits.remove(number);
    }
    if let Some(unsent) = unsent {
        after.release_body(unsent);
    }
    result
}

/// Lists a call with those that the close of this peer ends; or ends it, if the peer has closed.
fn list<'a, C: Interrupt + 'static>(
    peer: &'a PeerCore,
    call: &Arc<C>,
    after: &mut After,
) -> Option<(&'a PeerCore, usize)> {
    let number = peer.waits.add(Arc::<C>::clone(call));
    if number.is_none() {
        after.release_body(call.give_up(Why::Closed(&peer.name)));
    }
    number.map(|number| (peer, number))
}

/// By the peer's own thread: takes its turn, waiting for it; does what falls to it meanwhile.
pub(crate) fn take_turn(own: &Arc<PeerCore>, after: &mut After) {
    own.turn.take(&mut |operation| perform(operation, own, after));
    set_has_turn(true);
}

/// By the peer's own thread: frees its turn and does what callers left in line.
pub(crate) fn free_turn(own: &Arc<PeerCore>, after: &mut After) {
    set_has_turn(false);
    own.turn.free(&mut |operation| perform(operation, own, after));
}

/// Gets what `from` holds under `name` now, and puts it on the caller's shelf in the same step.
#[inline(always)]
pub(crate) fn request(caller: &Arc<PeerCore>, from: &str, name: &str, form: Form) -> Result<Begun> {
    call_one(caller, &Verb::Request, from, Call::Request { from, name }, name, form)
}

/// The same, or nothing if `from` holds `than` itself, or an older version of the same origin.
pub(crate) fn request_newer(
    caller: &Arc<PeerCore>,
    from: &str,
    name: &str,
    than: &Resource,
    form: Form,
) -> Result<Begun> {
    caller.check_acting()?;
    check_named("than", than, name)?;
    call_one(caller, &Verb::RequestNewer(than.edition()), from, Call::RequestNewer { from, name, than }, name, form)
}

/// Gets `name` from any other peer that holds it, from the next if that one cannot give it.
pub(crate) fn fetch(caller: &Arc<PeerCore>, name: &str, form: Form) -> Result<Begun> {
    caller.check_acting()?;
    let key = Key::new(name);
    let Some(first) = caller.system.registry.pick_holder(key, caller.id) else {
        return fetch_elsewhere(caller, name, form, None);
    };
    let mut after = After::new();
    let mut last = match carry_at_once(caller, &first, &Verb::Fetch, key, form, &mut after) {
        Some(Err(error)) if moves_on(&error) => Some(error),
        Some(result) => return result.map(Begun::Done),
        // It has to wait for that one.
        None => None,
    };

    // The others, in random order; taken from the end. The first comes first if it still has to be waited for.
    let mut others = caller.system.registry.holders(Key::new(name));
    others.retain(|holder| !holder.is(caller) && !holder.is(&first));
    for i in (1..others.len()).rev() {
        others.swap(i, random::below(i + 1));
    }
    if last.is_none() {
        others.push(Arc::clone(&first));
    }
    if form.deadline().is_now() {
        let mut must_wait = false;
        while let Some(holder) = others.pop() {
            match carry_at_once(caller, &holder, &Verb::Fetch, key, form, &mut after) {
                Some(Err(error)) if moves_on(&error) => last = Some(error),
                Some(result) => return result.map(Begun::Done),
                None => must_wait = true,
            }
        }
        return if must_wait { Err(Error::TimedOut) } else { fetch_elsewhere(caller, name, form, last) };
    }
    match (others.pop(), last) {
        (Some(next), _) => {
            let route = Route { target: next, is_in_order: false, others };
            set_out(caller, route, Verb::Fetch, name, form, &mut after)
        }
        (None, last) => fetch_elsewhere(caller, name, form, last),
    }
}

/// When nobody here can give it: `last` is the error of the last who holds it.
#[cold]
fn fetch_elsewhere(caller: &Arc<PeerCore>, name: &str, form: Form, last: Option<Error>) -> Result<Begun> {
    name::check_resource(name)?;
    let error = last.unwrap_or_else(|| Error::NoSuchResource { name: name.to_owned(), peer: None });
    match caller.system.elsewhere() {
        Some(elsewhere) => elsewhere.fetch(caller, name, form, error),
        None => Err(error),
    }
}

/// Puts a copy of what the caller holds on `to`'s shelf.
pub(crate) fn offer(caller: &Arc<PeerCore>, to: &str, name: &str, form: Form) -> Result<Begun> {
    call_one(caller, &Verb::Offer(None), to, Call::Offer { to, name }, name, form)
}

/// Swaps what both hold under `name`.
pub(crate) fn exchange(caller: &Arc<PeerCore>, with: &str, name: &str, form: Form) -> Result<Begun> {
    call_one(caller, &Verb::Exchange(None), with, Call::Exchange { with, name }, name, form)
}

/// A call with one peer, which `whom` names.
#[cfg_attr(not(feature = "c-library"), inline(always))]
fn call_one(caller: &Arc<PeerCore>, verb: &Verb, whom: &str, call: Call<'_>, name: &str, form: Form) -> Result<Begun> {
    caller.check_acting()?;
    let mut after = After::new();
    let name = Key::new(name);
    match call_at_once(caller, verb, whom, name, &mut after) {
        AtOnce::Done(given) => Ok(Begun::Done(given)),
        AtOnce::Failed(error) => Err(error),
        AtOnce::Not(target) if target.is(caller) => call_oneself(caller, verb, name),
        AtOnce::Not(target) => carry(caller, &target, verb.clone(), name, form),
        AtOnce::Nobody(error) => elsewhere(caller, call, form, error),
    }
}

/// A call of a peer with itself moves nothing.
fn call_oneself(peer: &PeerCore, verb: &Verb, name: Key<'_>) -> Result<Begun> {
    let held = get_by(peer, name)?;
    Ok(Begun::Done(match verb {
        Verb::Offer(_) => None,
        Verb::RequestNewer(than) => Some(held).filter(|held| held.is_newer_than(than)),
        _ => Some(held),
    }))
}

enum AtOnce {
    Done(Option<Resource>),
    Failed(Error),
    /// It may have to wait.
    Not(Arc<PeerCore>),
    /// Nobody here has the name.
    Nobody(Error),
}

/// Looks a peer up and, if nothing but the two shelves is needed, makes the call. The caller's shelf is locked first: it knows whom he calls again and
/// again.
#[inline(always)]
fn call_at_once(caller: &Arc<PeerCore>, verb: &Verb, whom: &str, name: Key<'_>, after: &mut After) -> AtOnce {
    // Dropped after the locks.
    let mut gone = None;
    let found;
    let mut side = caller.side.lock();
    let Side { shelf: mine, near } = &mut *side;
    let target = match near.get(whom) {
        Some(near) => near,
        None => {
            found = match caller.system.find(whom) {
                Ok(found) => found,
                Err(error) => return AtOnce::Nobody(error),
            };
            if found.is(caller) {
                return AtOnce::Not(found);
            }
            // After the beginning of its end a peer keeps nobody.
            if !mine.is_closed() {
                near.note(&found, &mut gone);
            }
            &found
        }
    };
    let must_wait =
        verb.needs(target.hears) || verb.needs_turn(target.hears) || caller.told.unfinished(target).is_some();
    'at_once: {
        if must_wait {
            break 'at_once;
        }
        let Some(mut theirs) = lock_second(caller, target) else { break 'at_once };
        if theirs.shelf.is_closed() {
            break 'at_once;
        }
        return match step(caller, target, verb, name, None, mine, &mut theirs.shelf, after).of_unseen() {
            Ok(given) => AtOnce::Done(given),
            Err(error) => {
                drop(theirs);
                drop(side);
                AtOnce::Failed(bad_name_or(*error, name))
            }
        };
    }
    if target.life.stage() == Stage::Open {
        return AtOnce::Not(Arc::clone(target));
    }
    // Another may have the name already.
    let before = near.forget();
    drop(side);
    drop(before);
    match caller.system.find(whom) {
        Ok(found) => AtOnce::Not(found),
        Err(error) => AtOnce::Nobody(error),
    }
}

/// A call with a peer that is not here, for which there is an error: carried out elsewhere, if there is such a place.
#[cold]
pub(crate) fn elsewhere(caller: &Arc<PeerCore>, call: Call<'_>, form: Form, error: Error) -> Result<Begun> {
    match (caller.system.elsewhere(), error) {
        (Some(elsewhere), Error::NoSuchPeer { .. }) => elsewhere.call(caller, call, form),
        (_, error) => Err(error),
    }
}

/// Who holds a resource here, and what, in the order of spawning.
pub(crate) fn held(system: &SystemCore, name: &str) -> Vec<(Arc<PeerCore>, Resource)> {
    let key = Key::new(name);
    let held = |peer: Arc<PeerCore>| {
        let held = peer.side.lock().shelf.get(key).cloned()?;
        Some((peer, held))
    };
    system.registry.holders(key).into_iter().filter_map(held).collect()
}

/// What the peer itself holds.
pub(crate) fn get(peer: &PeerCore, name: &str) -> Result<Resource> {
    get_by(peer, Key::new(name))
}

fn get_by(peer: &PeerCore, name: Key<'_>) -> Result<Resource> {
    let side = peer.side.lock();
    match side.shelf.get(name) {
        Some(held) => Ok(held.clone()),
        None => Err(not_held(peer, name.text, side)),
    }
}

/// Why a peer does not hold something itself; what it held is gone with its end.
#[cold]
fn not_held(peer: &PeerCore, name: &str, side: MutexGuard<'_, Side>) -> Error {
    let is_closed = side.shelf.is_closed();
    drop(side);
    match name::check_resource(name) {
        Err(error) => error,
        Ok(()) if is_closed && !runs(peer) => peer.closed(),
        Ok(()) => peer.no_such_resource(name),
    }
}

impl Begun {
    /// The result of a call that was not started, but waited for.
    #[inline(always)]
    pub(crate) fn done(self) -> Result<Option<Resource>> {
        match self {
            Begun::Done(result) => Ok(result),
            Begun::Underway(_) => Err(impossible("a call was left under way")),
        }
    }

    /// The same of a call that gives a resource.
    #[inline(always)]
    pub(crate) fn resource(self) -> Result<Resource> {
        match self {
            Begun::Done(Some(resource)) => Ok(resource),
            Begun::Done(None) => Err(impossible("a call gave no resource")),
            Begun::Underway(_) => Err(impossible("a call was left under way")),
        }
    }
}

#[cold]
fn impossible(what: &str) -> Error {
    Error::Internal(what.to_owned())
}

/// Carries an operation out, waiting for what it must.
pub(crate) fn carry(
    caller: &Arc<PeerCore>,
    target: &Arc<PeerCore>,
    verb: Verb,
    name: Key<'_>,
    form: Form,
) -> Result<Begun> {
    let mut after = After::new();
    if let Some(result) = carry_at_once(caller, target, &verb, name, form, &mut after) {
        return result.map(Begun::Done);
    }
    let verb = match verb {
        Verb::Offer(None) => Verb::Offer(Some(get_by(caller, name)?)),
        // Who has nothing to give asks nobody.
        Verb::Exchange(None) => get_by(caller, name).map(|_| Verb::Exchange(None))?,
        verb => verb,
    };
    if verb.needs(target.hears) {
        // The name goes to user code: a bad one must not.
        name::check_resource(name.text)?;
    }
    if form.deadline().is_now() {
        return Err(if target.life.stage() == Stage::Open { Error::TimedOut } else { target.peer_closed() });
    }
    let route = Route { target: Arc::clone(target), is_in_order: false, others: Vec::new() };
    set_out(caller, route, verb, name.text, form, &mut after)
}

/// Does what needs no waiting: `None` if it has to wait.
#[inline(always)]
fn carry_at_once(
    caller: &Arc<PeerCore>,
    target: &Arc<PeerCore>,
    verb: &Verb,
    name: Key<'_>,
    form: Form,
    after: &mut After,
) -> Option<Result<Option<Resource>>> {
    let must_wait = verb.needs(target.hears) || caller.told.unfinished(target).is_some();
    if !must_wait && !verb.needs_turn(target.hears) {
        return commit_unseen(caller, target, verb, name, after);
    }
    // On the target's own thread, to wait for another of its handlers would be a ring of one, whatever the deadline; in its
    // handler, the turn that an operation needs is there already.
    if must_wait && form.is_blocking() && runs(target) {
        return Some(Err(target.deadlock()));
    }
    if !must_wait && has_turn(target) {
        return commit_unseen(caller, target, verb, name, after);
    }
    if must_wait {
        return None;
    }
    if verb.leaves(target.hears)
        && let Err(error) = start::ensure(target)
    {
        return Some(Err(error));
    }
    if !target.turn.try_take() {
        return None;
    }
    let result = commit_unseen(caller, target, verb, name, after);
    free_taken(target, after);
    result
}

/// Frees a turn that was taken for an operation.
fn free_taken(target: &Arc<PeerCore>, after: &mut After) {
    target.turn.free(&mut |operation| perform(operation, target, after));
    // Handed on to a thread that is not there, and cannot be made: then nobody else would go on with it.
    while target.turn.is_handed() && !start::wake(target) {
        target.turn.go_on(&mut |operation| perform(operation, target, after));
    }
}

/// Commits what no handler has seen and nobody can give up: one function for all, whose result fits into registers.
fn commit_all(caller: &Arc<PeerCore>, target: &Arc<PeerCore>, verb: &Verb, name: Key<'_>, after: &mut After) -> Step {
    commit(caller, target, verb, name, None, after)
}

/// The same as the result of a call.
#[inline(always)]
fn commit_unseen(
    caller: &Arc<PeerCore>,
    target: &Arc<PeerCore>,
    verb: &Verb,
    name: Key<'_>,
    after: &mut After,
) -> Option<Result<Option<Resource>>> {
    Some(commit_all(caller, target, verb, name, after).of_unseen().map_err(|error| *error))
}

/// A request for who makes thousands of them: `None` if it has to wait.
#[inline(always)]
pub(crate) fn request_at_once(
    caller: &Arc<PeerCore>,
    target: &Arc<PeerCore>,
    name: Key<'_>,
) -> Option<Result<Resource, Box<Error>>> {
    if Verb::Request.needs(target.hears) || caller.told.unfinished(target).is_some() {
        return None;
    }
    commit_all(caller, target, &Verb::Request, name, &mut After::new()).of_unseen().transpose()
}

/// Places an operation that has to wait; unless it is started only, waits for its end.
fn set_out(
    caller: &Arc<PeerCore>,
    route: Route,
    verb: Verb,
    name: &str,
    form: Form,
    after: &mut After,
) -> Result<Begun> {
    let wait = form.wait(&caller.system)?;
    let operation =
        Arc::new(Operation { wait, caller: Arc::clone(caller), verb, name: name.into(), route: Mutex::new(route) });
    place(Arc::clone(&operation), after);
    wait_out(caller, operation, form, after)
}

/// Waits for a call that has been sent out, unless it is started only.
pub(crate) fn wait_out<C: Underway + 'static>(
    caller: &PeerCore,
    call: Arc<C>,
    form: Form,
    after: &mut After,
) -> Result<Begun> {
    if !form.is_blocking() {
        return Ok(Begun::Underway(call));
    }
    let result = {
        let waiting = Arc::clone(&call);
        let _in_call = in_call(call.verb(), Some(call.what()), move || Some(waiting.whom()));
        block(Some(caller), &call, |call| call.wait(), form.deadline(), after)
    };
    after.settle();
    drop_user_data(call);
    result.map(Begun::Done)
}

/// Leaves an operation at the next place where it has to wait, or does it.
fn place(operation: Arc<Operation>, after: &mut After) {
    place_at(&operation, after);
    // It may have ended meanwhile: this may be the last reference to what it offered.
    after.release_call(operation);
}

fn place_at(operation: &Arc<Operation>, after: &mut After) {
    let (target, is_in_order) = {
        let route = operation.route.lock();
        (Arc::clone(&route.target), route.is_in_order)
    };
    let unfinished = if is_in_order { None } else { operation.caller.told.unfinished(&target) };
    if let Some(number) = unfinished {
        let is_handled = || target.mailbox.has_handled_now(number);
        match target.desk.await_handled(number, Arc::clone(operation), is_handled) {
            Waits::Yes => {
                // A close of the target may have moved a fetch on meanwhile: what is linked then is the next holder's wait.
                let has_moved_on = || !operation.route.lock().target.is(&target);
                let link =
                    operation.wait.link(&target.place(), || target.mailbox.handled() >= number || has_moved_on());
                // Not there any more: the tells are finished, and whoever found that moves it on.
                if let Err(ring) = link
                    && target.desk.remove(|other| Arc::ptr_eq(other, operation))
                {
                    return conclude(operation, &target, Err(ring), after);
                }
                return leave_if_ended(operation);
            }
            Waits::Closed(_) => return conclude(operation, &target, Err(target.peer_closed()), after),
            Waits::Over(_) => {}
        }
    }
    if (operation.verb.needs(target.hears) || operation.verb.leaves(target.hears))
        && let Err(error) = start::ensure(&target)
    {
        return conclude(operation, &target, Err(error), after);
    }
    if operation.verb.needs(target.hears) {
        if let Err(ring) = operation.wait.link(&target.place(), || false) {
            return conclude(operation, &target, Err(ring), after);
        }
        return match target.desk.post(target.mailbox.newest(), Arc::clone(operation)) {
            Waits::Closed(_) => conclude(operation, &target, Err(target.peer_closed()), after),
            _ => {
                target.mailbox.bell().ring();
                leave_if_ended(operation);
            }
        };
    }
    if !operation.verb.needs_turn(target.hears) {
        return perform(Arc::clone(operation), &target, after);
    }
    match target.turn.enter(Arc::clone(operation)) {
        Entered::Taken(operation) => {
            perform(operation, &target, after);
            free_taken(&target, after);
        }
        Entered::InLine => leave_if_ended(operation),
        Entered::Closed(_) => conclude(operation, &target, Err(target.peer_closed()), after),
    }
}

/// Whoever gave it up may have looked for it before it was placed.
fn leave_if_ended(operation: &Operation) {
    if !operation.wait.is_open() {
        operation.leave();
    }
}

/// Does an operation that needs no handler; a change, with the target's turn held.
pub(crate) fn perform(operation: Arc<Operation>, target: &Arc<PeerCore>, after: &mut After) {
    commit_seen(&operation, target, &Seen::default(), after);
    after.release_call(operation);
}

/// Commits an operation that somebody waits for, and ends it; false if its handlers must be asked again.
pub(crate) fn commit_seen(operation: &Arc<Operation>, target: &Arc<PeerCore>, seen: &Seen, after: &mut After) -> bool {
    let (name, placed) = (Key::new(&operation.name), Some((&**operation, seen)));
    match commit(&operation.caller, target, &operation.verb, name, placed, after) {
        Step::Changed => return false,
        Step::GivenUp => {}
        Step::Done(given) => operation.wait.finish(Ok(given)),
        // Before the claim.
        Step::Failed(error) => conclude(operation, target, Err(*error), after),
    }
    true
}

/// Ends an operation after what happened at `target`, or lets a fetch go on to its next holder. Does nothing if it has gone on.
pub(crate) fn conclude(
    operation: &Arc<Operation>,
    target: &PeerCore,
    result: Result<Option<Resource>>,
    after: &mut After,
) {
    if let (Verb::Fetch, Err(error)) = (&operation.verb, &result)
        && moves_on(error)
    {
        let mut route = operation.route.lock();
        if !route.target.is(target) {
            return;
        }
        if operation.wait.is_open()
            && let Some(next) = route.others.pop()
        {
            route.target = next;
            route.is_in_order = false;
            drop(route);
            operation.wait.unlink();
            after.place_later(Arc::clone(operation));
            return;
        }
        if let Some(elsewhere) = operation.caller.system.elsewhere()
            && operation.wait.is_open()
        {
            // It waits for nobody here any more.
            route.target = Arc::clone(&operation.caller);
            drop(route);
            operation.wait.unlink();
            return elsewhere.fetch_on(operation, error.clone());
        }
    }
    let cause = match result {
        Err(Error::PeerClosed { .. }) => Cause::PeerClosed,
        _ => Cause::Answered,
    };
    operation.wait.end(cause, result);
}

/// Whether a fetch goes on to the next holder after this.
pub(crate) fn moves_on(error: &Error) -> bool {
    matches!(
        error,
        Error::PeerClosed { .. }
            | Error::NoSuchResource { .. }
            | Error::Refused { .. }
            | Error::HandlerFailed { .. }
            | Error::Deadlock { .. }
            | Error::LimitReached(_)
    )
}

/// What the handlers that agreed to an exchange have seen, where there are such handlers.
#[derive(Default)]
pub(crate) struct Seen {
    /// What the target held when its on_request agreed.
    pub(crate) theirs: Option<Resource>,
    /// What the caller held when the target's on_offer agreed.
    pub(crate) mine: Option<Resource>,
}

impl Seen {
    pub(crate) fn release(self) {
        if let Some(theirs) = self.theirs {
            theirs.release();
        }
        if let Some(mine) = self.mine {
            mine.release();
        }
    }
}

/// What became of the step. It fits into two registers.
enum Step {
    Done(Option<Resource>),
    Failed(Box<Error>),
    /// Somebody else has ended it: nothing has changed.
    GivenUp,
    /// A shelf is not as the handlers saw it: nothing has changed.
    Changed,
}

impl Step {
    /// The result of what no handler has seen and nobody can give up.
    #[inline(always)]
    fn of_unseen(self) -> Result<Option<Resource>, Box<Error>> {
        match self {
            Step::Done(given) => Ok(given),
            Step::Failed(error) => Err(error),
            Step::GivenUp | Step::Changed => unreachable!("nobody gives it up, no handler has seen anything"),
        }
    }
}

/// An operation that somebody may give up, and what its handlers have seen.
type Placed<'a> = (&'a Operation, &'a Seen);

/// The one step in which an operation takes effect.
#[cfg_attr(not(feature = "c-library"), inline(always))]
fn commit(
    caller: &Arc<PeerCore>,
    target: &Arc<PeerCore>,
    verb: &Verb,
    name: Key<'_>,
    placed: Option<Placed<'_>>,
    after: &mut After,
) -> Step {
    let (mut mine, mut theirs) = lock_both(caller, target);
    let step = step(caller, target, verb, name, placed, &mut mine.shelf, &mut theirs.shelf, after);
    drop((mine, theirs));
    match step {
        Step::Done(given) => {
            if verb.leaves(target.hears) {
                target.mailbox.bell().ring();
            }
            Step::Done(given)
        }
        Step::Failed(error) => Step::Failed(Box::new(bad_name_or(*error, name))),
        step => step,
    }
}

/// The same under both locks. The claim against giving up comes once all is known to be well, right before it.
#[expect(clippy::too_many_arguments, reason = "who, with whom, what, and both shelves")]
#[cfg_attr(not(feature = "c-library"), inline(always))]
fn step(
    caller: &Arc<PeerCore>,
    target: &Arc<PeerCore>,
    verb: &Verb,
    name: Key<'_>,
    placed: Option<Placed<'_>>,
    mine: &mut Shelf,
    theirs: &mut Shelf,
    after: &mut After,
) -> Step {
    let found = match check(caller, target, verb, name, mine, theirs) {
        Ok(found) => found,
        Err(error) => return Step::Failed(error),
    };
    if let Some((operation, seen)) = placed {
        let has_changed = |seen: &Option<Resource>, now: &Option<Resource>| match (seen, now) {
            (Some(seen), Some(now)) => !seen.is(now),
            _ => false,
        };
        if has_changed(&seen.theirs, &found.theirs) || has_changed(&seen.mine, &found.mine) {
            return Step::Changed;
        }
        if operation.wait.claim(Cause::Answered).is_none() {
            return Step::GivenUp;
        }
    }
    // With readers, the events are put in before the locks are free: their order is that of the changes.
    let mut feed = caller.system.feed.is_read().then(|| caller.system.feed.lock());
    if let Some(given) = &found.theirs {
        if let Some(feed) = &mut feed {
            emit_requested(feed, target, caller, given, after);
            if !caller.is_guest() {
                emit_received(feed, caller, &target.name, given, after);
            }
        }
        if !caller.is_guest() {
            put(caller, mine, name, given.clone(), after);
        }
        theirs.traffic.requested += 1;
        mine.traffic.received += 1;
    }
    if let Some(given) = found.mine {
        if let Some(feed) = &mut feed {
            emit_received(feed, target, &caller.name, &given, after);
        }
        if target.hears.receipts {
            target.desk.note(Note { from: Arc::clone(&caller.name), resource: given.clone() });
        }
        put(target, theirs, name, given, after);
        theirs.traffic.received += 1;
    }
    Step::Done(found.theirs)
}

/// A bad name is held by nobody: it is told apart only after that.
#[cold]
fn bad_name_or(error: Error, name: Key<'_>) -> Error {
    let bad_name = matches!(error, Error::NoSuchResource { .. }).then(|| name::check_resource(name.text).err());
    bad_name.flatten().unwrap_or(error)
}

/// What an operation moves.
struct Found {
    /// From the target to the caller.
    theirs: Option<Resource>,
    /// From the caller to the target.
    mine: Option<Resource>,
}

/// Whether the operation can be done, under both locks.
#[inline(always)]
fn check(
    caller: &PeerCore,
    target: &PeerCore,
    verb: &Verb,
    name: Key<'_>,
    mine: &Shelf,
    theirs: &Shelf,
) -> Result<Found, Box<Error>> {
    if mine.is_closed() && !(matches!(verb, Verb::Offer(_)) && runs(caller)) {
        // A closing peer takes nothing any more; its own last handlers may still give.
        return Err(Box::new(caller.closed()));
    }
    if theirs.is_closed() {
        return Err(Box::new(target.peer_closed()));
    }
    let mut found = Found { theirs: None, mine: None };
    if !matches!(verb, Verb::Offer(_)) {
        found.theirs = Some(given(theirs, target, name)?);
    }
    match verb {
        Verb::Request | Verb::Fetch => {}
        // What is not newer is not moved, and nothing else happens.
        Verb::RequestNewer(than) => found.theirs = found.theirs.filter(|held| held.is_newer_than(than)),
        Verb::Offer(None) | Verb::Exchange(None) => found.mine = Some(given(mine, caller, name)?),
        Verb::Offer(Some(offered)) => found.mine = Some(offered.clone()),
        Verb::Exchange(Some((offered, room))) => {
            let size = found.theirs.as_ref().map_or(0, Resource::len);
            // Nobody but a mesh makes such a call.
            if cfg!(feature = "mesh") && size as u64 > *room {
                return Err(Box::new(no_room_there(caller, *room, size)));
            }
            found.mine = Some(offered.clone());
        }
    }
    if let Some(given) = &found.theirs {
        mine.has_room(name, given, &caller.name)?;
    }
    if let Some(given) = &found.mine {
        theirs.has_room(name, given, &target.name)?;
    }
    Ok(found)
}

#[cfg_attr(not(feature = "c-library"), inline(always))]
fn given(shelf: &Shelf, peer: &PeerCore, name: Key<'_>) -> Result<Resource, Box<Error>> {
    match shelf.get(name) {
        Some(held) => Ok(held.clone()),
        None => Err(Box::new(peer.no_such_resource(name.text))),
    }
}

#[cold]
fn no_room_there(caller: &PeerCore, limit: u64, size: usize) -> Error {
    Error::TooLarge { what: format!("the shelf of {:?}", caller.name), limit, size: size as u64 }
}

/// Puts a resource on a shelf whose lock is held; what it replaces is released after the outermost call.
#[inline(always)]
fn put(peer: &Arc<PeerCore>, shelf: &mut Shelf, name: Key<'_>, resource: Resource, after: &mut After) {
    match shelf.put(name, resource) {
        Some(replaced) => after.release(replaced),
        None => hold(peer, shelf, name),
    }
}

/// Says that a peer holds what was just put on its shelf.
#[cold]
fn hold(peer: &Arc<PeerCore>, shelf: &Shelf, name: Key<'_>) {
    if let Some(held) = shelf.get(name) {
        peer.system.registry.add_holder(name, held.shared_name(), peer.id, peer);
    }
}

/// How many bytes there is room for on the peer's shelf in place of this resource.
#[cfg(feature = "mesh")]
pub(crate) fn room(peer: &PeerCore, held: &Resource) -> u64 {
    let room = peer.side.lock().shelf.room(Key::new(held.shared_name()));
    room.min(peer.system.limits.resource_bytes_max)
}

/// Puts what has come from elsewhere on the caller's shelf, in one step with the claim against giving up: false if it was given up. With
/// `if_held` only if the caller still holds that very resource, and nobody is there any more who could give it up.
#[cfg(feature = "mesh")]
pub(crate) fn take_in(
    caller: &Arc<PeerCore>,
    from: &Arc<str>,
    resource: &Resource,
    if_held: Option<&Resource>,
    claim: impl FnOnce() -> bool,
    after: &mut After,
) -> Result<bool> {
    let name = resource.shared_name();
    let key = Key::new(name);
    let mut side = caller.side.lock();
    let shelf = &mut side.shelf;
    if shelf.is_closed() {
        return Err(caller.closed());
    }
    shelf.has_room(key, resource, &caller.name)?;
    if if_held.is_some_and(|held| !shelf.get(key).is_some_and(|now| now.is(held))) || !claim() {
        return Ok(false);
    }
    if caller.system.feed.is_read() {
        emit_received(&mut caller.system.feed.lock(), caller, from, resource, after);
    }
    put(caller, shelf, key, resource.clone(), after);
    shelf.traffic.received += 1;
    Ok(true)
}

#[inline(never)]
fn emit_requested(feed: &mut FeedGuard<'_>, peer: &PeerCore, by: &PeerCore, resource: &Resource, after: &mut After) {
    let mut heard = Heard::new();
    feed.emit(&mut heard, || Event::Requested {
        peer: Arc::clone(&peer.name),
        by: Arc::clone(&by.name),
        name: Arc::clone(resource.shared_name()),
        version: resource.version(),
        size: resource.len() as u64,
    });
    after.hear(heard);
}

#[inline(never)]
fn emit_received(feed: &mut FeedGuard<'_>, peer: &PeerCore, from: &Arc<str>, resource: &Resource, after: &mut After) {
    let mut heard = Heard::new();
    feed.emit(&mut heard, || Event::Received {
        peer: Arc::clone(&peer.name),
        from: Arc::clone(from),
        name: Arc::clone(resource.shared_name()),
        version: resource.version(),
        size: resource.len() as u64,
    });
    after.hear(heard);
}

/// Puts a new version of the peer's own on its shelf.
pub(crate) fn share(peer: &Arc<PeerCore>, name: &str, body: Bytes) -> Result<Resource> {
    share_where(peer, name, body, |_| Ok(()))
}

/// The same, only if exactly `expected` is held, or nothing.
pub(crate) fn share_if(peer: &Arc<PeerCore>, name: &str, body: Bytes, expected: Option<&Resource>) -> Result<Resource> {
    peer.check_acting()?;
    if let Some(expected) = expected {
        check_named("expected", expected, name)?;
    }
    share_where(peer, name, body, |held| {
        let is_expected = match (held, expected) {
            (Some(held), Some(expected)) => held.is_same(expected),
            (held, expected) => held.is_none() && expected.is_none(),
        };
        if is_expected { Ok(()) } else { Err(Error::VersionConflict { current: held.map_or(0, Resource::version) }) }
    })
}

/// Whether a resource that was given for comparison has the name that the call is about: another is never held under it.
fn check_named(what: &str, resource: &Resource, name: &str) -> Result<()> {
    if resource.name() == name {
        return Ok(());
    }
    name::check_resource(name)?;
    Err(Error::InvalidArgument(format!("{what} is a resource {:?}, and the call is about {name:?}", resource.name())))
}

/// Shares if `agrees` says so of what is held; it is asked under the lock of the shelf.
fn share_where(
    peer: &Arc<PeerCore>,
    name: &str,
    body: Bytes,
    agrees: impl FnOnce(Option<&Resource>) -> Result<()>,
) -> Result<Resource> {
    peer.check_acting()?;
    let (limit, size) = (peer.system.limits.resource_bytes_max, body.len() as u64);
    if size > limit {
        return Err(Error::TooLarge { what: "a resource".to_owned(), limit, size });
    }
    let mut after = After::new();
    let (made, result) = {
        let key = Key::new(name);
        let mut side = peer.side.lock();
        let shelf = &mut side.shelf;
        let name = match shelf.knows(key) {
            Some(name) => name,
            None => name::check_resource(name).map(|()| peer.system.registry.shared_name(key))?,
        };
        let agreed = agrees(shelf.get(key));
        let made = Resource::new(name, Arc::clone(&peer.name), shelf.next_version(key), body);
        let result = match agreed {
            _ if shelf.is_closed() => Err(peer.closed()),
            Ok(()) => shelf.has_room(key, &made, &peer.name),
            not_agreed => not_agreed,
        };
        if result.is_ok() {
            put(peer, shelf, key, made.clone(), &mut after);
        }
        (made, result)
    };
    // What does not fit is dropped only now, under no lock.
    result.map(|()| made)
}

/// Takes a resource off the peer's own shelf; copies that others hold stay.
pub(crate) fn unshare(peer: &Arc<PeerCore>, name: &str) -> Result<()> {
    peer.check_acting()?;
    let key = Key::new(name);
    let mut side = peer.side.lock();
    match side.shelf.take(key) {
        Some(taken) => {
            peer.system.registry.remove_holder(name, peer.id);
            drop(side);
            drop_user_data(taken);
            Ok(())
        }
        None => Err(not_held(peer, name, side)),
    }
}

#[cfg(all(test, not(any(shuttle, loom))))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::system::PeerSystem;

    #[test]
    fn peers_that_have_called_each_other_keep_each_other_only_until_they_close() {
        let kitchen = PeerSystem::open("kitchen").unwrap();
        let [ada, bob] = ["ada", "bob"].map(|name| kitchen.spawn(name).unwrap());
        ada.share("soup", "tomato").unwrap();
        let cores = ["ada", "bob"].map(|name| Arc::downgrade(&kitchen.core().find(name).unwrap()));
        for _ in 0..3 {
            bob.request("ada", "soup", Duration::ZERO).unwrap();
            ada.offer("bob", "soup", Duration::ZERO).unwrap();
        }
        let near =
            |core: usize| cores[core].upgrade().and_then(|core| core.side.lock().near.get("ada").map(Arc::downgrade));
        assert!(near(1).is_some_and(|near| near.ptr_eq(&cores[0])));
        for peer in [ada, bob] {
            peer.close(Duration::from_secs(10)).unwrap();
        }
        assert!(cores.iter().all(|core| core.strong_count() == 0));
    }

    /// As when a call has passed the check at its entry, and the peer ends before it goes on.
    #[test]
    fn what_a_peer_held_at_its_end_is_not_said_to_be_missing() {
        let kitchen = PeerSystem::open("kitchen").unwrap();
        let ada = kitchen.spawn("ada").unwrap();
        ada.share("soup", "tomato").unwrap();
        let core = kitchen.core().find("ada").unwrap();
        assert_eq!(get(&core, "bread").unwrap_err(), core.no_such_resource("bread"));
        ada.close(Duration::from_secs(10)).unwrap();
        assert_eq!(get(&core, "soup").unwrap_err(), Error::Closed { name: "ada".to_owned() });
        assert!(matches!(get(&core, "/"), Err(Error::InvalidName { .. })));
    }
}
