"""The promises, each by the name that it has in tests/conformance, as they are kept through the package."""

import gc
import queue
import threading
import weakref

import pytest

from potluck import (
    NO_LIMIT,
    Canceled,
    Closed,
    Deadlock,
    Ended,
    EventKind,
    Full,
    HandlerFailed,
    LimitReached,
    NoSuchPeer,
    NoSuchResource,
    PeerClosed,
    PeerSystem,
    Refused,
    TimedOut,
    TooLarge,
    VersionConflict,
)
from support import LONG, SHORT, Gate, Host, drain


def gated(kitchen, name, gate, **options):
    """A peer whose messages each wait at a gate."""
    return kitchen.spawn(name, on_message=lambda peer, message: gate.pass_(), **options)


def busy(kitchen, bob, gate, **options):
    """The same, with one of its handlers at the gate."""
    ada = gated(kitchen, "ada", gate, **options)
    bob.tell("ada", "wait")
    gate.await_arrival()
    return ada


@pytest.fixture
def gate():
    return Gate()


# Whole and immutable.


def test_a_request_gets_exactly_the_bytes_of_one_share(kitchen, ada, bob):
    done = threading.Event()

    def share():
        number = 0
        while not done.is_set():
            number = (number + 1) % 256
            ada.share("soup", bytes([number]) * 5000)

    ada.share("soup", b"\0" * 5000)
    sharing = Host(share)
    for _ in range(500):
        got = bob.request("ada", "soup").view
        assert got == bytes([got[0]]) * 5000
    done.set()
    sharing.result()


def test_whichever_call_hands_it_on_and_whichever_handler_sees_it_a_body_stays_where_it_is(kitchen, ada, bob):
    from test_views import address

    seen = []
    eve = kitchen.spawn(
        "eve",
        on_offer=lambda peer, sender, offered: seen.append(offered.view),
        on_received=lambda peer, sender, received: seen.append(received.view),
    )
    ada.share("soup", b"tomato" * 1000)
    views = [ada.get("soup").view, bob.request("ada", "soup").view, kitchen.spawn("dan").fetch("soup").view]
    bob.offer("eve", "soup")
    views.append(eve.get("soup").view)
    ada.share("soup", b"leek" * 1000)
    views.append(ada.exchange("bob", "soup").view)
    assert eve.close(LONG) is Ended.YES
    assert len(seen) == 2
    assert len({address(view) for view in (*views, *seen)}) == 1


# Order.


def test_a_request_after_a_tell_sees_what_its_handler_did(kitchen, bob):
    kitchen.spawn("ada", on_message=lambda peer, message: peer.share("soup", bytes(message)) and None)
    for number in range(50):
        bob.tell("ada", "share", str(number).encode())
        assert bytes(bob.request("ada", "soup")) == str(number).encode()


def test_a_request_waits_for_ones_own_tells_up_to_its_deadline_and_for_nobody_elses(kitchen, bob, gate):
    ada = busy(kitchen, bob, gate)
    ada.share("soup", b"tomato")
    with pytest.raises(TimedOut):
        bob.request("ada", "soup", SHORT)
    assert bob.resources() == []
    assert bytes(kitchen.spawn("eve").request("ada", "soup", 0)) == b"tomato"
    requesting = Host(lambda: bob.request("ada", "soup", LONG)).waiting()
    gate.open()
    assert bytes(requesting.result()) == b"tomato"


def test_a_tell_whose_handler_fails_is_finished_too(kitchen, bob):
    kitchen.spawn("ada", on_message=lambda peer, message: 1 / 0).share("soup", b"tomato")
    bob.tell("ada", "fail")
    assert bytes(bob.request("ada", "soup", LONG)) == b"tomato"


def test_messages_and_operations_that_need_handlers_take_effect_in_the_order_sent(kitchen, bob):
    seen = []
    ada = kitchen.spawn(
        "ada",
        on_message=lambda peer, message: seen.append(message.kind),
        on_request=lambda peer, sender, name: seen.append(f"request {name}"),
        on_offer=lambda peer, sender, offered: seen.append(f"offer {offered.name}"),
    )
    ada.share("soup", b"tomato")
    bob.share("bread", b"rye")
    wanted = []
    for number in range(20):
        bob.tell("ada", f"tell {number}")
        bob.request("ada", "soup")
        bob.offer("ada", "bread")
        wanted += [f"tell {number}", "request soup", "offer bread"]
    assert seen == wanted


