//! What is common to handlers: their thread, their data, and a peer that closes when one fails.

use std::sync::atomic::Ordering;
use std::task::Poll;
use std::thread;

use potluck::{Bytes, Call, Ended, Error, Event, HandlerError, Peer, PeerOptions, SystemOptions};

use crate::support::{
    Dropped, Gate, Kitchen, LONG, NOW, body_that, closed, drain, handler_failed, kitchen, kitchen_with, next, shut_down,
};

/// Options whose five handlers own one datum each.
fn owning(data: [Dropped; 5]) -> PeerOptions {
    let [a, b, c, d, e] = data;
    PeerOptions::new()
        .on_message(move |_, _| {
            a.touch();
            Ok(())
        })
        .on_request(move |_, _, _| {
            b.touch();
            Ok(())
        })
        .on_offer(move |_, _, _| {
            c.touch();
            Ok(())
        })
        .on_received(move |_, _, _| d.touch())
        .on_stop(move |_| e.touch())
}

#[test]
fn all_handlers_of_a_peer_run_on_its_own_thread() {
    let kitchen = kitchen();
    let (seen, sights) = crossbeam_channel::unbounded();
    let say = move |what: &'static str| {
        let thread = thread::current();
        seen.send((what, thread.name().map(str::to_owned), thread.id())).unwrap();
    };
    let says = [say.clone(), say.clone(), say.clone(), say.clone(), say];
    let [a, b, c, d, e] = says;
    let options = PeerOptions::new()
        .on_message(move |_, _| {
            a("message");
            Ok(())
        })
        .on_request(move |_, _, _| {
            b("request");
            Ok(())
        })
        .on_offer(move |_, _, _| {
            c("offer");
            Ok(())
        })
        .on_received(move |_, _, _| d("received"))
        .on_stop(move |_| e("stop"));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    ada.share("soup", "tomato").unwrap();
    bob.tell("ada", "hello", "", NOW).unwrap();
    bob.request("ada", "soup", LONG).unwrap();
    bob.offer("ada", "soup", LONG).unwrap();
    ada.close(LONG).unwrap();
    let sights: Vec<_> = sights.try_iter().collect();
    let order: Vec<_> = sights.iter().map(|(what, ..)| *what).collect();
    assert_eq!(order, ["message", "request", "offer", "received", "stop"]);
    let own = (Some("potluck:ada".to_owned()), sights[0].2);
    assert!(sights.iter().all(|(_, name, id)| (name, id) == (&own.0, &own.1)), "{sights:?}");
}

#[test]
fn the_data_of_all_handlers_is_dropped_exactly_once_when_close_has_returned() {
    let kitchen = kitchen();
    let (data, counts): (Vec<_>, Vec<_>) = (0..5).map(|_| Dropped::new()).unzip();
    let Ok(data) = data.try_into() else { unreachable!("five") };
    let ada = kitchen.spawn_with("ada", owning(data)).unwrap();
    assert!(counts.iter().all(|count| count.load(Ordering::SeqCst) == 0));
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    drop((ada, kitchen));
    let counts: Vec<_> = counts.iter().map(|count| count.load(Ordering::SeqCst)).collect();
    assert_eq!(counts, [1; 5]);
}

#[test]
fn the_data_is_dropped_exactly_once_when_spawning_fails() {
    let kitchen = kitchen_with(SystemOptions::new().peers_max(1));
    let shut = self::kitchen();
    shut.shutdown(LONG).unwrap();
    let spawn = |system: &Kitchen, name: &str, change: fn(PeerOptions) -> PeerOptions| {
        let (data, counts): (Vec<_>, Vec<_>) = (0..5).map(|_| Dropped::new()).unzip();
        let Ok(data) = data.try_into() else { unreachable!("five") };
        let error = system.spawn_with(name, change(owning(data))).unwrap_err();
        let counts: Vec<_> = counts.iter().map(|count| count.load(Ordering::SeqCst)).collect();
        assert_eq!(counts, [1; 5], "{error}");
        error
    };
    assert!(matches!(spawn(&kitchen, "a/b", |it| it), Error::InvalidName { .. }));
    assert!(matches!(spawn(&kitchen, "bob", |it| it.mailbox_bytes_max(0)), Error::InvalidArgument(_)));
    kitchen.spawn("ada").unwrap();
    assert_eq!(spawn(&kitchen, "ada", |it| it), Error::NameTaken { peer: "ada".into() });
    assert!(matches!(spawn(&kitchen, "bob", |it| it), Error::LimitReached(_)));
    assert_eq!(spawn(&shut, "bob", |it| it), closed("kitchen"));
}

