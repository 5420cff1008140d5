//! The places where one thread registers and looks again while another changes and looks who waits, under loom: the lock on both sides or
//! the fence on each, and the orderings of the words. Each model is as small as it can be; loom tries all that the memory model allows
//! (at most `LOOM_MAX_PREEMPTIONS` preemptions, if that is set).

use std::time::Duration;

use bytes::Bytes;

use crate::deadline::Deadline;
use crate::desk::{Desk, Waits};
use crate::ending::Look;
use crate::error::Error;
use crate::mailbox::{Mailbox, Parcel, Waiting};
use crate::message::{Label, Letter, Pair, Tell};
use crate::spin;
use crate::start::Start;
use crate::sync::{Arc, AtomicBool, AtomicUsize, JoinHandle, Ordering, ThreadBuilder, current_thread, set_cores};
use crate::timer::Timer;
use crate::turn::{Cause, Entered, Turn, Wait};
use crate::waits::Interrupt;

fn start<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    ThreadBuilder::new().spawn(run).unwrap()
}

fn wait_out<T>(wait: &Wait<T>) {
    wait.block(Deadline::Never, || (), || false).unwrap();
}

fn tell() -> Letter {
    let label = Arc::new(Label { from: "ada".into(), kind: "k".into(), pair: None });
    Letter::Tell(Tell { label, body: Bytes::new() })
}

/// With its queues: loom knows no order by what std hands over at a first use, and would take that for a race.
fn mailbox(limit: u64, is_inbox: bool) -> Arc<Mailbox> {
    let mailbox = Mailbox::new(limit, limit, is_inbox);
    mailbox.make();
    Arc::new(mailbox)
}

/// A mailbox with one letter, which the peer's own thread has taken.
fn with_one_taken() -> Arc<Mailbox> {
    let mailbox = mailbox(1, false);
    assert!(mailbox.try_send(tell()).is_ok());
    assert!(mailbox.take().is_some());
    mailbox
}

#[test]
fn a_call_that_awaits_its_tells_is_found_by_whoever_handles_them() {
    loom::model(|| {
        let (desk, mailbox) = (Arc::new(Desk::<Arc<Wait<()>>>::default()), with_one_taken());
        let handler = start({
            let (desk, mailbox) = (Arc::clone(&desk), Arc::clone(&mailbox));
            move || {
                mailbox.finish();
                for call in desk.handled(mailbox.handled()) {
                    call.end(Cause::Answered, Ok(()));
                }
            }
        });
        if mailbox.handled() < 1 {
            let wait = Arc::new(Wait::new());
            match desk.await_handled(1, Arc::clone(&wait), || mailbox.has_handled_now(1)) {
                Waits::Yes => wait_out(&wait),
                Waits::Over(_) => {}
                Waits::Closed(_) => unreachable!(),
            }
        }
        handler.join().unwrap();
    });
}

#[test]
fn what_a_handler_did_is_seen_by_whoever_finds_its_message_handled() {
    loom::model(|| {
        let (mailbox, effect) = (with_one_taken(), Arc::new(AtomicUsize::new(0)));
        let handler = start({
            let (mailbox, effect) = (Arc::clone(&mailbox), Arc::clone(&effect));
            move || {
                effect.store(1, Ordering::Relaxed);
                assert!(mailbox.take().is_none());
            }
        });
        if mailbox.handled() == 1 {
            assert_eq!(effect.load(Ordering::Relaxed), 1);
        }
        handler.join().unwrap();
    });
}

#[test]
fn what_a_peer_has_told_is_known_before_the_tell_returns() {
    loom::model(|| {
        let (mailbox, pair) = (mailbox(2, false), Arc::new(Pair::default()));
        let tell = |pair: &Arc<Pair>| {
            let label = Arc::new(Label { from: "ada".into(), kind: "k".into(), pair: Some(Arc::clone(pair)) });
            Letter::Tell(Tell { label, body: Bytes::new() })
        };
        let other = start({
            let (mailbox, letter) = (Arc::clone(&mailbox), tell(&pair));
            move || assert!(mailbox.try_send(letter).is_ok())
        });
        assert!(mailbox.try_send(tell(&pair)).is_ok());
        assert!(pair.told() >= 1);
        other.join().unwrap();
        assert_eq!((pair.told(), mailbox.newest()), (2, 2));
    });
}

/// All that the model does on one core, where nobody looks before it parks, and on two.
fn on_one_core_and_on_two(model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(model);
    for cores in [1, 2] {
        let model = Arc::clone(&model);
        set_cores(cores);
        loom::model(move || model());
    }
    set_cores(1);
}

