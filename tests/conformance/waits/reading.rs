//! The turn: reading waits for nobody's handler, changing waits for the one that runs, and no two wait for each other.

use std::sync::Arc;
use std::sync::Barrier;

use crossbeam_channel::unbounded;
use potluck::{Error, Message, Peer, PeerOptions};

use crate::support::{Gate, Host, Kitchen, LONG, NOW, SHORT, drain, host, kitchen, next, no_such_resource};

/// A system with an ada whose handler stands at the gate and who holds `soup` and `bread`, and a bob who holds `bread`.
fn busy_ada() -> (Kitchen, Peer, Peer, Gate) {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_message(move |_, _| {
        held.pass();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    ada.share("soup", "tomato").unwrap();
    ada.share("bread", "ada's").unwrap();
    bob.share("bread", "bob's").unwrap();
    ada.tell("ada", "wait", "", NOW).unwrap();
    gate.await_arrival();
    (kitchen, ada, bob, gate)
}

#[test]
fn what_a_peer_has_shared_can_be_read_while_its_handler_waits() {
    let (kitchen, ada, bob, gate) = busy_ada();
    assert_eq!(bob.request("ada", "soup", NOW).unwrap().bytes(), b"tomato");
    assert_eq!(bob.fetch("soup", NOW).unwrap().bytes(), b"tomato");
    let bread = bob.get("bread").unwrap();
    assert_eq!(bob.request_newer("ada", "bread", &bread, NOW).unwrap().unwrap().bytes(), b"ada's");
    assert_eq!(ada.get("soup").unwrap().bytes(), b"tomato");
    assert_eq!(ada.resources().unwrap().len(), 2);
    assert_eq!(kitchen.holders("soup").unwrap().len(), 2);
    assert!(kitchen.mingle("soup", 1, LONG).unwrap().iter().all(|it| it.result.is_ok()));
    gate.open();
}

#[test]
fn a_peers_own_acts_take_effect_at_once_while_its_handler_waits() {
    let (_kitchen, ada, bob, gate) = busy_ada();
    ada.share("soup", "leek").unwrap();
    assert_eq!(bob.request("ada", "soup", NOW).unwrap().bytes(), b"leek");
    ada.unshare("soup").unwrap();
    assert_eq!(bob.request("ada", "soup", NOW).unwrap_err(), no_such_resource("soup", "ada"));
    gate.open();
}

#[test]
fn an_offer_or_exchange_times_out_with_nothing_changed_while_the_handler_runs() {
    let (kitchen, ada, bob, gate) = busy_ada();
    let events = kitchen.events(10).unwrap();
    drain(&events);
    for timeout in [NOW, SHORT] {
        assert_eq!(bob.offer("ada", "bread", timeout).unwrap_err(), Error::TimedOut);
        assert_eq!(bob.exchange("ada", "bread", timeout).unwrap_err(), Error::TimedOut);
    }
    gate.open();
    // The ask that is handled after all that shows that nothing was left to be done.
    gate.open();
    ada.ask("ada", "still there", "", LONG).unwrap_err();
    assert_eq!((ada.get("bread").unwrap().origin(), bob.get("bread").unwrap().origin()), ("ada", "bob"));
    assert_eq!(drain(&events), []);
}

#[test]
fn an_offer_or_exchange_is_done_once_the_handler_has_returned() {
    let (kitchen, ada, bob, gate) = busy_ada();
    let eve = kitchen.spawn("eve").unwrap();
    eve.share("soup", "eve's").unwrap();
    let offer = host(move || bob.offer("ada", "bread", LONG)).waiting();
    let exchange = host(move || eve.exchange("ada", "soup", LONG)).waiting();
    assert!(offer.is_waiting() && exchange.is_waiting());
    assert_eq!((ada.get("bread").unwrap().origin(), ada.get("soup").unwrap().origin()), ("ada", "ada"));
    gate.open();
    offer.result().unwrap();
    assert_eq!(exchange.result().unwrap().bytes(), b"tomato");
    assert_eq!((ada.get("bread").unwrap().origin(), ada.get("soup").unwrap().origin()), ("bob", "eve"));
}

#[test]
fn an_offer_to_a_peer_whose_handler_waits_in_an_ask_is_done_meanwhile() {
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    let (seen, sights) = unbounded();
    let options = PeerOptions::new().on_message(move |ada, _| {
        let before = ada.get("bread")?.version();
        ada.ask("bob", "question", "", LONG)?;
        let after = ada.get("bread")?.version();
        seen.send((before, after))?;
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.share("bread", "rye").unwrap();
    ada.tell("ada", "go", "", NOW).unwrap();
    let question = bob.receive(LONG).unwrap();
    for _ in 0..3 {
        bob.share("bread", "wheat").unwrap();
    }
    bob.offer("ada", "bread", LONG).unwrap();
    question.reply("answer").unwrap();
    assert_eq!(next(&sights), (1, 3));
}

#[test]
fn no_other_peer_changes_a_shelf_while_its_handler_runs() {
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "bob's").unwrap();
    let options = PeerOptions::new().on_message(|ada, message| {
        let own = ada.share("soup", "ada's")?;
        let is_same = (0..200).all(|_| ada.get("soup").is_ok_and(|held| held.origin() == own.origin()));
        Ok(message.reply(if is_same { "same" } else { "changed" })?)
    });
    kitchen.spawn_with("ada", options).unwrap();
    let other = bob.clone();
    let offers = host(move || (0..3_000).for_each(|_| other.offer("ada", "soup", LONG).unwrap()));
    while offers.is_waiting() {
        assert_eq!(bob.ask("ada", "look", "", LONG).unwrap().bytes(), b"same");
    }
    offers.result();
}

#[test]
fn two_peers_that_exchange_with_each_other_from_their_handlers_at_once_both_succeed() {
    let kitchen = kitchen();
    let barrier = Arc::new(Barrier::new(2));
    let swapper = |other: &'static str| {
        let barrier = Arc::clone(&barrier);
        let on_message = move |me: &Peer, message: &Message| {
            barrier.wait();
            me.exchange(other, "soup", LONG)?;
            Ok(message.reply("done")?)
        };
        PeerOptions::new().on_message(on_message)
    };
    let ada = kitchen.spawn_with("ada", swapper("bob")).unwrap();
    let bob = kitchen.spawn_with("bob", swapper("ada")).unwrap();
    ada.share("soup", "ada's").unwrap();
    bob.share("soup", "bob's").unwrap();
    let askers = ["eve", "zoe"].map(|name| kitchen.spawn(name).unwrap());
    let rounds = askers.into_iter().zip(["ada", "bob"]).map(|(asker, to)| {
        host(move || (0..500).for_each(|_| assert_eq!(asker.ask(to, "go", "", LONG).unwrap().bytes(), b"done")))
    });
    rounds.collect::<Vec<_>>().into_iter().for_each(Host::result);
    // Two swaps in each round, so all is where it was.
    assert_eq!((ada.get("soup").unwrap().origin(), bob.get("soup").unwrap().origin()), ("ada", "bob"));
}

#[test]
fn the_peer_that_is_asked_by_a_handler_may_request_from_it_and_offer_to_it() {
    let kitchen = kitchen();
    let asking = PeerOptions::new().on_message(|ada, message| {
        let answer = ada.ask("bob", "go", "", LONG)?;
        assert_eq!(ada.get("bread")?.origin(), "bob");
        Ok(message.reply(answer.body())?)
    });
    let answering = PeerOptions::new().on_message(|bob, message| {
        let soup = bob.request("ada", "soup", LONG)?;
        bob.offer("ada", "bread", LONG)?;
        Ok(message.reply(soup.body())?)
    });
    kitchen.spawn_with("ada", asking).unwrap().share("soup", "tomato").unwrap();
    kitchen.spawn_with("bob", answering).unwrap().share("bread", "rye").unwrap();
    let eve = kitchen.spawn("eve").unwrap();
    for _ in 0..100 {
        assert_eq!(eve.ask("ada", "go", "", LONG).unwrap().bytes(), b"tomato");
    }
}

#[test]
fn a_shelf_operation_of_a_handler_on_its_own_peer_as_another_is_done_in_place() {
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("bread", "rye").unwrap();
    bob.share("soup", "leek").unwrap();
    let acting = bob.clone();
    let (seen, sights) = unbounded();
    let options = PeerOptions::new().on_message(move |ada, _| {
        let got = acting.request("ada", "salt", NOW)?;
        acting.offer("ada", "bread", NOW)?;
        let swapped = acting.exchange("ada", "soup", NOW)?;
        seen.send((got, ada.get("bread")?, swapped, ada.get("soup")?))?;
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.share("salt", "sea").unwrap();
    ada.share("soup", "tomato").unwrap();
    ada.tell("ada", "go", "", NOW).unwrap();
    let (got, bread, swapped, soup) = next(&sights);
    assert_eq!([got.bytes(), bread.bytes(), swapped.bytes(), soup.bytes()], [&b"sea"[..], b"rye", b"tomato", b"leek"]);
}

#[test]
fn a_shelf_operation_of_a_handler_that_needs_a_handler_of_the_same_peer_is_a_deadlock() {
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "leek").unwrap();
    let acting = bob.clone();
    let (seen, sights) = unbounded();
    let options = PeerOptions::new().on_offer(|_, _, _| Ok(())).on_request(|_, _, _| Ok(())).on_message(move |_, _| {
        seen.send(acting.request("ada", "soup", LONG).unwrap_err())?;
        seen.send(acting.offer("ada", "soup", LONG).unwrap_err())?;
        seen.send(acting.exchange("ada", "soup", LONG).unwrap_err())?;
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.share("soup", "tomato").unwrap();
    ada.tell("ada", "go", "", NOW).unwrap();
    for _ in 0..3 {
        let error = next(&sights);
        assert!(matches!(&error, Error::Deadlock { ring } if ring.contains(&"ada".to_owned())), "{error}");
    }
    assert_eq!(ada.get("soup").unwrap().bytes(), b"tomato");
}

#[test]
fn a_shelf_operation_of_a_handler_behind_an_unfinished_tell_to_the_same_peer_is_a_deadlock() {
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    let acting = bob.clone();
    let (seen, sights) = unbounded();
    let options = PeerOptions::new().on_message(move |_, message| {
        if message.kind() == "go" {
            // The one that is handled now was told by bob, and is unfinished.
            seen.send(acting.request("ada", "soup", LONG).map(drop))?;
        }
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.share("soup", "tomato").unwrap();
    bob.tell("ada", "go", "", NOW).unwrap();
    assert!(matches!(next(&sights), Err(Error::Deadlock { .. })));
    bob.request("ada", "soup", LONG).unwrap();
    ada.tell("ada", "go", "", NOW).unwrap();
    assert_eq!(next(&sights), Ok(()), "this one was told by ada");
}

#[test]
fn operations_that_wait_for_a_turn_are_done_in_the_order_of_arrival() {
    let (kitchen, ada, bob, gate) = busy_ada();
    let options = PeerOptions::new();
    let eve = kitchen.spawn_with("eve", options).unwrap();
    eve.share("bread", "eve's").unwrap();
    let events = kitchen.events(20).unwrap();
    drain(&events);
    let first = host(move || bob.offer("ada", "bread", LONG)).waiting();
    let second = host(move || eve.offer("ada", "bread", LONG)).waiting();
    gate.open();
    first.result().unwrap();
    second.result().unwrap();
    assert_eq!(ada.get("bread").unwrap().origin(), "eve");
    let from: Vec<String> = drain(&events)
        .into_iter()
        .map(|event| match event {
            potluck::Event::Received { from, .. } => from.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(from, ["bob", "eve"]);
}
