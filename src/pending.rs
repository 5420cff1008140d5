//! Calls that are started and waited for apart.

use std::fmt;
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::task::Poll;
use std::time::Duration;

use crate::call::{self, After, block};
use crate::calling::Call;
use crate::core::{Begun, Form, PeerCore, Underway, in_call, running};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::fork;
use crate::post;
#[cfg(unix)]
use crate::readiness;
use crate::resource::Resource;
use crate::sync::Arc;
use crate::timer::Key;
use crate::turn::{Cause, Wait};
use crate::unwind::drop_user_data;
use crate::waits::{Interrupt, Why};

/// A call that was started by [`Peer::start`](crate::Peer::start), made once whoever waits for it, and perhaps under way.
///
/// It may be used from any thread, and outlives its peer and its system. Dropping it gives the call up, if it is not done; until then it
/// keeps its result, and a resource that it offers.
#[must_use = "dropping it gives the call up"]
pub struct Pending(State);

enum State {
    Done(Option<Resource>),
    Underway(Started),
}

struct Started {
    call: Arc<dyn Underway>,
    caller: Arc<PeerCore>,
    deadline: Deadline,
    /// Where it is listed with what the close of its caller ends, and with what the timer gives up.
    in_waits: Option<usize>,
    in_timer: Option<Key>,
}

pub(crate) fn start(caller: &Arc<PeerCore>, call: Call<'_>, form: Form) -> Result<Pending> {
    let begun = match call {
        Call::Request { from, name } => call::request(caller, from, name, form),
        Call::RequestNewer { from, name, than } => call::request_newer(caller, from, name, than, form),
        Call::Fetch { name } => call::fetch(caller, name, form),
        Call::Offer { to, name } => call::offer(caller, to, name, form),
        Call::Exchange { with, name } => call::exchange(caller, with, name, form),
        Call::Tell { to, kind, body } => post::tell(caller, to, kind, body, form),
        Call::Ask { to, kind, body } => post::ask(caller, to, kind, body, form),
    }?;
    Ok(Pending(match begun {
        Begun::Done(result) => State::Done(result),
        Begun::Underway(call) => State::Underway(Started::new(caller, call, form.deadline())),
    }))
}

#[cfg(feature = "mesh")]
impl Pending {
    /// Of a call that is under way.
    pub(crate) fn of(caller: &Arc<PeerCore>, call: Arc<dyn Underway>, deadline: Deadline) -> Pending {
        Pending(State::Underway(Started::new(caller, call, deadline)))
    }

    /// Runs `then` once it is done; see [`Wait::when_done`].
    pub(crate) fn when_done(&self, then: impl FnOnce() + Send + 'static) -> Result<()> {
        match &self.0 {
            State::Done(_) => {
                then();
                Ok(())
            }
            State::Underway(started) => started.call.wait().when_done(then),
        }
    }
}

impl Started {
    /// Lets the call be ended by the close of its caller and at its deadline, if it is not done by now.
    fn new(caller: &Arc<PeerCore>, call: Arc<dyn Underway>, deadline: Deadline) -> Started {
        let (mut in_waits, mut in_timer) = (None, None);
        if call.wait().is_open() {
            let listed: Arc<dyn Interrupt> = Arc::clone(&call) as _;
            in_timer = caller.system.timer.add(deadline, Arc::downgrade(&listed));
            in_waits = caller.waits.add(listed);
            if in_waits.is_none() {
                drop_user_data(call.give_up(Why::Closed(&caller.name)));
            }
        }
        Started { call, caller: Arc::clone(caller), deadline, in_waits, in_timer }
    }

    /// At the deadline of the call itself it is given up here, too: the timer's thread may be this one, in a destructor.
    fn wait(&self, deadline: Deadline) -> Poll<Result<Option<Resource>>> {
        if self.deadline.is_before(deadline) {
            if let Poll::Ready(result) = self.wait_until(self.deadline) {
                return Poll::Ready(result);
            }
            drop_user_data(self.call.give_up(Why::Late));
        }
        self.wait_until(deadline)
    }