#[test]
fn a_destructor_that_panics_keeps_no_peer_from_ending() {
    struct Panics;
    impl Panics {
        fn touch(&self) {}
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("it is dropped");
        }
    }
    let kitchen = kitchen();
    let data = Panics;
    let options = PeerOptions::new().on_message(move |_, _| {
        data.touch();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
}

#[test]
fn a_peer_closes_when_a_handler_fails_if_the_system_wants_that() {
    let options = SystemOptions::new().close_on_handler_failure(true);
    let kitchen = kitchen_with(options);
    let (stopped, stop) = crossbeam_channel::unbounded();
    let options = PeerOptions::new()
        .on_message(|_, message| match message.kind() {
            "unknown" => Err(HandlerError::UnknownMessage),
            _ => panic!("the pot is hot"),
        })
        .on_request(|_, _, _| Err(HandlerError::refused("no")))
        .on_stop(move |_| stopped.send(()).unwrap());
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    // These are no failures.
    bob.ask("ada", "unknown", "", LONG).unwrap_err();
    bob.request("ada", "soup", LONG).unwrap_err();
    assert_eq!(bob.ask("ada", "taste", "", LONG).unwrap_err(), handler_failed("ada", "the pot is hot"));
    next(&stop);
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!(ada.get("soup").unwrap_err(), closed("ada"));
    assert_eq!(kitchen.peers().unwrap(), ["bob"]);
}

#[test]
fn a_failure_of_on_received_or_on_stop_is_an_event() {
    let kitchen = kitchen();
    let options = PeerOptions::new().on_received(|_, _, _| panic!("no room")).on_stop(|_| panic!("not yet"));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "tomato").unwrap();
    let events = kitchen.events(20).unwrap();
    bob.offer("ada", "soup", LONG).unwrap();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    let failures = drain(&events).into_iter().filter(|event| matches!(event, Event::HandlerFailed { .. }));
    let failed =
        |from: &str, text: &str| Event::HandlerFailed { peer: "ada".into(), from: from.into(), text: text.into() };
    assert_eq!(failures.collect::<Vec<_>>(), [failed("bob", "no room"), failed("ada", "not yet")]);
}

#[test]
fn a_handler_may_spawn_and_close_other_peers() {
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    let system = kitchen.clone();
    let options = PeerOptions::new().on_message(move |ada, message| {
        let helper = system.spawn("helper")?;
        helper.share("salt", "sea")?;
        ada.request("helper", "salt", LONG)?;
        let ended = helper.close(LONG)?;
        Ok(message.reply(format!("{ended:?}"))?)
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    for _ in 0..3 {
        assert_eq!(bob.ask("ada", "cook", "", LONG).unwrap().bytes(), b"Yes");
    }
    assert_eq!(ada.get("salt").unwrap().origin(), "helper");
    assert_eq!(kitchen.peers().unwrap(), ["bob", "ada"]);
    kitchen.shutdown(LONG).unwrap();
}

#[test]
fn a_vote_that_fails_is_told_as_such_though_its_peer_closes_for_it() {
    let system = kitchen_with(SystemOptions::new().close_on_handler_failure(true));
    let bob = system.spawn("bob").unwrap();
    bob.share("soup", "tomato").unwrap();
    let fails = |name: &str| {
        let options = PeerOptions::new()
            .on_request(|_, _, _| Err(HandlerError::failed("no salt")))
            .on_offer(|_, _, _| Err(HandlerError::failed("no spoon")));
        system.spawn_with(name, options).unwrap()
    };
    let (ada, eve) = (fails("ada"), fails("eve"));
    assert_eq!(bob.request("ada", "soup", LONG).unwrap_err(), handler_failed("ada", "no salt"));
    assert_eq!(bob.offer("eve", "soup", LONG), Err(handler_failed("eve", "no spoon")));
    assert_eq!((ada.close(LONG), eve.close(LONG)), (Ok(Ended::Yes), Ok(Ended::Yes)));
    assert_eq!(shut_down(&system, LONG), Ok(Ended::Yes));
}

#[test]
fn a_destructor_of_a_queued_body_may_close_the_very_peer() {
    struct Closes(Peer);
    impl AsRef<[u8]> for Closes {
        fn as_ref(&self) -> &[u8] {
            b"body"
        }
    }
    impl Drop for Closes {
        fn drop(&mut self) {
            assert_eq!(self.0.close(LONG), Ok(Ended::Yes));
        }
    }
    let kitchen = kitchen();
    let (ada, inbox) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("inbox").unwrap());
    ada.try_tell("inbox", "note", potluck::Bytes::from_owner(Closes(inbox.clone()))).unwrap();
    assert_eq!(inbox.close(LONG), Ok(Ended::Yes));
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn a_vote_that_fails_is_an_event_and_one_that_refuses_is_none() {
    let kitchen = kitchen();
    let options = PeerOptions::new()
        .on_request(|_, by, _| match by {
            "bob" => Err(HandlerError::refused("no")),
            _ => panic!("the pot is hot"),
        })
        .on_offer(|_, by, _| match by {
            "bob" => Err(HandlerError::refused("no")),
            _ => Err(HandlerError::failed("no spoon")),
        });
    kitchen.spawn_with("ada", options).unwrap().share("soup", "tomato").unwrap();
    let (bob, eve) = (kitchen.spawn("bob").unwrap(), kitchen.spawn("eve").unwrap());
    let events = kitchen.events(20).unwrap();
    drain(&events);
    for peer in [&bob, &eve] {
        peer.share("soup", "leek").unwrap();
        peer.request("ada", "soup", LONG).unwrap_err();
        peer.offer("ada", "soup", LONG).unwrap_err();
    }
    let failed = |text: &str| Event::HandlerFailed { peer: "ada".into(), from: "eve".into(), text: text.into() };
    assert_eq!(drain(&events), [failed("the pot is hot"), failed("no spoon")]);
}

#[test]
fn an_answer_whose_destructor_panics_on_the_peers_thread_keeps_the_peer_alive() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_message(move |_, message| {
        message.reply(body_that(|| panic!("it is dropped")))?;
        held.pass();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    let asked = bob.start(Call::Ask { to: "ada", kind: "taste", body: Bytes::new() }, LONG).unwrap();
    gate.await_arrival();
    let answer = asked.wait(LONG);
    assert!(matches!(&answer, Poll::Ready(Ok(Some(_)))));
    // The handler's thread has the last reference now.
    drop((answer, asked));
    gate.open();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
}
