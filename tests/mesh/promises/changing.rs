//! Offers and exchanges with peers of other nodes.

use crossbeam_channel::unbounded;
use potluck::{Error, HandlerError, Peer, PeerOptions};

use crate::content::noise;
use crate::nodes::{Two, joined, spawn_seen, text, two, two_with};
use crate::support::{Gate, LONG, PATIENT, host, no_such_resource, refused};

#[test]
fn an_offer_puts_a_copy_on_a_shelf_elsewhere() {
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    ada.share("soup", "leek").unwrap();
    bob.share("soup", "tomato").unwrap();
    bob.offer("ada@desk", "soup", LONG).unwrap();
    let soup = ada.get("soup").unwrap();
    assert_eq!((soup.bytes(), soup.origin(), soup.version()), (&b"tomato"[..], "bob@laptop", 1));
    assert_eq!(bob.get("soup").unwrap().origin(), "bob");
    // Back where it came from.
    bob.unshare("soup").unwrap();
    ada.offer("bob", "soup", LONG).unwrap();
    assert_eq!(bob.get("soup").unwrap().origin(), "bob");
}

#[test]
fn an_offer_of_nothing_or_of_what_has_no_room_changes_nothing() {
    let [desk, laptop] = joined(["desk", "laptop"]);
    let options = PeerOptions::new().shelf_bytes_max(1000);
    let ada = spawn_seen(&desk, "desk", "ada", options, &[&laptop]);
    let bob = laptop.spawn("bob").unwrap();
    ada.share("soup", "leek").unwrap();
    assert_eq!(bob.offer("ada", "soup", LONG).unwrap_err(), no_such_resource("soup", "bob"));
    for size in [1001, 300_000] {
        bob.share("soup", noise(1, size)).unwrap();
        let error = bob.offer("ada", "soup", LONG).unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 1000, .. }), "of {size}: {error:?}");
        let error = bob.exchange("ada", "soup", LONG).unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 1000, .. }), "{error:?}");
        assert_eq!((text(&ada, "soup").as_str(), bob.get("soup").unwrap().len()), ("leek", size));
    }
}

#[test]
fn an_exchange_swaps_what_both_hold() {
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    ada.share("soup", "tomato").unwrap();
    bob.share("soup", "leek").unwrap();
    let got = bob.exchange("ada", "soup", LONG).unwrap();
    assert_eq!((got.bytes(), got.origin(), got.version()), (&b"tomato"[..], "ada@desk", 1));
    assert_eq!((text(&ada, "soup"), text(&bob, "soup")), ("leek".into(), "tomato".into()));
    assert_eq!(ada.get("soup").unwrap().origin(), "bob@laptop");
    // And back: each is of its own node again.
    ada.exchange("bob", "soup", LONG).unwrap();
    assert_eq!((ada.get("soup").unwrap().origin(), bob.get("soup").unwrap().origin()), ("ada", "bob"));
}

#[test]
fn an_exchange_says_who_has_nothing_and_changes_nothing() {
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    ada.share("soup", "tomato").unwrap();
    bob.share("bread", "rye").unwrap();
    assert_eq!(bob.exchange("ada", "soup", LONG).unwrap_err(), no_such_resource("soup", "bob"));
    assert_eq!(bob.exchange("ada", "bread", LONG).unwrap_err(), no_such_resource("bread", "ada@desk"));
    assert_eq!((ada.resources().unwrap().len(), bob.resources().unwrap().len()), (1, 1));
}

#[test]
fn an_exchange_that_the_caller_has_no_room_for_changes_nothing_either() {
    let [desk, laptop] = joined(["desk", "laptop"]);
    for (name, options) in [("ada", PeerOptions::new()), ("kim", PeerOptions::new().on_offer(|_, _, _| Ok(())))] {
        spawn_seen(&desk, "desk", name, options, &[&laptop]).share("soup", vec![1; 200]).unwrap();
    }
    let bob = laptop.spawn_with("bob", PeerOptions::new().shelf_bytes_max(150)).unwrap();
    bob.share("bread", vec![2; 10]).unwrap();
    bob.share("soup", "leek").unwrap();
    for with in ["ada", "kim"] {
        let error = bob.exchange(with, "soup", LONG).unwrap_err();
        assert!(matches!(&error, Error::TooLarge { limit: 140, size: 200, .. }), "{error:?}");
        assert_eq!(text(&bob, "soup"), "leek");
    }
    let roomy = laptop.spawn("roomy").unwrap();
    for with in ["ada", "kim"] {
        assert_eq!(roomy.request(with, "soup", LONG).unwrap().bytes(), [1; 200], "it was not taken away");
    }
}

