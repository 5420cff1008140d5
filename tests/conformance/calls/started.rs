//! A call that is started is made once, whoever waits for it and how often.

use std::sync::Arc;
use std::task::Poll;

use crossbeam_channel::unbounded;
use potluck::{Bytes, Call, Ended, Error, Event, HandlerError, Peer, PeerOptions, Pending, Resource, Result};

use crate::support::{
    Gate, LONG, NOW, PATIENT, SHORT, ada_and_bob, body_that, closed, drain, full, host, kitchen, next, no_such_peer,
    no_such_resource, peer_closed, refused, shut_down,
};

const FOREVER: std::time::Duration = std::time::Duration::MAX;

fn ask<'a>(to: &'a str, kind: &'a str) -> Call<'a> {
    Call::Ask { to, kind, body: Bytes::new() }
}

fn tell<'a>(to: &'a str, kind: &'a str) -> Call<'a> {
    Call::Tell { to, kind, body: Bytes::new() }
}

/// The result of a call that comes to its end.
fn result(pending: &Pending) -> Result<Option<Resource>> {
    match pending.wait(LONG) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it does not end: {pending:?}"),
    }
}

fn error(pending: &Pending) -> Error {
    result(pending).expect_err("it fails")
}

/// A peer whose handlers stop at the gate before they say yes.
fn slow(gate: &Gate) -> PeerOptions {
    let (by_message, by_request, by_offer) = (gate.clone(), gate.clone(), gate.clone());
    PeerOptions::new()
        .on_message(move |_, message| {
            by_message.pass();
            if message.is_ask() { Ok(message.reply(message.kind().to_owned()).or_else(given_up)?) } else { Ok(()) }
        })
        .on_request(move |_, _, _| {
            by_request.pass();
            Ok(())
        })
        .on_offer(move |_, _, _| {
            by_offer.pass();
            Ok(())
        })
}

fn given_up(error: Error) -> Result<()> {
    if error == Error::Canceled { Ok(()) } else { Err(error) }
}

