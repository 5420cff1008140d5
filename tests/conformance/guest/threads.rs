//! What only the operating system can tell: which threads there are, whether they are woken, and how much memory is used.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use potluck::{Ended, Event, PeerOptions, PeerSystem, SystemOptions};

use crate::support::{LONG, NOW, drain, kitchen, kitchen_with, next, shut_down};

/// The tasks of this process whose name begins with `prefix`. A name has at most 15 bytes, `potluck:` included.
fn tasks(prefix: &str) -> Vec<PathBuf> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    // A task may end while it is looked at.
    tasks.filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with(prefix))).collect()
}

/// Fails if they do not go. A thread that has been joined may be listed for an instant.
fn assert_gone(prefix: &str) {
    let deadline = Instant::now() + LONG;
    while !tasks(prefix).is_empty() {
        assert!(Instant::now() < deadline, "threads are left: {:?}", tasks(prefix));
        thread::yield_now();
    }
}

fn status_of(task: &Path, key: &str) -> String {
    let status = fs::read_to_string(task.join("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).expect("the status has it");
    line[key.len()..].trim().to_owned()
}

#[test]
fn a_peer_is_a_thread_named_after_it_that_is_gone_after_its_close() {
    let kitchen = PeerSystem::open("kitchen").unwrap();
    let peer = kitchen.spawn("named").unwrap();
    let deadline = Instant::now() + LONG;
    while tasks("potluck:named").len() != 1 {
        // It names itself when it begins to run.
        assert!(Instant::now() < deadline, "no such thread");
        thread::yield_now();
    }
    assert_eq!(peer.close(LONG), Ok(Ended::Yes));
    assert_gone("potluck:named");
}

#[test]
fn a_read_of_an_idle_peer_runs_on_the_callers_thread() {
    let kitchen = kitchen();
    let (told, tells) = crossbeam_channel::unbounded();
    let options = PeerOptions::new().on_received(move |_, _, _| told.send(()).unwrap());
    let idle = kitchen.spawn_with("idle", options).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    bob.share("soup", "tomato").unwrap();
    // Its thread has run, and sleeps again.
    bob.offer("idle", "soup", LONG).unwrap();
    next(&tells);
    let task = tasks("potluck:idle").pop().unwrap();
    let deadline = Instant::now() + LONG;
    let switches = || (status_of(&task, "voluntary_ctxt_switches:"), status_of(&task, "nonvoluntary_ctxt_switches:"));
    let mut seen = (switches(), 0);
    while seen.1 < 50 {
        assert!(Instant::now() < deadline, "it does not come to rest");
        let now = switches();
        let is_same = now == seen.0 && status_of(&task, "State:").starts_with('S');
        seen = (now, if is_same { seen.1 + 1 } else { 0 });
        thread::yield_now();
    }
    for _ in 0..1_000 {
        bob.request("idle", "soup", NOW).unwrap();
        bob.fetch("soup", NOW).unwrap();
    }
    assert_eq!(switches(), seen.0, "its thread was woken");
    idle.close(LONG).unwrap();
}

#[test]
fn a_request_for_256_mib_copies_nothing() {
    const SIZE: usize = 256 << 20;
    let resident = || {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    let kitchen = kitchen();
    let ada = kitchen.spawn("ada").unwrap();
    let shared = ada.share("banquet", vec![1; SIZE]).unwrap();
    let before = resident();
    let guests: Vec<_> = (0..4).map(|number| kitchen.spawn(&format!("guest{number}")).unwrap()).collect();
    for guest in &guests {
        let copy = guest.request("ada", "banquet", NOW).unwrap();
        assert_eq!((copy.bytes().as_ptr(), copy.len()), (shared.bytes().as_ptr(), SIZE));
    }
    // Other tests run beside this one; they take a few MiB.
    let grown = resident().saturating_sub(before);
    assert!(grown < SIZE / 4, "{grown} bytes more after {} requests", guests.len());
}

#[test]
fn a_thousand_peers_mingle_a_hundred_rounds_and_nothing_is_left() {
    const PEERS: usize = 1_000;
    let kitchen = kitchen_with(SystemOptions::new().drop_timeout(LONG));
    for number in 0..PEERS {
        kitchen.spawn(&format!("mgl{number:04}")).unwrap().share("soup", number.to_string()).unwrap();
    }
    let events = kitchen.events(2 * PEERS).unwrap();
    assert_eq!(drain(&events).len(), PEERS);
    for seed in 0..100 {
        let round = kitchen.mingle("soup", seed, LONG).unwrap();
        assert!(round.len() == PEERS && round.iter().all(|entry| entry.result.is_ok()), "round {seed}");
        let exchanges = round.iter().map(|entry| (entry.from.clone().unwrap(), Arc::clone(&entry.peer)));
        let seen = drain(&events);
        let requests = seen.iter().step_by(2).map(|event| match event {
            Event::Requested { peer, by, .. } => (Arc::clone(peer), Arc::clone(by)),
            other => panic!("{other:?}"),
        });
        assert!(exchanges.eq(requests), "round {seed}: the events are not those of the exchanges");
        let receipts = seen.iter().skip(1).step_by(2).filter(|event| matches!(event, Event::Received { .. }));
        assert_eq!(receipts.count(), PEERS);
    }
    assert_eq!(shut_down(&kitchen, LONG), Ok(Ended::Yes));
    assert_eq!(drain(&events).iter().filter(|event| matches!(event, Event::Left { .. })).count(), PEERS);
    assert_gone("potluck:mgl");
}

#[test]
fn a_peers_thread_blocks_all_signals_that_may_be_meant_for_the_host() {
    // These are the thread's own faults, and the two that nobody can block.
    const NOT_BLOCKED: [u32; 8] = [4, 5, 7, 8, 9, 11, 19, 31];
    let kitchen = kitchen();
    let (seen, sights) = crossbeam_channel::unbounded();
    let options = PeerOptions::new().on_message(move |_, _| {
        seen.send(status_of(Path::new("/proc/thread-self"), "SigBlk:"))?;
        Ok(())
    });
    let ada = kitchen.spawn_with("ada", options).unwrap();
    ada.tell("ada", "look", "", NOW).unwrap();
    let blocked = u64::from_str_radix(&next(&sights), 16).unwrap();
    for signal in (1..32).filter(|signal| !NOT_BLOCKED.contains(signal)) {
        assert_ne!(blocked & 1 << (signal - 1), 0, "signal {signal} of {blocked:x}");
    }
}
