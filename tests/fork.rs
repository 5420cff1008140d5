//! In a child made by fork every call answers Forked at once, and no destructor waits. (`tests/c/int_fork.c` has more.)

#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "fork and the end of the child are the operating system's")]

use std::time::Duration;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, alarm, fork};
use potluck::{Error, Message, Peer, PeerOptions, PeerSystem, Result};

const FOREVER: Duration = Duration::MAX;
const LONG: Duration = Duration::from_secs(20);

/// Runs `child` in a child, which says whether it ended well; one that hangs is ended by its alarm.
fn in_child(child: impl FnOnce() -> bool) {
    // SAFETY: the child only makes calls that are said to be fit for it, allocates (which glibc makes fit for it), and ends.
    match unsafe { fork() }.expect("there is room for a process") {
        ForkResult::Child => {
            alarm::set(20);
            // A panic would print, and its unwinding go on into the test's harness.
            let code = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)) {
                Ok(true) => 0,
                Ok(false) => 1,
                Err(_) => 2,
            };
            // SAFETY: it ends the process, without the parent's exit handlers.
            unsafe { nix::libc::_exit(code) }
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None).expect("it is our child"), WaitStatus::Exited(child, 0));
        }
    }
}

fn is_forked<T>(result: Result<T>) -> bool {
    matches!(result, Err(Error::Forked))
}

#[test]
fn every_call_answers_forked_and_every_drop_is_silent() -> Result<()> {
    let kitchen = PeerSystem::open("kitchen")?;
    let ada = kitchen.spawn_with("ada", PeerOptions::new().on_message(|_, message| Ok(message.reply("salt")?)))?;
    let bob = kitchen.spawn("bob")?;
    let soup = ada.share("soup", "tomato")?;
    let events = kitchen.events(8)?;
    // Somebody waits for the answer to this one.
    let asker = bob.clone();
    let asking = std::thread::Builder::new().spawn(move || asker.ask("bob", "taste", "", LONG)).expect("a thread");
    let asked: Message = bob.receive(LONG)?;

    let every_call = |ada: &Peer, bob: &Peer, kitchen: &PeerSystem| {
        [
            is_forked(PeerSystem::open("pantry")),
            is_forked(kitchen.spawn("eve")),
            is_forked(kitchen.peers()),
            is_forked(kitchen.holders("soup")),
            is_forked(kitchen.mingle("soup", 7, FOREVER)),
            is_forked(kitchen.events(8)),
            is_forked(kitchen.shutdown(FOREVER)),
            is_forked(ada.share("soup", "x")),
            is_forked(ada.unshare("soup")),
            is_forked(ada.get("soup")),
            is_forked(ada.resources()),
            is_forked(bob.request("ada", "soup", FOREVER)),
            is_forked(bob.fetch("soup", FOREVER)),
            is_forked(ada.offer("bob", "soup", FOREVER)),
            is_forked(ada.exchange("bob", "soup", FOREVER)),
            is_forked(ada.tell("bob", "hello", "", FOREVER)),
            is_forked(ada.try_tell("bob", "hello", "")),
            is_forked(bob.ask("ada", "taste", "", FOREVER)),
            is_forked(bob.receive(FOREVER)),
            is_forked(ada.close(FOREVER)),
            is_forked(events.next(FOREVER)),
            is_forked(asked.reply("x")),
            !format!("{kitchen:?} {ada:?} {events:?} {asked:?} {soup:?}").is_empty(),
        ]
    };
    in_child(|| every_call(&ada, &bob, &kitchen).iter().all(|is_so| *is_so));
    // All that there is, dropped in the child: bitwise copies, since the parent's own stay.
    let all = std::mem::ManuallyDrop::new((events, asked, soup, bob, ada, kitchen));
    in_child(|| {
        all.0.close();
        // SAFETY: in the child's own memory nobody uses them after this.
        drop(unsafe { std::ptr::read(&*all) });
        true
    });

    let (_events, asked, soup, bob, ada, kitchen) = std::mem::ManuallyDrop::into_inner(all);
    asked.reply("salt")?;
    assert_eq!(asking.join().expect("it asks")?.bytes(), b"salt");
    assert_eq!((soup.bytes(), bob.ask("ada", "taste", "", LONG)?.bytes()), (&b"tomato"[..], &b"salt"[..]));
    assert_eq!(ada.close(LONG), Ok(potluck::Ended::Yes));
    assert_eq!(kitchen.shutdown(LONG).map(|report| report.ended), Ok(potluck::Ended::Yes));
    Ok(())
}
