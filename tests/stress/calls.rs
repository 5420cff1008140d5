//! Every call as a peer, with random arguments, and the errors that it may answer. A new call is a row here.

use std::task::Poll;
use std::time::{Duration, Instant};

use potluck::{Call as About, Ended, Error, Resource, Result};

use crate::kitchen::{Guest, LONG, NAMES, NOW, RESOURCES};
use crate::ledger::Fate;
use crate::random::Random;

pub(crate) struct Call {
    pub(crate) name: &'static str,
    run: fn(&Guest, &mut Random) -> Result<()>,
    /// Besides Closed, of the peer that one acts as, and Deadlock, in a handler.
    may: fn(&Error) -> bool,
}

const fn call(name: &'static str, run: fn(&Guest, &mut Random) -> Result<()>, may: fn(&Error) -> bool) -> Call {
    Call { name, run, may }
}

pub(crate) const CALLS: &[Call] = &[
    call("share", share, |error| matches!(error, Error::TooLarge { .. })),
    call("share_if", share_if, |error| {
        matches!(error, Error::TooLarge { .. } | Error::VersionConflict { .. } | Error::InvalidArgument(_))
    }),
    call("unshare", |me, random| me.peer.unshare(random.one_of(&RESOURCES)), is_not_held),
    call("get", |me, random| me.look(&me.peer.get(random.one_of(&RESOURCES))?), is_not_held),
    call("resources", |me, _| me.peer.resources()?.iter().try_for_each(|held| me.look(held)), |_| false),
    call("request", request, of_a_shelf),
    call("request_newer", request_newer, of_a_shelf),
    call("fetch", fetch, |error| of_a_shelf(error) && !matches!(error, Error::NoSuchPeer { .. })),
    call("offer", offer, of_a_shelf),
    call("exchange", exchange, of_a_shelf),
    call("tell", |me, random| tell(me, random, Duration::from_millis(2)), of_a_mailbox),
    call("try_tell", |me, random| tell(me, random, NOW), of_a_mailbox),
    call("ask", ask, |error| {
        of_a_mailbox(error)
            || matches!(error, Error::TimedOut | Error::OutcomeUnknown { .. } | Error::NoReply { .. })
            || matches!(error, Error::UnknownMessage { .. } | Error::HandlerFailed { .. })
    }),
    call("receive", receive, |error| matches!(error, Error::TimedOut | Error::InvalidArgument(_))),
    call(
        "reply to what was kept",
        |me, random| me.kitchen.reply_to_kept(random),
        |error| matches!(error, Error::Canceled | Error::InvalidArgument(_)),
    ),
    call("peers", |me, _| me.kitchen.system.peers().map(drop), |_| false),
    call("holders", holders, |_| false),
    call(
        "wait_for",
        |me, random| me.kitchen.system.wait_for(random.one_of(&NAMES), random.timeout()),
        |error| matches!(error, Error::TimedOut),
    ),
    call("mingle", mingle, |error| matches!(error, Error::NoSuchResource { .. })),
    call("events", events, |error| matches!(error, Error::TimedOut)),
    call("dead_letters", dead_letters, |_| false),
    call("snapshot", snapshot, |_| false),
    call(
        "close and spawn",
        |me, random| me.kitchen.replace(me, random),
        |error| matches!(error, Error::NameTaken { .. }),
    ),
];

fn is_not_held(error: &Error) -> bool {
    matches!(error, Error::NoSuchResource { .. })
}

/// What a request, a fetch, an offer or an exchange may answer.
fn of_a_shelf(error: &Error) -> bool {
    matches!(error, Error::NoSuchPeer { .. } | Error::NoSuchResource { .. } | Error::PeerClosed { .. })
        || matches!(error, Error::Refused { .. } | Error::HandlerFailed { .. })
        || matches!(error, Error::TooLarge { .. } | Error::TimedOut | Error::Canceled)
}

fn of_a_mailbox(error: &Error) -> bool {
    matches!(error, Error::NoSuchPeer { .. } | Error::PeerClosed { .. })
        || matches!(error, Error::Full { .. } | Error::TooLarge { .. } | Error::Canceled)
}

