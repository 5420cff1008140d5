"""Started calls: made once, waited for as often as one likes, and the descriptors by which others wait."""

import gc
import os
import select
import threading

import pytest

from potluck import (
    Canceled,
    Deadlock,
    Ended,
    HandlerFailed,
    InvalidHandle,
    NoSuchPeer,
    NoSuchResource,
    NotDone,
    PeerClosed,
    PeerSystem,
    TimedOut,
)
from support import LONG, SHORT, Gate, Host


def readable(*objects, timeout=0):
    return select.select(objects, [], [], timeout)[0]


def test_what_needs_no_waiting_is_done_when_start_returns(kitchen, ada, bob):
    ada.share("soup", b"tomato")
    bob.share("bread", b"rye")
    ada.share("bread", b"wheat")
    got = bob.start_request("ada", "soup")
    assert got.done()
    assert bytes(got.wait(0)) == b"tomato"
    assert bytes(bob.start_fetch("soup").wait(0)) == b"tomato"
    assert bob.start_request_newer("ada", "soup", got.wait()).wait(0) is None
    assert bytes(bob.start_request_newer("ada", "soup", None).wait(0)) == b"tomato"
    assert bob.start_offer("ada", "soup").wait(0) is None
    assert bytes(bob.start_exchange("ada", "bread").wait(0)) == b"wheat"
    assert bob.start_tell("ada", "hello", bytearray(b"you")).wait(0) is None
    assert bytes(ada.receive(0)) == b"you"


def test_what_fails_at_once_fails_in_start(ada, bob):
    for start, kind in (
        (lambda: bob.start_request("eve", "soup"), NoSuchPeer),
        (lambda: bob.start_ask("eve", "hello"), NoSuchPeer),
        (lambda: bob.start_offer("ada", "soup"), NoSuchResource),
        (lambda: bob.start_request("ada", "soup", -1), ValueError),
        (lambda: bob.start_request("ada", 1), TypeError),
    ):
        with pytest.raises(kind):
            start()


def test_a_wait_may_be_repeated_and_the_call_is_made_once(kitchen, bob):
    gate, made = Gate(), []

    def on_message(peer, message):
        made.append(message.kind)
        gate.pass_()
        return b"salt"

    kitchen.spawn("ada", on_message=on_message)
    with bob.start_ask("ada", "taste", b"?") as asked:
        gate.await_arrival()
        for timeout in (0, SHORT):
            with pytest.raises(NotDone) as caught:
                asked.wait(timeout)
            assert isinstance(caught.value, TimeoutError)
            assert not isinstance(caught.value, TimedOut)
        assert not asked.done()
        gate.open()
        answers = [bytes(asked.wait(LONG)) for _ in range(3)]
    assert (answers, made) == ([b"salt"] * 3, ["taste"])


def test_a_call_that_is_dropped_is_given_up(kitchen, ada, bob):
    for end in ("cancel", "with", "drop"):
        asked = bob.start_ask("ada", end, timeout=None)
        if end == "with":
            with asked:
                pass
        elif end == "cancel":
            asked.cancel()
            asked.cancel()
            with pytest.raises(InvalidHandle):
                asked.wait(0)
        del asked
        gc.collect()
        with pytest.raises(TimedOut):
            ada.receive(0)
        assert [letter.kind for letter in kitchen.dead_letters()][-1:] == [end]


def test_who_waits_for_a_call_that_is_canceled_is_told(ada, bob):
    asked = bob.start_ask("ada", "taste", timeout=None)
    waiting = Host(lambda: asked.wait(None)).waiting()
    asked.cancel()
    with pytest.raises(Canceled):
        waiting.result()


def test_a_call_ends_at_its_deadline_though_nobody_waits_for_it(ada, bob):
    asked = bob.start_ask("ada", "taste", timeout=SHORT)
    assert readable(asked, timeout=LONG) == [asked]
    with pytest.raises(TimedOut) as caught:
        asked.wait(0)
    assert caught.value.peer == "ada"
    assert asked.done()


