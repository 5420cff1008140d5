//! What one peer sends to another takes effect in the order sent, and nobody waits for more than what came before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::unbounded;
use potluck::{Ended, Error, HandlerError, PeerOptions};

use crate::support::{Gate, LONG, NOW, SHORT, host, kitchen, next, no_such_resource, shut_down};

/// A handler that shares what it is told, by kind.
fn sharing() -> PeerOptions {
    PeerOptions::new().on_message(|me, message| {
        me.share(message.kind(), message.body())?;
        Ok(())
    })
}

#[test]
fn a_request_after_a_tell_sees_what_its_handler_did() {
    let kitchen = kitchen();
    kitchen.spawn_with("ada", sharing()).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    for version in 1..=500 {
        bob.tell("ada", "soup", "", LONG).unwrap();
        assert_eq!(bob.request("ada", "soup", LONG).unwrap().version(), version);
    }
}

#[test]
fn each_shelf_operation_after_a_tell_waits_for_its_handler() {
    let kitchen = kitchen();
    let ada = kitchen.spawn_with("ada", sharing()).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    // A fetch looks for who holds it before it waits for anybody.
    ada.share("soup", "").unwrap();
    for round in 1..=100 {
        bob.share("bread", "rye").unwrap();
        bob.tell("ada", "bread", "ada's", LONG).unwrap();
        bob.offer("ada", "bread", LONG).unwrap();
        assert_eq!(ada.get("bread").unwrap().bytes(), b"rye", "the offer came second, in round {round}");
        bob.tell("ada", "bread", "ada's", LONG).unwrap();
        assert_eq!(bob.exchange("ada", "bread", LONG).unwrap().bytes(), b"ada's");
        bob.tell("ada", "soup", round.to_string(), LONG).unwrap();
        assert_eq!(bob.fetch("soup", LONG).unwrap().bytes(), round.to_string().as_bytes());
    }
}

