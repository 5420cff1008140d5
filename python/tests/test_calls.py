"""The calls beside sharing and messages: compare and share, newer, wait for, adopted buffers, dead letters, snapshot, ids,
options.
"""

import array
import contextlib
import gc
import mmap
import threading
import time
from pathlib import Path

import pytest

import potluck
from potluck import (
    Closed,
    Ended,
    Handlers,
    InvalidArgument,
    InvalidHandle,
    NoSuchResource,
    PeerClosed,
    PeerSystem,
    Refused,
    TimedOut,
    TooLarge,
    UnknownMessage,
    VersionConflict,
)
from support import LONG, SHORT, Gate, Host


def test_a_share_that_expects_nothing_is_done_only_where_nothing_is_held(ada):
    assert ada.share_if("soup", b"tomato", None) == 1
    with pytest.raises(VersionConflict) as caught:
        ada.share_if("soup", b"onion", None)
    assert (caught.value.current, caught.value.status) == (1, 41)
    ada.unshare("soup")
    assert ada.share_if("soup", b"leek", None) == 2


def test_a_share_that_expects_a_resource_is_done_only_if_exactly_that_is_held(ada, bob):
    ada.share("soup", b"tomato")
    first = bob.request("ada", "soup")
    assert ada.share_if("soup", bytearray(b"onion"), first) == 2
    with pytest.raises(VersionConflict) as caught:
        ada.share_if("soup", b"leek", first)
    assert caught.value.current == 2
    assert bytes(ada.get("soup")) == b"onion"
    ada.unshare("soup")
    with pytest.raises(VersionConflict) as caught:
        ada.share_if("soup", b"leek", first)
    assert caught.value.current == 0
    with pytest.raises(InvalidArgument):
        ada.share_if("bread", b"rye", first)
    first.release()
    with pytest.raises(InvalidHandle):
        ada.share_if("soup", b"leek", first)


def test_no_update_is_lost_among_threads_that_compare_and_share(ada):
    ada.share("count", b"0")

    def count():
        for _ in range(200):
            while True:
                held = ada.get("count")
                try:
                    ada.share_if("count", str(int(bytes(held)) + 1).encode(), held)
                    break
                except VersionConflict:
                    pass

    for thread in [Host(count) for _ in range(4)]:
        thread.result()
    assert bytes(ada.get("count")) == b"800"


def test_what_is_the_same_or_older_is_not_handed_over_and_what_is_newer_is(kitchen, ada, bob):
    ada.share("soup", b"tomato")
    first = bob.request_newer("ada", "soup", None)
    assert bytes(first) == b"tomato"
    bob.unshare("soup")
    with kitchen.events() as events:
        assert bob.request_newer("ada", "soup", first) is None
        assert {events.next(0).kind.name for _ in range(2)} == {"JOINED"}
        with pytest.raises(TimedOut):
            events.next(0)
    assert bob.resources() == []
    ada.share("soup", b"onion")
    assert bytes(bob.request_newer("ada", "soup", first)) == b"onion"
    with pytest.raises(InvalidArgument):
        bob.request_newer("ada", "bread", first)
    with pytest.raises(NoSuchResource):
        bob.request_newer("ada", "bread", None)


def test_request_newer_waits_for_on_request(kitchen, bob):
    gate = Gate()

    def on_request(peer, sender, name):
        gate.pass_()

    ada = kitchen.spawn("ada", on_request=on_request)
    ada.share("soup", b"tomato")
    for on_main in (False, True):
        call = lambda: bob.request_newer("ada", "soup", None, LONG)  # noqa: E731
        gate.open()
        assert bytes(call() if on_main else Host(call).result()) == b"tomato"
        gate.await_arrival()
    first = bob.get("soup")
    for on_main in (False, True):
        call = lambda: bob.request_newer("ada", "soup", first, LONG)  # noqa: E731
        gate.open()
        assert (call() if on_main else Host(call).result()) is None
        gate.await_arrival()


def test_wait_for_returns_once_the_peer_is_there(kitchen, ada):
    kitchen.wait_for("ada", 0)
    for timeout in (0, SHORT, 0.25):
        with pytest.raises(TimedOut) as caught:
            kitchen.wait_for("bob", timeout)
        assert caught.value.peer == "bob"
    waiting = Host(lambda: kitchen.wait_for("bob", None)).waiting()
    assert waiting.is_waiting()
    kitchen.spawn("bob")
    waiting.result()
    waiting = Host(lambda: kitchen.wait_for("eve", None)).waiting()
    kitchen.shutdown()
    with pytest.raises(Closed):
        waiting.result()