def test_the_tells_of_one_peer_are_handled_in_the_order_sent_also_when_they_wait_for_room(kitchen, bob):
    seen = []
    ada = kitchen.spawn("ada", on_message=lambda peer, message: seen.append(bytes(message)), mailbox_messages_max=2)
    sent = [str(number).encode() for number in range(200)]
    for body in sent:
        bob.tell("ada", "count", body, LONG)
    assert ada.close(LONG) is Ended.YES or seen
    assert seen == sent[: len(seen)]
    assert len(kitchen.dead_letters()) == len(sent) - len(seen)


# Nothing vanishes; giving up.


def test_every_message_is_handled_or_a_dead_letter_when_peers_close_while_others_send(kitchen, bob):
    handled = []
    sent = 0
    for _ in range(20):
        ada = kitchen.spawn("ada", on_message=lambda peer, message: handled.append(message.kind))

        def send():
            count = 0
            try:
                while True:
                    bob.tell("ada", "hello", timeout=LONG)
                    count += 1
            except (PeerClosed, NoSuchPeer):
                return count

        sending = Host(send)
        assert ada.close(LONG) is Ended.YES
        sent += sending.result()
    letters = kitchen.dead_letters()
    dead = letters[-1].number if letters else 0
    assert len(handled) + dead == sent


def test_an_ask_given_up_before_its_handler_began_never_happens_and_is_a_dead_letter(kitchen, bob, gate):
    seen = []

    def on_message(peer, message):
        seen.append(message.kind)
        gate.pass_()

    ada = kitchen.spawn("ada", on_message=on_message)
    bob.tell("ada", "wait")
    gate.await_arrival()
    with pytest.raises(TimedOut):
        bob.ask("ada", "late", b"four", SHORT)
    letter = kitchen.dead_letters()[-1]
    assert letter[1:6] == ("ada", "bob", "late", 4, TimedOut)
    gate.open()
    assert ada.close(LONG) is Ended.YES
    assert seen == ["wait"]


def test_an_operation_given_up_while_its_handler_thinks_changes_nothing(kitchen, bob, gate):
    ada = kitchen.spawn("ada", on_request=lambda *_: gate.pass_(), on_offer=lambda *_: gate.pass_())
    ada.share("soup", b"tomato")
    bob.share("bread", b"rye")
    for call in (
        lambda: bob.request("ada", "soup", 0.1),
        lambda: bob.fetch("soup", 0.1),
        lambda: bob.offer("ada", "bread", 0.1),
    ):
        with pytest.raises(TimedOut):
            call()
        gate.open()
    assert [held.name for held in ada.resources()] == ["soup"]
    assert [held.name for held in bob.resources()] == ["bread"]
    # Those that had come to think are let through by now.
    for _ in range(3):
        gate.open()


def test_an_ask_whose_sender_closes_while_it_is_queued_is_one(kitchen, ada, bob):
    asking = Host(lambda: bob.ask("ada", "taste", b"salt", None)).waiting()
    bob.close()
    with pytest.raises(Closed) as caught:
        asking.result()
    assert caught.value.peer == "bob"
    assert [letter[1:6] for letter in kitchen.dead_letters()] == [("ada", "bob", "taste", 4, Closed)]


# Prompt.


def test_a_queued_ask_is_told(kitchen, bob, gate):
    ada = busy(kitchen, bob, gate)
    eve = kitchen.spawn("eve")
    asking = Host(lambda: eve.ask("ada", "taste", timeout=None)).waiting()
    assert ada.close(0) is Ended.STILL_RUNNING
    with pytest.raises(PeerClosed):
        asking.result()
    gate.open()


def test_a_request_that_waits_for_on_request_is_told(kitchen, bob, gate):
    ada = busy(kitchen, bob, gate, on_request=lambda *_: None)
    ada.share("soup", b"tomato")
    requesting = Host(lambda: kitchen.spawn("eve").request("ada", "soup", None)).waiting()
    assert ada.close(0) is Ended.STILL_RUNNING
    with pytest.raises(PeerClosed):
        requesting.result()
    gate.open()


