"""Wrong input gets a clear error and loses nothing."""

import math

import pytest

from potluck import (
    Closed,
    Ended,
    InvalidArgument,
    InvalidName,
    NameTaken,
    NoSuchPeer,
    NoSuchResource,
    PeerSystem,
    PotluckError,
    TimedOut,
)

BAD = [
    ("", "it is empty"),
    ("a" * 256, "it has 256 bytes, more than 255"),
    ("ä" * 128, "it has 256 bytes, more than 255"),
    *((f"a{c}b", f"it has a '{c}'") for c in "*$#?@"),
    ("a\nb", "it has a control character"),
    ("a\0b", "it has a control character"),
    ("a\x85b", "it has a control character"),
    ("a\udc80b", "is not UTF-8"),
]


@pytest.mark.parametrize(("name", "reason"), [*BAD, ("a/b", "it has a '/'")])
def test_a_bad_name_of_a_system_or_peer_is_an_error_that_says_what_is_wrong(kitchen, name, reason):
    for call in (PeerSystem, kitchen.spawn):
        with pytest.raises(InvalidName) as caught:
            call(name)
        assert reason in str(caught.value)
    assert kitchen.peers() == []


@pytest.mark.parametrize(("name", "reason"), [*BAD, *((name, "a part between '/' is empty") for name in ("/a", "a/", "a//b"))])
def test_a_bad_name_of_a_resource_is_an_error_that_says_what_is_wrong(kitchen, ada, bob, name, reason):
    for call in (
        lambda: ada.share(name, b"soup"),
        lambda: ada.unshare(name),
        lambda: ada.get(name),
        lambda: ada.request("bob", name),
        lambda: ada.fetch(name),
        lambda: ada.offer("bob", name),
        lambda: ada.exchange("bob", name),
        lambda: kitchen.holders(name),
        lambda: kitchen.mingle(name, 1),
    ):
        with pytest.raises(InvalidName) as caught:
            call()
        assert reason in str(caught.value)
    assert ada.resources() == []


@pytest.mark.parametrize("kind", ["", "a" * 256, "a\nb", "a\0b", "a\udc80b"])
def test_a_bad_kind_of_message_is_an_error(ada, bob, kind):
    for send in (ada.tell, ada.try_tell, ada.ask):
        with pytest.raises(InvalidName):
            send("bob", kind)
    with pytest.raises(TimedOut):
        bob.receive(timeout=0)


@pytest.mark.parametrize("name", ["a" * 255, "peer 1", "Jürgen", ".", "猫"])
def test_good_names_may_be_long_or_strange(kitchen, name):
    peer = kitchen.spawn(name)
    peer.share(f"{name[:100]}/{name[:100]}", b"soup")
    assert kitchen.peers() == [peer.name] == [name]


def test_a_name_is_taken_until_its_peer_has_closed_and_then_free(kitchen, ada):
    with pytest.raises(NameTaken, match=r'^the name "ada" is taken$'):
        kitchen.spawn("ada")
    assert ada.close() is Ended.YES
    assert kitchen.spawn("ada") != ada


def test_an_unknown_peer_is_named_by_every_call(ada):
    ada.share("soup", b"tomato")
    for call in (
        lambda: ada.request("bob", "soup"),
        lambda: ada.offer("bob", "soup"),
        lambda: ada.exchange("bob", "soup"),
        lambda: ada.tell("bob", "hello"),
        lambda: ada.try_tell("bob", "hello"),
        lambda: ada.ask("bob", "hello"),
    ):
        with pytest.raises(NoSuchPeer, match=r'^no peer "bob"$'):
            call()


def test_a_missing_key_reads_like_any_other_error(ada):
    with pytest.raises(KeyError) as caught:
        ada.get("soup")
    assert str(caught.value) == 'peer "ada" holds no resource "soup"'
    assert isinstance(caught.value, NoSuchResource)
    assert caught.value.status == 31


@pytest.mark.parametrize("timeout", [-1, -0.001, math.nan, -math.inf])
def test_a_timeout_below_0_or_not_a_number_is_a_value_error(kitchen, ada, bob, timeout):
    ada.share("soup", b"tomato")
    with kitchen.events() as events:
        for call in (
            lambda: bob.request("ada", "soup", timeout),
            lambda: bob.fetch("soup", timeout),
            lambda: ada.offer("bob", "soup", timeout),
            lambda: ada.exchange("bob", "soup", timeout),
            lambda: ada.tell("bob", "hello", b"", timeout),
            lambda: ada.ask("bob", "hello", b"", timeout),
            lambda: ada.receive(timeout),
            lambda: ada.close(timeout),
            lambda: kitchen.shutdown(timeout),
            lambda: kitchen.mingle("soup", 1, timeout),
            lambda: events.next(timeout),
        ):
            with pytest.raises(ValueError, match="timeout") as caught:
                call()
            assert isinstance(caught.value, InvalidArgument)
    assert bob.resources() == []
    with pytest.raises(TimedOut):
        bob.receive(timeout=0)


