#!/usr/bin/env python3
"""Breaks one rule of the protocol after another and expects a model to fail: that shows that the models can.

Each mutation replaces text in a copy of the sources, under target/; the sources themselves carry nothing of it. A text that
is not there exactly once is an error: the mutation is to be brought up to date with the code.

    mutate.py [NAME ...]       all, or those that are named
    mutate.py --list           what there is, and what no model shows
"""

import os
import pathlib
import re
import subprocess
import sys
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "model" / "mutants"
COPIED = ["Cargo.toml", "Cargo.lock", "README.md", "build.rs", "src", "benches", "tests", "examples"]


@dataclass
class Mutation:
    """A rule that is left out. `finds` is the model that must fail under `checker`, within so many schedules of shuttle's."""

    name: str
    why: str
    checker: str
    finds: str
    changes: list[tuple[str, str, str]]
    iterations: int = 6_000


MUTATIONS = [
    # Rings of waits.
    Mutation(
        "link_outlives_its_wait",
        "whoever ends a wait leaves its link to the waiter, who removes it when it has woken",
        "shuttle",
        "right_after_an_answer_there_is_no_ring",
        [
            (
                "src/turn.rs",
                "            Waiter::Thread { from: Some(from), .. } if word & LINKED != 0 => links.remove(from),\n",
                "",
            ),
            (
                "src/turn.rs",
                "        self.result.lock().take().unwrap_or_else(",
                "        if let Waiter::Thread { from: Some(from), .. } = &self.waiter {\n"
                "            ring::lock().remove(from);\n        }\n"
                "        self.result.lock().take().unwrap_or_else(",
            ),
        ],
    ),
    Mutation(
        "claimed_before_unlinked",
        "a wait is claimed before the lock of the ring is taken, under which its link goes",
        "shuttle",
        "right_after_an_answer_there_is_no_ring",
        [
            (
                "src/turn.rs",
                "        let mut links = ring::lock();\n        let word = self.change(|word| (word & CLAIMED == 0).then_some(word | claimed))?;\n",
                "        let word = self.change(|word| (word & CLAIMED == 0).then_some(word | claimed))?;\n        let mut links = ring::lock();\n",
            ),
        ],
        iterations=60_000,
    ),
    Mutation(
        "late_mover",
        "whoever moves a call on that has ended takes away the link of its thread's next call",
        "shuttle",
        "a_fetch_that_is_moved_on_after_its_end_takes_no_other_link_away",
        [("src/turn.rs", "        if !self.is_open() {\n            // Its thread", "        if false {\n            // Its thread")],
        iterations=60_000,
    ),
    Mutation(
        "link_over_a_kept_message",
        "a kept message stays a link",
        "shuttle",
        "a_message_that_was_kept_closes_no_ring",
        [("src/worker.rs", "            ask.wait.unlink();\n", "")],
    ),
    Mutation(
        "no_links",
        "nobody looks for rings",
        "shuttle",
        "of_two_handlers_that_ask_each_other_at_most_one_is_refused_and_nobody_hangs",
        [("src/ring.rs", "        if place.key == from.key {", "        if false && place.key == from.key {")],
    ),
    # Calls that are started and waited for apart.
    Mutation(
        "listen_without_link",
        "who waits for a started call is no link",
        "shuttle",
        "of_two_handlers_that_ask_each_other_at_most_one_is_refused_and_nobody_hangs",
        [("src/turn.rs", "            wait.follow(links, to)?;\n", "            let _ = (links, to);\n")],
    ),
    Mutation(
        "links_stay_behind",
        "a started call that moves on to another peer does not move the links of those who wait for it",
        "shuttle",
        "a_fetch_that_moves_on_in_a_handler_hangs_in_no_ring",
        [("src/turn.rs", "listeners.waits.retain(|wait| match wait.follow(&mut links, to) {", "let _ = &mut links;\n                listeners.waits.retain(|_wait| match Ok(()) {"),
         ("src/turn.rs", "                        rung.push((Arc::clone(wait), ring));\n", "                        rung.push((Arc::clone(_wait), ring));\n")],
    ),
    Mutation(
        "links_over_a_kept_message",
        "who waits for a started ask stays linked when its message is kept",
        "shuttle",
        "a_message_that_was_kept_closes_no_ring",
        [("src/turn.rs", "                listeners.waits_for = None;\n                for wait in &listeners.waits {", "                listeners.waits_for = None;\n                for wait in &listeners.waits[..0] {")],
    ),
    Mutation(
        "listen_without_looking_again",
        "who waits for a started call registers and does not look again",
        "shuttle",
        "a_started_call_ends_once_whoever_waits_and_whoever_cancels",
        [("src/pending.rs", "        if call.result().is_some() {\n            // Unless", "        if false {\n            // Unless")],
    ),
    Mutation(
        "timer_unheard",
        "a deadline is put in and the timer's thread is not unparked",
        "loom",
        "a_deadline_that_is_put_in_is_seen_by_the_timers_thread",
        [("src/timer.rs", "        if let (true, Some(thread)) = (is_earlier, &state.thread) {\n            thread.unpark();", "        if let (true, Some(thread)) = (is_earlier, &state.thread) {\n            let _ = thread;")],
    ),
    Mutation(
        "timer_asleep",
        "the timer's thread parks for good and does not say so",
        "loom",
        "a_deadline_that_is_put_in_is_seen_by_the_timers_thread",
        [("src/timer.rs", "        state.looks = if due.is_empty() { next } else { Some(now) };\n", "        state.looks = Some(now);\n")],
    ),
    # Rules that were tried when the protocol was made, and found wrong.
    Mutation(
        "done_when_taken",
        "a message counts as handled when it is taken",
        "shuttle",
        "what_a_peer_sends_takes_effect_in_the_order_sent",
        [("src/mailbox.rs", "            queues.exit.say_handled();\n            queues.take_out(&mut exit)\n", "            let letter = queues.take_out(&mut exit);\n            queues.exit.say_handled();\n            letter\n")],
    ),
    Mutation(
        "nothing_queued",
        "a counter 'that peer has nothing queued' in place of the record per pair",
        "shuttle",
        "what_a_peer_sends_takes_effect_in_the_order_sent",
        [
            (
                "src/call.rs",
                "let must_wait = verb.needs(target.hears) || caller.told.unfinished(target).is_some();",
                "let must_wait = verb.needs(target.hears) || target.mailbox.messages() > 0;",
            ),
        ],
    ),
    Mutation(
        "ticket_per_peer",
        "a ticket per receiver, drawn before the lock under which letters are put in: two producers put them in out of order",
        "shuttle",
        "two_threads_that_tell_as_one_peer_are_both_waited_for",
        [("src/mailbox.rs", "            pair.tell(number);\n", "            let _ = (pair, number);\n"), ("src/mailbox.rs", "        let mut door = queues.entry.door.lock();\n        if let Err(why) = queues.check(", "        let ticket = queues.entry.put.messages() + 1;\n        let mut door = queues.entry.door.lock();\n        if let Letter::Tell(tell) = &letter\n            && let Some(pair) = &tell.label.pair\n        {\n            pair.tell(ticket);\n        }\n        if let Err(why) = queues.check(")],
    ),
    Mutation(
        "read_then_put",
        "a request reads, and puts in a second step",
        "shuttle",
        "a_request_takes_and_puts_in_one_step",
        [
            (
                "src/call.rs",
                "    let (mut mine, mut theirs) = lock_both(caller, target);\n",
                "    let read = if verb.only_reads() { target.shelf.lock().get(name).cloned() } else { None };\n"
                "    let (mut mine, mut theirs) = lock_both(caller, target);\n",
            ),
            ("src/call.rs", "        Ok(found) => found,\n        Err(error) => {\n            drop((mine", "        Ok(found) => Found { theirs: read.or(found.theirs), ..found },\n        Err(error) => {\n            drop((mine"),
        ],
    ),
    # The steps of waiting.
    Mutation(
        "await_without_looking_again",
        "who waits for its tells registers and does not look again",
        "loom",
        "a_call_that_awaits_its_tells_is_found_by_whoever_handles_them",
        [("src/desk.rs", "        if is_handled() {\n", "        if false && is_handled() {\n")],
    ),
    Mutation(
        "await_unseen",
        "who waits for its tells looks again under no lock of whoever handles them",
        "loom",
        "a_call_that_awaits_its_tells_is_found_by_whoever_handles_them",
        [("src/mailbox.rs", "        let _exit = self.made().map(|queues| queues.exit.letters.lock());\n        self.handled() >= number", "        self.handled() >= number")],
    ),
    Mutation(
        "wait_for_room_without_looking_again",
        "who waits for room gets in line and does not look again",
        "shuttle",
        "a_full_mailbox_lets_in_everybody_who_waits",
        [("src/mailbox.rs", "        self.serve_senders(queues);\n        true", "        true")],
    ),
    Mutation(
        "wait_for_room_unseen",
        "who waits for room gets in line under no lock of whoever takes letters",
        "loom",
        "who_waits_for_room_is_found_by_whoever_frees_it",
        [("src/mailbox.rs", "            let _exit = queues.exit.letters.lock();\n            let mut door", "            let mut door")],
    ),
    Mutation(
        "sleep_without_looking_again",
        "the peer's thread goes to sleep without looking again",
        "shuttle",
        "what_a_peer_sends_takes_effect_in_the_order_sent",
        [("src/bell.rs", "        if has_work() || state != ASLEEP &&", "        let _ = has_work;\n        if state != ASLEEP &&")],
    ),
    Mutation(
        "receive_without_looking_again",
        "who waits for a message looks before the lock under which messages are put in, and not again",
        "loom",
        "who_waits_for_a_message_is_found_by_whoever_sends_it",
        [("src/mailbox.rs", "            let mut door = queues.entry.door.lock();\n            if door.is_closed {\n                return Err(IsClosed);", "            let has_letters = queues.has_letters();\n            let mut door = queues.entry.door.lock();\n            if door.is_closed {\n                return Err(IsClosed);"), ("src/mailbox.rs", "            if queues.has_letters() && door.lines", "            if has_letters && door.lines")],
    ),
    Mutation(
        "sleep_unseen",
        "the peer's thread looks for letters under no lock of whoever puts them in",
        "loom",
        "a_letter_that_is_put_in_is_seen_by_a_peer_that_goes_to_sleep_or_rings_it",
        [("src/mailbox.rs", "        let _door = queues.entry.door.lock();\n        !queues", "        !queues")],
    ),
    # The turn.
    Mutation(
        "free_without_looking",
        "the turn is freed without looking at the line",
        "shuttle",
        "calls_in_line_for_a_turn_are_all_done_by_whoever_frees_it",
        [("src/turn.rs", "        if self.word.compare_exchange(HELD, FREE, Ordering::Release, Ordering::Relaxed).is_ok() {\n            return;\n        }\n        let mut line", "        if self.word.swap(FREE, Ordering::Release) != 99 {\n            return;\n        }\n        let mut line")],
    ),
    Mutation(
        "hand_over_unheard",
        "a turn that was handed on is not looked for before the owner parks",
        "shuttle",
        "calls_in_line_for_a_turn_are_all_done_by_whoever_frees_it",
        [("src/turn.rs", "        if !self.handed.load(Ordering::Acquire) || !self.handed.swap(false, Ordering::Acquire) {", "        if self.line.lock().closed || true {")],
    ),
    Mutation(
        "wait_with_the_turn",
        "a handler keeps its turn while a call of it waits",
        "shuttle",
        "two_handlers_that_exchange_with_each_other_both_succeed",
        [("src/call.rs", "    let held = own.as_ref().filter(|own| has_turn(own));\n", "    let held = own.as_ref().filter(|own| has_turn(own) && false);\n")],
    ),
    Mutation(
        "change_without_the_turn",
        "an offer or exchange changes a shelf without its peer's turn",
        "shuttle",
        "nobody_changes_a_shelf_under_a_running_handler",
        [("src/call.rs", "    if !must_wait && !verb.needs_turn(target.hears) {", "    if !must_wait {")],
    ),
    Mutation(
        "turn_not_taken_back",
        "a handler goes on after a call that waited without its turn",
        "shuttle",
        "nobody_changes_a_shelf_under_a_running_handler",
        [("src/call.rs", "    if let Some(own) = held {\n        take_turn(own, after);", "    if let Some(own) = held.filter(|_| false) {\n        take_turn(own, after);")],
        iterations=100_000,
    ),
    # Messages and room.
    Mutation(
        "count_before_room",
        "a tell is counted before there is room for it",
        "shuttle",
        "a_tell_that_finds_no_room_is_waited_for_by_nobody",
        [("src/mailbox.rs", "        let mut door = queues.entry.door.lock();\n        if let Err(why) = queues.check(", "        let mut door = queues.entry.door.lock();\n        if let Letter::Tell(tell) = &letter\n            && let Some(pair) = &tell.label.pair\n        {\n            pair.tell(queues.entry.put.messages() + 1);\n        }\n        if let Err(why) = queues.check(")],
    ),
    Mutation(
        "count_after_push",
        "a tell is counted after it was put in",
        "shuttle",
        "two_threads_that_tell_as_one_peer_are_both_waited_for",
        [("src/mailbox.rs", "            pair.tell(number);\n", "            let _ = (pair, number);\n"), ("src/mailbox.rs", "        queues.put(&mut door, letter);\n        Ok(door.receivers())", "        let pair = match &letter {\n            Letter::Tell(tell) => tell.label.pair.clone(),\n            Letter::Ask(_) => None,\n        };\n        queues.put(&mut door, letter);\n        let (number, receivers) = (queues.entry.put.messages(), door.receivers());\n        drop(door);\n        if let Some(pair) = pair {\n            pair.tell(number);\n        }\n        Ok(receivers)")],
    ),
    Mutation(
        "begin_without_claim",
        "a handler begins an ask without a step that excludes giving it up",
        "shuttle",
        "an_ask_that_timed_out_is_never_begun_and_one_in_doubt_was",
        [("src/message.rs", "let is_ours = ask.wait.step(Phase::Queued, Phase::Begun);", "let is_ours = ask.wait.is_open() && { ask.wait.step(Phase::Queued, Phase::Begun); true };")],
    ),
    Mutation(
        "commit_without_claim",
        "an operation changes shelves without a claim against giving up",
        "shuttle",
        "an_operation_that_timed_out_has_changed_no_shelf",
        [("src/call.rs", "    if !claim() {\n        return Committed::GivenUp;\n    }", "    claim();")],
    ),
    Mutation(
        "commit_unlike_seen",
        "an exchange goes through though a side has changed since its handlers saw it",
        "shuttle",
        "an_exchange_swaps_what_its_handlers_saw_last",
        [("src/call.rs", "has_changed(&seen.theirs, &found.theirs) || has_changed(&seen.mine, &found.mine)", "false && (has_changed(&seen.theirs, &found.theirs) || has_changed(&seen.mine, &found.mine))")],
    ),
    Mutation(
        "notes_after",
        "on_received is told after the message that was sent later",
        "shuttle",
        "what_a_peer_sends_takes_effect_in_the_order_sent",
        [("src/worker.rs", "        self.tell_notes(notes, after);\n        let mut next = self.core.mailbox.take();\n", "        let mut next = self.core.mailbox.take();\n        next.take().into_iter().for_each(|letter| self.handle(letter, after));\n        self.tell_notes(notes, after);\n")],
    ),
    # Several messages in one turn.
    Mutation(
        "notes_kept_waiting",
        "the peer's thread goes on with messages though notes came while a handler waited in a call",
        "shuttle",
        "what_came_while_a_handler_waited_is_told_before_a_later_message",
        [("src/worker.rs", "let has_else = core.desk.has_work() || ", "let has_else = ")],
    ),
    Mutation(
        "turn_kept_from_those_in_line",
        "the peer's thread keeps its turn for the next message though somebody waits for it",
        "shuttle",
        "who_waits_for_a_turn_gets_it_though_messages_never_end",
        [("src/worker.rs", "core.desk.is_awaited() || core.turn.is_wanted()", "core.desk.is_awaited()")],
    ),
    Mutation(
        "work_kept_waiting",
        "the peer's thread goes on with messages though an operation waits for its handlers",
        "shuttle",
        "who_waits_for_a_vote_gets_it_though_messages_never_end",
        [("src/worker.rs", "let has_else = core.desk.has_work() || ", "let has_else = ")],
    ),
    # Waiting before sleeping.
    Mutation(
        "parked_unsaid",
        "a thread parks without having said so",
        "loom",
        "who_ends_a_wait_gives_the_permit_back_or_wakes_its_thread",
        [("src/turn.rs", "(word & DONE == 0).then_some(word | PARKS)", "(word & DONE == 0).then_some(word)")],
    ),
    Mutation(
        "permit_given_back_twice",
        "a thread that has looked gives its permit back, though who ended its wait did",
        "loom",
        "who_ends_a_wait_gives_the_permit_back_or_wakes_its_thread",
        [("src/turn.rs", "                if !is_done {\n                    spin::give_permit();\n                }", "                spin::give_permit();")],
    ),
    Mutation(
        "permit_lost",
        "who ends a wait leaves the permit to the thread that looks, which thinks that it was given back",
        "loom",
        "who_ends_a_wait_gives_the_permit_back_or_wakes_its_thread",
        [("src/turn.rs", "if word & LOOKS != 0 => spin::give_permit(),", "if word & LOOKS != 0 => {}")],
    ),
    Mutation(
        "asleep_though_rung",
        "a peer's thread that has looked for a while falls asleep without looking whether it was rung",
        "loom",
        "a_peer_that_goes_to_sleep_sees_what_came_or_is_rung",
        [("src/bell.rs", "self.state.compare_exchange(state, ASLEEP, Ordering::SeqCst, Ordering::SeqCst).is_ok()", "self.state.swap(ASLEEP, Ordering::SeqCst) == state || true")],
    ),
    # The end.
    Mutation(
        "closed_shelf_unchecked",
        "closed is not checked under the shelves' locks",
        "shuttle",
        "nothing_is_on_a_shelf_after_its_close",
        [("src/call.rs", "    if theirs.is_closed() {", "    if target.life.stage() == Stage::Ended {")],
    ),
    Mutation(
        "closed_line_unchecked",
        "the line of a turn takes work after its close",
        "shuttle",
        "a_close_is_told_while_the_handler_still_runs",
        [("src/turn.rs", "        if line.closed {\n            return Entered::Closed(work);\n        }\n", "        let _ = line.closed;\n")],
    ),
    Mutation(
        "closed_desk_unchecked",
        "the desk takes calls that wait for their tells after its close",
        "shuttle",
        "a_close_is_told_while_the_handler_still_runs",
        [("src/desk.rs", "        if papers.closed {\n            return Waits::Closed(call);\n        }\n", "")],
    ),
    Mutation(
        "closed_operations_unchecked",
        "the desk takes operations for handlers after its close",
        "shuttle",
        "a_close_is_told_while_the_handler_still_runs",
        [("src/desk.rs", "        if papers.closed {\n            return Waits::Closed(operation);\n        }\n", "")],
    ),
    Mutation(
        "closed_senders_unchecked",
        "the line for room takes senders after its close",
        "shuttle",
        "a_close_is_told_while_the_handler_still_runs",
        [("src/mailbox.rs", "            if door.is_closed {\n                return false;\n            }\n", "")],
    ),
    Mutation(
        "closed_waits_unchecked",
        "a wait as a peer that has closed is registered, and ended by nobody",
        "shuttle",
        "a_close_is_told_while_the_handler_still_runs",
        [("src/waits.rs", "        if list.closed {\n            return None;\n        }\n", "")],
    ),
    Mutation(
        "late_letters",
        "a mailbox lets letters in after its close, which wait for the handler's end",
        "shuttle",
        "what_is_pushed_as_its_peer_closes_is_told_while_the_handler_still_runs",
        [("src/mailbox.rs", "        if door.is_closed {\n            return Err(NoRoom::Closed);\n        }\n", "")],
    ),
    Mutation(
        "end_with_letters_in_hands",
        "a peer ends though somebody is about to say what became of a letter",
        "shuttle",
        "an_accepted_message_is_handled_or_a_dead_letter",
        [("src/worker.rs", "        while !core.mailbox.is_drained() {", "        while !core.mailbox.is_empty() {")],
    ),
    # Ids of the C ABI.
    Mutation(
        "value_taken_out_in_use",
        "whoever drops the only reference takes the value out, though the id is not over",
        "loom",
        "a_value_is_read_whole_or_not_at_all_and_dies_once",
        [("src/ffi/slab.rs", "let is_last = |word: u64| word & (LIVE | REFERENCES) == 1;", "let is_last = |word: u64| word & REFERENCES == 1;")],
    ),
    Mutation(
        "pops_not_counted",
        "a vacant slot that was popped and pushed again meanwhile makes the same head",
        "loom",
        "a_vacant_slot_is_taken_by_one",
        [("src/ffi/slab.rs", "let popped = ((head >> HEAD_SHIFT) + 1) << HEAD_SHIFT | next;", "let popped = head & !HEAD_SLOT | next;")],
    ),
    Mutation(
        "found_unordered",
        "a reference is counted in without Acquire",
        "loom",
        "an_id_that_somebody_guessed_is_found_with_its_value_or_not_at_all",
        [("src/ffi/slab.rs", "compare_exchange(word, to(word), Ordering::Acquire, Ordering::Relaxed)", "compare_exchange(word, to(word), Ordering::Relaxed, Ordering::Relaxed)")],
    ),
    Mutation(
        "counted_out_unordered",
        "a reference is counted out without Release and Acquire",
        "loom",
        "a_value_is_read_whole_or_not_at_all_and_dies_once",
        [("src/ffi/slab.rs", "self.slot.word.fetch_sub(1, Ordering::AcqRel)", "self.slot.word.fetch_sub(1, Ordering::Relaxed)")],
    ),
    Mutation(
        "last_one_unordered",
        "whoever finds itself the last reference takes the value out without Acquire",
        "loom",
        "a_value_is_read_whole_or_not_at_all_and_dies_once",
        [("src/ffi/slab.rs", "let word = self.slot.word.load(Ordering::Acquire);\n        if is_last", "let word = self.slot.word.load(Ordering::Relaxed);\n        if is_last")],
    ),
    Mutation(
        "pushed_unordered",
        "a slot is given back without Release",
        "loom",
        "a_vacant_slot_is_taken_by_one",
        [("src/ffi/slab.rs", "compare_exchange(head, pushed, Ordering::Release, Ordering::Relaxed)", "compare_exchange(head, pushed, Ordering::Relaxed, Ordering::Relaxed)")],
    ),
    # The fences and orderings: only loom sees these.
    Mutation(
        "no_fence_ring",
        "no SeqCst fence before a bell looks who sleeps",
        "loom",
        "a_peer_that_goes_to_sleep_sees_what_came_or_is_rung",
        [("src/bell.rs", "        fence(Ordering::SeqCst);\n        self.ring_after_lock", "        self.ring_after_lock")],
    ),
    Mutation(
        "no_fence_sleep",
        "no SeqCst fence between counting as asleep and looking again",
        "loom",
        "a_peer_that_goes_to_sleep_sees_what_came_or_is_rung",
        [("src/bell.rs", "        fence(Ordering::SeqCst);\n        if has_work", "        if has_work")],
    ),
    Mutation(
        "handled_relaxed",
        "that a message is handled is said without the order that shows what its handler did",
        "loom",
        "what_a_handler_did_is_seen_by_whoever_finds_its_message_handled",
        [("src/mailbox.rs", "self.handled.store(self.taken.messages.load(Ordering::Relaxed), Ordering::Release);", "self.handled.store(self.taken.messages.load(Ordering::Relaxed), Ordering::Relaxed);")],
    ),
    Mutation(
        "free_relaxed",
        "a turn is freed without Release",
        "loom",
        "work_that_enters_the_line_is_done_by_whoever_frees_the_turn",
        [("src/turn.rs", "self.word.compare_exchange(HELD, FREE, Ordering::Release, Ordering::Relaxed)", "self.word.compare_exchange(HELD, FREE, Ordering::Relaxed, Ordering::Relaxed)")],
    ),
    # Threads on demand.
    Mutation(
        "two_starters",
        "who has waited for another to make the thread does not look again, and makes a second one",
        "shuttle",
        "of_two_that_need_the_first_thread_one_makes_it",
        [("src/start.rs", "    if peer.start.is_open() {\n        make(peer)?;", "    if peer.start.is_open() || true {\n        make(peer)?;")],
    ),
    Mutation(
        "close_beside_a_start",
        "a close gives the thread up while somebody else is making it",
        "shuttle",
        "a_peer_that_is_closed_as_its_thread_is_needed_ends_once_and_loses_nothing",
        [("src/start.rs", "            let _starting = self.handlers.lock();\n            let _ = self.step(OPEN, WITHOUT);", "            let _ = self.step(OPEN, WITHOUT);")],
    ),
    Mutation(
        "without_before_all_is_shut",
        "a close gives the thread up before nothing can be left for it any more",
        "shuttle",
        "a_peer_that_is_closed_as_its_thread_is_needed_ends_once_and_loses_nothing",
        [
            (
                "src/close.rs",
                "        shut(peer, after);\n        peer.mailbox.bell().ring();\n        peer.start.go_without();",
                "        peer.start.go_without();\n        shut(peer, after);\n        peer.mailbox.bell().ring();",
            )
        ],
    ),
    Mutation(
        "left_before_the_thread",
        "an offer leaves something for on_received though there is no thread",
        "shuttle",
        "a_peer_that_is_closed_as_its_thread_is_needed_ends_once_and_loses_nothing",
        [
            ("src/call.rs", "    if verb.leaves(target.hears)\n        && let", "    if false\n        && let"),
            ("src/call.rs", "(operation.verb.needs(target.hears) || operation.verb.leaves(target.hears))\n        && let", "operation.verb.needs(target.hears)\n        && let"),
        ],
    ),
    Mutation(
        "last_letter_ends_nothing",
        "who has had the last letter of a closed inbox does not look whether the end is his to carry out",
        "shuttle",
        "an_inbox_without_a_thread_ends_when_the_last_letter_is_out_of_hands",
        [("src/post.rs", "            (peer.system.above.end)(peer);\n", "")],
    ),
    Mutation(
        "end_before_the_last_letter",
        "the end of a peer without a thread does not wait for letters in other hands",
        "shuttle",
        "an_inbox_without_a_thread_ends_when_the_last_letter_is_out_of_hands",
        [("src/worker.rs", "!core.start.is_without() || !core.mailbox.is_drained() || !core.start.end()", "!core.start.is_without() || !core.start.end()")],
    ),
    Mutation(
        "shutdown_ends_no_unstarted_peer",
        "a shutdown from a handler only begins the close of peers that have no thread",
        "shuttle",
        "a_shutdown_from_a_handler_ends_peers_without_a_thread",
        [("src/shutdown.rs", "    peers.iter().for_each(close::end_without_thread);\n", "")],
    ),
    Mutation(
        "end_without_fence",
        "who has set that there will be no thread, and who has had the last letter, look without a fence",
        "loom",
        "an_end_without_a_thread_waits_for_the_last_letter_and_comes_once",
        [("src/start.rs", "        fence(Ordering::SeqCst);\n        self.stage.load(Ordering::SeqCst) == WITHOUT", "        self.stage.load(Ordering::SeqCst) == WITHOUT")],
    ),
    Mutation(
        "take_relaxed",
        "a turn is taken without Acquire",
        "loom",
        "work_that_enters_the_line_is_done_by_whoever_frees_the_turn",
        [("src/turn.rs", "self.word.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)", "self.word.compare_exchange(FREE, HELD, Ordering::Relaxed, Ordering::Relaxed)")],
    ),
]

