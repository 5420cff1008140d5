//! Peers whose threads are made on demand: what each call promises then. That there is no thread before is in `guest::alone`; that all
//! else stays as it is shows a second run of this suite, in which `support` opens every system so.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use potluck::{Ended, Error, Event, Peer, PeerOptions, PeerSystem, SystemOptions};

use crate::support::{Dropped, LONG, NOW, body_that, drain, host, next, no_such_peer, peer_closed, refused, shut_down};

fn lazy_kitchen() -> PeerSystem {
    PeerSystem::open_with("kitchen", SystemOptions::new().lazy_threads(true)).unwrap()
}

fn name_of_thread() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

/// Handlers that own one datum each, and have never run.
fn owning(data: [Dropped; 4]) -> PeerOptions {
    let [a, b, c, d] = data;
    let options = PeerOptions::new().on_message(move |_, _| {
        a.touch();
        Ok(())
    });
    let options = options.on_request(move |_, _, _| {
        b.touch();
        Ok(())
    });
    let options = options.on_offer(move |_, _, _| {
        c.touch();
        Ok(())
    });
    options.on_received(move |_, _, _| d.touch())
}

#[test]
fn each_kind_of_work_finds_a_thread_named_after_the_peer() {
    let kitchen = lazy_kitchen();
    let (said, says) = crossbeam_channel::unbounded();
    let say = |what: &'static str| {
        let said = said.clone();
        move || said.send((what, name_of_thread())).unwrap()
    };
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "tomato").unwrap();
    let run = say("on_message");
    let message = move |_: &Peer, message: &potluck::Message| {
        run();
        if message.is_ask() { Ok(message.reply("salt")?) } else { Ok(()) }
    };
    kitchen.spawn_with("told", PeerOptions::new().on_message(message.clone())).unwrap();
    kitchen.spawn_with("asked", PeerOptions::new().on_message(message)).unwrap();
    let run = say("on_request");
    let options = PeerOptions::new().on_request(move |peer, _, name| {
        run();
        peer.share(name, "bread")?;
        Ok(())
    });
    kitchen.spawn_with("requested", options).unwrap();
    let run = say("on_offer");
    let options = PeerOptions::new().on_offer(move |_, _, _| {
        run();
        Ok(())
    });
    kitchen.spawn_with("offered", options).unwrap();
    let run = say("on_received");
    kitchen.spawn_with("given", PeerOptions::new().on_received(move |_, _, _| run())).unwrap();
    let run = say("on_stop");
    let stopped = kitchen.spawn_with("stopped", PeerOptions::new().on_stop(move |_| run())).unwrap();

    bob.tell("told", "hello", "", NOW).unwrap();
    assert_eq!(next(&says), ("on_message", "potluck:told".to_owned()));
    assert_eq!(bob.ask("asked", "taste", "", LONG).unwrap().bytes(), b"salt");
    assert_eq!(next(&says), ("on_message", "potluck:asked".to_owned()));
    assert_eq!(bob.request("requested", "loaf", LONG).unwrap().bytes(), b"bread");
    assert_eq!(next(&says), ("on_request", "potluck:requested".to_owned()));
    bob.offer("offered", "soup", LONG).unwrap();
    assert_eq!(next(&says), ("on_offer", "potluck:offered".to_owned()));
    bob.offer("given", "soup", NOW).unwrap();
    assert_eq!(next(&says), ("on_received", "potluck:given".to_owned()));
    assert_eq!(stopped.close(LONG), Ok(Ended::Yes));
    assert_eq!(says.try_recv(), Ok(("on_stop", "potluck:stopped".to_owned())));
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn the_close_of_a_peer_without_a_thread_is_a_barrier_and_takes_no_time() {
    let kitchen = lazy_kitchen();
    let events = kitchen.events(10).unwrap();
    let (first, count) = Dropped::new();
    let data = [first, Dropped(Arc::clone(&count)), Dropped(Arc::clone(&count)), Dropped(Arc::clone(&count))];
    let ada = kitchen.spawn_with("ada", owning(data)).unwrap();
    ada.share("soup", "tomato").unwrap();
    assert_eq!(ada.close(NOW), Ok(Ended::Yes));
    assert_eq!(count.load(Ordering::SeqCst), 4);
    assert!(ada.has_ended());
    assert_eq!((kitchen.holders("soup").unwrap().len(), kitchen.peers().unwrap().len()), (0, 0));
    let seen = drain(&events);
    assert_eq!(seen, [Event::Joined { peer: "ada".into() }, Event::Left { peer: "ada".into() }]);
    assert_eq!(ada.close(NOW), Ok(Ended::Yes), "again");
    let bob = kitchen.spawn("bob").unwrap();
    assert_eq!(bob.request("ada", "soup", NOW).unwrap_err(), no_such_peer("ada"));
    kitchen.spawn("ada").unwrap();
}