    fn wait_until(&self, deadline: Deadline) -> Poll<Result<Option<Resource>>> {
        let call = self.call.wait();
        if let Some(result) = call.result() {
            return Poll::Ready(result);
        }
        if deadline.is_now() {
            return Poll::Pending;
        }
        let wait = Arc::new(Wait::of_thread(running().map(|own| own.place())));
        if let Err(ring) = call.listen(&wait) {
            return Poll::Ready(Err(ring));
        }
        if call.result().is_some() {
            // Unless it was found in the list: then its end comes from there.
            wait.end(Cause::Answered, Ok(()));
        }
        let ended = {
            let waiting = Arc::clone(&self.call);
            let _in_call = in_call(self.call.verb(), Some(self.call.what()), move || Some(waiting.whom()));
            let mut after = After::new();
            let ended = block(None, &wait, |wait| wait, deadline, &mut after);
            // Before users' destructors run, which may wait in calls of their own.
            call.leave(&wait);
            ended
        };
        match (call.result(), ended) {
            (Some(result), _) => Poll::Ready(result),
            (None, Ok(()) | Err(Error::TimedOut)) => Poll::Pending,
            // Of this wait alone: a ring, or the close of the peer whose handler waits.
            (None, Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

impl Pending {
    /// Waits for the end of the call up to `timeout`, and gives its result: the resource of the calls that give one. May be repeated, also
    /// when it is done.
    ///
    /// A handler that waits gives its turn up meanwhile, as in any call.
    ///
    /// # Errors
    ///
    /// Those of the call. Besides, of this wait alone, while the call goes on: [`Error::Deadlock`] if the call waits for a
    /// handler and so waiting for it here would close a ring; [`Error::Closed`] with the name of the peer whose handler waits
    /// here, when that is closed. A wait of [`Duration::ZERO`] tells whether the call is done.
    pub fn wait(&self, timeout: Duration) -> Poll<Result<Option<Resource>>> {
        if let Err(forked) = fork::check() {
            return Poll::Ready(Err(forked));
        }
        match &self.0 {
            State::Done(result) => Poll::Ready(Ok(result.clone())),
            State::Underway(started) => started.wait(Deadline::after(timeout)),
        }
    }

    /// A descriptor for a poll loop, of the caller's own: readable once the call is done, and then for good. Only to be waited for.
    ///
    /// # Errors
    ///
    /// [`Error::LimitReached`] if the process has no descriptor left.
    #[cfg(unix)]
    pub fn descriptor(&self) -> Result<OwnedFd> {
        fork::check()?;
        match &self.0 {
            State::Done(_) => readiness::of_ready(),
            State::Underway(started) => started.call.wait().descriptor(),
        }
    }

    /// Gives the call up, if it is not done: it ends with [`Error::Canceled`], and has then not taken effect and never will; but
    /// the handler of an ask may have begun. From any thread, also beside a [`wait`](Pending::wait).
    pub fn cancel(&self) {
        if let (State::Underway(started), false) = (&self.0, fork::is_forked()) {
            drop_user_data(started.call.give_up(Why::Canceled));
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.cancel();
        // It may have the last reference to what it offered.
        drop_user_data(std::mem::replace(&mut self.0, State::Done(None)));
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if fork::is_forked() {
            return;
        }
        if let Some(number) = self.in_waits {
            self.caller.waits.remove(number);
        }
        if let Some(key) = self.in_timer {
            self.caller.system.timer.remove(key);
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Pending");
        if let (State::Underway(Started { call, .. }), false) = (&self.0, fork::is_forked()) {
            text.field("call", &call.verb()).field("what", call.what()).field("whom", &call.whom());
        }
        text.finish_non_exhaustive()
    }
}
