//! on_received: what others have put on a peer's shelf, told in that order.

use crossbeam_channel::{Receiver, unbounded};
use potluck::{Ended, PeerOptions};

use crate::support::{Gate, LONG, NOW, closed, host, kitchen, next};

fn telling() -> (PeerOptions, Receiver<String>) {
    let (seen, sights) = unbounded();
    let options = PeerOptions::new().on_received(move |me, from, got| {
        let body = String::from_utf8_lossy(got.bytes());
        seen.send(format!("{} got {body} of {} from {from}", me.name(), got.origin())).unwrap();
    });
    (options, sights)
}

#[test]
fn on_received_is_told_of_offers_and_exchanges_in_order() {
    let kitchen = kitchen();
    let (options, sights) = telling();
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let (bob, eve) = (kitchen.spawn("bob").unwrap(), kitchen.spawn("eve").unwrap());
    bob.share("soup", "leek").unwrap();
    bob.offer("ada", "soup", LONG).unwrap();
    eve.share("soup", "tomato").unwrap();
    eve.exchange("ada", "soup", LONG).unwrap();
    eve.offer("ada", "soup", LONG).unwrap();
    bob.share("soup", "onion").unwrap();
    bob.exchange("ada", "soup", LONG).unwrap();
    let expected = [
        "ada got leek of bob from bob",
        "ada got tomato of eve from eve",
        "ada got leek of bob from eve",
        "ada got onion of bob from bob",
    ];
    for expected in expected {
        assert_eq!(next(&sights), expected);
    }
    ada.close(LONG).unwrap();
    assert!(sights.try_iter().next().is_none());
}

#[test]
fn on_received_is_not_told_of_what_the_peer_got_by_its_own_calls() {
    let kitchen = kitchen();
    let (options, sights) = telling();
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "leek").unwrap();
    ada.share("bread", "rye").unwrap();
    ada.request("bob", "soup", NOW).unwrap();
    ada.fetch("soup", NOW).unwrap();
    ada.exchange("bob", "soup", LONG).unwrap();
    kitchen.mingle("soup", 1, LONG).unwrap();
    ada.close(LONG).unwrap();
    assert!(sights.try_iter().next().is_none());
}

#[test]
fn the_offerer_does_not_wait_for_on_received() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_received(move |_, _, _| held.pass());
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "leek").unwrap();
    bob.offer("ada", "soup", LONG).unwrap();
    gate.await_arrival();
    assert_eq!(ada.get("soup").unwrap().origin(), "bob");
    gate.open();
    ada.close(LONG).unwrap();
}

#[test]
fn a_resource_is_told_before_a_message_that_its_offerer_sent_later() {
    let kitchen = kitchen();
    let (seen, sights) = unbounded();
    let message = seen.clone();
    let options = PeerOptions::new()
        .on_received(move |_, _, got| seen.send(got.version()).unwrap())
        .on_message(move |_, _| Ok(message.send(0)?));
    kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    for version in 1..=200 {
        bob.share("soup", "leek").unwrap();
        bob.offer("ada", "soup", LONG).unwrap();
        bob.tell("ada", "look", "", LONG).unwrap();
        assert_eq!([next(&sights), next(&sights)], [version, 0]);
    }
}

#[test]
fn what_came_before_the_close_is_told_before_on_stop() {
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    let (seen, sights) = unbounded();
    let (asked, received) = (seen.clone(), seen.clone());
    let options = PeerOptions::new()
        .on_message(move |ada, _| {
            let result = ada.ask("bob", "never answered", "", LONG);
            asked.send(format!("{:?}", result.unwrap_err()))?;
            Ok(())
        })
        .on_received(move |_, _, got| received.send(got.name().to_owned()).unwrap())
        .on_stop(move |_| seen.send("stop".to_owned()).unwrap());
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.tell("ada", "ask", "", NOW).unwrap();
    // Its handler waits in an ask now, so it has given its turn up.
    let message = bob.receive(LONG).unwrap();
    for name in ["soup", "bread"] {
        bob.share(name, "").unwrap();
        bob.offer("ada", name, LONG).unwrap();
    }
    let closing = host(move || ada.close(LONG));
    assert_eq!(closing.result(), Ok(Ended::Yes));
    let expected = [format!("{:?}", closed("ada")), "soup".into(), "bread".into(), "stop".into()];
    assert_eq!(sights.try_iter().collect::<Vec<_>>(), expected);
    drop(message);
}
