//! Waiting for a peer to come.

use crossbeam_channel::unbounded;
use potluck::{Ended, Error, PeerOptions};

use crate::support::{Gate, LONG, NOW, SHORT, closed, host, kitchen, next, no_such_peer};

#[test]
fn a_peer_that_is_there_is_not_waited_for() {
    let kitchen = kitchen();
    kitchen.spawn("ada").unwrap();
    assert_eq!(kitchen.wait_for("ada", NOW), Ok(()));
    assert_eq!(kitchen.wait_for("ada", LONG), Ok(()));
}

#[test]
fn all_who_wait_are_told_when_it_comes_and_others_are_not() {
    let kitchen = kitchen();
    let wait = |name: &'static str| {
        let kitchen = kitchen.clone();
        host(move || kitchen.wait_for(name, LONG)).waiting()
    };
    let (first, second, other) = (wait("ada"), wait("ada"), wait("bob"));
    kitchen.spawn("ada").unwrap();
    assert_eq!((first.result(), second.result()), (Ok(()), Ok(())));
    assert!(other.is_waiting());
    kitchen.spawn("bob").unwrap();
    assert_eq!(other.result(), Ok(()));
}

#[test]
fn nobody_is_missed_who_comes_at_the_same_moment() {
    for _ in 0..300 {
        let kitchen = kitchen();
        let waiting = kitchen.clone();
        let waits = host(move || waiting.wait_for("ada", LONG));
        kitchen.spawn("ada").unwrap();
        assert_eq!(waits.result(), Ok(()));
    }
}

#[test]
fn at_the_deadline_it_times_out() {
    let kitchen = kitchen();
    assert_eq!(kitchen.wait_for("ada", NOW), Err(Error::TimedOut));
    assert_eq!(kitchen.wait_for("ada", SHORT), Err(Error::TimedOut));
    kitchen.spawn("ada").unwrap();
    assert_eq!(kitchen.wait_for("ada", NOW), Ok(()));
}

#[test]
fn a_name_that_can_never_come_fails_at_once() {
    let kitchen = kitchen();
    assert!(matches!(kitchen.wait_for("a/b", LONG), Err(Error::InvalidName { .. })));
    assert!(matches!(kitchen.wait_for("", LONG), Err(Error::InvalidName { .. })));
    assert_eq!(kitchen.wait_for("ada@laptop", LONG), Err(no_such_peer("ada@laptop")));
}

#[test]
fn the_shutdown_ends_it_with_closed() {
    let kitchen = kitchen();
    let waiting = kitchen.clone();
    let waits = host(move || waiting.wait_for("ada", LONG)).waiting();
    kitchen.shutdown(LONG).unwrap();
    assert_eq!(waits.result(), Err(closed("kitchen")));
    assert_eq!(kitchen.wait_for("ada", LONG), Err(closed("kitchen")));
    assert_eq!(kitchen.wait_for("ada", NOW), Err(closed("kitchen")));
}

#[test]
fn a_peer_that_closes_is_there_no_more_and_the_next_of_its_name_is_waited_for() {
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
    assert_eq!(kitchen.wait_for("ada", NOW), Err(Error::TimedOut));
    let waiting = kitchen.clone();
    let waits = host(move || waiting.wait_for("ada", LONG)).waiting();
    gate.open();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert!(waits.is_waiting());
    kitchen.spawn("ada").unwrap();
    assert_eq!(waits.result(), Ok(()));
}

#[test]
fn a_handler_that_waits_gives_its_turn_up_and_ends_with_its_peer() {
    let kitchen = kitchen();
    let (seen, sights) = unbounded();
    let system = kitchen.clone();
    let options =
        PeerOptions::new().on_message(move |_, message| Ok(seen.send(system.wait_for(message.kind(), LONG))?));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "leek").unwrap();
    bob.tell("ada", "eve", "", NOW).unwrap();
    let offering = kitchen.spawn("cook").unwrap();
    offering.share("bread", "").unwrap();
    offering.offer("ada", "bread", LONG).unwrap();
    assert!(sights.is_empty());
    kitchen.spawn("eve").unwrap();
    assert_eq!(next(&sights), Ok(()));
    bob.tell("ada", "nobody", "", NOW).unwrap();
    offering.offer("ada", "bread", LONG).unwrap();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    // It had begun to wait, or it was a dead letter.
    assert!(sights.try_iter().all(|result| result == Err(closed("ada"))));
}