impl Call {
    /// Makes the call, and says so if it breaks a promise.
    pub(crate) fn make(&self, me: &Guest, random: &mut Random) -> bool {
        let Err(error) = (self.run)(me, random) else { return true };
        let may = match &error {
            Error::Closed { .. } => true,
            Error::Deadlock { ring } => me.is_handler && ring.len() > 1 && ring.first() == ring.last(),
            error => (self.may)(error),
        };
        if !may {
            let name = self.name;
            me.kitchen.fault(format!("{name} as {} (in a handler: {}): {error:?}", me.peer.name(), me.is_handler));
        }
        false
    }
}

/// Makes a call with another peer in one of its two forms: waits in it, or starts it and waits for that, perhaps several times, and
/// perhaps thinks better of it.
fn make(me: &Guest, random: &mut Random, about: About<'_>, timeout: Duration) -> Result<Option<Resource>> {
    let peer = &me.peer;
    if !random.one_in(3) {
        return match about {
            About::Request { from, name } => peer.request(from, name, timeout).map(Some),
            About::RequestNewer { from, name, than } => peer.request_newer(from, name, than, timeout),
            About::Fetch { name } => peer.fetch(name, timeout).map(Some),
            About::Offer { to, name } => peer.offer(to, name, timeout).map(|()| None),
            About::Exchange { with, name } => peer.exchange(with, name, timeout).map(Some),
            About::Tell { to, kind, body } => peer.tell(to, kind, body, timeout).map(|()| None),
            About::Ask { to, kind, body } => peer.ask(to, kind, body, timeout).map(Some),
        };
    }
    let pending = peer.start(about, timeout)?;
    loop {
        if random.one_in(8) {
            pending.cancel();
        }
        match pending.wait(if random.one_in(2) { LONG } else { random.timeout() }) {
            // Perhaps only of this wait.
            Poll::Ready(Err(Error::Deadlock { .. } | Error::Closed { .. })) => break,
            Poll::Ready(result) => return result,
            Poll::Pending => {}
        }
    }
    pending.cancel();
    let deadline = Instant::now() + LONG;
    loop {
        // Whoever ended it before may be about to say how; a wait would end with the peer that waits.
        match pending.wait(NOW) {
            Poll::Ready(result) => return result,
            Poll::Pending => assert!(Instant::now() < deadline, "it was given up and does not end: {pending:?}"),
        }
        std::thread::yield_now();
    }
}

fn share(me: &Guest, random: &mut Random) -> Result<()> {
    let name = random.one_of(&RESOURCES);
    me.look(&me.peer.share(name, me.body(name))?)
}

fn share_if(me: &Guest, random: &mut Random) -> Result<()> {
    let name = random.one_of(&RESOURCES);
    let expected = match random.below(4) {
        0 => None,
        1 => me.kitchen.one_seen(random),
        _ => me.peer.get(name).ok(),
    };
    let shared = me.peer.share_if(name, me.body(name), expected.as_ref())?;
    me.expect(expected.is_none_or(|it| it.version() < shared.version()), || format!("{shared:?} is no newer"));
    me.look(&shared)
}

fn request(me: &Guest, random: &mut Random) -> Result<()> {
    let (from, name) = (random.one_of(&NAMES), random.one_of(&RESOURCES));
    let timeout = random.timeout();
    me.look_if_any(make(me, random, About::Request { from, name }, timeout)?)
}

fn fetch(me: &Guest, random: &mut Random) -> Result<()> {
    let (name, timeout) = (random.one_of(&RESOURCES), random.timeout());
    me.look_if_any(make(me, random, About::Fetch { name }, timeout)?)
}

fn request_newer(me: &Guest, random: &mut Random) -> Result<()> {
    let Some(than) = me.kitchen.one_seen(random) else { return Ok(()) };
    let (from, timeout) = (random.one_of(&NAMES), random.timeout());
    let call = About::RequestNewer { from, name: than.name(), than: &than };
    let Some(newer) = make(me, random, call, timeout)? else { return Ok(()) };
    let is_newer = crate::content::maker(&newer) != crate::content::maker(&than) || newer.version() > than.version();
    me.expect(is_newer, || format!("{newer:?} is no newer than {than:?}"));
    me.look(&newer)
}

fn offer(me: &Guest, random: &mut Random) -> Result<()> {
    let (to, name, timeout) = (random.one_of(&NAMES), random.one_of(&RESOURCES), random.timeout());
    let given = make(me, random, About::Offer { to, name }, timeout)?;
    me.expect(given.is_none(), || format!("an offer gave {given:?}"));
    Ok(())
}

