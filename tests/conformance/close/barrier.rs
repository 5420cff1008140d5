//! Close is a barrier.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crossbeam_channel::{Sender, unbounded};
use potluck::{Call, Ended, Error, Event, Peer, PeerOptions};

use crate::support::{
    Dropped, Gate, LONG, NOW, SHORT, ada_and_bob, body_that, closed, drain, host, kitchen, next, no_such_peer,
    no_such_resource, peer_closed, shut_down,
};

#[test]
fn when_close_has_returned_all_of_the_peer_is_gone() {
    let (kitchen, _, bob) = ada_and_bob();
    let (data, dropped) = Dropped::new();
    let (seen, sights) = unbounded();
    let stop = seen.clone();
    let options = PeerOptions::new().on_message(move |_, message| Ok(seen.send(message.kind().to_owned())?)).on_stop(
        move |peer| {
            data.touch();
            stop.send(format!("stop of {}", peer.name())).unwrap();
        },
    );
    let eve = kitchen.spawn_with("eve", options).unwrap();
    eve.share("soup", "tomato").unwrap();
    bob.ask("eve", "hello", "", LONG).unwrap_err();
    assert_eq!(eve.close(LONG), Ok(Ended::Yes));
    assert_eq!(sights.try_iter().collect::<Vec<_>>(), ["hello", "stop of eve"]);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    assert_eq!(kitchen.peers().unwrap(), ["ada", "bob"]);
    assert!(kitchen.holders("soup").unwrap().is_empty());
    assert_eq!(bob.fetch("soup", LONG).unwrap_err(), no_such_resource("soup", None));
    assert_eq!(bob.request("eve", "soup", LONG).unwrap_err(), no_such_peer("eve"));
    assert_eq!(bob.tell("eve", "hello", "", LONG).unwrap_err(), no_such_peer("eve"));
    kitchen.spawn("eve").unwrap();
}

#[test]
fn when_close_has_returned_the_thread_has_been_joined() {
    struct AtThreadEnd(Sender<()>);
    impl Drop for AtThreadEnd {
        fn drop(&mut self) {
            // Long enough for a close that does not join to be found out.
            (0..100).for_each(|_| std::thread::yield_now());
            let _ = self.0.send(());
        }
    }
    thread_local!(static AT_END: RefCell<Option<AtThreadEnd>> = const { RefCell::new(None) });
    let kitchen = kitchen();
    for _ in 0..20 {
        let (ended, end) = unbounded();
        let options = PeerOptions::new().on_stop(move |_| AT_END.set(Some(AtThreadEnd(ended))));
        let ada = kitchen.spawn_with("ada", options).unwrap();
        assert_eq!(ada.close(LONG), Ok(Ended::Yes));
        assert_eq!(end.try_recv(), Ok(()), "the thread's own variables have been dropped, so it has ended");
    }
}

