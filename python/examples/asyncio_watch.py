"""Everything at once on one thread of asyncio: somebody watches, somebody answers, others ask; no thread pool.

    asyncio_watch.py

Prints each event of the system, in order, then the answers.
"""

from __future__ import annotations

import asyncio
import sys

from potluck import Closed, EventReader, Peer, PeerSystem


async def main() -> None:
    async with PeerSystem("kitchen") as kitchen:
        watching = asyncio.create_task(watch(kitchen.aevents()))
        ada, bob = kitchen.spawn("ada"), kitchen.spawn("bob")
        answering = asyncio.create_task(answer(ada))

        # Ten asks under way at a time; ada answers each as it comes.
        answers = await asyncio.gather(*(bob.aask("ada", "square", str(number).encode()) for number in range(10)))
        ada.share("soup", b"tomato")
        soup = await bob.arequest("ada", "soup")
        try:
            # Canceled by its deadline, the ask is given up: nobody will handle it.
            await asyncio.wait_for(ada.aask("bob", "anybody?", timeout=None), 0.05)
        except asyncio.TimeoutError:
            pass
        await ada.aclose()
        await answering
    await watching
    print("squares:", *(bytes(square).decode() for square in answers))
    print(f"bob has {bytes(soup).decode()} of {soup.origin}")


async def watch(events: EventReader) -> None:
    async for event in events:
        print(event.kind.name, event.peer, *filter(None, (event.other, event.name)))


async def answer(peer: Peer) -> None:
    while True:
        try:
            message = await peer.areceive()
        except Closed:
            return
        message.reply(str(int(bytes(message)) ** 2).encode())


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
