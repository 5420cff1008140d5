//! Offers: a copy on another peer's shelf.

use potluck::{HandlerError, PeerOptions};

use crate::support::{
    Gate, LONG, NOW, ada_and_bob, drain, handler_failed, host, kitchen, no_such_peer, no_such_resource, refused,
};

#[test]
fn an_offer_puts_a_copy_on_the_other_shelf_and_the_last_writer_wins() {
    let (_kitchen, ada, bob) = ada_and_bob();
    bob.share("soup", "leek").unwrap();
    ada.share("soup", "tomato").unwrap();
    ada.offer("bob", "soup", NOW).unwrap();
    let held = bob.get("soup").unwrap();
    assert_eq!((held.bytes(), held.origin(), held.version()), (&b"tomato"[..], "ada", 1));
}

#[test]
fn an_offer_of_what_one_does_not_hold_says_so() {
    let (_kitchen, ada, bob) = ada_and_bob();
    bob.share("soup", "leek").unwrap();
    assert_eq!(ada.offer("bob", "soup", LONG).unwrap_err(), no_such_resource("soup", "ada"));
    assert_eq!(bob.get("soup").unwrap().bytes(), b"leek");
}

#[test]
fn an_offer_to_an_unknown_peer_names_it() {
    let (_kitchen, ada, _) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    assert_eq!(ada.offer("eve", "soup", LONG).unwrap_err(), no_such_peer("eve"));
}

#[test]
fn an_offer_to_oneself_is_fine_if_held_without_handler_or_event() {
    let kitchen = kitchen();
    let options = PeerOptions::new()
        .on_offer(|_, _, _| Err(HandlerError::refused("not from me")))
        .on_received(|_, _, _| panic!("nothing was received"));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    assert_eq!(ada.offer("ada", "soup", NOW).unwrap_err(), no_such_resource("soup", "ada"));
    ada.share("soup", "tomato").unwrap();
    let events = kitchen.events(10).unwrap();
    drain(&events);
    ada.offer("ada", "soup", NOW).unwrap();
    assert_eq!(ada.get("soup").unwrap().version(), 1);
    assert_eq!(drain(&events), []);
}

#[test]
fn on_offer_may_refuse_with_a_reason_and_nothing_changes() {
    let kitchen = kitchen();
    let options = PeerOptions::new().on_offer(|_, from, offered| {
        Err(HandlerError::refused(format!("{} of {from}", String::from_utf8_lossy(offered.bytes()))))
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "tomato").unwrap();
    assert_eq!(bob.offer("ada", "soup", LONG).unwrap_err(), refused("ada", "tomato of bob"));
    assert_eq!(ada.get("soup").unwrap_err(), no_such_resource("soup", "ada"));
}

#[test]
fn on_offer_sees_what_is_offered_and_may_agree() {
    let kitchen = kitchen();
    let options = PeerOptions::new().on_offer(|ada, from, offered| {
        let seen = (ada.name(), from, offered.name(), offered.bytes());
        if seen == ("ada", "bob", "soup", b"tomato") { Ok(()) } else { Err(HandlerError::failed(format!("{seen:?}"))) }
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "tomato").unwrap();
    bob.offer("ada", "soup", LONG).unwrap();
    assert_eq!(ada.get("soup").unwrap().origin(), "bob");
}

#[test]
fn a_panic_of_on_offer_is_told_and_nothing_changes() {
    let kitchen = kitchen();
    let options = PeerOptions::new().on_offer(|_, _, _| panic!("no table"));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "tomato").unwrap();
    assert_eq!(bob.offer("ada", "soup", LONG).unwrap_err(), handler_failed("ada", "no table"));
    assert!(ada.resources().unwrap().is_empty());
}

#[test]
fn an_offer_puts_what_its_caller_held_at_entry() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_offer(move |_, _, _| {
        held.pass();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "first").unwrap();
    let offerer = bob.clone();
    let offer = host(move || offerer.offer("ada", "soup", LONG));
    gate.await_arrival();
    bob.share("soup", "second").unwrap();
    gate.open();
    offer.result().unwrap();
    assert_eq!(ada.get("soup").unwrap().bytes(), b"first");
}
