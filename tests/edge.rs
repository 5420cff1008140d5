//! At the edge of what the operating system gives to threads: spawn answers LimitReached, what there is goes on, nothing aborts. With
//! threads on demand the call that needs the first one answers so.
//!
//! Each test runs itself again in a process of its own, which has the low limit, and ends it by a deadline.

#![cfg(target_os = "linux")]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use potluck::{Ended, Error, Peer, PeerOptions, PeerSystem, SystemOptions};

/// Set in the child.
const CHILD: &str = "POTLUCK_TEST_EDGE";
const LONG: Duration = Duration::from_secs(60);
/// Beyond the edge there are so many more attempts.
const MORE: usize = 3;

/// Counts itself, as the data of a peer's handlers.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Opens peers until that fails; gives the text of the failure.
fn peers_until_it_fails() -> String {
    let kitchen = PeerSystem::open("kitchen").expect("a system needs no thread");
    let ada = kitchen.spawn_with("ada", PeerOptions::new().on_message(|_, message| Ok(message.reply("salt")?)));
    let (ada, bob) = (ada.expect("there is room for one"), kitchen.spawn("bob").expect("there is room for two"));
    ada.share("soup", "tomato").expect("it fits");
    let dropped = Arc::new(AtomicUsize::new(0));
    let spawn = |number: usize| {
        let counted = Counted(Arc::clone(&dropped));
        kitchen.spawn_with(&format!("peer{number}"), PeerOptions::new().on_stop(move |_| drop(counted)))
    };
    let (mut made, mut last): (usize, Option<Peer>) = (0, None);
    let error = loop {
        match spawn(made) {
            Ok(peer) => (made, last) = (made + 1, Some(peer)),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::LimitReached(_)), "{error:?}");
    assert_eq!(dropped.load(Ordering::SeqCst), 1, "what the failed one owned, and nothing else");
    // By now a little may have come free again.
    let refused = (0..MORE).filter(|more| spawn(made + 1 + more).is_err()).count();
    assert_eq!(dropped.load(Ordering::SeqCst), 1 + refused);

    // Those that are there go on, and so does the rest of the system.
    let last = last.expect("some were made");
    for peer in [&bob, &last] {
        assert_eq!(peer.request("ada", "soup", LONG).expect("it goes on").bytes(), b"tomato");
        assert_eq!(peer.ask("ada", "taste", "", LONG).expect("it goes on").bytes(), b"salt");
    }
    assert_eq!(last.close(LONG), Ok(Ended::Yes));
    assert_eq!(kitchen.shutdown(LONG).map(|report| report.ended), Ok(Ended::Yes));
    assert_eq!(dropped.load(Ordering::SeqCst), made + 1 + MORE);
    error.to_string()
}

