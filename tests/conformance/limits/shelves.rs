//! Limits of shelves, resources and systems. Those of mailboxes are in `room`.

use potluck::{Error, PeerOptions, PeerSystem, SystemOptions};

use crate::support::{LONG, NOW, kitchen, kitchen_with};

fn is_too_large(error: &Error, limit: u64, size: u64) -> bool {
    matches!(error, Error::TooLarge { limit: l, size: s, .. } if (*l, *s) == (limit, size))
}

#[test]
fn a_share_that_does_not_fit_on_the_shelf_is_too_large_and_changes_nothing() {
    let kitchen = kitchen();
    let ada = kitchen.spawn_with("ada", PeerOptions::new().shelf_bytes_max(10)).unwrap();
    ada.share("soup", "123456").unwrap();
    let error = ada.share("bread", "12345").unwrap_err();
    assert!(is_too_large(&error, 10, 5), "{error}");
    assert_eq!(ada.resources().unwrap().len(), 1);
    // What is replaced makes room.
    ada.share("soup", "1234567890").unwrap();
    ada.unshare("soup").unwrap();
    ada.share("bread", "1234567890").unwrap();
}

#[test]
fn a_request_that_does_not_fit_on_ones_shelf_changes_nothing() {
    let kitchen = kitchen();
    let ada = kitchen.spawn("ada").unwrap();
    let bob = kitchen.spawn_with("bob", PeerOptions::new().shelf_bytes_max(10)).unwrap();
    ada.share("soup", vec![1; 11]).unwrap();
    bob.share("soup", "leek").unwrap();
    for error in [bob.request("ada", "soup", NOW).unwrap_err(), bob.fetch("soup", LONG).unwrap_err()] {
        assert!(is_too_large(&error, 10, 11), "{error}");
    }
    assert_eq!(bob.get("soup").unwrap().bytes(), b"leek");
}

#[test]
fn an_offer_or_exchange_that_does_not_fit_changes_nothing() {
    let kitchen = kitchen();
    let ada = kitchen.spawn("ada").unwrap();
    let bob = kitchen.spawn_with("bob", PeerOptions::new().shelf_bytes_max(10)).unwrap();
    ada.share("soup", vec![1; 11]).unwrap();
    bob.share("soup", "leek").unwrap();
    let error = ada.offer("bob", "soup", LONG).unwrap_err();
    assert!(is_too_large(&error, 10, 11), "{error}");
    for error in [ada.exchange("bob", "soup", LONG).unwrap_err(), bob.exchange("ada", "soup", LONG).unwrap_err()] {
        assert!(is_too_large(&error, 10, 11), "{error}");
    }
    assert_eq!((ada.get("soup").unwrap().len(), bob.get("soup").unwrap().bytes()), (11, &b"leek"[..]));
}

#[test]
fn a_resource_is_bounded_by_the_system() {
    let kitchen = kitchen_with(SystemOptions::new().resource_bytes_max(3));
    let ada = kitchen.spawn("ada").unwrap();
    ada.share("soup", "123").unwrap();
    let error = ada.share("soup", "1234").unwrap_err();
    assert!(is_too_large(&error, 3, 4), "{error}");
    assert_eq!(ada.get("soup").unwrap().version(), 1);
}

#[test]
fn peers_have_the_limits_of_their_system_unless_they_have_their_own() {
    let options = SystemOptions::new().mailbox_messages_max(1).mailbox_bytes_max(5).shelf_bytes_max(3);
    let kitchen = kitchen_with(options);
    let bob = kitchen.spawn("bob").unwrap();
    assert!(is_too_large(&bob.share("soup", "1234").unwrap_err(), 3, 4));
    assert!(is_too_large(&bob.tell("bob", "note", "123456", NOW).unwrap_err(), 5, 6));
    bob.try_tell("bob", "note", "").unwrap();
    bob.try_tell("bob", "note", "").unwrap_err();
    let options = PeerOptions::new().mailbox_messages_max(2).mailbox_bytes_max(6).shelf_bytes_max(4);
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.share("soup", "1234").unwrap();
    bob.try_tell("ada", "note", "123456").unwrap();
    bob.try_tell("ada", "note", "").unwrap();
    bob.try_tell("ada", "note", "").unwrap_err();
}

#[test]
fn a_system_takes_no_more_peers_than_its_limit_until_one_closes() {
    let kitchen = kitchen_with(SystemOptions::new().peers_max(2));
    let ada = kitchen.spawn("ada").unwrap();
    kitchen.spawn("bob").unwrap();
    assert!(matches!(kitchen.spawn("eve").unwrap_err(), Error::LimitReached(_)));
    ada.close(LONG).unwrap();
    kitchen.spawn("eve").unwrap();
}

#[test]
fn a_limit_of_0_is_invalid() {
    let options = [
        SystemOptions::new().peers_max(0),
        SystemOptions::new().mailbox_messages_max(0),
        SystemOptions::new().mailbox_bytes_max(0),
        SystemOptions::new().shelf_bytes_max(0),
        SystemOptions::new().resource_bytes_max(0),
    ];
    for options in options {
        assert!(matches!(PeerSystem::open_with("kitchen", options), Err(Error::InvalidArgument(_))));
    }
    let kitchen = kitchen();
    let options = [
        PeerOptions::new().mailbox_messages_max(0),
        PeerOptions::new().mailbox_bytes_max(0),
        PeerOptions::new().shelf_bytes_max(0),
    ];
    for options in options {
        assert!(matches!(kitchen.spawn_with("ada", options), Err(Error::InvalidArgument(_))));
    }
    assert!(matches!(kitchen.events(0), Err(Error::InvalidArgument(_))));
}

#[test]
fn huge_limits_are_as_good_as_none() {
    let options =
        PeerOptions::new().mailbox_messages_max(u64::MAX).mailbox_bytes_max(u64::MAX).shelf_bytes_max(u64::MAX);
    let kitchen = kitchen();
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.share("soup", "tomato").unwrap();
    for _ in 0..3_000 {
        ada.try_tell("ada", "note", "body").unwrap();
    }
    kitchen.events(usize::MAX).unwrap();
}

#[test]
fn a_mailbox_has_room_for_1024_messages_and_64_mib_by_default() {
    let kitchen = kitchen();
    let (ada, bob) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("bob").unwrap());
    for _ in 0..1024 {
        bob.try_tell("ada", "note", "").unwrap();
    }
    bob.try_tell("ada", "note", "").unwrap_err();
    bob.try_tell("bob", "note", vec![0; 64 << 20]).unwrap();
    bob.try_tell("bob", "note", "1").unwrap_err();
    assert!(is_too_large(&ada.try_tell("bob", "note", vec![0; (64 << 20) + 1]).unwrap_err(), 64 << 20, (64 << 20) + 1));
}
