//! Whoever waits for a peer that closes is told at once, and so is whoever waits as it.

use std::task::Poll;

use crossbeam_channel::unbounded;
use potluck::{Bytes, Call, Ended, Error, HandlerError, Message, Peer, PeerOptions, SystemOptions};

use crate::support::{
    Gate, Kitchen, LONG, NOW, ada_and_bob, body_that, closed, host, kitchen, kitchen_with, next, peer_closed, shut_down,
};

/// A system with a bob, and an ada who holds `soup`, whose handler stands at the gate until the end of the test.
fn busy_ada(options: PeerOptions) -> (Kitchen, Peer, Peer, Gate) {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let options = options.on_message(move |_, _| {
        held.pass();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    ada.share("soup", "tomato").unwrap();
    bob.share("soup", "leek").unwrap();
    ada.tell("ada", "wait", "", NOW).unwrap();
    gate.await_arrival();
    (kitchen, ada, bob, gate)
}

/// Makes a call as bob that waits for ada, closes her while her handler runs, and asserts that it is told so.
fn assert_told(options: PeerOptions, call: impl FnOnce(&Peer) -> potluck::Result<()> + Send + 'static) {
    let (_kitchen, ada, bob, gate) = busy_ada(options);
    let waiting = host(move || call(&bob)).waiting();
    assert!(waiting.is_waiting());
    assert_eq!(ada.close(NOW), Ok(Ended::StillRunning));
    assert_eq!(waiting.result(), Err(peer_closed("ada")));
    gate.open();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
}

#[test]
fn a_queued_ask_is_told() {
    assert_told(PeerOptions::new(), |bob| bob.ask("ada", "taste", "", LONG).map(drop));
}

#[test]
fn a_request_that_waits_for_on_request_is_told() {
    let options = PeerOptions::new().on_request(|_, _, _| Ok(()));
    assert_told(options, |bob| bob.request("ada", "soup", LONG).map(drop));
}

#[test]
fn a_request_that_waits_for_ones_own_tell_is_told() {
    assert_told(PeerOptions::new(), |bob| {
        bob.tell("ada", "hello", "", LONG)?;
        bob.request("ada", "soup", LONG).map(drop)
    });
}

#[test]
fn an_offer_that_waits_for_the_turn_is_told() {
    assert_told(PeerOptions::new(), |bob| bob.offer("ada", "soup", LONG));
}

#[test]
fn an_offer_that_waits_for_on_offer_is_told() {
    assert_told(PeerOptions::new().on_offer(|_, _, _| Ok(())), |bob| bob.offer("ada", "soup", LONG));
}

#[test]
fn an_exchange_that_waits_for_the_turn_is_told() {
    assert_told(PeerOptions::new(), |bob| bob.exchange("ada", "soup", LONG).map(drop));
}

#[test]
fn a_tell_that_waits_for_room_is_told() {
    assert_told(PeerOptions::new().mailbox_messages_max(1), |bob| {
        bob.try_tell("ada", "filling", "")?;
        bob.tell("ada", "waiting", "", LONG)
    });
}

#[test]
fn an_ask_that_waits_for_room_is_told() {
    assert_told(PeerOptions::new().mailbox_messages_max(1), |bob| {
        bob.try_tell("ada", "filling", "")?;
        bob.ask("ada", "waiting", "", LONG).map(drop)
    });
}

#[test]
fn whoever_waits_as_the_peer_that_closes_gets_closed() {
    let (_kitchen, _ada, bob, gate) = busy_ada(PeerOptions::new().mailbox_messages_max(1));
    let calls: [fn(&Peer) -> potluck::Result<()>; 4] = [
        |bob| bob.tell("ada", "filling", "", LONG).and_then(|()| bob.tell("ada", "waiting", "", LONG)),
        |bob| bob.ask("ada", "waiting", "", LONG).map(drop),
        |bob| bob.offer("ada", "soup", LONG),
        |bob| bob.receive(LONG).map(drop),
    ];
    let waiting = calls.map(|call| {
        let bob = bob.clone();
        host(move || call(&bob)).waiting()
    });
    assert_eq!(bob.close(LONG), Ok(Ended::Yes));
    for call in waiting {
        assert_eq!(call.result(), Err(closed("bob")));
    }
    (0..2).for_each(|_| gate.open());
}

/// A handler of ada that makes the call, and says how it ended.
fn assert_ends_handler(call: impl Fn(&Peer) -> potluck::Result<()> + Send + 'static) {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let (seen, sights) = unbounded();
    let on_message = move |_: &Peer, _: &Message| {
        held.pass();
        Ok(())
    };
    let options = PeerOptions::new().mailbox_messages_max(1).on_message(on_message);
    let bob = kitchen.spawn_with("bob", options).unwrap();
    bob.tell("bob", "wait", "", NOW).unwrap();
    gate.await_arrival();
    bob.try_tell("bob", "filling", "").unwrap();
    let (begun, beginning) = unbounded();
    let options = PeerOptions::new().on_message(move |ada, _| {
        begun.send(())?;
        let first = call(ada);
        // It waits in none after that, either.
        seen.send([first, call(ada)])?;
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.share("soup", "tomato").unwrap();
    ada.tell("ada", "go", "", NOW).unwrap();
    next(&beginning);
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!(next(&sights), [Err(closed("ada")), Err(closed("ada"))]);
    (0..2).for_each(|_| gate.open());
}

#[test]
fn a_handler_that_waits_in_an_ask_gets_closed_when_its_own_peer_closes() {
    assert_ends_handler(|ada| ada.ask("bob", "question", "", LONG).map(drop));
}

#[test]
fn a_handler_that_waits_for_room_gets_closed_when_its_own_peer_closes() {
    assert_ends_handler(|ada| ada.tell("bob", "note", "", LONG));
}

#[test]
fn a_handler_that_waits_for_a_turn_gets_closed_when_its_own_peer_closes() {
    assert_ends_handler(|ada| ada.offer("bob", "soup", LONG));
}

#[test]
fn a_handler_that_waits_as_another_peer_gets_closed_when_its_own_peer_closes() {
    let kitchen = kitchen();
    let (bob, eve) = (kitchen.spawn("bob").unwrap(), kitchen.spawn("eve").unwrap());
    let (seen, sights) = unbounded();
    let acting = eve.clone();
    let options = PeerOptions::new().on_message(move |_, _| Ok(seen.send(acting.ask("bob", "q", "", LONG).map(drop))?));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.tell("ada", "go", "", NOW).unwrap();
    let question = bob.receive(LONG).unwrap();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!(next(&sights), Err(closed("ada")));
    assert_eq!(question.reply("late"), Err(potluck::Error::Canceled));
    eve.share("soup", "").unwrap();
}

#[test]
fn a_caller_is_told_at_close_though_the_vote_on_its_request_goes_on() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let inside = gate.clone();
    let waiter = PeerOptions::new().on_request(move |_, _, _| {
        inside.pass();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", waiter).unwrap();
    let (bob, eve) = (kitchen.spawn("bob").unwrap(), kitchen.spawn("eve").unwrap());
    ada.share("soup", "tomato").unwrap();
    let caller = bob.clone();
    let request = host(move || caller.request("ada", "soup", LONG));
    gate.await_arrival();
    assert_eq!(ada.close(NOW), Ok(Ended::StillRunning));
    assert_eq!(request.result().unwrap_err(), Error::PeerClosed { peer: "ada".into() });

    // A fetch goes on to the next holder at once, and the vote that comes later changes nothing any more.
    gate.open();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert!(matches!(bob.get("soup"), Err(Error::NoSuchResource { .. })));
    eve.share("soup", "potato").unwrap();
    assert_eq!(bob.fetch("soup", LONG).unwrap().bytes(), b"potato");
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn an_asker_whose_message_was_kept_or_received_is_told_when_the_peer_has_closed() {
    let kitchen = kitchen();
    let (kept, keeps) = crossbeam_channel::unbounded();
    let keeper = PeerOptions::new().on_message(move |_, message| {
        kept.send(message.keep()).unwrap();
        Ok(())
    });
    let keeper = kitchen.spawn_with("keeper", keeper).unwrap();
    let inbox = kitchen.spawn("inbox").unwrap();
    let guest = kitchen.spawn("guest").unwrap();
    let asks = ["keeper", "inbox"].map(|to| {
        let caller = guest.clone();
        host(move || caller.ask(to, "later", "", LONG).map(drop))
    });
    let messages = [next(&keeps), inbox.receive(LONG).unwrap()];
    assert!(asks.iter().all(|ask| ask.is_waiting()));
    assert_eq!((keeper.close(LONG), inbox.close(LONG)), (Ok(Ended::Yes), Ok(Ended::Yes)));
    for (ask, name) in asks.into_iter().zip(["keeper", "inbox"]) {
        assert_eq!(ask.result(), Err(peer_closed(name)));
    }
    for message in messages {
        assert_eq!(message.reply("late"), Err(Error::Canceled));
    }
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn an_asker_is_told_at_close_though_its_message_was_taken_out_and_waits_behind_a_receipt() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let (in_message, in_receipt) = (gate.clone(), gate.clone());
    let options = PeerOptions::new()
        .on_message(move |_, _| {
            in_message.pass();
            Ok(())
        })
        .on_received(move |_, _, _| in_receipt.pass());
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    let eve = kitchen.spawn("eve").unwrap();
    eve.share("soup", "tomato").unwrap();
    bob.try_tell("ada", "first", "").unwrap();
    gate.await_arrival();
    let offer = host(move || eve.offer("ada", "soup", LONG)).waiting();
    let caller = bob.clone();
    let ask = host(move || caller.ask("ada", "second", "", LONG)).waiting();
    gate.open();
    // Now the receipt is at the gate, and the second message behind it.
    gate.await_arrival();
    assert_eq!(offer.result(), Ok(()));
    assert_eq!(ada.close(NOW), Ok(Ended::StillRunning));
    assert_eq!(ask.result().unwrap_err(), Error::PeerClosed { peer: "ada".into() });
    gate.open();
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn a_handler_whose_peer_closes_waits_in_no_call_after_that_as_whomever() {
    let kitchen = kitchen();
    let (bob, eve) = (kitchen.spawn("bob").unwrap(), kitchen.spawn("eve").unwrap());
    bob.share("soup", "tomato").unwrap();
    let gate = Gate::new();
    let (inside, acting) = (gate.clone(), eve.clone());
    let (seen, sights) = unbounded();
    let options = PeerOptions::new().on_message(move |ada, _| {
        inside.pass();
        for peer in [ada, &acting] {
            seen.send(peer.ask("bob", "question", "", LONG).map(drop))?;
        }
        // As another it may do what needs no waiting.
        seen.send(acting.request("bob", "soup", LONG).map(drop))?;
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.tell("ada", "go", "", NOW).unwrap();
    gate.await_arrival();
    assert_eq!(ada.close(NOW), Ok(Ended::StillRunning));
    gate.open();
    assert_eq!([next(&sights), next(&sights)], [Err(closed("ada")), Err(closed("ada"))]);
    assert_eq!(next(&sights), Ok(()));
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!(eve.get("soup").unwrap().bytes(), b"tomato");
}

#[test]
fn whoever_waits_for_a_peer_is_told_when_the_failure_of_a_handler_closes_it() {
    let kitchen = kitchen_with(SystemOptions::new().close_on_handler_failure(true));
    let gate = Gate::new();
    let inside = gate.clone();
    let options = PeerOptions::new().on_request(|_, _, _| Ok(())).on_message(move |_, _| {
        inside.pass();
        Err(HandlerError::failed("burnt"))
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.share("soup", "tomato").unwrap();
    let (bob, eve) = (kitchen.spawn("bob").unwrap(), kitchen.spawn("eve").unwrap());
    ada.tell("ada", "cook", "", NOW).unwrap();
    gate.await_arrival();
    let ask = host(move || bob.ask("ada", "taste", "", LONG).map(drop)).waiting();
    let request = host(move || eve.request("ada", "soup", LONG).map(drop)).waiting();
    gate.open();
    assert_eq!([ask.result(), request.result()], [Err(peer_closed("ada")), Err(peer_closed("ada"))]);
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
}

#[test]
fn all_are_told_at_a_close_though_the_destructor_of_one_takes_long() {
    let (kitchen, _ada, bob) = ada_and_bob();
    let eve = kitchen.spawn("eve").unwrap();
    let gate = Gate::new();
    let held = gate.clone();
    let ask = |to, body| Call::Ask { to, kind: "k", body };
    let first = bob.start(ask("ada", body_that(move || held.pass())), LONG).unwrap();
    let second = bob.start(ask("ada", Bytes::new()), LONG).unwrap();
    let at_bob = eve.start(ask("bob", Bytes::new()), LONG).unwrap();
    let closing = host(move || bob.close(LONG));
    gate.await_arrival();
    for (pending, expected) in [(&first, closed("bob")), (&second, closed("bob")), (&at_bob, peer_closed("bob"))] {
        assert_eq!(pending.wait(LONG).map_ok(drop), Poll::Ready(Err(expected)));
    }
    gate.open();
    assert_eq!(closing.result(), Ok(Ended::Yes));
}
