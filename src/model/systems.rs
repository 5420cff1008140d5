//! Whole systems through the public API, each model a few peers and calls, on as many schedules as the time allows.
//!
//! A deadline comes after a random number of looks at the clock (`sync::checked`), so whatever has one may be given up at any step;
//! with [`FOREVER`] there is none, and a lost wake-up is a deadlock. Handlers note what they see: what is asserted, is asserted
//! by the model's own thread, since a handler's panic stays in its peer.

use std::task::Poll;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::mpsc;
use shuttle::{Config, MaxSteps, Runner};

use crate::sync::{Arc, JoinHandle, Mutex, ThreadBuilder};
use crate::{
    Bytes, Call, Ended, Error, Event, EventReader, HandlerError, Message, Peer, PeerOptions, PeerSystem, Resource,
    Result, SystemOptions,
};

const FOREVER: Duration = Duration::MAX;

/// Comes at any time.
const SOON: Duration = Duration::from_secs(1);

const CHANGES_OF_PRIORITY: usize = 4;

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Runs a model on random schedules, half of them by priorities, and then on some with threads on demand. The seed is shown when it fails.
fn explore(model: impl Fn(&PeerSystem) + Send + Sync + 'static) {
    let model = Arc::new(model);
    let again = Arc::clone(&model);
    explore_with(SystemOptions::new(), 1, move |kitchen| model(kitchen));
    explore_with(SystemOptions::new().lazy_threads(true), 4, move |kitchen| again(kitchen));
}

/// Runs a model of threads on demand.
fn explore_on_demand(model: impl Fn(&PeerSystem) + Send + Sync + 'static) {
    explore_with(SystemOptions::new().lazy_threads(true), 1, model);
}

/// With one in so many schedules.
fn explore_with(options: SystemOptions, one_in: usize, model: impl Fn(&PeerSystem) + Send + Sync + 'static) {
    let iterations = setting("MODEL_ITERATIONS").unwrap_or(6_000) as usize / one_in;
    let seed = setting("MODEL_SEED").unwrap_or_else(rand_seed);
    eprintln!("MODEL_SEED={seed}");
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.max_steps = MaxSteps::FailAfter(200_000);
    config.silence_warnings = true;
    let model = Arc::new(move || {
        let kitchen = PeerSystem::open_with("kitchen", options.clone()).unwrap();
        model(&kitchen);
        assert_eq!(kitchen.shutdown(FOREVER).map(|report| report.ended), Ok(Ended::Yes));
    });
    let again = Arc::clone(&model);
    Runner::new(RandomScheduler::new_from_seed(seed, iterations.div_ceil(2)), config.clone()).run(move || again());
    Runner::new(PctScheduler::new_from_seed(seed, CHANGES_OF_PRIORITY, iterations / 2), config).run(move || model());
}

fn rand_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

fn start<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    ThreadBuilder::new().spawn(run).unwrap()
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

fn pause() {
    shuttle::thread::yield_now();
}

/// What handlers saw, in order. Its lock is none of the checker's: writing something down is no step.
struct Notes<T>(Arc<parking_lot::Mutex<Vec<T>>>);

impl<T> Clone for Notes<T> {
    fn clone(&self) -> Notes<T> {
        Notes(Arc::clone(&self.0))
    }
}

impl<T: Clone + PartialEq> Notes<T> {
    fn new() -> Notes<T> {
        Notes(Arc::default())
    }

    fn add(&self, note: T) {
        self.0.lock().push(note);
    }

    fn all(&self) -> Vec<T> {
        self.0.lock().clone()
    }

    fn count(&self, note: &T) -> usize {
        self.0.lock().iter().filter(|other| *other == note).count()
    }
}

/// What is held: from whom, and which version.
fn held(peer: &Peer, name: &str) -> Option<(String, u64)> {
    peer.get(name).ok().map(|held| (held.origin().to_owned(), held.version()))
}

/// Makes a call in one of its two forms: waits in it, or starts it and waits for that, perhaps several times.
fn make(peer: &Peer, call: Call<'_>, timeout: Duration) -> Result<Option<Resource>> {
    if thread_rng().r#gen() {
        return match call {
            Call::Request { from, name } => peer.request(from, name, timeout).map(Some),
            Call::RequestNewer { from, name, than } => peer.request_newer(from, name, than, timeout),
            Call::Fetch { name } => peer.fetch(name, timeout).map(Some),
            Call::Offer { to, name } => peer.offer(to, name, timeout).map(|()| None),
            Call::Exchange { with, name } => peer.exchange(with, name, timeout).map(Some),
            Call::Tell { to, kind, body } => peer.tell(to, kind, body, timeout).map(|()| None),
            Call::Ask { to, kind, body } => peer.ask(to, kind, body, timeout).map(Some),
        };
    }
    let pending = peer.start(call, timeout)?;
    let mut wait = if thread_rng().r#gen() { SOON } else { FOREVER };
    loop {
        match pending.wait(wait) {
            Poll::Ready(result) => return result,
            Poll::Pending => wait = FOREVER,
        }
    }
}

fn ask(peer: &Peer, to: &str, kind: &str, timeout: Duration) -> Result<Resource> {
    make(peer, Call::Ask { to, kind, body: Bytes::new() }, timeout).map(Option::unwrap)
}

fn tell(peer: &Peer, to: &str, kind: &str, timeout: Duration) -> Result<()> {
    make(peer, Call::Tell { to, kind, body: Bytes::new() }, timeout).map(|none| assert!(none.is_none()))
}

/// Returns when all that the peer was told before has been handled.
fn settle(by: &Peer, peer: &str) {
    let _ = by.ask(peer, "settle", "", FOREVER);
}

/// The kinds of those there were; each comes before its peer has left.
fn dead_letters(events: &EventReader) -> Vec<String> {
    let (mut kinds, mut left) = (Vec::new(), Vec::new());
    loop {
        match events.next(Duration::ZERO) {
            Ok(Event::DeadLetter { kind, to, .. }) => {
                assert!(!left.contains(&to), "{kind} to {to} after it has left");
                kinds.push(kind.to_string());
            }
            Ok(Event::Left { peer }) => left.push(peer),
            Ok(_) => {}
            Err(_) => return kinds,
        }
    }
}

// Promise 2: order.

#[test]
fn what_a_peer_sends_takes_effect_in_the_order_sent() {
    explore(|kitchen| {
        let seen = Notes::new();
        let (heard, received) = (seen.clone(), seen.clone());
        let options = PeerOptions::new()
            .on_message(move |bob, message| {
                heard.add(message.kind().to_owned());
                pause();
                bob.share("last", message.kind().to_owned())?;
                Ok(())
            })
            .on_received(move |_, from, resource| received.add(format!("{from} {}", resource.name())));
        kitchen.spawn_with("bob", options).unwrap();
        let (ada, carl) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("carl").unwrap());
        ada.share("soup", "").unwrap();
        let other = start(move || {
            carl.tell("bob", "c", "", FOREVER).unwrap();
            assert!(carl.request("bob", "last", FOREVER).is_ok(), "a request overtook its own tell");
        });
        ada.tell("bob", "1", "", FOREVER).unwrap();
        ada.offer("bob", "soup", FOREVER).unwrap();
        ada.tell("bob", "2", "", FOREVER).unwrap();
        ada.tell("bob", "3", "", FOREVER).unwrap();
        let last = ada.request("bob", "last", FOREVER).unwrap();
        assert!(last.bytes() == b"3" || last.bytes() == b"c", "a request overtook its own tell");
        other.join().unwrap();
        let of_ada: Vec<String> = seen.all().into_iter().filter(|note| note != "c").collect();
        assert_eq!(of_ada, ["1", "ada soup", "2", "3"]);
    });
}

