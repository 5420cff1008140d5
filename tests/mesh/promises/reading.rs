//! Requests and fetches from other nodes, and who holds what there.

use std::task::Poll;

use potluck::{Call, Error, HandlerError, PeerOptions, SystemOptions};

use crate::content::{digest, noise};
use crate::nodes::{Two, at_once, joined, joined_with, see, spawn_seen, two, two_with};
use crate::support::{LONG, handler_failed, no_such_resource, refused};

#[test]
fn a_request_gets_what_another_node_holds_and_the_caller_serves_it_then() {
    let [desk, laptop, phone] = joined(["desk", "laptop", "phone"]);
    let ada = spawn_seen(&desk, "desk", "ada", PeerOptions::new(), &[&laptop, &phone]);
    let bob = spawn_seen(&laptop, "laptop", "bob", PeerOptions::new(), &[&desk, &phone]);
    let kim = spawn_seen(&phone, "phone", "kim", PeerOptions::new(), &[&desk, &laptop]);
    ada.share("soup/of the day", "leek").unwrap();
    ada.share("soup/of the day", "tomato").unwrap();
    let soup = bob.request("ada", "soup/of the day", LONG).unwrap();
    assert_eq!((soup.bytes(), soup.origin(), soup.version()), (&b"tomato"[..], "ada@desk", 2));
    assert_eq!(soup.name(), "soup/of the day");
    assert_eq!(bob.get("soup/of the day").unwrap().bytes(), b"tomato");
    // Nobody needs ada any more.
    ada.unshare("soup/of the day").unwrap();
    let copy = kim.request("bob@laptop", "soup/of the day", LONG).unwrap();
    assert_eq!((copy.bytes(), copy.origin(), copy.version()), (&b"tomato"[..], "ada@desk", 2));
    let own = ada.request("kim", "soup/of the day", LONG).unwrap();
    assert_eq!((own.bytes(), own.origin(), own.version()), (&b"tomato"[..], "ada", 2));
}

#[test]
fn bodies_of_all_sizes_arrive_whole() {
    const SIZES: [usize; 9] = [0, 1, 65_535, 262_143, 262_144, 262_145, 4 << 20, (4 << 20) + 1, 9_000_001];
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    let (ada, bob) = (&ada, &bob);
    for (size, seed) in SIZES.into_iter().zip(0..) {
        let body = noise(seed, size);
        ada.share("dish", body.clone()).unwrap();
        let got = bob.request("ada", "dish", LONG).unwrap();
        assert_eq!((got.len(), digest(got.bytes())), (size, digest(&body)));
        bob.share("dish", body.clone()).unwrap();
        bob.offer("ada", "dish", LONG).unwrap();
        assert_eq!(digest(ada.get("dish").unwrap().bytes()), digest(&body), "an offer of {size}");
        let other = noise(seed + 100, size);
        bob.share("dish", other.clone()).unwrap();
        let back = bob.exchange("ada", "dish", LONG).unwrap();
        assert_eq!(digest(back.bytes()), digest(&body), "an exchange of {size}");
        assert_eq!(digest(ada.get("dish").unwrap().bytes()), digest(&other), "an exchange of {size}");
    }
}

#[test]
fn a_request_says_who_does_not_hold_it() {
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    ada.share("bread", "rye").unwrap();
    let missing = |from| bob.request(from, "soup", LONG).unwrap_err();
    assert_eq!(at_once(|| missing("ada")), no_such_resource("soup", "ada@desk"));
    assert_eq!(at_once(|| missing("ada@desk")), no_such_resource("soup", "ada@desk"));
    assert!(matches!(bob.request("ada", "a//b", LONG), Err(Error::InvalidName { .. })));
    assert_eq!(bob.resources().unwrap().len(), 0);
}

#[test]
fn what_a_peer_has_just_shared_or_taken_away_is_what_others_see() {
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    for version in 1..=50 {
        ada.share("soup", version.to_string()).unwrap();
        let soup = bob.request("ada", "soup", LONG).unwrap();
        assert_eq!((soup.version(), soup.bytes()), (version, version.to_string().as_bytes()));
    }
    ada.unshare("soup").unwrap();
    assert_eq!(bob.request("ada", "soup", LONG).unwrap_err(), no_such_resource("soup", "ada@desk"));
}

#[test]
fn a_request_without_room_on_the_callers_shelf_changes_nothing() {
    let [desk, laptop] = joined(["desk", "laptop"]);
    let ada = spawn_seen(&desk, "desk", "ada", PeerOptions::new(), &[&laptop]);
    let bob = laptop.spawn_with("bob", PeerOptions::new().shelf_bytes_max(1000)).unwrap();
    bob.share("soup", "leek").unwrap();
    for size in [1001, 300_000] {
        ada.share("soup", noise(1, size)).unwrap();
        let error = bob.request("ada", "soup", LONG).unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 1000, .. }), "of {size}: {error:?}");
        assert_eq!(bob.get("soup").unwrap().bytes(), b"leek");
    }
    ada.share("soup", noise(1, 1000)).unwrap();
    assert_eq!(bob.request("ada", "soup", LONG).unwrap().len(), 1000);
}

