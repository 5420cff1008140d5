"""A peer's own shelf, and what it gets from others."""

import pytest

import potluck
from potluck import (
    Full,
    HandlerFailed,
    Holder,
    LimitReached,
    NoSuchPeer,
    NoSuchResource,
    PeerSystem,
    Refused,
    ResourceInfo,
    TooLarge,
)


def test_the_snippet_of_the_design_runs_as_written():
    with potluck.PeerSystem("kitchen") as kitchen:
        ada, bob = kitchen.spawn("ada"), kitchen.spawn("bob")
        ada.share("soup", b"tomato")
        soup = bob.request("ada", "soup", timeout=1.0)
        # fmt: off
        assert (bytes(soup), soup.origin, soup.version) == (b"tomato", "ada", 1)      # soup.view: memoryview, no copy
        # fmt: on


def test_a_first_share_is_version_1_and_each_next_one_is_one_above(ada):
    assert [ada.share("soup", body) for body in (b"tomato", b"onion", b"leek")] == [1, 2, 3]
    assert ada.share("bread", b"rye") == 1
    held = ada.get("soup")
    assert (held.name, bytes(held), held.origin, held.version) == ("soup", b"leek", "ada", 3)


def test_a_share_after_an_unshare_goes_on_counting(ada):
    ada.share("soup", b"tomato")
    ada.unshare("soup")
    with pytest.raises(NoSuchResource):
        ada.get("soup")
    with pytest.raises(NoSuchResource):
        ada.unshare("soup")
    assert ada.share("soup", b"onion") == 2


def test_resources_are_all_that_is_held_sorted_by_name(ada, bob):
    bob.share("water", b"cold")
    ada.share("soup", b"tomato")
    ada.share("bread", b"rye")
    ada.request("bob", "water")
    assert ada.resources() == [
        ResourceInfo("bread", "ada", 1, 3),
        ResourceInfo("soup", "ada", 1, 6),
        ResourceInfo("water", "bob", 1, 4),
    ]


def test_peers_and_holders_are_told_in_the_order_of_spawning(kitchen, bob, ada):
    assert kitchen.peers() == ["bob", "ada"]
    assert kitchen.holders("soup") == []
    ada.share("soup", b"tomato")
    bob.request("ada", "soup")
    assert kitchen.holders("soup") == [Holder("bob", "ada", 1, 6), Holder("ada", "ada", 1, 6)]


def test_a_requester_serves_the_copy_which_keeps_origin_and_version(kitchen, ada, bob):
    ada.share("soup", b"tomato")
    ada.share("soup", b"onion")
    bob.request("ada", "soup")
    ada.unshare("soup")
    got = kitchen.spawn("eve").request("bob", "soup")
    assert (bytes(got), got.origin, got.version) == (b"onion", "ada", 2)


def test_a_request_for_what_is_not_there_says_who_does_not_hold_it(ada, bob):
    with pytest.raises(NoSuchResource, match=r'^peer "ada" holds no resource "soup"$'):
        bob.request("ada", "soup")
    with pytest.raises(NoSuchPeer, match=r'^no peer "eve"$'):
        bob.request("eve", "soup")
    with pytest.raises(NoSuchPeer):
        bob.request("ada@laptop", "soup")


def test_a_fetch_gets_it_from_another_holder_and_goes_on_after_a_refusal(kitchen, ada, bob):
    def refuse(peer, sender, name):
        raise Refused("not today")

    with pytest.raises(NoSuchResource):
        bob.fetch("soup")
    eve = kitchen.spawn("eve", on_request=refuse)
    eve.share("soup", b"leek")
    with pytest.raises(Refused, match=r'^"eve" refused: not today$'):
        bob.fetch("soup")
    ada.share("soup", b"tomato")
    for _ in range(20):
        assert bytes(bob.fetch("soup")) == b"tomato"
        bob.unshare("soup")


def test_an_offer_puts_a_copy_on_the_other_shelf_and_the_last_writer_wins(ada, bob):
    bob.share("soup", b"leek")
    ada.share("soup", b"tomato")
    ada.offer("bob", "soup")
    held = bob.get("soup")
    assert (bytes(held), held.origin, held.version) == (b"tomato", "ada", 1)
    with pytest.raises(NoSuchResource):
        ada.offer("bob", "bread")


def test_an_exchange_swaps_what_both_hold_or_changes_nothing(ada, bob):
    ada.share("soup", b"tomato")
    with pytest.raises(NoSuchResource, match="bob"):
        ada.exchange("bob", "soup")
    bob.share("soup", b"leek")
    assert bytes(ada.exchange("bob", "soup")) == b"leek"
    assert (bytes(ada.get("soup")), bytes(bob.get("soup"))) == (b"leek", b"tomato")


def test_a_body_of_0_bytes_is_a_resource_like_any_other(ada, bob):
    ada.share("nothing", b"")
    nothing = bob.request("ada", "nothing")
    assert (bytes(nothing), len(nothing), nothing.view.tobytes(), bool(nothing)) == (b"", 0, b"", True)


def test_two_systems_do_not_see_one_another(ada):
    with PeerSystem("kitchen") as other:
        bob = other.spawn("bob")
        with pytest.raises(NoSuchPeer):
            bob.request("ada", "soup")
        assert other.peers() == ["bob"]


def test_limits_are_told_apart_and_carry_their_numbers():
    with PeerSystem("kitchen", peers_max=2, shelf_bytes_max=10, resource_bytes_max=8, mailbox_messages_max=1) as kitchen:
        ada = kitchen.spawn("ada")
        bob = kitchen.spawn("bob", mailbox_messages_max=2, mailbox_bytes_max=potluck.NO_LIMIT, shelf_bytes_max=3)
        with pytest.raises(LimitReached, match="peers_max"):
            kitchen.spawn("eve")
        with pytest.raises(TooLarge) as caught:
            ada.share("soup", b"123456789")
        assert (caught.value.limit, caught.value.size) == (8, 9)
        ada.share("soup", b"12345678")
        with pytest.raises(TooLarge) as caught:
            ada.share("bread", b"123")
        assert caught.value.limit == 10
        with pytest.raises(TooLarge):
            bob.request("ada", "soup")
        ada.try_tell("bob", "hello")
        ada.tell("bob", "hello", timeout=0)
        with pytest.raises(Full, match=r'^the mailbox of "bob" is full$'):
            ada.try_tell("bob", "hello")


def test_a_peer_closes_when_a_handler_fails_if_the_system_wants_that():
    def fail(peer, message):
        raise ValueError("no soup")

    with PeerSystem("kitchen", close_on_handler_failure=True) as kitchen:
        ada = kitchen.spawn("ada", on_message=fail)
        bob = kitchen.spawn("bob")
        with pytest.raises(HandlerFailed):
            bob.ask("ada", "soup")
        assert ada.close(10) is potluck.Ended.YES
        assert kitchen.peers() == ["bob"]