#[test]
fn operations_that_ask_handlers_stay_in_order_with_messages() {
    explore(|kitchen| {
        let seen = Notes::new();
        let (heard, asked, offered) = (seen.clone(), seen.clone(), seen.clone());
        let options = PeerOptions::new()
            .on_message(move |_, message| {
                heard.add(message.kind().to_owned());
                Ok(())
            })
            .on_request(move |_, from, _| {
                asked.add(format!("{from} requests"));
                Ok(())
            })
            .on_offer(move |_, from, _| {
                offered.add(format!("{from} offers"));
                Ok(())
            });
        let bob = kitchen.spawn_with("bob", options).unwrap();
        bob.share("bread", "").unwrap();
        let (ada, carl) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("carl").unwrap());
        ada.share("soup", "").unwrap();
        let other = start(move || {
            carl.tell("bob", "c", "", FOREVER).unwrap();
            carl.request("bob", "bread", FOREVER).unwrap();
        });
        ada.tell("bob", "1", "", FOREVER).unwrap();
        ada.request("bob", "bread", FOREVER).unwrap();
        ada.tell("bob", "2", "", FOREVER).unwrap();
        ada.offer("bob", "soup", FOREVER).unwrap();
        other.join().unwrap();
        let of = |who: &[&str]| seen.all().into_iter().filter(|note| who.contains(&note.as_str())).collect::<Vec<_>>();
        assert_eq!(of(&["1", "2", "ada requests", "ada offers"]), ["1", "ada requests", "2", "ada offers"]);
        assert_eq!(of(&["c", "carl requests"]), ["c", "carl requests"]);
    });
}

#[test]
fn two_threads_that_tell_as_one_peer_are_both_waited_for() {
    explore(|kitchen| {
        let seen = Notes::new();
        let heard = seen.clone();
        let options = PeerOptions::new().on_message(move |_, message| {
            pause();
            heard.add(message.kind().to_owned());
            Ok(())
        });
        kitchen.spawn_with("bob", options).unwrap().share("bread", "").unwrap();
        let ada = kitchen.spawn("ada").unwrap();
        let threads = ["x", "y"].map(|kind| {
            let (ada, seen) = (ada.clone(), seen.clone());
            start(move || {
                ada.tell("bob", kind, "", FOREVER).unwrap();
                ada.request("bob", "bread", FOREVER).unwrap();
                assert_eq!(seen.count(&kind.to_owned()), 1, "a request overtook a tell of its own thread");
            })
        });
        join(threads);
    });
}

// Promise 3: nothing vanishes, nothing is done twice.

#[test]
fn an_accepted_message_is_handled_or_a_dead_letter() {
    explore(|kitchen| {
        let events = kitchen.events(1000).unwrap();
        let handled = Notes::new();
        let heard = handled.clone();
        let options = PeerOptions::new().mailbox_messages_max(1).on_message(move |_, message| {
            heard.add(message.kind().to_owned());
            if message.is_ask() { Ok(message.reply("")?) } else { Ok(()) }
        });
        let bob = kitchen.spawn_with("bob", options).unwrap();
        let (ada, carl) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("carl").unwrap());
        let tells = start(move || {
            let tells = [("t1", FOREVER), ("t2", SOON), ("t3", Duration::ZERO), ("t4", FOREVER)];
            tells.map(|(kind, timeout)| (kind, tell(&ada, "bob", kind, timeout)))
        });
        let asks = start(move || {
            [("a1", SOON), ("a2", FOREVER)].map(|(kind, timeout)| (kind, ask(&carl, "bob", kind, timeout)))
        });
        if thread_rng().gen_bool(0.7) {
            assert_eq!(bob.close(FOREVER), Ok(Ended::Yes));
        }
        let (tells, asks) = (tells.join().unwrap(), asks.join().unwrap());
        assert_eq!(kitchen.shutdown(FOREVER).map(|report| report.ended), Ok(Ended::Yes));
        let dead = dead_letters(&events);
        let fate =
            |kind: &str| (handled.count(&kind.to_owned()), dead.iter().filter(|other| other.as_str() == kind).count());
        for (kind, result) in tells {
            let (handled, dead) = fate(kind);
            match result {
                Ok(()) => assert_eq!(handled + dead, 1, "{kind} was accepted"),
                Err(error) => assert_eq!((handled, dead), (0, 0), "{kind} was not accepted: {error}"),
            }
        }
        for (kind, result) in asks {
            let (handled, dead) = fate(kind);
            match result {
                Ok(_) | Err(Error::OutcomeUnknown { .. }) => assert_eq!((handled, dead), (1, 0), "{kind} was begun"),
                Err(Error::TimedOut) => assert_eq!((handled, dead), (0, 1), "{kind} was given up in the queue"),
                Err(Error::PeerClosed { .. }) => assert!(handled == 0 && dead <= 1, "{kind} was refused"),
                Err(Error::Full { .. } | Error::NoSuchPeer { .. }) => assert_eq!((handled, dead), (0, 0), "{kind}"),
                Err(error) => panic!("{kind}: {error}"),
            }
        }
    });
}

#[test]
fn a_full_mailbox_lets_in_everybody_who_waits() {
    explore(|kitchen| {
        let handled = Notes::new();
        let heard = handled.clone();
        let options = PeerOptions::new().mailbox_messages_max(1).on_message(move |_, message| {
            heard.add(message.kind().to_owned());
            Ok(())
        });
        kitchen.spawn_with("bob", options).unwrap().share("bread", "").unwrap();
        let threads = ["ada", "carl", "dora"].map(|name| {
            let peer = kitchen.spawn(name).unwrap();
            start(move || {
                tell(&peer, "bob", name, FOREVER).unwrap();
                let _ = tell(&peer, "bob", "soon", SOON);
                peer.request("bob", "bread", FOREVER).unwrap();
            })
        });
        join(threads);
        assert!(["ada", "carl", "dora"].iter().all(|name| handled.count(&(*name).to_owned()) == 1));
    });
}

#[test]
fn a_tell_that_finds_no_room_is_waited_for_by_nobody() {
    explore(|kitchen| {
        let options = PeerOptions::new().mailbox_messages_max(1).on_message(|_, _| Ok(()));
        kitchen.spawn_with("bob", options).unwrap().share("bread", "").unwrap();
        let ada = kitchen.spawn("ada").unwrap();
        for _ in 0..3 {
            let _ = ada.try_tell("bob", "k", "");
            let _ = ada.tell("bob", "k", "", SOON);
        }
        ada.request("bob", "bread", FOREVER).unwrap();
    });
}

#[test]
fn an_inbox_gives_each_message_to_one_receiver() {
    explore(|kitchen| {
        let bob = kitchen.spawn("bob").unwrap();
        let (ada, carl) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("carl").unwrap());
        let receivers = [FOREVER, SOON].map(|timeout| {
            let bob = bob.clone();
            start(move || bob.receive(timeout).map(|message| message.kind().to_owned()))
        });
        let teller = start(move || carl.tell("bob", "c", "", FOREVER).unwrap());
        ada.tell("bob", "a", "", FOREVER).unwrap();
        teller.join().unwrap();
        let mut got: Vec<String> = receivers.into_iter().filter_map(|thread| thread.join().unwrap().ok()).collect();
        while let Ok(message) = bob.receive(Duration::ZERO) {
            got.push(message.kind().to_owned());
        }
        got.sort();
        assert_eq!(got, ["a", "c"]);
    });
}

