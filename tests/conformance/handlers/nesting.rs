//! Calls made inside handlers and destructors: every one is legal, or returns a documented error.

use crossbeam_channel::{bounded, unbounded};
use potluck::{
    Bytes, Ended, Error, Event, EventReader, HandlerError, Message, Peer, PeerOptions, PeerSystem, Resource,
};

use crate::support::{Gate, Kitchen, LONG, NOW, ada_and_bob, closed, drain, host, kitchen, next, shut_down};

#[test]
fn all_handles_may_be_used_from_any_thread() {
    fn check<T: Send + Sync>() {}
    check::<(PeerSystem, Peer, Resource, Message, EventReader, Error)>();
}

/// A body whose destructor makes calls as its peer, and counts them.
struct Calling {
    peer: Peer,
    done: crossbeam_channel::Sender<()>,
}

impl AsRef<[u8]> for Calling {
    fn as_ref(&self) -> &[u8] {
        b"calling"
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        for other in ["ada", "bob"] {
            let _ = self.peer.request(other, "salt", NOW);
            let _ = self.peer.offer(other, "salt", NOW);
            let _ = self.peer.tell(other, "hello", "", NOW);
        }
        let _ = self.peer.share("pepper", "");
        let _ = self.peer.resources();
        let _ = self.peer.close(NOW);
        let _ = self.done.send(());
    }
}

#[test]
fn the_destructor_of_a_body_may_make_calls_wherever_it_runs() {
    type End = fn(&Kitchen, &Peer, &Peer);
    let ends: [(&str, End); 9] = [
        ("replaced by a share", |_, ada, _| drop(ada.share("soup", "").unwrap())),
        ("replaced by a request", |_, ada, _| drop(ada.request("bob", "soup", LONG).unwrap())),
        ("replaced by a fetch", |_, ada, _| drop(ada.fetch("soup", LONG).unwrap())),
        ("replaced by an offer", |_, _, bob| bob.offer("ada", "soup", LONG).unwrap()),
        ("unshared", |_, ada, _| ada.unshare("soup").unwrap()),
        ("on a shelf that closes", |_, ada, _| drop(ada.close(LONG))),
        ("in a system that is shut down", |kitchen, _, _| drop(kitchen.shutdown(LONG))),
        ("refused as too large", |_, ada, _| {
            let soup = ada.get("soup").unwrap().body();
            ada.unshare("soup").unwrap();
            ada.tell("bob", "small", soup, LONG).unwrap_err();
        }),
        ("in a message that is buried", |_, ada, bob| {
            let soup = ada.get("soup").unwrap().body();
            ada.unshare("soup").unwrap();
            ada.tell("ada", "note", soup, LONG).unwrap();
            drop(bob.clone());
            drop(ada.close(LONG));
        }),
    ];
    for (what, end) in ends {
        let kitchen = kitchen();
        let ada = kitchen.spawn("ada").unwrap();
        let bob = kitchen.spawn_with("bob", PeerOptions::new().mailbox_bytes_max(3)).unwrap();
        let caller = kitchen.spawn("caller").unwrap();
        for peer in [&ada, &bob] {
            peer.share("salt", "sea").unwrap();
        }
        bob.share("soup", "leek").unwrap();
        let (done, ended) = unbounded();
        let body = Calling { peer: caller, done };
        ada.share("soup", Bytes::from_owner(body)).unwrap();
        let run = host(move || {
            end(&kitchen, &ada, &bob);
            shut_down(&kitchen, LONG)
        });
        assert!(ended.recv_timeout(LONG).is_ok(), "{what}: its destructor did not return");
        assert_eq!(run.result(), Ok(Ended::Yes), "{what}");
    }
}

#[test]
fn peers_may_offer_back_from_on_received() {
    let kitchen = kitchen();
    let (done, end) = unbounded();
    let returning = |to: &'static str| {
        let done = done.clone();
        PeerOptions::new().on_received(move |me, _, got| match got.version() {
            300 => done.send(()).unwrap(),
            _ => {
                me.share("ball", "").unwrap();
                me.offer(to, "ball", LONG).unwrap();
            }
        })
    };
    let ada = kitchen.spawn_with("ada", returning("bob")).unwrap();
    kitchen.spawn_with("bob", returning("ada")).unwrap();
    ada.share("ball", "").unwrap();
    ada.offer("bob", "ball", LONG).unwrap();
    next(&end);
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn a_handler_may_call_peers_of_another_system_and_shut_it_down() {
    let here = kitchen();
    let (there, other_ada, other_bob) = ada_and_bob();
    other_bob.share("soup", "leek").unwrap();
    let options = PeerOptions::new().on_message(move |_, message| {
        let soup = other_ada.request("bob", "soup", LONG)?;
        other_ada.offer("bob", "soup", LONG)?;
        let ended = there.shutdown(LONG)?.ended;
        Ok(message.reply(format!("{ended:?} {}", soup.len()))?)
    });
    here.spawn_with("ada", options).unwrap();
    let bob = here.spawn("bob").unwrap();
    assert_eq!(bob.ask("ada", "go", "", LONG).unwrap().bytes(), b"Yes 4");
}

