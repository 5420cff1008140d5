//! Room in a mailbox: who finds none waits, in line, or is told.

use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, unbounded};
use potluck::{Bytes, Error, Message, Peer, PeerOptions};

use crate::support::{Dropped, Gate, Kitchen, LONG, NOW, SHORT, full, host, kitchen, next};

/// A system with a bob, and an ada whose handler stands at the gate with the first message and whose mailbox is limited
/// by `limit`; what she handles comes out of the channel.
fn busy_ada(limit: fn(PeerOptions) -> PeerOptions) -> (Kitchen, Peer, Gate, Receiver<String>) {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let (seen, sights) = unbounded();
    let on_message = move |_: &Peer, message: &Message| {
        held.pass();
        Ok(seen.send(message.kind().to_owned())?)
    };
    kitchen.spawn_with("ada", limit(PeerOptions::new()).on_message(on_message)).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    bob.tell("ada", "first", "", NOW).unwrap();
    gate.await_arrival();
    (kitchen, bob, gate, sights)
}

fn two_messages(options: PeerOptions) -> PeerOptions {
    options.mailbox_messages_max(2)
}

fn one_message(options: PeerOptions) -> PeerOptions {
    options.mailbox_messages_max(1)
}

fn ten_bytes(options: PeerOptions) -> PeerOptions {
    options.mailbox_bytes_max(10)
}

#[test]
fn a_message_is_counted_until_its_handler_begins() {
    let (_kitchen, bob, gate, sights) = busy_ada(two_messages);
    bob.try_tell("ada", "second", "").unwrap();
    bob.try_tell("ada", "third", "").unwrap();
    assert_eq!(bob.try_tell("ada", "fourth", "").unwrap_err(), full("ada"));
    gate.open();
    gate.await_arrival();
    bob.try_tell("ada", "fourth", "").unwrap();
    (0..3).for_each(|_| gate.open());
    for kind in ["first", "second", "third", "fourth"] {
        assert_eq!(next(&sights), kind);
    }
}

#[test]
fn a_full_mailbox_is_full_at_timeout_0_and_at_the_deadline_and_nothing_is_sent() {
    let (_kitchen, bob, gate, sights) = busy_ada(one_message);
    bob.try_tell("ada", "second", "").unwrap();
    assert_eq!(bob.try_tell("ada", "third", "").unwrap_err(), full("ada"));
    assert_eq!(bob.tell("ada", "third", "", NOW).unwrap_err(), full("ada"));
    assert_eq!(bob.tell("ada", "third", "", SHORT).unwrap_err(), full("ada"));
    assert_eq!(bob.ask("ada", "third", "", NOW).unwrap_err(), full("ada"));
    assert_eq!(bob.ask("ada", "third", "", SHORT).unwrap_err(), full("ada"));
    (0..3).for_each(|_| gate.open());
    bob.ask("ada", "last", "", LONG).unwrap_err();
    assert_eq!(sights.try_iter().collect::<Vec<_>>(), ["first", "second", "last"]);
}

#[test]
fn a_tell_waits_until_there_is_room() {
    let (_kitchen, bob, gate, sights) = busy_ada(one_message);
    bob.try_tell("ada", "second", "").unwrap();
    let third = host(move || bob.tell("ada", "third", "", LONG)).waiting();
    assert!(third.is_waiting());
    gate.open();
    third.result().unwrap();
    (0..2).for_each(|_| gate.open());
    for kind in ["first", "second", "third"] {
        assert_eq!(next(&sights), kind);
    }
}

#[test]
fn room_is_granted_in_the_order_of_arrival_and_nobody_overtakes() {
    let (kitchen, bob, gate, sights) = busy_ada(one_message);
    bob.try_tell("ada", "0", "").unwrap();
    let senders: Vec<_> = (1..=5)
        .map(|number| {
            let (bob, kind) = (bob.clone(), number.to_string());
            // Asks stand in the same line as tells.
            let send = move || {
                if number % 2 == 0 {
                    bob.ask("ada", &kind, "", LONG).map(drop)
                } else {
                    bob.tell("ada", &kind, "", LONG)
                }
            };
            host(send).waiting()
        })
        .collect();
    let eve = kitchen.spawn("eve").unwrap();
    assert_eq!(eve.try_tell("ada", "overtaking", "").unwrap_err(), full("ada"));
    (0..7).for_each(|_| gate.open());
    for sender in senders {
        let result = sender.result();
        assert!(matches!(result, Ok(()) | Err(Error::NoReply { .. })), "{result:?}");
    }
    assert_eq!(next(&sights), "first");
    for number in 0..=5 {
        assert_eq!(next(&sights), number.to_string());
    }
}