def test_a_request_that_waits_for_ones_own_tell_is_told(kitchen, bob, gate):
    ada = busy(kitchen, bob, gate)
    ada.share("soup", b"tomato")
    requesting = Host(lambda: bob.request("ada", "soup", None)).waiting()
    assert ada.close(0) is Ended.STILL_RUNNING
    with pytest.raises(PeerClosed):
        requesting.result()
    gate.open()


def test_a_tell_that_waits_for_room_is_told(kitchen, bob, gate):
    ada = busy(kitchen, bob, gate, mailbox_messages_max=1)
    bob.tell("ada", "fills it")
    telling = Host(lambda: bob.tell("ada", "waits", timeout=None)).waiting()
    assert ada.close(0) is Ended.STILL_RUNNING
    with pytest.raises(PeerClosed):
        telling.result()
    gate.open()


def test_a_handler_that_waits_in_an_ask_gets_closed_when_its_own_peer_closes(kitchen, ada, bob):
    seen = queue.Queue()

    def on_message(peer, message):
        try:
            peer.ask("ada", "never answered", timeout=None)
        except Closed as error:
            seen.put(error.peer)

    cook = kitchen.spawn("cook", on_message=on_message)
    bob.tell("cook", "begin")
    message = ada.receive(LONG)
    assert cook.close(LONG) is Ended.YES
    assert seen.get(timeout=0) == "cook"
    with pytest.raises(Canceled):
        message.reply(b"late")


def test_whoever_waits_for_a_peer_is_told_when_the_failure_of_a_handler_closes_it(gate):
    def on_message(peer, message):
        gate.pass_()
        raise ValueError("no soup")

    with PeerSystem("kitchen", close_on_handler_failure=True) as kitchen:
        kitchen.spawn("ada", on_message=on_message)
        bob, eve = kitchen.spawn("bob"), kitchen.spawn("eve")
        first = Host(lambda: bob.ask("ada", "fail", timeout=None))
        gate.await_arrival()
        second = Host(lambda: eve.ask("ada", "taste", timeout=None)).waiting()
        gate.open()
        with pytest.raises(HandlerFailed, match="ValueError: no soup"):
            first.result()
        with pytest.raises(PeerClosed):
            second.result()


# Reading waits for nobody's handler, and nobody else changes a shelf while a handler runs.


def test_what_a_peer_has_shared_can_be_read_while_its_handler_waits(kitchen, bob, gate):
    ada = busy(kitchen, bob, gate)
    ada.share("soup", b"tomato")
    eve = kitchen.spawn("eve")
    assert bytes(eve.request("ada", "soup", 0)) == b"tomato"
    assert bytes(eve.fetch("soup", 0)) == b"tomato"
    assert eve.request_newer("ada", "soup", eve.get("soup"), 0) is None
    gate.open()


def test_an_offer_or_exchange_times_out_with_nothing_changed_while_the_handler_runs(kitchen, bob, gate):
    ada = busy(kitchen, bob, gate)
    ada.share("soup", b"tomato")
    eve = kitchen.spawn("eve")
    eve.share("soup", b"leek")
    for call in (lambda timeout: eve.offer("ada", "soup", timeout), lambda timeout: eve.exchange("ada", "soup", timeout)):
        for timeout in (0, SHORT):
            with pytest.raises(TimedOut):
                call(timeout)
    assert (bytes(ada.get("soup")), bytes(eve.get("soup"))) == (b"tomato", b"leek")
    gate.open()


def test_an_offer_or_exchange_is_done_once_the_handler_has_returned(kitchen, bob, gate):
    ada = busy(kitchen, bob, gate)
    ada.share("soup", b"tomato")
    eve = kitchen.spawn("eve")
    eve.share("soup", b"leek")
    exchanging = Host(lambda: eve.exchange("ada", "soup", LONG)).waiting()
    gate.open()
    assert bytes(exchanging.result()) == b"tomato"
    assert bytes(ada.get("soup")) == b"leek"


def test_two_peers_that_exchange_with_each_other_from_their_handlers_at_once_both_succeed(kitchen, bob):
    results, start = queue.Queue(), threading.Barrier(2)

    def exchanging(other):
        def on_message(peer, message):
            start.wait(LONG)
            results.put(bytes(peer.exchange(other, "soup", LONG)))

        return on_message

    for name, other in (("ada", "eve"), ("eve", "ada")):
        kitchen.spawn(name, on_message=exchanging(other)).share("soup", name.encode())
    for _ in range(20):
        for name in ("ada", "eve"):
            bob.tell(name, "exchange")
        assert {results.get(timeout=LONG) for _ in range(2)} <= {b"ada", b"eve"}