#[test]
fn a_call_as_text_has_no_body() {
    let call = Call::Ask { to: "ada", kind: "k", body: "secret".into() };
    assert_eq!(format!("{call:?}"), r#"Ask { to: "ada", kind: "k", .. }"#);
    let pending = { ada_and_bob().2.start(call, LONG).unwrap() };
    assert_eq!(format!("{pending:?}"), r#"Pending { call: "ask", what: "k", whom: "ada", .. }"#);
}

#[test]
fn what_needs_no_waiting_is_done_when_start_returns() {
    let (_kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    let first = bob.start(Call::Request { from: "ada", name: "soup" }, NOW).unwrap();
    assert_eq!(bob.get("soup").unwrap().bytes(), b"tomato");
    for _ in 0..2 {
        let Poll::Ready(Ok(Some(soup))) = first.wait(NOW) else { panic!("it is done") };
        assert_eq!((soup.bytes(), soup.origin()), (&b"tomato"[..], "ada"));
    }
    let Poll::Ready(Ok(Some(soup))) = first.wait(NOW) else { panic!("it is done") };
    let newer = bob.start(Call::RequestNewer { from: "ada", name: "soup", than: &soup }, NOW).unwrap();
    assert!(matches!(newer.wait(NOW), Poll::Ready(Ok(None))));
    ada.share("bread", "rye").unwrap();
    for call in [
        Call::Fetch { name: "bread" },
        Call::Offer { to: "ada", name: "bread" },
        Call::Exchange { with: "ada", name: "bread" },
        tell("ada", "hello"),
    ] {
        assert!(bob.start(call.clone(), NOW).unwrap().wait(NOW).is_ready(), "{call:?}");
    }
    assert_eq!(ada.receive(NOW).unwrap().kind(), "hello");
}

#[test]
fn what_fails_at_once_fails_in_start() {
    let (_kitchen, ada, bob) = ada_and_bob();
    let start = |call| ada.start(call, LONG).map(drop).expect_err("it fails at once");
    assert_eq!(start(Call::Request { from: "eve", name: "soup" }), no_such_peer("eve"));
    assert_eq!(start(Call::Request { from: "bob", name: "soup" }), no_such_resource("soup", "bob"));
    assert_eq!(start(Call::Fetch { name: "soup" }), no_such_resource("soup", None));
    assert_eq!(start(Call::Offer { to: "bob", name: "soup" }), no_such_resource("soup", "ada"));
    assert!(matches!(start(Call::Request { from: "bob", name: "a//b" }), Error::InvalidName { .. }));
    assert!(matches!(start(tell("bob", "")), Error::InvalidName { .. }));
    // An answer always takes waiting.
    assert_eq!(ada.start(ask("bob", "k"), NOW).map(drop), Err(Error::TimedOut));
    assert_eq!(bob.close(LONG), Ok(Ended::Yes));
    assert_eq!(bob.start(tell("ada", "k"), LONG).map(drop), Err(closed("bob")));
}

#[test]
fn a_started_call_gives_what_the_blocking_one_gives() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let cook = kitchen.spawn_with("cook", slow(&gate)).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    cook.share("soup", "tomato").unwrap();
    cook.share("dish", "cook's").unwrap();
    bob.share("bread", "rye").unwrap();
    bob.share("dish", "bob's").unwrap();
    let run = |call: Call<'_>, handlers: usize| {
        let pending = bob.start(call, LONG).unwrap();
        assert!(pending.wait(NOW).is_pending());
        for _ in 0..handlers {
            gate.await_arrival();
            assert!(pending.wait(NOW).is_pending());
            gate.open();
        }
        result(&pending).unwrap().map(|got| String::from_utf8(got.bytes().to_vec()).unwrap())
    };
    assert_eq!(run(Call::Request { from: "cook", name: "soup" }, 1), Some("tomato".to_owned()));
    assert_eq!(run(Call::Fetch { name: "soup" }, 1), Some("tomato".to_owned()));
    assert_eq!(run(Call::Offer { to: "cook", name: "bread" }, 1), None);
    assert_eq!(run(Call::Exchange { with: "cook", name: "dish" }, 2), Some("cook's".to_owned()));
    assert_eq!(run(ask("cook", "salt?"), 1), Some("salt?".to_owned()));
    let soup = bob.get("soup").unwrap();
    assert_eq!(run(Call::RequestNewer { from: "cook", name: "soup", than: &soup }, 1), None);
    assert_eq!(cook.get("bread").unwrap().bytes(), b"rye");
    assert_eq!(cook.get("dish").unwrap().bytes(), b"bob's");
}

#[test]
fn a_wait_may_be_repeated_and_the_call_is_made_once() {
    let kitchen = kitchen();
    let gate = Gate::new();
    kitchen.spawn_with("cook", slow(&gate)).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    let pending = bob.start(ask("cook", "salt?"), LONG).unwrap();
    gate.await_arrival();
    for _ in 0..3 {
        assert!(pending.wait(SHORT).is_pending());
    }
    let pending = Arc::new(pending);
    let waiters = [(); 3].map(|()| {
        let pending = Arc::clone(&pending);
        host(move || result(&pending)).waiting()
    });
    gate.open();
    for waiter in waiters {
        assert_eq!(waiter.result().unwrap().unwrap().bytes(), b"salt?");
    }
    assert_eq!(result(&pending).unwrap().unwrap().bytes(), b"salt?");
}

#[test]
fn a_call_that_is_dropped_is_given_up() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let options = slow(&gate).mailbox_messages_max(1);
    let cook = kitchen.spawn_with("cook", options).unwrap();
    let (ada, bob) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("bob").unwrap());
    cook.share("soup", "tomato").unwrap();
    ada.share("bread", "rye").unwrap();
    bob.tell("cook", "first", "", NOW).unwrap();
    gate.await_arrival();
    let queued = bob.start(ask("cook", "queued"), FOREVER).unwrap();
    let in_line = ada.start(tell("cook", "in line"), FOREVER).unwrap();
    let behind = host({
        let bob = bob.clone();
        move || bob.tell("cook", "behind", "", LONG)
    })
    .waiting();
    let requested = ada.start(Call::Request { from: "cook", name: "soup" }, FOREVER).unwrap();
    let offered = ada.start(Call::Offer { to: "cook", name: "bread" }, FOREVER).unwrap();
    let events = kitchen.events(100).unwrap();
    drop((queued, in_line, requested, offered));
    let dead = kitchen.dead_letters().unwrap().newest;
    let letters: Vec<_> = dead.iter().map(|letter| (&*letter.kind, letter.reason.clone())).collect();
    assert_eq!(letters, [("queued", Error::Canceled)], "what was in line was never accepted");
    gate.open();
    // Of all these only what stood behind in line comes to the handler.
    gate.await_arrival();
    assert_eq!(behind.result(), Ok(()));
    gate.open();
    let last = host(move || ada.ask("cook", "last", "", LONG));
    gate.await_arrival();
    gate.open();
    assert_eq!(last.result().unwrap().bytes(), b"last");
    assert_eq!(cook.get("bread").map(drop), Err(no_such_resource("bread", "cook")));
    assert_eq!(kitchen.holders("soup").unwrap().len(), 1, "nobody else has got it");
    let dead = |event: &Event| matches!(event, Event::DeadLetter { reason: Error::Canceled, .. });
    assert!(drain(&events).iter().any(dead));
}