#[test]
fn a_mailbox_is_bounded_by_bytes_too() {
    let (_kitchen, bob, gate, _sights) = busy_ada(ten_bytes);
    bob.try_tell("ada", "second", "123456").unwrap();
    bob.try_tell("ada", "third", "1234").unwrap();
    bob.try_tell("ada", "empty", "").unwrap();
    assert_eq!(bob.try_tell("ada", "fourth", "1").unwrap_err(), full("ada"));
    (0..5).for_each(|_| gate.open());
    bob.tell("ada", "fifth", "1234567890", LONG).unwrap();
}

fn is_too_large(error: &Error) -> bool {
    matches!(error, Error::TooLarge { limit: 10, size: 11, .. })
}

#[test]
fn a_message_larger_than_the_whole_limit_is_too_large_at_once() {
    let (_kitchen, bob, gate, _sights) = busy_ada(ten_bytes);
    for timeout in [NOW, LONG] {
        let told = bob.tell("ada", "large", vec![0; 11], timeout).unwrap_err();
        assert!(is_too_large(&told), "told within {timeout:?}: {told}");
        let asked = bob.ask("ada", "large", vec![0; 11], timeout).unwrap_err();
        assert!(is_too_large(&asked), "asked within {timeout:?}: {asked}");
    }
    gate.open();
}

#[test]
fn a_message_larger_than_the_whole_limit_is_too_large_at_once_also_at_a_full_mailbox_with_a_line() {
    let (_kitchen, bob, gate, _sights) = busy_ada(ten_bytes);
    bob.try_tell("ada", "filling", "1234567890").unwrap();
    let other = bob.clone();
    let in_line = host(move || other.tell("ada", "in line", "1", LONG)).waiting();
    let other = bob.clone();
    let told = host(move || other.tell("ada", "large", vec![0; 11], LONG)).waiting();
    let other = bob.clone();
    let asked = host(move || other.ask("ada", "large", vec![0; 11], LONG).map(drop)).waiting();
    let other = bob.clone();
    let behind = host(move || other.tell("ada", "behind", "1", LONG)).waiting();
    (0..4).for_each(|_| gate.open());
    in_line.result().unwrap();
    let told = told.result().unwrap_err();
    assert!(is_too_large(&told), "{told}");
    let asked = asked.result().unwrap_err();
    assert!(is_too_large(&asked), "{asked}");
    behind.result().unwrap();
}

#[test]
fn one_who_gives_up_waiting_lets_those_behind_go_on() {
    let (_kitchen, bob, gate, sights) = busy_ada(ten_bytes);
    bob.try_tell("ada", "second", "12345").unwrap();
    let other = bob.clone();
    let large = host(move || other.tell("ada", "large", "1234567890", SHORT)).waiting();
    let other = bob.clone();
    let small = host(move || other.tell("ada", "small", "12345", LONG));
    assert_eq!(large.result().unwrap_err(), full("ada"));
    small.result().unwrap();
    (0..3).for_each(|_| gate.open());
    for kind in ["first", "second", "small"] {
        assert_eq!(next(&sights), kind);
    }
}

#[test]
fn an_ask_that_was_given_up_keeps_its_place_until_it_is_taken_out() {
    let (_kitchen, bob, gate, sights) = busy_ada(one_message);
    assert_eq!(bob.ask("ada", "given up", "", SHORT).unwrap_err(), Error::TimedOut);
    assert_eq!(bob.try_tell("ada", "second", "").unwrap_err(), full("ada"));
    let second = host(move || bob.tell("ada", "second", "", LONG)).waiting();
    (0..2).for_each(|_| gate.open());
    second.result().unwrap();
    assert_eq!([next(&sights), next(&sights)], ["first", "second"]);
}

