//! Random calls of all kinds from many threads at once, while peers come and go and their handlers panic, wait, close and call
//! everything. At the end every message is accounted for, no version has meant two contents, and nothing is left.
//!
//! `make soak` runs it for `SOAK_MINUTES`; `SOAK_SEED` repeats the random numbers, though not the interleaving. It has this process
//! for itself, since it measures its memory; with `SOAK_MEMORY=0` it does not compare what it measures.

mod calls;
mod content;
mod kitchen;
mod ledger;
mod random;

use std::collections::BTreeSet;
use std::env;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Sender, unbounded};
use potluck::{Ended, Error, Event, EventReader};

use crate::calls::CALLS;
use crate::kitchen::{Kitchen, LONG, SAYS, number};
use crate::ledger::Fate;

const THREADS: usize = 12;
/// Without `SOAK_MINUTES`.
const SHORT_RUN: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_secs(1);
/// What the allocator may keep of what it was given back.
const SLACK_KIB: u64 = 16 << 10;

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// Where it runs under something that keeps what is freed, memory says nothing.
fn fits(before: u64, after: u64) -> bool {
    after < before + SLACK_KIB || variable("SOAK_MEMORY") == Some(0)
}

/// The resident memory of this process, where it can be seen.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// Runs on a thread of its own, which tells its result.
fn host<T: Send + 'static>(done: &Sender<T>, run: impl FnOnce() -> T + Send + 'static) {
    let (thread, done) = (thread::Builder::new().name("test:host".to_owned()), done.clone());
    thread.spawn(move || drop(done.send(run()))).expect("there is room for a thread");
}

/// Reads all events, and says what is wrong with them. Gives how many dead letters there were.
fn read(kitchen: &Kitchen, events: &EventReader) -> u64 {
    let (mut here, mut buried) = (BTreeSet::new(), 0);
    loop {
        let event = match events.next(Duration::MAX) {
            Ok(event) => event,
            Err(Error::Closed { .. }) => return buried,
            Err(error) => {
                kitchen.fault(format!("events: {error:?}"));
                return buried;
            }
        };
        let is_right = match &event {
            Event::Joined { peer } => here.insert(peer.to_string()),
            Event::Left { peer } => here.remove(&**peer),
            Event::Requested { peer, by, .. } => here.contains(&**peer) && here.contains(&**by),
            Event::Received { peer, from, .. } => here.contains(&**peer) && here.contains(&**from),
            Event::HandlerFailed { peer, text, .. } => {
                // One that refuses where it can not is said to fail with these words.
                here.contains(&**peer) && SAYS.iter().any(|words| text.ends_with(words))
            }
            Event::UnknownMessage { peer, .. } => here.contains(&**peer),
            Event::DeadLetter { to, kind, .. } => {
                buried += 1;
                match number(kind) {
                    Some((_, number)) => kitchen.check(kitchen.ledger.fate(number, Fate::Buried)),
                    None => kitchen.fault(format!("nobody sent {event:?}")),
                }
                here.contains(&**to)
            }
            _ => false,
        };
        if !is_right {
            kitchen.fault(format!("not now, of those who have joined and not left ({here:?}): {event:?}"));
        }
    }
}

/// Runs everything for so long, and then looks whether all is right. A hang ends with what hangs.
fn run(seed: u64, lasting: Duration) {
    let kitchen = Kitchen::open(seed);
    let events = kitchen.system.events(100_000_000).expect("it is open");
    let end = Instant::now() + lasting;
    let (read_all, reader) = unbounded();
    let reading = Arc::clone(&kitchen);
    host(&read_all, move || read(&reading, &events));
    let (done, results) = unbounded();
    for _ in 0..THREADS {
        let kitchen = Arc::clone(&kitchen);
        host(&done, move || {
            let mut random = kitchen.random();
            let mut calls = 0_u64;
            while Instant::now() < end && kitchen.faults().is_empty() {
                let guest = kitchen.guest(false, &mut random);
                // One that has ended can do nothing any more, and nobody can do anything with it.
                if !guest.peer.has_ended() || kitchen.replace(&guest, &mut random).is_ok() {
                    guest.call(&mut random);
                }
                calls += 1;
            }
            calls
        });
    }
    drop((read_all, done));
    // So early nobody is done, unless something is wrong.
    let mut calls: Vec<u64> = results.recv_timeout(lasting / 4).into_iter().collect();
    let early = resident_kib();
    while calls.len() < THREADS {
        // Longer than any call may take, so that a call that hangs is known by its name.
        let result = results.recv_timeout(end.saturating_duration_since(Instant::now()) + 2 * LONG);
        calls.push(result.unwrap_or_else(|_| panic!("a thread hangs or panicked: {:#?}", kitchen.system.snapshot())));
    }
    let late = resident_kib();
    let report = kitchen.system.shutdown(LONG);
    assert!(report.as_ref().is_ok_and(|report| report.ended == Ended::Yes), "{report:#?}");
    let buried = reader.recv_timeout(LONG).expect("the reader reads to the end");
    kitchen.clear();

    let counts = kitchen.ledger.counts();
    let calls: u64 = calls.iter().sum();
    println!("{calls} calls by the host; {counts:?}; {early} KiB, then {late} KiB");
    assert_eq!(kitchen.faults(), [""; 0]);
    assert_eq!(kitchen.ledger.missing(), [""; 0]);
    let dead = kitchen.system.dead_letters().expect("they can be read afterwards").count;
    assert_eq!((counts.buried, dead), (buried, buried));
    assert!(counts.handled > 0 && counts.buried > 0);
    // Where there was time enough for each.
    for (call, done) in CALLS.iter().zip(&kitchen.done).filter(|_| calls > 10_000) {
        assert!(done.load(Ordering::Relaxed) > 0, "{} never went well", call.name);
    }
    assert!(fits(early, late), "it grows while it runs: {early} KiB, then {late} KiB");
    assert_eq!(kitchen.alive(), (0, 0), "bodies and handlers that were not dropped");
    assert_eq!(Arc::strong_count(&kitchen), 1, "somebody still holds the kitchen");
}

#[test]
fn whatever_happens_nothing_vanishes_nothing_is_mixed_and_nothing_is_left() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_nanos() as u64;
    let seed = variable("SOAK_SEED").unwrap_or(now);
    let lasting = variable("SOAK_MINUTES").map_or(SHORT_RUN, |minutes| Duration::from_secs(60 * minutes));
    println!("SOAK_SEED={seed}");
    run(seed, WARM_UP);
    let memory = resident_kib();
    run(seed.wrapping_add(1), lasting);
    let after = resident_kib();
    println!("{memory} KiB resident after the warm-up, {after} KiB after the run");
    assert!(fits(memory, after), "{} KiB are left", after - memory);
}
