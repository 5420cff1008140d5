"""Events: what a system reports. Values; they carry names, versions, sizes and reasons, never a body."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import NamedTuple, Optional

from . import _ffi
from .errors import BY_STATUS, Closed, PotluckError

__all__ = ["Event", "EventKind", "EventReader"]


class EventKind(enum.Enum):
    """What happened."""

    JOINED = 1
    """`peer` is there now, or was there when the reader began."""
    LEFT = 2
    """`peer` is gone."""
    REQUESTED = 3
    """`peer` gave resource `name` to `other`, who requested it."""
    RECEIVED = 4
    """Resource `name` came onto the shelf of `peer` from `other`'s."""
    UNKNOWN_MESSAGE = 5
    """`peer` does not know messages of kind `name`, sent by `other`."""
    DEAD_LETTER = 6
    """A message of kind `name` from `other` to `peer` that no handler will see, for `reason`."""
    HANDLER_FAILED = 7
    """A handler of `peer` failed on what came from `other`: `text` says how."""
    MISSED = 8
    """The reader fell behind here: it missed `size` events."""
    PROGRESS = 9
    """`size` bytes of resource `name` have come to `peer` from `other`, which is on another node: a large one comes piece by piece."""


class Event(NamedTuple):
    """Something that happened in a system."""

    kind: EventKind
    peer: str
    """Whom it happened to."""
    other: str
    """The other peer, or ""."""
    name: str
    """The resource, or the kind of the message, or ""."""
    version: int
    """Of the resource; else 0."""
    size: int
    """Bytes of the resource or of the message's body; MISSED: how many events; PROGRESS: how many bytes have come; else 0."""
    reason: Optional[type[PotluckError]]
    """DEAD_LETTER, HANDLER_FAILED: the class of the error; else None."""
    text: str
    """One line of text, cut to fit, or ""."""


_KINDS = {kind.value: kind for kind in EventKind}


class EventReader:
    """Reads what happens in a system, from the moment when it was made; begins with a JOINED for every peer that is there.

    A reader that falls behind gets one MISSED with how many; nobody waits for it. May be used from several threads; each event
    goes to one of them. Iterating over it, by `for` or by `async for`, waits for each next event and ends when it is closed, or
    the system has ended and all is read.

    >>> kitchen = PeerSystem("kitchen")
    >>> with kitchen.events() as events:
    ...     ada = kitchen.spawn("ada")
    ...     done = kitchen.shutdown()
    ...     [(event.kind.name, event.peer) for event in events]
    [('JOINED', 'ada'), ('LEFT', 'ada')]
    """

    __slots__ = ("__weakref__", "_descriptor", "_id")

    def __init__(self, id: _ffi.EventsId) -> None:
        # Made by PeerSystem.events only.
        self._id = id
        self._descriptor: Optional[_ffi.Descriptor] = None

    def next(self, timeout: Optional[float] = 10.0) -> Event:
        """The next event, waiting for it up to `timeout` seconds; None waits for ever.

        Raises TimedOut, and Closed when the reader is closed, or the system has ended and all is read.
        """
        info = _ffi.events_next(self._id, timeout)
        reason = BY_STATUS.get(info.reason)
        return Event(_KINDS[info.kind], info.peer, info.other, info.name, info.version, info.size, reason, info.text)

    async def anext(self, timeout: Optional[float] = None) -> Event:
        """next() for asyncio. By default it waits for ever, as asyncio's own calls do."""
        from . import _asyncio

        return await _asyncio.repeat(lambda: self.next(0), lambda: _ffi.events_descriptor(self._id), timeout)

    def fileno(self) -> int:
        """A descriptor for select, poll and the like: readable whenever next() would return at once. Not to be read from.

        It is this object's, which closes it with itself. Raises Closed, LimitReached.
        """
        with _ffi.descriptors:
            if self._descriptor is None:
                self._descriptor = _ffi.events_descriptor(self._id)
            return self._descriptor.number

    def close(self) -> None:
        """Ends the reader; who waits in next() gets Closed. Does not block. Again: nothing."""
        _ffi.events_close(self._id)

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        try:
            return self.next(None)
        except Closed:
            raise StopIteration from None

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        try:
            return await self.anext()
        except Closed:
            raise StopAsyncIteration from None

    def __enter__(self) -> EventReader:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    async def __aenter__(self) -> EventReader:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()
