//! Every call from every handler: each returns a result or its documented error, and none hangs.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crossbeam_channel::{Sender, unbounded};
use potluck::{Call, Ended, Error, Peer, PeerOptions, PeerSystem, Pending};

use crate::support::{Kitchen, LONG, NOW, SHORT, kitchen, next, shut_down};

/// A call as the peer whose handler runs, in a system with a peer `bob` without handlers.
type Row = fn(&Kitchen, &Peer) -> Result<(), Error>;

const CALLS: &[(&str, Row)] = &[
    ("share", |_, peer| peer.share("new", "x").map(drop)),
    ("unshare", |_, peer| peer.share("gone", "x").and_then(|_| peer.unshare("gone"))),
    ("get", |_, peer| peer.get("soup").map(drop)),
    ("resources", |_, peer| peer.resources().map(drop)),
    ("request", |_, peer| peer.request("bob", "bread", LONG).map(drop)),
    ("request from oneself", |_, peer| peer.request(peer.name(), "soup", LONG).map(drop)),
    ("fetch", |_, peer| peer.fetch("bread", LONG).map(drop)),
    ("offer", |_, peer| peer.offer("bob", "soup", LONG)),
    ("offer to oneself", |_, peer| peer.offer(peer.name(), "soup", LONG)),
    ("exchange", |_, peer| peer.exchange("bob", "soup", LONG).map(drop)),
    ("tell", |_, peer| peer.tell("bob", "note", "", LONG)),
    ("tell oneself", |_, peer| peer.try_tell(peer.name(), "note", "")),
    ("ask", |_, peer| peer.ask("bob", "anybody?", "", SHORT).map(drop)),
    ("ask oneself", |_, peer| peer.ask(peer.name(), "anybody?", "", LONG).map(drop)),
    ("receive", |_, peer| peer.receive(NOW).map(drop)),
    ("start and wait", |_, peer| waited(&peer.start(Call::Ask { to: "bob", kind: "k", body: "".into() }, SHORT)?)),
    ("start and wait for oneself", |_, peer| {
        let pending = peer.start(Call::Ask { to: peer.name(), kind: "k", body: "".into() }, SHORT)?;
        waited(&pending)
    }),
    ("start and cancel", |_, peer| {
        peer.start(Call::Ask { to: "bob", kind: "k", body: "".into() }, LONG).map(|pending| pending.cancel())
    }),
    ("close", |_, peer| peer.close(LONG).map(|ended| assert_eq!(ended, Ended::Deferred))),
    ("close another", |system, _| {
        let eve = system.spawn("eve")?;
        assert_eq!(eve.close(LONG)?, Ended::Yes);
        Ok(())
    }),
    ("peers", |system, _| system.peers().map(drop)),
    ("holders", |system, _| system.holders("soup").map(drop)),
    ("mingle", |system, _| system.mingle("bread", 1, SHORT).map(drop)),
    ("events", |system, _| {
        let events = system.events(8)?;
        while events.next(NOW).is_ok() {}
        events.next(SHORT).map(drop)
    }),
    ("shutdown", |system, _| system.shutdown(LONG).map(|report| assert_eq!(report.ended, Ended::Deferred))),
    ("open another system", |_, _| {
        let other = PeerSystem::open("other")?;
        other.spawn("ada")?.share("soup", "x")?;
        assert_eq!(other.shutdown(LONG)?.ended, Ended::Yes);
        Ok(())
    }),
];

/// Waits for the end of a call that was started.
fn waited(pending: &Pending) -> Result<(), Error> {
    match pending.wait(LONG) {
        Poll::Ready(result) => result.map(drop),
        Poll::Pending => panic!("it does not come to its end: {pending:?}"),
    }
}

const HANDLERS: &[&str] = &["on_message", "on_request", "on_offer", "on_received", "on_stop"];

/// A handler that makes the call and tells the result; the first time it runs.
fn once(
    system: &Kitchen,
    call: Row,
    results: &Sender<Result<(), Error>>,
) -> impl FnMut(&Peer) + Send + Clone + 'static {
    let (system, results) = (system.clone(), results.clone());
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    move |peer| {
        if !done.swap(true, std::sync::atomic::Ordering::SeqCst) {
            results.send(call(&system, peer)).unwrap();
        }
    }
}

fn options(kind: &str, mut run: impl FnMut(&Peer) + Send + Clone + 'static) -> PeerOptions {
    let mut again = run.clone();
    match kind {
        "on_message" => PeerOptions::new().on_message(move |peer, _| {
            run(peer);
            Ok(())
        }),
        "on_request" => PeerOptions::new().on_request(move |peer, _, _| {
            run(peer);
            Ok(())
        }),
        "on_offer" => PeerOptions::new().on_offer(move |peer, _, _| {
            run(peer);
            Ok(())
        }),
        "on_received" => PeerOptions::new().on_received(move |peer, _, _| run(peer)),
        _ => PeerOptions::new().on_stop(move |peer| again(peer)),
    }
}

/// The results that a call may have besides success, and those of handlers that run when their peer is closing.
fn is_documented(kind: &str, call: &str, error: &Error) -> bool {
    match (call, error) {
        // bob answers nobody; after a close or shutdown has begun nobody waits in a call of the peer.
        ("ask", Error::TimedOut) | ("ask oneself", Error::Deadlock { .. }) | ("events", Error::TimedOut) => true,
        ("start and wait" | "start and wait for oneself", Error::TimedOut) => true,
        ("start and wait for oneself", Error::Deadlock { .. }) => kind == "on_message",
        ("receive", Error::TimedOut | Error::InvalidArgument(_)) => true,
        ("mingle", _) => false,
        (_, Error::Closed { .. }) => kind == "on_stop",
        _ => false,
    }
}

#[test]
fn every_call_from_every_handler_returns_a_result_or_its_documented_error() {
    for kind in HANDLERS {
        for (name, call) in CALLS {
            let system = kitchen();
            let (results, result) = unbounded();
            let ada = system.spawn_with("ada", options(kind, once(&system, *call, &results))).unwrap();
            let bob = system.spawn("bob").unwrap();
            ada.share("soup", "tomato").unwrap();
            bob.share("soup", "potato").unwrap();
            bob.share("bread", "rye").unwrap();
            // What each handler runs for; what comes of it is the handler's own matter.
            let caller = bob.clone();
            match *kind {
                "on_message" => drop(caller.try_tell("ada", "go", "")),
                "on_request" => drop(caller.request("ada", "soup", LONG)),
                "on_offer" | "on_received" => drop(caller.offer("ada", "soup", LONG)),
                _ => drop(ada.close(Duration::ZERO)),
            }
            match next(&result) {
                Ok(()) => {}
                Err(error) => assert!(is_documented(kind, name, &error), "{name} in {kind}: {error:?}"),
            }
            drop(results);
            assert_eq!(shut_down(&system, LONG), Ok(Ended::Yes), "{name} in {kind}");
        }
    }
}