/// Gives peers something to run, by a tell, until there is no thread for one; gives the text of the failure. Whether what comes free
/// when threads end can be had again is the C library's affair: it keeps some stacks, which are no address space for anybody else.
fn threads_until_it_fails(comes_free: bool) -> String {
    let options = SystemOptions::new().lazy_threads(true);
    let kitchen = PeerSystem::open_with("kitchen", options).expect("a system needs no thread");
    let dropped = Arc::new(AtomicUsize::new(0));
    let handled = Arc::new(AtomicUsize::new(0));
    let cook = |name: &str| {
        let (counted, handled) = (Counted(Arc::clone(&dropped)), Arc::clone(&handled));
        let options = PeerOptions::new().on_message(move |_, message| {
            let _ = &counted;
            handled.fetch_add(1, Ordering::SeqCst);
            if message.is_ask() { Ok(message.reply("salt")?) } else { Ok(()) }
        });
        kitchen.spawn_with(name, options).expect("a peer needs no thread")
    };
    let (ada, bob, idle) = (cook("ada"), cook("bob"), cook("idle"));
    bob.share("soup", "tomato").expect("it fits");
    let spawn = |name: &str, options| kitchen.spawn_with(name, options).expect("a peer needs no thread");
    let stopping = spawn("stopping", PeerOptions::new().on_stop(|_| {}));
    let receiving = spawn("receiving", PeerOptions::new().on_received(|_, _, _| {}));
    let agreeing = spawn("agreeing", PeerOptions::new().on_request(|_, _, _| Ok(())));
    agreeing.share("soup", "leek").expect("it fits");
    bob.ask("ada", "taste", "", LONG).expect("there is room for one");

    let mut started = Vec::new();
    let error = loop {
        let name = format!("peer{}", started.len());
        let peer = cook(&name);
        match bob.tell(&name, "hello", "", LONG) {
            Ok(()) => started.push(peer),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::LimitReached(_)), "{error:?}");
    // By now a little may have come free again; what fails has changed nothing, and says why.
    let mut accepted = 1 + started.len();
    let is_refused = |result: Result<(), Error>| match result {
        Ok(()) => false,
        Err(Error::LimitReached(_)) => true,
        Err(error) => panic!("{error:?}"),
    };
    accepted += usize::from(!is_refused(bob.ask("idle", "taste", "", LONG).map(drop)));
    if is_refused(bob.offer("receiving", "soup", LONG)) {
        assert!(receiving.get("soup").is_err());
    }
    if is_refused(ada.request("agreeing", "soup", LONG).map(drop)) {
        assert!(ada.get("soup").is_err());
    }
    // From the next holder: one that has no handler that would have to run.
    ada.fetch("soup", LONG).expect("bob has it, and needs no thread");
    if is_refused(stopping.close(LONG).map(|ended| assert_eq!(ended, Ended::Yes))) {
        assert!(!stopping.has_ended());
        stopping.share("bread", "rye").expect("it is open");
    }
    // Those that are there go on, and so does what needs no thread.
    assert_eq!(ada.ask("ada", "taste", "", Duration::ZERO).map(drop), Err(Error::TimedOut));
    assert_eq!(bob.ask("ada", "taste", "", LONG).expect("it goes on").bytes(), b"salt");
    accepted += 1;
    let more = kitchen.spawn("more").expect("a peer needs no thread");
    bob.offer("more", "soup", LONG).expect("it needs no thread");
    assert_eq!(more.close(LONG), Ok(Ended::Yes));
    // What comes free is used.
    for peer in started.drain(..).rev().take(8) {
        assert_eq!(peer.close(LONG), Ok(Ended::Yes));
    }
    let again = is_refused(bob.tell("idle", "hello", "", LONG));
    accepted += usize::from(!again);
    assert_eq!(idle.close(LONG), Ok(Ended::Yes));
    let is_over = !is_refused(kitchen.shutdown(LONG).map(|report| assert_eq!(report.ended, Ended::Yes)));
    assert_eq!(stopping.has_ended(), is_over);
    assert!(is_over && !again || !comes_free);
    // All others have ended in any case.
    assert!([&ada, &bob, &receiving, &agreeing].iter().all(|peer| peer.has_ended()));
    let dead = kitchen.dead_letters().expect("it is no child").count as usize;
    assert_eq!(handled.load(Ordering::SeqCst) + dead, accepted);
    error.to_string()
}

/// Runs a test again in a process of its own, after a command of the shell; gives what it printed.
fn again(test: &str, shell: &str) -> String {
    let program = std::env::current_exe().expect("the test's own path");
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{shell} && exec timeout -s KILL 100 \"$0\" --exact --nocapture {test}")])
        .arg(program);
    // Of a small address space glibc's heaps for threads would take 64 MiB each, at random.
    command.env(CHILD, "1").env("RUST_BACKTRACE", "0").env("MALLOC_ARENA_MAX", "1");
    let output = command.output().expect("there is a shell");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shell}: {:?}\n{out}{err}", output.status);
    assert!(out.contains("limit reached: "), "{shell}: it says which\n{out}{err}");
    out.into_owned()
}

/// What is left over beside whole stacks of 2 MiB: from nothing to all but enough, in steps of so many KiB.
fn stops_at_each(test: &str, limit: &str, step: usize) {
    for kib in (60_000..62_052).step_by(step) {
        let said = again(test, &format!("{limit} {kib}"));
        let limits = ["address space for", "data for", "threads of this process"];
        assert!(limits.iter().any(|limit| said.contains(limit)), "{said}");
    }
}

fn is_again() -> bool {
    std::env::var_os(CHILD).is_some()
}

#[test]
fn a_small_address_space_is_a_limit() {
    if is_again() {
        return println!("{}", peers_until_it_fails());
    }
    stops_at_each("a_small_address_space_is_a_limit", "ulimit -v", 12);
}

#[test]
fn a_small_data_segment_is_a_limit() {
    if is_again() {
        return println!("{}", peers_until_it_fails());
    }
    stops_at_each("a_small_data_segment_is_a_limit", "ulimit -d", 108);
}

#[test]
fn peers_until_it_fails_on_this_machine() {
    if is_again() {
        return println!("{}", peers_until_it_fails());
    }
    // Which limit comes first is the machine's affair.
    again("peers_until_it_fails_on_this_machine", "true");
}

#[test]
fn threads_on_demand_stop_at_the_same_edge() {
    if is_again() {
        return println!("{}", threads_until_it_fails(false));
    }
    stops_at_each("threads_on_demand_stop_at_the_same_edge", "ulimit -v", 108);
}

#[test]
fn threads_on_demand_until_it_fails_on_this_machine() {
    if is_again() {
        return println!("{}", threads_until_it_fails(true));
    }
    again("threads_on_demand_until_it_fails_on_this_machine", "true");
}
