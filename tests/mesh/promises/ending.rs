//! Closes and shutdowns in the middle of calls between nodes, forks, and what is left afterwards.

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, alarm, fork};
use potluck::{Call, Ended, Error, PeerOptions};

use crate::content::noise;
use crate::nodes::{Two, address, at_once, two, until};
use crate::process::Process;
use crate::support::{Gate, LONG, NOW, closed, host, no_such_peer, peer_closed, shut_down};

#[test]
fn whoever_waits_for_a_peer_elsewhere_is_told_when_it_closes() {
    let gate = Gate::new();
    let held = gate.clone();
    let asked = PeerOptions::new().on_request(move |_, _, _| {
        held.pass();
        Ok(())
    });
    let Two { desk, laptop, ada, bob } = two();
    let slow = desk.spawn_with("slow", asked).unwrap();
    crate::nodes::see(&laptop, "slow@desk");
    slow.share("soup", "tomato").unwrap();
    let (asker, requester) = (bob.clone(), bob.clone());
    let asking = host(move || asker.ask("ada", "taste", "", LONG).map(drop));
    let _kept = ada.receive(LONG).unwrap();
    let requesting = host(move || requester.request("slow", "soup", LONG).map(drop));
    gate.await_arrival();
    assert_eq!(ada.close(LONG), Ok(Ended::Yes));
    assert_eq!(at_once(|| asking.result()), Err(peer_closed("ada@desk")));
    assert_eq!(slow.close(NOW), Ok(Ended::StillRunning));
    assert_eq!(at_once(|| requesting.result()), Err(peer_closed("slow@desk")));
    gate.open();
    assert_eq!(slow.close(LONG), Ok(Ended::Yes));
    until("they have left", || (laptop.peers().unwrap() == ["bob"]).then_some(()));
    for name in ["ada", "slow@desk"] {
        assert_eq!(at_once(|| bob.ask(name, "taste", "", LONG)).unwrap_err(), no_such_peer(name));
    }
}

#[test]
fn whoever_calls_as_a_peer_that_closes_is_told() {
    let Two { desk: _desk, laptop: _laptop, ada, bob } = two();
    let asker = bob.clone();
    let asking = host(move || asker.ask("ada", "taste", "", LONG).map(drop));
    let _kept = ada.receive(LONG).unwrap();
    assert_eq!(at_once(|| bob.close(LONG)), Ok(Ended::Yes));
    assert_eq!(at_once(|| asking.result()), Err(closed("bob")));
    assert_eq!(bob.tell("ada", "hello", "", LONG), Err(closed("bob")));
}

#[test]
fn a_shutdown_in_the_middle_of_calls_ends_them_on_both_sides() {
    for first in ["desk", "laptop"] {
        let Two { desk, laptop, ada, bob } = two();
        ada.share("large", noise(1, 32 << 20)).unwrap();
        let (asker, requester) = (bob.clone(), bob.clone());
        let asking = host(move || asker.ask("ada", "taste", "", LONG).map(drop));
        let _kept = ada.receive(LONG).unwrap();
        let started = bob.start(Call::Ask { to: "ada", kind: "taste", body: "".into() }, LONG).unwrap();
        let _also = ada.receive(LONG).unwrap();
        let requesting = host(move || {
            loop {
                if let Err(error) = requester.request("ada@desk", "large", LONG) {
                    return error;
                }
            }
        });
        let system = if first == "desk" { &desk } else { &laptop };
        assert_eq!(at_once(|| shut_down(system, LONG)), Ok(Ended::Yes));
        let expected =
            if first == "desk" { vec![peer_closed("ada@desk")] } else { vec![closed("bob"), closed("kitchen")] };
        let asked = at_once(|| asking.result()).unwrap_err();
        assert!(expected.contains(&asked), "{first}: {asked:?}");
        let std::task::Poll::Ready(Err(error)) = started.wait(LONG) else { panic!("{first}: it goes on") };
        assert!(expected.contains(&error), "{first}: {error:?}");
        let requested = at_once(|| requesting.result());
        let is_gone = first == "desk" && requested == no_such_peer("ada@desk");
        assert!(expected.contains(&requested) || is_gone, "{first}: {requested:?}");
        drop(started);
        let other = if first == "desk" { &laptop } else { &desk };
        assert_eq!(at_once(|| shut_down(other, LONG)), Ok(Ended::Yes));
        assert_eq!(bob.request("ada@desk", "large", LONG).unwrap_err(), closed("bob"));
        assert!(matches!(laptop.wait_for("@desk", NOW), Err(Error::Closed { .. })));
    }
}

