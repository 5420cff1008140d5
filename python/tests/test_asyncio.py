"""The calls for asyncio: on the library's descriptors, without a thread, given up when their task is canceled."""

import asyncio
import os
import threading

import pytest

from potluck import (
    Canceled,
    Closed,
    Ended,
    EventKind,
    HandlerFailed,
    InvalidArgument,
    NoSuchPeer,
    NoSuchResource,
    PeerSystem,
    TimedOut,
)
from support import LONG, SHORT, Gate


def own_threads():
    """Those that Python made: a peer's thread on which a handler has logged something is known to it, too."""
    return {thread for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}


def run(main):
    """Runs a coroutine with a deadline, and checks that it has made no thread of Python's and left no descriptor."""

    async def within():
        # A first descriptor of the loop's own may be made late.
        await asyncio.sleep(0)
        threads, descriptors = own_threads(), len(os.listdir("/proc/self/fd"))
        result = await asyncio.wait_for(main, LONG)
        assert own_threads() <= threads
        # The library may keep its own side of calls that were answered for a while.
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 64
        return result

    return asyncio.run(within())


def test_each_call_gives_what_the_blocking_one_gives(kitchen, ada, bob):
    kitchen.spawn("echo", on_message=lambda peer, message: bytes(message))

    async def main():
        ada.share("soup", b"tomato")
        soup = await bob.arequest("ada", "soup")
        assert bytes(soup) == b"tomato"
        assert await bob.arequest_newer("ada", "soup", soup) is None
        assert bytes(await bob.arequest_newer("ada", "soup", None)) == b"tomato"
        assert bytes(await bob.afetch("soup")) == b"tomato"
        bob.share("soup", b"leek")
        assert await bob.aoffer("ada", "soup") is None
        bob.share("soup", b"onion")
        assert bytes(await bob.aexchange("ada", "soup")) == b"leek"
        assert await bob.atell("ada", "hello", b"you") is None
        assert bytes(await ada.areceive()) == b"you"
        assert bytes(await bob.aask("echo", "say", bytearray(b"it"))) == b"it"
        await kitchen.await_for("ada", 0)

    run(main())


def test_many_asks_wait_at_once_on_one_thread(kitchen, ada, bob):
    async def main():
        asked = [asyncio.ensure_future(bob.aask("ada", f"taste {number}")) for number in range(50)]
        for _ in range(50):
            message = await ada.areceive()
            message.reply(message.kind.encode())
        return [bytes(answer) for answer in await asyncio.gather(*asked)]

    assert run(main()) == [f"taste {number}".encode() for number in range(50)]


def test_the_loop_runs_while_a_call_waits(kitchen, bob):
    gate, ticks = Gate(), []

    def on_request(peer, sender, name):
        gate.pass_()

    kitchen.spawn("ada", on_request=on_request).share("soup", b"tomato")

    async def tick():
        for _ in range(10):
            await asyncio.sleep(0)
            ticks.append(None)
        gate.open()

    async def main():
        soup, _ = await asyncio.gather(bob.arequest("ada", "soup"), tick())
        return bytes(soup)

    assert run(main()) == b"tomato"
    assert len(ticks) == 10


def test_canceling_a_task_gives_its_call_up(kitchen, ada, bob):
    async def main():
        for wait in (lambda: bob.aask("ada", "taste", timeout=None), lambda: asyncio.wait_for(bob.aask("ada", "taste"), SHORT)):
            task = asyncio.ensure_future(wait())
            await asyncio.sleep(0)
            if not task.done():
                await asyncio.sleep(2 * SHORT)
            task.cancel()
            with pytest.raises((asyncio.CancelledError, asyncio.TimeoutError)):
                await task
            with pytest.raises(TimedOut):
                ada.receive(0)
        assert {letter.reason for letter in kitchen.dead_letters()} == {Canceled}
        assert len(kitchen.dead_letters()) == 2
        receiving = asyncio.ensure_future(ada.areceive())
        await asyncio.sleep(0)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        bob.tell("ada", "hello")
        # Who was canceled has taken nothing.
        assert (await ada.areceive()).kind == "hello"

    run(main())