#[test]
fn a_peer_that_goes_to_sleep_sees_what_came_or_is_rung() {
    on_one_core_and_on_two(|| {
        // Of the mailbox only the bell is used; what there is to do is one word.
        let (mailbox, has_work) = (mailbox(1, false), Arc::new(AtomicBool::new(false)));
        mailbox.bell().own(current_thread());
        let ringer = start({
            let (mailbox, has_work) = (Arc::clone(&mailbox), Arc::clone(&has_work));
            move || {
                has_work.store(true, Ordering::Release);
                mailbox.bell().ring();
            }
        });
        while !has_work.load(Ordering::Acquire) {
            mailbox.bell().sleep(Deadline::Never, || has_work.load(Ordering::Acquire), || false);
        }
        ringer.join().unwrap();
        assert!(spin::no_permit_is_out());
    });
}

#[test]
fn a_letter_that_is_put_in_is_seen_by_a_peer_that_goes_to_sleep_or_rings_it() {
    on_one_core_and_on_two(|| {
        let mailbox = mailbox(1, false);
        mailbox.bell().own(current_thread());
        let sender = start({
            let mailbox = Arc::clone(&mailbox);
            move || assert!(mailbox.try_send(tell()).is_ok())
        });
        while !mailbox.has_letters() {
            mailbox.bell().sleep(Deadline::Never, || !mailbox.is_empty(), || false);
        }
        assert!(mailbox.take().is_some());
        sender.join().unwrap();
        assert!(spin::no_permit_is_out());
    });
}

#[test]
fn who_waits_for_room_is_found_by_whoever_frees_it() {
    on_one_core_and_on_two(|| {
        let mailbox = mailbox(1, false);
        assert!(mailbox.try_send(tell()).is_ok());
        let taker = start({
            let mailbox = Arc::clone(&mailbox);
            move || assert!(mailbox.take().is_some())
        });
        match mailbox.try_send(tell()) {
            Ok(()) => {}
            Err((_, Letter::Tell(tell))) => {
                let parcel = Arc::new(Parcel::new(tell, Wait::new()));
                assert!(mailbox.wait_for_room(Waiting::Tell(Arc::clone(&parcel))));
                wait_out(&parcel.wait);
            }
            Err(_) => unreachable!(),
        }
        taker.join().unwrap();
        assert!(mailbox.take().is_some());
    });
}

#[test]
fn who_waits_for_a_message_is_found_by_whoever_sends_it() {
    on_one_core_and_on_two(|| {
        let mailbox = mailbox(1, true);
        let sender = start({
            let mailbox = Arc::clone(&mailbox);
            move || assert!(mailbox.try_send(tell()).is_ok())
        });
        let wait = Arc::new(Wait::new());
        match mailbox.receive(Some(&wait)) {
            Ok(Some(_)) => {}
            Ok(None) => drop(wait.block(Deadline::Never, || (), || false).unwrap()),
            Err(_) => unreachable!(),
        }
        sender.join().unwrap();
    });
}

#[test]
fn work_that_enters_the_line_is_done_by_whoever_frees_the_turn() {
    loom::model(|| {
        let turn = Arc::new(Turn::<usize>::new());
        // Changed only with the turn held: the turn's own orderings must carry it.
        let shelf = Arc::new(AtomicUsize::new(0));
        let act = |turn: &Turn<usize>, shelf: &AtomicUsize, work: usize| {
            let mut run = |work: usize| {
                let before = shelf.load(Ordering::Relaxed);
                shelf.store(before + work, Ordering::Relaxed);
            };
            if let Entered::Taken(work) = turn.enter(work) {
                run(work);
                turn.free(&mut run);
            }
        };
        let other = start({
            let (turn, shelf) = (Arc::clone(&turn), Arc::clone(&shelf));
            move || act(&turn, &shelf, 1)
        });
        act(&turn, &shelf, 10);
        other.join().unwrap();
        assert!(turn.try_take(), "nobody freed it");
        assert_eq!(shelf.load(Ordering::Relaxed), 11);
    });
}

#[test]
fn the_owner_gets_its_turn_back() {
    loom::model(|| {
        let (turn, shelf) = (Arc::new(Turn::<usize>::new()), Arc::new(AtomicUsize::new(0)));
        turn.own(current_thread());
        let other = start({
            let (turn, shelf) = (Arc::clone(&turn), Arc::clone(&shelf));
            move || {
                if let Entered::Taken(work) = turn.enter(1) {
                    shelf.store(shelf.load(Ordering::Relaxed) + work, Ordering::Relaxed);
                    turn.free(&mut |_| unreachable!("the owner leaves no work"));
                }
            }
        });
        let mut run = |work| shelf.store(shelf.load(Ordering::Relaxed) + work, Ordering::Relaxed);
        turn.take(&mut run);
        run(10);
        turn.free(&mut run);
        other.join().unwrap();
        assert!(turn.try_take(), "nobody freed it");
        assert_eq!(shelf.load(Ordering::Relaxed), 11);
    });
}