fn exchange(me: &Guest, random: &mut Random) -> Result<()> {
    let (with, name, timeout) = (random.one_of(&NAMES), random.one_of(&RESOURCES), random.timeout());
    me.look_if_any(make(me, random, About::Exchange { with, name }, timeout)?)
}

fn tell(me: &Guest, random: &mut Random, timeout: Duration) -> Result<()> {
    let number = me.kitchen.ledger.number();
    let body = me.kitchen.contents.of_message(number, "tell");
    let (to, kind) = (random.one_of(&NAMES), format!("tell {number}"));
    let result = make(me, random, About::Tell { to, kind: &kind, body }, timeout);
    me.kitchen.check(me.kitchen.ledger.told(number, &result));
    me.expect(!timeout.is_zero() || !matches!(result, Err(Error::Deadlock { .. })), || "a ring of no wait".to_owned());
    result.map(drop)
}

fn ask(me: &Guest, random: &mut Random) -> Result<()> {
    let kitchen = &me.kitchen;
    let (number, timeout, to) = (kitchen.ledger.number(), random.timeout(), random.one_of(&NAMES));
    let kind = format!("ask {number}");
    let body = kitchen.contents.of_message(number, "ask");
    let result = make(me, random, About::Ask { to, kind: &kind, body }, timeout);
    kitchen.check(kitchen.ledger.asked(number, &result, timeout));
    let Some(answer) = result? else {
        me.kitchen.fault(format!("{kind} was answered by nothing"));
        return Ok(());
    };
    let about = (answer.name(), answer.origin(), answer.version());
    me.expect(about == (kind.as_str(), to, 0), || format!("{answer:?} is no answer to {kind} by {to}"));
    kitchen.check(kitchen.contents.check_message(answer.bytes(), number, "answer"));
    Ok(())
}

fn receive(me: &Guest, random: &mut Random) -> Result<()> {
    let message = me.peer.receive(random.timeout())?;
    me.kitchen.see(&message, Fate::Handled);
    me.kitchen.answer(&message, random);
    Ok(())
}

fn holders(me: &Guest, random: &mut Random) -> Result<()> {
    let holders = me.kitchen.system.holders(random.one_of(&RESOURCES))?;
    me.expect(holders.iter().all(|it| it.version > 0 && it.size >= 16), || format!("{holders:?}"));
    Ok(())
}

fn mingle(me: &Guest, random: &mut Random) -> Result<()> {
    for entry in me.kitchen.system.mingle(random.one_of(&RESOURCES), random.next(), random.timeout())?.iter() {
        match &entry.result {
            Ok(got) => me.look(got)?,
            Err(Error::Closed { .. } | Error::Deadlock { .. }) => {}
            Err(error) => me.expect(of_a_shelf(error), || format!("mingle: {entry:?}")),
        }
    }
    Ok(())
}

fn events(me: &Guest, random: &mut Random) -> Result<()> {
    let reader = me.kitchen.system.events(1 + random.below(8) as usize)?;
    for _ in 0..random.below(12) {
        reader.next(random.timeout())?;
    }
    Ok(())
}

fn dead_letters(me: &Guest, _: &mut Random) -> Result<()> {
    let dead = me.kitchen.system.dead_letters()?;
    me.expect(dead.newest.len() as u64 == dead.count.min(1024), || format!("{} of {}", dead.newest.len(), dead.count));
    Ok(())
}

fn snapshot(me: &Guest, random: &mut Random) -> Result<()> {
    let snapshot = me.kitchen.system.snapshot()?;
    if random.one_in(10) {
        let json: Resource = snapshot.to_json();
        me.expect(!json.is_empty(), || "an empty snapshot".to_owned());
    }
    Ok(())
}

/// Closes a peer as whoever calls; says whether it has really ended.
pub(crate) fn close(me: &Guest, other: &potluck::Peer, random: &mut Random) -> Result<()> {
    let timeout = if random.one_in(2) { LONG } else { random.timeout() };
    let ended = other.close(timeout)?;
    let may = match ended {
        Ended::Yes => other.has_ended(),
        Ended::Deferred => me.is_handler,
        Ended::StillRunning => timeout < LONG,
    };
    me.expect(may, || format!("the close of {} within {timeout:?}: {ended:?}", other.name()));
    Ok(())
}