#[test]
fn a_closed_peer_answers_closed_to_every_call() {
    let (_kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    bob.share("soup", "leek").unwrap();
    ada.close(LONG).unwrap();
    let gone = closed("ada");
    for timeout in [NOW, LONG] {
        assert_eq!(ada.request("bob", "soup", timeout).unwrap_err(), gone);
        assert_eq!(ada.request("ada", "soup", timeout).unwrap_err(), gone);
        assert_eq!(ada.fetch("soup", timeout).unwrap_err(), gone);
        assert_eq!(ada.offer("bob", "soup", timeout).unwrap_err(), gone);
        assert_eq!(ada.exchange("bob", "soup", timeout).unwrap_err(), gone);
        assert_eq!(ada.tell("bob", "hello", "", timeout).unwrap_err(), gone);
        assert_eq!(ada.ask("bob", "hello", "", timeout).unwrap_err(), gone);
        assert_eq!(ada.receive(timeout).unwrap_err(), gone);
        assert_eq!(ada.close(timeout), Ok(Ended::Yes));
    }
    assert_eq!(ada.share("soup", "").unwrap_err(), gone);
    assert_eq!(ada.unshare("soup").unwrap_err(), gone);
    assert_eq!(ada.get("soup").unwrap_err(), gone);
    assert_eq!(ada.resources().unwrap_err(), gone);
    assert_eq!(ada.name(), "ada");
}

#[test]
fn dropping_the_handle_of_a_peer_closes_nothing() {
    let (kitchen, ada, bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    drop(ada);
    assert_eq!(bob.request("ada", "soup", NOW).unwrap().bytes(), b"tomato");
    assert_eq!(kitchen.peers().unwrap(), ["ada", "bob"]);
}

#[test]
fn a_close_from_its_own_handler_is_deferred_until_the_handler_returns() {
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    let (seen, sights) = unbounded();
    let stop = seen.clone();
    let options = PeerOptions::new()
        .on_message(move |ada, _| {
            let deferred = [ada.close(NOW), ada.close(LONG)];
            seen.send(format!("{deferred:?}"))?;
            Ok(())
        })
        .on_stop(move |_| stop.send("stop".into()).unwrap());
    let ada = kitchen.spawn_with("ada", options).unwrap();
    bob.tell("ada", "go", "", NOW).unwrap();
    assert_eq!(next(&sights), "[Ok(Deferred), Ok(Deferred)]");
    assert_eq!(next(&sights), "stop");
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!(kitchen.peers().unwrap(), ["bob"]);
}

#[test]
fn of_two_closes_at_once_both_wait_for_the_same_end() {
    let kitchen = kitchen();
    for _ in 0..50 {
        let (stopped, stop) = unbounded();
        let options = PeerOptions::new().on_stop(move |_| stopped.send(()).unwrap());
        let ada = kitchen.spawn_with("ada", options).unwrap();
        let closes = [ada.clone(), ada.clone()].map(|ada| {
            let stop = stop.clone();
            host(move || (ada.close(LONG), stop.len()))
        });
        for close in closes {
            assert_eq!(close.result(), (Ok(Ended::Yes), 1));
        }
    }
}

#[test]
fn a_close_whose_deadline_passes_is_still_running_and_may_be_repeated() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_message(move |_, _| {
        held.pass();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.tell("ada", "wait", "", NOW).unwrap();
    gate.await_arrival();
    assert_eq!(ada.close(SHORT), Ok(Ended::StillRunning));
    assert_eq!(kitchen.peers().unwrap(), ["ada"]);
    assert_eq!(kitchen.spawn("ada").unwrap_err(), Error::NameTaken { peer: "ada".into() });
    let waiting = ada.clone();
    let close = host(move || waiting.close(LONG)).waiting();
    gate.open();
    assert_eq!(close.result(), Ok(Ended::Yes));
    assert_eq!(ada.close(NOW), Ok(Ended::Yes));
}

#[test]
fn tells_that_are_queued_at_the_close_are_dead_letters_and_each_message_counts_once() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let (seen, sights) = unbounded();
    let options = PeerOptions::new().on_message(move |_, message| {
        seen.send(message.kind().to_owned())?;
        held.pass();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    for kind in ["1", "2", "3"] {
        bob.tell("ada", kind, "body", NOW).unwrap();
    }
    gate.await_arrival();
    let events = kitchen.events(20).unwrap();
    drain(&events);
    assert_eq!(ada.close(NOW), Ok(Ended::StillRunning));
    let letter = |kind: &str| {
        let reason = peer_closed("ada");
        Event::DeadLetter { to: "ada".into(), from: "bob".into(), kind: kind.into(), size: 4, reason }
    };
    gate.open();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!(drain(&events), [letter("2"), letter("3"), Event::Left { peer: "ada".into() }]);
    assert_eq!(sights.try_iter().collect::<Vec<_>>(), ["1"]);
}

#[test]
fn a_closed_peer_serves_nobody_while_its_last_handler_runs() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_message(move |_, _| {
        held.pass();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    for peer in [&ada, &bob] {
        peer.share("soup", "tomato").unwrap();
    }
    ada.tell("ada", "wait", "", NOW).unwrap();
    gate.await_arrival();
    assert_eq!(ada.close(NOW), Ok(Ended::StillRunning));
    for timeout in [NOW, LONG] {
        assert_eq!(bob.request("ada", "soup", timeout).unwrap_err(), peer_closed("ada"));
        assert_eq!(bob.offer("ada", "soup", timeout).unwrap_err(), peer_closed("ada"), "offer within {timeout:?}");
        assert_eq!(
            bob.exchange("ada", "soup", timeout).unwrap_err(),
            peer_closed("ada"),
            "exchange within {timeout:?}"
        );
        assert_eq!(bob.tell("ada", "hello", "", timeout).unwrap_err(), peer_closed("ada"));
        assert_eq!(bob.ask("ada", "hello", "", timeout).unwrap_err(), peer_closed("ada"), "ask within {timeout:?}");
    }
    gate.open();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
}

#[test]
fn calls_as_a_peer_whose_close_has_begun_are_closed_while_its_last_handler_runs() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_message(move |_, _| {
        held.pass();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "tomato").unwrap();
    ada.tell("ada", "wait", "", NOW).unwrap();
    gate.await_arrival();
    assert_eq!(ada.close(NOW), Ok(Ended::StillRunning));
    assert_eq!(ada.request("bob", "soup", LONG).unwrap_err(), closed("ada"));
    assert_eq!(ada.share("soup", "").unwrap_err(), closed("ada"));
    assert_eq!(ada.tell("bob", "hello", "", LONG).unwrap_err(), closed("ada"));
    gate.open();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
}

#[test]
fn closing_one_peer_leaves_the_others_alone() {
    let (kitchen, ada, bob) = ada_and_bob();
    let eve = kitchen.spawn("eve").unwrap();
    bob.share("soup", "tomato").unwrap();
    for _ in 0..100 {
        let helper = kitchen.spawn("helper").unwrap();
        helper.request("bob", "soup", NOW).unwrap();
        eve.offer("helper", "none", NOW).unwrap_err();
        assert_eq!(helper.close(LONG), Ok(Ended::Yes));
    }
    assert_eq!(ada.request("bob", "soup", NOW).unwrap().bytes(), b"tomato");
    assert_eq!(kitchen.peers().unwrap(), ["ada", "bob", "eve"]);
}

#[test]
fn nothing_is_put_on_a_shelf_after_its_close() {
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "tomato").unwrap();
    for round in 0..300 {
        let ada = kitchen.spawn("ada").unwrap();
        let other = bob.clone();
        let offers = host(move || while other.offer("ada", "soup", LONG).is_ok() {});
        assert_eq!(ada.close(LONG), Ok(Ended::Yes));
        offers.result();
        let holders = kitchen.holders("soup").unwrap();
        assert!(holders.iter().all(|it| it.peer == "bob"), "round {round}: {holders:?}");
    }
}

#[test]
fn a_peer_that_is_told_things_while_it_closes_leaves_last() {
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    for round in 0..200 {
        let events = kitchen.events(1_000_000).unwrap();
        let options = PeerOptions::new().on_message(|_, _| Ok(()));
        let ada = kitchen.spawn_with("ada", options).unwrap();
        let other = bob.clone();
        let tells = host(move || while other.tell("ada", "hello", "", LONG).is_ok() {});
        assert_eq!(ada.close(LONG), Ok(Ended::Yes));
        tells.result();
        let seen = drain(&events);
        assert_eq!(seen.last(), Some(&Event::Left { peer: "ada".into() }), "round {round}");
    }
}

#[test]
fn on_stop_may_still_answer_what_was_kept() {
    let kitchen = kitchen();
    let kept = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let (in_message, in_stop) = (Arc::clone(&kept), Arc::clone(&kept));
    let (taken, takes) = crossbeam_channel::unbounded();
    let options = PeerOptions::new()
        .on_message(move |_, message| {
            in_message.lock().push(message.keep());
            taken.send(()).unwrap();
            Ok(())
        })
        .on_stop(move |_| in_stop.lock().drain(..).for_each(|message| message.reply("at last").unwrap()));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let guest = kitchen.spawn("guest").unwrap();
    let ask = host(move || guest.ask("ada", "later", "", LONG).map(|answer| answer.body()));
    next(&takes);
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!(ask.result().unwrap(), "at last");
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn a_destructor_may_close_the_very_peer_whose_close_frees_it() {
    let (_kitchen, ada, bob) = ada_and_bob();
    let (seen, sees) = unbounded();
    let again = bob.clone();
    let body = body_that(move || seen.send(again.close(LONG)).unwrap());
    let pending = bob.start(Call::Ask { to: "ada", kind: "k", body }, LONG).unwrap();
    assert_eq!(bob.close(LONG), Ok(Ended::Yes));
    // It ran on the closing thread, or on the peer's own, which cannot wait for itself.
    assert!(matches!(next(&sees), Ok(Ended::Yes | Ended::Deferred)));
    drop((pending, ada));
}

#[test]
fn a_close_from_the_destructors_of_the_peers_own_thread_waits_for_nothing() {
    /// Closes its peer at the very end of the thread.
    struct AtTheEnd(Peer, Sender<potluck::Result<Ended>>);
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            self.1.send(self.0.close(LONG)).unwrap();
        }
    }
    std::thread_local!(static LAST: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) });
    for _ in 0..30 {
        let kitchen = kitchen();
        let (closed, closes) = unbounded();
        let options = PeerOptions::new().on_message(move |peer, _| {
            LAST.set(Some(AtTheEnd(peer.clone(), closed.clone())));
            Ok(())
        });
        let ada = kitchen.spawn_with("ada", options).unwrap();
        kitchen.spawn("bob").unwrap().tell("ada", "hello", "", LONG).unwrap();
        // It waits for the thread, whose destructors run meanwhile.
        let begun = Instant::now();
        assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
        assert!(matches!(next(&closes), Ok(Ended::Deferred | Ended::Yes)));
        assert!(begun.elapsed() < LONG / 2, "{:?}", begun.elapsed());
        drop(ada);
    }
}