#[test]
fn a_request_waits_for_ones_own_tells_up_to_its_deadline_and_for_nobody_elses() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_message(move |ada, _| {
        held.pass();
        ada.share("soup", "later")?;
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let (bob, eve) = (kitchen.spawn("bob").unwrap(), kitchen.spawn("eve").unwrap());
    ada.share("soup", "now").unwrap();
    bob.tell("ada", "cook", "", NOW).unwrap();
    gate.await_arrival();
    assert_eq!(bob.request("ada", "soup", NOW).unwrap_err(), Error::TimedOut);
    assert_eq!(bob.request("ada", "soup", SHORT).unwrap_err(), Error::TimedOut);
    assert_eq!(bob.get("soup").unwrap_err(), no_such_resource("soup", "bob"));
    assert_eq!(eve.request("ada", "soup", NOW).unwrap().bytes(), b"now");
    let other = bob.clone();
    let request = host(move || other.request("ada", "soup", LONG)).waiting();
    assert!(request.is_waiting());
    gate.open();
    assert_eq!(request.result().unwrap().bytes(), b"later");
}

#[test]
fn a_tell_whose_handler_fails_is_finished_too() {
    let kitchen = kitchen();
    let options = PeerOptions::new().on_message(|_, message| match message.kind() {
        "panic" => panic!("the pot is hot"),
        _ => Err(HandlerError::UnknownMessage),
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    ada.share("soup", "tomato").unwrap();
    for kind in ["panic", "unknown"] {
        bob.tell("ada", kind, "", NOW).unwrap();
        bob.request("ada", "soup", LONG).unwrap();
    }
}

#[test]
fn messages_and_operations_that_need_handlers_take_effect_in_the_order_sent() {
    let kitchen = kitchen();
    let (seen, sights) = unbounded();
    let (requests, offers) = (seen.clone(), seen.clone());
    let options = PeerOptions::new()
        .on_message(move |_, message| Ok(seen.send(message.kind().to_owned())?))
        .on_request(move |_, _, name| Ok(requests.send(name.to_owned())?))
        .on_offer(move |_, _, offered| Ok(offers.send(offered.name().to_owned())?));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    ada.share("2", "").unwrap();
    bob.share("4", "").unwrap();
    for _ in 0..100 {
        bob.tell("ada", "1", "", LONG).unwrap();
        bob.request("ada", "2", LONG).unwrap();
        bob.tell("ada", "3", "", LONG).unwrap();
        bob.offer("ada", "4", LONG).unwrap();
        bob.tell("ada", "5", "", LONG).unwrap();
        for expected in 1..=5 {
            assert_eq!(next(&sights), expected.to_string());
        }
    }
}

#[test]
fn the_tells_of_one_peer_are_handled_in_the_order_sent_also_when_they_wait_for_room() {
    let kitchen = kitchen();
    let (seen, sights) = unbounded();
    let options = PeerOptions::new().mailbox_messages_max(2).on_message(move |_, message| {
        seen.send((message.from().to_owned(), message.kind().parse::<u32>()?))?;
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let senders = ["bob", "eve", "zoe"].map(|name| {
        let peer = kitchen.spawn(name).unwrap();
        host(move || (0..300).for_each(|number: u32| peer.tell("ada", &number.to_string(), "", LONG).unwrap()))
    });
    senders.into_iter().for_each(|sender| sender.result());
    ada.ask("ada", "0", "", LONG).unwrap_err();
    let sights: Vec<_> = sights.try_iter().collect();
    for name in ["bob", "eve", "zoe"] {
        let numbers = sights.iter().filter(|(from, _)| from == name).map(|(_, number)| *number);
        assert!(numbers.eq(0..300), "{name}");
    }
}

#[test]
fn tells_to_many_peers_are_each_waited_for() {
    let kitchen = kitchen();
    let names: Vec<String> = (0..200).map(|number| format!("peer{number}")).collect();
    for name in &names {
        kitchen.spawn_with(name, sharing()).unwrap();
    }
    let bob = kitchen.spawn("bob").unwrap();
    for version in 1..=3 {
        names.iter().for_each(|name| bob.tell(name, name, "", LONG).unwrap());
        for name in &names {
            assert_eq!(bob.request(name, name, LONG).unwrap().version(), version, "{name}");
        }
    }
}

#[test]
fn a_request_behind_own_tells_waits_for_those_alone_and_not_for_later_ones() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let inside = gate.clone();
    let cook = PeerOptions::new().on_message(move |_, _| {
        inside.pass();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", cook).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    ada.share("soup", "tomato").unwrap();
    bob.try_tell("ada", "first", "").unwrap();
    gate.await_arrival();
    let caller = bob.clone();
    let request = host(move || caller.request("ada", "soup", LONG)).waiting();
    // As the same peer, from another thread: it has no order with the request, which must not wait for it.
    bob.try_tell("ada", "second", "").unwrap();
    gate.open();
    gate.await_arrival();
    assert_eq!(request.result().unwrap().bytes(), b"tomato");
    gate.open();
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn a_message_is_handled_though_receipts_never_end() {
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "tomato").unwrap();
    let goes_on = Arc::new(AtomicBool::new(true));
    let (giver, more) = (bob.clone(), Arc::clone(&goes_on));
    let eater = PeerOptions::new()
        .on_message(|_, message| Ok(message.reply("enough")?))
        // Each receipt makes the next: an offer to the very peer whose handler runs is done in place.
        .on_received(move |_, _, _| {
            if more.load(Ordering::SeqCst) {
                giver.offer("ada", "soup", NOW).unwrap();
            }
        });
    kitchen.spawn_with("ada", eater).unwrap();
    bob.offer("ada", "soup", LONG).unwrap();
    assert_eq!(bob.ask("ada", "more?", "", LONG).unwrap().bytes(), b"enough");
    goes_on.store(false, Ordering::SeqCst);
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}