#[test]
fn a_kept_message_is_answered_once() {
    explore(|kitchen| {
        // A lock that the checker knows: keeping a message under it is a step.
        let kept: Arc<Mutex<Option<Message>>> = Arc::default();
        let keep = Arc::clone(&kept);
        let options = PeerOptions::new().on_message(move |_, message| {
            *keep.lock() = Some(message.keep());
            Ok(())
        });
        let bob = kitchen.spawn_with("bob", options).unwrap();
        let ada = kitchen.spawn("ada").unwrap();
        let timeout = if thread_rng().r#gen() { FOREVER } else { SOON };
        let asker = start(move || ask(&ada, "bob", "k", timeout).map(|_| ()));
        let closer = start(move || assert_eq!(bob.close(FOREVER), Ok(Ended::Yes)));
        let repliers = [true, true, false].map(|replies| {
            let kept = Arc::clone(&kept);
            start(move || {
                pause();
                let message = kept.lock().as_ref().map(Message::keep);
                let has_replied = message.is_some_and(|message| replies && message.reply("late").is_ok());
                if !replies {
                    let letter = kept.lock().take();
                    drop(letter);
                }
                has_replied
            })
        });
        let replies: usize = repliers.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum();
        closer.join().unwrap();
        // Bob is closed: what he kept is all that there is.
        let letter = kept.lock().take();
        drop(letter);
        match asker.join().unwrap() {
            Ok(()) => assert_eq!(replies, 1),
            Err(error) => {
                assert_eq!(replies, 0, "{error}");
                let in_time =
                    matches!(error, Error::NoReply { .. } | Error::PeerClosed { .. } | Error::NoSuchPeer { .. });
                let given_up = matches!(error, Error::OutcomeUnknown { .. } | Error::TimedOut);
                assert!(in_time || given_up && timeout == SOON, "{error}");
            }
        }
    });
}

// Promise 6: what was given up has not happened and will not.

#[test]
fn an_ask_that_timed_out_is_never_begun_and_one_in_doubt_was() {
    explore(|kitchen| {
        let begun = Notes::new();
        let heard = begun.clone();
        let options = PeerOptions::new().mailbox_messages_max(2).on_message(move |_, message| {
            heard.add(message.kind().to_owned());
            pause();
            Ok(message.reply("")?)
        });
        kitchen.spawn_with("bob", options).unwrap();
        let asks = ["ada", "carl", "dora"].map(|name| {
            let peer = kitchen.spawn(name).unwrap();
            start(move || ask(&peer, "bob", name, SOON))
        });
        let results = asks.map(|thread| thread.join().unwrap());
        assert_eq!(kitchen.shutdown(FOREVER).map(|report| report.ended), Ok(Ended::Yes));
        for (name, result) in ["ada", "carl", "dora"].into_iter().zip(results) {
            let expected = match result {
                Ok(_) | Err(Error::OutcomeUnknown { .. }) => 1,
                Err(Error::TimedOut | Error::Full { .. }) => 0,
                Err(error) => panic!("{error}"),
            };
            assert_eq!(begun.count(&name.to_owned()), expected, "{result:?}");
        }
    });
}

#[test]
fn an_operation_that_timed_out_has_changed_no_shelf() {
    explore(|kitchen| {
        let options = || PeerOptions::new().on_request(|_, _, _| Ok(())).on_message(|_, _| Ok(()));
        let yes = |_: &Peer, _: &str, _: &crate::Resource| {
            pause();
            Ok(())
        };
        let bob = kitchen.spawn_with("bob", options().on_offer(yes)).unwrap();
        let plain = kitchen.spawn("plain").unwrap();
        let ada = kitchen.spawn("ada").unwrap();
        bob.share("bread", "").unwrap();
        plain.share("bread", "").unwrap();
        ada.share("soup", "").unwrap();
        ada.share("bread", "").unwrap();
        let own = Some(("ada".to_owned(), 1));
        // A handler of the one without votes holds its turn now and then, so that calls wait for that.
        let other = start({
            let dora = kitchen.spawn("dora").unwrap();
            move || {
                dora.share("tea", "").unwrap();
                dora.offer("plain", "tea", FOREVER).unwrap();
            }
        });
        for to in [&bob, &plain] {
            let offered = make(&ada, Call::Offer { to: to.name(), name: "soup" }, SOON);
            settle(&ada, "bob");
            assert_eq!(held(to, "soup"), offered.is_ok().then(|| own.clone()).flatten(), "{offered:?}");
            assert!(matches!(offered, Ok(None) | Err(Error::TimedOut)), "{offered:?}");
            let before = held(to, "bread");
            let before_ada = held(&ada, "bread");
            let swapped = make(&ada, Call::Exchange { with: to.name(), name: "bread" }, SOON);
            settle(&ada, "bob");
            let expected = if swapped.is_ok() { (before_ada, before) } else { (before, before_ada) };
            assert_eq!((held(to, "bread"), held(&ada, "bread")), expected, "{swapped:?}");
        }
        other.join().unwrap();
    });
}

// Promise 7: shelves and turns.

/// A peer that looks twice at its own shelf in each handler, and notes when it has changed in between.
fn looks_twice(changes: &Notes<&'static str>) -> PeerOptions {
    let (by_message, by_note) = (changes.clone(), changes.clone());
    let look = |peer: &Peer, changes: &Notes<&'static str>, what| {
        let before = held(peer, "soup");
        pause();
        if held(peer, "soup") != before {
            changes.add(what);
        }
    };
    PeerOptions::new()
        .on_message(move |peer, message| {
            look(peer, &by_message, "under on_message");
            if message.kind() == "call" {
                // While this waits, others may change the shelf; not before and not after.
                let _ = peer.ask("cook", "taste", "", FOREVER);
                look(peer, &by_message, "after a call");
            }
            Ok(())
        })
        .on_received(move |peer, _, _| look(peer, &by_note, "under on_received"))
}

#[test]
fn nobody_changes_a_shelf_under_a_running_handler() {
    explore(|kitchen| {
        let changes = Notes::new();
        let bob = kitchen.spawn_with("bob", looks_twice(&changes)).unwrap();
        let cook = PeerOptions::new().on_message(|_, message| Ok(message.reply("")?));
        kitchen.spawn_with("cook", cook).unwrap();
        bob.share("soup", "").unwrap();
        let (ada, carl) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("carl").unwrap());
        carl.share("soup", "").unwrap();
        ada.share("soup", "").unwrap();
        let swapper = start(move || {
            carl.exchange("bob", "soup", FOREVER).unwrap();
            carl.offer("bob", "soup", SOON).map_or_else(|error| assert_eq!(error, Error::TimedOut), |()| ());
        });
        ada.tell("bob", "look", "", FOREVER).unwrap();
        let dora = kitchen.spawn("dora").unwrap();
        dora.tell("bob", "call", "", FOREVER).unwrap();
        ada.share("soup", "").unwrap();
        ada.offer("bob", "soup", FOREVER).unwrap();
        swapper.join().unwrap();
        dora.request("bob", "soup", FOREVER).unwrap();
        assert_eq!(changes.all(), [""; 0]);
    });
}

#[test]
fn two_handlers_that_exchange_with_each_other_both_succeed() {
    explore(|kitchen| {
        let results = Notes::new();
        let swaps_with = |other: &'static str| {
            let results = results.clone();
            PeerOptions::new().on_message(move |peer, _| {
                results.add(make(peer, Call::Exchange { with: other, name: "soup" }, FOREVER).map(|_| ()));
                Ok(())
            })
        };
        let ada = kitchen.spawn_with("ada", swaps_with("bob")).unwrap();
        let bob = kitchen.spawn_with("bob", swaps_with("ada")).unwrap();
        ada.share("soup", "").unwrap();
        bob.share("soup", "").unwrap();
        let carl = kitchen.spawn("carl").unwrap();
        carl.tell("ada", "go", "", FOREVER).unwrap();
        carl.tell("bob", "go", "", FOREVER).unwrap();
        carl.request("ada", "soup", FOREVER).unwrap();
        carl.request("bob", "soup", FOREVER).unwrap();
        assert_eq!(results.all(), [Ok(()), Ok(())]);
        assert_eq!((held(&ada, "soup"), held(&bob, "soup")), (Some(("ada".into(), 1)), Some(("bob".into(), 1))));
    });
}

