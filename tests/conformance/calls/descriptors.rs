//! Descriptors: readable whenever the call that they belong to would return at once.

use std::os::fd::{AsFd, OwnedFd};
use std::task::Poll;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use potluck::{Bytes, Call, Ended, Error, Event, Peer, PeerOptions, Pending, SystemOptions};

use crate::support::{
    Gate, LONG, NOW, SHORT, ada_and_bob, closed, drain, host, kitchen, kitchen_with, peer_closed, shut_down,
};

/// A peer whose handler stops at the gate.
fn gated(gate: &Gate) -> PeerOptions {
    let gate = gate.clone();
    PeerOptions::new().on_message(move |_, _| {
        gate.pass();
        Ok(())
    })
}

fn wait(descriptor: &OwnedFd, timeout: PollTimeout) -> bool {
    let mut looked = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
    poll(&mut looked, timeout).expect("it can be polled") == 1
}

fn is_readable(descriptor: &OwnedFd) -> bool {
    wait(descriptor, PollTimeout::ZERO)
}

fn becomes_readable(descriptor: &OwnedFd) -> bool {
    wait(descriptor, PollTimeout::try_from(LONG).expect("it fits"))
}

fn ask(to: &str) -> Call<'_> {
    Call::Ask { to, kind: "taste", body: Bytes::new() }
}

#[test]
fn a_readers_is_readable_as_long_as_there_is_an_event() {
    let kitchen = kitchen();
    kitchen.spawn("ada").unwrap();
    let events = kitchen.events(1).unwrap();
    let descriptor = events.descriptor().unwrap();
    assert!(is_readable(&descriptor), "it begins with who is there");
    assert_eq!(drain(&events).len(), 1);
    assert!(!is_readable(&descriptor));
    for name in ["bob", "eve", "dan"] {
        kitchen.spawn(name).unwrap();
        assert!(is_readable(&descriptor));
    }
    let second = events.descriptor().unwrap();
    assert!(matches!(events.next(NOW), Ok(Event::Joined { .. })));
    assert!(is_readable(&descriptor) && is_readable(&second), "what was missed is an event, too");
    assert_eq!(events.next(NOW), Ok(Event::Missed { count: 2 }));
    assert!(!is_readable(&descriptor) && !is_readable(&second));
    drop(descriptor);
    kitchen.spawn("kim").unwrap();
    assert!(is_readable(&second), "each is its owner's alone");
}

#[test]
fn whoever_polls_for_events_is_woken_by_one() {
    let kitchen = kitchen();
    let events = kitchen.events(1).unwrap();
    let descriptor = events.descriptor().unwrap();
    let poller = host(move || becomes_readable(&descriptor));
    kitchen.spawn("ada").unwrap();
    assert!(poller.result());
}

#[test]
fn a_readers_is_readable_for_good_after_its_end() {
    let kitchen = kitchen();
    let (closing, reading) = (kitchen.events(1).unwrap(), kitchen.events(1).unwrap());
    let (of_closed, of_ended) = (closing.descriptor().unwrap(), reading.descriptor().unwrap());
    closing.close();
    assert!(is_readable(&of_closed) && !is_readable(&of_ended));
    assert!(is_readable(&closing.descriptor().unwrap()));
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
    assert!(is_readable(&of_ended));
    assert!(drain(&reading).is_empty() && reading.next(NOW) == Err(closed("kitchen")));
    assert!(is_readable(&of_ended));
    drop((closing, reading));
    assert!(is_readable(&of_closed) && is_readable(&of_ended));
}

#[test]
fn a_pending_calls_is_readable_once_it_is_done() {
    let (kitchen, ada, bob) = ada_and_bob();
    let gate = Gate::new();
    kitchen.spawn_with("eve", gated(&gate)).unwrap();
    let pending = ada.start(ask("eve"), LONG).unwrap();
    let (one, two) = (pending.descriptor().unwrap(), pending.descriptor().unwrap());
    gate.await_arrival();
    assert!(!is_readable(&one) && matches!(pending.wait(NOW), Poll::Pending));
    gate.open();
    assert!(becomes_readable(&one) && becomes_readable(&two));
    assert!(matches!(pending.wait(NOW), Poll::Ready(Err(Error::NoReply { .. }))));
    assert!(is_readable(&one) && is_readable(&pending.descriptor().unwrap()));
    drop(pending);
    assert!(is_readable(&one), "for good");

    bob.share("soup", "tomato").unwrap();
    let done = ada.start(Call::Request { from: "bob", name: "soup" }, NOW).unwrap();
    assert!(is_readable(&done.descriptor().unwrap()), "it was done at once");
}

