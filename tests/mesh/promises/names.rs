//! Whom a name means in a mesh.

use potluck::{Error, PeerOptions};

use crate::nodes::{Two, at_once, joined, open, see, spawn_seen, two, until};
use crate::support::{LONG, no_such_peer};

#[test]
fn a_name_means_the_peer_here_first_and_an_exact_one_only_that() {
    let Two { desk, laptop, ada, bob } = two();
    let near = spawn_seen(&laptop, "laptop", "ada", PeerOptions::new(), &[&desk]);
    ada.share("soup", "at the desk").unwrap();
    near.share("soup", "at the laptop").unwrap();
    let soup = |from| String::from_utf8_lossy(bob.request(from, "soup", LONG).unwrap().bytes()).into_owned();
    assert_eq!((soup("ada"), soup("ada@desk")), ("at the laptop".into(), "at the desk".into()));
    assert_eq!(soup("ada@laptop"), "at the laptop");
    // By the exact name of this node it is as by the plain one.
    assert_eq!(bob.get("soup").unwrap().origin(), "ada");
    assert_eq!(bob.request("bob@laptop", "soup", LONG).unwrap().origin(), "ada", "oneself");
    assert_eq!(bob.request("eve@laptop", "soup", LONG).unwrap_err(), no_such_peer("eve"));
}

#[test]
fn two_of_a_name_elsewhere_are_ambiguous_and_both_are_named() {
    let [desk, laptop, phone] = joined(["desk", "laptop", "phone"]);
    for (system, node) in [(&desk, "desk"), (&phone, "phone")] {
        spawn_seen(system, node, "ada", PeerOptions::new(), &[&laptop]).share("soup", node).unwrap();
    }
    let bob = laptop.spawn("bob").unwrap();
    bob.share("soup", "").unwrap();
    let ambiguous = Error::Ambiguous { names: vec!["ada@desk".into(), "ada@phone".into()] };
    assert_eq!(bob.request("ada", "soup", LONG).unwrap_err(), ambiguous);
    assert_eq!(bob.offer("ada", "soup", LONG).unwrap_err(), ambiguous);
    assert_eq!(bob.exchange("ada", "soup", LONG).unwrap_err(), ambiguous);
    assert_eq!(bob.tell("ada", "hello", "", LONG).unwrap_err(), ambiguous);
    assert_eq!(bob.ask("ada", "hello", "", LONG).unwrap_err(), ambiguous);
    assert_eq!(bob.request("ada@phone", "soup", LONG).unwrap().bytes(), b"phone");
    // They are there, whichever is meant.
    assert_eq!(laptop.wait_for("ada", LONG), Ok(()));
}

#[test]
fn a_name_that_nobody_has_fails_at_once() {
    let Two { desk: _desk, laptop: _laptop, bob, .. } = two();
    bob.share("soup", "").unwrap();
    for (name, said) in [("eve", "eve"), ("eve@desk", "eve@desk"), ("ada@phone", "ada@phone"), ("eve@laptop", "eve")] {
        at_once(|| {
            assert_eq!(bob.request(name, "soup", LONG).unwrap_err(), no_such_peer(said));
            assert_eq!(bob.offer(name, "soup", LONG).unwrap_err(), no_such_peer(said));
            assert_eq!(bob.exchange(name, "soup", LONG).unwrap_err(), no_such_peer(said));
            assert_eq!(bob.tell(name, "hello", "", LONG).unwrap_err(), no_such_peer(said));
            assert_eq!(bob.ask(name, "hello", "", LONG).unwrap_err(), no_such_peer(said));
        });
    }
    for name in ["", "a/b", "@", "@desk", "ada@", "a@b@c", "ada@a/b", "a*@desk"] {
        let error = at_once(|| bob.request(name, "soup", LONG).unwrap_err());
        let is_right = matches!(error, Error::InvalidName { .. } | Error::NoSuchPeer { .. });
        assert!(is_right, "{name:?}: {error:?}");
    }
    assert!(matches!(bob.request("a/b", "soup", LONG), Err(Error::InvalidName { .. })));
}

#[test]
fn peers_are_those_here_and_then_those_elsewhere_sorted() {
    let [desk, laptop, phone] = joined(["desk", "laptop", "phone"]);
    for (system, node, peers) in [(&desk, "desk", ["zoe", "ada"]), (&phone, "phone", ["kim", "jo"])] {
        for peer in peers {
            spawn_seen(system, node, peer, PeerOptions::new(), &[&laptop]);
        }
    }
    laptop.spawn("eve").unwrap();
    laptop.spawn("bob").unwrap();
    assert_eq!(laptop.peers().unwrap(), ["eve", "bob", "ada@desk", "jo@phone", "kim@phone", "zoe@desk"]);
}

#[test]
fn systems_of_another_name_are_not_seen() {
    let address = crate::nodes::address();
    let mesh = |node: &str| potluck::Mesh::new().node(node);
    let kitchen = open("kitchen", mesh("desk").listen(&*address));
    kitchen.spawn("ada").unwrap();
    // These two know each other by way of the first alone, which they cannot see.
    let [pantry, cellar] = ["laptop", "phone"].map(|node| open("pantry", mesh(node).connect(&*address)));
    let bob = pantry.spawn("bob").unwrap();
    see(&cellar, "bob@laptop");
    cellar.spawn("kim").unwrap();
    see(&pantry, "kim@phone");
    assert_eq!(pantry.peers().unwrap(), ["bob", "kim@phone"]);
    assert_eq!(kitchen.peers().unwrap(), ["ada"]);
    assert_eq!(bob.tell("ada@desk", "hello", "", LONG).unwrap_err(), no_such_peer("ada@desk"));
    assert_eq!(kitchen.snapshot().unwrap().nodes.len(), 0);
}

#[test]
fn a_node_without_a_name_is_called_after_its_host_and_process() {
    let address = crate::nodes::address();
    let first = open("kitchen", potluck::Mesh::new().node("desk").listen(&*address));
    let other = open("kitchen", potluck::Mesh::new().connect(&*address));
    other.spawn("bob").unwrap();
    let bob = until("bob comes", || first.peers().unwrap().into_iter().find(|peer| peer.starts_with("bob@")));
    assert!(bob.ends_with(&std::process::id().to_string()), "{bob}");
}

#[test]
fn mingling_stays_on_the_node() {
    let Two { desk: _desk, laptop, ada, bob } = two();
    ada.share("soup", "ada's").unwrap();
    let eve = laptop.spawn("eve").unwrap();
    assert!(matches!(laptop.mingle("soup", 7, LONG), Err(Error::NoSuchResource { .. })));
    bob.share("soup", "bob's").unwrap();
    laptop.mingle("soup", 7, LONG).unwrap();
    assert_eq!(eve.get("soup").unwrap().bytes(), b"bob's");
}