#[test]
fn a_handler_elsewhere_that_runs_at_the_shutdown_still_answers() {
    let gate = Gate::new();
    let held = gate.clone();
    let options = PeerOptions::new().on_message(move |_, message| {
        held.pass();
        Ok(message.reply("salt")?)
    });
    let Two { desk, laptop: _laptop, bob, .. } = crate::nodes::two_with(options);
    let asking = host(move || bob.ask("ada", "taste", "", LONG));
    gate.await_arrival();
    let system = desk.clone();
    let shutdown = host(move || shut_down(&system, LONG)).waiting();
    gate.open();
    assert_eq!(asking.result().unwrap().bytes(), b"salt");
    assert_eq!(shutdown.result(), Ok(Ended::Yes));
}

#[test]
fn the_last_handle_that_is_dropped_leaves_the_mesh() {
    let Two { desk, laptop, .. } = two();
    drop(desk);
    until("the desk has left", || (laptop.peers().unwrap() == ["bob"]).then_some(()));
    until("the node has left", || (laptop.wait_for("@desk", NOW) == Err(Error::TimedOut)).then_some(()));
}

#[test]
fn a_child_made_by_fork_answers_forked_to_every_call_with_another_node() {
    let Two { desk, laptop, ada, bob } = two();
    ada.share("soup", "tomato").unwrap();
    bob.share("bread", "rye").unwrap();
    let pending = bob.start(Call::Ask { to: "ada", kind: "taste", body: "".into() }, LONG).unwrap();
    let asked = ada.receive(LONG).unwrap();
    // It makes all calls, and then drops all that there is.
    let all = std::mem::ManuallyDrop::new((pending, asked, ada, bob, laptop, desk));
    let child = || {
        let (pending, asked, _, bob, laptop, _) = &*all;
        let results = [
            bob.request("ada@desk", "soup", LONG).map(drop),
            bob.fetch("soup", LONG).map(drop),
            bob.offer("ada", "bread", LONG),
            bob.exchange("ada", "bread", LONG).map(drop),
            bob.tell("ada", "hello", "", LONG),
            bob.ask("ada", "hello", "", LONG).map(drop),
            laptop.holders("soup").map(drop),
            laptop.peers().map(drop),
            laptop.wait_for("@desk", LONG),
            laptop.shutdown(LONG).map(drop),
            asked.reply("salt"),
            match pending.wait(LONG) {
                std::task::Poll::Ready(result) => result.map(drop),
                std::task::Poll::Pending => Ok(()),
            },
        ];
        let is_right = results.iter().all(|result| *result == Err(Error::Forked));
        #[expect(unsafe_code, reason = "bitwise copies, in the child's own memory, where nobody uses them after this")]
        // SAFETY: as said.
        drop(unsafe { std::ptr::read(&*all) });
        is_right
    };
    #[expect(unsafe_code, reason = "fork is the operating system's")]
    // SAFETY: the child makes calls that are said to be fit for it, and ends.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            alarm::set(20);
            let code = if let Ok(true) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)) { 0 } else { 1 };
            // SAFETY: it ends the process, without the parent's exit handlers.
            unsafe { nix::libc::_exit(code) }
        }
        ForkResult::Parent { child } => assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0)),
    }
    let (pending, asked, ada, bob, laptop, desk) = std::mem::ManuallyDrop::into_inner(all);
    asked.reply("salt").unwrap();
    let std::task::Poll::Ready(Ok(Some(answer))) = pending.wait(LONG) else { panic!("the parent goes on") };
    assert_eq!(answer.bytes(), b"salt");
    assert_eq!(bob.request("ada", "soup", LONG).unwrap().bytes(), b"tomato");
    drop(ada);
    for system in [laptop, desk] {
        assert_eq!(shut_down(&system, LONG), Ok(Ended::Yes));
    }
}

#[test]
fn a_shutdown_leaves_no_thread_and_no_descriptor() {
    let process = Process::start("desk", &address());
    let lives = |count: u64| {
        let said = process.order(&format!("lives {count}")).answer_within(6 * LONG).unwrap();
        let words: Vec<String> = said.split_whitespace().map(str::to_owned).collect();
        assert_eq!(words[2..], [""; 0], "threads of the library are left");
        words[0].parse::<u64>().unwrap()
    };
    // The engine's own threads, and what they wait on, stay for the next.
    lives(2);
    let descriptors = || process.done("descriptors").parse::<u64>().unwrap();
    let before = descriptors();
    lives(5);
    until("no descriptor is left", || (descriptors() <= before).then_some(()));
    assert_eq!(process.done("threads"), "");
}
