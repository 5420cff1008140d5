//! One deadline covers all of a call; with a timeout of 0, which no call with another node can meet, nothing happens.

use std::time::Instant;

use potluck::{Call, Error, PeerOptions};

use crate::content::noise;
use crate::nodes::{Two, text, two, two_with};
use crate::support::{Gate, LONG, NOW, PATIENT, await_doing};

#[test]
fn with_a_timeout_of_0_nothing_happens() {
    let Two { desk, laptop: _laptop, ada, bob } = two();
    ada.share("soup", "ada's").unwrap();
    bob.share("soup", "bob's").unwrap();
    let held = bob.get("soup").unwrap();
    let mut results = vec![
        bob.request("ada", "soup", NOW).map(drop),
        bob.request_newer("ada", "soup", &held, NOW).map(drop),
        bob.fetch("soup", NOW).map(drop),
        bob.offer("ada", "soup", NOW),
        bob.exchange("ada", "soup", NOW).map(drop),
        bob.tell("ada", "hello", "", NOW),
        bob.try_tell("ada", "hello", ""),
        bob.ask("ada", "hello", "", NOW).map(drop),
    ];
    results.push(bob.start(Call::Offer { to: "ada", name: "soup" }, NOW).map(drop));
    for (number, result) in results.into_iter().enumerate() {
        assert_eq!(result, Err(Error::TimedOut), "call {number}");
    }
    // Whatever had been sent would be there before this.
    bob.tell("ada", "last", "", LONG).unwrap();
    assert_eq!(ada.receive(NOW).unwrap().kind(), "last");
    assert_eq!((text(&ada, "soup"), text(&bob, "soup")), ("ada's".into(), "bob's".into()));
    assert_eq!(desk.dead_letters().unwrap().count, 0);
}

#[test]
fn timed_out_means_that_it_did_not_happen_and_will_not() {
    let gate = Gate::new();
    let (to_message, to_request, to_offer) = (gate.clone(), gate.clone(), gate.clone());
    let options = PeerOptions::new()
        .on_message(move |_, _| {
            to_message.pass();
            Ok(())
        })
        .on_request(move |_, _, _| {
            to_request.pass();
            Ok(())
        })
        .on_offer(move |_, _, _| {
            to_offer.pass();
            Ok(())
        });
    let Two { desk, laptop: _laptop, ada, bob } = two_with(options);
    ada.share("soup", "ada's").unwrap();
    bob.share("soup", "bob's").unwrap();
    let calls: [&dyn Fn() -> potluck::Result<()>; 4] = [
        &|| bob.request("ada", "soup", PATIENT).map(drop),
        &|| bob.fetch("soup", PATIENT).map(drop),
        &|| bob.offer("ada", "soup", PATIENT),
        &|| bob.exchange("ada", "soup", PATIENT).map(drop),
    ];
    for (number, call) in calls.iter().enumerate() {
        let begun = Instant::now();
        assert_eq!(call(), Err(Error::TimedOut), "call {number}");
        let took = begun.elapsed();
        assert!(took < 4 * PATIENT, "call {number} took {took:?}");
        // Its handler agrees, too late.
        gate.await_arrival();
        gate.open();
        await_doing(&desk, "ada", "idle");
        assert_eq!((text(&ada, "soup"), text(&bob, "soup")), ("ada's".into(), "bob's".into()), "call {number}");
    }
}

#[test]
fn a_transfer_that_is_not_done_at_the_deadline_changes_nothing() {
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    ada.share("large", noise(1, 64 << 20)).unwrap();
    bob.share("large", "small").unwrap();
    let short = std::time::Duration::from_millis(5);
    let begun = Instant::now();
    let error = bob.request("ada", "large", short).unwrap_err();
    assert!(matches!(error, Error::TimedOut | Error::Unreachable { .. }), "{error:?}");
    assert!(begun.elapsed() < PATIENT, "{:?}", begun.elapsed());
    assert_eq!(text(&bob, "large"), "small");
}

#[test]
fn huge_timeouts_are_no_trouble() {
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    ada.share("soup", "tomato").unwrap();
    let forever = std::time::Duration::MAX;
    assert_eq!(bob.request("ada", "soup", forever).unwrap().bytes(), b"tomato");
    bob.tell("ada", "hello", "", forever).unwrap();
    let asker = bob.clone();
    let asking = crate::support::host(move || asker.ask("ada", "taste", "", forever));
    assert_eq!(ada.receive(LONG).unwrap().kind(), "hello");
    ada.receive(LONG).unwrap().reply("salt").unwrap();
    assert_eq!(asking.result().unwrap().bytes(), b"salt");
}
