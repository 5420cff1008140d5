"""Events and mingle."""

import pytest

from potluck import Closed, Event, EventKind, NoSuchResource, PeerClosed, PeerSystem, Refused, TimedOut
from support import LONG, SHORT, Gate, Host, drain


def kinds(events):
    return [(event.kind.name, event.peer, event.other) for event in events]


def test_a_reader_begins_with_a_joined_for_every_peer_there_is_and_left_is_the_last(kitchen, bob, ada):
    with kitchen.events() as events:
        ada.close()
        assert kinds(drain(events)) == [("JOINED", "bob", ""), ("JOINED", "ada", ""), ("LEFT", "ada", "")]


def test_the_events_of_a_call_come_before_it_returns_and_requested_before_received(kitchen, ada, bob):
    with kitchen.events() as events:
        drain(events)
        ada.share("soup", b"tomato")
        bob.request("ada", "soup")
        assert drain(events) == [
            Event(EventKind.REQUESTED, "ada", "bob", "soup", 1, 6, None, ""),
            Event(EventKind.RECEIVED, "bob", "ada", "soup", 1, 6, None, ""),
        ]


def test_a_tell_that_is_queued_at_the_close_is_a_dead_letter_with_its_reason(kitchen, ada, bob):
    with kitchen.events() as events:
        bob.tell("ada", "hello", b"you")
        ada.close()
        dead = [event for event in drain(events) if event.kind is EventKind.DEAD_LETTER]
    assert [(event.peer, event.other, event.name, event.size, event.reason) for event in dead] == [
        ("ada", "bob", "hello", 3, PeerClosed)
    ]
    assert "ada" in dead[0].text


def test_a_reader_that_falls_behind_is_told_how_many_it_missed(kitchen, ada, bob):
    ada.share("soup", b"tomato")
    with kitchen.events(capacity=2) as events:
        for _ in range(10):
            bob.request("ada", "soup")
        seen = drain(events)
    assert sum(event.size if event.kind is EventKind.MISSED else 1 for event in seen) == 22
    assert any(event.kind is EventKind.MISSED for event in seen)


def test_iterating_reads_what_is_left_after_a_shutdown_and_then_ends():
    kitchen = PeerSystem("kitchen")
    kitchen.spawn("ada")
    events = kitchen.events()
    kitchen.shutdown()
    assert kinds(events) == [("JOINED", "ada", ""), ("LEFT", "ada", "")]
    with pytest.raises(Closed):
        events.next(0)


def test_a_reader_that_waits_is_woken_by_its_close_and_by_the_shutdown(kitchen):
    for end in ("close", "shutdown"):
        events = kitchen.events()
        reading = Host(lambda events=events: list(events)).waiting()
        assert reading.is_waiting()
        events.close() if end == "close" else kitchen.shutdown()
        assert reading.result() == []
        events.close()


def test_a_reader_times_out(kitchen):
    with kitchen.events() as events:
        for timeout in (0, SHORT):
            with pytest.raises(TimedOut):
                events.next(timeout)


def test_mingle_tells_who_got_what_from_whom_and_the_same_seed_gives_the_same(kitchen):
    peers = [kitchen.spawn(f"peer{number}") for number in range(1, 6)]

    def play(seed):
        for peer in peers:
            peer.share("soup", peer.name.encode())
        return [(mingled.peer, mingled.other) for mingled in kitchen.mingle("soup", seed)]

    first = play(7)
    assert [peer for peer, _ in first] == [peer.name for peer in peers]
    assert all(peer != other for peer, other in first)
    assert play(7) == first
    assert any(play(seed) != first for seed in range(8, 20))


def test_a_failure_is_an_entry_and_not_the_end_of_the_rest(kitchen):
    def refuse(peer, sender, name):
        raise Refused("not today")

    ada = kitchen.spawn("ada", on_request=refuse)
    kitchen.spawn("bob")
    ada.share("soup", b"tomato")
    lone, refused = kitchen.mingle("soup", 1)
    assert (lone.peer, lone.other, type(lone.error)) == ("ada", None, NoSuchResource)
    assert (refused.peer, refused.other, type(refused.error)) == ("bob", "ada", Refused)
    assert str(refused.error) == '"ada" refused: not today'


def test_mingle_of_one_peer_is_empty_and_of_nothing_is_an_error(kitchen, ada):
    with pytest.raises(NoSuchResource):
        kitchen.mingle("soup", 1)
    ada.share("soup", b"tomato")
    assert kitchen.mingle("soup", 1) == []


def test_a_request_waits_for_on_request_up_to_its_deadline(kitchen, bob):
    gate = Gate()
    ada = kitchen.spawn("ada", on_message=lambda peer, message: gate.pass_(), on_request=lambda *arguments: None)
    ada.share("soup", b"tomato")
    bob.tell("ada", "wait")
    gate.await_arrival()
    with pytest.raises(TimedOut):
        bob.request("ada", "soup", SHORT)
    waiting = Host(lambda: kitchen.spawn("eve").request("ada", "soup", LONG)).waiting()
    assert waiting.is_waiting()
    gate.open()
    assert bytes(waiting.result()) == b"tomato"
