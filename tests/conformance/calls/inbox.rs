//! Messages to a peer without on_message: receive and reply by threads of the host.

use std::collections::BTreeSet;

use potluck::{Error, Event, PeerOptions};

use crate::support::{Host, LONG, NOW, PATIENT, SHORT, ada_and_bob, closed, drain, host, kitchen, peer_closed};

#[test]
fn a_host_thread_receives_and_replies() {
    let (_kitchen, ada, bob) = ada_and_bob();
    let asker = host(move || bob.ask("ada", "taste", "spoon", LONG));
    let message = ada.receive(LONG).unwrap();
    assert_eq!((message.from(), message.kind(), message.bytes()), ("bob", "taste", &b"spoon"[..]));
    assert!(message.is_ask());
    message.reply("salty").unwrap();
    assert!(matches!(message.reply("sweet"), Err(Error::InvalidArgument(_))));
    let answer = asker.result().unwrap();
    assert_eq!((answer.name(), answer.origin(), answer.version()), ("taste", "ada", 0));
    assert_eq!(answer.bytes(), b"salty");
}

#[test]
fn messages_are_received_in_the_order_sent() {
    let (_kitchen, ada, bob) = ada_and_bob();
    for kind in ["1", "2", "3"] {
        bob.tell("ada", kind, "", NOW).unwrap();
    }
    for kind in ["1", "2", "3"] {
        let message = ada.receive(NOW).unwrap();
        assert_eq!(message.kind(), kind);
        assert!(!message.is_ask() && matches!(message.reply(""), Err(Error::InvalidArgument(_))));
    }
    assert_eq!(ada.receive(NOW).unwrap_err(), Error::TimedOut);
    assert_eq!(ada.receive(SHORT).unwrap_err(), Error::TimedOut);
}

#[test]
fn a_receiver_is_woken_by_a_message() {
    let (_kitchen, ada, bob) = ada_and_bob();
    let receiver = host(move || ada.receive(LONG)).waiting();
    bob.tell("ada", "hello", "", NOW).unwrap();
    assert_eq!(receiver.result().unwrap().kind(), "hello");
}

#[test]
fn several_receivers_are_all_served_each_message_once() {
    let (_kitchen, ada, bob) = ada_and_bob();
    let receivers: Vec<Host<_>> = (0..4)
        .map(|_| {
            let ada = ada.clone();
            host(move || (0..50).map(|_| ada.receive(LONG).unwrap().kind().to_owned()).collect::<Vec<_>>()).waiting()
        })
        .collect();
    for number in 0..200 {
        bob.tell("ada", &number.to_string(), "", LONG).unwrap();
    }
    let received: Vec<String> = receivers.into_iter().flat_map(Host::result).collect();
    assert_eq!(received.len(), 200);
    assert_eq!(received.into_iter().collect::<BTreeSet<_>>().len(), 200);
}

#[test]
fn receivers_are_served_in_the_order_of_arrival() {
    let (_kitchen, ada, bob) = ada_and_bob();
    let (first, second) = (ada.clone(), ada);
    let first = host(move || first.receive(LONG)).waiting();
    let second = host(move || second.receive(LONG)).waiting();
    bob.tell("ada", "1", "", NOW).unwrap();
    bob.tell("ada", "2", "", NOW).unwrap();
    assert_eq!(first.result().unwrap().kind(), "1");
    assert_eq!(second.result().unwrap().kind(), "2");
}

#[test]
fn a_receive_at_a_peer_with_on_message_is_invalid() {
    let kitchen = kitchen();
    let ada = kitchen.spawn_with("ada", PeerOptions::new().on_message(|_, _| Ok(()))).unwrap();
    for timeout in [NOW, LONG] {
        assert!(matches!(ada.receive(timeout), Err(Error::InvalidArgument(_))));
    }
}

