//! Handlers that call other nodes, as themselves and about each other.

use std::time::Duration;

use crossbeam_channel::unbounded;
use potluck::{Error, PeerOptions};

use crate::nodes::{joined, see, spawn_seen, text};
use crate::support::{LONG, closed, host, next};

#[test]
fn every_call_with_another_node_works_inside_a_handler() {
    let [desk, laptop] = joined(["desk", "laptop"]);
    let cook = PeerOptions::new().on_message(|_, message| match message.is_ask() {
        true => Ok(message.reply("salt")?),
        false => Ok(()),
    });
    let ada = spawn_seen(&desk, "desk", "ada", cook, &[&laptop]);
    ada.share("soup", "ada's").unwrap();
    ada.share("dish", "ada's").unwrap();
    let (done, results) = unbounded();
    let options = PeerOptions::new().on_message(move |me, _| {
        let soup = me.request("ada", "soup", LONG)?;
        me.unshare("soup")?;
        me.fetch("soup", LONG)?;
        let newer = me.request_newer("ada@desk", "soup", &soup, LONG)?;
        me.share("dish", "bob's")?;
        me.exchange("ada", "dish", LONG)?;
        me.offer("ada", "dish", LONG)?;
        me.tell("ada", "hello", "", LONG)?;
        let answer = me.ask("ada", "taste", "", LONG)?;
        Ok(done.send((newer.is_none(), answer.bytes() == b"salt"))?)
    });
    let bob = laptop.spawn_with("bob", options).unwrap();
    bob.tell("bob", "go", "", LONG).unwrap();
    assert_eq!(next(&results), (true, true));
    assert_eq!(text(&ada, "dish"), "ada's");
}

#[test]
fn two_that_exchange_with_each_other_from_their_handlers_both_succeed() {
    let [desk, laptop] = joined(["desk", "laptop"]);
    let (done, results) = unbounded();
    let swaps = |with: &'static str| {
        let done = done.clone();
        PeerOptions::new().on_message(move |me, _| Ok(done.send(me.exchange(with, "soup", LONG).map(drop))?))
    };
    let ada = spawn_seen(&desk, "desk", "ada", swaps("bob@laptop"), &[&laptop]);
    let bob = spawn_seen(&laptop, "laptop", "bob", swaps("ada@desk"), &[&desk]);
    ada.share("soup", "ada's").unwrap();
    bob.share("soup", "bob's").unwrap();
    for _ in 0..20 {
        ada.tell("ada", "go", "", LONG).unwrap();
        bob.tell("bob", "go", "", LONG).unwrap();
        assert_eq!((next(&results), next(&results)), (Ok(()), Ok(())));
    }
}

#[test]
fn a_ring_of_waits_between_nodes_is_not_seen_and_ends_by_its_deadlines() {
    const OUTER: Duration = Duration::from_millis(1500);
    const INNER: Duration = Duration::from_millis(500);
    let [desk, laptop] = joined(["desk", "laptop"]);
    let (done, results) = unbounded();
    let asks = |whom: &'static str, timeout| {
        let done = done.clone();
        PeerOptions::new().on_message(move |me, message| {
            let answer = me.ask(whom, "round", "", timeout).map(drop);
            done.send((me.name().to_owned(), answer))?;
            Ok(message.reply("")?)
        })
    };
    let ada = spawn_seen(&desk, "desk", "ada", asks("bob@laptop", OUTER), &[&laptop]);
    spawn_seen(&laptop, "laptop", "bob", asks("ada@desk", INNER), &[&desk]);
    let outside = host(move || ada.ask("ada", "round", "", LONG).map(drop));
    // Bob's cannot be begun while ada waits for bob; it ends first, and then everybody is answered.
    assert_eq!(next(&results), ("bob".to_owned(), Err(Error::TimedOut)));
    assert_eq!(next(&results), ("ada".to_owned(), Ok(())));
    // Ada's handler ran for the one outside; from outside it is no ring.
    let outside = outside.result();
    assert!(matches!(outside, Ok(()) | Err(Error::Deadlock { .. })), "{outside:?}");
}

#[test]
fn a_handler_that_waits_for_another_node_lets_its_peer_be_used_and_ends_with_it() {
    let [desk, laptop] = joined(["desk", "laptop"]);
    let ada = spawn_seen(&desk, "desk", "ada", PeerOptions::new(), &[&laptop]);
    let (done, results) = unbounded();
    let asks =
        PeerOptions::new().on_message(move |me, _| Ok(done.send(me.ask("ada", "taste", "", Duration::MAX).map(drop))?));
    let bob = spawn_seen(&laptop, "laptop", "bob", asks, &[&desk]);
    let eve = laptop.spawn("eve").unwrap();
    bob.tell("bob", "go", "", LONG).unwrap();
    let _asked = ada.receive(LONG).unwrap();
    eve.share("soup", "leek").unwrap();
    eve.offer("bob", "soup", LONG).unwrap();
    ada.share("soup", "tomato").unwrap();
    ada.offer("bob", "soup", LONG).unwrap();
    assert_eq!(text(&bob, "soup"), "tomato");
    bob.close(LONG).unwrap();
    assert_eq!(next(&results), Err(closed("bob")));
    see(&laptop, "ada@desk");
}
