//! The end of a system.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use potluck::{Ended, PeerOptions, SystemOptions};

use crate::support::{
    Dropped, Gate, LONG, NOW, SHORT, ada_and_bob, closed, host, kitchen, kitchen_with, next, shut_down,
};

#[test]
fn a_shutdown_closes_every_peer_and_is_fine_when_repeated() {
    let kitchen = kitchen();
    let (stopped, stops) = unbounded();
    let peers = ["ada", "bob", "eve"].map(|name| {
        let stopped = stopped.clone();
        let options = PeerOptions::new().on_stop(move |peer| stopped.send(peer.name().to_owned()).unwrap());
        kitchen.spawn_with(name, options).unwrap()
    });
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
    let mut stops: Vec<String> = stops.try_iter().collect();
    stops.sort();
    assert_eq!(stops, ["ada", "bob", "eve"]);
    for peer in peers {
        assert_eq!(peer.close(NOW), Ok(Ended::Yes));
    }
    assert_eq!(shut_down(&kitchen, NOW), Ok(Ended::Yes));
}

#[test]
fn after_a_shutdown_every_call_answers_closed() {
    let (kitchen, ada, _) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    kitchen.shutdown(LONG).unwrap();
    let gone = closed("kitchen");
    assert_eq!(kitchen.spawn("eve").unwrap_err(), gone);
    assert_eq!(kitchen.peers().unwrap_err(), gone);
    assert_eq!(kitchen.holders("soup").unwrap_err(), gone);
    assert_eq!(kitchen.mingle("soup", 1, LONG).unwrap_err(), gone);
    assert_eq!(kitchen.events(1).unwrap_err(), gone);
    assert_eq!(kitchen.name(), "kitchen");
    let gone = closed("ada");
    for timeout in [NOW, LONG] {
        assert_eq!(ada.request("bob", "soup", timeout).unwrap_err(), gone);
        assert_eq!(ada.fetch("soup", timeout).unwrap_err(), gone);
        assert_eq!(ada.offer("bob", "soup", timeout).unwrap_err(), gone);
        assert_eq!(ada.exchange("bob", "soup", timeout).unwrap_err(), gone);
        assert_eq!(ada.tell("bob", "hello", "", timeout).unwrap_err(), gone);
        assert_eq!(ada.ask("bob", "hello", "", timeout).unwrap_err(), gone);
        assert_eq!(ada.receive(timeout).unwrap_err(), gone);
    }
    assert_eq!(ada.share("soup", "").unwrap_err(), gone);
    assert_eq!(ada.resources().unwrap_err(), gone);
}

#[test]
fn dropping_the_last_handle_shuts_the_system_down() {
    let (kitchen, ada, _bob) = ada_and_bob();
    let (data, dropped) = Dropped::new();
    kitchen.spawn_with("eve", PeerOptions::new().on_stop(move |_| data.touch())).unwrap();
    let second = kitchen.clone();
    drop(kitchen);
    ada.share("soup", "tomato").unwrap();
    drop(second);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    assert_eq!(ada.get("soup").unwrap_err(), closed("ada"));
}

#[test]
fn dropping_the_last_handle_waits_at_most_its_timeout() {
    let kitchen = kitchen_with(SystemOptions::new().drop_timeout(SHORT));
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_message(move |_, _| {
        held.pass();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.tell("ada", "wait", "", NOW).unwrap();
    gate.await_arrival();
    host(move || drop(kitchen)).result();
    assert_eq!(ada.close(NOW), Ok(Ended::StillRunning));
    gate.open();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
}

#[test]
fn a_shutdown_whose_deadline_passes_is_still_running_and_says_who() {
    let (kitchen, _, _) = ada_and_bob();
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_message(move |_, _| {
        held.pass();
        Ok(())
    });
    let eve = kitchen.spawn_with("eve", options).unwrap();
    eve.tell("eve", "wait", "", NOW).unwrap();
    gate.await_arrival();
    let report = kitchen.shutdown(Duration::from_millis(500)).unwrap();
    assert_eq!(report.ended, Ended::StillRunning);
    let running: Vec<_> = report.still_running.iter().map(|it| (it.peer.as_str(), it.doing.as_str())).collect();
    assert_eq!(running, [("eve", "on_message \"wait\" from \"eve\"")]);
    assert!(report.still_running[0].since >= Duration::from_millis(500));
    assert_eq!(kitchen.peers().unwrap(), ["eve"]);
    gate.open();
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn a_shutdown_from_a_handler_is_deferred_until_the_handler_returns() {
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    let system = kitchen.clone();
    let (seen, sights) = unbounded();
    let options = PeerOptions::new().on_message(move |_, _| Ok(seen.send(shut_down(&system, LONG))?));
    kitchen.spawn_with("ada", options).unwrap();
    bob.tell("ada", "go", "", NOW).unwrap();
    assert_eq!(next(&sights), Ok(Ended::Deferred));
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn shutdowns_and_closes_at_once_all_wait_for_the_same_end() {
    for round in 0..300 {
        let kitchen = kitchen();
        let (stopped, stops) = unbounded();
        let options = PeerOptions::new().on_stop(move |_| stopped.send(()).unwrap());
        let ada = kitchen.spawn_with("ada", options).unwrap();
        let (closed, close) = (stops.clone(), host(move || ada.close(LONG)));
        let shutdowns = [kitchen.clone(), kitchen].map(|kitchen| {
            let stops = closed.clone();
            host(move || (shut_down(&kitchen, LONG), stops.len()))
        });
        for shutdown in shutdowns {
            assert_eq!(shutdown.result(), (Ok(Ended::Yes), 1), "round {round}");
        }
        assert_eq!(close.result(), Ok(Ended::Yes));
    }
}

#[test]
fn dropping_the_last_handle_waits_a_second_by_default() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_stop(move |_| held.pass());
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let begun = Instant::now();
    host(move || drop(kitchen)).result();
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    gate.open();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
}
