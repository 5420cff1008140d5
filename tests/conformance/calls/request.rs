//! Requests: what another peer holds now.

use potluck::{HandlerError, PeerOptions};

use crate::support::{
    Gate, LONG, NOW, ada_and_bob, drain, handler_failed, host, kitchen, no_such_peer, no_such_resource, refused,
};

#[test]
fn a_requester_serves_the_copy_which_keeps_origin_and_version() {
    let (kitchen, ada, bob) = ada_and_bob();
    let eve = kitchen.spawn("eve").unwrap();
    ada.share("soup", "leek").unwrap();
    ada.share("soup", "tomato").unwrap();
    bob.request("ada", "soup", NOW).unwrap();
    let copy = eve.request("bob", "soup", NOW).unwrap();
    assert_eq!((copy.name(), copy.bytes(), copy.origin(), copy.version()), ("soup", &b"tomato"[..], "ada", 2));
    assert_eq!(eve.get("soup").unwrap().origin(), "ada");
}

#[test]
fn a_request_replaces_what_the_requester_held() {
    let (_kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    bob.share("soup", "leek").unwrap();
    bob.request("ada", "soup", NOW).unwrap();
    assert_eq!(bob.get("soup").unwrap().bytes(), b"tomato");
    assert_eq!(ada.get("soup").unwrap().bytes(), b"tomato");
}

#[test]
fn copies_stay_when_the_holder_unshares_or_closes() {
    let (_kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    ada.share("bread", "rye").unwrap();
    bob.request("ada", "soup", NOW).unwrap();
    bob.request("ada", "bread", NOW).unwrap();
    ada.unshare("soup").unwrap();
    ada.close(LONG).unwrap();
    assert_eq!(bob.get("soup").unwrap().bytes(), b"tomato");
    assert_eq!(bob.get("bread").unwrap().bytes(), b"rye");
}

#[test]
fn a_request_from_an_unknown_peer_names_it() {
    let (_kitchen, _, bob) = ada_and_bob();
    assert_eq!(bob.request("eve", "soup", LONG).unwrap_err(), no_such_peer("eve"));
}

#[test]
fn a_request_for_what_is_not_held_says_who_does_not_hold_it() {
    let (_kitchen, _, bob) = ada_and_bob();
    bob.share("soup", "leek").unwrap();
    assert_eq!(bob.request("ada", "soup", LONG).unwrap_err(), no_such_resource("soup", "ada"));
    assert_eq!(bob.get("soup").unwrap().bytes(), b"leek");
}

#[test]
fn a_request_from_oneself_is_get_without_handler_or_event() {
    let kitchen = kitchen();
    let options = PeerOptions::new().on_request(|_, _, _| Err(HandlerError::refused("not to me")));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.share("soup", "tomato").unwrap();
    let events = kitchen.events(10).unwrap();
    drain(&events);
    assert_eq!(ada.request("ada", "soup", NOW).unwrap().version(), 1);
    assert_eq!(ada.request("ada", "bread", NOW).unwrap_err(), no_such_resource("bread", "ada"));
    assert_eq!(drain(&events), []);
}

#[test]
fn on_request_may_refuse_with_a_reason() {
    let kitchen = kitchen();
    let options =
        PeerOptions::new().on_request(|_, by, name| Err(HandlerError::refused(format!("no {name} for {by}"))));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    ada.share("soup", "tomato").unwrap();
    assert_eq!(bob.request("ada", "soup", LONG).unwrap_err(), refused("ada", "no soup for bob"));
    assert_eq!(bob.get("soup").unwrap_err(), no_such_resource("soup", "bob"));
}

#[test]
fn on_request_may_share_on_the_spot() {
    let kitchen = kitchen();
    let options = PeerOptions::new().on_request(|ada, by, name| {
        ada.share(name, format!("fresh for {by}"))?;
        Ok(())
    });
    kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    for version in 1..=2 {
        let soup = bob.request("ada", "soup", LONG).unwrap();
        assert_eq!((soup.bytes(), soup.version()), (&b"fresh for bob"[..], version));
    }
}

#[test]
fn on_request_is_asked_also_for_what_is_not_held() {
    let kitchen = kitchen();
    let (asked, asks) = crossbeam_channel::unbounded();
    let options = PeerOptions::new().on_request(move |ada, by, name| {
        asked.send((ada.name().to_owned(), by.to_owned(), name.to_owned()))?;
        Ok(())
    });
    kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    assert_eq!(bob.request("ada", "soup", LONG).unwrap_err(), no_such_resource("soup", "ada"));
    assert_eq!(asks.try_iter().collect::<Vec<_>>(), [("ada".into(), "bob".into(), "soup".into())]);
}

#[test]
fn a_panic_of_on_request_is_told_and_the_peer_lives_on() {
    let kitchen = kitchen();
    let mut is_first = true;
    let options = PeerOptions::new().on_request(move |_, _, _| match std::mem::take(&mut is_first) {
        true => panic!("the pot is hot"),
        false => Ok(()),
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    ada.share("soup", "tomato").unwrap();
    assert_eq!(bob.request("ada", "soup", LONG).unwrap_err(), handler_failed("ada", "the pot is hot"));
    assert_eq!(bob.request("ada", "soup", LONG).unwrap().bytes(), b"tomato");
}

#[test]
fn on_request_is_asked_by_whatever_call_gets_the_resource() {
    let kitchen = kitchen();
    let (asked, asks) = crossbeam_channel::unbounded();
    let options = PeerOptions::new().on_request(move |_, by, name| Ok(asked.send(format!("{name} for {by}"))?));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    let soup = ada.share("soup", "tomato").unwrap();
    bob.request("ada", "soup", LONG).unwrap();
    bob.request_newer("ada", "soup", &soup, LONG).unwrap();
    bob.fetch("soup", LONG).unwrap();
    bob.exchange("ada", "soup", LONG).unwrap();
    assert_eq!(asks.try_iter().collect::<Vec<_>>(), ["soup for bob"; 4]);
    // Of the two, bob alone requests from ada.
    assert_eq!(kitchen.mingle("soup", 1, LONG).unwrap().len(), 2);
    assert_eq!(asks.try_iter().collect::<Vec<_>>(), ["soup for bob"]);
}

#[test]
fn however_often_a_peer_was_called_its_name_is_the_next_ones_when_it_has_closed() {
    let kinds: [fn() -> PeerOptions; 5] = [
        PeerOptions::new,
        || PeerOptions::new().on_request(|_, _, _| Ok(())),
        || PeerOptions::new().on_offer(|_, _, _| Ok(())),
        || PeerOptions::new().on_message(|_, _| Ok(())),
        || PeerOptions::new().on_received(|_, _, _| {}),
    ];
    for (number, options) in kinds.into_iter().enumerate() {
        let kitchen = kitchen();
        let bob = kitchen.spawn("bob").unwrap();
        for generation in ["first", "second", "third"] {
            let ada = kitchen.spawn_with("ada", options()).unwrap();
            for _ in 0..4 {
                bob.share("soup", "bob's").unwrap();
                let soup = ada.share("soup", generation).unwrap();
                assert_eq!(bob.request("ada", "soup", LONG).unwrap().bytes(), generation.as_bytes(), "kind {number}");
                assert!(bob.request_newer("ada", "soup", &soup, LONG).unwrap().is_none());
                bob.share("soup", "bob's").unwrap();
                assert_eq!(bob.exchange("ada", "soup", LONG).unwrap().bytes(), generation.as_bytes());
                bob.share("soup", "bob's").unwrap();
                bob.offer("ada", "soup", LONG).unwrap();
                assert_eq!(ada.get("soup").unwrap().bytes(), b"bob's");
            }
            ada.close(LONG).unwrap();
            for timeout in [LONG, NOW] {
                assert_eq!(bob.request("ada", "soup", timeout).unwrap_err(), no_such_peer("ada"), "kind {number}");
                assert_eq!(bob.offer("ada", "soup", timeout).unwrap_err(), no_such_peer("ada"), "kind {number}");
                assert_eq!(bob.exchange("ada", "soup", timeout).unwrap_err(), no_such_peer("ada"), "kind {number}");
            }
        }
    }
}

#[test]
fn what_a_peer_had_not_handled_at_its_end_keeps_nobody_from_the_next_of_its_name() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let ada = kitchen
        .spawn_with(
            "ada",
            PeerOptions::new().on_message(move |_, _| {
                held.pass();
                Ok(())
            }),
        )
        .unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    ada.share("soup", "first").unwrap();
    for _ in 0..3 {
        bob.request("ada", "soup", LONG).unwrap();
    }
    for _ in 0..3 {
        bob.tell("ada", "note", "", LONG).unwrap();
    }
    gate.await_arrival();
    let closer = ada.clone();
    let closing = host(move || closer.close(LONG)).waiting();
    gate.open();
    closing.result().unwrap();
    assert_eq!(bob.request("ada", "soup", LONG).unwrap_err(), no_such_peer("ada"));
    let next = kitchen.spawn("ada").unwrap();
    next.share("soup", "second").unwrap();
    assert_eq!(bob.request("ada", "soup", LONG).unwrap().bytes(), b"second");
}

#[test]
fn peers_that_call_one_another_in_a_ring_never_hold_each_other_up() {
    let kitchen = kitchen();
    let peers: Vec<_> = (0..3).map(|number| kitchen.spawn(&number.to_string()).unwrap()).collect();
    peers.iter().for_each(|peer| drop(peer.share("soup", peer.name().to_owned()).unwrap()));
    let callers = peers.iter().enumerate().map(|(number, peer)| {
        let (peer, next) = (peer.clone(), ((number + 1) % 3).to_string());
        host(move || {
            for _ in 0..20_000 {
                peer.exchange(&next, "soup", LONG).unwrap();
                peer.offer(&next, "soup", LONG).unwrap();
                peer.request(&next, "soup", LONG).unwrap();
            }
        })
    });
    callers.collect::<Vec<_>>().into_iter().for_each(|caller| caller.result());
}