# What no model shows, and why.
NOT_SHOWN = """\
a link for own tells set   the thread that finishes them moves the call on to its end before it runs another handler, so the link that
without looking again      is too late is gone before anybody could walk along it
links kept by peer, and     a host thread that acts as the peer would close a ring; the conformance tests show it, in one run
room a link only if its
peer waits already
"nothing unfinished        in place of the record per pair: it waits for more than it must, which breaks no promise until a ring
anywhere" as a counter     makes a false Deadlock of it
operations numbered with   without the numbers handlers are asked before messages that came earlier; but one's own tells are waited for
the messages               by their record, and between others there is no order: it is fairness, which no bounded run shows
the Release of a grant     loom has no step between it and the unpark that follows, which orders as much
fences, in whole systems   shuttle is sequentially consistent; loom has them in the parts
"""


def broken(mutation):
    """The copy of the sources with the rule left out."""
    changed = {}
    for path, old, new in mutation.changes:
        text = changed.get(path) or (ROOT / path).read_text()
        if text.count(old) != 1:
            sys.exit(f"{mutation.name}: {path} has this {text.count(old)} times, not once:\n{old}")
        changed[path] = text.replace(old, new)
    for source in COPIED:
        top = ROOT / source
        for file in [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file()):
            name = str(file.relative_to(ROOT))
            bytes_ = changed[name].encode() if name in changed else file.read_bytes()
            copy = WORK / "tree" / name
            if not copy.exists() or copy.read_bytes() != bytes_:
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(bytes_)