#[test]
fn senders_that_are_ended_while_they_wait_leave_the_room_as_it_was() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().mailbox_messages_max(1).on_message(move |_, message| {
        if message.kind() == "hold" {
            held.pass();
        }
        Ok(())
    });
    kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    for round in 0..50 {
        let note = |error| panic!("round {round}: {error}");
        bob.tell("ada", "hold", "", LONG).unwrap_or_else(note);
        gate.await_arrival();
        bob.try_tell("ada", "inside", "").unwrap_or_else(note);
        let eve = kitchen.spawn("eve").unwrap();
        let send = |number| {
            let eve = eve.clone();
            host(move || {
                if number % 2 == 0 {
                    eve.tell("ada", "in line", "", LONG)
                } else {
                    eve.ask("ada", "in line", "", LONG).map(drop)
                }
            })
        };
        let senders: Vec<_> = (0..4).map(|number| send(number).waiting()).collect();
        // Room is made while they are on their way out.
        eve.close(NOW).unwrap();
        gate.open();
        for sender in senders {
            let result = sender.result();
            let is_known = matches!(result, Ok(()) | Err(Error::Closed { .. } | Error::NoReply { .. }));
            assert!(is_known, "round {round}: {result:?}");
        }
        eve.close(LONG).unwrap();
        // One message is what the limit says, not more and not less.
        bob.tell("ada", "hold", "", LONG).unwrap_or_else(note);
        gate.await_arrival();
        bob.try_tell("ada", "inside", "").unwrap_or_else(note);
        assert_eq!(bob.try_tell("ada", "outside", ""), Err(full("ada")), "round {round}");
        gate.open();
    }
}

#[test]
fn operations_and_receipts_never_count_as_messages() {
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    let (seen, sights) = unbounded();
    let receipts = seen.clone();
    let options = PeerOptions::new()
        .mailbox_messages_max(1)
        .on_message(move |ada, message| {
            if message.kind() == "wait" {
                ada.ask("bob", "how long?", "", LONG)?;
            }
            Ok(seen.send(message.kind().to_owned())?)
        })
        .on_request(|_, _, _| Ok(()))
        .on_received(move |_, _, got| receipts.send(got.name().to_owned()).unwrap());
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.share("soup", "tomato").unwrap();
    ada.tell("ada", "wait", "", NOW).unwrap();
    let question = bob.receive(LONG).unwrap();
    // Receipts, since her handler has given up its turn; and requests, which must wait for her thread.
    for name in ["bread", "cake", "salt"] {
        bob.share(name, "").unwrap();
        bob.offer("ada", name, LONG).unwrap();
    }
    let requests = [(); 3].map(|()| {
        let bob = bob.clone();
        host(move || bob.request("ada", "soup", LONG).map(drop)).waiting()
    });
    bob.try_tell("ada", "note", "").unwrap();
    assert_eq!(bob.try_tell("ada", "one too many", ""), Err(full("ada")));
    question.reply("now").unwrap();
    requests.into_iter().for_each(|request| assert_eq!(request.result(), Ok(())));
    for expected in ["wait", "bread", "cake", "salt", "note"] {
        assert_eq!(next(&sights), expected);
    }
}

#[test]
fn a_message_that_was_given_up_frees_its_body_at_once() {
    struct Body(Dropped);
    impl AsRef<[u8]> for Body {
        fn as_ref(&self) -> &[u8] {
            self.0.touch();
            b"body"
        }
    }
    let (_kitchen, bob, gate, _sights) = busy_ada(one_message);
    let body = || {
        let (data, dropped) = Dropped::new();
        (Bytes::from_owner(Body(data)), dropped)
    };
    let ((queued, first), (in_line, second)) = (body(), body());
    assert_eq!(bob.ask("ada", "queued", queued, SHORT).unwrap_err(), Error::TimedOut);
    assert_eq!(bob.tell("ada", "in line", in_line, SHORT).unwrap_err(), full("ada"), "it still has its place");
    assert_eq!((first.load(Ordering::SeqCst), second.load(Ordering::SeqCst)), (1, 1));
    gate.open();
}
