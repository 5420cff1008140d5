//! An accepted message that no handler will see is a dead letter, counted once.

use std::time::Duration;

use potluck::{DeadLetter, DeadLetters, Ended, Error, Event, Peer, PeerOptions, PeerSystem, SystemOptions};

use crate::support::{Gate, Host, Kitchen, LONG, NOW, SHORT, closed, drain, host, kitchen, kitchen_with, peer_closed};

type Letter = (String, String, String, u64, Error);

fn letter(kind: &str, size: u64, reason: Error) -> Letter {
    ("ada".into(), "bob".into(), kind.into(), size, reason)
}

fn seen(letters: &[DeadLetter]) -> Vec<Letter> {
    let seen =
        |it: &DeadLetter| (it.to.to_string(), it.from.to_string(), it.kind.to_string(), it.size, it.reason.clone());
    letters.iter().map(seen).collect()
}

fn kinds(dead: &DeadLetters) -> Vec<&str> {
    dead.newest.iter().map(|letter| &*letter.kind).collect()
}

/// A bob, and an ada whose handler stands at the gate.
fn busy_ada(kitchen: &Kitchen) -> (Peer, Peer, Gate) {
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_message(move |_, _| {
        held.pass();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    bob.tell("ada", "wait", "", NOW).unwrap();
    gate.await_arrival();
    (ada, bob, gate)
}

#[test]
fn without_dead_letters_there_are_none() {
    let (dead, fresh) = (kitchen().dead_letters().unwrap(), kitchen());
    assert_eq!((dead.count, dead.newest), (0, Vec::new()));
    let (ada, bob) = (fresh.spawn("ada").unwrap(), fresh.spawn("bob").unwrap());
    bob.tell("ada", "hello", "", NOW).unwrap();
    ada.receive(NOW).unwrap();
    ada.close(LONG).unwrap();
    assert_eq!(fresh.dead_letters().unwrap().count, 0);
}

#[test]
fn each_says_to_whom_from_whom_its_kind_its_size_and_why() {
    let kitchen = kitchen();
    let (ada, bob, gate) = busy_ada(&kitchen);
    bob.tell("ada", "note", "body", NOW).unwrap();
    assert_eq!(bob.ask("ada", "late", "12", SHORT).unwrap_err(), Error::TimedOut);
    let asking = bob.clone();
    let asked = host(move || asking.ask("ada", "question", "123", LONG).map(drop)).waiting();
    assert_eq!(kitchen.dead_letters().unwrap().count, 1, "only the one that was given up");
    assert_eq!(ada.close(NOW), Ok(Ended::StillRunning));
    assert_eq!(asked.result(), Err(peer_closed("ada")));
    gate.open();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    let dead = kitchen.dead_letters().unwrap();
    let gone = peer_closed("ada");
    let wanted = [letter("late", 2, Error::TimedOut), letter("note", 4, gone.clone()), letter("question", 3, gone)];
    assert_eq!((dead.count, seen(&dead.newest)), (3, wanted.to_vec()));
}

#[test]
fn an_ask_whose_sender_closes_while_it_is_queued_is_one() {
    let kitchen = kitchen();
    let (_ada, bob, gate) = busy_ada(&kitchen);
    let asking = bob.clone();
    let asked = host(move || asking.ask("ada", "question", "", LONG).map(drop)).waiting();
    assert_eq!(bob.close(LONG), Ok(Ended::Yes));
    assert_eq!(asked.result(), Err(closed("bob")));
    assert_eq!(seen(&kitchen.dead_letters().unwrap().newest), [letter("question", 0, closed("bob"))]);
    gate.open();
}

#[test]
fn they_are_the_same_as_the_events_and_in_their_order() {
    let kitchen = kitchen();
    let events = kitchen.events(100).unwrap();
    let (ada, bob, gate) = busy_ada(&kitchen);
    for kind in ["1", "2", "3"] {
        bob.tell("ada", kind, "", NOW).unwrap();
    }
    assert_eq!(ada.close(NOW), Ok(Ended::StillRunning));
    gate.open();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    let told = drain(&events).into_iter().filter_map(|event| match event {
        Event::DeadLetter { kind, .. } => Some(kind.to_string()),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), kinds(&kitchen.dead_letters().unwrap()));
}

#[test]
fn the_newest_are_kept_and_all_are_counted() {
    let kitchen = kitchen_with(SystemOptions::new().dead_letters_max(2));
    // Busy, so that they are buried by one thread, in their order.
    let (ada, bob, gate) = busy_ada(&kitchen);
    for number in 0..5 {
        bob.tell("ada", &number.to_string(), "", NOW).unwrap();
    }
    assert_eq!(ada.close(NOW), Ok(Ended::StillRunning));
    gate.open();
    let dead = kitchen.dead_letters().unwrap();
    assert_eq!((dead.count, kinds(&dead)), (5, vec!["3", "4"]));
}

#[test]
fn by_default_the_newest_1024_are_kept() {
    let kitchen = kitchen_with(SystemOptions::new().mailbox_messages_max(2_000));
    let (ada, bob, gate) = busy_ada(&kitchen);
    for number in 0..1_030 {
        bob.tell("ada", &number.to_string(), "", NOW).unwrap();
    }
    assert_eq!(ada.close(NOW), Ok(Ended::StillRunning));
    gate.open();
    let dead = kitchen.dead_letters().unwrap();
    assert_eq!((dead.count, dead.newest.len(), kinds(&dead)[0]), (1_030, 1_024, "6"));
}

#[test]
fn a_ring_of_none_is_refused() {
    let refused = PeerSystem::open_with("kitchen", SystemOptions::new().dead_letters_max(0)).unwrap_err();
    assert!(matches!(refused, Error::InvalidArgument(what) if what.contains("dead_letters_max")));
}

#[test]
fn they_can_be_read_after_the_shutdown() {
    let kitchen = kitchen();
    let ada = kitchen.spawn("ada").unwrap();
    ada.tell("ada", "note", "", NOW).unwrap();
    kitchen.shutdown(LONG).unwrap();
    assert_eq!(kinds(&kitchen.dead_letters().unwrap()), ["note"]);
}

#[test]
fn every_message_is_handled_or_a_dead_letter_when_peers_close_while_others_send() {
    for round in 0..50 {
        let kitchen = kitchen();
        let (handled, handlings) = crossbeam_channel::unbounded();
        let options = PeerOptions::new().mailbox_messages_max(8).on_message(move |_, _| Ok(handled.send(())?));
        let ada = kitchen.spawn_with("ada", options).unwrap();
        let senders = ["bob", "eve"].map(|name| {
            let sender = kitchen.spawn(name).unwrap();
            host(move || (0..).take_while(|_| sender.tell("ada", "note", "", LONG).is_ok()).count())
        });
        assert!(handlings.recv_timeout(LONG).is_ok());
        assert_eq!(ada.close(LONG), Ok(Ended::Yes));
        let sent: usize = senders.map(crate::support::Host::result).iter().sum();
        let dead = kitchen.dead_letters().unwrap().count as usize;
        assert_eq!(sent, 1 + handlings.len() + dead, "round {round}");
    }
}

#[test]
fn an_ask_that_is_given_up_at_an_inbox_is_recorded_before_its_peer_has_left() {
    let kitchen = kitchen();
    let events = kitchen.events(1_000_000).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    for _ in 0..300 {
        let ada = kitchen.spawn("ada").unwrap();
        let askers = [0, 1, 2].map(|first| {
            let bob = bob.clone();
            host(move || {
                let ask = |n: u64| bob.ask("ada", "taste", "", Duration::from_nanos(1 + n * 37 % 60_000));
                let is_gone = |error| matches!(error, Error::PeerClosed { .. } | Error::NoSuchPeer { .. });
                (first..).find(|n| ask(*n).is_err_and(is_gone));
            })
        });
        let receivers = [(); 2].map(|()| {
            let ada = ada.clone();
            host(move || while !matches!(ada.receive(LONG), Err(Error::Closed { .. })) {})
        });
        // They are given up in the queue now and then: the close comes at any moment after the first of that.
        while !matches!(events.next(LONG).expect("none is given up"), Event::DeadLetter { .. }) {}
        assert_eq!(ada.close(LONG), Ok(Ended::Yes));
        askers.into_iter().chain(receivers).for_each(Host::result);
        let seen = drain(&events);
        let left = seen.iter().position(|event| matches!(event, Event::Left { .. })).expect("it has left");
        let late: Vec<_> = seen[left..].iter().filter(|event| matches!(event, Event::DeadLetter { .. })).collect();
        assert!(late.is_empty(), "after it has left: {late:?}");
    }
}

/// Whoever closes a peer buries what it has not got; its own thread may wake at that very moment, and do the same.
#[test]
fn what_is_left_at_a_close_is_recorded_in_the_order_in_which_it_was_sent() {
    const COUNT: usize = 20;
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    for round in 0..500 {
        let ada = kitchen.spawn("ada").unwrap();
        let sent: Vec<String> = (0..COUNT).map(|number| format!("{round}-{number}")).collect();
        sent.iter().for_each(|kind| bob.tell("ada", kind, "", NOW).unwrap());
        ada.close(LONG).unwrap();
        let letters = kitchen.dead_letters().unwrap();
        let kinds = kinds(&letters);
        assert_eq!(kinds[kinds.len() - COUNT..], sent);
    }
}