#[test]
fn three_handlers_that_exchange_in_a_circle_all_succeed() {
    explore(|kitchen| {
        let results = Notes::new();
        let names = ["ada", "bob", "carl"];
        let peers = [0, 1, 2].map(|i| {
            let results = results.clone();
            let options = PeerOptions::new().on_message(move |peer, _| {
                results.add(peer.exchange(names[(i + 1) % 3], "soup", FOREVER).map(|_| ()));
                Ok(())
            });
            let peer = kitchen.spawn_with(names[i], options).unwrap();
            peer.share("soup", "").unwrap();
            peer
        });
        let dora = kitchen.spawn("dora").unwrap();
        for name in names {
            dora.tell(name, "go", "", FOREVER).unwrap();
        }
        for name in names {
            dora.request(name, "soup", FOREVER).unwrap();
        }
        assert_eq!(results.all(), [Ok(()), Ok(()), Ok(())]);
        let mut origins = peers.map(|peer| held(&peer, "soup").unwrap().0);
        origins.sort();
        assert_eq!(origins, names, "each is held by one of them");
    });
}

#[test]
fn calls_in_line_for_a_turn_are_all_done_by_whoever_frees_it() {
    explore(|kitchen| {
        let options = PeerOptions::new().on_message(|_, _| {
            pause();
            Ok(())
        });
        let bob = kitchen.spawn_with("bob", options).unwrap();
        let threads = ["ada", "carl", "dora"].map(|name| {
            let peer = kitchen.spawn(name).unwrap();
            start(move || {
                peer.share(name, "").unwrap();
                let _ = peer.try_tell("bob", "k", "");
                peer.offer("bob", name, FOREVER).unwrap();
                peer.share(name, "").unwrap();
                make(&peer, Call::Offer { to: "bob", name }, FOREVER).unwrap();
            })
        });
        join(threads);
        for name in ["ada", "carl", "dora"] {
            assert_eq!(held(&bob, name), Some((name.to_owned(), 2)));
        }
    });
}

#[test]
fn a_request_takes_and_puts_in_one_step() {
    explore(|kitchen| {
        let (ada, bob) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("bob").unwrap());
        ada.share("soup", "").unwrap();
        let giver = start(move || {
            ada.share("soup", "").unwrap();
            ada.offer("bob", "soup", FOREVER).unwrap();
        });
        bob.request("ada", "soup", FOREVER).unwrap();
        giver.join().unwrap();
        assert_eq!(held(&bob, "soup"), Some(("ada".to_owned(), 2)), "an older version came after a newer one");
    });
}

#[test]
fn an_exchange_swaps_what_its_handlers_saw_last() {
    explore(|kitchen| {
        let seen = Notes::new();
        let on_offer = seen.clone();
        let options = PeerOptions::new().on_request(|_, _, _| Ok(())).on_offer(move |bob, _, resource| {
            // What on_request agreed to is no newer than this; if it is older, they are asked again.
            on_offer.add((held(bob, "soup").unwrap(), (resource.origin().to_owned(), resource.version())));
            Ok(())
        });
        let bob = kitchen.spawn_with("bob", options).unwrap();
        let ada = kitchen.spawn("ada").unwrap();
        bob.share("soup", "").unwrap();
        ada.share("soup", "").unwrap();
        let sharers = [ada.clone(), bob.clone()].map(|peer| start(move || peer.share("soup", "").map(|_| ()).unwrap()));
        let got = ada.exchange("bob", "soup", FOREVER).unwrap();
        join(sharers);
        let (theirs, given) = seen.all().last().unwrap().clone();
        assert_eq!((got.origin(), got.version()), (theirs.0.as_str(), theirs.1));
        let at_bob = held(&bob, "soup").unwrap();
        // Perhaps with a share of its own on top since then.
        assert!(at_bob == given || at_bob.0 == "bob" && got.version() == 1, "{given:?} {at_bob:?}");
        assert!(at_bob.0 == "bob" || given.1 == 2 || held(&ada, "soup").unwrap().0 == "ada");
    });
}

#[test]
fn a_fetch_goes_on_to_the_next_holder() {
    explore(|kitchen| {
        let no = PeerOptions::new().on_request(|_, _, _| Err(HandlerError::refused("mine")));
        let bob = kitchen.spawn_with("bob", no).unwrap();
        let (ada, carl, dora) = (
            kitchen.spawn("ada").unwrap(),
            kitchen.spawn("carl").unwrap(),
            kitchen.spawn_with("dora", PeerOptions::new().on_request(|_, _, _| Ok(()))).unwrap(),
        );
        for peer in [&bob, &carl, &dora] {
            peer.share("soup", "").unwrap();
        }
        let closer = start(move || assert_eq!(dora.close(FOREVER), Ok(Ended::Yes)));
        let fetched = make(&ada, Call::Fetch { name: "soup" }, FOREVER);
        closer.join().unwrap();
        assert!(fetched.is_ok(), "carl gives it: {fetched:?}");
    });
}

// Promise 5: who waits for a peer that closes is told at once.

#[test]
fn a_close_is_told_while_the_handler_still_runs() {
    explore(|kitchen| {
        let (open_gate, gate) = mpsc::channel::<()>();
        let mut options = PeerOptions::new().mailbox_messages_max(1).on_message(move |_, message| {
            if message.kind() == "block" {
                // Until the sending end is dropped.
                let _ = gate.recv();
            }
            Ok(())
        });
        if thread_rng().r#gen() {
            options = options.on_request(|_, _, _| Ok(())).on_offer(|_, _, _| Ok(()));
        }
        let bob = kitchen.spawn_with("bob", options).unwrap();
        let peers = ["ada", "carl", "dora"].map(|name| kitchen.spawn(name).unwrap());
        let [ada, carl, dora] = peers.clone();
        bob.share("bread", "").unwrap();
        ada.share("soup", "").unwrap();
        carl.tell("bob", "block", "", FOREVER).unwrap();
        let callers = [
            start(move || drop(make(&ada, Call::Offer { to: "bob", name: "soup" }, FOREVER))),
            start(move || {
                let _ = tell(&carl, "bob", "k", FOREVER);
                let _ = make(&carl, Call::Request { from: "bob", name: "bread" }, FOREVER);
            }),
            start(move || drop(ask(&dora, "bob", "k", FOREVER))),
        ];
        // The one that they wait for, or those that they wait as.
        let closed = if thread_rng().r#gen() { std::slice::from_ref(&bob) } else { &peers[..] };
        for peer in closed {
            assert!(matches!(peer.close(Duration::ZERO), Ok(Ended::StillRunning | Ended::Yes)));
        }
        join(callers);
        drop(open_gate);
        assert_eq!(bob.close(FOREVER), Ok(Ended::Yes));
    });
}

#[test]
fn what_is_pushed_as_its_peer_closes_is_told_while_the_handler_still_runs() {
    explore(|kitchen| {
        let (open_gate, gate) = mpsc::channel::<()>();
        let begun = Notes::new();
        let begins = begun.clone();
        let options = PeerOptions::new().mailbox_messages_max(1).on_message(move |_, _| {
            begins.add(());
            // Until the sending end is dropped.
            let _ = gate.recv();
            Ok(())
        });
        let bob = kitchen.spawn_with("bob", options).unwrap();
        let (ada, carl) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("carl").unwrap());
        carl.tell("bob", "block", "", FOREVER).unwrap();
        while begun.all().is_empty() {
            pause();
        }
        let asker = start(move || drop(ask(&ada, "bob", "k", FOREVER)));
        assert_eq!(bob.close(Duration::ZERO), Ok(Ended::StillRunning));
        asker.join().unwrap();
        drop(open_gate);
    });
}

