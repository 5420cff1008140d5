//! Fetches: from any other peer that holds it, from the next if one cannot give it.

use std::collections::BTreeSet;

use potluck::{Error, HandlerError, PeerOptions};

use crate::support::{
    Gate, LONG, NOW, ada_and_bob, handler_failed, host, kitchen, no_such_resource, peer_closed, refused,
};

#[test]
fn a_fetch_gets_it_from_another_holder_and_the_fetcher_serves_it() {
    let (kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    let soup = bob.fetch("soup", NOW).unwrap();
    assert_eq!((soup.bytes(), soup.origin()), (&b"tomato"[..], "ada"));
    assert_eq!(kitchen.holders("soup").unwrap().len(), 2);
}

#[test]
fn a_fetch_of_what_nobody_else_holds_finds_no_resource() {
    let (_kitchen, ada, bob) = ada_and_bob();
    assert_eq!(bob.fetch("soup", LONG).unwrap_err(), no_such_resource("soup", None));
    ada.share("soup", "tomato").unwrap();
    assert_eq!(ada.fetch("soup", LONG).unwrap_err(), no_such_resource("soup", None));
    assert_eq!(ada.get("soup").unwrap().bytes(), b"tomato");
}

#[test]
fn a_fetch_chooses_among_the_holders_at_random() {
    let (kitchen, ada, bob) = ada_and_bob();
    let eve = kitchen.spawn("eve").unwrap();
    ada.share("soup", "tomato").unwrap();
    bob.share("soup", "leek").unwrap();
    let origins: BTreeSet<String> = (0..100).map(|_| eve.fetch("soup", NOW).unwrap().origin().to_owned()).collect();
    assert_eq!(origins.into_iter().collect::<Vec<_>>(), ["ada", "bob"]);
}

#[test]
fn a_fetch_goes_on_to_the_next_holder_after_a_refusal_or_a_failure() {
    let kitchen = kitchen();
    let refusing = PeerOptions::new().on_request(|_, _, _| Err(HandlerError::refused("no")));
    let failing = PeerOptions::new().on_request(|_, _, _| Err(HandlerError::failed("burnt")));
    let panicking = PeerOptions::new().on_request(|_, _, _| panic!("dropped"));
    let unsharing = PeerOptions::new().on_request(|me, _, name| Ok(me.unshare(name)?));
    let closing = PeerOptions::new().on_request(|me, _, _| {
        me.close(NOW)?;
        Ok(())
    });
    let all = [refusing, failing, panicking, unsharing, closing];
    for (options, name) in all.into_iter().zip(["refusing", "failing", "panicking", "unsharing", "closing"]) {
        kitchen.spawn_with(name, options).unwrap().share("soup", "leek").unwrap();
    }
    kitchen.spawn("good").unwrap().share("soup", "tomato").unwrap();
    let eve = kitchen.spawn("eve").unwrap();
    // Each of the others comes first once in a while.
    for round in 0..30 {
        let soup = eve.fetch("soup", LONG).unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(soup.origin(), "good");
        eve.unshare("soup").unwrap();
    }
}

#[test]
fn a_fetch_that_no_holder_serves_ends_with_the_last_error() {
    let kitchen = kitchen();
    let eve = kitchen.spawn("eve").unwrap();
    let refusing = PeerOptions::new().on_request(|_, _, _| Err(HandlerError::refused("no")));
    let failing = PeerOptions::new().on_request(|_, _, _| Err(HandlerError::failed("burnt")));
    kitchen.spawn_with("ada", refusing).unwrap().share("soup", "tomato").unwrap();
    assert_eq!(eve.fetch("soup", LONG).unwrap_err(), refused("ada", "no"));
    kitchen.spawn_with("bob", failing).unwrap().share("soup", "leek").unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        let error = eve.fetch("soup", LONG).unwrap_err();
        assert!(error == refused("ada", "no") || error == handler_failed("bob", "burnt"), "{error}");
        seen.insert(error.to_string());
    }
    assert_eq!(seen.len(), 2, "either may be the last: {seen:?}");
}

#[test]
fn a_fetch_goes_on_at_once_when_the_holder_that_it_waits_for_closes() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_request(move |_, _, _| {
        held.pass();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.share("soup", "tomato").unwrap();
    let (bob, eve) = (kitchen.spawn("bob").unwrap(), kitchen.spawn("eve").unwrap());
    // Its only holder is held up by another one's request.
    let busy = host(move || bob.request("ada", "soup", LONG));
    gate.await_arrival();
    let fetch = host(move || eve.fetch("soup", LONG)).waiting();
    ada.close(NOW).unwrap();
    assert_eq!(fetch.result().unwrap_err(), peer_closed("ada"));
    gate.open();
    assert_eq!(busy.result().unwrap_err(), peer_closed("ada"));
}

#[test]
fn a_fetch_at_timeout_0_takes_only_who_needs_no_waiting() {
    let kitchen = kitchen();
    let eve = kitchen.spawn("eve").unwrap();
    let voter = PeerOptions::new().on_request(|_, _, _| Ok(()));
    kitchen.spawn_with("ada", voter).unwrap().share("soup", "leek").unwrap();
    assert_eq!(eve.fetch("soup", NOW).unwrap_err(), Error::TimedOut);
    kitchen.spawn("bob").unwrap().share("soup", "tomato").unwrap();
    for _ in 0..20 {
        assert_eq!(eve.fetch("soup", NOW).unwrap().origin(), "bob");
        eve.unshare("soup").unwrap();
    }
}
