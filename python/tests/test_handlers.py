"""Handlers run on their peer's thread, and what they raise stays there."""

import gc
import logging
import queue
import threading
import weakref

import pytest

from potluck import (
    Closed,
    Ended,
    HandlerFailed,
    InvalidName,
    NoSuchResource,
    Peer,
    Refused,
)
from support import LONG, Gate, drain


def test_all_handlers_of_a_peer_run_on_its_own_thread(kitchen, bob):
    ran = queue.Queue()

    def note(what):
        return lambda *arguments: ran.put((what, threading.get_native_id(), arguments[0].name))

    names = ("on_message", "on_request", "on_offer", "on_received", "on_stop")
    ada = kitchen.spawn("ada", **{name: note(name) for name in names})
    ada.share("soup", b"tomato")
    bob.share("bread", b"rye")
    bob.tell("ada", "hello")
    bob.request("ada", "soup")
    bob.offer("ada", "bread")
    assert ada.close() is Ended.YES
    seen = [ran.get(timeout=LONG) for _ in names]
    assert {what for what, _, _ in seen} == set(names)
    assert seen[-1][0] == "on_stop"
    assert len({thread for _, thread, _ in seen}) == 1
    assert seen[0][1] != threading.get_native_id()
    assert {name for _, _, name in seen} == {"ada"}


def test_a_handler_gets_its_peer_and_may_make_every_call_as_it(kitchen, bob):
    def on_message(peer, message):
        assert isinstance(peer, Peer)
        peer.share("soup", b"tomato")
        peer.offer(message.sender, "soup")
        return b", ".join(name.encode() for name in kitchen.peers())

    ada = kitchen.spawn("ada", on_message=on_message)
    assert bytes(bob.ask("ada", "offer it")) == b"bob, ada"
    assert bytes(bob.get("soup")) == b"tomato"
    seen = []
    eve = kitchen.spawn("eve", on_stop=seen.append)
    eve.close()
    assert seen == [eve]
    assert hash(seen[0]) == hash(eve)
    assert eve != ada


def test_a_handler_that_raises_gives_the_asker_the_text_and_the_log_the_traceback_and_the_peer_lives_on(kitchen, bob, caplog):
    def on_message(peer, message):
        if message.kind == "fail":
            raise ValueError("no soup\ntoday")
        return b"fine"

    kitchen.spawn("ada", on_message=on_message)
    with kitchen.events() as events, caplog.at_level(logging.ERROR, "potluck"):
        with pytest.raises(HandlerFailed, match=r'^a handler of "ada" failed: ValueError: no soup today$'):
            bob.ask("ada", "fail")
        failed = [event for event in drain(events) if event.kind.name == "HANDLER_FAILED"]
    assert bytes(bob.ask("ada", "else")) == b"fine"
    assert [(event.peer, event.other, event.text) for event in failed] == [("ada", "bob", "ValueError: no soup today")]
    assert failed[0].reason is HandlerFailed
    records = [record for record in caplog.records if record.name == "potluck"]
    assert [record.getMessage() for record in records] == ["on_message of peer 'ada' failed"]
    assert records[0].exc_info[0] is ValueError


