//! Messages to a peer with on_message: what the handler answers, and what the sender learns.

use crossbeam_channel::unbounded;
use potluck::{Error, Event, HandlerError, PeerOptions};

use crate::support::{LONG, NOW, drain, handler_failed, kitchen, kitchen_of, no_such_peer};

#[test]
fn an_answer_is_a_resource_named_by_the_kind_from_the_replier_of_version_0() {
    let (_kitchen, _ada, bob) = kitchen_of(|ada, message| {
        let seen = format!("{} {} {:?} {}", ada.name(), message.from(), message.bytes(), message.is_ask());
        Ok(message.reply(seen)?)
    });
    let answer = bob.ask("ada", "taste", vec![1, 2], LONG).unwrap();
    assert_eq!((answer.name(), answer.origin(), answer.version()), ("taste", "ada", 0));
    assert_eq!(answer.bytes(), b"ada bob [1, 2] true");
    assert!(bob.resources().unwrap().is_empty());
}

#[test]
fn a_tell_reaches_the_handler_whole() {
    let (seen, sights) = unbounded();
    let (_kitchen, _ada, bob) = kitchen_of(move |_, message| {
        seen.send((message.from().to_owned(), message.kind().to_owned(), message.body(), message.is_ask()))?;
        Ok(())
    });
    bob.tell("ada", "hello", "there", NOW).unwrap();
    bob.tell("ada", "empty", "", NOW).unwrap();
    let sights = [sights.recv_timeout(LONG).unwrap(), sights.recv_timeout(LONG).unwrap()];
    assert_eq!(sights[0], ("bob".into(), "hello".into(), "there".into(), false));
    assert_eq!(sights[1], ("bob".into(), "empty".into(), "".into(), false));
}

#[test]
fn a_message_to_an_unknown_peer_names_it() {
    let (_kitchen, _ada, bob) = kitchen_of(|_, _| Ok(()));
    assert_eq!(bob.tell("eve", "hello", "", LONG).unwrap_err(), no_such_peer("eve"));
    assert_eq!(bob.ask("eve", "hello", "", LONG).unwrap_err(), no_such_peer("eve"));
}

#[test]
fn an_ask_that_the_handler_does_not_answer_gets_no_reply() {
    let (_kitchen, _ada, bob) = kitchen_of(|_, _| Ok(()));
    assert_eq!(bob.ask("ada", "taste", "", LONG).unwrap_err(), Error::NoReply { peer: "ada".into() });
}

#[test]
fn an_unknown_kind_is_told_to_the_asker_and_by_an_event() {
    let (kitchen, _ada, bob) = kitchen_of(|_, _| Err(HandlerError::UnknownMessage));
    let events = kitchen.events(10).unwrap();
    drain(&events);
    let unknown = Error::UnknownMessage { peer: "ada".into(), kind: "sing".into() };
    assert_eq!(bob.ask("ada", "sing", "la", LONG).unwrap_err(), unknown);
    let event = Event::UnknownMessage { peer: "ada".into(), from: "bob".into(), kind: "sing".into(), size: 2 };
    assert_eq!(drain(&events), [event]);
}

#[test]
fn an_unknown_kind_that_was_told_is_an_event() {
    let (kitchen, _ada, bob) = kitchen_of(|_, _| Err(HandlerError::UnknownMessage));
    let events = kitchen.events(10).unwrap();
    drain(&events);
    bob.tell("ada", "sing", "la", NOW).unwrap();
    let event = Event::UnknownMessage { peer: "ada".into(), from: "bob".into(), kind: "sing".into(), size: 2 };
    assert_eq!(events.next(LONG), Ok(event));
}

