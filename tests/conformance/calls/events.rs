//! Events: what a system reports, in which order, and to readers that are slow.

use potluck::{Error, Event, PeerOptions};

use crate::support::{Host, LONG, NOW, SHORT, ada_and_bob, closed, drain, host, kitchen, shut_down};

fn joined(peer: &str) -> Event {
    Event::Joined { peer: peer.into() }
}

fn left(peer: &str) -> Event {
    Event::Left { peer: peer.into() }
}

fn requested(peer: &str, by: &str, name: &str, version: u64, size: u64) -> Event {
    Event::Requested { peer: peer.into(), by: by.into(), name: name.into(), version, size }
}

fn received(peer: &str, from: &str, name: &str, version: u64, size: u64) -> Event {
    Event::Received { peer: peer.into(), from: from.into(), name: name.into(), version, size }
}

#[test]
fn a_reader_begins_with_a_joined_for_every_peer_there_is_in_the_order_of_spawning() {
    let (kitchen, _, _) = ada_and_bob();
    let events = kitchen.events(1).unwrap();
    assert_eq!(drain(&events), [joined("ada"), joined("bob")]);
    kitchen.spawn("eve").unwrap();
    assert_eq!(drain(&events), [joined("eve")]);
}

#[test]
fn joined_is_first_and_left_is_last_of_a_peers_own_events() {
    let kitchen = kitchen();
    let events = kitchen.events(100).unwrap();
    let (ada, bob) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("bob").unwrap());
    ada.share("soup", "tomato").unwrap();
    bob.request("ada", "soup", NOW).unwrap();
    ada.close(LONG).unwrap();
    let ours = [requested("ada", "bob", "soup", 1, 6), received("bob", "ada", "soup", 1, 6)];
    let [first, second] = ours;
    assert_eq!(drain(&events), [joined("ada"), joined("bob"), first, second, left("ada")]);
}

#[test]
fn the_events_of_a_call_come_before_it_returns_and_requested_before_received() {
    let (kitchen, ada, bob) = ada_and_bob();
    let voter = PeerOptions::new().on_request(|_, _, _| Ok(())).on_offer(|_, _, _| Ok(()));
    let eve = kitchen.spawn_with("eve", voter).unwrap();
    ada.share("soup", "leek").unwrap();
    ada.share("soup", "tomato").unwrap();
    eve.share("soup", "eve's").unwrap();
    bob.share("cake", "").unwrap();
    let events = kitchen.events(100).unwrap();
    drain(&events);
    // By the calling thread, and by the thread of a peer that has handlers.
    for (peer, version, size) in [("ada", 2, 6), ("eve", 1, 5)] {
        for _ in 0..20 {
            bob.request(peer, "soup", LONG).unwrap();
            let request = [requested(peer, "bob", "soup", version, size), received("bob", peer, "soup", version, size)];
            assert_eq!(drain(&events), request);
            bob.exchange(peer, "soup", LONG).unwrap();
            let back = received(peer, "bob", "soup", version, size);
            assert_eq!(drain(&events), [&request[..], &[back]].concat());
            bob.offer(peer, "cake", LONG).unwrap();
            assert_eq!(drain(&events), [received(peer, "bob", "cake", 1, 0)]);
        }
    }
}

