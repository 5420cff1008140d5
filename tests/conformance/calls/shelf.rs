//! A peer and its own shelf.

use std::time::Duration;

use potluck::PeerSystem;

use crate::support::{LONG, NOW, ada_and_bob, kitchen, no_such_resource};

#[test]
fn the_snippet_of_the_design_runs_as_written() -> potluck::Result<()> {
    let kitchen = PeerSystem::open("kitchen")?;
    let (ada, bob) = (kitchen.spawn("ada")?, kitchen.spawn("bob")?);
    ada.share("soup", "tomato")?;
    let soup = bob.request("ada", "soup", Duration::from_secs(1))?; // bob holds a copy now and serves it, too
    assert_eq!((soup.bytes(), soup.origin(), soup.version()), (&b"tomato"[..], "ada", 1));
    kitchen.shutdown(Duration::from_secs(1))?;
    Ok(())
}

#[test]
fn a_first_share_is_version_1_and_each_next_one_is_one_above() {
    let (_kitchen, ada, _) = ada_and_bob();
    for version in 1..=3 {
        let shared = ada.share("soup", format!("pot {version}")).unwrap();
        assert_eq!((shared.name(), shared.origin(), shared.version()), ("soup", "ada", version));
        assert_eq!(ada.get("soup").unwrap().bytes(), format!("pot {version}").as_bytes());
    }
    assert_eq!(ada.share("bread", "rye").unwrap().version(), 1);
}

#[test]
fn a_share_after_an_unshare_goes_on_counting() {
    let (_kitchen, ada, _) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    ada.unshare("soup").unwrap();
    assert_eq!(ada.share("soup", "leek").unwrap().version(), 2);
}

#[test]
fn a_share_is_one_above_the_highest_version_ever_held_also_of_copies() {
    let (_kitchen, ada, bob) = ada_and_bob();
    for _ in 0..5 {
        ada.share("soup", "tomato").unwrap();
    }
    bob.request("ada", "soup", NOW).unwrap();
    bob.unshare("soup").unwrap();
    let own = bob.share("soup", "leek").unwrap();
    assert_eq!((own.origin(), own.version()), ("bob", 6));
}

#[test]
fn an_unshared_resource_is_gone_from_every_list() {
    let (kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    ada.unshare("soup").unwrap();
    assert_eq!(ada.get("soup").unwrap_err(), no_such_resource("soup", "ada"));
    assert_eq!(ada.unshare("soup").unwrap_err(), no_such_resource("soup", "ada"));
    assert!(ada.resources().unwrap().is_empty());
    assert!(kitchen.holders("soup").unwrap().is_empty());
    assert_eq!(bob.request("ada", "soup", LONG).unwrap_err(), no_such_resource("soup", "ada"));
    assert_eq!(bob.fetch("soup", LONG).unwrap_err(), no_such_resource("soup", None));
}

#[test]
fn resources_are_all_that_is_held_sorted_by_name() {
    let (_kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    ada.share("bread", "rye").unwrap();
    bob.share("cake", "apple").unwrap();
    ada.request("bob", "cake", NOW).unwrap();
    let held = ada.resources().unwrap();
    let held: Vec<_> = held.iter().map(|it| (it.name(), it.origin(), it.version(), it.bytes())).collect();
    assert_eq!(held, [("bread", "ada", 1, &b"rye"[..]), ("cake", "bob", 1, b"apple"), ("soup", "ada", 1, b"tomato")]);
}

#[test]
fn holders_are_told_in_the_order_of_spawning_with_what_they_hold() {
    let kitchen = kitchen();
    let peers = ["zoe", "ada", "bob"].map(|name| kitchen.spawn(name).unwrap());
    peers[2].share("soup", "leek").unwrap();
    peers[2].share("soup", "tomato").unwrap();
    peers[0].request("bob", "soup", NOW).unwrap();
    let holders = kitchen.holders("soup").unwrap();
    let holders: Vec<_> = holders.iter().map(|it| (&*it.peer, &*it.origin, it.version, it.size)).collect();
    assert_eq!(holders, [("zoe", "bob", 2, 6), ("bob", "bob", 2, 6)]);
    assert_eq!(kitchen.peers().unwrap(), ["zoe", "ada", "bob"]);
}

#[test]
fn a_body_of_0_bytes_is_a_resource_like_any_other() {
    let (_kitchen, ada, bob) = ada_and_bob();
    assert!(ada.share("air", "").unwrap().is_empty());
    let air = bob.request("ada", "air", NOW).unwrap();
    assert_eq!((air.len(), air.bytes(), air.version()), (0, &b""[..], 1));
}