def cargo(mutation, *arguments):
    command = [os.environ.get("CARGO", "cargo"), "test", "--profile", "model", "--lib", "--target-dir", WORK / mutation.checker]
    iterations = os.environ.get("MODEL_ITERATIONS", str(mutation.iterations))
    environment = dict(os.environ, RUSTFLAGS=f"--cfg {mutation.checker}", RUST_BACKTRACE="0", MODEL_ITERATIONS=iterations)
    run = subprocess.run([*command, *arguments], cwd=WORK / "tree", env=environment, capture_output=True, text=True)
    return run.returncode == 0, run.stdout + run.stderr


def main(names):
    if names == ["--list"]:
        for mutation in MUTATIONS:
            print(f"{mutation.name:36} {mutation.checker:8} {mutation.finds}\n    {mutation.why}")
        print(f"\nNo model shows:\n{NOT_SHOWN}", end="")
        return
    unknown = set(names) - {mutation.name for mutation in MUTATIONS}
    if unknown:
        sys.exit(f"no such mutation: {', '.join(sorted(unknown))}")
    missed = []
    for mutation in MUTATIONS:
        if names and mutation.name not in names:
            continue
        broken(mutation)
        is_built, output = cargo(mutation, "--no-run")
        if not is_built:
            print(f"BROKEN  {mutation.name} does not compile:\n{output}", flush=True)
            missed.append(mutation.name)
            continue
        passes, output = cargo(mutation, f"{mutation.finds}")
        if "running 1 test" not in output:
            sys.exit(f"{mutation.name}: there is no one model {mutation.finds}:\n{output}")
        how = re.search(r"panicked at [^\n]*\n([^\n]*)", output)
        print(f"{'MISSED' if passes else 'found':8}{mutation.name:36}{how.group(1)[:110] if how and not passes else ''}", flush=True)
        missed += [mutation.name] * passes
    if missed:
        sys.exit(f"not found: {', '.join(missed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
