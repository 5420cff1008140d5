//! Mingle: each peer requests from a random other holder, and the same seed gives the same result.

use potluck::{Ended, HandlerError, Mingled, PeerOptions, Round};

use crate::support::{Kitchen, LONG, NOW, drain, kitchen, no_such_resource, refused, shut_down};

/// A system with `count` peers, each with a soup of its own.
fn party(count: usize) -> Kitchen {
    let kitchen = kitchen();
    for number in 1..=count {
        kitchen.spawn(&format!("peer{number}")).unwrap().share("soup", format!("soup of {number}")).unwrap();
    }
    kitchen
}

/// Who got what from whom.
fn told(round: &Round) -> Vec<String> {
    round
        .iter()
        .map(|entry| match &entry.result {
            Ok(got) => format!("{} {:?} {} {:?}", entry.peer, entry.from, got.origin(), got.bytes()),
            Err(error) => format!("{} {:?} {error}", entry.peer, entry.from),
        })
        .collect()
}

#[test]
fn the_same_seed_on_the_same_state_gives_the_same_result() {
    for seed in 0..20 {
        let (one, two) = (party(5), party(5));
        for round in 0..3 {
            let seed = seed + round;
            let results = [&one, &two].map(|party| told(&party.mingle("soup", seed, LONG).unwrap()));
            assert_eq!(results[0], results[1], "seed {seed}");
        }
    }
    let results: std::collections::BTreeSet<_> =
        (0..20).map(|seed| told(&party(5).mingle("soup", seed, LONG).unwrap())).collect();
    assert!(results.len() > 1, "the seed matters");
}

#[test]
fn each_peer_requests_in_the_order_of_spawning_from_another_and_sees_what_was_done_before() {
    let party = party(6);
    let mut held: Vec<(String, Vec<u8>)> =
        (1..=6).map(|number| (format!("peer{number}"), format!("soup of {number}").into_bytes())).collect();
    for seed in 0..10 {
        let round = party.mingle("soup", seed, LONG).unwrap();
        assert_eq!(round.len(), 6);
        for (at, entry) in round.iter().enumerate() {
            assert_eq!(*entry.peer, held[at].0);
            let from = entry.from.as_ref().unwrap();
            assert_ne!(from, &entry.peer);
            let got = entry.result.as_ref().unwrap().bytes().to_vec();
            assert_eq!(got, held.iter().find(|(name, _)| **name == **from).unwrap().1);
            held[at].1 = got;
        }
    }
}

#[test]
fn a_single_peer_has_nobody_to_mingle_with() {
    let party = party(1);
    assert!(party.mingle("soup", 1, LONG).unwrap().is_empty());
}

#[test]
fn what_nobody_holds_cannot_be_mingled() {
    let party = party(3);
    for kitchen in [&party, &kitchen()] {
        assert_eq!(kitchen.mingle("bread", 1, LONG).unwrap_err(), no_such_resource("bread", None));
    }
}

#[test]
fn the_only_holder_gets_nothing_and_the_others_get_it_in_turn() {
    let kitchen = kitchen();
    let peers = ["ada", "bob", "eve"].map(|name| kitchen.spawn(name).unwrap());
    peers[0].share("soup", "tomato").unwrap();
    let round: Vec<Mingled> = kitchen.mingle("soup", 7, LONG).unwrap().iter().collect();
    assert_eq!((&*round[0].peer, &round[0].from), ("ada", &None));
    assert_eq!(round[0].result.as_ref().unwrap_err(), &no_such_resource("soup", None));
    assert_eq!(round[1].from.as_deref(), Some("ada"));
    assert!(round[1..].iter().all(|entry| entry.result.is_ok()));
    assert_eq!(kitchen.holders("soup").unwrap().len(), 3);
}

#[test]
fn a_failure_is_an_entry_and_not_the_end_of_the_rest() {
    let kitchen = kitchen();
    let refusing = PeerOptions::new().on_request(|_, _, _| Err(HandlerError::refused("no")));
    kitchen.spawn_with("ada", refusing).unwrap().share("soup", "tomato").unwrap();
    kitchen.spawn("bob").unwrap();
    kitchen.spawn("eve").unwrap();
    let round = kitchen.mingle("soup", 1, LONG).unwrap();
    assert_eq!(round.len(), 3);
    for entry in round.iter().skip(1) {
        assert_eq!(entry.from.as_deref(), Some("ada"));
        assert_eq!(entry.result.as_ref().unwrap_err(), &refused("ada", "no"));
    }
}

#[test]
fn a_round_reports_its_exchanges_as_events() {
    let party = party(4);
    let events = party.events(100).unwrap();
    drain(&events);
    let round = party.mingle("soup", 3, NOW).unwrap();
    let expected: Vec<_> = round
        .iter()
        .flat_map(|entry| {
            let from = entry.from.clone().unwrap();
            [format!("{from} requested by {}", entry.peer), format!("{} received from {from}", entry.peer)]
        })
        .collect();
    let seen: Vec<_> = drain(&events)
        .into_iter()
        .map(|event| match event {
            potluck::Event::Requested { peer, by, .. } => format!("{peer} requested by {by}"),
            potluck::Event::Received { peer, from, .. } => format!("{peer} received from {from}"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(seen, expected);
    assert_eq!(shut_down(&party, LONG), Ok(Ended::Yes));
}