// Promise 9: close is a barrier.

struct Guarded(Notes<&'static str>);

impl Drop for Guarded {
    fn drop(&mut self) {
        self.0.add("destructor");
    }
}

#[test]
fn after_a_close_no_handler_runs_and_user_data_is_gone() {
    explore(|kitchen| {
        let ran = Notes::new();
        let (heard, stopped, data) = (ran.clone(), ran.clone(), Guarded(ran.clone()));
        let options = PeerOptions::new()
            .on_message(move |_, message| {
                let _data = &data;
                heard.add("begin");
                pause();
                heard.add("end");
                if message.is_ask() { Ok(message.reply("")?) } else { Ok(()) }
            })
            .on_stop(move |_| stopped.add("stop"));
        let bob = kitchen.spawn_with("bob", options).unwrap();
        let ada = kitchen.spawn("ada").unwrap();
        let sender = start(move || {
            let _ = ada.tell("bob", "k", "", FOREVER);
            let _ = ada.ask("bob", "k", "", FOREVER);
            let _ = ada.tell("bob", "k", "", SOON);
        });
        let closers = [FOREVER, SOON].map(|timeout| {
            let (bob, ran) = (bob.clone(), ran.clone());
            start(move || {
                let ended = bob.close(timeout);
                if ended == Ok(Ended::Yes) {
                    let ran = ran.all();
                    assert_eq!(ran[ran.len().saturating_sub(2)..], ["stop", "destructor"], "{ran:?}");
                    return ran.len();
                }
                assert_eq!((ended, timeout), (Ok(Ended::StillRunning), SOON));
                0
            })
        });
        let lengths = closers.map(|thread| thread.join().unwrap());
        sender.join().unwrap();
        let all = ran.all();
        assert!(lengths.iter().all(|len| *len == 0 || *len == all.len()), "a handler ran after a close: {all:?}");
        assert_eq!((ran.count(&"stop"), ran.count(&"destructor")), (1, 1));
    });
}

#[test]
fn nothing_is_on_a_shelf_after_its_close() {
    explore(|kitchen| {
        let bob = kitchen.spawn("bob").unwrap();
        let (ada, carl) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("carl").unwrap());
        bob.share("soup", "").unwrap();
        ada.share("bread", "").unwrap();
        carl.share("soup", "").unwrap();
        let closed = Notes::new();
        let closer = start({
            let closed = closed.clone();
            move || {
                assert_eq!(bob.close(FOREVER), Ok(Ended::Yes));
                closed.add(());
            }
        });
        let giver = start({
            let (ada, closed) = (ada.clone(), closed.clone());
            move || {
                let is_late = !closed.all().is_empty();
                let given = ada.offer("bob", "bread", FOREVER);
                assert!(!is_late || given.is_err());
                let gone = matches!(given, Ok(()) | Err(Error::PeerClosed { .. } | Error::NoSuchPeer { .. }));
                assert!(gone, "{given:?}");
            }
        });
        let is_late = !closed.all().is_empty();
        let swapped = carl.exchange("bob", "soup", FOREVER);
        assert!(!is_late || swapped.is_err());
        assert_eq!(held(&carl, "soup").unwrap().0, if swapped.is_ok() { "bob" } else { "carl" });
        closer.join().unwrap();
        giver.join().unwrap();
        for name in ["soup", "bread"] {
            assert!(
                kitchen.holders(name).unwrap().iter().all(|holder| holder.peer != "bob"),
                "{name} is held by nobody"
            );
        }
        assert!(ada.request("bob", "soup", FOREVER).is_err());
    });
}

#[test]
fn a_close_ends_what_waits_for_the_peer_and_what_it_waits_for() {
    explore(|kitchen| {
        let slow = || {
            PeerOptions::new().mailbox_messages_max(1).on_message(|peer, message| {
                if message.kind() == "ask on" {
                    let _ = ask(peer, "carl", "k", FOREVER);
                }
                Ok(())
            })
        };
        let bob = kitchen.spawn_with("bob", slow()).unwrap();
        // An inbox that nobody reads: whoever asks it waits for its close.
        let carl = kitchen.spawn("carl").unwrap();
        let (ada, dora) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("dora").unwrap());
        ada.share("soup", "").unwrap();
        let callers = [
            start(move || {
                let _ = tell(&ada, "bob", "ask on", FOREVER);
                let _ = make(&ada, Call::Offer { to: "bob", name: "soup" }, FOREVER);
            }),
            start(move || {
                let _ = tell(&dora, "bob", "k", FOREVER);
                let _ = tell(&dora, "bob", "k", FOREVER);
                let _ = ask(&dora, "bob", "k", FOREVER);
            }),
        ];
        let receiver = start({
            let carl = carl.clone();
            move || while carl.receive(FOREVER).is_ok_and(|message| message.reply("").is_ok()) {}
        });
        let close = if thread_rng().r#gen() { [&bob, &carl] } else { [&carl, &bob] };
        for peer in close {
            assert_eq!(peer.close(FOREVER), Ok(Ended::Yes));
        }
        join(callers);
        receiver.join().unwrap();
    });
}

#[test]
fn a_close_from_the_own_handler_happens_when_it_returns() {
    explore(|kitchen| {
        let ran = Notes::new();
        let (heard, stopped) = (ran.clone(), ran.clone());
        let options = PeerOptions::new()
            .on_message(move |bob, _| {
                heard.add("handler");
                if bob.close(FOREVER) != Ok(Ended::Deferred) {
                    heard.add("not deferred");
                }
                Ok(())
            })
            .on_stop(move |_| stopped.add("stop"));
        let bob = kitchen.spawn_with("bob", options).unwrap();
        let ada = kitchen.spawn("ada").unwrap();
        ada.tell("bob", "k", "", FOREVER).unwrap();
        let second = ada.ask("bob", "k", "", FOREVER);
        assert!(matches!(second, Err(Error::PeerClosed { .. } | Error::NoSuchPeer { .. })), "{second:?}");
        assert_eq!(bob.close(FOREVER), Ok(Ended::Yes));
        assert_eq!(ran.all(), ["handler", "stop"]);
        // The name is free.
        assert!(kitchen.spawn("bob").is_ok());
    });
}

#[test]
fn a_shutdown_ends_every_call() {
    explore(|kitchen| {
        let votes =
            || PeerOptions::new().on_request(|_, _, _| Ok(())).on_offer(|_, _, _| Ok(())).on_message(|_, _| Ok(()));
        let (ada, bob) = (kitchen.spawn_with("ada", votes()).unwrap(), kitchen.spawn_with("bob", votes()).unwrap());
        ada.share("soup", "").unwrap();
        bob.share("soup", "").unwrap();
        let callers = [(ada, "bob"), (bob, "ada")].map(|(peer, other)| {
            start(move || {
                let documented = |result: Result<()>| match result {
                    Ok(()) | Err(Error::Closed { .. } | Error::PeerClosed { .. } | Error::NoSuchPeer { .. }) => {}
                    // Its own shelf may be cleared already.
                    Err(Error::NoSuchResource { .. } | Error::NoReply { .. }) => {}
                    Err(error) => panic!("{error}"),
                };
                documented(tell(&peer, other, "k", FOREVER));
                documented(make(&peer, Call::Exchange { with: other, name: "soup" }, FOREVER).map(|_| ()));
                documented(ask(&peer, other, "k", FOREVER).map(|_| ()));
            })
        });
        assert_eq!(kitchen.shutdown(FOREVER).map(|report| report.ended), Ok(Ended::Yes));
        join(callers);
        assert!(kitchen.peers().is_err());
    });
}

