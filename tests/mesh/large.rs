//! Large resources: whole, in little memory, beside quick small requests, and from another holder when theirs dies.

use std::task::Poll;
use std::time::{Duration, Instant};

use potluck::{Bytes, Call, Ended, Error, Event, Mesh, Peer, PeerSystem};

use crate::content::{digest, noise};
use crate::nodes::{Two, address, open, see, two, until};
use crate::process::{Process, name};
use crate::support::{LONG, drain, host, peer_closed};

const MIB: usize = 1 << 20;

/// Longer than any transfer here takes, also in a debug build beside other tests.
const AMPLE: Duration = Duration::from_secs(40);

fn laptop(contact: &str) -> (PeerSystem, Peer) {
    let laptop = open("kitchen", Mesh::new().node("laptop").listen(address()).connect(contact));
    let bob = laptop.spawn("bob").unwrap();
    (laptop, bob)
}

#[test]
fn a_large_resource_arrives_whole_and_its_progress_is_told() {
    const SIZE: usize = 64 * MIB + 12_345;
    let Two { desk: _desk, laptop, ada, bob } = two();
    let body = noise(1, SIZE);
    ada.share("large", body.clone()).unwrap();
    let events = laptop.events(1000).unwrap();
    drain(&events);
    let got = bob.request("ada", "large", AMPLE).unwrap();
    assert_eq!((got.len(), digest(got.bytes())), (SIZE, digest(&body)));
    let mut last = 0;
    let mut count = 0;
    let mut was_received = false;
    for event in drain(&events) {
        match event {
            Event::Progress { peer, from, name, version, done, size } => {
                assert_eq!((&*peer, &*from, &*name, version, size), ("bob", "ada@desk", "large", 1, SIZE as u64));
                assert!(done > last && done <= size, "{done} after {last}");
                assert!(!was_received, "the progress comes first");
                (last, count) = (done, count + 1);
            }
            Event::Received { .. } => was_received = true,
            other => panic!("{other:?}"),
        }
    }
    assert!(count >= 8 && was_received, "{count} of progress");
}

#[test]
fn a_large_exchange_that_is_given_up_on_its_way_back_is_still_taken_in() {
    const SIZE: usize = 64 * MIB;
    let Two { desk: _desk, laptop, ada, bob } = two();
    ada.share("dish", noise(5, SIZE)).unwrap();
    bob.share("dish", "leek").unwrap();
    let events = laptop.events(1000).unwrap();
    let swap = bob.start(Call::Exchange { with: "ada", name: "dish" }, AMPLE).unwrap();
    until("a piece has come", || {
        drain(&events).iter().any(|event| matches!(event, Event::Progress { .. })).then_some(())
    });
    swap.cancel();
    assert!(matches!(swap.wait(LONG), Poll::Ready(Err(Error::Canceled))), "it was done before");
    let dish = until("it is here", || bob.get("dish").ok().filter(|held| held.len() == SIZE));
    assert_eq!((dish.origin(), digest(dish.bytes())), ("ada@desk", digest(&noise(5, SIZE))));
    assert_eq!(ada.get("dish").unwrap().bytes(), b"leek");
}

#[test]
fn a_transfer_takes_hardly_more_memory_than_the_resource() {
    const SIZE: usize = 192 * MIB;
    let desk = Process::open("desk", &[]);
    let laptop = Process::open("laptop", &[&desk.address]);
    desk.done("spawn ada");
    laptop.done("spawn bob");
    laptop.done("wait_for ada@desk 10000");
    // What is there but for the resource: buffers, and threads that have run once.
    desk.done("share ada small 5000000 2");
    laptop.done("request bob ada small 10000");
    let shared = desk.done(&format!("share ada large {SIZE} 1"));
    let number = |text: String| text.parse::<u64>().unwrap();
    let (here, there) = (number(laptop.done("memory-begin")), number(desk.done("memory-begin")));
    let got = laptop.order("request bob ada large 60000").answer_within(3 * AMPLE).unwrap();
    let got: Vec<&str> = got.split(' ').collect();
    assert_eq!(got, ["ada@desk", &shared, &SIZE.to_string(), &digest(&noise(1, SIZE))]);
    let (most_here, most_there) = (number(laptop.done("memory-most")), number(desk.done("memory-most")));
    let kib = (SIZE >> 10) as u64;
    println!("receiver {here} to {most_here} KiB, holder {there} to {most_there} KiB, resource {kib} KiB");
    assert!(most_here - here <= kib * 12 / 10, "{} KiB at the receiver", most_here - here);
    assert!(most_there - there <= kib * 3 / 10, "{} KiB at the holder", most_there - there);
}

