//! Calls with other nodes that are started and waited for apart.

use std::os::fd::AsFd;
use std::task::Poll;

use crossbeam_channel::unbounded;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use potluck::{Bytes, Call, Error, Peer, PeerOptions, Pending, Resource};

use crate::content::noise;
use crate::nodes::{Two, text, two, two_with, until};
use crate::support::{Gate, LONG, NOW, PATIENT, no_such_peer, no_such_resource, peer_closed};

fn result(pending: &Pending) -> potluck::Result<Option<Resource>> {
    match pending.wait(LONG) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it never ends"),
    }
}

fn ask(kind: &'static str) -> Call<'static> {
    Call::Ask { to: "ada", kind, body: Bytes::new() }
}

/// A peer whose handler stops at the gate.
fn gated(gate: &Gate) -> PeerOptions {
    let gate = gate.clone();
    PeerOptions::new().on_message(move |_, message| {
        gate.pass();
        Ok(message.reply("salt")?)
    })
}

#[test]
fn a_started_call_gives_what_the_blocking_one_gives() {
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    ada.share("soup", "tomato").unwrap();
    ada.share("dish", "ada's").unwrap();
    bob.share("dish", "bob's").unwrap();
    let run = |call: Call<'_>| result(&bob.start(call, LONG).unwrap()).unwrap();
    let soup = run(Call::Request { from: "ada", name: "soup" }).unwrap();
    assert_eq!((soup.bytes(), soup.origin()), (&b"tomato"[..], "ada@desk"));
    assert!(run(Call::RequestNewer { from: "ada", name: "soup", than: &soup }).is_none());
    bob.unshare("soup").unwrap();
    assert_eq!(run(Call::Fetch { name: "soup" }).unwrap().bytes(), b"tomato");
    assert_eq!(run(Call::Exchange { with: "ada", name: "dish" }).unwrap().bytes(), b"ada's");
    assert!(run(Call::Offer { to: "ada", name: "dish" }).is_none());
    assert_eq!(text(&ada, "dish"), "ada's");
    assert!(run(Call::Tell { to: "ada", kind: "hello", body: Bytes::from_static(b"you") }).is_none());
    assert_eq!(ada.receive(NOW).unwrap().bytes(), b"you");
    let pending = bob.start(ask("taste"), LONG).unwrap();
    ada.receive(LONG).unwrap().reply("salt").unwrap();
    for _ in 0..2 {
        assert_eq!(result(&pending).unwrap().unwrap().bytes(), b"salt", "as often as one likes");
    }
}

#[test]
fn a_started_call_fails_as_the_blocking_one_does() {
    let Two { desk: _desk, laptop: _laptop, bob, .. } = two();
    let fails = |call: Call<'_>| match bob.start(call, LONG) {
        Ok(pending) => result(&pending).unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(fails(Call::Request { from: "eve@desk", name: "soup" }), no_such_peer("eve@desk"));
    assert_eq!(fails(Call::Request { from: "ada", name: "soup" }), no_such_resource("soup", "ada@desk"));
    assert_eq!(fails(Call::Fetch { name: "soup" }), no_such_resource("soup", None));
    assert_eq!(fails(Call::Offer { to: "ada", name: "soup" }), no_such_resource("soup", "bob"));
    assert!(matches!(fails(Call::Tell { to: "ada", kind: "", body: Bytes::new() }), Error::InvalidName { .. }));
}

#[test]
fn many_started_calls_wait_without_a_thread_each() {
    const CALLS: usize = 200;
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    let pending: Vec<Pending> = (0..CALLS).map(|_| bob.start(ask("taste"), LONG).unwrap()).collect();
    let asked: Vec<_> = (0..CALLS).map(|_| ada.receive(LONG).unwrap()).collect();
    // Other tests run beside, and the engine has its own.
    let during = threads();
    assert!(during < before + CALLS / 2, "{before} threads, then {during}");
    assert!(pending.iter().all(|call| call.wait(NOW).is_pending()));
    asked.iter().for_each(|message| message.reply("salt").unwrap());
    pending.iter().for_each(|call| assert_eq!(result(call).unwrap().unwrap().bytes(), b"salt"));
}

#[test]
fn a_descriptor_is_readable_once_the_call_is_done() {
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    let pending = bob.start(ask("taste"), LONG).unwrap();
    let descriptor = pending.descriptor().unwrap();
    let is_readable =
        |timeout: PollTimeout| poll(&mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)], timeout).unwrap() == 1;
    let asked = ada.receive(LONG).unwrap();
    assert!(!is_readable(PollTimeout::ZERO));
    asked.reply("salt").unwrap();
    assert!(is_readable(PollTimeout::try_from(LONG).unwrap()));
    assert!(matches!(pending.wait(NOW), Poll::Ready(Ok(Some(_)))));
}