#[test]
fn handlers_elsewhere_are_asked_and_their_no_changes_nothing() {
    let (asked, asks) = unbounded();
    let to_offer = asked.clone();
    let options = PeerOptions::new()
        .on_request(move |_, by, name| {
            asked.send(format!("{by} requests {name}"))?;
            if name == "mine" { Err(HandlerError::refused("it is mine")) } else { Ok(()) }
        })
        .on_offer(move |_, from, offered| {
            let body = String::from_utf8_lossy(offered.bytes()).into_owned();
            to_offer.send(format!("{from} offers {body} of {}", offered.origin()))?;
            if body == "stale" { Err(HandlerError::refused("not fresh")) } else { Ok(()) }
        });
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two_with(options);
    let heard = || asks.try_iter().collect::<Vec<String>>();
    for name in ["mine", "soup"] {
        ada.share(name, "ada's").unwrap();
        bob.share(name, "fresh").unwrap();
    }
    assert_eq!(bob.exchange("ada", "mine", LONG).unwrap_err(), refused("ada@desk", "it is mine"));
    assert_eq!(heard(), ["bob@laptop requests mine"]);
    assert_eq!(bob.exchange("ada", "soup", LONG).unwrap().bytes(), b"ada's");
    assert_eq!(heard(), ["bob@laptop requests soup", "bob@laptop offers fresh of bob@laptop"]);
    bob.share("soup", "stale").unwrap();
    assert_eq!(bob.exchange("ada", "soup", LONG).unwrap_err(), refused("ada@desk", "not fresh"));
    assert_eq!(bob.offer("ada", "soup", LONG).unwrap_err(), refused("ada@desk", "not fresh"));
    assert_eq!((text(&ada, "soup"), text(&bob, "soup")), ("fresh".into(), "stale".into()));
}

#[test]
fn what_comes_from_elsewhere_is_told_to_on_received() {
    let (told, tells) = unbounded();
    let options = PeerOptions::new().on_received(move |_, from, got| {
        told.send(format!("{} from {from}", String::from_utf8_lossy(got.bytes()))).unwrap();
    });
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two_with(options);
    bob.share("soup", "first").unwrap();
    bob.offer("ada", "soup", LONG).unwrap();
    bob.share("soup", "second").unwrap();
    bob.exchange("ada", "soup", LONG).unwrap();
    for words in ["first from bob@laptop", "second from bob@laptop"] {
        assert_eq!(crate::support::next(&tells), words);
    }
    assert_eq!(text(&ada, "soup"), "second");
}

#[test]
fn no_peer_elsewhere_changes_a_shelf_while_its_handler_runs() {
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_message(move |_, _| {
        held.pass();
        Ok(())
    });
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two_with(options);
    ada.share("soup", "ada's").unwrap();
    bob.share("soup", "bob's").unwrap();
    ada.tell("ada", "cook", "", LONG).unwrap();
    gate.await_arrival();
    // Reading waits for nobody's handler.
    assert_eq!(bob.request("ada", "soup", LONG).unwrap().bytes(), b"ada's");
    bob.share("soup", "bob's").unwrap();
    // The far side gives up first, so nothing is in doubt.
    assert_eq!(bob.offer("ada", "soup", PATIENT).unwrap_err(), Error::TimedOut);
    assert_eq!(bob.exchange("ada", "soup", PATIENT).unwrap_err(), Error::TimedOut);
    let (offerer, swapper) = (bob.clone(), bob.clone());
    let offer = host(move || offerer.offer("ada", "soup", LONG)).waiting();
    let exchange = host(move || swapper.exchange("ada", "soup", LONG)).waiting();
    assert_eq!((text(&ada, "soup"), text(&bob, "soup")), ("ada's".into(), "bob's".into()));
    gate.open();
    offer.result().unwrap();
    exchange.result().unwrap();
    assert_eq!(text(&ada, "soup"), "bob's");
}

#[test]
fn exchanges_between_nodes_lose_and_double_nothing() {
    const PEERS: usize = 4;
    let [desk, laptop] = joined(["desk", "laptop"]);
    let name = |number: usize| format!("peer{number}");
    let sharing = |peer: Peer, what: String| {
        peer.share("coin", what).unwrap();
        peer
    };
    let targets: Vec<Peer> = (0..PEERS)
        .map(|number| {
            let options = PeerOptions::new();
            // Some are done by whoever carries the call out, some by the threads of the peers.
            let options = if number % 2 == 0 { options } else { options.on_offer(|_, _, _| Ok(())) };
            sharing(spawn_seen(&desk, "desk", &name(number), options, &[&laptop]), format!("desk {number}"))
        })
        .collect();
    // Nobody but its own thread changes a caller's shelf.
    let callers: Vec<Peer> = (0..PEERS)
        .map(|number| sharing(laptop.spawn(&format!("caller{number}")).unwrap(), format!("laptop {number}")))
        .collect();
    let swaps: Vec<_> = callers
        .iter()
        .enumerate()
        .map(|(own, caller)| {
            let caller = caller.clone();
            host(move || {
                for round in 0..100 {
                    caller.exchange(&format!("{}@desk", name((own + round) % PEERS)), "coin", LONG).unwrap();
                }
            })
        })
        .collect();
    swaps.into_iter().for_each(|swap| swap.result_within(3 * LONG));
    let mut held: Vec<String> = targets.iter().chain(&callers).map(|peer| text(peer, "coin")).collect();
    held.sort();
    let mut all: Vec<String> =
        ["desk", "laptop"].iter().flat_map(|node| (0..PEERS).map(move |number| format!("{node} {number}"))).collect();
    all.sort();
    assert_eq!(held, all);
}
