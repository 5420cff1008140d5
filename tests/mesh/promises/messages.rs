//! Tells, asks and answers between nodes, and what becomes of messages that nobody handles.

use crossbeam_channel::unbounded;
use potluck::{Ended, Error, Event, HandlerError, Message, PeerOptions};

use crate::content::{digest, noise};
use crate::nodes::{Two, at_once, joined, spawn_seen, two, two_with, until};
use crate::support::{Gate, LONG, NOW, PATIENT, drain, full, handler_failed, host, next, peer_closed};

#[test]
fn a_tell_arrives_with_its_sender_kind_and_body() {
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    for (kind, size) in [("hello", 5), ("a kind / with @ signs", 0), ("large", 300_000), ("larger", 9_000_000)] {
        let body = noise(7, size);
        bob.tell("ada", kind, body.clone(), LONG).unwrap();
        let message = ada.receive(NOW).expect("it was accepted before the tell returned");
        assert_eq!((message.from(), message.kind(), message.is_ask()), ("bob@laptop", kind, false));
        assert_eq!(digest(message.bytes()), digest(&body));
        assert!(matches!(message.reply(""), Err(Error::InvalidArgument(_))));
        // The way back is by the name it came from.
        ada.tell(message.from(), "thanks", "", LONG).unwrap();
        assert_eq!(bob.receive(NOW).unwrap().from(), "ada@desk");
    }
    assert!(matches!(bob.tell("ada", "", "", LONG), Err(Error::InvalidName { .. })));
}

#[test]
fn an_ask_is_answered_by_a_resource_of_the_replier() {
    let options = PeerOptions::new().on_message(|_, message| {
        let body = [b"re: ", message.bytes()].concat();
        Ok(message.reply(body)?)
    });
    let Two { desk: _desk, laptop: _laptop, bob, .. } = two_with(options);
    for size in [0, 5, 300_000, 9_000_000] {
        let body = noise(9, size);
        let answer = bob.ask("ada@desk", "taste", body.clone(), LONG).unwrap();
        assert_eq!((answer.name(), answer.origin(), answer.version()), ("taste", "ada@desk", 0));
        assert_eq!(digest(answer.bytes()), digest(&[b"re: ", &body[..]].concat()));
    }
}

#[test]
fn a_peer_without_on_message_receives_asks_and_answers_them_later() {
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    let asker = bob.clone();
    let asking = host(move || asker.ask("ada", "taste", "soup", LONG));
    let asked = ada.receive(LONG).unwrap();
    assert_eq!((asked.from(), asked.kind(), asked.is_ask()), ("bob@laptop", "taste", true));
    assert!(asking.is_waiting());
    asked.reply("salt").unwrap();
    assert_eq!(asking.result().unwrap().bytes(), b"salt");
    assert!(matches!(asked.reply("again"), Err(Error::InvalidArgument(_))));
}

#[test]
fn a_message_that_a_handler_keeps_is_answered_after_it_has_returned() {
    let (kept, keeps) = unbounded::<Message>();
    let options = PeerOptions::new().on_message(move |_, message| Ok(kept.send(message.keep())?));
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two_with(options);
    let asker = bob.clone();
    let asking = host(move || asker.ask("ada", "taste", "", LONG));
    let message = next(&keeps);
    // Its handler is free for others.
    ada.tell("ada", "other", "", LONG).unwrap();
    assert_eq!(next(&keeps).kind(), "other");
    message.reply("late").unwrap();
    assert_eq!(asking.result().unwrap().bytes(), b"late");
}

#[test]
fn each_way_not_to_answer_has_its_own_name() {
    let options = PeerOptions::new().on_message(|_, message| match message.kind() {
        "panic" => panic!("the pot is hot"),
        "fail" => Err(HandlerError::failed("no salt")),
        "silent" => Ok(()),
        _ => Err(HandlerError::UnknownMessage),
    });
    let Two { desk, laptop: _laptop, bob, .. } = two_with(options);
    let events = desk.events(100).unwrap();
    let ask = |kind| at_once(|| bob.ask("ada", kind, "", LONG).unwrap_err());
    assert_eq!(ask("panic"), handler_failed("ada@desk", "the pot is hot"));
    assert_eq!(ask("fail"), handler_failed("ada@desk", "no salt"));
    assert_eq!(ask("silent"), Error::NoReply { peer: "ada@desk".into() });
    assert_eq!(ask("odd"), Error::UnknownMessage { peer: "ada@desk".into(), kind: "odd".into() });
    let seen = drain(&events);
    let (peer, from, kind) = ("ada".into(), "bob@laptop".into(), "odd".into());
    assert!(seen.contains(&Event::UnknownMessage { peer, from, kind, size: 0 }), "{seen:?}");
    let failed = Event::HandlerFailed { peer: "ada".into(), from: "bob@laptop".into(), text: "no salt".into() };
    assert!(seen.contains(&failed), "{seen:?}");
}