/// Two holders in processes of their own, and a bob here.
fn holders(size: usize) -> (Process, Process, PeerSystem, Peer) {
    let desk = Process::open("desk", &[]);
    let phone = Process::open("phone", &[&desk.address]);
    desk.done("spawn ada");
    phone.done("spawn kim");
    desk.done(&format!("share ada large {size} 1"));
    phone.done("wait_for ada@desk 10000");
    phone.order("request kim ada@desk large 60000").answer_within(3 * AMPLE).unwrap();
    let (laptop, bob) = laptop(&desk.address);
    see(&laptop, "ada@desk");
    see(&laptop, "kim@phone");
    (desk, phone, laptop, bob)
}

/// Waits for the first sign that a transfer is under way, and gives from whom it is.
fn first_progress(events: &potluck::EventReader) -> String {
    loop {
        if let Event::Progress { from, done, size, .. } = events.next(LONG).expect("it is under way") {
            assert!(done < size, "it was over before anything was done");
            return from.to_string();
        }
    }
}

#[test]
fn who_leaves_in_the_middle_of_a_transfer_holds_up_nobody() {
    // So large that it cannot be over before anybody leaves.
    let body = Bytes::from(vec![7; 192 * MIB]);
    for round in 0..8 {
        let Two { desk, laptop, ada, bob } = two();
        ada.share("large", body.clone()).unwrap();
        let events = laptop.events(1000).unwrap();
        drain(&events);
        let get = host(move || bob.request("ada", "large", AMPLE));
        first_progress(&events);
        // Their links are those of one engine's threads, so the one that stays would wait, too.
        let (first, second) = if round % 2 == 0 { (desk, laptop) } else { (laptop, desk) };
        assert_eq!(first.shutdown(LONG).unwrap().ended, Ended::Yes, "round {round}");
        assert!(get.result_within(LONG).is_err(), "round {round}");
        assert_eq!(second.shutdown(LONG).unwrap().ended, Ended::Yes, "round {round}");
    }
}

#[test]
fn when_its_holder_dies_in_the_middle_a_transfer_goes_on_with_another() {
    const SIZE: usize = 128 * MIB;
    let wanted = digest(&noise(1, SIZE));
    for is_fetch in [true, false] {
        let (desk, phone, laptop, bob) = holders(SIZE);
        let events = laptop.events(1000).unwrap();
        drain(&events);
        let getting = bob.clone();
        let get = move || {
            let result =
                if is_fetch { getting.fetch("large", AMPLE) } else { getting.request("ada@desk", "large", AMPLE) };
            (result, Instant::now())
        };
        let get = host(get);
        let from = first_progress(&events);
        let (victim, other) = if from == "ada@desk" { (&desk, "phone") } else { (&phone, "desk") };
        victim.kill();
        let (got, _) = get.result_within(2 * AMPLE);
        let got = got.unwrap_or_else(|error| panic!("fetch {is_fetch}, from {from}: {error:?}"));
        assert_eq!((got.len(), digest(got.bytes()), got.origin()), (SIZE, wanted.clone(), "ada@desk"));
        let snapshot = laptop.snapshot().unwrap();
        println!("from {from}, then {other}: {:?}", snapshot.nodes);
        // It did not begin again: no byte came twice but for those of pieces that were under way.
        let nodes = snapshot.nodes.iter();
        let bytes: u64 = nodes.map(|node| node.bytes_in).sum();
        assert!(bytes <= (SIZE + 64 * MIB) as u64, "{bytes} bytes came in");
    }
}

#[test]
fn when_the_only_holder_dies_in_the_middle_the_caller_is_told_at_once() {
    const SIZE: usize = 256 * MIB;
    let desk = Process::open("desk", &[]);
    desk.done("spawn ada");
    desk.done(&format!("share ada large {SIZE} 1"));
    let (laptop, bob) = laptop(&desk.address);
    bob.share("large", "small").unwrap();
    see(&laptop, "ada@desk");
    let events = laptop.events(1000).unwrap();
    drain(&events);
    let getting = bob.clone();
    let get = host(move || getting.request("ada", "large", AMPLE));
    first_progress(&events);
    desk.kill();
    let begun = Instant::now();
    assert_eq!(get.result_within(AMPLE).unwrap_err(), peer_closed("ada@desk"));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(bob.get("large").unwrap().bytes(), b"small");
}