#[test]
fn who_waits_for_a_call_that_is_canceled_is_told() {
    let kitchen = kitchen();
    let gate = Gate::new();
    kitchen.spawn_with("cook", slow(&gate)).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    let pending = Arc::new(bob.start(ask("cook", "salt?"), FOREVER).unwrap());
    gate.await_arrival();
    let waiter = host({
        let pending = Arc::clone(&pending);
        move || error(&pending)
    })
    .waiting();
    pending.cancel();
    assert_eq!(waiter.result(), Error::Canceled);
    gate.open();
    assert_eq!(error(&pending), Error::Canceled);
    // What is done stays as it is.
    let done = bob.start(ask("cook", "again"), FOREVER).unwrap();
    gate.await_arrival();
    gate.open();
    assert!(result(&done).is_ok());
    done.cancel();
    assert!(result(&done).is_ok());
}

#[test]
fn a_call_ends_at_its_deadline_though_nobody_waits_for_it() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let cook = kitchen.spawn_with("cook", slow(&gate).mailbox_messages_max(1)).unwrap();
    let (ada, bob) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("bob").unwrap());
    cook.share("soup", "tomato").unwrap();
    let events = kitchen.events(100).unwrap();
    let in_doubt = ada.start(ask("cook", "begun"), PATIENT).unwrap();
    gate.await_arrival();
    let (freed, frees) = unbounded();
    let body = body_that(move || freed.send(()).unwrap());
    let queued = bob.start(Call::Ask { to: "cook", kind: "queued", body }, SHORT).unwrap();
    let in_line = bob.start(tell("cook", "in line"), SHORT).unwrap();
    let vote = bob.start(Call::Request { from: "cook", name: "soup" }, SHORT).unwrap();
    let dead_letter = |event: &Event| match event {
        Event::DeadLetter { kind, reason, .. } => Some((kind.to_string(), reason.clone())),
        _ => None,
    };
    let mut seen = std::iter::repeat_with(|| events.next(LONG).expect("nobody sees that the deadline has passed"));
    let dead = seen.find_map(|event| dead_letter(&event));
    assert_eq!(dead, Some(("queued".to_owned(), Error::TimedOut)));
    assert_eq!(error(&queued), Error::TimedOut);
    // The body of what was given up is freed at once.
    next(&frees);
    assert_eq!(error(&in_line), full("cook"));
    assert_eq!(error(&vote), Error::TimedOut);
    assert_eq!(error(&in_doubt), Error::OutcomeUnknown { peer: "cook".to_owned() });
    gate.open();
    assert_eq!(bob.get("soup").map(drop), Err(no_such_resource("soup", "bob")));
}

#[test]
fn calls_come_to_their_deadlines_in_the_order_of_these() {
    let (_kitchen, ada, _bob) = ada_and_bob();
    let later = ada.start(ask("bob", "later"), 10 * PATIENT).unwrap();
    let sooner = ada.start(ask("bob", "sooner"), SHORT).unwrap();
    assert_eq!(error(&sooner), Error::TimedOut);
    assert!(later.wait(NOW).is_pending());
}