#[test]
fn what_lies_in_an_inbox_without_a_thread_is_buried_and_answered() {
    let kitchen = lazy_kitchen();
    let events = kitchen.events(10).unwrap();
    let (ada, bob) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("bob").unwrap());
    let asker = bob.clone();
    bob.tell("ada", "first", "", NOW).unwrap();
    let kept = host(move || asker.ask("ada", "kept", "", LONG));
    assert_eq!(ada.receive(LONG).unwrap().kind(), "first");
    let message = ada.receive(LONG).unwrap();
    bob.tell("ada", "queued", "", NOW).unwrap();
    let asker = bob.clone();
    let asked = host(move || asker.ask("ada", "asked", "", LONG)).waiting();
    let receiver = kitchen.spawn("eve").unwrap();
    let eve = receiver.clone();
    let receives = host(move || eve.receive(LONG).map(drop)).waiting();
    assert_eq!(receiver.close(NOW), Ok(Ended::Yes));
    assert_eq!(receives.result(), Err(Error::Closed { name: "eve".to_owned() }));
    assert_eq!(ada.close(NOW), Ok(Ended::Yes));
    assert_eq!(kept.result().unwrap_err(), peer_closed("ada"));
    assert_eq!(asked.result().unwrap_err(), peer_closed("ada"));
    assert_eq!(message.reply("late"), Err(Error::Canceled));
    let dead = kitchen.dead_letters().unwrap();
    let kinds: Vec<&str> = dead.newest.iter().map(|letter| &*letter.kind).collect();
    assert_eq!((dead.count, kinds), (2, vec!["queued", "asked"]));
    let last = drain(&events).pop();
    assert_eq!(last, Some(Event::Left { peer: "ada".into() }), "after the dead letters");
}

