"""The GIL is free while a call waits, and many threads may call at once."""

import gc
import threading
import warnings

import pytest

from potluck import Closed, PeerClosed, PeerSystem
from support import LONG, Gate, Host


def test_another_thread_runs_while_one_waits_in_an_ask(kitchen, bob):
    gate = Gate()
    kitchen.spawn("ada", on_message=lambda peer, message: gate.pass_())
    asking = Host(lambda: bob.ask("ada", "wait", b"", None)).waiting()
    gate.await_arrival()
    # If the call held the GIL, neither the handler nor this line would have run; count on for good measure.
    count = sum(1 for _ in range(100_000))
    assert (count, asking.is_waiting()) == (100_000, True)
    gate.open()
    with pytest.raises(Exception, match="gave no answer"):
        asking.result()


@pytest.mark.parametrize("call", ["receive", "events", "close"])
def test_another_thread_runs_while_one_waits_in_any_call(kitchen, bob, call):
    gate = Gate()
    ada = kitchen.spawn("ada", on_message=lambda peer, message: gate.pass_())
    bob.tell("ada", "wait")
    gate.await_arrival()
    events = kitchen.events()
    waits = {"receive": lambda: bob.receive(None), "events": lambda: list(events), "close": lambda: ada.close(None)}
    waiting = Host(waits[call]).waiting()
    assert waiting.is_waiting()
    gate.open()
    events.close()
    bob.tell("bob", "wake up")
    waiting.result()


def test_many_threads_share_one_system(kitchen):
    kitchen.spawn("echo", on_message=lambda peer, message: bytes(message))
    kitchen.spawn("store").share("soup", b"tomato" * 1000)
    start = threading.Barrier(8)

    def work(number):
        peer = kitchen.spawn(f"worker{number}", on_received=lambda peer, sender, received: bytes(received))
        # From here on all are there.
        start.wait(LONG)
        for turn in range(100):
            body = f"{number}.{turn}".encode()
            assert bytes(peer.ask("echo", "say", body, LONG)) == body
            peer.share("mine", body)
            peer.offer(f"worker{(number + 1) % 8}" if turn % 2 else "store", "mine", LONG)
            assert peer.request("store", "soup", LONG).view == b"tomato" * 1000
        return number

    workers = [Host(lambda number=number: work(number)) for number in range(8)]
    assert [worker.result() for worker in workers] == list(range(8))


def test_who_waits_as_a_peer_or_for_one_is_told_of_its_close(kitchen, bob):
    gate = Gate()
    ada = kitchen.spawn("ada", on_message=lambda peer, message: gate.pass_())
    bob.tell("ada", "wait")
    gate.await_arrival()
    asking = Host(lambda: bob.ask("ada", "taste", b"", None)).waiting()
    receiving = Host(lambda: bob.receive(None)).waiting()
    closing = Host(lambda: ada.close(None)).waiting()
    with pytest.raises(PeerClosed):
        asking.result()
    bob.close()
    with pytest.raises(Closed):
        receiving.result()
    gate.open()
    closing.result()


def test_a_dropped_system_begins_to_end_and_says_that_it_was_not_shut_down():
    kitchen = PeerSystem("kitchen")
    ada = kitchen.spawn("ada")
    events = kitchen.events()
    # A peer from spawn keeps its system open.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del kitchen
        gc.collect()
    ada.share("soup", b"tomato")
    # The warning comes out of a finalizer, as that of an open file does.
    with pytest.warns(ResourceWarning, match="the system 'kitchen' was not shut down"):  # noqa: PT031
        del ada
        gc.collect()
    assert [event.kind.name for event in iter(lambda: next_or_none(events), None)] == ["JOINED", "LEFT"]


def next_or_none(events):
    try:
        return events.next(LONG)
    except Closed:
        return None


def test_dropped_systems_are_forgotten_once_they_have_ended():
    from potluck import system

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(20):
            PeerSystem("kitchen").spawn("ada", on_stop=lambda peer: None)
            gc.collect()
    for identity in list(system._dropped):
        assert system._has_ended(identity, LONG)
    system._end_dropped()
    assert not system._dropped
    assert not system._open


def test_dropping_the_handle_of_a_peer_closes_nothing(kitchen):
    kitchen.spawn("ada").share("soup", b"tomato")
    gc.collect()
    assert kitchen.peers() == ["ada"]
    assert bytes(kitchen.spawn("bob").fetch("soup")) == b"tomato"
