//! A request that hands nothing over if the other peer holds nothing newer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam_channel::unbounded;
use potluck::{Ended, Error, HandlerError, Peer, PeerOptions, Resource};

use crate::support::{
    Gate, Kitchen, LONG, NOW, SHORT, ada_and_bob, closed, drain, host, kitchen, next, no_such_peer, no_such_resource,
    peer_closed, refused,
};

/// The bytes of what was newer.
fn bytes(got: &potluck::Result<Option<Resource>>) -> Option<&[u8]> {
    got.as_ref().unwrap().as_ref().map(Resource::bytes)
}

/// A system with an ada who is asked for every request, and how often she was; and a bob.
fn asked_ada() -> (Kitchen, Peer, Peer, Arc<AtomicU32>) {
    let kitchen = kitchen();
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let options = PeerOptions::new().on_request(move |_, _, _| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    (kitchen, ada, bob, asked)
}

#[test]
fn what_is_newer_comes_as_by_a_request() {
    let (kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    let first = bob.request("ada", "soup", NOW).unwrap();
    ada.share("soup", "leek").unwrap();
    let events = kitchen.events(10).unwrap();
    drain(&events);
    let second = bob.request_newer("ada", "soup", &first, NOW).unwrap().expect("version 2 is newer");
    assert_eq!((second.bytes(), second.origin(), second.version()), (&b"leek"[..], "ada", 2));
    assert_eq!(bob.get("soup").unwrap().bytes(), b"leek");
    assert_eq!(drain(&events).len(), 2, "requested and received");
}

#[test]
fn what_is_the_same_or_older_is_not_handed_over_and_nothing_changes() {
    let (kitchen, ada, bob) = ada_and_bob();
    let eve = kitchen.spawn("eve").unwrap();
    ada.share("soup", "tomato").unwrap();
    eve.request("ada", "soup", NOW).unwrap();
    ada.share("soup", "leek").unwrap();
    let second = bob.request("ada", "soup", NOW).unwrap();
    let own = bob.share("soup", "bob's").unwrap();
    let events = kitchen.events(10).unwrap();
    drain(&events);
    for (from, what) in [("ada", "the same"), ("eve", "an older one")] {
        assert_eq!(bytes(&bob.request_newer(from, "soup", &second, NOW)), None, "{from} holds {what}");
    }
    assert_eq!(bob.get("soup").unwrap().version(), own.version());
    bob.unshare("soup").unwrap();
    assert_eq!(bytes(&bob.request_newer("ada", "soup", &second, NOW)), None, "whether bob holds it is not looked at");
    assert!(bob.resources().unwrap().is_empty());
    assert_eq!(kitchen.holders("soup").unwrap().len(), 2);
    assert_eq!(drain(&events), []);
}

#[test]
fn a_version_of_another_origin_is_newer_whatever_its_number() {
    let (_kitchen, ada, bob) = ada_and_bob();
    bob.share("soup", "tomato").unwrap();
    let second = bob.share("soup", "leek").unwrap();
    ada.share("soup", "onion").unwrap();
    assert_eq!(bytes(&bob.request_newer("ada", "soup", &second, NOW)), Some(&b"onion"[..]));
}

#[test]
fn what_a_peer_spawned_again_under_an_old_name_shares_is_newer() {
    let (kitchen, ada, bob) = ada_and_bob();
    for body in ["tomato", "leek", "onion"] {
        ada.share("soup", body).unwrap();
    }
    let old = bob.request("ada", "soup", NOW).unwrap();
    kitchen.spawn("eve").unwrap().request("bob", "soup", NOW).unwrap();
    ada.close(LONG).unwrap();
    let ada = kitchen.spawn("ada").unwrap();
    ada.share("soup", "again").unwrap();
    let new = bob.request_newer("ada", "soup", &old, NOW).unwrap().expect("another origin");
    assert_eq!((new.origin(), new.version(), new.bytes()), ("ada", 1, &b"again"[..]));
    assert_eq!(bytes(&bob.request_newer("ada", "soup", &new, NOW)), None);
    // And the other way round: neither is older than the other.
    assert_eq!(bytes(&bob.request_newer("eve", "soup", &new, NOW)), Some(&b"onion"[..]));
}

#[test]
fn what_a_peer_of_another_system_shares_is_newer() {
    let (_here, ada, bob) = ada_and_bob();
    let (_there, other, _) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    other.share("soup", "leek").unwrap();
    let theirs = other.share("soup", "onion").unwrap();
    assert_eq!(bytes(&bob.request_newer("ada", "soup", &theirs, NOW)), Some(&b"tomato"[..]));
}

#[test]
fn anything_held_is_newer_than_an_answer_to_an_ask() {
    let kitchen = kitchen();
    let options = PeerOptions::new().on_message(|_, message| Ok(message.reply("salty")?));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    ada.share("soup", "tomato").unwrap();
    let answer = bob.ask("ada", "soup", "", LONG).unwrap();
    assert_eq!(bytes(&bob.request_newer("ada", "soup", &answer, LONG)), Some(&b"tomato"[..]));
}

#[test]
fn from_oneself_it_is_get_by_the_same_rule_without_handler_or_event() {
    let (kitchen, ada, _, asked) = asked_ada();
    let first = ada.share("soup", "tomato").unwrap();
    let events = kitchen.events(10).unwrap();
    drain(&events);
    assert_eq!(bytes(&ada.request_newer("ada", "soup", &first, NOW)), None);
    let second = ada.share("soup", "leek").unwrap();
    assert_eq!(bytes(&ada.request_newer("ada", "soup", &first, NOW)), Some(&b"leek"[..]));
    ada.unshare("soup").unwrap();
    assert_eq!(ada.request_newer("ada", "soup", &second, NOW).unwrap_err(), no_such_resource("soup", "ada"));
    assert_eq!((drain(&events), asked.load(Ordering::SeqCst)), (Vec::new(), 0));
}

#[test]
fn than_must_have_the_name_that_is_requested() {
    let (_kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    let bread = ada.share("bread", "rye").unwrap();
    for from in ["ada", "bob", "eve"] {
        let error = bob.request_newer(from, "soup", &bread, LONG).unwrap_err();
        assert!(matches!(&error, Error::InvalidArgument(it) if it.contains("bread") && it.contains("soup")), "{error}");
    }
    assert!(matches!(bob.request_newer("ada", "so*up", &bread, NOW), Err(Error::InvalidName { .. })));
    assert!(bob.resources().unwrap().is_empty());
}

#[test]
fn its_errors_are_those_of_a_request() {
    let (_kitchen, ada, bob) = ada_and_bob();
    let soup = ada.share("soup", "tomato").unwrap();
    assert_eq!(bob.request_newer("eve", "soup", &soup, LONG).unwrap_err(), no_such_peer("eve"));
    assert!(matches!(bob.request_newer("e*e", "soup", &soup, LONG), Err(Error::InvalidName { .. })));
    ada.unshare("soup").unwrap();
    assert_eq!(bob.request_newer("ada", "soup", &soup, LONG).unwrap_err(), no_such_resource("soup", "ada"));
    bob.close(LONG).unwrap();
    assert_eq!(bob.request_newer("ada", "soup", &soup, LONG).unwrap_err(), closed("bob"));
}

#[test]
fn what_is_not_newer_needs_no_room() {
    let kitchen = kitchen();
    let ada = kitchen.spawn("ada").unwrap();
    let bob = kitchen.spawn_with("bob", PeerOptions::new().shelf_bytes_max(4)).unwrap();
    let first = ada.share("soup", "tomato").unwrap();
    assert_eq!(bytes(&bob.request_newer("ada", "soup", &first, NOW)), None);
    ada.share("soup", "onion").unwrap();
    let error = bob.request_newer("ada", "soup", &first, NOW).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 4, size: 5, .. }), "{error}");
    assert!(bob.resources().unwrap().is_empty());
}