#[test]
fn the_close_of_either_peer_ends_a_call_and_its_result_outlives_the_system() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let cook = kitchen.spawn_with("cook", slow(&gate)).unwrap();
    let (ada, bob) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("bob").unwrap());
    cook.share("soup", "tomato").unwrap();
    let begun = ada.start(ask("cook", "begun"), FOREVER).unwrap();
    gate.await_arrival();
    let as_ada = ada.start(Call::Request { from: "cook", name: "soup" }, FOREVER).unwrap();
    let as_bob = [bob.start(ask("cook", "queued"), LONG), bob.start(Call::Fetch { name: "soup" }, FOREVER)];
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!((error(&begun), error(&as_ada)), (closed("ada"), closed("ada")));
    assert_eq!(cook.close(NOW), Ok(Ended::StillRunning));
    let as_bob = as_bob.map(|started| started.unwrap());
    assert!(as_bob.iter().all(|pending| error(pending) == peer_closed("cook")));
    gate.open();
    let to_oneself = bob.start(ask("bob", "myself"), FOREVER).unwrap();
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
    drop((kitchen, cook, ada, bob));
    // Both peers of it are closed.
    assert!([closed("bob"), peer_closed("bob")].contains(&error(&to_oneself)));
    assert_eq!(error(&begun), closed("ada"));
    assert!(as_bob.iter().all(|pending| error(pending) == peer_closed("cook")));
}

#[test]
fn a_fetch_that_is_started_goes_on_to_the_next_holder() {
    let kitchen = kitchen();
    let no = || PeerOptions::new().on_request(|_, _, _| Err(HandlerError::refused("mine")));
    let bob = kitchen.spawn("bob").unwrap();
    for name in ["eve", "joe"] {
        kitchen.spawn_with(name, no()).unwrap().share("soup", name.to_owned()).unwrap();
    }
    let refusal = error(&bob.start(Call::Fetch { name: "soup" }, LONG).unwrap());
    assert!([refused("eve", "mine"), refused("joe", "mine")].contains(&refusal), "{refusal}");
    let yes = PeerOptions::new().on_request(|_, _, _| Ok(()));
    kitchen.spawn_with("ada", yes).unwrap().share("soup", "ada").unwrap();
    let soup = result(&bob.start(Call::Fetch { name: "soup" }, LONG).unwrap()).unwrap().unwrap();
    assert_eq!(soup.bytes(), b"ada");
}

#[test]
fn a_handler_may_start_a_call_to_its_own_peer_and_waiting_for_it_there_is_a_ring() {
    let kitchen = kitchen();
    let (seen, sees) = unbounded();
    let ada = PeerOptions::new().on_message(move |me, message| {
        if message.kind() == "go" {
            let pending = me.start(ask("ada", "me?"), LONG)?;
            seen.send((pending.wait(LONG).map_ok(drop), pending)).unwrap();
            return Ok(());
        }
        Ok(message.reply("me")?)
    });
    kitchen.spawn_with("ada", ada).unwrap();
    kitchen.spawn("bob").unwrap().tell("ada", "go", "", NOW).unwrap();
    let (waited, pending) = next(&sees);
    let ring = vec!["ada".to_owned(), "ada".to_owned()];
    assert_eq!(waited, Poll::Ready(Err(Error::Deadlock { ring })));
    assert_eq!(result(&pending).unwrap().unwrap().bytes(), b"me", "the call itself went on");
}

/// A peer that, told to go, stops at the gate, starts an ask, stops again and then waits for the answer.
fn starts_an_ask(to: &'static str, gate: &Gate, results: &crossbeam_channel::Sender<Result<()>>) -> PeerOptions {
    let (gate, results) = (gate.clone(), results.clone());
    PeerOptions::new().on_message(move |me, message| {
        if message.kind() == "go" {
            gate.pass();
            let pending = me.start(ask(to, "back"), LONG)?;
            gate.pass();
            results.send(result(&pending).map(drop)).unwrap();
            return Ok(());
        }
        Ok(message.reply("yes").or_else(given_up)?)
    })
}

#[test]
fn a_ring_through_waits_for_started_calls_fails_where_it_would_close() {
    let kitchen = kitchen();
    let (results, result) = unbounded();
    let gates = ["ada", "bob", "eve"].map(|_| Gate::new());
    let names = ["ada", "bob", "eve"];
    for at in 0..3 {
        kitchen.spawn_with(names[at], starts_an_ask(names[(at + 1) % 3], &gates[at], &results)).unwrap();
    }
    let joe = kitchen.spawn("joe").unwrap();
    for (name, gate) in names.iter().zip(&gates) {
        joe.tell(name, "go", "", NOW).unwrap();
        gate.await_arrival();
    }
    gates.iter().for_each(Gate::open);
    gates.iter().for_each(Gate::await_arrival);
    // All three calls are under way, and none is a link until its handler waits.
    gates.iter().for_each(Gate::open);
    let got = [(); 3].map(|()| next(&result));
    let rings: Vec<_> =
        got.iter().filter(|result| matches!(result, Err(Error::Deadlock { ring }) if ring.len() == 4)).collect();
    assert_eq!((rings.len(), got.iter().filter(|result| result.is_ok()).count()), (1, 2), "{got:?}");
}