class _Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (ValueError(), "ValueError"),
        (ValueError("nul \0 and \udc80"), r"ValueError: nul   and \udc80"),
        (queue.Empty(), "_queue.Empty"),
        (Refused("not a vote"), "potluck.Refused: not a vote"),
        (_Unprintable(), "test_handlers._Unprintable: <its __str__ raised RuntimeError>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_handler_raises_is_a_failure_and_its_peer_lives_on(kitchen, bob, error, text):
    def on_message(peer, message):
        if message.kind == "fail":
            raise error
        return b"fine"

    kitchen.spawn("ada", on_message=on_message)
    with pytest.raises(HandlerFailed) as caught:
        bob.ask("ada", "fail")
    assert str(caught.value) == f'a handler of "ada" failed: {text}'
    assert bytes(bob.ask("ada", "else")) == b"fine"


def test_a_logging_handler_that_raises_changes_nothing(kitchen, bob):
    class Broken(logging.Handler):
        def emit(self, record):
            raise RuntimeError("the log is full")

    broken = Broken()
    logging.getLogger("potluck").addHandler(broken)
    try:
        kitchen.spawn("ada", on_message=lambda peer, message: 1 / 0)
        with pytest.raises(HandlerFailed, match="ZeroDivisionError: division by zero"):
            bob.ask("ada", "fail")
    finally:
        logging.getLogger("potluck").removeHandler(broken)


def test_on_request_may_refuse_with_a_reason_or_share_on_the_spot(kitchen, bob):
    def on_request(peer, sender, name):
        if name == "secret":
            raise Refused(f"not for {sender}")
        if name == "nothing":
            raise Refused
        peer.share(name, f"made for {sender}".encode())

    ada = kitchen.spawn("ada", on_request=on_request)
    ada.share("secret", b"salt")
    with pytest.raises(Refused, match=r'^"ada" refused: not for bob$') as caught:
        bob.request("ada", "secret")
    assert isinstance(caught.value, PermissionError)
    with pytest.raises(Refused, match=r'^"ada" refused: refused$'):
        bob.request("ada", "nothing")
    assert bytes(bob.request("ada", "soup")) == b"made for bob"


def test_an_error_of_on_request_or_on_offer_is_told_and_nothing_changes(kitchen, bob):
    def on_request(peer, sender, name):
        raise ValueError("no soup")

    def on_offer(peer, sender, offered):
        # A Refused that somebody else answered is a failure here, not a vote.
        peer.request("eve", "soup")

    def refuse(peer, sender, name):
        raise Refused("not today")

    kitchen.spawn("eve", on_request=refuse)
    ada = kitchen.spawn("ada", on_request=on_request, on_offer=on_offer)
    ada.share("soup", b"tomato")
    bob.share("bread", b"rye")
    with pytest.raises(HandlerFailed, match="ValueError: no soup"):
        bob.request("ada", "soup")
    with pytest.raises(HandlerFailed, match=r"potluck\.Refused"):
        bob.offer("ada", "bread")
    assert [held.name for held in ada.resources()] == ["soup"]
    assert [held.name for held in bob.resources()] == ["bread"]


def test_on_offer_sees_what_is_offered_and_may_refuse(kitchen, bob):
    def on_offer(peer, sender, offered):
        if bytes(offered) != b"rye":
            raise Refused(f"{sender} brings {offered.name} of {len(offered)} bytes, version {offered.version}")

    ada = kitchen.spawn("ada", on_offer=on_offer)
    bob.share("bread", b"rye")
    bob.offer("ada", "bread")
    assert bytes(ada.get("bread")) == b"rye"
    bob.share("bread", b"wheat")
    with pytest.raises(Refused, match="bob brings bread of 5 bytes, version 2"):
        bob.offer("ada", "bread")
    assert bytes(ada.get("bread")) == b"rye"


def test_on_received_is_told_of_offers_and_exchanges_in_order(kitchen, bob):
    told = queue.Queue()
    ada = kitchen.spawn("ada", on_received=lambda peer, sender, got: told.put((peer.name, sender, got.name, bytes(got))))
    bob.share("soup", b"leek")
    bob.offer("ada", "soup")
    bob.share("soup", b"onion")
    bob.exchange("ada", "soup")
    ada.request("bob", "soup")
    assert ada.close() is Ended.YES
    assert [told.get(timeout=LONG) for _ in range(2)] == [("ada", "bob", "soup", b"leek"), ("ada", "bob", "soup", b"onion")]
    assert told.empty()


def test_an_error_of_on_received_or_on_stop_is_logged_and_an_event_and_the_peer_goes_on(kitchen, bob, caplog):
    def fail(*arguments):
        raise ValueError("no")

    ada = kitchen.spawn("ada", on_received=fail, on_stop=fail)
    bob.share("soup", b"leek")
    with kitchen.events() as events, caplog.at_level(logging.ERROR, "potluck"):
        bob.offer("ada", "soup")
        assert ada.close() is Ended.YES
        failed = [event for event in drain(events) if event.kind.name == "HANDLER_FAILED"]
    assert [record.getMessage() for record in caplog.records] == [
        "on_received of peer 'ada' failed",
        "on_stop of peer 'ada' failed",
    ]
    assert [(event.peer, event.other, event.text) for event in failed] == [
        ("ada", "bob", "ValueError: no"),
        ("ada", "ada", "ValueError: no"),
    ]


def test_a_handler_may_keep_a_resource_that_it_is_shown(kitchen, bob):
    kept = []
    ada = kitchen.spawn(
        "ada",
        on_offer=lambda peer, sender, offered: kept.append(offered),
        on_received=lambda peer, sender, received: kept.append(received.view),
    )
    bob.share("soup", b"tomato" * 1000)
    bob.offer("ada", "soup")
    assert ada.close() is Ended.YES
    offered, view = kept
    bob.unshare("soup")
    assert bytes(offered) == b"tomato" * 1000 == view.tobytes()
    assert (offered.name, offered.origin, offered.version, len(offered)) == ("soup", "bob", 1, 6000)


class _Cook:
    """Handlers with a life of their own."""

    def on_message(self, peer, message):
        return b"soup"

    def on_stop(self, peer):
        pass


def test_the_handlers_are_dropped_when_close_has_returned(kitchen, bob):
    cook = _Cook()
    cooks = weakref.WeakSet([cook])
    dropped = []
    weakref.finalize(cook, dropped.append, "dropped")
    ada = kitchen.spawn("ada", on_message=cook.on_message, on_stop=cook.on_stop)
    del cook
    assert bytes(bob.ask("ada", "taste")) == b"soup"
    assert len(cooks) == 1
    assert ada.close() is Ended.YES
    assert (len(cooks), dropped) == (0, ["dropped"])


def test_the_handlers_are_dropped_when_spawning_fails(kitchen, ada):
    for name, limit, kind in (("a/b", None, InvalidName), ("ada", None, Exception), ("eve", 0, ValueError)):
        cook = _Cook()
        cooks = weakref.WeakSet([cook])
        with pytest.raises(kind):
            kitchen.spawn(name, on_message=cook.on_message, mailbox_bytes_max=limit)
        del cook
        gc.collect()
        assert len(cooks) == 0
    kitchen.shutdown(LONG)
    cook = _Cook()
    cooks = weakref.WeakSet([cook])
    with pytest.raises(Closed):
        kitchen.spawn("late", on_message=cook.on_message)
    del cook
    gc.collect()
    assert len(cooks) == 0


def test_a_thousand_spawns_and_closes_leave_nothing_registered(kitchen):
    from potluck import _handlers

    before = len(_handlers._registered)
    for _ in range(1000):
        assert kitchen.spawn("ada", on_message=lambda peer, message: None).close() is Ended.YES
    assert len(_handlers._registered) == before


def test_a_handler_may_spawn_and_close_other_peers(kitchen, bob):
    def on_message(peer, message):
        with kitchen.spawn("helper", on_message=lambda peer, message: b"helped") as helper:
            return bytes(peer.ask(helper.name, "help"))

    kitchen.spawn("ada", on_message=on_message)
    assert bytes(bob.ask("ada", "help")) == b"helped"
    assert kitchen.peers() == ["bob", "ada"]


def test_a_close_from_its_own_handler_is_deferred_until_the_handler_returns(kitchen, bob):
    def on_message(peer, message):
        message.reply(peer.close().name.encode())

    ada = kitchen.spawn("ada", on_message=on_message)
    assert bytes(bob.ask("ada", "go")) == b"DEFERRED"
    assert ada.close() is Ended.YES
    assert kitchen.peers() == ["bob"]


def test_a_close_whose_deadline_passes_is_still_running_and_may_be_repeated(kitchen, bob):
    gate = Gate()
    ada = kitchen.spawn("ada", on_message=lambda peer, message: gate.pass_())
    bob.tell("ada", "wait")
    gate.await_arrival()
    assert ada.close(0) is Ended.STILL_RUNNING
    assert ada.close(0.01) is Ended.STILL_RUNNING
    with pytest.raises(Closed):
        ada.get("soup")
    gate.open()
    assert ada.close(LONG) is Ended.YES


def test_a_shutdown_whose_deadline_passes_is_still_running_and_says_who(kitchen, bob):
    gate = Gate()
    kitchen.spawn("ada", on_message=lambda peer, message: gate.pass_())
    bob.tell("ada", "wait")
    gate.await_arrival()
    assert kitchen.shutdown(0.01) is Ended.STILL_RUNNING
    assert "ada" in kitchen.peers()
    gate.open()
    assert kitchen.shutdown(LONG) is Ended.YES


def test_a_shutdown_from_a_handler_is_deferred(kitchen, bob):
    told = queue.Queue()
    kitchen.spawn("ada", on_message=lambda peer, message: told.put(kitchen.shutdown()))
    bob.tell("ada", "end")
    assert told.get(timeout=LONG) is Ended.DEFERRED
    assert kitchen.shutdown(LONG) is Ended.YES


def test_a_with_block_whose_end_takes_too_long_says_so_in_the_log(kitchen, bob, caplog, monkeypatch):
    from potluck import PeerSystem

    gate = Gate()
    monkeypatch.setattr(PeerSystem, "shutdown", lambda self, timeout=0.01, shutdown=PeerSystem.shutdown: shutdown(self, timeout))
    with PeerSystem("slow") as slow:
        slow.spawn("ada", on_message=lambda peer, message: gate.pass_())
        slow.spawn("eve").tell("ada", "wait")
        gate.await_arrival()
    assert "system 'slow' still runs after its shutdown: ada (" in caplog.text
    gate.open()
    assert slow.shutdown(LONG) is Ended.YES


def test_what_is_not_held_any_more_in_a_handler_is_a_plain_error_there(kitchen, bob):
    seen = []

    def on_message(peer, message):
        try:
            peer.get("soup")
        except NoSuchResource as error:
            seen.append(str(error))
        return b""

    kitchen.spawn("ada", on_message=on_message)
    bob.ask("ada", "look")
    assert seen == ['peer "ada" holds no resource "soup"']