#[test]
fn a_resource_beyond_the_callers_limit_is_too_large() {
    let [desk, laptop] = joined_with(["desk", "laptop"], |node| {
        if node == "laptop" { SystemOptions::new().resource_bytes_max(1000) } else { SystemOptions::new() }
    });
    let ada = spawn_seen(&desk, "desk", "ada", PeerOptions::new(), &[&laptop]);
    let bob = laptop.spawn("bob").unwrap();
    ada.share("soup", noise(1, 5_000_000)).unwrap();
    let error = at_once(|| bob.request("ada", "soup", LONG).unwrap_err());
    assert!(matches!(error, Error::TooLarge { limit: 1000, size: 5_000_000, .. }), "{error:?}");
}

#[test]
fn a_request_for_what_is_newer_hands_nothing_over_if_nothing_is() {
    let Two { desk, laptop, ada, bob } = two();
    let zoe = spawn_seen(&laptop, "laptop", "zoe", PeerOptions::new(), &[&desk]);
    ada.share("soup", "tomato").unwrap();
    let first = bob.request("ada", "soup", LONG).unwrap();
    assert!(bob.request_newer("ada", "soup", &first, LONG).unwrap().is_none());
    // A copy is the same edition, wherever it has been.
    let copy = zoe.request("bob", "soup", LONG).unwrap();
    assert!(zoe.request_newer("ada@desk", "soup", &copy, LONG).unwrap().is_none());
    let back = ada.request("zoe", "soup", LONG).unwrap();
    assert!(ada.request_newer("bob", "soup", &back, LONG).unwrap().is_none());
    let second = ada.share("soup", "tomato and salt").unwrap();
    let newer = bob.request_newer("ada", "soup", &first, LONG).unwrap().expect("it is newer");
    assert_eq!((newer.version(), newer.bytes()), (2, &b"tomato and salt"[..]));
    // Zoe holds an older version of the same origin.
    assert!(ada.request_newer("zoe", "soup", &second, LONG).unwrap().is_none());
    assert!(matches!(bob.request_newer("ada", "bread", &first, LONG), Err(Error::InvalidArgument(_))));
}

#[test]
fn what_a_peer_spawned_again_under_an_old_name_shares_is_newer() {
    let Two { desk, laptop, ada, bob } = two();
    ada.share("soup", "old").unwrap();
    let old = bob.request("ada", "soup", LONG).unwrap();
    let events = laptop.events(100).unwrap();
    ada.close(LONG).unwrap();
    while events.next(LONG).unwrap() != (potluck::Event::Left { peer: "ada@desk".into() }) {}
    let ada = spawn_seen(&desk, "desk", "ada", PeerOptions::new(), &[&laptop]);
    ada.share("soup", "new").unwrap();
    let new = bob.request_newer("ada", "soup", &old, LONG).unwrap().expect("another origin is newer");
    assert_eq!((new.version(), new.origin(), new.bytes()), (1, "ada@desk", &b"new"[..]));
    let conflict = bob.share_if("soup", "x", Some(&old)).unwrap_err();
    assert_eq!(conflict, Error::VersionConflict { current: 1 });
}

#[test]
fn an_edition_is_the_same_on_whatever_way_it_came() {
    let Two { desk, laptop: _laptop, ada, bob } = two();
    let eve = desk.spawn("eve").unwrap();
    let soup = ada.share("soup", "tomato").unwrap();
    let there = bob.request("ada", "soup", LONG).unwrap();
    let back = eve.request("bob", "soup", LONG).unwrap();
    assert_eq!(back.origin(), "ada");
    // Ada's own, eve's by way of bob, and bob's are one and the same.
    eve.share_if("soup", "eve's", Some(&soup)).unwrap();
    ada.share_if("soup", "ada's", Some(&back)).unwrap();
    bob.share_if("soup", "bob's", Some(&there)).unwrap();
    let again = bob.share_if("soup", "again", Some(&there)).unwrap_err();
    assert_eq!(again, Error::VersionConflict { current: 2 });
}

