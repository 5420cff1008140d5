"""What the calls for asyncio have in common: waiting for a descriptor of the library's, without a thread."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from typing import TYPE_CHECKING, Callable, Optional, TypeVar

from . import _ffi
from .errors import NotDone, TimedOut

if TYPE_CHECKING:
    from .pending import Pending

Result = TypeVar("Result")


async def finish(pending: Pending[Result]) -> Result:
    """The result of a started call. Canceling the task gives the call up."""
    with pending:
        try:
            return pending.wait(0)
        except NotDone:
            pass
        # Readable for good, so once is enough. At its own deadline the call ends by itself.
        await _until_readable(_ffi.pending_descriptor(pending._id), None)
        return pending.wait(0)


async def repeat(at_once: Callable[[], Result], descriptor: Callable[[], _ffi.Descriptor], timeout: Optional[float]) -> Result:
    """A call that raises TimedOut while there is nothing to be had, again and again until there is, or the deadline is over."""
    _ffi.check_timeout(timeout)
    try:
        return at_once()
    except TimedOut:
        if timeout == 0:
            raise
    deadline = None if timeout is None or math.isinf(timeout) else asyncio.get_running_loop().time() + timeout
    ready = descriptor()
    try:
        while True:
            in_time = await _until_readable(ready, deadline)
            try:
                return at_once()
            except TimedOut:
                # Somebody else was faster.
                if not in_time:
                    raise
    finally:
        ready.close()


async def _until_readable(descriptor: _ffi.Descriptor, deadline: Optional[float]) -> bool:
    """Whether it was readable by then."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[bool] = loop.create_future()

    def end(in_time: bool) -> None:
        if not readable.done():
            readable.set_result(in_time)

    number = descriptor.number
    loop.add_reader(number, end, True)
    timer = None if deadline is None else loop.call_at(deadline, end, False)
    try:
        return await readable
    finally:
        loop.remove_reader(number)
        if timer is not None:
            timer.cancel()


async def aside(call: Callable[[], Result]) -> Result:
    """A call that the library gives no descriptor for, on a thread made for it.

    If the task is canceled, the call goes on to its own end.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def give(result: Optional[Result], error: Optional[BaseException]) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as failure:
            error = failure
        # The loop may be closed by now: then nobody waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(give, result, error)

    threading.Thread(target=run, name="potluck:waits", daemon=True).start()
    return await done