# Rings.


@pytest.mark.parametrize("length", [2, 3, 7])
def test_a_ring_of_asks_of_any_length_fails_at_once_where_it_would_close(kitchen, bob, length):
    def asking(other):
        def on_message(peer, message):
            try:
                return bytes(peer.ask(other, "on", timeout=None))
            except Deadlock as ring:
                return str(ring).encode()

        return on_message

    for number in range(length):
        kitchen.spawn(f"peer{number}", on_message=asking(f"peer{(number + 1) % length}"))
    ring = bytes(bob.ask("peer0", "begin", timeout=LONG)).decode()
    assert all(f"peer{number}" in ring for number in range(length))


def test_a_chain_that_is_no_ring_never_fails(kitchen, bob):
    def asking(number):
        return lambda peer, message: bytes(peer.ask(f"peer{number + 1}", "on", timeout=LONG)) if number < 9 else b"the end"

    for number in range(10):
        kitchen.spawn(f"peer{number}", on_message=asking(number))
    askers = [kitchen.spawn(f"asker{number}") for number in range(4)]
    asking = [Host(lambda asker=asker: bytes(asker.ask("peer0", "begin", timeout=LONG))) for asker in askers]
    assert [host.result() for host in asking] == [b"the end"] * 4


def test_a_message_that_was_kept_is_no_link(kitchen, bob):
    kept = queue.Queue()

    def on_message(peer, message):
        if message.kind == "keep":
            message.keep()
            kept.put(message)
            return None
        return b"here"

    kitchen.spawn("ada", on_message=on_message)
    kitchen.spawn("eve", on_message=lambda peer, message: bytes(peer.ask("ada", "keep", timeout=LONG)))
    asking = Host(lambda: bob.ask("eve", "begin", timeout=LONG))
    message = kept.get(timeout=LONG)
    assert bytes(bob.ask("ada", "who?")) == b"here"
    message.reply(b"salt")
    assert bytes(asking.result()) == b"salt"


# Close and shutdown.


def test_when_close_has_returned_all_of_the_peer_is_gone(kitchen, ada, bob):
    ada.share("soup", b"tomato")
    bob.request("ada", "soup")
    assert ada.close() is Ended.YES
    assert kitchen.peers() == ["bob"]
    assert [holder.peer for holder in kitchen.holders("soup")] == ["bob"]
    with pytest.raises(NoSuchPeer):
        bob.request("ada", "soup")
    assert kitchen.spawn("ada").resources() == []


def test_a_closed_peer_answers_closed_to_every_call(ada, bob):
    ada.share("soup", b"tomato")
    soup = ada.get("soup")
    ada.close()
    for call in (
        lambda: ada.share("soup", b"x"),
        lambda: ada.share("soup", b"x", copy=False),
        lambda: ada.share_if("soup", b"x", soup),
        lambda: ada.unshare("soup"),
        lambda: ada.get("soup"),
        lambda: ada.resources(),
        lambda: ada.request("bob", "soup"),
        lambda: ada.request_newer("bob", "soup", soup),
        lambda: ada.fetch("soup"),
        lambda: ada.offer("bob", "soup"),
        lambda: ada.exchange("bob", "soup"),
        lambda: ada.tell("bob", "hello"),
        lambda: ada.ask("bob", "hello"),
        lambda: ada.receive(),
        lambda: ada.start_request("bob", "soup"),
        lambda: ada.fileno(),
    ):
        with pytest.raises(Closed):
            call()
    assert ada.close() is Ended.YES


def test_tells_that_are_queued_at_the_close_are_dead_letters_and_each_message_counts_once(kitchen, bob, gate):
    ada = busy(kitchen, bob, gate)
    for number in range(5):
        bob.tell("ada", f"late {number}")
    closing = Host(lambda: ada.close(LONG)).waiting()
    gate.open()
    assert closing.result() is Ended.YES
    assert [letter.kind for letter in kitchen.dead_letters()] == [f"late {number}" for number in range(5)]
    assert {letter.reason for letter in kitchen.dead_letters()} == {PeerClosed}