def test_the_close_of_the_other_ends_a_call_and_its_result_outlives_the_system(kitchen, ada, bob):
    asked = bob.start_ask("ada", "taste", timeout=None)
    ada.close()
    with pytest.raises(PeerClosed):
        asked.wait(LONG)
    with PeerSystem("pantry") as pantry:
        eve, dan = pantry.spawn("eve"), pantry.spawn("dan")
        eve.share("soup", b"tomato")
        got = dan.start_request("eve", "soup")
    assert bytes(got.wait(0)) == b"tomato"


def test_a_call_that_fails_later_raises_what_the_blocking_one_does(kitchen, bob):
    kitchen.spawn("ada", on_message=lambda peer, message: 1 / 0)
    asked = bob.start_ask("ada", "taste")
    for _ in range(2):
        with pytest.raises(HandlerFailed, match="ZeroDivisionError") as caught:
            asked.wait(LONG)
        assert (caught.value.peer, caught.value.status) == ("ada", 39)


def test_a_handler_may_start_a_call_to_its_own_peer_and_waiting_for_it_there_is_a_ring(kitchen, bob):
    started = []

    def on_message(peer, message):
        if message.kind == "again":
            return b"again"
        started.append(peer.start_ask(peer.name, "again", timeout=None))
        try:
            started[0].wait(LONG)
        except Deadlock:
            return b"a ring"
        return b"none"

    kitchen.spawn("ada", on_message=on_message)
    assert bytes(bob.ask("ada", "begin")) == b"a ring"
    assert bytes(started[0].wait(LONG)) == b"again"


def test_a_descriptor_is_readable_when_the_call_would_return_at_once(kitchen, ada, bob):
    events = kitchen.events()
    assert [event.kind.name for event in (events.next(0), events.next(0))] == ["JOINED", "JOINED"]
    asked = bob.start_ask("ada", "taste", timeout=None)
    assert readable(asked, events, bob) == []
    assert readable(ada) == [ada]
    ada.receive(0).reply(b"salt")
    assert readable(ada, asked, bob) == [asked]
    assert bytes(asked.wait(0)) == b"salt"
    assert asked.fileno() == asked.fileno()
    ada.close()
    assert readable(ada, events) == [ada, events]
    events.close()
    assert readable(events) == [events]


def test_descriptors_are_closed_with_their_objects(kitchen, ada, bob):
    def count():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    counts = []
    for _ in range(20):
        with kitchen.events() as events, bob.start_ask("ada", "taste", timeout=None) as asked:
            objects = (events, asked, kitchen.spawn("eve"))
            assert len({thing.fileno() for thing in objects}) == 3
        objects[2].close()
        del events, asked, objects
        # A message that was given up keeps what it has until it is taken out.
        with pytest.raises(TimedOut):
            ada.receive(0)
        counts.append(count())
    # What earlier tests have left may go meanwhile; 60 of these would stay.
    assert counts[-1] <= counts[0]


def test_many_threads_may_wait_for_one_call(ada, bob):
    asked = bob.start_ask("ada", "taste", timeout=None)
    waiting = [Host(lambda: bytes(asked.wait(None))) for _ in range(4)]
    ada.receive(LONG).reply(b"salt")
    assert [thread.result() for thread in waiting] == [b"salt"] * 4
    assert threading.active_count() < 50


def test_a_close_of_the_waiting_handlers_peer_ends_the_wait_and_not_the_call(kitchen, ada, bob):
    seen, gate = [], Gate()

    def on_message(peer, message):
        asked = bob.start_ask("ada", "taste", timeout=None)
        gate.open()
        try:
            asked.wait(None)
        except Exception as error:
            seen.append((type(error).__name__, asked))

    cook = kitchen.spawn("cook", on_message=on_message)
    bob.tell("cook", "begin")
    gate.openings.get(timeout=LONG)
    assert cook.close(LONG) is Ended.YES
    (name, asked) = seen[0]
    assert name == "Closed"
    ada.receive(LONG).reply(b"salt")
    assert bytes(asked.wait(LONG)) == b"salt"
