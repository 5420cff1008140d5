//! What must not grow, however often it is done: memory, threads, descriptors.
#![cfg(target_os = "linux")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use potluck::{Bytes, Call, Ended, Error, PeerOptions, PeerSystem, SystemOptions};

const LONG: Duration = Duration::from_secs(20);
const CYCLES: usize = 10_000;
const ASKS: u64 = 1_000_000;
const STARTED: u64 = 300_000;
const CALLERS: u64 = 8;
/// What the allocator may keep of what it was given back.
const SLACK_KIB: u64 = 8 << 10;

/// The tests measure the process, so they take turns.
static ALONE: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel says so");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

fn entries(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// Threads that were joined may be listed for an instant.
fn assert_threads(expected: usize) {
    let deadline = Instant::now() + LONG;
    while entries("/proc/self/task") > expected {
        assert!(Instant::now() < deadline, "{} threads, not {expected}", entries("/proc/self/task"));
        thread::yield_now();
    }
}

fn open_exchange_close() {
    let system = PeerSystem::open("kitchen").unwrap();
    let options = PeerOptions::new().on_message(|_, message| Ok(message.reply("yes")?)).on_received(|_, _, _| {});
    let (ada, bob) = (system.spawn_with("ada", options).unwrap(), system.spawn("bob").unwrap());
    ada.share("soup", "tomato").unwrap();
    bob.share("soup", "potato").unwrap();
    assert_eq!(bob.exchange("ada", "soup", LONG).unwrap().bytes(), b"tomato");
    assert_eq!(bob.ask("ada", "good?", "", LONG).unwrap().bytes(), b"yes");
    let pending = bob.start(Call::Ask { to: "ada", kind: "good?", body: Bytes::new() }, LONG).unwrap();
    assert!(matches!(pending.wait(LONG), Poll::Ready(Ok(Some(_)))));
    assert_eq!(system.shutdown(LONG).map(|report| report.ended), Ok(Ended::Yes));
}

#[test]
fn ten_thousand_systems_opened_and_shut_down_leave_nothing() {
    let _alone = ALONE.lock();
    (0..500).for_each(|_| open_exchange_close());
    let (memory, threads, descriptors) = (resident_kib(), entries("/proc/self/task"), entries("/proc/self/fd"));
    (0..CYCLES).for_each(|_| open_exchange_close());
    let grown = resident_kib().saturating_sub(memory);
    assert!(grown < SLACK_KIB, "{grown} KiB more than before {CYCLES} cycles");
    assert_eq!(entries("/proc/self/fd"), descriptors);
    assert_threads(threads);
}

#[test]
fn a_million_asks_that_are_given_up_leave_memory_as_it_was() {
    let _alone = ALONE.lock();
    let system = PeerSystem::open("kitchen").unwrap();
    // Slow enough that hardly any ask is answered in time.
    let cook = PeerOptions::new().on_message(|_, message| {
        let end = Instant::now() + Duration::from_micros(50);
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        Ok(message.reply("late")?)
    });
    system.spawn_with("ada", cook).unwrap();
    let given_up = Arc::new(AtomicU64::new(0));
    let ask = |asks: u64| {
        thread::scope(|scope| {
            for caller in 0..CALLERS {
                let name = format!("caller{caller}");
                let (system, given_up) = (&system, Arc::clone(&given_up));
                let run = move || {
                    let peer = system.spawn(&name).unwrap();
                    for _ in 0..asks / CALLERS {
                        match peer.ask("ada", "good?", vec![7; 1000], Duration::from_micros(10)) {
                            Err(Error::TimedOut | Error::OutcomeUnknown { .. } | Error::Full { .. }) => {
                                given_up.fetch_add(1, Ordering::Relaxed);
                            }
                            Ok(_) | Err(Error::Canceled) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                    assert_eq!(peer.close(LONG), Ok(Ended::Yes));
                };
                thread::Builder::new().spawn_scoped(scope, run).unwrap();
            }
        });
    };
    ask(ASKS / 10);
    let memory = resident_kib();
    ask(ASKS);
    let grown = resident_kib().saturating_sub(memory);
    let given_up = given_up.load(Ordering::Relaxed);
    assert!(given_up > ASKS / 2, "only {given_up} were given up");
    assert!(grown < SLACK_KIB, "{grown} KiB more than before {ASKS} asks");
    assert_eq!(system.shutdown(LONG).map(|report| report.ended), Ok(Ended::Yes));
}

#[test]
fn calls_that_are_started_and_given_up_leave_memory_as_it_was() {
    let _alone = ALONE.lock();
    let system = PeerSystem::open("kitchen").unwrap();
    let cook = PeerOptions::new().on_message(|_, _| Ok(())).on_request(|_, _, _| Ok(()));
    system.spawn_with("ada", cook).unwrap().share("soup", "tomato").unwrap();
    let bob = system.spawn("bob").unwrap();
    let start = |calls: u64| {
        let mut given_up = 0;
        for call in 0..calls {
            let timeout = if call % 2 == 0 { LONG } else { Duration::from_micros(10) };
            let started = match call % 3 {
                0 => bob.start(Call::Ask { to: "ada", kind: "good?", body: vec![7; 1000].into() }, timeout),
                1 => bob.start(Call::Tell { to: "ada", kind: "note", body: vec![7; 1000].into() }, timeout),
                _ => bob.start(Call::Request { from: "ada", name: "soup" }, timeout),
            };
            given_up += u64::from(started.unwrap().wait(Duration::ZERO).is_pending());
        }
        given_up
    };
    start(STARTED / 10);
    let memory = resident_kib();
    let given_up = start(STARTED);
    let grown = resident_kib().saturating_sub(memory);
    assert!(given_up > STARTED / 10, "only {given_up} were given up");
    assert!(grown < SLACK_KIB, "{grown} KiB more than before {STARTED} calls");
    assert_eq!(system.shutdown(LONG).map(|report| report.ended), Ok(Ended::Yes));
}

#[test]
fn the_thread_that_sees_to_deadlines_ends_with_the_last_peer_of_a_system_that_was_dropped() {
    let _alone = ALONE.lock();
    let threads = entries("/proc/self/task");
    let system =
        PeerSystem::open_with("kitchen", SystemOptions::new().drop_timeout(Duration::from_millis(20))).unwrap();
    let (entered, enters) = crossbeam_channel::unbounded();
    let (let_go, goes) = crossbeam_channel::unbounded::<()>();
    let ada = PeerOptions::new().on_message(move |_, _| {
        entered.send(())?;
        Ok(goes.recv_timeout(LONG)?)
    });
    let ada = system.spawn_with("ada", ada).unwrap();
    let bob = system.spawn("bob").unwrap();
    let pending = bob.start(Call::Ask { to: "ada", kind: "k", body: Bytes::new() }, LONG).unwrap();
    enters.recv_timeout(LONG).expect("the handler never began");
    // A handler is running: the drop gives up waiting for it.
    drop((system, bob));
    let_go.send(()).unwrap();
    assert_threads(threads);
    assert!(pending.wait(LONG).is_ready());
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
}