#[test]
fn a_received_ask_that_is_dropped_has_no_reply() {
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    let asker = bob.clone();
    let asking = host(move || asker.ask("ada", "taste", "", LONG));
    drop(ada.receive(LONG).unwrap());
    assert_eq!(asking.result().unwrap_err(), Error::NoReply { peer: "ada@desk".into() });
}

#[test]
fn no_room_is_full_and_more_than_all_room_is_too_large() {
    let options = PeerOptions::new().mailbox_messages_max(2).mailbox_bytes_max(1_000_000);
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two_with(options);
    let large = at_once(|| bob.tell("ada", "large", noise(1, 1_000_001), LONG).unwrap_err());
    assert!(matches!(large, Error::TooLarge { limit: 1_000_000, .. }), "{large:?}");
    bob.tell("ada", "first", "", LONG).unwrap();
    bob.tell("ada", "second", "", LONG).unwrap();
    assert_eq!(bob.tell("ada", "third", "", PATIENT).unwrap_err(), full("ada@desk"));
    let teller = bob.clone();
    let telling = host(move || teller.tell("ada", "fourth", "", LONG)).waiting();
    assert!(telling.is_waiting());
    let received = || ada.receive(LONG).unwrap().kind().to_owned();
    assert_eq!(received(), "first");
    telling.result().unwrap();
    assert_eq!((received(), received()), ("second".into(), "fourth".into()));
    assert_eq!(ada.receive(NOW).map(drop), Err(Error::TimedOut), "what was full was not sent");
}

#[test]
fn an_ask_that_was_not_begun_never_happens_and_one_that_was_is_in_doubt() {
    let gate = Gate::new();
    let held = gate.clone();
    let (handled, kinds) = unbounded();
    let options = PeerOptions::new().on_message(move |_, message| {
        handled.send(message.kind().to_owned())?;
        held.pass();
        Ok(message.reply("")?)
    });
    let Two { desk, laptop: _laptop, ada, bob } = two_with(options);
    let asker = bob.clone();
    let begun = host(move || asker.ask("ada", "begun", "", PATIENT));
    gate.await_arrival();
    assert_eq!(bob.ask("ada", "queued", "", PATIENT).unwrap_err(), Error::TimedOut);
    assert_eq!(begun.result().unwrap_err(), Error::OutcomeUnknown { peer: "ada@desk".into() });
    let dead = until("a dead letter", || desk.dead_letters().unwrap().newest.first().cloned());
    assert_eq!((&*dead.to, &*dead.from, &*dead.kind), ("ada", "bob@laptop", "queued"));
    gate.open();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!(kinds.try_iter().collect::<Vec<_>>(), ["begun"]);
}

#[test]
fn what_is_queued_at_a_close_elsewhere_is_a_dead_letter_or_answered() {
    let Two { desk, laptop: _laptop, ada, bob } = two();
    bob.tell("ada", "note", "leek", LONG).unwrap();
    let asker = bob.clone();
    let asking = host(move || asker.ask("ada", "taste", "", LONG));
    until("the ask is there", || {
        (desk.snapshot().unwrap().peers.iter().find(|it| it.peer == "ada")?.messages == 2).then_some(())
    });
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!(at_once(|| asking.result()).unwrap_err(), peer_closed("ada@desk"));
    let dead = desk.dead_letters().unwrap();
    let letters: Vec<_> = dead.newest.iter().map(|it| (&*it.to, &*it.from, &*it.kind, it.size)).collect();
    assert_eq!(letters, [("ada", "bob@laptop", "note", 4), ("ada", "bob@laptop", "taste", 0)]);
}

#[test]
fn a_tell_is_handled_exactly_once() {
    const TELLS: usize = 300;
    let [desk, laptop] = joined(["desk", "laptop"]);
    let (handled, kinds) = unbounded();
    let options = PeerOptions::new().on_message(move |_, message| {
        handled.send(message.kind().to_owned())?;
        Ok(())
    });
    spawn_seen(&desk, "desk", "ada", options, &[&laptop]);
    let tellers: Vec<_> = (0..4)
        .map(|teller| {
            let bob = laptop.spawn(&format!("bob{teller}")).unwrap();
            host(move || {
                for number in 0..TELLS {
                    bob.tell("ada", &format!("{teller} {number}"), "", LONG).unwrap();
                }
            })
        })
        .collect();
    tellers.into_iter().for_each(|teller| teller.result_within(3 * LONG));
    assert_eq!(desk.shutdown(LONG).unwrap().ended, Ended::Yes);
    let kinds: Vec<String> = kinds.try_iter().collect();
    for teller in 0..4 {
        let of_one: Vec<&String> = kinds.iter().filter(|kind| kind.starts_with(&format!("{teller} "))).collect();
        let sent: Vec<String> = (0..TELLS).map(|number| format!("{teller} {number}")).collect();
        assert_eq!(of_one, sent.iter().collect::<Vec<_>>());
    }
}
