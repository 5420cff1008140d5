"""Calls that were started: made once, waited for as often as one likes, by a thread, by a poll loop or by asyncio."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import Any, Generic, Optional, TypeVar, cast

from . import _ffi
from .errors import NotDone
from .resource import Resource

__all__ = ["Pending"]

Result = TypeVar("Result")


class Pending(Generic[Result]):
    """A call that goes on by itself. Peer.start_request and its like make it; it gives what the call of that name gives.

    It ends at its own deadline as the blocking call would, though nobody waits. Dropping it, or the end of its `with` block,
    gives the call up. `await` waits for it in asyncio. May be used from several threads.

    >>> with PeerSystem("kitchen") as kitchen:
    ...     ada, bob = kitchen.spawn("ada"), kitchen.spawn("bob")
    ...     asked = bob.start_ask("ada", "taste?")
    ...     asked.done()
    ...     ada.receive().reply(b"more salt")
    ...     bytes(asked.wait())
    False
    b'more salt'
    """

    __slots__ = ("__weakref__", "_descriptor", "_id", "_peer", "_to")

    def __init__(self, id: _ffi.PendingId, peer: _ffi.PeerId, to: Optional[str]) -> None:
        # Made by peers only.
        self._id = id
        self._peer = peer
        self._to = to
        self._descriptor: Optional[_ffi.Descriptor] = None

    def wait(self, timeout: Optional[float] = 10.0) -> Result:
        """Waits for the end of the call, up to `timeout` seconds, and gives its result; may be repeated, also when it is done.

        Raises what the call raises; NotDone (a TimeoutError) if it goes on; Canceled if it is given up meanwhile, InvalidHandle
        afterwards. In a handler also Deadlock, if the call waits for that very handler, and Closed, if the handler's peer is
        closed; the call goes on then.
        """
        done = _ffi.pending_wait(self._id, timeout, self._peer, self._to)
        if done is None:
            raise NotDone("the call goes on")
        result = done[1]
        # A call that gives no resource, or found none that is newer, has none.
        return cast(Result, Resource(result) if result else None)

    def done(self) -> bool:
        """Whether wait() would return, or raise, at once. Does not wait."""
        try:
            self.wait(0)
        except NotDone:
            return False
        except Exception:
            # It failed, which is an end, too.
            return True
        return True

    def fileno(self) -> int:
        """A descriptor for select, poll and the like: readable once the call is done, and for good. Not to be read from.

        It is this object's, which closes it with itself. Raises LimitReached.
        """
        if self._descriptor is None:
            self._descriptor = _ffi.pending_descriptor(self._id)
        return self._descriptor.number

    def cancel(self) -> None:
        """Gives the call up: if it is not done, it has not taken effect and never will, but the handler of an ask may have begun.

        Does not wait. Again: nothing.
        """
        _ffi.pending_release(self._id)

    def __await__(self) -> Generator[Any, None, Result]:
        from . import _asyncio

        return _asyncio.finish(self).__await__()

    def __enter__(self) -> Pending[Result]:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.cancel()
