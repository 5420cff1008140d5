//! What there is to see of a system at one moment, also when it hangs.

use std::time::Instant;

use potluck::{Ended, Event, HandlerError, HandlerResult, PeerOptions, PeerSnapshot, Snapshot, Stage};

use crate::support::{Gate, Kitchen, LONG, NOW, closed, drain, host, kitchen, kitchen_named};

fn peer<'a>(snapshot: &'a Snapshot, name: &str) -> &'a PeerSnapshot {
    snapshot.peers.iter().find(|it| it.peer == name).expect("it is there")
}

fn doing(kitchen: &Kitchen, name: &str) -> String {
    peer(&kitchen.snapshot().unwrap(), name).doing()
}

/// What is seen of a peer once its handler waits in a call: whom it waits for may be at the gate a moment before.
fn once_waiting(kitchen: &Kitchen, name: &str) -> String {
    let deadline = Instant::now() + LONG;
    loop {
        let seen = doing(kitchen, name);
        if seen.contains(", waiting in ") {
            return seen;
        }
        assert!(Instant::now() < deadline, "{seen}");
        std::thread::yield_now();
    }
}

fn gated(gate: &Gate) -> PeerOptions {
    let held = gate.clone();
    PeerOptions::new().on_message(move |_, _| {
        held.pass();
        Ok(())
    })
}

#[test]
fn it_lists_the_peers_in_the_order_of_spawning_with_their_queues_and_shelves() {
    let kitchen = kitchen();
    let (eve, ada) = (kitchen.spawn("eve").unwrap(), kitchen.spawn("ada").unwrap());
    (0..3).for_each(|_| eve.tell("ada", "note", "", NOW).unwrap());
    ada.share("soup", "").unwrap();
    ada.share("bread", "").unwrap();
    ada.unshare("bread").unwrap();
    let snapshot = kitchen.snapshot().unwrap();
    assert_eq!((snapshot.system.as_str(), snapshot.is_open), ("kitchen", true));
    assert_eq!(snapshot.peers.iter().map(|it| it.peer.as_str()).collect::<Vec<_>>(), ["eve", "ada"]);
    let seen = peer(&snapshot, "ada");
    assert_eq!((seen.stage, seen.messages, seen.resources, seen.doing().as_str()), (Stage::Open, 3, 1, "idle"));
    assert!(seen.handler.is_none() && seen.call.is_none());
}

#[test]
fn it_shows_the_handler_that_runs_and_waits_for_none() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let ada = kitchen.spawn_with("ada", gated(&gate)).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    bob.tell("ada", "knead", "", NOW).unwrap();
    bob.tell("ada", "bake", "", NOW).unwrap();
    gate.await_arrival();
    let snapshot = kitchen.snapshot().unwrap();
    let seen = peer(&snapshot, "ada");
    assert_eq!((seen.doing().as_str(), seen.messages), ("on_message \"knead\" from \"bob\"", 1));
    let handler = seen.handler.as_ref().unwrap();
    let about = (handler.name, handler.from.as_deref(), handler.what.as_deref());
    assert_eq!(about, ("on_message", Some("bob"), Some("knead")));
    let later = kitchen.snapshot().unwrap();
    assert!(peer(&later, "ada").since > seen.since && seen.since == handler.since);
    (0..2).for_each(|_| gate.open());
    gate.await_arrival();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
}

#[test]
fn each_handler_is_shown_by_its_name() {
    let kitchen = kitchen();
    let look = {
        let system = kitchen.clone();
        move || doing(&system, "ada")
    };
    let (seen, sights) = crossbeam_channel::unbounded();
    let [on_message, on_request, on_offer, on_received, on_stop] = std::array::from_fn(|_| {
        let (seen, look) = (seen.clone(), look.clone());
        move || -> HandlerResult { Ok(seen.send(look())?) }
    });
    let options = PeerOptions::new()
        .on_message(move |_, _| on_message())
        .on_request(move |_, _, _| on_request())
        .on_offer(move |_, _, _| on_offer())
        .on_received(move |_, _, _| on_received().unwrap())
        .on_stop(move |_| on_stop().unwrap());
    let ada = kitchen.spawn_with("ada", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "leek").unwrap();
    ada.share("bread", "rye").unwrap();
    bob.request("ada", "bread", LONG).unwrap();
    bob.offer("ada", "soup", LONG).unwrap();
    bob.ask("ada", "hello", "", LONG).unwrap_err();
    ada.close(LONG).unwrap();
    let wanted = [
        "on_request \"bread\" from \"bob\"",
        "on_offer \"soup\" from \"bob\"",
        "on_received \"soup\" from \"bob\"",
        "on_message \"hello\" from \"bob\"",
        "on_stop",
    ];
    assert_eq!(sights.try_iter().collect::<Vec<_>>(), wanted);
}

