//! A shutdown lets what is unfinished come to its end, and nothing in from outside meanwhile.

use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use potluck::{Ended, Error, HandlerResult, Message, Peer, PeerOptions};

use crate::support::{
    Gate, Host, Kitchen, LONG, NOW, PATIENT, closed, host, kitchen, kitchen_named, next, peer_closed, shut_down,
};

fn gated(gate: &Gate) -> PeerOptions {
    let held = gate.clone();
    PeerOptions::new().on_message(move |_, _| {
        held.pass();
        Ok(())
    })
}

/// An ada whose handler stands at the gate, and a shutdown that waits for her.
fn in_the_first_phase(kitchen: &Kitchen, gate: &Gate) -> Host<potluck::Result<Ended>> {
    let ada = kitchen.spawn_with("ada", gated(gate)).unwrap();
    ada.tell("ada", "wait", "", NOW).unwrap();
    gate.await_arrival();
    shutting(kitchen)
}

fn shutting(kitchen: &Kitchen) -> Host<potluck::Result<Ended>> {
    let system = kitchen.clone();
    host(move || shut_down(&system, LONG)).waiting()
}

/// Tells the next peer, as often as the body says.
fn pass_on(next: &'static str) -> impl FnMut(&Peer, &Message) -> HandlerResult + Send + 'static {
    move |me, message| {
        let left: u64 = std::str::from_utf8(message.bytes())?.parse()?;
        match left {
            0 => Ok(()),
            left => Ok(me.tell(next, message.kind(), (left - 1).to_string(), LONG)?),
        }
    }
}

#[test]
fn all_that_is_queued_is_handled() {
    let kitchen = kitchen();
    let (seen, sights) = unbounded();
    let options = PeerOptions::new().on_message(move |_, message| Ok(seen.send(message.kind().to_owned())?));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    (0..500).for_each(|number| ada.tell("ada", &number.to_string(), "", NOW).unwrap());
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
    assert_eq!(sights.len(), 500);
    assert_eq!(kitchen.dead_letters().unwrap().count, 0);
}

#[test]
fn what_handlers_send_one_another_is_handled_to_the_last() {
    for round in 0..200 {
        let kitchen = kitchen();
        let names = ["ada", "bob", "eve", "cook"];
        let (done, ends) = unbounded();
        let peers: Vec<Peer> = (0..4)
            .map(|at| {
                let (done, mut pass) = (done.clone(), pass_on(names[(at + 1) % 4]));
                let options = PeerOptions::new().on_message(move |me, message| {
                    if message.bytes() == b"0" {
                        done.send(message.kind().to_owned())?;
                    }
                    pass(me, message)
                });
                kitchen.spawn_with(names[at], options).unwrap()
            })
            .collect();
        for (at, peer) in peers.iter().enumerate().take(round % 4 + 1) {
            peer.tell(names[at], "ball", (round + at * 7).to_string(), NOW).unwrap();
        }
        assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
        assert_eq!((ends.len(), kitchen.dead_letters().unwrap().count), (round % 4 + 1, 0), "round {round}");
    }
}

#[test]
fn requests_offers_and_receipts_are_finished_too() {
    let kitchen = kitchen();
    let (seen, sights) = unbounded();
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new()
        .on_message(move |_, _| {
            held.pass();
            Ok(())
        })
        .on_request(|_, _, _| Ok(()))
        .on_received(move |_, _, soup| seen.send(soup.len()).unwrap());
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    ada.share("bread", "rye").unwrap();
    bob.share("soup", "leek").unwrap();
    bob.tell("ada", "wait", "", NOW).unwrap();
    gate.await_arrival();
    let calls: [fn(&Peer) -> potluck::Result<()>; 2] =
        [|bob| bob.request("ada", "bread", LONG).map(drop), |bob| bob.offer("ada", "soup", LONG)];
    let calls = calls.map(|call| {
        let bob = bob.clone();
        host(move || call(&bob)).waiting()
    });
    let ending = shutting(&kitchen);
    gate.open();
    assert_eq!(calls.map(Host::result), [Ok(()), Ok(())]);
    assert_eq!((ending.result(), sights.try_iter().collect::<Vec<_>>()), (Ok(Ended::Yes), vec![4]));
}

#[test]
fn calls_of_handlers_work_until_then() {
    let kitchen = kitchen();
    let (gate, system) = (Gate::new(), kitchen.clone());
    let (seen, sights) = unbounded();
    let held = gate.clone();
    let options = PeerOptions::new().on_message(move |ada, message| {
        if message.kind() == "answer" {
            return Ok(message.reply("salt")?);
        }
        held.pass();
        ada.share("bread", "rye")?;
        seen.send((
            ada.request("bob", "soup", LONG).map(|soup| soup.len()),
            ada.offer("bob", "bread", LONG),
            ada.ask("cook", "answer", "", LONG).map(|answer| answer.len()),
            ada.tell("cook", "answer", "", LONG),
            system.mingle("soup", 1, LONG).map(|mingled| mingled.iter().all(|it| it.result.is_ok())),
            system.holders("soup").map(|holders| holders.len()),
            system.wait_for("bob", LONG),
            [system.wait_for("eve", LONG), system.spawn("eve").map(drop)],
        ))?;
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    kitchen.spawn("bob").unwrap().share("soup", "leek").unwrap();
    let answering =
        PeerOptions::new().on_message(|_, message| if message.is_ask() { Ok(message.reply("salt")?) } else { Ok(()) });
    kitchen.spawn_with("cook", answering).unwrap();
    ada.tell("ada", "go", "", NOW).unwrap();
    gate.await_arrival();
    let ending = shutting(&kitchen);
    gate.open();
    let gone = || Err(closed("kitchen"));
    let wanted = (Ok(4), Ok(()), Ok(4), Ok(()), Ok(true), Ok(3), Ok(()), [gone(), gone()]);
    assert_eq!(next(&sights), wanted);
    assert_eq!((ending.result(), kitchen.dead_letters().unwrap().count), (Ok(Ended::Yes), 0));
}

#[test]
fn nothing_comes_in_from_outside_meanwhile() {
    let (kitchen, gate) = (kitchen(), Gate::new());
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "leek").unwrap();
    bob.tell("bob", "note", "", NOW).unwrap();
    let ending = in_the_first_phase(&kitchen, &gate);
    assert!(ending.is_waiting());
    let gone = closed("kitchen");
    for timeout in [NOW, LONG] {
        assert_eq!(bob.request("ada", "soup", timeout).unwrap_err(), gone);
        assert_eq!(bob.fetch("soup", timeout).unwrap_err(), gone);
        assert_eq!(bob.offer("ada", "soup", timeout).unwrap_err(), gone);
        assert_eq!(bob.exchange("ada", "soup", timeout).unwrap_err(), gone);
        assert_eq!(bob.tell("ada", "hello", "", timeout).unwrap_err(), gone);
        assert_eq!(bob.ask("ada", "hello", "", timeout).unwrap_err(), gone);
        assert_eq!(bob.receive(timeout).unwrap_err(), gone);
        assert_eq!(kitchen.mingle("soup", 1, timeout).unwrap_err(), gone);
        assert_eq!(kitchen.wait_for("bob", timeout).unwrap_err(), gone);
    }
    assert_eq!(bob.share("soup", "").unwrap_err(), gone);
    assert_eq!(bob.unshare("soup").unwrap_err(), gone);
    assert_eq!(bob.get("soup").unwrap_err(), gone);
    assert_eq!(bob.resources().unwrap_err(), gone);
    assert_eq!(kitchen.spawn("eve").unwrap_err(), gone);
    assert_eq!(kitchen.holders("soup").unwrap_err(), gone);
    assert_eq!(kitchen.events(1).unwrap_err(), gone);
    // What says how it goes is not refused.
    assert_eq!(kitchen.peers().unwrap(), ["bob", "ada"]);
    let snapshot = kitchen.snapshot().unwrap();
    assert_eq!((snapshot.is_open, snapshot.peers[1].doing().as_str()), (false, "on_message \"wait\" from \"ada\""));
    assert_eq!(kitchen.dead_letters().unwrap().count, 0);
    assert!(ending.is_waiting());
    gate.open();
    assert_eq!(ending.result(), Ok(Ended::Yes));
    assert_eq!(kitchen.dead_letters().unwrap().count, 1, "what bob has not received");
}

#[test]
fn an_ask_that_waits_is_answered_also_by_who_kept_it() {
    let kitchen = kitchen();
    let (keep, kept) = unbounded();
    let options = PeerOptions::new().on_message(move |_, message| Ok(keep.send(message.keep())?));
    kitchen.spawn_with("eve", options).unwrap();
    let gate = Gate::new();
    let bob = kitchen.spawn("bob").unwrap();
    let asking = host(move || bob.ask("eve", "hello", "", LONG).map(|answer| answer.len())).waiting();
    let message = next(&kept);
    let ending = in_the_first_phase(&kitchen, &gate);
    message.reply("later").unwrap();
    assert_eq!(asking.result(), Ok(5));
    gate.open();
    assert_eq!(ending.result(), Ok(Ended::Yes));
}

#[test]
fn at_half_the_timeout_handlers_that_wait_are_told() {
    let kitchen = kitchen();
    let inbox = kitchen.spawn("inbox").unwrap();
    let (seen, sights) = unbounded();
    let options =
        PeerOptions::new().on_message(move |ada, _| Ok(seen.send(ada.ask("inbox", "who?", "", LONG).map(drop))?));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.tell("ada", "go", "", NOW).unwrap();
    let _asked = inbox.receive(LONG).unwrap();
    let begun = Instant::now();
    assert_eq!(shut_down(&kitchen, 2 * PATIENT), Ok(Ended::Yes));
    assert!(begun.elapsed() >= PATIENT, "{:?}", begun.elapsed());
    // By the close of its own peer, or of the one that it asked, whichever comes first.
    let told = next(&sights);
    assert!([Err(closed("ada")), Err(peer_closed("inbox"))].contains(&told), "{told:?}");
}

#[test]
fn a_message_that_is_sent_on_for_ever_ends_at_half_the_timeout() {
    let kitchen = kitchen();
    kitchen.spawn_with("ada", PeerOptions::new().on_message(pass_on("bob"))).unwrap();
    let bob = kitchen.spawn_with("bob", PeerOptions::new().on_message(pass_on("ada"))).unwrap();
    for _ in 0..4 {
        bob.tell("ada", "ball", u64::MAX.to_string(), NOW).unwrap();
    }
    let begun = Instant::now();
    assert_eq!(shut_down(&kitchen, PATIENT), Ok(Ended::Yes));
    assert!(begun.elapsed() >= PATIENT / 2);
}

#[test]
fn an_idle_system_ends_at_once() {
    let kitchen = kitchen();
    let options = || PeerOptions::new().on_message(|_, _| Ok(()));
    (0..20).for_each(|number| drop(kitchen.spawn_with(&format!("idle{number}"), options()).unwrap()));
    let begun = Instant::now();
    assert_eq!(shut_down(&kitchen, Duration::from_secs(60)), Ok(Ended::Yes));
    assert!(begun.elapsed() < LONG);
    assert_eq!(shut_down(&self::kitchen(), Duration::MAX), Ok(Ended::Yes));
}

#[test]
fn a_timeout_of_0_closes_all_at_once_and_ends_the_first_phase_of_another() {
    let (kitchen, gate) = (kitchen(), Gate::new());
    let bob = kitchen.spawn("bob").unwrap();
    let ada = kitchen.spawn_with("ada", gated(&gate)).unwrap();
    (0..3).for_each(|_| bob.tell("ada", "wait", "", NOW).unwrap());
    gate.await_arrival();
    let ending = shutting(&kitchen);
    assert_eq!(kitchen.dead_letters().unwrap().count, 0);
    assert_eq!(shut_down(&kitchen, NOW), Ok(Ended::StillRunning));
    // For one alone; the others are dead letters by the end. It may be the other shutdown that buries them.
    gate.open();
    assert_eq!((ending.result(), ada.close(LONG)), (Ok(Ended::Yes), Ok(Ended::Yes)));
    assert_eq!(kitchen.dead_letters().unwrap().count, 2);
}

#[test]
fn a_peer_that_closes_meanwhile_is_waited_for_with_what_its_last_handlers_send() {
    let (kitchen, gate) = (kitchen(), Gate::new());
    let (seen, sights) = unbounded();
    let options = PeerOptions::new().on_message(move |_, message| Ok(seen.send(message.kind().to_owned())?));
    kitchen.spawn_with("bob", options).unwrap();
    let held = gate.clone();
    let options = PeerOptions::new().on_stop(move |ada| {
        held.pass();
        ada.try_tell("bob", "bye", "").unwrap();
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    assert_eq!(ada.close(NOW), Ok(Ended::StillRunning));
    gate.await_arrival();
    let ending = shutting(&kitchen);
    assert!(ending.is_waiting());
    gate.open();
    assert_eq!((ending.result(), next(&sights).as_str()), (Ok(Ended::Yes), "bye"));
}

/// A peer whose handler shuts the system down.
fn shutting_peer(kitchen: &Kitchen, timeout: Duration) -> Peer {
    let system = kitchen.clone();
    let options = PeerOptions::new().on_message(move |_, _| match shut_down(&system, timeout)? {
        Ended::Deferred => Ok(()),
        other => Err(potluck::HandlerError::failed(format!("{other:?}"))),
    });
    kitchen.spawn_with("shutting", options).unwrap()
}

#[test]
fn from_a_handler_the_first_phase_goes_on_after_it() {
    for round in 0..100 {
        let kitchen = kitchen();
        let events = kitchen.events(1_000).unwrap();
        kitchen.spawn_with("ada", PeerOptions::new().on_message(pass_on("bob"))).unwrap();
        let bob = kitchen.spawn_with("bob", PeerOptions::new().on_message(pass_on("ada"))).unwrap();
        let shutting = shutting_peer(&kitchen, LONG);
        bob.tell("ada", "ball", round.to_string(), NOW).unwrap();
        shutting.tell("shutting", "go", "", NOW).unwrap();
        // Nobody calls it from outside: it ends by itself.
        let last = std::iter::from_fn(|| Some(events.next(LONG))).find(Result::is_err);
        assert_eq!(last, Some(Err(closed("kitchen"))), "round {round}");
        assert_eq!(kitchen.dead_letters().unwrap().count, 0, "round {round}");
        assert_eq!(bob.tell("ada", "late", "", NOW), Err(closed("bob")));
        assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
    }
}

#[test]
fn from_a_handler_all_is_closed_at_half_the_timeout_whatever_the_others_do() {
    let kitchen = kitchen();
    let inbox = kitchen.spawn("inbox").unwrap();
    let (seen, sights) = unbounded();
    let options =
        PeerOptions::new().on_message(move |ada, _| Ok(seen.send(ada.ask("inbox", "who?", "", LONG).map(drop))?));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.tell("ada", "go", "", NOW).unwrap();
    let _asked = inbox.receive(LONG).unwrap();
    kitchen.spawn_with("bob", PeerOptions::new().on_message(pass_on("bob"))).unwrap();
    ada.tell("bob", "ball", u64::MAX.to_string(), NOW).unwrap();
    let shutting = shutting_peer(&kitchen, PATIENT);
    let begun = Instant::now();
    shutting.tell("shutting", "go", "", NOW).unwrap();
    let told = next(&sights);
    assert!([Err(closed("ada")), Err(peer_closed("inbox"))].contains(&told), "{told:?}");
    assert!(begun.elapsed() >= PATIENT / 2, "{:?}", begun.elapsed());
    assert_eq!(shutting.close(LONG), Ok(Ended::Yes));
}

#[test]
fn from_a_handler_whose_peer_is_closed_meanwhile_all_is_closed_when_that_has_ended() {
    let (kitchen, gate) = (kitchen(), Gate::new());
    let (system, held) = (kitchen.clone(), gate.clone());
    let options = PeerOptions::new().on_message(move |_, _| {
        assert_eq!(shut_down(&system, LONG), Ok(Ended::Deferred));
        held.pass();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn_with("bob", gated(&gate)).unwrap();
    bob.tell("bob", "wait", "", NOW).unwrap();
    gate.await_arrival();
    ada.tell("ada", "go", "", NOW).unwrap();
    gate.await_arrival();
    assert_eq!(ada.close(NOW), Ok(Ended::StillRunning));
    (0..2).for_each(|_| gate.open());
    assert_eq!((ada.close(LONG), bob.close(LONG)), (Ok(Ended::Yes), Ok(Ended::Yes)));
}

#[test]
fn a_handler_of_another_system_that_waits_for_it_ends_with_its_own_peer() {
    let (here, there, gate) = (kitchen(), kitchen_named("there"), Gate::new());
    let busy = there.spawn_with("busy", gated(&gate)).unwrap();
    busy.tell("busy", "wait", "", NOW).unwrap();
    gate.await_arrival();
    let (seen, sights) = unbounded();
    let system = there.clone();
    let options = PeerOptions::new().on_message(move |_, _| Ok(seen.send(shut_down(&system, LONG))?));
    let ada = here.spawn_with("ada", options).unwrap();
    ada.tell("ada", "go", "", NOW).unwrap();
    let deadline = Instant::now() + LONG;
    while here.snapshot().unwrap().peers[0].doing() != "on_message \"go\" from \"ada\", waiting in shutdown" {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!(next(&sights), Err(Error::Closed { name: "ada".into() }));
    gate.open();
    assert_eq!(busy.close(LONG), Ok(Ended::Yes));
}
