//! Nobody waits for more than what came before: not for later tells, not for later receipts, not for a vote that no longer counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use potluck::{Ended, Error, PeerOptions};

use crate::support::{Gate, LONG, NOW, host, kitchen, next, peer_closed, shut_down};

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
fn on_stop_may_still_answer_what_was_kept() {
    let kitchen = kitchen();
    let kept = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let (in_message, in_stop) = (Arc::clone(&kept), Arc::clone(&kept));
    let (taken, takes) = crossbeam_channel::unbounded();
    let options = PeerOptions::new()
        .on_message(move |_, message| {
            in_message.lock().push(message.keep());
            taken.send(()).unwrap();
            Ok(())
        })
        .on_stop(move |_| in_stop.lock().drain(..).for_each(|message| message.reply("at last").unwrap()));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let guest = kitchen.spawn("guest").unwrap();
    let ask = host(move || guest.ask("ada", "later", "", LONG).map(|answer| answer.body()));
    next(&takes);
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!(ask.result().unwrap(), "at last");
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