def test_of_two_closes_at_once_both_wait_for_the_same_end(kitchen, bob, gate):
    ada = busy(kitchen, bob, gate)
    closing = [Host(lambda: ada.close(LONG)).waiting() for _ in range(2)]
    gate.open()
    assert [host.result() for host in closing] == [Ended.YES] * 2


def test_after_a_shutdown_every_call_answers_closed():
    kitchen = PeerSystem("kitchen")
    ada = kitchen.spawn("ada")
    assert kitchen.shutdown() is Ended.YES
    assert kitchen.shutdown() is Ended.YES
    for call in (
        lambda: kitchen.spawn("bob"),
        lambda: kitchen.peers(),
        lambda: kitchen.holders("soup"),
        lambda: kitchen.wait_for("ada"),
        lambda: kitchen.mingle("soup", 1),
        lambda: kitchen.events(),
        lambda: kitchen.dead_letters(),
        lambda: kitchen.snapshot(),
        lambda: ada.resources(),
    ):
        with pytest.raises(Closed):
            call()


def test_what_handlers_send_one_another_is_handled_to_the_last():
    seen = []
    kitchen = PeerSystem("kitchen")

    def on_message(peer, message):
        left = int(bytes(message))
        seen.append(left)
        if left:
            peer.tell("eve" if peer.name == "ada" else "ada", "on", str(left - 1).encode())

    for name in ("ada", "eve"):
        kitchen.spawn(name, on_message=on_message)
    kitchen.spawn("bob").tell("ada", "begin", b"100")
    assert kitchen.shutdown(LONG) is Ended.YES
    assert seen == list(range(100, -1, -1))


def test_at_half_the_timeout_handlers_that_wait_are_told():
    kitchen, seen = PeerSystem("kitchen"), []

    def on_message(peer, message):
        try:
            peer.ask("inbox", "never answered", timeout=None)
        except (Closed, PeerClosed) as error:
            seen.append(type(error))

    kitchen.spawn("inbox")
    kitchen.spawn("ada", on_message=on_message)
    kitchen.spawn("bob").tell("ada", "begin")
    assert kitchen.shutdown(1.0) is Ended.YES
    assert len(seen) == 1


# Handlers.


def test_the_data_of_all_handlers_is_dropped_exactly_once_when_close_has_returned(kitchen, bob):
    class Handler:
        def __call__(self, *arguments):
            return None

    dropped = []
    handlers = {name: Handler() for name in ("on_message", "on_request", "on_offer", "on_received", "on_stop")}
    for name, handler in handlers.items():
        weakref.finalize(handler, dropped.append, name)
    ada = kitchen.spawn("ada", **handlers)
    del handler
    handlers.clear()
    gc.collect()
    assert dropped == []
    assert ada.close(LONG) is Ended.YES
    gc.collect()
    assert sorted(dropped) == ["on_message", "on_offer", "on_received", "on_request", "on_stop"]


def test_on_received_is_not_told_of_what_the_peer_got_by_its_own_calls(kitchen, bob):
    told = []
    ada = kitchen.spawn("ada", on_received=lambda peer, sender, received: told.append(received.name))
    for name in ("soup", "bread"):
        bob.share(name, b"of bob")
        ada.share(name, b"of ada")
    ada.request("bob", "soup")
    ada.fetch("soup")
    ada.exchange("bob", "bread")
    assert ada.close(LONG) is Ended.YES
    assert told == []


def test_the_offerer_does_not_wait_for_on_received(kitchen, bob, gate):
    kitchen.spawn("ada", on_received=lambda *_: gate.pass_())
    bob.share("soup", b"tomato")
    bob.offer("ada", "soup", LONG)
    gate.await_arrival()
    gate.open()


def test_a_vote_that_fails_is_an_event_and_one_that_refuses_is_none(kitchen, bob):
    def on_request(peer, sender, name):
        raise Refused("no") if name == "secret" else ValueError("broken")

    ada = kitchen.spawn("ada", on_request=on_request)
    for name in ("secret", "soup"):
        ada.share(name, b"tomato")
    with kitchen.events() as events:
        with pytest.raises(Refused):
            bob.request("ada", "secret")
        with pytest.raises(HandlerFailed):
            bob.request("ada", "soup")
        told = [event for event in drain(events) if event.kind is not EventKind.JOINED]
    assert [(event.kind, event.peer, event.other, event.text) for event in told] == [
        (EventKind.HANDLER_FAILED, "ada", "bob", "ValueError: broken")
    ]