#[test]
fn small_requests_go_on_quickly_beside_a_large_one() {
    const SIZE: usize = 256 * MIB;
    let desk = Process::open("desk", &[]);
    desk.done("spawn ada");
    desk.done("share ada small 64 2");
    desk.done(&format!("share ada large {SIZE} 1"));
    let (laptop, bob) = laptop(&desk.address);
    let eve = laptop.spawn("eve").unwrap();
    see(&laptop, "ada@desk");
    let events = laptop.events(1000).unwrap();
    drain(&events);
    let getting = bob.clone();
    let get = host(move || getting.request("ada", "large", AMPLE));
    first_progress(&events);
    let mut took = Vec::new();
    while get.is_waiting() {
        let begun = Instant::now();
        eve.request("ada", "small", LONG).unwrap();
        took.push(begun.elapsed());
    }
    assert_eq!(get.result_within(AMPLE).unwrap().len(), SIZE);
    took.sort();
    println!("{} small requests, median {:?}, longest {:?}", took.len(), took[took.len() / 2], took[took.len() - 1]);
    // Beside other tests, on few cores, in a debug build.
    assert!(took.len() >= 10 && took[took.len() / 2] < Duration::from_millis(200), "{} small ones", took.len());
    assert!(took[took.len() - 1] < Duration::from_secs(2));
}

#[test]
fn a_large_resource_that_changes_or_goes_meanwhile_arrives_as_one_edition_or_not_at_all() {
    const SIZE: usize = 24 * MIB;
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    let bodies: Vec<_> = (0..4).map(|seed| noise(seed, SIZE)).collect();
    let digests: Vec<String> = bodies.iter().map(|body| digest(body)).collect();
    ada.share("large", bodies[0].clone()).unwrap();
    for round in 1..6 {
        let getting = bob.clone();
        let get = host(move || getting.request("ada", "large", AMPLE));
        std::thread::park_timeout(Duration::from_millis(10 * round));
        ada.share("large", bodies[round as usize % 4].clone()).unwrap();
        if round == 5 {
            ada.unshare("large").unwrap();
        }
        match get.result_within(2 * AMPLE) {
            Ok(got) => {
                let number = (got.version() - 1) as usize % 4;
                assert_eq!(digest(got.bytes()), digests[number], "{got:?}");
            }
            Err(error) => {
                assert!(round == 5 && matches!(error, Error::NoSuchResource { .. }), "in round {round}: {error:?}");
            }
        }
    }
}

#[test]
fn messages_with_large_bodies_arrive_whole_and_in_order() {
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    let telling = bob.clone();
    let tells = host(move || {
        for seed in 0..12 {
            let size = if seed % 3 == 0 { 10 } else { 20 * MIB };
            telling.tell("ada", &seed.to_string(), noise(seed, size), AMPLE).unwrap();
        }
    });
    // At most 64 MiB fit into the mailbox, so some wait for room.
    for seed in 0..12 {
        let message = ada.receive(AMPLE).unwrap();
        let size = if seed % 3 == 0 { 10 } else { 20 * MIB };
        assert_eq!((message.kind(), message.bytes().len()), (&*seed.to_string(), size));
        assert_eq!(digest(message.bytes()), digest(&noise(seed, size)));
    }
    tells.result();
    let error = bob.tell("ada", "too large", noise(1, 65 * MIB), AMPLE).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
}

#[test]
fn several_large_transfers_at_once_arrive_whole() {
    const SIZE: usize = 24 * MIB;
    let desk = Process::open("desk", &[]);
    let laptop = Process::open("laptop", &[&desk.address]);
    for number in 0..3 {
        desk.done(&format!("spawn ada{number}"));
        desk.done(&format!("share ada{number} large {SIZE} {number}"));
        laptop.done(&format!("spawn bob{number}"));
        laptop.done(&format!("share bob{number} back {SIZE} {}", number + 10));
    }
    laptop.done("wait_for ada2@desk 10000");
    desk.done("wait_for bob2@laptop 10000");
    // In both directions.
    let orders: Vec<_> = (0..3)
        .flat_map(|number| {
            [
                (laptop.order(&format!("request bob{number} ada{number} large 40000")), number),
                (laptop.order(&format!("offer bob{number} ada{number} back 40000")), number + 10),
            ]
        })
        .collect();
    for (order, seed) in orders {
        let said = order.answer_within(2 * AMPLE).unwrap();
        if seed < 10 {
            assert!(said.ends_with(&digest(&noise(seed, SIZE))), "{said}");
        } else {
            let held = desk.done(&format!("get ada{} back", seed - 10));
            assert!(held.ends_with(&digest(&noise(seed, SIZE))), "{held}");
        }
    }
    assert_eq!(name(&laptop.call("request bob0 ada0 nothing 5000").unwrap_err()), "NoSuchResource");
}