/// Asks `to`, and notes whether that was refused for a ring.
fn asks(to: &'static str, kind: &'static str, rings: &Notes<bool>) -> impl FnMut(&Peer) + Send + 'static {
    asks_within(to, kind, FOREVER, rings)
}

fn asks_within(
    to: &'static str,
    kind: &'static str,
    timeout: Duration,
    rings: &Notes<bool>,
) -> impl FnMut(&Peer) + Send + 'static {
    let rings = rings.clone();
    move |peer| {
        let result = ask(peer, to, kind, timeout);
        rings.add(matches!(result, Err(Error::Deadlock { .. })));
    }
}

#[test]
fn of_two_handlers_that_ask_each_other_at_most_one_is_refused_and_nobody_hangs() {
    explore(|kitchen| {
        let rings = Notes::new();
        for (name, to) in [("ada", "bob"), ("bob", "ada")] {
            let mut ask = asks(to, "back", &rings);
            let options = PeerOptions::new().on_message(move |peer, message| {
                if message.kind() == "go" {
                    ask(peer);
                }
                Ok(message.reply("yes").or_else(|error| if message.is_ask() { Err(error) } else { Ok(()) })?)
            });
            kitchen.spawn_with(name, options).unwrap();
        }
        let carl = kitchen.spawn("carl").unwrap();
        carl.tell("ada", "go", "", FOREVER).unwrap();
        carl.tell("bob", "go", "", FOREVER).unwrap();
        carl.ask("ada", "done?", "", FOREVER).unwrap();
        carl.ask("bob", "done?", "", FOREVER).unwrap();
        let rings = rings.all();
        assert!(rings.len() == 2 && rings.iter().filter(|is_ring| **is_ring).count() <= 1, "{rings:?}");
    });
}

#[test]
fn right_after_an_answer_there_is_no_ring() {
    explore(|kitchen| {
        let rings = Notes::new();
        let mut back = asks("bob", "back", &rings);
        let ada = PeerOptions::new().on_message(move |peer, message| {
            // Whether it comes in time or not: bob waits for it no more.
            let _ = message.reply("yours");
            back(peer);
            Ok(())
        });
        kitchen.spawn_with("ada", ada).unwrap();
        let timeout = if thread_rng().r#gen() { SOON } else { FOREVER };
        let mut there = asks_within("ada", "hello", timeout, &rings);
        let bob = PeerOptions::new().on_message(move |peer, message| {
            if message.kind() == "go" {
                there(peer);
            }
            Ok(message.reply("mine")?)
        });
        kitchen.spawn_with("bob", bob).unwrap();
        kitchen.spawn("carl").unwrap().ask("bob", "go", "", FOREVER).unwrap();
        // bob's answer to ada's ask may still be on its way.
        assert_eq!(kitchen.shutdown(FOREVER).map(|report| report.ended), Ok(Ended::Yes));
        // If bob's came too late, ada never asked.
        assert!(rings.all().iter().all(|is_ring| !is_ring), "{:?}", rings.all());
    });
}

#[test]
fn a_message_that_was_kept_closes_no_ring() {
    explore(|kitchen| {
        let rings = Notes::new();
        let kept: Arc<parking_lot::Mutex<Vec<Message>>> = Arc::default();
        let (keeper, mut through) = (Arc::clone(&kept), asks("ada", "you?", &rings));
        let bob = PeerOptions::new().on_message(move |peer, message| {
            match message.kind() {
                "later" => {
                    // Keeping it is a step, under no lock that the checker does not know.
                    let message = message.keep();
                    keeper.lock().push(message);
                }
                _ => through(peer),
            }
            Ok(())
        });
        kitchen.spawn_with("bob", bob).unwrap();
        let mut later = asks("bob", "later", &rings);
        let ada = PeerOptions::new().on_message(move |peer, message| {
            if message.kind() == "go" {
                later(peer);
                return Ok(());
            }
            Ok(message.reply("me")?)
        });
        kitchen.spawn_with("ada", ada).unwrap();
        let carl = kitchen.spawn("carl").unwrap();
        carl.tell("ada", "go", "", FOREVER).unwrap();
        while kept.lock().is_empty() {
            pause();
        }
        // bob's handler has kept it and returns; his next one asks ada, who waits for what anybody may answer.
        carl.tell("bob", "through", "", FOREVER).unwrap();
        pause();
        let messages = std::mem::take(&mut *kept.lock());
        messages.iter().for_each(|message| message.reply("now").unwrap());
        carl.ask("ada", "done?", "", FOREVER).unwrap();
        carl.request("bob", "nothing", FOREVER).unwrap_err();
        assert!(rings.all().iter().all(|is_ring| !is_ring), "{:?}", rings.all());
    });
}

#[test]
fn an_own_tell_closes_a_ring_or_is_over() {
    explore(|kitchen| {
        let rings = Notes::new();
        let mut back = asks("ada", "back", &rings);
        let bob = PeerOptions::new().on_message(move |peer, _| {
            back(peer);
            Ok(())
        });
        kitchen.spawn_with("bob", bob).unwrap().share("soup", "").unwrap();
        let noted = rings.clone();
        let ada = PeerOptions::new().on_message(move |peer, message| {
            if message.kind() == "go" {
                peer.tell("bob", "first", "", FOREVER)?;
                let requested = make(peer, Call::Request { from: "bob", name: "soup" }, FOREVER);
                noted.add(matches!(requested, Err(Error::Deadlock { .. })));
            }
            Ok(message.reply("yes")?)
        });
        kitchen.spawn_with("ada", ada).unwrap();
        kitchen.spawn("carl").unwrap().ask("ada", "go", "", FOREVER).unwrap();
        assert_eq!(kitchen.shutdown(FOREVER).map(|report| report.ended), Ok(Ended::Yes));
        let rings = rings.all();
        assert!(rings.len() == 2 && rings.iter().filter(|is_ring| **is_ring).count() <= 1, "{rings:?}");
    });
}

#[test]
fn a_fetch_that_moves_on_in_a_handler_hangs_in_no_ring() {
    explore(|kitchen| {
        let first = PeerOptions::new().on_message(|_, _| {
            pause();
            Ok(())
        });
        let first = kitchen.spawn_with("first", first).unwrap();
        let rings = Notes::new();
        let mut vote = asks("ada", "may I?", &rings);
        let second = PeerOptions::new().on_request(move |peer, _, _| {
            vote(peer);
            Ok(())
        });
        let second = kitchen.spawn_with("second", second).unwrap();
        first.share("soup", "").unwrap();
        second.share("soup", "").unwrap();
        let ada = PeerOptions::new().on_message(|peer, message| {
            if message.kind() == "go" {
                // The first holder is closed meanwhile: then it waits for the second's vote, which asks back.
                let _ = peer.tell("first", "note", "", FOREVER);
                make(peer, Call::Fetch { name: "soup" }, FOREVER)?;
            }
            Ok(message.reply("yes").or_else(|error| if message.is_ask() { Err(error) } else { Ok(()) })?)
        });
        kitchen.spawn_with("ada", ada).unwrap();
        let carl = kitchen.spawn("carl").unwrap();
        let closing = start(move || assert_eq!(first.close(FOREVER), Ok(Ended::Yes)));
        carl.tell("ada", "go", "", FOREVER).unwrap();
        carl.ask("ada", "done?", "", FOREVER).unwrap();
        join([closing]);
    });
}