#[test]
fn a_fetch_finds_whoever_holds_it_on_any_node() {
    let [desk, laptop, phone] = joined(["desk", "laptop", "phone"]);
    spawn_seen(&desk, "desk", "ada", PeerOptions::new(), &[&laptop]);
    let kim = spawn_seen(&phone, "phone", "kim", PeerOptions::new(), &[&laptop]);
    let bob = laptop.spawn("bob").unwrap();
    kim.share("soup", "tomato").unwrap();
    let soup = bob.fetch("soup", LONG).unwrap();
    assert_eq!((soup.bytes(), soup.origin()), (&b"tomato"[..], "kim@phone"));
    assert_eq!(at_once(|| bob.fetch("bread", LONG).unwrap_err()), no_such_resource("bread", None));
    kim.unshare("soup").unwrap();
    // Bob alone holds it now.
    assert_eq!(at_once(|| bob.fetch("soup", LONG).unwrap_err()), no_such_resource("soup", None));
}

#[test]
fn a_fetch_that_a_handler_here_refuses_goes_on_elsewhere() {
    let Two { desk: _desk, laptop, ada, bob } = two();
    let refuses = PeerOptions::new().on_request(|_, _, _| Err(HandlerError::refused("it is mine")));
    let kim = laptop.spawn_with("kim", refuses).unwrap();
    kim.share("soup", "kim's").unwrap();
    assert_eq!(bob.fetch("soup", LONG).unwrap_err(), refused("kim", "it is mine"));
    ada.share("soup", "ada's").unwrap();
    assert_eq!(bob.fetch("soup", LONG).unwrap().origin(), "ada@desk");
    bob.unshare("soup").unwrap();
    let started = bob.start(Call::Fetch { name: "soup" }, LONG).unwrap();
    let Poll::Ready(fetched) = started.wait(LONG) else { panic!("it does not end") };
    assert_eq!(fetched.unwrap().unwrap().bytes(), b"ada's");
    assert_eq!(bob.get("soup").unwrap().origin(), "ada@desk");
}

#[test]
fn a_fetch_goes_on_to_the_next_holder() {
    let [desk, laptop, phone] = joined(["desk", "laptop", "phone"]);
    let no = || PeerOptions::new().on_request(|_, _, _| Err(HandlerError::refused("it is mine")));
    let ada = spawn_seen(&desk, "desk", "ada", no(), &[&laptop]);
    let kim = spawn_seen(&phone, "phone", "kim", PeerOptions::new(), &[&laptop]);
    let bob = laptop.spawn("bob").unwrap();
    ada.share("soup", "ada's").unwrap();
    kim.share("soup", "kim's").unwrap();
    for _ in 0..10 {
        assert_eq!(bob.fetch("soup", LONG).unwrap().bytes(), b"kim's");
        bob.unshare("soup").unwrap();
    }
    kim.unshare("soup").unwrap();
    assert_eq!(bob.fetch("soup", LONG).unwrap_err(), refused("ada@desk", "it is mine"));
}

#[test]
fn holders_are_those_of_all_nodes() {
    let Two { desk, laptop, ada, bob } = two();
    let eve = spawn_seen(&desk, "desk", "eve", PeerOptions::new(), &[&laptop]);
    ada.share("soup", "tomato").unwrap();
    eve.share("soup", "a leek").unwrap();
    bob.request("ada", "soup", LONG).unwrap();
    let of = |system: &potluck::PeerSystem| -> Vec<(String, String, u64, u64)> {
        let holders = system.holders("soup").unwrap().into_iter();
        holders.map(|it| (it.peer, it.origin, it.version, it.size)).collect()
    };
    let row = |peer: &str, origin: &str| (peer.to_owned(), origin.to_owned(), 1, 6);
    assert_eq!(of(&laptop), [row("bob", "ada@desk"), row("ada@desk", "ada@desk"), row("eve@desk", "eve@desk")]);
    assert_eq!(of(&desk), [row("ada", "ada"), row("eve", "eve"), row("bob@laptop", "ada")]);
    assert_eq!(laptop.holders("bread").unwrap(), []);
    assert!(matches!(laptop.holders("a//b"), Err(Error::InvalidName { .. })));
}

#[test]
fn an_on_request_elsewhere_is_asked_and_may_share_on_the_spot_refuse_or_fail() {
    let options = PeerOptions::new().on_request(|me, by, name| match name {
        "fresh" => {
            me.share("fresh", format!("for {by}"))?;
            Ok(())
        }
        "mine" => Err(HandlerError::refused("it is mine")),
        "burnt" => panic!("the pot is hot"),
        _ => Ok(()),
    });
    let Two { ada, bob, desk, laptop } = two_with(options);
    assert_eq!(bob.request("ada", "fresh", LONG).unwrap().bytes(), b"for bob@laptop");
    ada.share("mine", "").unwrap();
    assert_eq!(bob.request("ada", "mine", LONG).unwrap_err(), refused("ada@desk", "it is mine"));
    assert_eq!(bob.request("ada", "burnt", LONG).unwrap_err(), handler_failed("ada@desk", "the pot is hot"));
    assert_eq!(bob.request("ada", "nothing", LONG).unwrap_err(), no_such_resource("nothing", "ada@desk"));
    see(&laptop, "ada@desk");
    drop(desk);
}
