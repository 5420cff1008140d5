//! Who is there: waiting for peers and nodes, and the events of their coming and going.

use potluck::{Error, Event, Mesh, PeerOptions};

use crate::nodes::{Two, address, joined, open, see, spawn_seen, two, until};
use crate::support::{LONG, NOW, SHORT, drain, host, no_such_peer};

/// Waits for an event, and gives all up to it.
fn events_to(reader: &potluck::EventReader, last: &Event) -> Vec<Event> {
    let mut seen = Vec::new();
    while seen.last() != Some(last) {
        seen.push(reader.next(LONG).unwrap_or_else(|error| panic!("no {last:?} after {seen:?}: {error}")));
    }
    seen
}

fn joined_event(peer: &str) -> Event {
    Event::Joined { peer: peer.into() }
}

fn left(peer: &str) -> Event {
    Event::Left { peer: peer.into() }
}

#[test]
fn a_peer_or_a_node_that_comes_is_waited_for() {
    let first = address();
    let laptop = open("kitchen", Mesh::new().node("laptop").listen(&*first));
    let wait = |whom: &'static str| {
        let laptop = laptop.clone();
        host(move || laptop.wait_for(whom, LONG)).waiting()
    };
    let [plain, exact, node, other] = ["ada", "ada@desk", "@desk", "@phone"].map(wait);
    assert_eq!(laptop.wait_for("@desk", NOW), Err(Error::TimedOut));
    let desk = open("kitchen", Mesh::new().node("desk").connect(&*first));
    assert_eq!(node.result(), Ok(()));
    assert_eq!(laptop.wait_for("@desk", NOW), Ok(()));
    assert_eq!(laptop.wait_for("ada@desk", SHORT), Err(Error::TimedOut));
    assert!(plain.is_waiting() && exact.is_waiting());
    desk.spawn("ada").unwrap();
    assert_eq!((plain.result(), exact.result()), (Ok(()), Ok(())));
    assert!(other.is_waiting());
    let phone = open("kitchen", Mesh::new().node("phone").connect(&*first));
    assert_eq!(other.result(), Ok(()));
    see(&phone, "ada@desk");
    assert_eq!(laptop.wait_for("@laptop", NOW), Ok(()), "one's own node");
}

#[test]
fn a_node_that_is_there_first_is_found_by_whoever_comes_later() {
    let first = address();
    // It connects to one that is not there yet.
    let laptop = open("kitchen", Mesh::new().node("laptop").connect(&*first));
    laptop.spawn("bob").unwrap();
    let desk = open("kitchen", Mesh::new().node("desk").listen(&*first));
    see(&desk, "bob@laptop");
    see(&laptop, "@desk");
}

#[test]
fn who_comes_and_goes_elsewhere_is_told_and_a_reader_begins_with_who_is_there() {
    let Two { desk, laptop, ada, .. } = two();
    let events = laptop.events(100).unwrap();
    assert_eq!(drain(&events), [joined_event("bob"), joined_event("ada@desk")]);
    let eve = spawn_seen(&desk, "desk", "eve", PeerOptions::new(), &[&laptop]);
    assert_eq!(drain(&events), [joined_event("eve@desk")]);
    ada.close(LONG).unwrap();
    assert_eq!(events_to(&events, &left("ada@desk")), [left("ada@desk")]);
    assert_eq!(laptop.peers().unwrap(), ["bob", "eve@desk"]);
    spawn_seen(&desk, "desk", "ada", PeerOptions::new(), &[&laptop]);
    assert_eq!(drain(&events), [joined_event("ada@desk")]);
    eve.close(LONG).unwrap();
    events_to(&events, &left("eve@desk"));
}

#[test]
fn a_peer_that_closes_and_comes_again_at_once_leaves_and_joins_in_that_order() {
    let Two { desk, laptop, ada, bob } = two();
    let events = laptop.events(1000).unwrap();
    drain(&events);
    let mut ada = ada;
    for _ in 0..20 {
        ada.close(LONG).unwrap();
        ada = desk.spawn("ada").unwrap();
    }
    ada.share("last", "").unwrap();
    until("the last one is seen", || bob.request("ada@desk", "last", LONG).ok());
    desk.spawn("end").unwrap();
    let seen = events_to(&events, &joined_event("end@desk"));
    let of_ada: Vec<&Event> =
        seen.iter().filter(|event| matches!(event, Event::Joined { .. } | Event::Left { .. })).collect();
    let of_ada = &of_ada[..of_ada.len() - 1];
    // Each joins once and leaves once, in turn; some may have come and gone unseen.
    for (number, event) in of_ada.iter().enumerate() {
        let expected = if number % 2 == 0 { left("ada@desk") } else { joined_event("ada@desk") };
        assert_eq!(**event, expected, "{seen:?}");
    }
    assert!(of_ada.len().is_multiple_of(2), "it is there: {seen:?}");
}

#[test]
fn a_node_that_is_shut_down_takes_its_peers_along_and_may_come_again_under_its_name() {
    let Two { desk, laptop, bob, .. } = two();
    let first = address();
    let events = laptop.events(100).unwrap();
    drain(&events);
    desk.spawn("eve").unwrap();
    see(&laptop, "eve@desk");
    desk.shutdown(LONG).unwrap();
    let mut gone: Vec<Event> = (0..3).map(|_| events.next(LONG).unwrap()).collect();
    gone.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(gone, [joined_event("eve@desk"), left("ada@desk"), left("eve@desk")]);
    assert_eq!(laptop.peers().unwrap(), ["bob"]);
    assert_eq!(bob.request("ada@desk", "soup", LONG).unwrap_err(), no_such_peer("ada@desk"));
    let phone = open("kitchen", Mesh::new().node("phone").listen(&*first));
    drop((phone, laptop, bob, events));
    // Nobody knows the old one any more.
    let laptop = open("kitchen", Mesh::new().node("laptop").listen(&*first));
    for round in 0..3 {
        let desk = open("kitchen", Mesh::new().node("desk").connect(&*first));
        let ada = desk.spawn("ada").unwrap();
        ada.share("soup", round.to_string()).unwrap();
        let bob = laptop.spawn("bob").unwrap();
        see(&laptop, "ada@desk");
        assert_eq!(bob.request("ada", "soup", LONG).unwrap().bytes(), round.to_string().as_bytes());
        bob.close(LONG).unwrap();
        desk.shutdown(LONG).unwrap();
        until("desk has left", || (laptop.wait_for("@desk", NOW) == Err(Error::TimedOut)).then_some(()));
    }
}

#[test]
fn the_first_contact_goes_and_the_others_still_see_each_other_and_a_newcomer() {
    let [desk, laptop, phone] = joined(["desk", "laptop", "phone"]);
    let bob = spawn_seen(&laptop, "laptop", "bob", PeerOptions::new(), &[&phone]);
    let kim = spawn_seen(&phone, "phone", "kim", PeerOptions::new(), &[&laptop]);
    desk.shutdown(LONG).unwrap();
    kim.share("soup", "kim's").unwrap();
    assert_eq!(bob.request("kim", "soup", LONG).unwrap().bytes(), b"kim's");
    // Peers that come now are seen, too.
    laptop.spawn("late").unwrap();
    see(&phone, "late@laptop");
}
