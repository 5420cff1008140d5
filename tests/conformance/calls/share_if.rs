//! A share that is done only if what is held is what the caller thinks.

use potluck::{Error, PeerOptions, Result, SystemOptions};

use crate::support::{LONG, NOW, ada_and_bob, closed, drain, host, kitchen, kitchen_with};

fn conflict(current: u64) -> Error {
    Error::VersionConflict { current }
}

#[test]
fn a_share_that_expects_nothing_is_done_only_where_nothing_is_held() {
    let (kitchen, ada, _) = ada_and_bob();
    let first = ada.share_if("soup", "tomato", None).unwrap();
    assert_eq!((first.name(), first.origin(), first.version(), first.bytes()), ("soup", "ada", 1, &b"tomato"[..]));
    assert_eq!(ada.share_if("soup", "leek", None).unwrap_err(), conflict(1));
    assert_eq!(ada.get("soup").unwrap().bytes(), b"tomato");
    ada.unshare("soup").unwrap();
    assert_eq!(ada.share_if("soup", "leek", None).unwrap().version(), 2);
    assert_eq!(kitchen.holders("soup").unwrap().len(), 1);
}

#[test]
fn a_share_that_expects_a_resource_is_done_only_if_exactly_that_is_held() {
    let (_kitchen, ada, _) = ada_and_bob();
    let first = ada.share("soup", "tomato").unwrap();
    let second = ada.share_if("soup", "leek", Some(&first)).unwrap();
    assert_eq!(second.version(), 2);
    assert_eq!(ada.share_if("soup", "onion", Some(&first)).unwrap_err(), conflict(2));
    assert_eq!(ada.get("soup").unwrap().bytes(), b"leek");
    ada.unshare("soup").unwrap();
    assert_eq!(ada.share_if("soup", "onion", Some(&second)).unwrap_err(), conflict(0));
    assert!(ada.resources().unwrap().is_empty(), "a conflict puts nothing on the shelf");
}

#[test]
fn the_same_version_of_another_origin_is_another_resource() {
    let (_kitchen, ada, bob) = ada_and_bob();
    let own = ada.share("soup", "tomato").unwrap();
    bob.share("soup", "leek").unwrap();
    bob.offer("ada", "soup", LONG).unwrap();
    assert_eq!(ada.share_if("soup", "onion", Some(&own)).unwrap_err(), conflict(1));
    let given = ada.get("soup").unwrap();
    let merged = ada.share_if("soup", "tomato and leek", Some(&given)).unwrap();
    assert_eq!((merged.origin(), merged.version()), ("ada", 2));
}

#[test]
fn a_copy_of_a_copy_is_the_same_resource() {
    let (kitchen, ada, bob) = ada_and_bob();
    let eve = kitchen.spawn("eve").unwrap();
    let made = ada.share("soup", "tomato").unwrap();
    bob.request("ada", "soup", NOW).unwrap();
    eve.request("bob", "soup", NOW).unwrap();
    assert_eq!(eve.share_if("soup", "leek", Some(&made)).unwrap().origin(), "eve");
}

#[test]
fn a_peer_spawned_again_under_an_old_name_is_another_origin() {
    let (kitchen, ada, bob) = ada_and_bob();
    let old = ada.share("soup", "tomato").unwrap();
    ada.close(LONG).unwrap();
    let ada = kitchen.spawn("ada").unwrap();
    let new = ada.share("soup", "leek").unwrap();
    assert_eq!((new.origin(), new.version()), (old.origin(), old.version()), "they look the same");
    assert_eq!(ada.share_if("soup", "onion", Some(&old)).unwrap_err(), conflict(1));
    bob.request("ada", "soup", NOW).unwrap();
    assert_eq!(bob.share_if("soup", "onion", Some(&old)).unwrap_err(), conflict(1));
    assert_eq!(bob.share_if("soup", "onion", Some(&new)).unwrap().version(), 2);
}

#[test]
fn a_peer_of_another_system_is_another_origin() {
    let (_here, ada, _) = ada_and_bob();
    let (_there, other, _) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    let theirs = other.share("soup", "tomato").unwrap();
    assert_eq!(ada.share_if("soup", "leek", Some(&theirs)).unwrap_err(), conflict(1));
}

