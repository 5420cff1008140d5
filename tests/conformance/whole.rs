//! A resource is whole and immutable: what one share gave, never torn, never mixed, never copied.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::{LONG, NOW, ada_and_bob};

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
