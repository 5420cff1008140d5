//! A resource is whole and immutable: what one share gave, never torn, never mixed, never copied.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use potluck::{PeerOptions, Resource};

use crate::support::{LONG, NOW, ada_and_bob, kitchen};

#[test]
fn a_request_gets_exactly_the_bytes_of_one_share() {
    let (_kitchen, ada, bob) = ada_and_bob();
    let body = |version: u64| vec![version as u8; 2000 + version as usize % 7];
    ada.share("soup", body(1)).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        let (over, ada) = (Arc::clone(&is_over), &ada);
        thread::Builder::new()
            .spawn_scoped(scope, move || {
                for version in 2.. {
                    assert_eq!(ada.share("soup", body(version)).unwrap().version(), version);
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                }
            })
            .unwrap();
        let mut last = 0;
        for _ in 0..5_000 {
            let soup = bob.request("ada", "soup", NOW);
            // Whatever goes wrong, the other thread must end.
            let whole = soup.map(|soup| (soup.version(), soup.bytes() == body(soup.version())));
            match whole {
                Ok((version, true)) if version >= last => last = version,
                other => {
                    is_over.store(true, Ordering::Relaxed);
                    panic!("after version {last}: {other:?}");
                }
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn what_has_been_shared_is_never_copied() {
    let (_kitchen, ada, bob) = ada_and_bob();
    let body = vec![7; 100];
    let at = body.as_ptr();
    let shared = ada.share("soup", body).unwrap();
    let copy = bob.request("ada", "soup", NOW).unwrap();
    assert_eq!([shared.bytes().as_ptr(), copy.bytes().as_ptr(), copy.body().as_ptr()], [at; 3]);
}

#[test]
fn a_resource_outlives_its_peer_and_its_system() {
    let (kitchen, ada, _bob) = ada_and_bob();
    let soup = ada.share("soup", "tomato").unwrap();
    kitchen.shutdown(LONG).unwrap();
    drop((ada, kitchen));
    assert_eq!((soup.name(), soup.origin(), soup.bytes()), ("soup", "ada", &b"tomato"[..]));
}

#[test]
fn whichever_call_hands_it_on_and_whichever_handler_sees_it_a_body_stays_where_it_is() {
    let kitchen = kitchen();
    let (seen, sights) = crossbeam_channel::unbounded();
    let receipts = seen.clone();
    let options = PeerOptions::new()
        .on_request(|_, _, _| Ok(()))
        .on_offer(move |_, _, offered| Ok(seen.send(offered.bytes().as_ptr() as usize)?))
        .on_received(move |_, _, got| receipts.send(got.bytes().as_ptr() as usize).unwrap());
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let (bob, eve) = (kitchen.spawn("bob").unwrap(), kitchen.spawn("eve").unwrap());
    let old = eve.share("soup", "leek").unwrap();
    let body = vec![7; 100];
    let at = body.as_ptr() as usize;
    bob.share_if("soup", body, None).unwrap();
    let place = |got: Resource| got.bytes().as_ptr() as usize;
    bob.offer("ada", "soup", LONG).unwrap();
    assert_eq!([sights.recv_timeout(LONG), sights.recv_timeout(LONG)], [Ok(at), Ok(at)]);
    bob.unshare("soup").unwrap();
    assert_eq!(place(bob.request("ada", "soup", LONG).unwrap()), at);
    assert_eq!(place(eve.request_newer("ada", "soup", &old, LONG).unwrap().unwrap()), at);
    assert_eq!(place(eve.fetch("soup", LONG).unwrap()), at);
    assert_eq!(place(eve.exchange("ada", "soup", LONG).unwrap()), at);
    assert_eq!(sights.recv_timeout(LONG), Ok(at));
    for entry in kitchen.mingle("soup", 1, LONG).unwrap().iter() {
        assert_eq!(place(entry.result.unwrap()), at);
    }
    for peer in [ada, bob, eve] {
        assert_eq!(place(peer.get("soup").unwrap()), at);
        assert_eq!(place(peer.resources().unwrap().remove(0)), at);
    }
}