def test_a_handler_may_close_a_peer_whose_handler_waits_for_it(kitchen, bob):
    seen = queue.Queue()

    def waiting(peer, message):
        try:
            peer.ask("ada", "close me", timeout=None)
        except Closed:
            seen.put("closed")

    eve = kitchen.spawn("eve", on_message=waiting)
    kitchen.spawn("ada", on_message=lambda peer, message: seen.put(eve.close(LONG)) if message.is_ask else None)
    bob.tell("eve", "begin")
    assert {seen.get(timeout=LONG) for _ in range(2)} == {"closed", Ended.YES}


def test_the_last_handle_of_a_system_may_be_dropped_by_one_of_its_handlers():
    import warnings

    held, seen = [], queue.Queue()

    def on_message(peer, message):
        held.clear()
        gc.collect()
        seen.put(None)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        kitchen = PeerSystem("kitchen")
        events = kitchen.events()
        held += [kitchen, kitchen.spawn("ada", on_message=on_message), kitchen.spawn("bob")]
        del kitchen
        held[2].tell("ada", "drop")
        seen.get(timeout=LONG)
        assert [event.peer for event in events if event.kind is EventKind.LEFT].count("ada") == 1


# Limits.


def test_a_message_is_counted_until_its_handler_begins(kitchen, bob, gate):
    busy(kitchen, bob, gate, mailbox_messages_max=2)
    for _ in range(2):
        bob.try_tell("ada", "fits")
    for send in (lambda: bob.try_tell("ada", "full"), lambda: bob.tell("ada", "full", timeout=SHORT)):
        with pytest.raises(Full) as caught:
            send()
        assert caught.value.peer == "ada"
    gate.open()
    gate.await_arrival()
    bob.try_tell("ada", "fits")
    for _ in range(3):
        gate.open()


def test_a_tell_waits_until_there_is_room(kitchen, bob, gate):
    busy(kitchen, bob, gate, mailbox_messages_max=1)
    bob.try_tell("ada", "fits")
    telling = Host(lambda: bob.tell("ada", "waits", timeout=LONG)).waiting()
    assert telling.is_waiting()
    gate.open()
    telling.result()
    for _ in range(2):
        gate.open()


def test_a_mailbox_is_bounded_by_bytes_too(kitchen, ada, bob):
    kitchen.spawn("eve", mailbox_bytes_max=10)
    bob.try_tell("eve", "fits", b"1234567")
    with pytest.raises(Full):
        bob.try_tell("eve", "full", b"1234")
    bob.try_tell("eve", "fits", b"123")
    with pytest.raises(TooLarge) as caught:
        bob.ask("eve", "never fits", b"12345678901")
    assert (caught.value.limit, caught.value.size) == (10, 11)


def test_a_mailbox_has_room_for_1024_messages_and_64_mib_by_default(ada, bob):
    for _ in range(1024):
        bob.try_tell("ada", "fits")
    with pytest.raises(Full):
        bob.try_tell("ada", "full")
    with pytest.raises(TooLarge) as caught:
        bob.try_tell("ada", "never fits", bytes((64 << 20) + 1))
    assert caught.value.limit == 64 << 20


def test_a_system_takes_no_more_peers_than_its_limit_until_one_closes():
    with PeerSystem("kitchen", peers_max=2) as kitchen:
        ada = kitchen.spawn("ada")
        kitchen.spawn("bob")
        with pytest.raises(LimitReached):
            kitchen.spawn("eve")
        ada.close()
        kitchen.spawn("eve")


def test_huge_limits_are_as_good_as_none():
    for limit in (NO_LIMIT, NO_LIMIT - 1):
        names = ("peers_max", "mailbox_messages_max", "mailbox_bytes_max", "shelf_bytes_max", "resource_bytes_max")
        with PeerSystem("kitchen", **dict.fromkeys(names, limit)) as kitchen:
            ada, bob = kitchen.spawn("ada"), kitchen.spawn("bob", shelf_bytes_max=limit)
            ada.share("soup", b"tomato")
            assert bytes(bob.request("ada", "soup")) == b"tomato"