#[test]
fn the_close_of_the_peer_whose_handler_waits_ends_the_wait_and_not_the_call() {
    let kitchen = kitchen();
    let (results, got) = unbounded();
    let pending = Arc::new(kitchen.spawn("bob").unwrap().start(ask("bob", "myself"), LONG).unwrap());
    let (waiting, waits) = unbounded();
    let ada = PeerOptions::new().on_message({
        let pending = Arc::clone(&pending);
        move |_, _| {
            waiting.send(()).unwrap();
            results.send(pending.wait(LONG).map_ok(drop)).unwrap();
            Ok(())
        }
    });
    let ada = kitchen.spawn_with("ada", ada).unwrap();
    ada.try_tell("ada", "go", "").unwrap();
    next(&waits);
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!(next(&got), Poll::Ready(Err(closed("ada"))));
    assert!(pending.wait(NOW).is_pending());
}

#[test]
fn a_handler_that_waits_for_a_started_call_lends_its_shelf_meanwhile() {
    let kitchen = kitchen();
    let cook = kitchen.spawn("cook").unwrap();
    let (results, got) = unbounded();
    let bob = PeerOptions::new().on_message(move |me: &Peer, _| {
        let pending = me.start(ask("cook", "salt?"), LONG)?;
        results.send(result(&pending).map(drop)).unwrap();
        Ok(())
    });
    let bob = kitchen.spawn_with("bob", bob).unwrap();
    let ada = kitchen.spawn("ada").unwrap();
    ada.share("soup", "tomato").unwrap();
    ada.tell("bob", "go", "", NOW).unwrap();
    let question = cook.receive(LONG).unwrap();
    let eve = kitchen.spawn("eve").unwrap();
    eve.share("bread", "rye").unwrap();
    eve.offer("bob", "bread", LONG).unwrap();
    question.reply("yes").unwrap();
    assert_eq!(next(&got), Ok(()));
    assert_eq!(bob.get("bread").unwrap().bytes(), b"rye");
}

#[test]
fn own_tells_come_before_a_call_that_is_started_after_them() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let passes = gate.clone();
    let cook = PeerOptions::new().on_message(move |me, _| {
        passes.pass();
        me.share("soup", "salted")?;
        Ok(())
    });
    let cook = kitchen.spawn_with("cook", cook).unwrap();
    cook.share("soup", "plain").unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    bob.tell("cook", "salt it", "", NOW).unwrap();
    let pending = bob.start(Call::Request { from: "cook", name: "soup" }, LONG).unwrap();
    gate.await_arrival();
    assert!(pending.wait(NOW).is_pending());
    gate.open();
    assert_eq!(result(&pending).unwrap().unwrap().bytes(), b"salted");
}

#[test]
fn a_destructor_at_a_deadline_may_wait_for_another_call() {
    let (_kitchen, _ada, bob) = ada_and_bob();
    let other = bob.start(ask("ada", "other"), PATIENT).unwrap();
    let (seen, sees) = unbounded();
    let body = body_that(move || seen.send(other.wait(LONG).map_ok(drop)).unwrap());
    let first = bob.start(Call::Ask { to: "ada", kind: "k", body }, SHORT).unwrap();
    assert_eq!(next(&sees), Poll::Ready(Err(Error::TimedOut)));
    drop(first);
}

#[test]
fn an_answer_is_freed_as_soon_as_nobody_has_it_any_more() {
    let (_kitchen, ada, bob) = ada_and_bob();
    let (freed, frees) = unbounded();
    for kept in [false, true] {
        let asked = bob.start(ask("ada", "taste"), LONG).unwrap();
        let message = ada.receive(LONG).unwrap();
        let freed = freed.clone();
        message.reply(body_that(move || freed.send(()).unwrap())).unwrap();
        let answer = asked.wait(LONG);
        assert!(matches!(&answer, Poll::Ready(Ok(Some(_)))) && frees.is_empty());
        // Whoever received the message may keep it longer than its sender waits.
        let still = kept.then(|| message.keep());
        drop((message, answer, asked));
        assert_eq!(frees.is_empty(), kept);
        drop(still);
        next(&frees);
    }
}