#[test]
fn a_handler_that_fails_gives_the_asker_the_text_and_the_peer_lives_on() {
    let (kitchen, ada, bob) = kitchen_of(|_, message| match message.kind() {
        "fail" => Err(HandlerError::failed("burnt")),
        "question mark" => Err("no number".parse::<u8>().unwrap_err().into()),
        "panic" => panic!("the pot is hot"),
        "panic with a text made up" => panic!("{}", String::from_utf8_lossy(message.bytes())),
        "panic with a number" => std::panic::panic_any(7),
        _ => Ok(message.reply("fine")?),
    });
    let events = kitchen.events(10).unwrap();
    drain(&events);
    let parse = "no number".parse::<u8>().unwrap_err().to_string();
    let fails = [("fail", "burnt"), ("question mark", &parse), ("panic", "the pot is hot")];
    for (kind, text) in fails.into_iter().chain([("panic with a text made up", "so hot")]) {
        assert_eq!(bob.ask("ada", kind, "so hot", LONG).unwrap_err(), handler_failed("ada", text));
        let event = Event::HandlerFailed { peer: "ada".into(), from: "bob".into(), text: text.to_owned() };
        assert_eq!(drain(&events), [event]);
    }
    let no_text = bob.ask("ada", "panic with a number", "", LONG).unwrap_err();
    assert!(matches!(no_text, Error::HandlerFailed { .. }), "{no_text}");
    assert_eq!(bob.ask("ada", "taste", "", LONG).unwrap().bytes(), b"fine");
    ada.share("soup", "tomato").unwrap();
    assert_eq!(bob.request("ada", "soup", NOW).unwrap().version(), 1);
}

#[test]
fn a_failure_of_a_handler_that_was_told_is_an_event() {
    let (kitchen, _ada, bob) = kitchen_of(|_, _| panic!("the pot is hot"));
    let events = kitchen.events(10).unwrap();
    drain(&events);
    bob.tell("ada", "taste", "", NOW).unwrap();
    let event = Event::HandlerFailed { peer: "ada".into(), from: "bob".into(), text: "the pot is hot".into() };
    assert_eq!(events.next(LONG), Ok(event));
}

#[test]
fn an_answer_given_before_the_handler_fails_stands() {
    let (_kitchen, _ada, bob) = kitchen_of(|_, message| {
        message.reply("salty")?;
        panic!("the pot is hot");
    });
    assert_eq!(bob.ask("ada", "taste", "", LONG).unwrap().bytes(), b"salty");
}

#[test]
fn a_second_reply_and_a_reply_to_a_tell_are_invalid() {
    let (seen, sights) = unbounded();
    let (_kitchen, _ada, bob) = kitchen_of(move |_, message| {
        seen.send((message.is_ask(), message.reply("first"), message.reply("second")))?;
        Ok(())
    });
    assert_eq!(bob.ask("ada", "taste", "", LONG).unwrap().bytes(), b"first");
    let (is_ask, first, second) = sights.recv_timeout(LONG).unwrap();
    assert!(is_ask && first.is_ok() && matches!(second, Err(Error::InvalidArgument(_))), "{second:?}");
    bob.tell("ada", "taste", "", NOW).unwrap();
    let (is_ask, first, _) = sights.recv_timeout(LONG).unwrap();
    assert!(!is_ask && matches!(first, Err(Error::InvalidArgument(_))), "{first:?}");
}

#[test]
fn a_tell_to_oneself_is_queued() {
    let (seen, sights) = unbounded();
    let (_kitchen, ada, _bob) = kitchen_of(move |ada, message| {
        if message.kind() == "first" {
            ada.tell("ada", "second", "", NOW)?;
        }
        seen.send((message.from().to_owned(), message.kind().to_owned()))?;
        Ok(())
    });
    ada.tell("ada", "first", "", NOW).unwrap();
    let sights = [sights.recv_timeout(LONG).unwrap(), sights.recv_timeout(LONG).unwrap()];
    assert_eq!(sights, [("ada".into(), "first".into()), ("ada".into(), "second".into())]);
}

#[test]
fn an_ask_to_oneself_from_a_host_thread_is_answered() {
    let (_kitchen, ada, _bob) = kitchen_of(|_, message| Ok(message.reply("me")?));
    assert_eq!(ada.ask("ada", "who", "", LONG).unwrap().bytes(), b"me");
}

#[test]
fn an_ask_from_its_own_handler_is_a_deadlock_as_whomever() {
    let kitchen = kitchen();
    let bob = kitchen.spawn("bob").unwrap();
    let other = bob.clone();
    let (seen, sights) = unbounded();
    let options = PeerOptions::new().on_message(move |ada, _| {
        for peer in [ada, &other] {
            seen.send(peer.ask("ada", "again", "", LONG).unwrap_err())?;
        }
        Ok(())
    });
    kitchen.spawn_with("ada", options).unwrap();
    bob.tell("ada", "go", "", NOW).unwrap();
    for _ in 0..2 {
        let error = sights.recv_timeout(LONG).unwrap();
        assert!(matches!(&error, Error::Deadlock { ring } if ring.contains(&"ada".to_owned())), "{error}");
    }
}
