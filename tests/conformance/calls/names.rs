//! Names: which are good, which are free, and what is said about a bad one.

use potluck::{Error, NAME_BYTES_MAX, PeerOptions, PeerSystem};

use crate::support::{LONG, NOW, ada_and_bob, kitchen, no_such_peer};

/// Names that nothing may have, with a word that the reason must contain.
fn bad_names() -> Vec<(String, &'static str)> {
    let mut bad = vec![(String::new(), "empty"), ("a".repeat(256), "256"), ("ü".repeat(128), "256")];
    bad.extend(["*", "$", "#", "?", "@"].map(|c| (format!("a{c}b"), c)));
    bad.extend(["\n", "\t", "\0", "\u{7f}", "\u{85}"].map(|c| (format!("a{c}b"), "control")));
    bad
}

#[track_caller]
fn assert_invalid<T: std::fmt::Debug>(result: potluck::Result<T>, bad: &str, word: &str) {
    match result {
        Err(Error::InvalidName { name, reason }) => {
            assert_eq!(name, bad);
            assert!(reason.contains(word), "{bad:?}: {reason}");
        }
        other => panic!("{bad:?}: {other:?}"),
    }
}

#[test]
fn a_bad_name_of_a_system_or_peer_is_an_error_that_says_what_is_wrong() {
    let kitchen = kitchen();
    for (bad, word) in bad_names().into_iter().chain([("a/b".to_owned(), "/")]) {
        assert_invalid(PeerSystem::open(&bad), &bad, word);
        assert_invalid(kitchen.spawn(&bad), &bad, word);
        assert_invalid(kitchen.spawn_with(&bad, PeerOptions::new()), &bad, word);
    }
    assert!(kitchen.peers().unwrap().is_empty());
}

#[test]
fn a_bad_name_of_a_resource_is_an_error_that_says_what_is_wrong() {
    let (kitchen, ada, bob) = ada_and_bob();
    let voter = PeerOptions::new().on_request(|_, _, _| Ok(())).on_offer(|_, _, _| Ok(()));
    kitchen.spawn_with("voter", voter).unwrap();
    let parts = ["/a", "a/", "a//b", "/"].map(|name| (name.to_owned(), "empty"));
    for (bad, word) in bad_names().into_iter().chain(parts) {
        assert_invalid(ada.share(&bad, "body"), &bad, word);
        assert_invalid(ada.unshare(&bad), &bad, word);
        assert_invalid(ada.get(&bad), &bad, word);
        for timeout in [NOW, LONG] {
            for from in ["ada", "bob", "voter"] {
                assert_invalid(bob.request(from, &bad, timeout), &bad, word);
                assert_invalid(bob.offer(from, &bad, timeout), &bad, word);
                assert_invalid(bob.exchange(from, &bad, timeout), &bad, word);
            }
            assert_invalid(bob.fetch(&bad, timeout), &bad, word);
            assert_invalid(kitchen.mingle(&bad, 1, timeout), &bad, word);
        }
        assert_invalid(kitchen.holders(&bad), &bad, word);
    }
    assert!(ada.resources().unwrap().is_empty());
}

#[test]
fn a_bad_kind_of_message_is_an_error_that_says_what_is_wrong() {
    let (_kitchen, ada, bob) = ada_and_bob();
    for (bad, word) in [(String::new(), "empty"), ("k".repeat(256), "256"), ("a\nb".to_owned(), "control")] {
        assert_invalid(bob.tell("ada", &bad, "", LONG), &bad, word);
        assert_invalid(bob.try_tell("ada", &bad, ""), &bad, word);
        assert_invalid(bob.ask("ada", &bad, "", LONG), &bad, word);
    }
    assert_eq!(ada.receive(NOW).unwrap_err(), Error::TimedOut, "nothing was sent");
}

#[test]
fn good_names_may_be_long_or_strange() {
    let longest = "n".repeat(NAME_BYTES_MAX);
    assert_eq!(NAME_BYTES_MAX, 255);
    let kitchen = kitchen();
    for name in [longest.as_str(), "peer 1", "Jürgen", ".", "-", "名前", "a:b|c\\d"] {
        let peer = kitchen.spawn(name).unwrap();
        assert_eq!(peer.name(), name);
        assert_eq!(peer.share(name, "body").unwrap().name(), name);
        peer.try_tell(name, name, "").unwrap();
    }
    let ada = kitchen.spawn("ada").unwrap();
    for name in ["photos/cat.jpg", "a/b/c"] {
        assert_eq!(ada.share(name, "").unwrap().name(), name);
    }
    assert_eq!(kitchen.spawn("ada").unwrap_err(), Error::NameTaken { peer: "ada".into() });
}

#[test]
fn a_target_on_another_node_is_no_such_peer_without_a_mesh() {
    let (_kitchen, ada, _) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    let gone = no_such_peer("bob@laptop");
    assert_eq!(ada.request("bob@laptop", "soup", LONG).unwrap_err(), gone);
    assert_eq!(ada.offer("bob@laptop", "soup", LONG).unwrap_err(), gone);
    assert_eq!(ada.exchange("bob@laptop", "soup", LONG).unwrap_err(), gone);
    assert_eq!(ada.tell("bob@laptop", "hello", "", LONG).unwrap_err(), gone);
    assert_eq!(ada.ask("bob@laptop", "hello", "", LONG).unwrap_err(), gone);
}

#[test]
fn a_bad_name_of_a_target_is_an_error_that_says_what_is_wrong() {
    let (_kitchen, ada, _) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    for (bad, word) in bad_names().into_iter().filter(|(name, _)| !name.contains('@')) {
        assert_invalid(ada.request(&bad, "soup", LONG), &bad, word);
        assert_invalid(ada.offer(&bad, "soup", LONG), &bad, word);
        assert_invalid(ada.exchange(&bad, "soup", LONG), &bad, word);
        assert_invalid(ada.tell(&bad, "hello", "", LONG), &bad, word);
        assert_invalid(ada.ask(&bad, "hello", "", LONG), &bad, word);
    }
}

#[test]
fn a_name_is_taken_until_its_peer_has_closed_and_then_free() {
    let (kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    assert_eq!(kitchen.spawn("ada").unwrap_err(), Error::NameTaken { peer: "ada".into() });
    ada.close(LONG).unwrap();
    let new = kitchen.spawn("ada").unwrap();
    assert!(new.resources().unwrap().is_empty());
    assert!(ada.get("soup").is_err(), "the old handle is another peer's");
    new.share("soup", "leek").unwrap();
    assert_eq!(bob.request("ada", "soup", NOW).unwrap().bytes(), b"leek");
    assert_eq!(kitchen.peers().unwrap(), ["bob", "ada"]);
}

#[test]
fn of_many_that_spawn_one_name_at_once_one_gets_it() {
    let kitchen = kitchen();
    for _ in 0..20 {
        let spawns: Vec<_> = (0..4)
            .map(|_| {
                let kitchen = kitchen.clone();
                crate::support::host(move || kitchen.spawn("ada"))
            })
            .collect();
        let results = spawns.into_iter().map(crate::support::Host::result);
        let (got, taken): (Vec<_>, Vec<_>) = results.partition(Result::is_ok);
        assert_eq!((got.len(), taken.len()), (1, 3));
        got[0].as_ref().unwrap().close(LONG).unwrap();
    }
}
