//! Rings of waits fail at once with the names on the ring; chains never do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::unbounded;
use parking_lot::Mutex;
use potluck::{Call, Ended, Error, HandlerResult, Message, Peer, PeerOptions};

use crate::support::{Gate, LONG, NOW, await_doing, body_that, host, kitchen, next, shut_down};

fn deadlock(ring: &[&str]) -> Error {
    Error::Deadlock { ring: ring.iter().map(|&name| name.to_owned()).collect() }
}

/// Answers with what an ask of the same kind to the next peer gives, or with its error.
fn passes_on(to: &'static str) -> impl FnMut(&Peer, &Message) -> HandlerResult + Send + 'static {
    move |peer, message| {
        let text = match peer.ask(to, message.kind(), "", LONG) {
            Ok(answer) => format!("{} <- {}", peer.name(), String::from_utf8_lossy(answer.bytes())),
            Err(error) => format!("{}: {error}", peer.name()),
        };
        Ok(message.reply(text)?)
    }
}

#[test]
fn a_ring_of_asks_of_any_length_fails_at_once_where_it_would_close() {
    for length in 2..6 {
        let kitchen = kitchen();
        let names: Vec<&'static str> = ["a", "b", "c", "d", "e"][..length].to_vec();
        for (i, name) in names.iter().enumerate() {
            let to = names[(i + 1) % length];
            kitchen.spawn_with(name, PeerOptions::new().on_message(passes_on(to))).unwrap();
        }
        let guest = kitchen.spawn("guest").unwrap();
        let answer = guest.ask("a", "round", "", LONG).unwrap();
        let text = String::from_utf8_lossy(answer.bytes()).into_owned();
        let last = names[length - 1];
        let mut ring = vec![last];
        ring.extend(&names);
        assert!(text.ends_with(&format!("{last}: deadlock: {}", ring.join(" -> "))), "{text}");
        assert!(text.starts_with("a <- "), "the others go on: {text}");
        assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
    }
}

#[test]
fn a_chain_that_is_no_ring_never_fails() {
    let kitchen = kitchen();
    for (name, to) in [("a", "b"), ("b", "c"), ("c", "d")] {
        kitchen.spawn_with(name, PeerOptions::new().on_message(passes_on(to))).unwrap();
    }
    kitchen.spawn_with("d", PeerOptions::new().on_message(|_, message| Ok(message.reply("end")?))).unwrap();
    let guests: Vec<Peer> = (0..3).map(|i| kitchen.spawn(&format!("guest{i}")).unwrap()).collect();
    let hosts: Vec<_> = guests
        .into_iter()
        .enumerate()
        .map(|(i, guest)| {
            host(move || {
                for _ in 0..200 {
                    let at = ["a", "b", "c"][i];
                    let answer = guest.ask(at, "down", "", LONG).unwrap();
                    assert!(answer.bytes().ends_with(b"end"), "{answer:?}");
                }
            })
        })
        .collect();
    hosts.into_iter().for_each(|host| host.result_within(3 * LONG));
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn right_after_an_answer_the_two_may_change_sides() {
    // ada's handler answers bob's and then asks bob back: bob's handler waits for ada no more, however slowly it wakes up.
    let kitchen = kitchen();
    let (results, result) = unbounded();
    let ada = PeerOptions::new().on_message(move |peer, message| {
        message.reply("yours")?;
        results.send(peer.ask("bob", "back", "", LONG).map(drop)).unwrap();
        Ok(())
    });
    kitchen.spawn_with("ada", ada).unwrap();
    let bob = PeerOptions::new().on_message(|peer, message| {
        if message.kind() == "go" {
            peer.ask("ada", "hello", "", LONG)?;
        }
        Ok(message.reply("mine")?)
    });
    kitchen.spawn_with("bob", bob).unwrap();
    let guest = kitchen.spawn("guest").unwrap();
    for round in 0..500 {
        guest.ask("bob", "go", "", LONG).unwrap();
        assert_eq!(next(&result), Ok(()), "round {round}");
    }
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn what_fails_for_a_ring_was_never_sent() {
    let kitchen = kitchen();
    let handled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&handled);
    let ada = PeerOptions::new().on_message(move |peer, message| {
        count.fetch_add(1, Ordering::SeqCst);
        peer.ask("bob", "through", "", LONG)?;
        Ok(message.reply("done")?)
    });
    kitchen.spawn_with("ada", ada).unwrap();
    let bob = PeerOptions::new().on_message(|peer, message| {
        assert_eq!(peer.ask("ada", "back", "", LONG).unwrap_err(), deadlock(&["bob", "ada", "bob"]));
        Ok(message.reply("no")?)
    });
    kitchen.spawn_with("bob", bob).unwrap();
    let guest = kitchen.spawn("guest").unwrap();
    guest.ask("ada", "start", "", LONG).unwrap();
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
    assert_eq!(handled.load(Ordering::SeqCst), 1);
}

#[test]
fn rings_are_found_through_requests_offers_and_exchanges_that_need_handlers() {
    for verb in ["request", "offer", "exchange"] {
        let kitchen = kitchen();
        let (results, result) = unbounded();
        // bob's vote goes back to ada, whose handler waits for it.
        let vote = move |peer: &Peer| {
            results.send(peer.ask("ada", "may I?", "", LONG).unwrap_err()).unwrap();
            Ok(())
        };
        let vote = Arc::new(Mutex::new(vote));
        let on_offer = Arc::clone(&vote);
        let options = if verb == "offer" {
            PeerOptions::new().on_offer(move |peer, _, _| on_offer.lock()(peer))
        } else {
            PeerOptions::new().on_request(move |peer, _, _| vote.lock()(peer))
        };
        let bob = kitchen.spawn_with("bob", options).unwrap();
        let ada = PeerOptions::new().on_message(move |peer, message| {
            match verb {
                "request" => drop(peer.request("bob", "soup", LONG)?),
                "offer" => peer.offer("bob", "soup", LONG)?,
                _ => drop(peer.exchange("bob", "soup", LONG)?),
            }
            Ok(message.reply("done")?)
        });
        let ada = kitchen.spawn_with("ada", ada).unwrap();
        ada.share("soup", "of ada").unwrap();
        bob.share("soup", "of bob").unwrap();
        let guest = kitchen.spawn("guest").unwrap();
        guest.ask("ada", "go", "", LONG).unwrap();
        assert_eq!(next(&result), deadlock(&["bob", "ada", "bob"]), "{verb}");
        assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
    }
}

#[test]
fn a_ring_is_found_through_an_own_earlier_tell() {
    // ada tells bob, then reads from bob, which waits for that tell; its handler asks ada: the ring closes there, or, if bob
    // was faster, at ada's read.
    let kitchen = kitchen();
    let gate = Gate::new();
    let (results, result) = unbounded();
    let (inside, told) = (gate.clone(), results.clone());
    let bob = PeerOptions::new().on_message(move |peer, _| {
        inside.pass();
        told.send(peer.ask("ada", "back", "", LONG).map(drop)).unwrap();
        Ok(())
    });
    let bob = kitchen.spawn_with("bob", bob).unwrap();
    bob.share("soup", "tomato").unwrap();
    let ada = PeerOptions::new().on_message(move |peer, message| {
        if message.kind() == "go" {
            peer.tell("bob", "first", "", LONG)?;
            results.send(peer.request("bob", "soup", LONG).map(drop)).unwrap();
        }
        Ok(message.reply("done")?)
    });
    kitchen.spawn_with("ada", ada).unwrap();
    let guest = kitchen.spawn("guest").unwrap();
    let go = host(move || guest.ask("ada", "go", "", LONG).map(drop));
    gate.await_arrival();
    let go = go.waiting();
    gate.open();
    assert_eq!(go.result(), Ok(()));
    let (first, second) = (next(&result), next(&result));
    let failed: Vec<_> = [first, second].into_iter().filter_map(Result::err).collect();
    let [error] = failed.as_slice() else { panic!("one of the two closes the ring: {failed:?}") };
    assert!([deadlock(&["bob", "ada", "bob"]), deadlock(&["ada", "bob", "ada"])].contains(error), "{error}");
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn a_ring_is_found_through_full_mailboxes() {
    // Each handler fills the other's mailbox of one message and waits for room there.
    let kitchen = kitchen();
    let (arrivals, arrival) = unbounded();
    let (results, result) = unbounded();
    let gates = [Gate::new(), Gate::new()];
    let fills = |to: &'static str| {
        let (arrivals, results, gates) = (arrivals.clone(), results.clone(), gates.clone());
        move |peer: &Peer, message: &Message| {
            if message.kind() == "fill" {
                gates[0].pass();
                arrivals.send(peer.try_tell(to, "first", "")).unwrap();
                gates[1].pass();
                results.send(peer.tell(to, "second", "", LONG)).unwrap();
            }
            Ok(())
        }
    };
    for (name, to) in [("ada", "bob"), ("bob", "ada")] {
        let options = PeerOptions::new().mailbox_messages_max(1).on_message(fills(to));
        kitchen.spawn_with(name, options).unwrap();
    }
    let guest = kitchen.spawn("guest").unwrap();
    guest.tell("ada", "fill", "", LONG).unwrap();
    guest.tell("bob", "fill", "", LONG).unwrap();
    // Both messages have been taken out; then both mailboxes are full; then both wait for room.
    for gate in gates {
        gate.await_arrival();
        gate.await_arrival();
        gate.open();
        gate.open();
    }
    assert_eq!((next(&arrival), next(&arrival)), (Ok(()), Ok(())));
    // One closes the ring and fails; then its handler returns, which makes the room that the other waits for.
    let (first, second) = (next(&result), next(&result));
    let error = first.unwrap_err();
    assert!([deadlock(&["bob", "ada", "bob"]), deadlock(&["ada", "bob", "ada"])].contains(&error), "{error}");
    assert_eq!(second, Ok(()));
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn a_handler_that_waits_for_room_in_its_own_full_mailbox_closes_a_ring_of_one() {
    let kitchen = kitchen();
    let (results, result) = unbounded();
    let ada = PeerOptions::new().mailbox_messages_max(1).on_message(move |peer, message| {
        if message.kind() == "go" {
            peer.try_tell("ada", "first", "")?;
            results.send(peer.tell("ada", "second", "", LONG)).unwrap();
        }
        Ok(())
    });
    kitchen.spawn_with("ada", ada).unwrap();
    kitchen.spawn("guest").unwrap().tell("ada", "go", "", LONG).unwrap();
    assert_eq!(next(&result), Err(deadlock(&["ada", "ada"])));
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn a_message_that_was_kept_is_no_link() {
    // ada's handler waits for an answer that bob has kept: a later handler of bob may wait for ada, since anybody may answer.
    let kitchen = kitchen();
    let (kept, keeps) = unbounded();
    let bob = PeerOptions::new().on_message(move |peer, message| {
        match message.kind() {
            "later" => kept.send(message.keep()).unwrap(),
            _ => message.reply(peer.ask("ada", "you?", "", LONG)?.body())?,
        }
        Ok(())
    });
    kitchen.spawn_with("bob", bob).unwrap();
    let ada = PeerOptions::new().on_message(|peer, message| {
        if message.kind() == "go" {
            peer.ask("bob", "later", "", LONG)?;
        }
        Ok(message.reply("me")?)
    });
    kitchen.spawn_with("ada", ada).unwrap();
    let (first, second) = (kitchen.spawn("first").unwrap(), kitchen.spawn("second").unwrap());
    let go = host(move || first.ask("ada", "go", "", LONG).map(drop));
    let message = next(&keeps);
    let through = host(move || second.ask("bob", "through", "", LONG).map(|answer| answer.body())).waiting();
    assert!(through.is_waiting());
    message.reply("now").unwrap();
    assert_eq!(go.result(), Ok(()));
    assert_eq!(through.result().unwrap(), "me");
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn a_thread_of_the_host_that_acts_as_a_peer_closes_no_ring() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let inside = gate.clone();
    let bob = PeerOptions::new().on_message(move |peer, message| {
        if message.kind() == "slow" {
            inside.pass();
            return Ok(message.reply(peer.ask("ada", "you?", "", LONG)?.body())?);
        }
        Ok(message.reply("bob")?)
    });
    kitchen.spawn_with("bob", bob).unwrap();
    let ada = kitchen.spawn_with("ada", PeerOptions::new().on_message(|_, message| Ok(message.reply("me")?))).unwrap();
    // ada waits for bob, but not in a handler: her own thread answers.
    let ask = host(move || ada.ask("bob", "slow", "", LONG).map(|answer| answer.body()));
    gate.await_arrival();
    gate.open();
    assert_eq!(ask.result().unwrap(), "me");
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn a_fetch_goes_on_from_a_holder_that_would_close_a_ring() {
    let kitchen = kitchen();
    let ada = PeerOptions::new()
        .on_message(|peer, message| {
            let got = peer.ask("bob", "fetch", "", LONG)?;
            Ok(message.reply(got.body())?)
        })
        .on_request(|_, _, _| Ok(()));
    let ada = kitchen.spawn_with("ada", ada).unwrap();
    let bob = PeerOptions::new().on_message(|peer, message| {
        let got = peer.fetch("soup", LONG)?;
        peer.unshare("soup")?;
        Ok(message.reply(got.body())?)
    });
    kitchen.spawn_with("bob", bob).unwrap();
    let eve = kitchen.spawn("eve").unwrap();
    ada.share("soup", "of ada").unwrap();
    eve.share("soup", "of eve").unwrap();
    // ada's vote would need her handler, which waits for bob: only eve can give it, whoever is tried first.
    for _ in 0..50 {
        assert_eq!(eve.ask("ada", "go", "", LONG).unwrap().bytes(), b"of eve");
    }
    eve.unshare("soup").unwrap();
    let error = eve.ask("ada", "go", "", LONG).unwrap_err();
    assert!(error.to_string().contains("deadlock: bob -> ada -> bob"), "{error}");
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn a_ring_that_a_close_breaks_leaves_nothing_behind() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let inside = gate.clone();
    let (results, result) = unbounded();
    let bob = PeerOptions::new().on_message(move |peer, message| {
        if message.kind() == "hold" {
            inside.pass();
        }
        // Whoever waited for this peer's handlers was told when it closed; nobody is on a ring with it any more.
        results.send(peer.try_tell("ada", "note", "")).unwrap();
        Ok(())
    });
    let bob = kitchen.spawn_with("bob", bob).unwrap();
    let ada = PeerOptions::new().on_message(|peer, message| {
        if message.kind() == "note" {
            return Ok(());
        }
        let text = match peer.ask("bob", "more", "", LONG) {
            Ok(answer) => answer.body(),
            Err(error) => error.to_string().into(),
        };
        Ok(message.reply(text)?)
    });
    kitchen.spawn_with("ada", ada).unwrap();
    let guest = kitchen.spawn("guest").unwrap();
    guest.tell("bob", "hold", "", LONG).unwrap();
    gate.await_arrival();
    let asker = guest.clone();
    let ask = host(move || asker.ask("ada", "go", "", LONG).map(|answer| answer.body())).waiting();
    assert_eq!(bob.close(std::time::Duration::ZERO), Ok(Ended::StillRunning));
    let text = String::from_utf8_lossy(&ask.result().unwrap()).into_owned();
    assert_eq!(text, "peer \"bob\" closed before the end of the call");
    gate.open();
    assert_eq!(next(&result), Ok(()));
    assert_eq!(bob.close(LONG), Ok(Ended::Yes));
    kitchen.spawn_with("bob", PeerOptions::new().on_message(passes_on("ada"))).unwrap();
    let answer = guest.ask("ada", "go", "", LONG).unwrap();
    assert_eq!(answer.bytes(), b"bob: deadlock: bob -> ada -> bob");
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn waiting_for_room_at_a_peer_without_on_message_closes_no_ring() {
    // ada's handler waits for room in bob's inbox, and a handler of bob for ada: who makes the room is whoever receives.
    let kitchen = kitchen();
    let gate = Gate::new();
    let (inside, first) = (gate.clone(), gate.clone());
    let bob = PeerOptions::new().mailbox_messages_max(1).on_request(move |peer, _, _| {
        inside.pass();
        peer.ask("ada", "you?", "", LONG)?;
        Ok(())
    });
    let bob = kitchen.spawn_with("bob", bob).unwrap();
    bob.share("soup", "tomato").unwrap();
    let ada = PeerOptions::new().on_message(move |peer, message| {
        if message.kind() == "go" {
            peer.try_tell("bob", "first", "")?;
            first.pass();
            peer.tell("bob", "second", "", LONG)?;
        }
        Ok(message.reply("me")?)
    });
    kitchen.spawn_with("ada", ada).unwrap();
    let (one, two) = (kitchen.spawn("one").unwrap(), kitchen.spawn("two").unwrap());
    let go = host(move || one.ask("ada", "go", "", LONG).map(drop));
    gate.await_arrival();
    let request = host(move || two.request("bob", "soup", LONG).map(|soup| soup.body()));
    gate.await_arrival();
    // Whoever of the two comes to wait first: neither is told of a ring.
    (0..2).for_each(|_| gate.open());
    let (go, request) = (go.waiting(), request.waiting());
    assert!(go.is_waiting() && request.is_waiting());
    assert_eq!(bob.receive(LONG).unwrap().kind(), "first");
    assert_eq!(go.result(), Ok(()));
    assert_eq!(request.result().unwrap(), "tomato");
    assert_eq!(bob.receive(LONG).unwrap().kind(), "second");
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn a_wait_for_a_call_that_was_canceled_is_no_link() {
    let kitchen = kitchen();
    let (gate, freed) = (Gate::new(), Gate::new());
    let held = gate.clone();
    let (seen, sees) = unbounded();
    let bob = PeerOptions::new().on_message(move |me, message| {
        if message.kind() == "hold" {
            held.pass();
            seen.send(me.ask("ada", "back", "", LONG).map(drop)).unwrap();
        }
        Ok(())
    });
    kitchen.spawn_with("bob", bob).unwrap();
    let (given, gives) = unbounded();
    let at_end = freed.clone();
    let ada = PeerOptions::new().on_message(move |me, message| {
        if message.kind() != "go" {
            return Ok(message.reply("here")?);
        }
        let at_end = at_end.clone();
        let call = Call::Ask { to: "bob", kind: "k", body: body_that(move || at_end.pass()) };
        let pending = Arc::new(me.start(call, LONG)?);
        given.send(Arc::clone(&pending)).unwrap();
        assert!(pending.wait(LONG).is_ready());
        Ok(())
    });
    kitchen.spawn_with("ada", ada).unwrap();
    let eve = kitchen.spawn("eve").unwrap();
    eve.tell("bob", "hold", "", NOW).unwrap();
    gate.await_arrival();
    eve.tell("ada", "go", "", NOW).unwrap();
    let pending = next(&gives);
    await_doing(&kitchen, "ada", "waiting in ask");
    let canceling = host(move || pending.cancel());
    freed.await_arrival();
    assert_eq!(kitchen.dead_letters().unwrap().count, 1, "it is canceled");
    gate.open();
    assert_eq!(next(&sees), Ok(()), "the wait was over");
    freed.open();
    canceling.result();
}