def test_operations_and_receipts_never_count_as_messages(kitchen, bob, gate):
    told = []
    ada = busy(kitchen, bob, gate, mailbox_messages_max=1, on_received=lambda peer, sender, received: told.append(received.name))
    bob.try_tell("ada", "fits")
    eve = kitchen.spawn("eve")
    eve.share("soup", b"leek")
    offering = [Host(lambda: eve.offer("ada", "soup", LONG)) for _ in range(5)]
    for _ in range(2):
        gate.open()
    for host in offering:
        host.result()
    assert ada.close(LONG) is Ended.YES
    assert told == ["soup"] * 5


# The calls.


def test_a_share_after_an_unshare_goes_on_counting(ada):
    assert [ada.share("soup", b"tomato"), ada.share("soup", b"leek")] == [1, 2]
    ada.unshare("soup")
    assert ada.share("soup", b"onion") == 3
    with pytest.raises(NoSuchResource):
        ada.unshare("bread")


def test_a_share_is_one_above_the_highest_version_ever_held_also_of_copies(ada, bob):
    for _ in range(5):
        ada.share("soup", b"tomato")
    bob.request("ada", "soup")
    assert bob.share("soup", b"leek") == 6
    assert (bob.get("soup").origin, ada.get("soup").origin) == ("bob", "ada")


def test_a_peer_spawned_again_under_an_old_name_is_another_origin(kitchen, ada, bob):
    ada.share("soup", b"tomato")
    old = bob.request("ada", "soup")
    ada.close()
    again = kitchen.spawn("ada")
    again.share("soup", b"leek")
    newer = bob.request_newer("ada", "soup", old)
    assert (bytes(newer), newer.origin, newer.version) == (b"leek", "ada", 1)
    with pytest.raises(VersionConflict):
        again.share_if("soup", b"onion", old)


def test_from_oneself_it_is_get_by_the_same_rule_without_handler_or_event(kitchen):
    asked = []
    ada = kitchen.spawn("ada", on_request=lambda *_: asked.append(None), on_offer=lambda *_: asked.append(None))
    ada.share("soup", b"tomato")
    with kitchen.events() as events:
        drain(events)
        assert bytes(ada.request("ada", "soup")) == b"tomato"
        assert ada.request_newer("ada", "soup", ada.get("soup")) is None
        ada.offer("ada", "soup")
        assert bytes(ada.exchange("ada", "soup")) == b"tomato"
        assert (drain(events), asked) == ([], [])


def test_a_tell_to_oneself_is_queued(ada):
    ada.tell("ada", "note", b"to self")
    assert bytes(ada.receive(0)) == b"to self"


def test_an_ask_to_oneself_from_a_host_thread_is_answered(kitchen):
    ada = kitchen.spawn("ada", on_message=lambda peer, message: b"yes, me")
    assert bytes(ada.ask("ada", "me?")) == b"yes, me"


def test_each_event_goes_to_one_of_the_threads_that_read(kitchen):
    events = kitchen.events()
    reading = [Host(lambda: [event.peer for event in events]) for _ in range(4)]
    for number in range(100):
        kitchen.spawn(f"peer{number}")
    kitchen.shutdown()
    seen = [peer for host in reading for peer in host.result()]
    assert sorted(seen) == sorted([f"peer{number}" for number in range(100)] * 2)


def test_one_deadline_covers_all_of_a_call(kitchen, bob, gate):
    import time

    for number in range(5):
        kitchen.spawn(f"peer{number}", on_request=lambda *_: gate.pass_()).share("soup", b"tomato")
    start = time.monotonic()
    with pytest.raises(TimedOut):
        bob.fetch("soup", 0.2)
    assert 0.2 <= time.monotonic() - start < LONG
    for _ in range(5):
        gate.open()


def test_the_only_holder_gets_nothing_and_the_others_get_it_in_turn(kitchen):
    peers = [kitchen.spawn(f"peer{number}") for number in range(4)]
    peers[0].share("soup", b"tomato")
    first, *others = kitchen.mingle("soup", 7)
    assert (first.peer, first.other, type(first.error)) == ("peer0", None, NoSuchResource)
    assert [(mingled.error, mingled.size) for mingled in others] == [(None, 6)] * 3
    assert len(kitchen.holders("soup")) == 4