def test_an_adopted_buffer_is_read_in_place_and_held_until_the_last_one_has_let_it_go(kitchen, ada, bob):
    body = bytearray(b"tomato")
    assert ada.share("soup", body, copy=False) == 1
    soup = bob.request("ada", "soup")
    view = soup.view
    ada.unshare("soup")
    bob.unshare("soup")
    # Not what one should do: it shows that these are the very bytes.
    body[0:1] = b"T"
    assert (bytes(soup), view.tobytes()) == (b"Tomato", b"Tomato")
    soup.release()
    with pytest.raises(BufferError):
        body += b" and more"
    del view
    gc.collect()
    body += b" and more"
    assert potluck._ffi._adopted == {}


def test_any_contiguous_buffer_can_be_adopted(ada, tmp_path):
    file = tmp_path / "soup"
    file.write_bytes(b"tomato")
    with file.open("r+b") as opened:
        mapped = mmap.mmap(opened.fileno(), 0)
        for body in (b"tomato", bytearray(b"tomato"), memoryview(b"a tomato soup")[2:8], array.array("B", b"tomato"), mapped):
            ada.share("soup", body, copy=False)
            assert ada.get("soup").view == b"tomato"
        with pytest.raises(BufferError):
            mapped.close()
        ada.share("soup", ada.get("soup").view, copy=False)
        assert bytes(ada.get("soup")) == b"tomato"
        ada.unshare("soup")
        gc.collect()
        mapped.close()
    ada.share("nothing", bytearray(), copy=False)
    assert bytes(ada.get("nothing")) == b""
    with pytest.raises(BufferError):
        ada.share("soup", memoryview(b"tomato")[::2], copy=False)
    with pytest.raises(TypeError):
        ada.share("soup", "tomato", copy=False)


def test_an_adopted_buffer_is_let_go_also_when_the_share_fails():
    body = bytearray(b"123456789")
    with PeerSystem("kitchen", resource_bytes_max=8) as kitchen:
        ada = kitchen.spawn("ada")
        for name, kind in (("soup", TooLarge), ("a//b", ValueError)):
            with pytest.raises(kind):
                ada.share(name, body, copy=False)
            body += b"0"
        ada.close()
        with pytest.raises(Closed) as caught:
            ada.share("soup", body, copy=False)
        assert caught.value.peer == "ada"
    body += b"0"


def test_an_adopted_buffer_is_let_go_on_a_thread_of_the_library(kitchen, ada):
    released = []

    class Exporter(bytearray):
        def __del__(self):
            released.append(threading.get_native_id())

    cook = kitchen.spawn("cook", on_message=lambda peer, message: peer.unshare("soup"))
    cook.share("soup", Exporter(b"tomato"), copy=False)
    ada.tell("cook", "clear the table")
    assert cook.close(LONG) is Ended.YES
    assert len(released) == 1
    assert released[0] != threading.get_native_id()


def test_dead_letters_say_to_whom_from_whom_the_kind_the_size_and_why_and_are_counted():
    with PeerSystem("kitchen", dead_letters_max=2) as kitchen:
        ada, bob = kitchen.spawn("ada"), kitchen.spawn("bob")
        assert kitchen.dead_letters() == []
        for number in range(3):
            bob.tell("ada", f"hello {number}", b"you")
        ada.close()
        letters = kitchen.dead_letters()
        assert [letter[:6] for letter in letters] == [
            (number + 1, "ada", "bob", f"hello {number}", 3, PeerClosed) for number in (1, 2)
        ]
        assert all("ada" in letter.text for letter in letters)


def test_a_hang_can_be_read_from_a_snapshot(kitchen, bob):
    gate = Gate()
    kitchen.spawn("eve", on_message=lambda peer, message: gate.pass_())
    kitchen.spawn("ada", on_message=lambda peer, message: peer.ask("eve", "wait", timeout=None))
    bob.tell("ada", "begin", b"you")
    gate.await_arrival()
    bob.tell("ada", "next")
    deadline, call = time.monotonic() + LONG, None
    while call is None:
        # The handler of eve may begin before that of ada has come to wait.
        assert time.monotonic() < deadline, "ada does not come to wait"
        by_name = {peer["peer"]: peer for peer in kitchen.snapshot()["peers"]}
        call = by_name["ada"]["call"]
    assert list(by_name) == ["bob", "eve", "ada"]
    handler = by_name["ada"]["handler"]
    assert (handler["name"], handler["from"], handler["what"]) == ("on_message", "bob", "begin")
    assert (call["verb"], call["whom"], call["what"]) == ("ask", "eve", "wait")
    assert (by_name["ada"]["messages"], by_name["ada"]["taken"]) == (1, 1)
    assert kitchen.snapshot()["system"] == "kitchen"
    assert kitchen.snapshot()["handles"]["peers"] >= 3
    gate.open()
    gate.open()
    # NoReply is the end of the first; the second begins and passes the open gate.
    assert kitchen.shutdown(LONG) is Ended.YES