def test_at_timeout_0_all_is_done_that_needs_no_waiting_and_the_rest_times_out(kitchen, ada, bob):
    ada.share("soup", b"tomato")
    assert bytes(bob.request("ada", "soup", timeout=0)) == b"tomato"
    assert bytes(bob.fetch("soup", timeout=0)) == b"tomato"
    ada.offer("bob", "soup", timeout=0)
    ada.exchange("bob", "soup", timeout=0)
    with pytest.raises(TimedOut, match=r"^timed out; nothing was done$"):
        ada.ask("bob", "hello", timeout=0)
    with pytest.raises(TimedOut):
        bob.receive(timeout=0)
    ada.tell("bob", "hello", timeout=0)
    assert bob.receive(timeout=0).kind == "hello"


@pytest.mark.parametrize("timeout", [None, math.inf, 1e300, 2**62])
def test_the_longest_timeouts_are_fine(ada, bob, timeout):
    ada.share("soup", b"tomato")
    assert bytes(bob.request("ada", "soup", timeout)) == b"tomato"
    ada.tell("bob", "hello", timeout=timeout)
    assert bob.receive(timeout).kind == "hello"
    assert bob.close(timeout) is Ended.YES


def test_wrong_types_are_type_errors(kitchen, ada, bob):
    for call in (
        lambda: PeerSystem(b"kitchen"),
        lambda: PeerSystem("kitchen", peers_max="2"),
        lambda: kitchen.spawn(None),
        lambda: kitchen.spawn("eve", on_message=b"handler"),
        lambda: kitchen.spawn("eve", mailbox_bytes_max=1.5),
        lambda: ada.share("soup", "tomato"),
        lambda: ada.share("soup", None),
        lambda: ada.share("soup", 3),
        lambda: ada.share(b"soup", b"tomato"),
        lambda: ada.tell(bob, "hello"),
        lambda: ada.tell("bob", "hello", "body"),
        lambda: ada.ask("bob", 1),
        lambda: bob.request(ada, "soup"),
        lambda: bob.request("ada", "soup", "1"),
        lambda: kitchen.mingle("soup", "1"),
        lambda: kitchen.events(1.0),
    ):
        with pytest.raises(TypeError):
            call()
    assert kitchen.peers() == ["ada", "bob"]


def test_numbers_out_of_range_are_invalid_arguments(kitchen, ada):
    ada.share("soup", b"tomato")
    for call in (
        lambda: PeerSystem("kitchen", peers_max=0),
        lambda: PeerSystem("kitchen", mailbox_bytes_max=2**64),
        lambda: kitchen.spawn("eve", mailbox_messages_max=-1),
        lambda: kitchen.mingle("soup", -1),
        lambda: kitchen.mingle("soup", 2**64),
        lambda: kitchen.events(0),
    ):
        with pytest.raises(InvalidArgument):
            call()
    assert kitchen.mingle("soup", 2**64 - 1) == []


def test_a_closed_peer_answers_closed_to_every_call(kitchen, ada, bob):
    bob.share("soup", b"leek")
    assert ada.close() is Ended.YES
    for call in calls_as(ada):
        with pytest.raises(Closed):
            call()
    assert ada.close(0) is Ended.YES


def test_after_a_shutdown_every_call_answers_closed():
    kitchen = PeerSystem("kitchen")
    ada = kitchen.spawn("ada")
    kitchen.spawn("bob")
    assert kitchen.shutdown() is Ended.YES
    for call in (
        *calls_as(ada),
        lambda: kitchen.spawn("eve"),
        kitchen.peers,
        lambda: kitchen.holders("soup"),
        lambda: kitchen.mingle("soup", 1),
        kitchen.events,
    ):
        with pytest.raises(Closed):
            call()
    assert kitchen.shutdown(0) is Ended.YES


def calls_as(ada):
    return (
        lambda: ada.share("soup", b"tomato"),
        lambda: ada.unshare("soup"),
        lambda: ada.get("soup"),
        ada.resources,
        lambda: ada.request("bob", "soup"),
        lambda: ada.fetch("soup"),
        lambda: ada.offer("bob", "soup"),
        lambda: ada.exchange("bob", "soup"),
        lambda: ada.tell("bob", "hello"),
        lambda: ada.try_tell("bob", "hello"),
        lambda: ada.ask("bob", "hello"),
        ada.receive,
    )


def test_wrong_arguments_of_the_constructor_leave_nothing_to_end():
    with pytest.raises(TypeError):
        PeerSystem()
    with pytest.raises(TypeError):
        PeerSystem("kitchen", colour="red")


def test_every_error_is_under_the_base(ada):
    with pytest.raises(PotluckError):
        ada.get("soup")
