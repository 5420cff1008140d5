//! Exchanges: both swap what they hold at that moment, or nothing changes.

use potluck::{Ended, Error, HandlerError, Peer, PeerOptions};

use crate::support::{LONG, NOW, SHORT, ada_and_bob, drain, host, kitchen, no_such_peer, no_such_resource, refused};

fn soup(peer: &Peer) -> String {
    String::from_utf8_lossy(peer.get("soup").unwrap().bytes()).into_owned()
}

#[test]
fn an_exchange_swaps_what_both_hold() {
    let (_kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    bob.share("soup", "leek").unwrap();
    let got = bob.exchange("ada", "soup", NOW).unwrap();
    assert_eq!((got.bytes(), got.origin()), (&b"tomato"[..], "ada"));
    assert_eq!((soup(&ada), soup(&bob)), ("leek".into(), "tomato".into()));
    assert_eq!(ada.get("soup").unwrap().origin(), "bob");
}

#[test]
fn an_exchange_says_who_has_nothing_and_changes_nothing() {
    let (_kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    bob.share("bread", "rye").unwrap();
    assert_eq!(ada.exchange("bob", "soup", LONG).unwrap_err(), no_such_resource("soup", "bob"));
    assert_eq!(ada.exchange("bob", "bread", LONG).unwrap_err(), no_such_resource("bread", "ada"));
    assert_eq!((ada.resources().unwrap().len(), bob.resources().unwrap().len()), (1, 1));
}

#[test]
fn an_exchange_with_an_unknown_peer_names_it() {
    let (_kitchen, ada, _) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    assert_eq!(ada.exchange("eve", "soup", LONG).unwrap_err(), no_such_peer("eve"));
}

#[test]
fn an_exchange_with_oneself_changes_nothing_and_asks_nobody() {
    let kitchen = kitchen();
    let options = PeerOptions::new()
        .on_request(|_, _, _| Err(HandlerError::refused("asked")))
        .on_offer(|_, _, _| Err(HandlerError::refused("asked")));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.share("soup", "tomato").unwrap();
    let events = kitchen.events(10).unwrap();
    drain(&events);
    assert_eq!(ada.exchange("ada", "soup", NOW).unwrap().version(), 1);
    assert_eq!(ada.exchange("ada", "bread", NOW).unwrap_err(), no_such_resource("bread", "ada"));
    assert_eq!(drain(&events), []);
}

#[test]
fn an_exchange_asks_both_handlers_of_the_other_side_only() {
    let kitchen = kitchen();
    let (asked, asks) = crossbeam_channel::unbounded();
    let voter = |name: &'static str| {
        let (to_request, to_offer) = (asked.clone(), asked.clone());
        let options = PeerOptions::new()
            .on_request(move |_, by, resource| Ok(to_request.send(format!("{name}: {by} requests {resource}"))?))
            .on_offer(move |_, from, offered| {
                let body = String::from_utf8_lossy(offered.bytes());
                Ok(to_offer.send(format!("{name}: {from} offers {body}"))?)
            });
        kitchen.spawn_with(name, options).unwrap()
    };
    let (ada, bob) = (voter("ada"), voter("bob"));
    ada.share("soup", "tomato").unwrap();
    bob.share("soup", "leek").unwrap();
    assert_eq!(ada.exchange("bob", "soup", LONG).unwrap().bytes(), b"leek");
    let asks: Vec<String> = asks.try_iter().collect();
    assert_eq!(asks, ["bob: ada requests soup", "bob: ada offers tomato"]);
}

#[test]
fn an_exchange_refused_by_either_handler_changes_neither_shelf() {
    let kitchen = kitchen();
    let ada = kitchen.spawn("ada").unwrap();
    ada.share("soup", "tomato").unwrap();
    let keeper = PeerOptions::new().on_request(|_, _, _| Err(HandlerError::refused("it is mine")));
    let picky =
        PeerOptions::new().on_request(|_, _, _| Ok(())).on_offer(|_, _, _| Err(HandlerError::refused("no soup")));
    for (name, options, reason) in [("keeper", keeper, "it is mine"), ("picky", picky, "no soup")] {
        let other = kitchen.spawn_with(name, options).unwrap();
        other.share("soup", "leek").unwrap();
        assert_eq!(ada.exchange(name, "soup", LONG).unwrap_err(), refused(name, reason));
        assert_eq!((soup(&ada), soup(&other)), ("tomato".into(), "leek".into()));
    }
}

#[test]
fn an_exchange_asks_again_if_a_shelf_changed_since_its_handlers_saw_it() {
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "leek").unwrap();
    let (seen, sights) = crossbeam_channel::unbounded();
    let other = bob.clone();
    let options = PeerOptions::new().on_offer(move |_, _, offered| {
        seen.send(offered.version())?;
        if offered.version() < 3 {
            other.share("soup", "newer")?;
        }
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.share("soup", "tomato").unwrap();
    assert_eq!(bob.exchange("ada", "soup", LONG).unwrap().bytes(), b"tomato");
    assert_eq!(sights.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(ada.get("soup").unwrap().version(), 3);
}

#[test]
fn many_exchanges_at_once_lose_and_double_nothing() {
    const NAMES: [&str; 4] = ["ada", "bob", "eve", "zoe"];
    let kitchen = kitchen();
    let peers: Vec<Peer> = NAMES
        .iter()
        .zip(0..)
        .map(|(name, number)| {
            // Some are done by the callers, some by the threads of the peers.
            let options = PeerOptions::new();
            let options = if number % 2 == 0 { options } else { options.on_offer(|_, _, _| Ok(())) };
            let peer = kitchen.spawn_with(name, options).unwrap();
            peer.share("soup", *name).unwrap();
            peer
        })
        .collect();
    let swaps: Vec<_> = peers
        .iter()
        .enumerate()
        .map(|(own, peer)| {
            let peer = peer.clone();
            host(move || {
                (0..500).for_each(|round| drop(peer.exchange(NAMES[(own + round) % 4], "soup", LONG).unwrap()))
            })
        })
        .collect();
    swaps.into_iter().for_each(|swap| swap.result());
    let mut held: Vec<String> = peers.iter().map(soup).collect();
    held.sort();
    assert_eq!(held, NAMES);
}

#[test]
fn an_exchange_whose_shelves_change_whenever_its_handlers_see_them_times_out_and_changes_nothing() {
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "leek").unwrap();
    let other = bob.clone();
    let options = PeerOptions::new().on_offer(move |_, _, _| {
        other.share("soup", "newer")?;
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.share("soup", "tomato").unwrap();
    assert_eq!(bob.exchange("ada", "soup", SHORT).unwrap_err(), Error::TimedOut);
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!(soup(&bob), "newer");
    assert_eq!(bob.get("soup").unwrap().origin(), "bob");
}