#[test]
fn a_handler_may_close_a_peer_whose_handler_waits_for_it() {
    let kitchen = kitchen();
    let (seen, sights) = unbounded();
    let asking =
        PeerOptions::new().on_message(move |bob, _| Ok(seen.send(bob.ask("ada", "close me", "", LONG).map(drop))?));
    let bob = kitchen.spawn_with("bob", asking).unwrap();
    let closing = bob.clone();
    let (ended, end) = unbounded();
    let options = PeerOptions::new().on_message(move |_, _| Ok(ended.send(closing.close(LONG))?));
    kitchen.spawn_with("ada", options).unwrap();
    bob.tell("bob", "go", "", NOW).unwrap();
    assert_eq!(next(&sights), Err(closed("bob")));
    assert_eq!(next(&end), Ok(Ended::Yes));
}

#[test]
fn two_handlers_that_close_each_others_peers_both_come_to_an_end() {
    for _ in 0..50 {
        let kitchen = kitchen();
        let gate = Gate::new();
        let closing = || {
            let held = gate.clone();
            let (give, other) = bounded::<Peer>(1);
            let options = PeerOptions::new().on_message(move |_, _| {
                let other = other.recv_timeout(LONG)?;
                held.pass();
                match other.close(LONG) {
                    Ok(Ended::Yes) | Err(Error::Closed { .. }) => Ok(()),
                    unexpected => Err(HandlerError::failed(format!("{unexpected:?}"))),
                }
            });
            (give, options)
        };
        let ((to_ada, options_of_ada), (to_bob, options_of_bob)) = (closing(), closing());
        let ada = kitchen.spawn_with("ada", options_of_ada).unwrap();
        let bob = kitchen.spawn_with("bob", options_of_bob).unwrap();
        let events = kitchen.events(10).unwrap();
        ada.tell("bob", "go", "", NOW).unwrap();
        bob.tell("ada", "go", "", NOW).unwrap();
        to_ada.send(bob.clone()).unwrap();
        to_bob.send(ada.clone()).unwrap();
        (0..2).for_each(|_| gate.await_arrival());
        (0..2).for_each(|_| gate.open());
        assert_eq!((ada.close(LONG), bob.close(LONG)), (Ok(Ended::Yes), Ok(Ended::Yes)));
        assert!(!drain(&events).iter().any(|event| matches!(event, Event::HandlerFailed { .. })));
    }
}

#[test]
fn on_stop_may_read_its_shelf_but_waits_in_no_call() {
    let (kitchen, _, _) = ada_and_bob();
    let (seen, sights) = unbounded();
    let options = PeerOptions::new().on_stop(move |eve| {
        let soup = eve.get("soup").map(|soup| soup.len());
        seen.send((soup, eve.ask("ada", "help", "", LONG).map(drop), eve.close(LONG))).unwrap();
    });
    let eve = kitchen.spawn_with("eve", options).unwrap();
    eve.share("soup", "tomato").unwrap();
    assert_eq!(eve.close(LONG), Ok(Ended::Yes));
    assert_eq!(next(&sights), (Ok(6), Err(closed("eve")), Ok(Ended::Deferred)));
}

#[test]
fn the_last_handle_of_a_system_may_be_dropped_by_one_of_its_handlers() {
    let kitchen = kitchen();
    let (stopped, stop) = unbounded();
    let mut last = Some(kitchen.clone());
    let options = PeerOptions::new()
        .on_message(move |_, _| {
            drop(last.take());
            Ok(())
        })
        .on_stop(move |_| stopped.send(()).unwrap());
    let ada = kitchen.spawn_with("ada", options).unwrap();
    drop(kitchen);
    ada.tell("ada", "go", "", NOW).unwrap();
    next(&stop);
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
}