#[test]
fn a_hang_can_be_read_from_who_waits_for_whom() {
    let kitchen = kitchen();
    let gate = Gate::new();
    kitchen.spawn_with("eve", gated(&gate)).unwrap();
    let asking = |to: &'static str| {
        PeerOptions::new()
            .on_message(move |me, message| Ok(message.reply(me.ask(to, message.kind(), "", LONG)?.body())?))
    };
    kitchen.spawn_with("bob", asking("eve")).unwrap();
    let ada = kitchen.spawn_with("ada", asking("bob")).unwrap();
    ada.tell("ada", "help", "", NOW).unwrap();
    gate.await_arrival();
    assert_eq!(once_waiting(&kitchen, "ada"), "on_message \"help\" from \"ada\", waiting in ask \"help\" for \"bob\"");
    assert_eq!(once_waiting(&kitchen, "bob"), "on_message \"help\" from \"ada\", waiting in ask \"help\" for \"eve\"");
    assert_eq!(doing(&kitchen, "eve"), "on_message \"help\" from \"bob\"");
    gate.open();
}

/// What is seen of ada while her handler waits in a call for eve, whose handler stands at the gate.
fn seen_waiting(call: impl Fn(&potluck::Peer) -> potluck::Result<()> + Send + 'static) -> String {
    let kitchen = kitchen();
    let gate = Gate::new();
    let eve = kitchen.spawn_with("eve", gated(&gate).mailbox_messages_max(1).on_request(|_, _, _| Ok(()))).unwrap();
    eve.share("soup", "leek").unwrap();
    eve.tell("eve", "wait", "", NOW).unwrap();
    gate.await_arrival();
    let options = PeerOptions::new().on_message(move |ada, _| call(ada).map_err(HandlerError::from));
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.share("bread", "").unwrap();
    ada.tell("ada", "go", "", NOW).unwrap();
    let seen = once_waiting(&kitchen, "ada");
    let (_, seen) = seen.split_once(", waiting in ").unwrap();
    let seen = seen.to_owned();
    (0..3).for_each(|_| gate.open());
    seen
}

#[test]
fn each_call_that_waits_is_shown_by_its_name() {
    assert_eq!(seen_waiting(|ada| ada.request("eve", "soup", LONG).map(drop)), "request \"soup\" for \"eve\"");
    assert_eq!(seen_waiting(|ada| ada.fetch("soup", LONG).map(drop)), "fetch \"soup\" for \"eve\"");
    assert_eq!(seen_waiting(|ada| ada.offer("eve", "bread", LONG)), "offer \"bread\" for \"eve\"");
    let fill =
        |ada: &potluck::Peer| ada.tell("eve", "first", "", LONG).and_then(|()| ada.tell("eve", "next", "", LONG));
    assert_eq!(seen_waiting(fill), "tell \"next\" for \"eve\"");
    assert_eq!(seen_waiting(|ada| ada.ask("eve", "salt", "", LONG).map(drop)), "ask \"salt\" for \"eve\"");
}

#[test]
fn a_peer_that_closes_is_seen_until_its_last_handler_has_returned() {
    let kitchen = kitchen();
    let gate = Gate::new();
    let ada = kitchen.spawn_with("ada", gated(&gate)).unwrap();
    ada.tell("ada", "wait", "", NOW).unwrap();
    gate.await_arrival();
    assert_eq!(ada.close(NOW), Ok(Ended::StillRunning));
    let snapshot = kitchen.snapshot().unwrap();
    assert_eq!(peer(&snapshot, "ada").stage, Stage::Closing);
    gate.open();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert!(kitchen.snapshot().unwrap().peers.is_empty());
    kitchen.shutdown(LONG).unwrap();
    assert_eq!(kitchen.snapshot().unwrap_err(), closed("kitchen"));
}

#[test]
fn it_may_be_taken_while_peers_come_work_and_go() {
    let kitchen = kitchen();
    let looking = kitchen.clone();
    let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
    let looks = host(move || {
        while stopped.is_empty() && stopped.try_recv() == Err(crossbeam_channel::TryRecvError::Empty) {
            assert!(Json::of(&looking.snapshot().unwrap()).reads());
        }
    });
    for _ in 0..100 {
        let options = PeerOptions::new().on_message(|_, message| Ok(message.reply("")?));
        let ada = kitchen.spawn_with("ada", options).unwrap();
        let bob = kitchen.spawn("bob").unwrap();
        bob.ask("ada", "hello", "", LONG).unwrap();
        assert_eq!((ada.close(LONG), bob.close(LONG)), (Ok(Ended::Yes), Ok(Ended::Yes)));
    }
    drop(stop);
    looks.result();
}