def test_a_shutdown_that_is_still_running_reports_who_and_what(kitchen, bob):
    gate = Gate()
    kitchen.spawn("ada", on_message=lambda peer, message: gate.pass_())
    bob.tell("ada", "wait")
    gate.await_arrival()
    assert kitchen.report == ()
    assert kitchen.shutdown(0.05) is Ended.STILL_RUNNING
    (running,) = kitchen.report
    assert running.peer == "ada"
    assert "on_message" in running.doing
    assert running.seconds >= 0.02
    gate.open()
    assert kitchen.shutdown(LONG) is Ended.YES
    assert kitchen.report == ()


def test_with_lazy_threads_a_peer_gets_its_thread_when_a_handler_is_to_run():
    def threads():
        """Those of peers alone; one that ends while it is looked at is none."""
        names = []
        for thread in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):
                names.append((thread / "comm").read_text().strip())
        return [name for name in names if name.startswith("potluck:")]

    with PeerSystem("kitchen", lazy_threads=True) as kitchen:
        peers = [kitchen.spawn(f"peer{number}") for number in range(100)]
        peers[0].share("soup", b"tomato")
        for peer in peers[1:]:
            peer.fetch("soup")
        ada = kitchen.spawn("ada", on_message=lambda peer, message: b"here")
        assert threads() == []
        assert bytes(peers[0].ask("ada", "are you there?")) == b"here"
        assert threads() == ["potluck:ada"]
        assert ada.close() is Ended.YES


def test_ids_are_for_others_who_use_the_same_library(kitchen, ada):
    guest = PeerSystem.from_id(kitchen.id)
    assert guest.name == "kitchen"
    bob = guest.spawn("bob")
    ada.share("soup", b"tomato")
    assert bytes(bob.request("ada", "soup")) == b"tomato"
    assert ada.id != bob.id
    del guest, bob
    gc.collect()
    # Who was only told the id ends nothing.
    assert kitchen.peers() == ["ada", "bob"]
    for wrong in (0, 1, ada.id, 2**64 - 1):
        with pytest.raises(InvalidHandle):
            PeerSystem.from_id(wrong)
    for wrong in (-1, 2**64):
        with pytest.raises(InvalidArgument):
            PeerSystem.from_id(wrong)


def test_handlers_by_decorator(kitchen, bob):
    cook, seen = Handlers(), []

    @cook.on_message("taste")
    def taste(peer, message):
        return b"salt"

    @cook.on_message("dance")
    def dance(peer, message):
        return b"no"

    @cook.on_request
    def guard(peer, sender, name):
        raise Refused(f"not for {sender}")

    @cook.on_offer
    def accept(peer, sender, offered):
        seen.append(("offered", bytes(offered)))

    @cook.on_received
    def received(peer, sender, received):
        seen.append(("received", bytes(received)))

    @cook.on_stop
    def stop(peer):
        seen.append(("stopped", peer.name))

    assert taste(None, None) == b"salt"
    peers = [kitchen.spawn(name, cook) for name in ("ada", "eve")]
    bob.share("bread", b"rye")
    for peer in peers:
        assert [bytes(bob.ask(peer.name, kind)) for kind in ("taste", "dance")] == [b"salt", b"no"]
        with pytest.raises(UnknownMessage, match="sing"):
            bob.ask(peer.name, "sing")
        with pytest.raises(Refused, match="not for bob"):
            bob.request(peer.name, "soup")
        bob.offer(peer.name, "bread")
        peer.close()
    assert seen[:3] == [("offered", b"rye"), ("received", b"rye"), ("stopped", "ada")]

    @cook.on_message
    def other(peer, message):
        return message.kind.encode()

    kitchen.spawn("dan", cook)
    assert [bytes(bob.ask("dan", kind)) for kind in ("taste", "sing")] == [b"salt", b"sing"]
    for again in (cook.on_message("taste"), cook.on_message, cook.on_request, cook.on_offer, cook.on_received, cook.on_stop):
        with pytest.raises(ValueError, match="given twice"):
            again(other)
    with pytest.raises(ValueError, match="on_stop is given twice"):
        kitchen.spawn("joe", cook, on_stop=print)


def test_errors_name_the_peer(kitchen, ada, bob):
    for call, peer in (
        (lambda: bob.request("eve", "soup"), "eve"),
        (lambda: bob.request("ada", "soup"), "ada"),
        (lambda: bob.get("soup"), "bob"),
        (lambda: bob.ask("ada", "taste", timeout=0), "ada"),
        (lambda: bob.fetch("soup"), None),
    ):
        with pytest.raises(potluck.PotluckError) as caught:
            call()
        assert caught.value.peer == peer
    bob.close()
    with pytest.raises(Closed) as caught:
        bob.request("ada", "soup")
    assert caught.value.peer == "bob"
