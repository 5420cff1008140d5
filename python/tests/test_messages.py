"""Tell, ask, receive and reply."""

import queue

import pytest

from potluck import (
    Canceled,
    HandlerFailed,
    InvalidArgument,
    InvalidHandle,
    NoReply,
    OutcomeUnknown,
    TimedOut,
    UnknownMessage,
)
from support import LONG, SHORT, Gate, Host, drain


def test_an_answer_is_a_resource_named_by_the_kind_from_the_replier_of_version_0(kitchen, bob):
    kitchen.spawn("ada", on_message=lambda peer, message: b"more " + bytes(message))
    answer = bob.ask("ada", "taste", b"salt")
    assert (answer.name, bytes(answer), answer.origin, answer.version) == ("taste", b"more salt", "ada", 0)


def test_a_handler_may_answer_by_reply_or_by_what_it_returns(kitchen, bob):
    kitchen.spawn("ada", on_message=lambda peer, message: message.reply(b"by reply"))
    kitchen.spawn("eve", on_message=lambda peer, message: bytearray(b"returned"))
    kitchen.spawn("dan", on_message=lambda peer, message: b"")
    assert bytes(bob.ask("ada", "taste")) == b"by reply"
    assert bytes(bob.ask("eve", "taste")) == b"returned"
    assert bytes(bob.ask("dan", "taste")) == b""


def test_what_a_handler_returns_for_a_tell_is_ignored(kitchen, bob):
    seen = []

    def on_message(peer, message):
        seen.append((message.sender, message.kind, bytes(message), message.is_ask))
        return b"answer"

    kitchen.spawn("ada", on_message=on_message)
    with kitchen.events() as events:
        bob.tell("ada", "taste", b"salt")
        assert bytes(bob.ask("ada", "taste")) == b"answer"
        assert seen == [("bob", "taste", b"salt", False), ("bob", "taste", b"", True)]
        assert {event.kind.name for event in drain(events)} == {"JOINED"}


def test_returning_what_is_not_bytes_like_is_a_failure(kitchen, bob):
    kitchen.spawn("ada", on_message=lambda peer, message: "text")
    with pytest.raises(HandlerFailed, match="TypeError: on_message returned a str"):
        bob.ask("ada", "taste")


def test_an_ask_that_the_handler_does_not_answer_gets_no_reply(kitchen, bob):
    kitchen.spawn("ada", on_message=lambda peer, message: None)
    with pytest.raises(NoReply, match=r'^"ada" gave no answer$'):
        bob.ask("ada", "taste")


def test_an_unknown_kind_is_told_to_the_asker_and_by_an_event(kitchen, bob):
    def on_message(peer, message):
        raise UnknownMessage(message.kind)

    kitchen.spawn("ada", on_message=on_message)
    with kitchen.events() as events:
        with pytest.raises(UnknownMessage, match=r'^"ada" does not know messages of kind "dance"$'):
            bob.ask("ada", "dance", b"now")
        unknown = [event for event in drain(events) if event.kind.name == "UNKNOWN_MESSAGE"]
    assert [(event.peer, event.other, event.name, event.size) for event in unknown] == [("ada", "bob", "dance", 3)]


def test_an_unknown_message_that_another_peer_answered_is_a_failure_of_the_handler_that_lets_it_through(kitchen, bob):
    def unknown(peer, message):
        raise UnknownMessage

    kitchen.spawn("eve", on_message=unknown)
    kitchen.spawn("ada", on_message=lambda peer, message: bytes(peer.ask("eve", "dance")))
    with pytest.raises(HandlerFailed, match=r"potluck\.UnknownMessage"):
        bob.ask("ada", "taste")


def test_a_second_reply_and_a_reply_to_a_tell_are_invalid(ada, bob):
    asked = Host(lambda: bob.ask("ada", "taste", b"", LONG))
    message = ada.receive(LONG)
    message.reply(b"salt")
    assert bytes(asked.result()) == b"salt"
    with pytest.raises(InvalidArgument, match="answered before"):
        message.reply(b"pepper")
    bob.tell("ada", "taste")
    with pytest.raises(InvalidArgument, match="nobody waits for a reply"):
        ada.receive(LONG).reply(b"salt")


def test_an_answer_given_before_the_handler_fails_stands(kitchen, bob):
    def on_message(peer, message):
        message.reply(b"salt")
        raise ValueError("too late")

    kitchen.spawn("ada", on_message=on_message)
    assert bytes(bob.ask("ada", "taste")) == b"salt"