#[test]
fn a_message_that_is_dropped_unanswered_gives_no_reply_at_once() {
    let (_kitchen, ada, bob) = ada_and_bob();
    let asker = host(move || bob.ask("ada", "taste", "", LONG));
    drop(ada.receive(LONG).unwrap());
    assert_eq!(asker.result().unwrap_err(), Error::NoReply { peer: "ada".into() });
}

#[test]
fn a_reply_after_the_asker_gave_up_is_canceled() {
    let (_kitchen, ada, bob) = ada_and_bob();
    let asker = host(move || bob.ask("ada", "taste", "", PATIENT));
    let message = ada.receive(LONG).unwrap();
    assert_eq!(asker.result().unwrap_err(), Error::OutcomeUnknown { peer: "ada".into() });
    assert_eq!(message.reply("late"), Err(Error::Canceled));
}

#[test]
fn an_ask_that_was_given_up_is_never_received_and_is_a_dead_letter() {
    let (kitchen, ada, bob) = ada_and_bob();
    let events = kitchen.events(10).unwrap();
    drain(&events);
    assert_eq!(bob.ask("ada", "taste", "", SHORT).unwrap_err(), Error::TimedOut);
    let seen = drain(&events);
    assert!(matches!(&seen[..], [Event::DeadLetter { reason: Error::TimedOut, .. }]), "{seen:?}");
    bob.tell("ada", "hello", "", NOW).unwrap();
    assert_eq!(ada.receive(NOW).unwrap().kind(), "hello");
}

#[test]
fn receivers_get_closed_when_their_peer_closes() {
    let (_kitchen, ada, _bob) = ada_and_bob();
    let receivers: Vec<_> = (0..3)
        .map(|_| {
            let ada = ada.clone();
            host(move || ada.receive(LONG)).waiting()
        })
        .collect();
    ada.close(LONG).unwrap();
    for receiver in receivers {
        assert_eq!(receiver.result().unwrap_err(), closed("ada"));
    }
    assert_eq!(ada.receive(LONG).unwrap_err(), closed("ada"));
}

#[test]
fn what_lies_in_an_inbox_at_its_close_is_a_dead_letter_and_a_waiting_asker_is_told() {
    let (kitchen, ada, bob) = ada_and_bob();
    let events = kitchen.events(20).unwrap();
    bob.tell("ada", "hello", "there", NOW).unwrap();
    let asker = host(move || bob.ask("ada", "taste", "", LONG)).waiting();
    drain(&events);
    ada.close(LONG).unwrap();
    assert_eq!(asker.result().unwrap_err(), peer_closed("ada"));
    let letter = |kind: &str, size| {
        let reason = peer_closed("ada");
        Event::DeadLetter { to: "ada".into(), from: "bob".into(), kind: kind.into(), size, reason }
    };
    assert_eq!(drain(&events), [letter("hello", 5), letter("taste", 0), Event::Left { peer: "ada".into() }]);
}

#[test]
fn a_received_message_can_be_answered_after_its_peer_has_closed_or_the_asker_is_told() {
    let (_kitchen, ada, bob) = ada_and_bob();
    let asker = host(move || bob.ask("ada", "taste", "", LONG));
    let message = ada.receive(LONG).unwrap();
    ada.close(LONG).unwrap();
    let replied = message.reply("salty");
    match asker.result() {
        Ok(answer) => assert_eq!((answer.bytes(), replied), (&b"salty"[..], Ok(()))),
        Err(error) => assert_eq!((error, replied), (peer_closed("ada"), Err(Error::Canceled))),
    }
}

#[test]
fn a_message_to_an_inbox_is_finished_when_accepted() {
    let (_kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    bob.share("bread", "rye").unwrap();
    bob.tell("ada", "hello", "", NOW).unwrap();
    // Nothing of these waits for somebody to receive it.
    bob.request("ada", "soup", NOW).unwrap();
    bob.offer("ada", "bread", NOW).unwrap();
    bob.exchange("ada", "soup", NOW).unwrap();
    assert_eq!(ada.receive(NOW).unwrap().kind(), "hello");
}