#[test]
fn a_resource_of_another_name_can_not_be_expected() {
    let (_kitchen, ada, _) = ada_and_bob();
    let bread = ada.share("bread", "rye").unwrap();
    let error = ada.share_if("soup", "tomato", Some(&bread)).unwrap_err();
    assert!(
        matches!(&error, Error::InvalidArgument(text) if text.contains("bread") && text.contains("soup")),
        "{error}"
    );
    assert!(matches!(ada.share_if("so*up", "tomato", Some(&bread)), Err(Error::InvalidName { .. })));
    assert!(matches!(ada.share_if("so*up", "tomato", None), Err(Error::InvalidName { .. })));
    assert_eq!(ada.resources().unwrap().len(), 1);
}

#[test]
fn an_answer_to_an_ask_is_held_by_nobody() {
    let kitchen = kitchen();
    let options = PeerOptions::new().on_message(|_, message| Ok(message.reply("salty")?));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let answer = ada.ask("ada", "soup", "", LONG).unwrap();
    assert_eq!(ada.share_if("soup", "tomato", Some(&answer)).unwrap_err(), conflict(0));
    ada.share("soup", "tomato").unwrap();
    assert_eq!(ada.share_if("soup", "leek", Some(&answer)).unwrap_err(), conflict(1));
}

#[test]
fn what_does_not_fit_is_told_after_what_is_not_expected() {
    let kitchen = kitchen_with(SystemOptions::new().resource_bytes_max(8));
    let ada = kitchen.spawn_with("ada", PeerOptions::new().shelf_bytes_max(4)).unwrap();
    let first = ada.share_if("soup", "leek", None).unwrap();
    assert_eq!(ada.share_if("soup", "tomato", None).unwrap_err(), conflict(1));
    let too_large = |error: Error, limit: u64| matches!(error, Error::TooLarge { limit: its, .. } if its == limit);
    assert!(too_large(ada.share_if("soup", "tomato", Some(&first)).unwrap_err(), 4));
    assert!(too_large(ada.share_if("soup", "tomato soup", None).unwrap_err(), 8), "it can never be held");
    assert_eq!(ada.get("soup").unwrap().bytes(), b"leek");
    assert_eq!(ada.share_if("soup", "kale", Some(&first)).unwrap().version(), 2, "no version was used up");
}

#[test]
fn a_closed_peer_says_so_whatever_is_expected() {
    let (kitchen, ada, _) = ada_and_bob();
    let soup = ada.share("soup", "tomato").unwrap();
    let events = kitchen.events(10).unwrap();
    drain(&events);
    ada.share_if("soup", "leek", Some(&soup)).unwrap();
    assert_eq!(drain(&events), [], "as with any share");
    ada.close(LONG).unwrap();
    assert_eq!(ada.share_if("soup", "leek", None).unwrap_err(), closed("ada"));
    assert_eq!(ada.share_if("soup", "leek", Some(&soup)).unwrap_err(), closed("ada"));
    assert_eq!(ada.share_if("bread", "rye", Some(&soup)).unwrap_err(), closed("ada"));
}

#[test]
fn no_update_is_lost_among_threads_that_compare_and_share() -> Result<()> {
    const THREADS: u64 = 4;
    const EACH: u64 = 500;
    let (_kitchen, ada, _) = ada_and_bob();
    ada.share_if("count", "0", None)?;
    let threads = (0..THREADS).map(|_| {
        let ada = ada.clone();
        host(move || -> Result<u64> {
            let mut conflicts = 0;
            for _ in 0..EACH {
                loop {
                    let held = ada.get("count")?;
                    let count: u64 = String::from_utf8_lossy(held.bytes()).parse().unwrap_or_default();
                    match ada.share_if("count", (count + 1).to_string(), Some(&held)) {
                        Ok(shared) if shared.version() == held.version() + 1 => break,
                        // Each conflict is another's success, so they end.
                        Err(Error::VersionConflict { current }) if current > held.version() => conflicts += 1,
                        other => panic!("after {held:?}: {other:?}"),
                    }
                }
            }
            Ok(conflicts)
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.result()?;
    }
    let count = ada.get("count")?;
    assert_eq!(count.bytes(), (THREADS * EACH).to_string().as_bytes());
    assert_eq!(count.version(), THREADS * EACH + 1);
    Ok(())
}

#[test]
fn of_several_that_expect_nothing_one_shares() {
    let (_kitchen, ada, _) = ada_and_bob();
    for round in 1..=50 {
        let threads = [0, 1, 2].map(|_| {
            let ada = ada.clone();
            host(move || ada.share_if("soup", "tomato", None))
        });
        let results = threads.map(|thread| thread.result());
        let shared = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(shared, 1, "in round {round}: {results:?}");
        assert!(results.iter().all(|it| it.as_ref().map_or_else(|error| *error == conflict(round), |_| true)));
        ada.unshare("soup").unwrap();
    }
}