#[test]
fn a_fetch_that_is_moved_on_after_its_end_takes_no_other_link_away() {
    explore(|kitchen| {
        let rings = Notes::new();
        let no = PeerOptions::new().on_request(|_, _, _| Err(HandlerError::refused("mine")));
        kitchen.spawn_with("first", no).unwrap().share("soup", "").unwrap();
        let mut back = asks("ada", "back", &rings);
        let second = PeerOptions::new().on_request(|_, _, _| Ok(())).on_message(move |peer, _| {
            back(peer);
            Ok(())
        });
        kitchen.spawn_with("second", second).unwrap().share("soup", "").unwrap();
        let ada = PeerOptions::new().on_message(|peer, message| {
            if message.kind() == "go" {
                // Given up perhaps while the first moves it on; the next call closes a ring.
                let _ = peer.fetch("soup", SOON);
                let _ = peer.ask("second", "k", "", FOREVER);
            }
            Ok(())
        });
        kitchen.spawn_with("ada", ada).unwrap();
        let carl = kitchen.spawn("carl").unwrap();
        carl.tell("ada", "go", "", FOREVER).unwrap();
        settle(&carl, "ada");
        assert_eq!(rings.all(), [true]);
    });
}

#[test]
fn a_started_call_ends_once_whoever_waits_and_whoever_cancels() {
    explore(|kitchen| {
        let begun = Notes::new();
        let heard = begun.clone();
        let options = PeerOptions::new().on_message(move |_, message| {
            heard.add(());
            pause();
            Ok(message.reply("yes").or_else(|error| if error == Error::Canceled { Ok(()) } else { Err(error) })?)
        });
        kitchen.spawn_with("bob", options).unwrap();
        let ada = kitchen.spawn("ada").unwrap();
        let timeout = if thread_rng().r#gen() { FOREVER } else { SOON };
        let pending = ada.start(Call::Ask { to: "bob", kind: "k", body: Bytes::new() }, timeout).unwrap();
        let pending = Arc::new(pending);
        let waiters = [FOREVER, SOON].map(|timeout| {
            let pending = Arc::clone(&pending);
            start(move || pending.wait(timeout))
        });
        let is_canceled = thread_rng().r#gen();
        if is_canceled {
            pending.cancel();
        }
        let seen = waiters.map(|thread| thread.join().unwrap().map_ok(|answer| answer.is_some()));
        let Poll::Ready(result) = pending.wait(Duration::ZERO) else { panic!("it was waited for") };
        assert_eq!(seen[0], Poll::Ready(result.clone().map(|answer| answer.is_some())));
        assert!(seen[1].is_pending() || seen[1] == seen[0]);
        drop(pending);
        settle(&ada, "bob");
        let begun = begun.all().len() - 1;
        match result {
            Ok(answer) => assert_eq!((answer.unwrap().bytes(), begun), (&b"yes"[..], 1)),
            Err(Error::OutcomeUnknown { .. }) => assert_eq!((timeout, begun), (SOON, 1)),
            Err(Error::TimedOut) => assert_eq!((timeout, begun), (SOON, 0)),
            Err(Error::Canceled) => assert!(is_canceled && begun <= 1),
            Err(error) => panic!("{error}"),
        }
    });
}

#[test]
fn a_started_call_that_is_dropped_leaves_nothing_behind() {
    explore(|kitchen| {
        let options = PeerOptions::new().mailbox_messages_max(1).on_message(|_, _| Ok(())).on_request(|_, _, _| Ok(()));
        let bob = kitchen.spawn_with("bob", options).unwrap();
        bob.share("bread", "").unwrap();
        let ada = kitchen.spawn("ada").unwrap();
        let timeout = if thread_rng().r#gen() { FOREVER } else { SOON };
        let calls = [
            Call::Tell { to: "bob", kind: "a", body: Bytes::new() },
            Call::Tell { to: "bob", kind: "b", body: Bytes::new() },
            Call::Request { from: "bob", name: "bread" },
            Call::Ask { to: "bob", kind: "c", body: Bytes::new() },
        ];
        let pendings = calls.map(|call| ada.start(call, timeout).unwrap());
        pause();
        drop(pendings);
        // The line for room, the desk and the mailbox are as if there had been nothing.
        tell(&ada, "bob", "last", FOREVER).unwrap();
        make(&ada, Call::Request { from: "bob", name: "bread" }, FOREVER).unwrap();
        settle(&ada, "bob");
    });
}

#[test]
fn what_came_while_a_handler_waited_is_told_before_a_later_message() {
    explore(|kitchen| {
        let seen = Notes::new();
        let (heard, received) = (seen.clone(), seen.clone());
        let options = PeerOptions::new()
            .on_message(move |bob, message| match message.kind() {
                "go" => Ok(bob.ask("carl", "wait", "", FOREVER).map(drop)?),
                kind => {
                    heard.add(kind.to_owned());
                    Ok(())
                }
            })
            .on_received(move |_, _, resource| received.add(resource.name().to_owned()));
        kitchen.spawn_with("bob", options).unwrap();
        let answers = PeerOptions::new().on_message(|_, message| {
            pause();
            Ok(message.reply("")?)
        });
        kitchen.spawn_with("carl", answers).unwrap();
        let (ada, dora) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("dora").unwrap());
        ada.share("soup", "").unwrap();
        dora.tell("bob", "go", "", FOREVER).unwrap();
        ada.offer("bob", "soup", FOREVER).unwrap();
        ada.tell("bob", "2", "", FOREVER).unwrap();
        settle(&ada, "bob");
        assert_eq!(seen.all(), ["soup", "2", "settle"]);
    });
}

/// A peer whose handler tells itself the next message, until `goes_on` is empty.
fn tells_itself(goes_on: &Arc<parking_lot::Mutex<Vec<()>>>) -> PeerOptions {
    let goes_on = Arc::clone(goes_on);
    PeerOptions::new().on_message(move |bob, _| {
        pause();
        let is_over = goes_on.lock().is_empty();
        if is_over { Ok(()) } else { Ok(bob.tell("bob", "again", "", FOREVER)?) }
    })
}

#[test]
fn who_waits_for_a_turn_gets_it_though_messages_never_end() {
    explore(|kitchen| {
        let goes_on = Arc::new(parking_lot::Mutex::new(vec![()]));
        kitchen.spawn_with("bob", tells_itself(&goes_on)).unwrap();
        let (ada, carl) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("carl").unwrap());
        ada.share("soup", "").unwrap();
        carl.tell("bob", "again", "", FOREVER).unwrap();
        make(&ada, Call::Offer { to: "bob", name: "soup" }, FOREVER).unwrap();
        goes_on.lock().clear();
        settle(&carl, "bob");
    });
}

#[test]
fn who_waits_for_a_vote_gets_it_though_messages_never_end() {
    explore(|kitchen| {
        let goes_on = Arc::new(parking_lot::Mutex::new(vec![()]));
        let bob = kitchen.spawn_with("bob", tells_itself(&goes_on).on_request(|_, _, _| Ok(()))).unwrap();
        bob.share("bread", "").unwrap();
        let (ada, carl) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("carl").unwrap());
        carl.tell("bob", "again", "", FOREVER).unwrap();
        make(&ada, Call::Request { from: "bob", name: "bread" }, FOREVER).unwrap();
        goes_on.lock().clear();
        settle(&carl, "bob");
    });
}

#[test]
fn a_started_call_to_the_own_peer_waits_for_the_handlers_return() {
    explore(|kitchen| {
        let results = Notes::new();
        let (noted, kept) = (results.clone(), Arc::new(parking_lot::Mutex::new(None)));
        let keep = Arc::clone(&kept);
        let options = PeerOptions::new().on_message(move |peer, message| {
            if message.kind() == "go" {
                let pending = peer.start(Call::Ask { to: "ada", kind: "me", body: Bytes::new() }, FOREVER)?;
                noted.add(matches!(pending.wait(FOREVER), Poll::Ready(Err(Error::Deadlock { .. }))));
                noted.add(pending.wait(Duration::ZERO).is_pending());
                *keep.lock() = Some(pending);
                return Ok(());
            }
            Ok(message.reply("yes")?)
        });
        kitchen.spawn_with("ada", options).unwrap();
        let carl = kitchen.spawn("carl").unwrap();
        carl.tell("ada", "go", "", FOREVER).unwrap();
        settle(&carl, "ada");
        let pending = kept.lock().take().unwrap();
        assert!(matches!(pending.wait(FOREVER), Poll::Ready(Ok(Some(_)))));
        assert_eq!(results.all(), [true, true]);
    });
}

