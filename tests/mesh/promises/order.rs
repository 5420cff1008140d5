//! What one peer sends to a peer of another node takes effect in the order sent, whatever mix.

use crossbeam_channel::unbounded;
use potluck::PeerOptions;

use crate::content::noise;
use crate::nodes::{Two, joined, spawn_seen, two_with};
use crate::support::{Gate, LONG, host};

/// A handler that shares what it is told, by kind.
fn sharing() -> PeerOptions {
    PeerOptions::new().on_message(|me, message| {
        me.share(message.kind(), message.body())?;
        Ok(())
    })
}

#[test]
fn a_request_after_tells_sees_what_their_handlers_did() {
    let Two { desk: _desk, laptop: _laptop, bob, .. } = two_with(sharing());
    for version in 1..=100 {
        bob.tell("ada", "soup", "", LONG).unwrap();
        bob.tell("ada", "soup", "", LONG).unwrap();
        assert_eq!(bob.request("ada", "soup", LONG).unwrap().version(), 2 * version);
    }
}

#[test]
fn each_shelf_operation_after_a_tell_waits_for_its_handler() {
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two_with(sharing());
    ada.share("soup", "").unwrap();
    for round in 1..=30 {
        bob.share("bread", "rye").unwrap();
        bob.tell("ada", "bread", "ada's", LONG).unwrap();
        bob.offer("ada", "bread", LONG).unwrap();
        assert_eq!(ada.get("bread").unwrap().bytes(), b"rye", "the offer came second, in round {round}");
        bob.tell("ada", "bread", "ada's", LONG).unwrap();
        assert_eq!(bob.exchange("ada", "bread", LONG).unwrap().bytes(), b"ada's");
        bob.tell("ada", "soup", round.to_string(), LONG).unwrap();
        assert_eq!(bob.fetch("soup", LONG).unwrap().bytes(), round.to_string().as_bytes());
    }
}

#[test]
fn messages_large_and_small_offers_and_asks_take_effect_in_the_order_sent() {
    let (log, logged) = unbounded();
    let (to_offer, to_receive) = (log.clone(), log.clone());
    let options = PeerOptions::new()
        .on_message(move |_, message| {
            log.send(format!("{} {}", message.kind(), message.bytes().len()))?;
            if message.is_ask() { Ok(message.reply("")?) } else { Ok(()) }
        })
        .on_offer(move |_, _, offered| Ok(to_offer.send(format!("offer {}", offered.version()))?))
        .on_received(move |_, _, got| to_receive.send(format!("got {}", got.version())).unwrap());
    let Two { desk: _desk, laptop: _laptop, bob, .. } = two_with(options);
    let mut sent = Vec::new();
    for round in 1..=10 {
        bob.share("soup", noise(round, 10)).unwrap();
        for (kind, size) in [("large", 3_000_000), ("small", 3)] {
            bob.tell("ada", kind, noise(round, size), LONG).unwrap();
            sent.push(format!("{kind} {size}"));
        }
        bob.offer("ada", "soup", LONG).unwrap();
        bob.ask("ada", "asked", "", LONG).unwrap();
        sent.extend([format!("offer {round}"), format!("got {round}"), "asked 0".to_owned()]);
    }
    assert_eq!(logged.try_iter().collect::<Vec<String>>(), sent);
}

#[test]
fn a_request_waits_for_ones_own_tells_and_for_nobody_elses() {
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_message(move |ada, _| {
        held.pass();
        ada.share("soup", "later")?;
        Ok(())
    });
    let [desk, laptop] = joined(["desk", "laptop"]);
    let ada = spawn_seen(&desk, "desk", "ada", options, &[&laptop]);
    let (bob, eve) = (laptop.spawn("bob").unwrap(), laptop.spawn("eve").unwrap());
    ada.share("soup", "now").unwrap();
    bob.tell("ada", "cook", "", LONG).unwrap();
    gate.await_arrival();
    assert_eq!(eve.request("ada", "soup", LONG).unwrap().bytes(), b"now");
    let request = host(move || bob.request("ada", "soup", LONG)).waiting();
    assert!(request.is_waiting());
    gate.open();
    assert_eq!(request.result().unwrap().bytes(), b"later");
}