#[test]
fn a_call_that_fails_reports_nothing() {
    let (kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    let events = kitchen.events(100).unwrap();
    drain(&events);
    bob.request("ada", "bread", LONG).unwrap_err();
    bob.offer("ada", "soup", LONG).unwrap_err();
    bob.exchange("ada", "soup", LONG).unwrap_err();
    bob.request("eve", "soup", LONG).unwrap_err();
    ada.unshare("soup").unwrap();
    assert_eq!(drain(&events), []);
}

#[test]
fn a_reader_that_falls_behind_is_told_how_many_it_missed_and_where() {
    let (kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    let events = kitchen.events(4).unwrap();
    drain(&events);
    for _ in 0..5 {
        bob.request("ada", "soup", NOW).unwrap();
    }
    let pair = [requested("ada", "bob", "soup", 1, 6), received("bob", "ada", "soup", 1, 6)];
    let missed = Event::Missed { count: 6 };
    assert_eq!(drain(&events), [&pair[..], &pair, &[missed]].concat());
    bob.request("ada", "soup", NOW).unwrap();
    assert_eq!(drain(&events), pair);
}

#[test]
fn every_event_is_either_read_or_counted_as_missed() {
    let (kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    let events = kitchen.events(3).unwrap();
    drain(&events);
    let reader = host(move || {
        let mut count = 0;
        loop {
            match events.next(LONG) {
                Ok(Event::Missed { count: missed }) => count += missed,
                Ok(Event::Left { .. }) => {}
                Ok(_) => count += 1,
                Err(error) => return (count, error),
            }
        }
    });
    for _ in 0..1_000 {
        bob.request("ada", "soup", NOW).unwrap();
    }
    // The two who leave are read, or they are among the missed.
    kitchen.shutdown(LONG).unwrap();
    let (count, error) = reader.result();
    assert!((2_000..=2_002).contains(&count), "{count}");
    assert_eq!(error, closed("kitchen"));
}

#[test]
fn a_reader_reads_what_is_left_after_a_shutdown_and_then_gets_closed() {
    let (kitchen, _, _) = ada_and_bob();
    let events = kitchen.events(10).unwrap();
    kitchen.shutdown(LONG).unwrap();
    let mut seen: Vec<_> = (0..4).map(|_| events.next(NOW).unwrap()).collect();
    seen[2..].sort_by_key(|event| format!("{event:?}"));
    assert_eq!(seen, [joined("ada"), joined("bob"), left("ada"), left("bob")]);
    for timeout in [NOW, LONG] {
        assert_eq!(events.next(timeout), Err(closed("kitchen")));
    }
}

#[test]
fn a_reader_that_waits_is_woken_by_an_event_by_its_close_and_by_the_shutdown() {
    let kitchen = kitchen();
    let woken = |wake: &dyn Fn(&potluck::EventReader)| {
        let events = std::sync::Arc::new(kitchen.events(10).unwrap());
        drain(&events);
        let reader = std::sync::Arc::clone(&events);
        let waiting = host(move || reader.next(LONG)).waiting();
        assert!(waiting.is_waiting());
        wake(&events);
        waiting.result()
    };
    assert_eq!(woken(&|_| drop(kitchen.spawn("ada").unwrap())), Ok(joined("ada")));
    assert_eq!(woken(&|events| events.close()), Err(closed("kitchen")));
    kitchen.spawn("bob").unwrap().close(LONG).unwrap();
    let last = woken(&|_| assert_eq!(shut_down(&kitchen, LONG), Ok(potluck::Ended::Yes)));
    assert_eq!(last, Ok(left("ada")));
}

#[test]
fn each_event_goes_to_one_of_the_threads_that_read() {
    let (kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    let events = std::sync::Arc::new(kitchen.events(10_000).unwrap());
    drain(&events);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let events = std::sync::Arc::clone(&events);
            host(move || std::iter::from_fn(|| events.next(LONG).ok()).count())
        })
        .collect();
    for _ in 0..500 {
        bob.request("ada", "soup", NOW).unwrap();
    }
    kitchen.shutdown(LONG).unwrap();
    assert_eq!(readers.into_iter().map(Host::result).sum::<usize>(), 1_000 + 2);
}

#[test]
fn a_reader_times_out_and_a_closed_one_is_closed() {
    let kitchen = kitchen();
    let events = kitchen.events(1).unwrap();
    assert_eq!(events.next(NOW), Err(Error::TimedOut));
    assert_eq!(events.next(SHORT), Err(Error::TimedOut));
    events.close();
    assert_eq!(events.next(LONG), Err(closed("kitchen")));
}

#[test]
fn of_two_calls_the_events_are_in_their_order_if_one_had_returned_before_the_other_began() {
    let (kitchen, ada, bob) = ada_and_bob();
    let options = PeerOptions::new().on_request(|_, _, _| Ok(()));
    let eve = kitchen.spawn_with("eve", options).unwrap();
    for peer in [&ada, &bob, &eve] {
        peer.share("soup", "tomato").unwrap();
    }
    let events = kitchen.events(10_000).unwrap();
    drain(&events);
    let mut expected = Vec::new();
    for (caller, from) in [(&ada, "eve"), (&bob, "ada"), (&eve, "bob"), (&bob, "eve")].into_iter().cycle().take(200) {
        let (by, caller) = (caller.name().to_owned(), caller.clone());
        host(move || caller.request(from, "soup", LONG).unwrap()).result();
        expected.push((from.to_owned(), by));
    }
    let seen = drain(&events).into_iter().filter_map(|event| match event {
        Event::Requested { peer, by, .. } => Some((peer.to_string(), by.to_string())),
        _ => None,
    });
    assert_eq!(seen.collect::<Vec<_>>(), expected);
}

#[test]
fn a_fetch_reports_what_a_request_does() {
    let (kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    let events = kitchen.events(10).unwrap();
    drain(&events);
    bob.fetch("soup", NOW).unwrap();
    assert_eq!(drain(&events), [requested("ada", "bob", "soup", 1, 6), received("bob", "ada", "soup", 1, 6)]);
}