#[test]
fn a_turn_that_is_handed_on_is_gone_on_with() {
    loom::model(|| {
        let (turn, shelf) = (Arc::new(Turn::<usize>::new()), Arc::new(AtomicUsize::new(0)));
        turn.own(current_thread());
        assert!(turn.try_take());
        assert!(matches!(turn.enter(1), Entered::InLine));
        let act = |turn: &Arc<Turn<usize>>, shelf: &Arc<AtomicUsize>| {
            let (turn, shelf) = (Arc::clone(turn), Arc::clone(shelf));
            move || {
                let mut run = |work: usize| shelf.store(shelf.load(Ordering::Relaxed) + work, Ordering::Relaxed);
                match turn.enter(10) {
                    Entered::Taken(work) => {
                        run(work);
                        turn.free(&mut run);
                    }
                    Entered::InLine => {}
                    Entered::Closed(_) => unreachable!(),
                }
            }
        };
        // Frees it with work in line; more may come meanwhile, which it need not do.
        let freer = start({
            let (turn, shelf) = (Arc::clone(&turn), Arc::clone(&shelf));
            move || turn.free(&mut |work| shelf.store(shelf.load(Ordering::Relaxed) + work, Ordering::Relaxed))
        });
        let other = start(act(&turn, &shelf));
        let mut run = |work| shelf.store(shelf.load(Ordering::Relaxed) + work, Ordering::Relaxed);
        turn.take(&mut run);
        turn.free(&mut run);
        freer.join().unwrap();
        other.join().unwrap();
        turn.go_on(&mut run);
        assert!(turn.try_take(), "nobody freed it");
        assert_eq!(shelf.load(Ordering::Relaxed), 11);
    });
}

#[test]
fn who_ends_a_wait_gives_the_permit_back_or_wakes_its_thread() {
    on_one_core_and_on_two(|| {
        let (wait, next) = (Arc::new(Wait::new()), Arc::new(Wait::new()));
        let ender = start({
            let (wait, next) = (Arc::clone(&wait), Arc::clone(&next));
            move || [wait, next].map(|wait| assert!(wait.end(Cause::Answered, Ok(()))))
        });
        wait_out(&wait);
        wait_out(&next);
        ender.join().unwrap();
        assert!(spin::no_permit_is_out());
    });
}

#[test]
fn a_wait_is_ended_by_one_and_wakes_its_thread() {
    loom::model(|| {
        let wait = Arc::new(Wait::new());
        let enders = [1, 2].map(|result| {
            let wait = Arc::clone(&wait);
            start(move || wait.end(Cause::Answered, Ok(result)).then_some(result))
        });
        let result = wait.block(Deadline::Never, || (), || false).unwrap();
        let ended: Vec<usize> = enders.into_iter().filter_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(ended, [result]);
    });
}

#[test]
fn an_end_without_a_thread_waits_for_the_last_letter_and_comes_once() {
    loom::model(|| {
        let (mailbox, start_of) = (mailbox(1, true), Arc::new(Start::new(None)));
        assert!(mailbox.try_send(tell()).is_ok());
        assert!(mailbox.receive(None).is_ok_and(|letter| letter.is_some()));
        let end = |mailbox: &Mailbox, start_of: &Start| start_of.is_without() && mailbox.is_drained() && start_of.end();
        let receiver = start({
            let (mailbox, start_of) = (Arc::clone(&mailbox), Arc::clone(&start_of));
            move || mailbox.put_down() && end(&mailbox, &start_of)
        });
        mailbox.close();
        start_of.go_without();
        let ends = [end(&mailbox, &start_of), receiver.join().unwrap()];
        assert_eq!(ends.iter().filter(|ended| **ended).count(), 1);
    });
}

#[test]
fn who_waits_for_a_started_call_is_told_by_whoever_ends_it() {
    loom::model(|| {
        let call = Arc::new(Wait::of_started());
        let ender = start({
            let call = Arc::clone(&call);
            move || assert!(call.end(Cause::Answered, Ok(7)))
        });
        let wait = Arc::new(Wait::new());
        call.listen(&wait).unwrap();
        if call.result().is_some() {
            wait.end(Cause::Answered, Ok(()));
        }
        wait_out(&wait);
        assert_eq!(call.result(), Some(Ok(7)));
        ender.join().unwrap();
    });
}

#[test]
fn a_deadline_that_is_put_in_is_seen_by_the_timers_thread() {
    loom::model(|| {
        let timer = Timer::new();
        timer.start("kitchen").unwrap();
        let wait = Arc::new(Wait::<()>::new());
        let call: Arc<dyn Interrupt> = Arc::clone(&wait) as _;
        timer.add(Deadline::after(Duration::from_secs(1)), Arc::downgrade(&call));
        let late = wait.block(Deadline::Never, || (), || false);
        assert_eq!(late, Err(Error::TimedOut));
        timer.close();
        let end = Arc::new(Wait::new());
        if let Look::Wait = timer.ending().look(Some(&end)) {
            wait_out(&end);
        }
    });
}