#[test]
fn a_pending_calls_is_readable_whoever_ends_it() {
    type End = fn(&Pending, &Peer, &Peer);
    let ends: [(Duration, End, Error); 4] = [
        (SHORT, |_, _, _| {}, Error::TimedOut),
        (LONG, |pending, _, _| pending.cancel(), Error::Canceled),
        // Its handler goes on, and whoever waits in its mailbox is told.
        (LONG, |_, ada, _| assert_eq!(ada.close(NOW), Ok(Ended::StillRunning)), peer_closed("ada")),
        (LONG, |_, _, bob| assert_eq!(bob.close(LONG), Ok(Ended::Yes)), closed("bob")),
    ];
    for (timeout, end, error) in ends {
        let (kitchen, gate) = (kitchen(), Gate::new());
        let (ada, bob) = (kitchen.spawn_with("ada", gated(&gate)).unwrap(), kitchen.spawn("bob").unwrap());
        let _running = bob.start(ask("ada"), LONG).unwrap();
        gate.await_arrival();
        let pending = bob.start(ask("ada"), timeout).unwrap();
        let descriptor = pending.descriptor().unwrap();
        end(&pending, &ada, &bob);
        assert!(becomes_readable(&descriptor), "{error}");
        let Poll::Ready(Err(found)) = pending.wait(NOW) else { panic!("{error}: it is not done") };
        assert_eq!(found, error);
        gate.open();
    }
}

#[test]
fn an_inboxes_is_readable_as_long_as_there_is_a_message() {
    let (_kitchen, ada, bob) = ada_and_bob();
    bob.tell("ada", "one", "", NOW).unwrap();
    let descriptor = ada.descriptor().unwrap();
    assert!(is_readable(&descriptor));
    bob.tell("ada", "two", "", NOW).unwrap();
    ada.receive(NOW).unwrap();
    assert!(is_readable(&descriptor));
    ada.receive(NOW).unwrap();
    assert!(!is_readable(&descriptor));
    let poller = host({
        let ada = ada.clone();
        move || becomes_readable(&descriptor).then(|| ada.receive(NOW).map(|message| message.kind().to_owned()))
    });
    let asker = host(move || bob.ask("ada", "three", "", LONG));
    assert_eq!(poller.result(), Some(Ok("three".to_owned())));
    assert!(matches!(asker.result(), Err(Error::NoReply { .. })));
}

#[test]
fn an_inboxes_is_readable_when_who_waited_for_room_gets_it() {
    let kitchen = kitchen_with(SystemOptions::new().mailbox_messages_max(1));
    let [ada, bob] = ["ada", "bob"].map(|name| kitchen.spawn(name).unwrap());
    let descriptor = ada.descriptor().unwrap();
    bob.tell("ada", "one", "", NOW).unwrap();
    let waiting = bob.start(Call::Tell { to: "ada", kind: "two", body: Bytes::new() }, LONG).unwrap();
    assert_eq!(ada.receive(NOW).unwrap().kind(), "one");
    assert!(matches!(waiting.wait(NOW), Poll::Ready(Ok(None))) && is_readable(&descriptor));
    assert_eq!(ada.receive(NOW).unwrap().kind(), "two");
    assert!(!is_readable(&descriptor));
}

#[test]
fn an_inboxes_is_readable_for_good_after_the_close() {
    let (_kitchen, ada, _bob) = ada_and_bob();
    let descriptor = ada.descriptor().unwrap();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert!(is_readable(&descriptor));
    assert_eq!(ada.receive(NOW).unwrap_err(), closed("ada"));
    assert!(is_readable(&descriptor));
}

#[test]
fn a_peer_with_on_message_has_no_inbox_to_poll() {
    let kitchen = kitchen();
    let ada = kitchen.spawn_with("ada", PeerOptions::new().on_message(|_, _| Ok(()))).unwrap();
    assert!(matches!(ada.descriptor(), Err(Error::InvalidArgument(_))));
}