def test_a_kept_message_is_answered_later_from_any_thread(kitchen, bob):
    kept = queue.Queue()

    def on_message(peer, message):
        message.keep()
        message.keep()
        kept.put(message)

    kitchen.spawn("ada", on_message=on_message)
    asked = Host(lambda: bob.ask("ada", "taste", b"?", LONG))
    message = kept.get(timeout=LONG)
    message.reply(b"salt")
    assert bytes(asked.result()) == b"salt"
    message.release()
    message.release()
    with pytest.raises(InvalidHandle, match="was released"):
        message.reply(b"pepper")
    assert bytes(message) == b"?"


def test_a_kept_message_that_is_released_unanswered_gives_no_reply(kitchen, bob):
    kept = queue.Queue()

    def on_message(peer, message):
        message.keep()
        kept.put(message)

    kitchen.spawn("ada", on_message=on_message)
    asked = Host(lambda: bob.ask("ada", "taste", b"", LONG))
    kept.get(timeout=LONG).release()
    with pytest.raises(NoReply):
        asked.result()


def test_a_message_that_is_not_kept_is_over_when_its_handler_returns_but_its_body_stays(kitchen, bob):
    seen = []
    kitchen.spawn("ada", on_message=lambda peer, message: seen.append(message))
    with pytest.raises(NoReply):
        bob.ask("ada", "taste", b"salt")
    assert (bytes(seen[0]), seen[0].view.tobytes(), len(seen[0])) == (b"salt", b"salt", 4)
    for call in (seen[0].reply, seen[0].keep):
        with pytest.raises(InvalidHandle, match="without keep"):
            call()


def test_a_kept_message_whose_handler_fails_is_answered_by_that(kitchen, bob):
    seen = []

    def on_message(peer, message):
        message.keep()
        seen.append(message)
        raise ValueError("no soup")

    kitchen.spawn("ada", on_message=on_message)
    with pytest.raises(HandlerFailed, match="ValueError: no soup"):
        bob.ask("ada", "taste")
    with pytest.raises(InvalidHandle):
        seen[0].reply(b"salt")


def test_messages_are_received_in_the_order_sent(ada, bob):
    for number in range(10):
        bob.tell("ada", "count", bytes([number]))
    assert [bytes(ada.receive(0)) for _ in range(10)] == [bytes([number]) for number in range(10)]


def test_a_received_message_that_is_dropped_unanswered_gives_no_reply_at_once(ada, bob):
    asked = Host(lambda: bob.ask("ada", "taste", b"", LONG))
    message = ada.receive(LONG)
    assert message.is_ask
    assert asked.is_waiting()
    del message
    with pytest.raises(NoReply):
        asked.result()
    asked = Host(lambda: bob.ask("ada", "taste", b"", LONG))
    with ada.receive(LONG):
        pass
    with pytest.raises(NoReply):
        asked.result()


def test_a_receive_at_a_peer_with_on_message_is_invalid(kitchen):
    ada = kitchen.spawn("ada", on_message=lambda peer, message: None)
    with pytest.raises(InvalidArgument):
        ada.receive(0)


def test_a_receive_times_out(ada):
    with pytest.raises(TimedOut):
        ada.receive(SHORT)


def ask_in_doubt(bob):
    """Asks ada, whose handler waits at a gate, until the deadline."""
    for timeout in (0.02, 0.2, 2.0, LONG):
        try:
            bob.ask("ada", "taste", timeout=timeout)
        except TimedOut:
            # The machine is busy, and the handler had not even begun: it never will, so ask again for longer.
            continue
        except OutcomeUnknown:
            return
    pytest.fail("the handler did not begin")


def test_an_ask_given_up_after_its_handler_began_is_in_doubt_and_a_late_reply_is_canceled(kitchen, bob):
    gate, late = Gate(), []

    def on_message(peer, message):
        gate.pass_()
        try:
            message.reply(b"late")
        except Canceled as error:
            late.append(error)

    kitchen.spawn("ada", on_message=on_message)
    ask_in_doubt(bob)
    gate.await_arrival()
    gate.open()
    kitchen.shutdown(LONG)
    assert len(late) == 1


def test_a_body_that_is_returned_too_late_is_no_failure(kitchen, bob):
    gate = Gate()

    def on_message(peer, message):
        gate.pass_()
        return b"late"

    kitchen.spawn("ada", on_message=on_message)
    with kitchen.events() as events:
        ask_in_doubt(bob)
        gate.await_arrival()
        gate.open()
        kitchen.shutdown(LONG)
        assert "HANDLER_FAILED" not in {event.kind.name for event in events}


def test_an_ask_from_its_own_handler_is_a_deadlock(kitchen, bob):
    kitchen.spawn("ada", on_message=lambda peer, message: bytes(peer.ask("ada", "again")))
    with pytest.raises(HandlerFailed, match=r"potluck\.Deadlock"):
        bob.ask("ada", "taste")
