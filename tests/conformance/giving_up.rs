//! What is given up in time did not happen and will not; an ask whose handler had begun says that it is in doubt.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::unbounded;
use potluck::{Error, Event, Peer, PeerOptions};

use crate::support::{Gate, Host, LONG, NOW, PATIENT, SHORT, closed, drain, host, kitchen, kitchen_of};

#[test]
fn an_operation_given_up_while_its_handler_thinks_changes_nothing() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let vote = move |_: &Peer, _: &str| {
        held.pass();
        Ok(())
    };
    let (on_request, on_offer) = (vote.clone(), vote);
    let options = PeerOptions::new()
        .on_request(move |ada, by, _| on_request(ada, by))
        .on_offer(move |ada, from, _| on_offer(ada, from));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    ada.share("soup", "tomato").unwrap();
    bob.share("soup", "leek").unwrap();
    let (requester, offerer) = (bob.clone(), bob.clone());
    let request = host(move || requester.request("ada", "soup", SHORT).map(drop));
    assert_eq!(request.result(), Err(Error::TimedOut));
    gate.open();
    let offer = host(move || offerer.offer("ada", "soup", SHORT));
    assert_eq!(offer.result(), Err(Error::TimedOut));
    gate.open();
    assert_eq!(ada.close(LONG), Ok(potluck::Ended::Yes));
    assert_eq!(bob.get("soup").unwrap().bytes(), b"leek");
}

#[test]
fn an_ask_given_up_after_its_handler_began_is_in_doubt_and_a_late_reply_is_canceled() {
    let gate = Gate::new();
    let held = gate.clone();
    let (seen, sights) = unbounded();
    let (kitchen, _ada, bob) = kitchen_of(move |_, message| {
        held.pass();
        seen.send(message.reply("late"))?;
        Ok(())
    });
    let events = kitchen.events(10).unwrap();
    drain(&events);
    // The deadline passes while the handler stands at the gate; only then it is opened.
    let asker = host(move || bob.ask("ada", "taste", "", PATIENT));
    gate.await_arrival();
    assert_eq!(asker.result().unwrap_err(), Error::OutcomeUnknown { peer: "ada".into() });
    gate.open();
    assert_eq!(sights.recv_timeout(LONG).unwrap(), Err(Error::Canceled));
    assert_eq!(drain(&events), [], "it was handled, so it is no dead letter");
}

#[test]
fn an_ask_given_up_before_its_handler_began_never_happens_and_is_a_dead_letter() {
    let gate = Gate::new();
    let held = gate.clone();
    let (seen, sights) = unbounded();
    let (kitchen, _ada, bob) = kitchen_of(move |_, message| {
        seen.send(message.kind().to_owned())?;
        if message.kind() == "wait" {
            held.pass();
        }
        Ok(())
    });
    let events = kitchen.events(10).unwrap();
    bob.tell("ada", "wait", "", NOW).unwrap();
    gate.await_arrival();
    drain(&events);
    assert_eq!(bob.ask("ada", "taste", "body", SHORT).unwrap_err(), Error::TimedOut);
    let letter =
        |reason| Event::DeadLetter { to: "ada".into(), from: "bob".into(), kind: "taste".into(), size: 4, reason };
    assert_eq!(drain(&events), [letter(Error::TimedOut)]);
    bob.tell("ada", "after", "", NOW).unwrap();
    gate.open();
    let seen = [sights.recv_timeout(LONG).unwrap(), sights.recv_timeout(LONG).unwrap()];
    assert_eq!(seen, ["wait", "after"]);
    assert_eq!(drain(&events), [], "once is enough");
}

#[test]
fn an_ask_ended_by_the_close_of_its_sender_is_a_dead_letter_if_not_begun() {
    let gate = Gate::new();
    let held = gate.clone();
    let (kitchen, ada, bob) = kitchen_of(move |_, message| {
        assert_eq!(message.kind(), "wait");
        held.pass();
        Ok(())
    });
    ada.tell("ada", "wait", "", NOW).unwrap();
    gate.await_arrival();
    let events = kitchen.events(10).unwrap();
    drain(&events);
    let asker = bob.clone();
    let ask = host(move || asker.ask("ada", "taste", "", LONG)).waiting();
    bob.close(LONG).unwrap();
    assert_eq!(ask.result().unwrap_err(), closed("bob"));
    let letters = drain(&events).into_iter().filter(|event| matches!(event, Event::DeadLetter { .. }));
    assert_eq!(letters.count(), 1);
    gate.open();
}

#[test]
fn a_message_is_whole_also_if_its_asker_gives_up_as_its_handler_begins() {
    let kitchen = kitchen();
    let torn = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&torn);
    let cook = PeerOptions::new().on_message(move |_, message| {
        count.fetch_add(u64::from(message.bytes() != b"whole"), Ordering::SeqCst);
        Ok(message.reply("")?)
    });
    kitchen.spawn_with("cook", cook).unwrap();
    let askers = ["ada", "bob", "eve"].map(|name| {
        let peer = kitchen.spawn(name).unwrap();
        host(move || {
            for n in 0..ASKS {
                let _ = peer.ask("cook", "taste", "whole", Duration::from_nanos(1 + n * 37 % 60_000));
            }
        })
    });
    askers.into_iter().for_each(Host::result);
    assert_eq!(torn.load(Ordering::SeqCst), 0);
}

/// Enough that some are given up in the moment between two steps of whoever begins them.
const ASKS: u64 = 20_000;
