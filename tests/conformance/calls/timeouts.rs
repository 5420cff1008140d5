//! Timeouts: 0 does what needs no waiting and leaves nothing queued; huge ones are fine.

use std::time::{Duration, Instant};

use potluck::{Ended, Error, PeerOptions};

use crate::support::{Gate, LONG, NOW, PATIENT, ada_and_bob, drain, full, kitchen, shut_down};

#[test]
fn at_timeout_0_all_is_done_that_idle_peers_need_no_waiting_for() {
    let (kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    bob.request("ada", "soup", NOW).unwrap();
    bob.fetch("soup", NOW).unwrap();
    bob.offer("ada", "soup", NOW).unwrap();
    bob.exchange("ada", "soup", NOW).unwrap();
    bob.tell("ada", "hello", "", NOW).unwrap();
    ada.receive(NOW).unwrap();
    assert!(kitchen.mingle("soup", 1, NOW).unwrap().iter().all(|it| it.result.is_ok()));
    let events = kitchen.events(10).unwrap();
    events.next(NOW).unwrap();
}

#[test]
fn at_timeout_0_what_would_need_waiting_times_out() {
    let (kitchen, ada, bob) = ada_and_bob();
    assert_eq!(ada.receive(NOW).unwrap_err(), Error::TimedOut);
    assert_eq!(bob.ask("ada", "taste", "", NOW).unwrap_err(), Error::TimedOut);
    assert_eq!(ada.receive(NOW).unwrap_err(), Error::TimedOut, "the ask was not queued");
    let events = kitchen.events(10).unwrap();
    drain(&events);
    assert_eq!(events.next(NOW), Err(Error::TimedOut));
}

#[test]
fn at_timeout_0_no_handler_is_asked_and_nothing_is_left_queued() {
    let kitchen = kitchen();
    let options = PeerOptions::new()
        .on_message(|_, _| panic!("asked"))
        .on_request(|_, _, _| panic!("asked"))
        .on_offer(|_, _, _| panic!("asked"));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    ada.share("soup", "tomato").unwrap();
    bob.share("soup", "leek").unwrap();
    let events = kitchen.events(10).unwrap();
    drain(&events);
    assert_eq!(bob.request("ada", "soup", NOW).unwrap_err(), Error::TimedOut);
    assert_eq!(bob.offer("ada", "soup", NOW).unwrap_err(), Error::TimedOut);
    assert_eq!(bob.exchange("ada", "soup", NOW).unwrap_err(), Error::TimedOut);
    assert_eq!(bob.ask("ada", "taste", "", NOW).unwrap_err(), Error::TimedOut);
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    let seen = drain(&events);
    assert_eq!(seen, [potluck::Event::Left { peer: "ada".into() }]);
}

#[test]
fn at_timeout_0_an_ask_to_a_full_mailbox_is_full() {
    let kitchen = kitchen();
    let ada = kitchen.spawn_with("ada", PeerOptions::new().mailbox_messages_max(1)).unwrap();
    ada.try_tell("ada", "note", "").unwrap();
    assert_eq!(ada.ask("ada", "taste", "", NOW).unwrap_err(), full("ada"));
}

#[test]
fn at_timeout_0_a_close_says_at_once_that_the_end_goes_on_by_itself() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_message(move |_, _| {
        held.pass();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.tell("ada", "wait", "", NOW).unwrap();
    gate.await_arrival();
    assert_eq!(ada.close(NOW), Ok(Ended::StillRunning));
    assert_eq!(shut_down(&kitchen, NOW), Ok(Ended::StillRunning));
    gate.open();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!(ada.close(NOW), Ok(Ended::Yes));
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
    assert_eq!(shut_down(&kitchen, NOW), Ok(Ended::Yes));
}

#[test]
fn the_longest_timeout_is_fine_for_every_call() {
    let forever = Duration::MAX;
    let (kitchen, ada, bob) = ada_and_bob();
    let voter = PeerOptions::new()
        .on_message(|_, message| Ok(message.reply("")?))
        .on_request(|_, _, _| Ok(()))
        .on_offer(|_, _, _| Ok(()));
    let voter = kitchen.spawn_with("voter", voter).unwrap();
    ada.share("soup", "tomato").unwrap();
    voter.share("soup", "leek").unwrap();
    for other in ["ada", "voter"] {
        let soup = bob.request(other, "soup", forever).unwrap();
        bob.request_newer(other, "soup", &soup, forever).unwrap();
        bob.offer(other, "soup", forever).unwrap();
        bob.exchange(other, "soup", forever).unwrap();
        bob.tell(other, "hello", "", forever).unwrap();
    }
    bob.fetch("soup", forever).unwrap();
    bob.ask("voter", "taste", "", forever).unwrap();
    ada.receive(forever).unwrap();
    kitchen.mingle("soup", 1, forever).unwrap();
    kitchen.events(10).unwrap().next(forever).unwrap();
    assert_eq!(ada.close(forever), Ok(Ended::Yes));
    assert_eq!(shut_down(&kitchen, forever), Ok(Ended::Yes));
}

#[test]
fn one_deadline_covers_all_of_a_call() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_request(move |_, _, _| {
        held.pass();
        Ok(())
    });
    kitchen.spawn_with("ada", options).unwrap().share("soup", "tomato").unwrap();
    for number in 0..20 {
        kitchen.spawn(&format!("guest{number}")).unwrap();
    }
    // Each of the twenty would wait as long if it had a deadline of its own.
    let begun = Instant::now();
    let round = kitchen.mingle("soup", 1, PATIENT).unwrap();
    assert!(begun.elapsed() < 10 * PATIENT, "{:?}", begun.elapsed());
    assert!(round.iter().skip(1).all(|entry| entry.result.as_ref().is_err_and(|error| *error == Error::TimedOut)));
    gate.open();
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}
