//! What there is to see of calls between nodes: events on both sides, the snapshot, the counters.

use potluck::{Event, PeerOptions};

use crate::content::noise;
use crate::nodes::{Two, joined, spawn_seen, two};
use crate::support::{Gate, LONG, await_doing, drain};

fn requested(peer: &str, by: &str, size: u64) -> Event {
    Event::Requested { peer: peer.into(), by: by.into(), name: "soup".into(), version: 1, size }
}

fn received(peer: &str, from: &str, size: u64) -> Event {
    Event::Received { peer: peer.into(), from: from.into(), name: "soup".into(), version: 1, size }
}

#[test]
fn both_sides_report_a_request_and_its_events_come_before_it_returns() {
    for size in [5, 300_000] {
        let Two { desk, laptop, ada, bob } = two();
        let (there, here) = (desk.events(100).unwrap(), laptop.events(100).unwrap());
        drop((drain(&there), drain(&here)));
        ada.share("soup", noise(1, size)).unwrap();
        bob.request("ada", "soup", LONG).unwrap();
        let size = size as u64;
        assert_eq!(drain(&there), [requested("ada", "bob@laptop", size)]);
        let mut seen = drain(&here);
        seen.retain(|event| !matches!(event, Event::Progress { .. }));
        assert_eq!(seen, [received("bob", "ada@desk", size)]);
        // Nothing is handed over, so nothing is reported.
        bob.request_newer("ada", "soup", &bob.get("soup").unwrap(), LONG).unwrap();
        assert_eq!((drain(&there), drain(&here)), (vec![], vec![]));
    }
}

#[test]
fn both_sides_report_an_offer_and_an_exchange() {
    let Two { desk, laptop, ada, bob } = two();
    let (there, here) = (desk.events(100).unwrap(), laptop.events(100).unwrap());
    drop((drain(&there), drain(&here)));
    bob.share("soup", "leek").unwrap();
    bob.offer("ada", "soup", LONG).unwrap();
    let seen = drain(&there);
    assert!(seen.contains(&received("ada", "bob@laptop", 4)), "{seen:?}");
    drain(&here);
    ada.share("soup", "tomato").unwrap();
    ada.unshare("soup").unwrap();
    let eve = spawn_seen(&desk, "desk", "eve", PeerOptions::new(), &[&laptop]);
    eve.share("soup", "tomato").unwrap();
    drop((drain(&there), drain(&here)));
    bob.exchange("eve", "soup", LONG).unwrap();
    let seen = drain(&there);
    assert!(seen.contains(&received("eve", "bob@laptop", 4)), "{seen:?}");
    let seen = drain(&here);
    assert!(seen.contains(&received("bob", "eve@desk", 6)), "{seen:?}");
}

#[test]
fn the_snapshot_shows_whom_a_handler_waits_for_elsewhere() {
    let [desk, laptop] = joined(["desk", "laptop"]);
    let gate = Gate::new();
    let held = gate.clone();
    let slow = PeerOptions::new().on_message(move |_, message| {
        held.pass();
        Ok(message.reply("salt")?)
    });
    spawn_seen(&desk, "desk", "ada", slow, &[&laptop]);
    let asks = PeerOptions::new().on_message(|me, _| me.ask("ada", "taste", "", LONG).map(drop).map_err(Into::into));
    let bob = laptop.spawn_with("bob", asks).unwrap();
    bob.tell("bob", "go", "", LONG).unwrap();
    gate.await_arrival();
    let doing = await_doing(&laptop, "bob", "ada@desk");
    assert!(doing.contains("ask"), "{doing}");
    let doing = await_doing(&desk, "ada", "bob@laptop");
    assert!(doing.contains("taste"), "{doing}");
    gate.open();
    await_doing(&laptop, "bob", "idle");
}

#[test]
fn the_counters_of_each_node_say_what_went_there_and_came_from_it() {
    let Two { desk, laptop, ada, bob } = two();
    ada.share("soup", noise(1, 1000)).unwrap();
    ada.share("large", noise(1, 500_000)).unwrap();
    for _ in 0..3 {
        bob.request("ada", "soup", LONG).unwrap();
    }
    bob.request("ada", "large", LONG).unwrap();
    bob.share("bread", noise(2, 300)).unwrap();
    bob.offer("ada", "bread", LONG).unwrap();
    bob.tell("ada", "hello", noise(3, 50), LONG).unwrap();
    let there = laptop.snapshot().unwrap().nodes;
    let here = desk.snapshot().unwrap().nodes;
    assert_eq!((there.len(), here.len()), (1, 1));
    let (there, here) = (&there[0], &here[0]);
    assert_eq!((&*there.node, there.peers, &*here.node, here.peers), ("desk", 1, "laptop", 1));
    assert_eq!((there.calls, here.served), (6, 6), "{there:?}\n{here:?}");
    assert_eq!((there.served, here.calls), (0, 0), "{there:?}\n{here:?}");
    assert_eq!((there.bytes_in, there.bytes_out), (503_000, 350), "{there:?}");
    assert_eq!((here.bytes_in, here.bytes_out), (350, 503_000), "{here:?}");
    assert_eq!((there.failovers, there.denied, here.denied), (0, 0, 0));
    let json = laptop.snapshot().unwrap().to_json();
    let json = String::from_utf8_lossy(json.bytes()).into_owned();
    assert!(json.contains("\"nodes\"") && json.contains("\"desk\""), "{json}");
}