#[test]
fn a_started_call_that_nobody_answers_ends_at_its_deadline() {
    explore(|kitchen| {
        // An inbox that nobody reads.
        kitchen.spawn("carl").unwrap();
        let ada = kitchen.spawn("ada").unwrap();
        for _ in 0..2 {
            let pending = ada.start(Call::Ask { to: "carl", kind: "k", body: Bytes::new() }, SOON).unwrap();
            pause();
            assert!(matches!(pending.wait(FOREVER), Poll::Ready(Err(Error::TimedOut))));
        }
    });
}

/// Notes when it is dropped.
struct Datum(Notes<&'static str>);

impl Drop for Datum {
    fn drop(&mut self) {
        self.0.add("dropped");
    }
}

#[test]
fn of_two_that_need_the_first_thread_one_makes_it() {
    explore_on_demand(|kitchen| {
        let notes = Notes::new();
        let (told, received) = (notes.clone(), notes.clone());
        let options = PeerOptions::new()
            .on_message(move |_, message| {
                told.add("told");
                if message.is_ask() { Ok(message.reply("")?) } else { Ok(()) }
            })
            .on_received(move |_, _, _| received.add("received"));
        let ada = kitchen.spawn_with("ada", options).unwrap();
        let (bob, carl) = (kitchen.spawn("bob").unwrap(), kitchen.spawn("carl").unwrap());
        bob.share("soup", "").unwrap();
        let threads = [
            start(move || make(&bob, Call::Offer { to: "ada", name: "soup" }, FOREVER).map(drop).unwrap()),
            start(move || ask(&carl, "ada", "hello", FOREVER).map(drop).unwrap()),
        ];
        join(threads);
        assert_eq!(ada.close(FOREVER), Ok(Ended::Yes));
        assert_eq!((notes.count(&"told"), notes.count(&"received")), (1, 1));
    });
}

#[test]
fn a_peer_that_is_closed_as_its_thread_is_needed_ends_once_and_loses_nothing() {
    explore_on_demand(|kitchen| {
        let notes = Notes::new();
        let (told, received, datum) = (notes.clone(), notes.clone(), Datum(notes.clone()));
        let options = PeerOptions::new()
            .on_message(move |_, _| {
                let _ = &datum;
                told.add("told");
                Ok(())
            })
            .on_received(move |_, _, _| received.add("received"));
        let events = kitchen.events(100).unwrap();
        let ada = kitchen.spawn_with("ada", options).unwrap();
        let (bob, carl) = (kitchen.spawn("bob").unwrap(), kitchen.spawn("carl").unwrap());
        bob.share("soup", "").unwrap();
        let offering = start(move || make(&bob, Call::Offer { to: "ada", name: "soup" }, FOREVER).is_ok());
        let telling = start(move || tell(&carl, "ada", "hello", FOREVER).is_ok());
        let closing = start({
            let (ada, notes) = (ada.clone(), notes.clone());
            move || {
                assert_eq!(ada.close(FOREVER), Ok(Ended::Yes));
                assert_eq!(notes.count(&"dropped"), 1);
                notes.all().len()
            }
        });
        assert_eq!(ada.close(FOREVER), Ok(Ended::Yes));
        let seen = notes.all().len();
        let seen_by_other = closing.join().unwrap();
        let (has_offered, has_told) = (offering.join().unwrap(), telling.join().unwrap());
        assert_eq!((seen, seen_by_other), (notes.all().len(), notes.all().len()), "after the close no handler runs");
        assert_eq!(notes.count(&"received"), usize::from(has_offered));
        assert_eq!(notes.count(&"dropped"), 1);
        let dead = dead_letters(&events).len();
        assert_eq!(notes.count(&"told") + dead, usize::from(has_told));
        kitchen.spawn("ada").unwrap();
    });
}

#[test]
fn an_inbox_without_a_thread_ends_when_the_last_letter_is_out_of_hands() {
    explore_on_demand(|kitchen| {
        let events = kitchen.events(100).unwrap();
        let ada = kitchen.spawn("ada").unwrap();
        let bob = kitchen.spawn("bob").unwrap();
        let telling = start(move || {
            let first = tell(&bob, "ada", "first", SOON).is_ok();
            usize::from(first) + usize::from(tell(&bob, "ada", "second", SOON).is_ok())
        });
        let receiving = start({
            let ada = ada.clone();
            move || usize::from(ada.receive(SOON).is_ok())
        });
        let closing = start({
            let ada = ada.clone();
            move || drop(ada.close(Duration::ZERO))
        });
        // Nobody but those who have letters in hand, or close without waiting, does anything for the end.
        let _ = ada.close(Duration::ZERO);
        let (told, received) = (telling.join().unwrap(), receiving.join().unwrap());
        closing.join().unwrap();
        assert!(ada.has_ended());
        assert_eq!(ada.close(FOREVER), Ok(Ended::Yes));
        assert_eq!(dead_letters(&events).len() + received, told);
    });
}

#[test]
fn a_shutdown_of_peers_with_and_without_threads_loses_nothing() {
    explore_on_demand(|kitchen| {
        let notes = Notes::new();
        let events = kitchen.events(100).unwrap();
        let (sent, handled) = (notes.clone(), notes.clone());
        let ada = PeerOptions::new().on_message(move |peer, _| {
            sent.add("handled");
            peer.tell("bob", "on", "", FOREVER)?;
            sent.add("sent");
            Ok(())
        });
        let bob = PeerOptions::new().on_message(move |_, _| {
            handled.add("handled");
            Ok(())
        });
        kitchen.spawn_with("ada", ada).unwrap();
        kitchen.spawn_with("bob", bob).unwrap();
        let carl = kitchen.spawn("carl").unwrap();
        tell(&carl, "ada", "go", FOREVER).unwrap();
        assert_eq!(kitchen.shutdown(FOREVER).map(|report| report.ended), Ok(Ended::Yes));
        // Half of the timeout may come at any time; a handler that is told of the close has sent nothing.
        let dead = dead_letters(&events).len();
        assert_eq!(notes.count(&"handled") + dead, 1 + notes.count(&"sent"));
    });
}

#[test]
fn a_shutdown_from_a_handler_ends_peers_without_a_thread() {
    explore_on_demand(|kitchen| {
        let system = kitchen.clone();
        let options = PeerOptions::new().on_message(move |_, _| {
            let report = system.shutdown(if thread_rng().r#gen() { FOREVER } else { Duration::ZERO })?;
            assert_eq!(report.ended, Ended::Deferred);
            Ok(())
        });
        let notes = Notes::new();
        let datum = Datum(notes.clone());
        kitchen.spawn_with("ada", options).unwrap();
        let carl = kitchen.spawn("carl").unwrap();
        let bob = PeerOptions::new().on_request(move |_, _, _| {
            let _ = &datum;
            Ok(())
        });
        kitchen.spawn_with("bob", bob).unwrap();
        let events = kitchen.events(100).unwrap();
        carl.tell("ada", "stop", "", FOREVER).unwrap();
        // Nobody else closes anything.
        while events.next(FOREVER).is_ok() {}
        assert_eq!(notes.count(&"dropped"), 1);
    });
}