#[test]
fn a_call_that_is_canceled_or_dropped_before_its_handler_began_never_happens() {
    let gate = Gate::new();
    let (handled, kinds) = unbounded();
    let held = gate.clone();
    let options = PeerOptions::new().on_message(move |_, message| {
        handled.send(message.kind().to_owned())?;
        held.pass();
        Ok(())
    });
    let Two { desk, laptop: _laptop, ada, bob } = two_with(options);
    ada.share("dish", "ada's").unwrap();
    bob.share("dish", "bob's").unwrap();
    bob.tell("ada", "first", "", LONG).unwrap();
    gate.await_arrival();
    let queued = |count: u64| {
        until("the messages are there", || {
            let snapshot = desk.snapshot().unwrap();
            (snapshot.peers.iter().find(|it| it.peer == "ada")?.messages == count).then_some(())
        })
    };
    let (canceled, dropped) = (bob.start(ask("canceled"), LONG).unwrap(), bob.start(ask("dropped"), LONG).unwrap());
    queued(2);
    let offer = bob.start(Call::Offer { to: "ada", name: "dish" }, LONG).unwrap();
    let exchange = bob.start(Call::Exchange { with: "ada", name: "dish" }, LONG).unwrap();
    for call in [&canceled, &offer, &exchange] {
        call.cancel();
        assert_eq!(result(call).unwrap_err(), Error::Canceled);
    }
    drop(dropped);
    let dead = until("both are dead letters", || Some(desk.dead_letters().unwrap()).filter(|dead| dead.count == 2));
    assert!(dead.newest.iter().all(|letter| &*letter.from == "bob@laptop"), "{dead:?}");
    gate.open();
    // Behind all that was there.
    gate.open();
    ada.tell("ada", "last", "", LONG).unwrap();
    gate.await_arrival();
    ada.close(LONG).unwrap();
    assert_eq!(kinds.try_iter().collect::<Vec<_>>(), ["first", "last"]);
    assert_eq!(text(&bob, "dish"), "bob's");
}

#[test]
fn a_started_call_ends_at_its_deadline_though_nobody_waits_for_it() {
    let gate = Gate::new();
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two_with(gated(&gate));
    ada.share("dish", "ada's").unwrap();
    bob.share("dish", "bob's").unwrap();
    let begun = bob.start(ask("taste"), PATIENT).unwrap();
    gate.await_arrival();
    let late: Vec<Pending> = [Call::Offer { to: "ada", name: "dish" }, Call::Exchange { with: "ada", name: "dish" }]
        .into_iter()
        .map(|call| bob.start(call, PATIENT).unwrap())
        .collect();
    let descriptor = late[1].descriptor().unwrap();
    let timeout = PollTimeout::try_from(LONG).unwrap();
    assert_eq!(poll(&mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)], timeout).unwrap(), 1);
    for call in &late {
        assert_eq!(result(call).unwrap_err(), Error::TimedOut);
    }
    assert_eq!(result(&begun).unwrap_err(), Error::OutcomeUnknown { peer: "ada@desk".into() });
    gate.open();
    assert_eq!((text(&ada, "dish"), text(&bob, "dish")), ("ada's".into(), "bob's".into()));
}

#[test]
fn a_call_that_waits_for_a_peer_elsewhere_is_told_of_its_close_and_of_the_callers() {
    let Two { desk: _desk, laptop, ada, bob } = two();
    let eve: Peer = laptop.spawn("eve").unwrap();
    let (of_bob, of_eve) = (bob.start(ask("taste"), LONG).unwrap(), eve.start(ask("taste"), LONG).unwrap());
    drop((ada.receive(LONG).unwrap().keep(), ada.receive(LONG).unwrap().keep()));
    // Both were answered by being dropped.
    for call in [of_bob, of_eve] {
        assert_eq!(result(&call).unwrap_err(), Error::NoReply { peer: "ada@desk".into() });
    }
    let (of_bob, of_eve) = (bob.start(ask("taste"), LONG).unwrap(), eve.start(ask("taste"), LONG).unwrap());
    let _kept = (ada.receive(LONG).unwrap(), ada.receive(LONG).unwrap());
    eve.close(LONG).unwrap();
    assert_eq!(result(&of_eve).unwrap_err(), Error::Closed { name: "eve".into() });
    ada.close(LONG).unwrap();
    assert_eq!(result(&of_bob).unwrap_err(), peer_closed("ada@desk"));
}

#[test]
fn a_large_transfer_that_is_canceled_leaves_the_shelf_as_it_was() {
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    ada.share("large", noise(1, 32 << 20)).unwrap();
    bob.share("large", "small").unwrap();
    let pending = bob.start(Call::Request { from: "ada", name: "large" }, LONG).unwrap();
    pending.cancel();
    assert_eq!(result(&pending).unwrap_err(), Error::Canceled);
    assert_eq!(text(&bob, "large"), "small");
    assert_eq!(bob.request("ada", "large", LONG).unwrap().len(), 32 << 20);
}