def test_errors_are_those_of_the_blocking_calls(kitchen, ada, bob):
    cook = kitchen.spawn("cook", on_message=lambda peer, message: 1 / 0)

    async def main():
        for wait, kind in (
            (bob.arequest("eve", "soup"), NoSuchPeer),
            (bob.arequest("ada", "soup"), NoSuchResource),
            (bob.afetch("soup"), NoSuchResource),
            (bob.aask("cook", "fail"), HandlerFailed),
            (bob.aask("ada", "taste", timeout=SHORT), TimedOut),
            (bob.aask("ada", "taste", timeout=0), TimedOut),
            (bob.areceive(0), TimedOut),
            (bob.areceive(SHORT), TimedOut),
            (bob.areceive(-1), InvalidArgument),
            (cook.areceive(), InvalidArgument),
            (kitchen.await_for("eve", SHORT), TimedOut),
            (kitchen.await_for("eve", 0), TimedOut),
        ):
            with pytest.raises(kind):
                await wait

    run(main())


def test_several_tasks_receive_each_message_once(ada, bob):
    async def main():
        receiving = [asyncio.ensure_future(ada.areceive()) for _ in range(10)]
        await asyncio.sleep(0)
        for number in range(10):
            bob.tell("ada", str(number))
        return {message.kind for message in await asyncio.gather(*receiving)}

    assert run(main()) == {str(number) for number in range(10)}


def test_who_receives_is_told_of_the_close(ada):
    async def main():
        receiving = asyncio.ensure_future(ada.areceive())
        await asyncio.sleep(0)
        ada.close()
        with pytest.raises(Closed):
            await receiving

    run(main())


def test_events_begin_with_the_call_and_end_with_the_system():
    async def main():
        kitchen = PeerSystem("kitchen")
        events = kitchen.aevents()
        kitchen.spawn("ada")

        async def watch():
            return [(event.kind, event.peer) async for event in events]

        watching = asyncio.ensure_future(watch())
        await asyncio.sleep(0)
        kitchen.spawn("bob")
        assert await kitchen.ashutdown() is Ended.YES
        return await watching

    seen = asyncio.run(asyncio.wait_for(main(), LONG))
    assert [event for event in seen if event[0] is EventKind.JOINED] == [(EventKind.JOINED, "ada"), (EventKind.JOINED, "bob")]
    assert sorted(peer for kind, peer in seen if kind is EventKind.LEFT) == ["ada", "bob"]


def test_a_reader_that_is_closed_ends_its_loop(kitchen, ada):
    async def main():
        async with kitchen.aevents() as events:
            assert (await events.anext()).peer == "ada"
            with pytest.raises(TimedOut):
                await events.anext(SHORT)
            waiting = asyncio.ensure_future(events.anext())
            await asyncio.sleep(0)
        with pytest.raises(Closed):
            await waiting
        assert [event async for event in events] == []

    run(main())


def test_a_peer_is_waited_for(kitchen):
    async def main():
        waiting = [asyncio.ensure_future(kitchen.await_for(name, None)) for name in ("ada", "bob")]
        for name in ("eve", "bob", "ada"):
            await asyncio.sleep(0)
            kitchen.spawn(name)
        await asyncio.gather(*waiting)
        late = asyncio.ensure_future(kitchen.await_for("dan", None))
        await asyncio.sleep(0)
        kitchen.shutdown()
        with pytest.raises(Closed):
            await late

    run(main())


def test_a_handler_may_need_the_loop_while_it_waits_for_an_end():
    """Were the end waited for on the loop's own thread, the two would wait for each other."""

    async def main():
        loop, ended = asyncio.get_running_loop(), []

        async def answer():
            return b"from the loop"

        def on_message(peer, message):
            return asyncio.run_coroutine_threadsafe(answer(), loop).result(LONG)

        async with PeerSystem("kitchen") as kitchen:
            async with kitchen.spawn("ada", on_message=on_message):
                bob = kitchen.spawn("bob")
                asked = asyncio.ensure_future(bob.aask("ada", "taste"))
                assert bytes(await asked) == b"from the loop"
                bob.tell("ada", "taste")
            ended.append(kitchen.peers())
            kitchen.spawn("eve", on_message=on_message)
            bob.tell("eve", "taste")
            bob.share("soup", b"tomato")
            (mingled, other) = await kitchen.amingle("soup", 1)
            assert (mingled.error is None) + (other.error is None) == 1
        return ended

    assert asyncio.run(asyncio.wait_for(main(), LONG)) == [["bob"]]


def test_a_pending_call_can_be_awaited(kitchen, ada, bob):
    async def main():
        asked = bob.start_ask("ada", "taste")
        (await ada.areceive()).reply(b"salt")
        return bytes(await asked)

    assert run(main()) == b"salt"