#[test]
fn on_request_is_asked_also_if_nothing_is_newer() {
    let (kitchen, ada, bob, asked) = asked_ada();
    let first = ada.share("soup", "tomato").unwrap();
    let events = kitchen.events(10).unwrap();
    drain(&events);
    assert_eq!(bytes(&bob.request_newer("ada", "soup", &first, LONG)), None);
    assert_eq!((asked.load(Ordering::SeqCst), drain(&events)), (1, Vec::new()));
    assert!(bob.resources().unwrap().is_empty());
    ada.share("soup", "leek").unwrap();
    assert_eq!(bytes(&bob.request_newer("ada", "soup", &first, LONG)), Some(&b"leek"[..]));
    assert_eq!((asked.load(Ordering::SeqCst), drain(&events).len()), (2, 2));
    assert_eq!(bob.request_newer("ada", "soup", &first, NOW).unwrap_err(), Error::TimedOut);
}

#[test]
fn on_request_may_refuse_or_share_a_newer_one_on_the_spot() {
    let kitchen = kitchen();
    let mut is_first = true;
    let options = PeerOptions::new().on_request(move |ada, _, name| {
        if std::mem::take(&mut is_first) {
            return Err(HandlerError::refused("not yet"));
        }
        ada.share(name, "fresh")?;
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    let soup = ada.share("soup", "tomato").unwrap();
    assert_eq!(bob.request_newer("ada", "soup", &soup, LONG).unwrap_err(), refused("ada", "not yet"));
    assert_eq!(bytes(&bob.request_newer("ada", "soup", &soup, LONG)), Some(&b"fresh"[..]));
}

#[test]
fn it_waits_for_ones_own_earlier_tells_up_to_its_deadline() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_message(move |ada, message| {
        held.pass();
        if message.kind() == "cook" {
            ada.share("soup", "later")?;
        }
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    let first = ada.share("soup", "now").unwrap();
    for (kind, wanted) in [("taste", None), ("cook", Some(&b"later"[..]))] {
        bob.tell("ada", kind, "", NOW).unwrap();
        gate.await_arrival();
        for timeout in [NOW, SHORT] {
            assert_eq!(bob.request_newer("ada", "soup", &first, timeout).unwrap_err(), Error::TimedOut);
        }
        let (other, than) = (bob.clone(), first.clone());
        let request = host(move || other.request_newer("ada", "soup", &than, LONG)).waiting();
        assert!(request.is_waiting());
        gate.open();
        assert_eq!(bytes(&request.result()), wanted, "after {kind}");
    }
}

#[test]
fn when_the_other_closes_it_is_told_at_once() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_request(move |_, _, _| {
        held.pass();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    let soup = ada.share("soup", "tomato").unwrap();
    let request = host(move || bob.request_newer("ada", "soup", &soup, LONG));
    gate.await_arrival();
    assert_eq!(ada.close(NOW), Ok(Ended::StillRunning));
    assert_eq!(request.result().unwrap_err(), peer_closed("ada"));
    gate.open();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
}

#[test]
fn a_handler_that_needs_its_own_peers_handler_for_it_is_a_ring_of_one() {
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    let (seen, results) = unbounded();
    let acting = bob.clone();
    let options = PeerOptions::new().on_request(|_, _, _| Ok(())).on_message(move |ada, _| {
        let soup = ada.get("soup")?;
        seen.send(acting.request_newer("ada", "soup", &soup, LONG).map(drop))?;
        seen.send(ada.request_newer("ada", "soup", &soup, LONG).map(drop))?;
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.share("soup", "tomato").unwrap();
    ada.tell("ada", "go", "", NOW).unwrap();
    assert_eq!(next(&results), Err(Error::Deadlock { ring: vec!["ada".to_owned(), "ada".to_owned()] }));
    assert_eq!(next(&results), Ok(()));
}