#[test]
fn a_handler_closes_a_peer_that_has_no_thread() {
    let kitchen = lazy_kitchen();
    let (done, results) = crossbeam_channel::unbounded();
    let victim = kitchen.spawn("bob").unwrap();
    let options = PeerOptions::new().on_message(move |peer, _| {
        done.send((victim.close(LONG), peer.get("soup").map(drop))).unwrap();
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.share("soup", "tomato").unwrap();
    ada.tell("ada", "go", "", NOW).unwrap();
    assert_eq!(next(&results), (Ok(Ended::Yes), Ok(())), "and the handler is its own peer's again");
    assert_eq!(kitchen.peers().unwrap(), ["ada"]);
}

#[test]
fn a_destructor_may_close_and_shut_down_what_it_ends_with() {
    let kitchen = lazy_kitchen();
    let (done, results) = crossbeam_channel::unbounded();
    let (own, all) = (Arc::new(std::sync::OnceLock::<Peer>::new()), kitchen.clone());
    let its = Arc::clone(&own);
    let dropped = body_that(move || {
        let peer = its.get().unwrap();
        let waits = peer.receive(LONG).map(drop);
        done.send((peer.close(LONG), all.shutdown(LONG).map(|report| report.ended), waits)).unwrap();
    });
    let options = PeerOptions::new().on_request(move |_, _, _| {
        let _ = &dropped;
        Ok(())
    });
    own.set(kitchen.spawn_with("ada", options).unwrap()).unwrap();
    let ada = own.get().unwrap().clone();
    let closing = host(move || ada.close(LONG));
    let waits = Err(Error::Closed { name: "ada".to_owned() });
    assert_eq!(next(&results), (Ok(Ended::Deferred), Ok(Ended::Deferred), waits));
    assert_eq!(closing.result(), Ok(Ended::Yes));
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn a_shutdown_counts_peers_without_a_thread_as_at_rest() {
    let kitchen = lazy_kitchen();
    let (cook, cooks) = crossbeam_channel::unbounded();
    let options = PeerOptions::new().on_message(move |peer, message| {
        // The last of a chain is the first message of a peer that had no thread when the shutdown began.
        if let Some(rest) = message.kind().strip_prefix("on to ") {
            peer.tell(rest, "cook", "", LONG)?;
        }
        cook.send(peer.name().to_owned())?;
        Ok(())
    });
    let options = [options, PeerOptions::new().on_message(|_, _| Ok(()))];
    for (name, options) in ["ada", "bob"].into_iter().zip(options) {
        kitchen.spawn_with(name, options).unwrap();
    }
    (0..100).for_each(|number| drop(kitchen.spawn(&format!("guest{number}")).unwrap()));
    let guest = kitchen.spawn("guest").unwrap();
    guest.tell("ada", "on to bob", "", NOW).unwrap();
    // Half of it would be longer than the test may take.
    assert_eq!(shut_down(&kitchen, 100 * LONG), Ok(Ended::Yes));
    assert_eq!((next(&cooks).as_str(), kitchen.dead_letters().unwrap().count), ("ada", 0));
}

#[test]
fn callers_that_need_the_thread_at_once_make_one() {
    const CALLERS: usize = 4;
    for _ in 0..50 {
        let kitchen = lazy_kitchen();
        let (seen, threads) = crossbeam_channel::unbounded();
        let options = PeerOptions::new().on_message(move |_, message| {
            seen.send(thread::current().id()).unwrap();
            Ok(message.reply("")?)
        });
        kitchen.spawn_with("ada", options).unwrap();
        let barrier = Arc::new(Barrier::new(CALLERS));
        let callers = (0..CALLERS).map(|number| {
            let (peer, barrier) = (kitchen.spawn(&format!("caller{number}")).unwrap(), Arc::clone(&barrier));
            host(move || {
                barrier.wait();
                peer.ask("ada", "first", "", LONG).map(drop)
            })
        });
        let callers: Vec<_> = callers.collect();
        for caller in callers {
            assert_eq!(caller.result(), Ok(()));
        }
        let mut seen: Vec<_> = threads.try_iter().collect();
        assert_eq!(seen.len(), CALLERS);
        seen.dedup();
        assert_eq!(seen.len(), 1);
    }
}

#[test]
fn a_first_message_and_a_close_at_once_lose_nothing() {
    for round in 0..200 {
        let kitchen = lazy_kitchen();
        let handled = Arc::new(AtomicUsize::new(0));
        let (data, dropped) = Dropped::new();
        let (counts, is_over) = (Arc::clone(&handled), Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&is_over);
        let options = PeerOptions::new().on_message(move |_, _| {
            data.touch();
            assert!(!over.load(Ordering::SeqCst), "no handler runs after the close");
            counts.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        let ada = kitchen.spawn_with("ada", options).unwrap();
        let (bob, eve) = (kitchen.spawn("bob").unwrap(), kitchen.spawn("eve").unwrap());
        let barrier = Arc::new(Barrier::new(3));
        let tells = [bob, eve].map(|peer| {
            let barrier = Arc::clone(&barrier);
            host(move || {
                barrier.wait();
                peer.tell("ada", "first", "", LONG)
            })
        });
        barrier.wait();
        assert_eq!(ada.close(LONG), Ok(Ended::Yes), "round {round}");
        is_over.store(true, Ordering::SeqCst);
        assert_eq!(dropped.load(Ordering::SeqCst), 1, "round {round}");
        let accepted = tells.into_iter().map(crate::support::Host::result).filter(|result| match result {
            Ok(()) => true,
            Err(error) => {
                assert!([peer_closed("ada"), no_such_peer("ada")].contains(error), "{error:?}");
                false
            }
        });
        let accepted = accepted.count();
        let dead = usize::try_from(kitchen.dead_letters().unwrap().count).unwrap();
        assert_eq!(handled.load(Ordering::SeqCst) + dead, accepted, "round {round}");
    }
}

#[test]
fn an_inbox_that_closes_while_letters_come_and_go_ends_by_itself() {
    for round in 0..200 {
        let kitchen = lazy_kitchen();
        let (ada, bob) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("bob").unwrap());
        let barrier = Arc::new(Barrier::new(3));
        let (its, receiver) = (Arc::clone(&barrier), ada.clone());
        let receives = host(move || {
            its.wait();
            std::iter::from_fn(|| receiver.receive(LONG).ok()).count()
        });
        let its = Arc::clone(&barrier);
        let tells = host(move || {
            its.wait();
            std::iter::from_fn(|| bob.tell("ada", "hello", "", NOW).ok()).take(1000).count()
        });
        barrier.wait();
        // Nobody waits for the end; whoever has the last letter sees to it.
        ada.close(NOW).unwrap();
        let (told, received) = (tells.result(), receives.result());
        assert!(ada.has_ended(), "round {round}");
        assert_eq!(ada.close(NOW), Ok(Ended::Yes));
        let dead = usize::try_from(kitchen.dead_letters().unwrap().count).unwrap();
        assert_eq!(received + dead, told, "round {round}");
    }
}

#[test]
fn offers_that_crowd_a_peer_without_a_thread_all_come_in() {
    const CALLERS: usize = 4;
    const OFFERS: usize = 300;
    let kitchen = lazy_kitchen();
    let ada = kitchen.spawn("ada").unwrap();
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let peer = kitchen.spawn(&format!("caller{number}")).unwrap();
            host(move || {
                for round in 0..OFFERS {
                    let name = format!("soup{number}");
                    peer.share(&name, round.to_string()).unwrap();
                    peer.offer("ada", &name, LONG).unwrap();
                }
            })
        })
        .collect();
    callers.into_iter().for_each(crate::support::Host::result);
    let held: Vec<u64> = ada.resources().unwrap().iter().map(potluck::Resource::version).collect();
    assert_eq!(held, [OFFERS as u64; CALLERS]);
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
}

#[test]
fn a_fetch_goes_on_to_the_handlers_of_a_peer_that_had_no_thread() {
    let kitchen = lazy_kitchen();
    for number in 0..4 {
        let options = PeerOptions::new().on_request(move |_, _, _| match number {
            3 => Ok(()),
            _ => Err(potluck::HandlerError::refused("mine")),
        });
        let peer = kitchen.spawn_with(&format!("holder{number}"), options).unwrap();
        peer.share("soup", number.to_string()).unwrap();
    }
    let bob = kitchen.spawn("bob").unwrap();
    assert_eq!(bob.fetch("soup", LONG).unwrap().bytes(), b"3");
    assert_eq!(bob.request("holder0", "soup", LONG).unwrap_err(), refused("holder0", "mine"));
}

#[test]
fn dropping_the_system_drops_the_handlers_of_peers_without_a_thread() {
    let (data, dropped) = Dropped::new();
    let kitchen = lazy_kitchen();
    let options = PeerOptions::new().on_offer(move |_, _, _| {
        data.touch();
        Ok(())
    });
    kitchen.spawn_with("ada", options).unwrap();
    drop(kitchen);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}
