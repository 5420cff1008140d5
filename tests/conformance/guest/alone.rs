//! What can only be seen in a process that does nothing else: each test runs itself again in one of its own.

use std::fs;
use std::process::Command;

use std::thread;
use std::time::Instant;

use potluck::{Ended, PeerOptions, PeerSystem, SystemOptions};

use crate::support::{LONG, NOW, ada_and_bob, host, kitchen, shut_down};

/// Set in the child.
const CHILD: &str = "POTLUCK_TEST_ALONE";
const MARK: &str = "====";

/// In the child, runs it between two marks; in the parent gives what the child wrote between them, and to its standard error.
fn alone(test: &str, run: impl FnOnce()) -> Option<(String, String)> {
    if std::env::var_os(CHILD).is_some() {
        println!("{MARK}");
        run();
        println!("{MARK}");
        return None;
    }
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "60"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", test]).env(CHILD, "1");
    let output = host(move || command.output().unwrap()).result_within(6 * LONG + LONG);
    let (out, err) = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).into();
    assert!(output.status.success(), "{out}{err}");
    let between = out.split(MARK).nth(1).unwrap_or_else(|| panic!("the test did not run: {out}"));
    Some((between.trim().to_owned(), err))
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// The signals that have a handler.
fn caught() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find(|line| line.starts_with("SigCgt:")).unwrap().to_owned()
}

/// All kinds of outcomes, good and bad ones.
fn a_party() {
    let (kitchen, ada, bob) = ada_and_bob();
    let options = PeerOptions::new()
        .on_message(|_, _| std::panic::resume_unwind(Box::new("a panic that says nothing by itself")))
        .on_stop(|_| std::panic::resume_unwind(Box::new("another")));
    kitchen.spawn_with("eve", options).unwrap();
    ada.share("soup", "tomato").unwrap();
    bob.request("ada", "soup", NOW).unwrap();
    bob.request("ada", "bread", NOW).unwrap_err();
    bob.ask("eve", "dance", "", LONG).unwrap_err();
    bob.tell("ada", "hello", "", NOW).unwrap();
    kitchen.mingle("soup", 1, LONG).unwrap();
    kitchen.snapshot().unwrap();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
}

#[test]
fn nothing_is_written_whatever_happens() {
    if let Some(written) = alone("guest::alone::nothing_is_written_whatever_happens", a_party) {
        assert_eq!(written, (String::new(), String::new()));
    }
}

#[test]
fn no_signal_gets_a_handler() {
    alone("guest::alone::no_signal_gets_a_handler", || {
        let before = caught();
        let kitchen = kitchen();
        kitchen.spawn("ada").unwrap();
        assert_eq!(caught(), before);
        a_party();
        assert_eq!(caught(), before);
    });
}

#[test]
fn a_peer_is_one_thread_and_nothing_else_has_any() {
    alone("guest::alone::a_peer_is_one_thread_and_nothing_else_has_any", || {
        let before = threads();
        let kitchen = PeerSystem::open("kitchen").unwrap();
        let events = kitchen.events(10).unwrap();
        assert_eq!(threads(), before);
        let peers = ["ada", "bob", "eve"].map(|name| kitchen.spawn(name).unwrap());
        assert_eq!(threads(), before + 3);
        peers[0].share("soup", "tomato").unwrap();
        peers[1].request("ada", "soup", LONG).unwrap();
        events.next(LONG).unwrap();
        assert_eq!(threads(), before + 3);
    });
}

#[test]
fn a_peer_on_demand_has_a_thread_when_there_is_first_something_to_run() {
    alone("guest::alone::a_peer_on_demand_has_a_thread_when_there_is_first_something_to_run", || {
        let before = threads();
        // A thread that has been joined may be listed for an instant.
        let are = |count: usize| {
            let deadline = Instant::now() + LONG;
            while threads() > before + count && Instant::now() < deadline {
                thread::yield_now();
            }
            assert_eq!(threads(), before + count);
        };
        let kitchen = PeerSystem::open_with("kitchen", SystemOptions::new().lazy_threads(true)).unwrap();
        let (ada, bob) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("bob").unwrap());
        let cook = || PeerOptions::new().on_message(|_, message| Ok(message.reply("salt")?));
        let agrees = PeerOptions::new().on_request(|_, _, _| Ok(())).on_offer(|_, _, _| Ok(()));
        let options = [cook(), cook().on_stop(|_| {}), agrees, PeerOptions::new().on_received(|_, _, _| {})];
        let names = ["cook", "stopping", "agreeing", "receiving"];
        let peers: Vec<_> =
            names.iter().zip(options).map(|(name, options)| kitchen.spawn_with(name, options).unwrap()).collect();

        // All that needs no handler of theirs.
        ada.share("soup", "tomato").unwrap();
        peers[2].share("bread", "rye").unwrap();
        peers[3].share("soup", "leek").unwrap();
        bob.request("ada", "soup", LONG).unwrap();
        bob.request("receiving", "soup", LONG).unwrap();
        bob.fetch("soup", LONG).unwrap();
        bob.offer("ada", "soup", LONG).unwrap();
        bob.offer("cook", "soup", LONG).unwrap();
        bob.exchange("ada", "soup", LONG).unwrap();
        bob.tell("ada", "hello", "", NOW).unwrap();
        ada.receive(NOW).unwrap();
        kitchen.mingle("soup", 1, LONG).unwrap();
        assert_eq!(kitchen.snapshot().unwrap().peers[0].doing(), "idle");
        // Nor does what could only wait for one.
        bob.ask("cook", "taste", "", NOW).unwrap_err();
        bob.request("agreeing", "bread", NOW).unwrap_err();
        are(0);

        bob.ask("cook", "taste", "", LONG).unwrap();
        are(1);
        bob.request("agreeing", "bread", LONG).unwrap();
        are(2);
        bob.offer("receiving", "soup", LONG).unwrap();
        are(3);
        assert_eq!(ada.close(LONG), Ok(Ended::Yes));
        are(3);
        assert_eq!(peers[1].close(LONG), Ok(Ended::Yes));
        are(3);
        assert_eq!(peers[3].close(LONG), Ok(Ended::Yes));
        are(2);
        assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
        are(0);
    });
}