#[test]
fn what_has_gone_over_is_counted_as_the_events_say_it() {
    let kitchen = kitchen();
    let events = kitchen.events(100).unwrap();
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| kitchen.spawn(name).unwrap());
    ada.share("soup", "tomato").unwrap();
    eve.share("soup", "leek").unwrap();
    let soup = bob.request("ada", "soup", LONG).unwrap();
    assert!(bob.request_newer("ada", "soup", &soup, LONG).unwrap().is_none(), "nothing goes over");
    assert!(bob.request("ada", "bread", LONG).is_err());
    bob.fetch("soup", LONG).unwrap();
    bob.offer("ada", "soup", LONG).unwrap();
    bob.exchange("eve", "soup", LONG).unwrap();
    eve.tell("bob", "hello", "", LONG).unwrap();
    eve.tell("bob", "hello", "", LONG).unwrap();
    bob.receive(LONG).unwrap();
    let mut counted = std::collections::BTreeMap::<String, (u64, u64)>::new();
    for event in drain(&events) {
        match event {
            Event::Requested { peer, .. } => counted.entry(peer.to_string()).or_default().0 += 1,
            Event::Received { peer, .. } => counted.entry(peer.to_string()).or_default().1 += 1,
            _ => {}
        }
    }
    let snapshot = kitchen.snapshot().unwrap();
    let found = snapshot.peers.iter().map(|peer| (peer.peer.clone(), (peer.requested, peer.received))).collect();
    assert_eq!(counted, found);
    assert_eq!(counted["bob"].1, 3, "a request, a fetch and an exchange");
    assert_eq!(
        snapshot.peers.iter().map(|peer| (peer.messages, peer.taken)).collect::<Vec<_>>(),
        [(0, 0), (1, 1), (0, 0)]
    );
    drop((ada, eve));
}

#[test]
fn as_json_it_is_a_resource_that_any_parser_reads() {
    let kitchen = kitchen_named("a \"kitchen\"");
    let gate = Gate::new();
    let ada = kitchen.spawn_with("a\\da", gated(&gate)).unwrap();
    let bob = kitchen.spawn("böb\"").unwrap();
    bob.tell("a\\da", "say \"hi\"\\", "", NOW).unwrap();
    gate.await_arrival();
    let json = kitchen.snapshot().unwrap().to_json();
    assert_eq!((json.name(), json.origin(), json.version()), ("snapshot", "a \"kitchen\"", 0));
    let text = String::from_utf8(json.bytes().to_vec()).unwrap();
    assert!(Json::of_text(&text).reads(), "{text}");
    for part in [
        r#"{"system":"a \"kitchen\"","is_open":true,"peers":[{"peer":"a\\da","stage":"open","messages":0,"taken":1,"resources":0,"requested":0,"received":0,"#,
        r#""handler":{"name":"on_message","from":"böb\"","what":"say \"hi\"\\","since_ms":"#,
        r#""call":null},{"peer":"böb\"","#,
        r#"}],"nodes":[],"handles":{}}"#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    for wrong in ["", "{", "{\"a\":}", "[1,]", "\"a", "{}{}", "\"\n\"", "nul", "\"\\x\"", "{\"a\" 1}"] {
        assert!(!Json::of_text(wrong).reads(), "{wrong}");
    }
    gate.open();
    ada.close(LONG).unwrap();
}

/// Enough of a parser of JSON to tell whether a text is one value.
struct Json(Vec<char>, usize);

impl Json {
    fn of(snapshot: &Snapshot) -> Json {
        Json::of_text(std::str::from_utf8(snapshot.to_json().bytes()).unwrap())
    }

    fn of_text(text: &str) -> Json {
        Json(text.chars().collect(), 0)
    }

    fn reads(mut self) -> bool {
        self.value() && self.1 == self.0.len()
    }

    fn take(&mut self, wanted: char) -> bool {
        let is = self.0.get(self.1) == Some(&wanted);
        self.1 += usize::from(is);
        is
    }

    fn value(&mut self) -> bool {
        match self.0.get(self.1) {
            Some('{') => self.all('}', |it| it.string() && it.take(':') && it.value()),
            Some('[') => self.all(']', Json::value),
            Some('"') => self.string(),
            Some('0'..='9') => {
                self.1 += self.0[self.1..].iter().take_while(|digit| digit.is_ascii_digit()).count();
                true
            }
            _ => ["true", "false", "null"].iter().any(|word| {
                let is = self.0[self.1..].starts_with(&word.chars().collect::<Vec<_>>());
                self.1 += if is { word.len() } else { 0 };
                is
            }),
        }
    }

    fn all(&mut self, end: char, item: fn(&mut Json) -> bool) -> bool {
        self.1 += 1;
        if self.take(end) {
            return true;
        }
        while item(self) {
            if self.take(end) {
                return true;
            }
            if !self.take(',') {
                return false;
            }
        }
        false
    }

    fn string(&mut self) -> bool {
        if !self.take('"') {
            return false;
        }
        while let Some(letter) = self.0.get(self.1).copied() {
            self.1 += 1;
            match letter {
                '"' => return true,
                '\\' if self.take('u') => {
                    let hex = self.0[self.1..].iter().take(4).take_while(|digit| digit.is_ascii_hexdigit()).count();
                    self.1 += hex;
                    if hex < 4 {
                        return false;
                    }
                }
                '\\' if !"\"\\/bfnrt".chars().any(|letter| self.take(letter)) => return false,
                control if control < ' ' => return false,
                _ => {}
            }
        }
        false
    }
}
