"""Systems: opening one, spawning peers, looking over all of them, shutting it down; and the end of all at exit."""

from __future__ import annotations

import atexit
import collections
import logging
import os
import threading
import time
import warnings
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Callable, Optional

from . import _ffi
from ._handlers import Handlers, OnMessage, OnOffer, OnReceived, OnRequest, OnStop
from .errors import Forked, PotluckError
from .event import EventReader
from .peer import Ended, Peer

__all__ = ["NO_LIMIT", "Holder", "Mingled", "PeerSystem"]

NO_LIMIT = _ffi.NO_LIMIT
"""As a limit: none."""

# How long the end of the process waits for handlers that still run.
_EXIT_SECONDS = 5.0

_log = logging.getLogger("potluck")


@dataclass(frozen=True)
class Holder:
    """One peer that holds a resource."""

    peer: str
    origin: str
    """Who made the version that it holds."""
    version: int
    size: int
    """In bytes."""


@dataclass(frozen=True)
class Mingled:
    """What one peer did in a mingle."""

    peer: str
    """Who requested."""
    other: Optional[str]
    """From whom; None if nobody else held it."""
    version: int
    """Of what it got; 0 if it got nothing."""
    size: int
    """In bytes."""
    error: Optional[PotluckError]
    """Why it got nothing; None if it did."""


class PeerSystem:
    """A set of peers that can reach one another; opened and shut down as one. Several live in one process, fully apart.

    As a context manager it is shut down at the end. One that nobody holds any more, nor a peer that it spawned, begins
    to shut down by itself, with a ResourceWarning; all that are left are shut down when the interpreter exits, before it joins
    its threads. All calls may be made from any thread and from any handler. In a child made by fork every call on what came
    from its parent raises Forked at once.

    Limits are ints of at least 1, or NO_LIMIT; None is the default: 1,024 messages and 64 MiB in each mailbox, no other limit.
    With close_on_handler_failure a peer closes when one of its handlers fails.

    Raises InvalidName, InvalidArgument for a limit of 0, LimitReached.
    """

    __slots__ = ("__weakref__", "_id", "_is_ended", "name")

    name: str
    """Its name."""

    def __init__(
        self,
        name: str,
        *,
        peers_max: Optional[int] = None,
        mailbox_messages_max: Optional[int] = None,
        mailbox_bytes_max: Optional[int] = None,
        shelf_bytes_max: Optional[int] = None,
        resource_bytes_max: Optional[int] = None,
        close_on_handler_failure: bool = False,
    ) -> None:
        # Until it is open there is nothing to end.
        self._is_ended = True
        limits = {
            "peers_max": peers_max,
            "mailbox_messages_max": mailbox_messages_max,
            "mailbox_bytes_max": mailbox_bytes_max,
            "shelf_bytes_max": shelf_bytes_max,
            "resource_bytes_max": resource_bytes_max,
        }
        _end_dropped()
        self._id = _ffi.system_open(name, close_on_handler_failure, limits)
        self._is_ended = False
        self.name = name
        with _lock:
            _open.add(self._id)

    def spawn(
        self,
        name: str,
        *,
        on_message: Optional[OnMessage] = None,
        on_request: Optional[OnRequest] = None,
        on_offer: Optional[OnOffer] = None,
        on_received: Optional[OnReceived] = None,
        on_stop: Optional[OnStop] = None,
        mailbox_messages_max: Optional[int] = None,
        mailbox_bytes_max: Optional[int] = None,
        shelf_bytes_max: Optional[int] = None,
    ) -> Peer:
        """Spawns a peer: a thread, a mailbox and an empty shelf. A limit that is None is the system's.

        The handlers run on the peer's own thread, one at a time; every call is legal inside one, or raises a documented error.

        - on_message(peer, message): what it returns, if not None, answers an ask (of a tell it is ignored). To answer in
          another way it calls message.reply(), or message.keep() to do so later. An ask that it leaves unanswered gets
          NoReply. It says that it does not know a kind by `raise UnknownMessage`. Without on_message, messages wait for
          Peer.receive.
        - on_request(peer, sender, name): is asked before `sender` gets that resource, held or not; it may share it on the spot,
          or `raise Refused("why")`.
        - on_offer(peer, sender, offered): is asked before `sender` puts that resource on this peer's shelf; may refuse.
        - on_received(peer, sender, received): is told of each resource that `sender` has put on this peer's shelf.
        - on_stop(peer): runs last of all.

        Any other exception, also an error of the library that a handler lets through, is a failure: the caller gets HandlerFailed
        with its text, the logger "potluck" its traceback, and the peer goes on. The handlers are dropped after the last of them
        has run, before close() returns, or when this call fails.

        Raises InvalidName, NameTaken, InvalidArgument for a limit of 0, LimitReached, Closed.
        """
        handlers = Handlers(name, on_message, on_request, on_offer, on_received, on_stop)
        limits = {
            "mailbox_messages_max": mailbox_messages_max,
            "mailbox_bytes_max": mailbox_bytes_max,
            "shelf_bytes_max": shelf_bytes_max,
        }
        return Peer(_ffi.peer_spawn(self._id, name, handlers.thunks(), limits, handlers.register), name, self)

    def peers(self) -> list[str]:
        """The names of all peers, in the order of spawning. Raises Closed after the end of a shutdown."""
        return [item.peer for item in _ffi.system_peers(self._id)]

    def holders(self, resource: str) -> list[Holder]:
        """Who holds a resource of this name now, in the order of spawning. Raises InvalidName, Closed."""
        items = _ffi.system_holders(self._id, resource)
        return [Holder(item.peer, item.other, item.version, item.size) for item in items]

    def mingle(self, resource: str, seed: int, timeout: Optional[float] = 10.0) -> list[Mingled]:
        """A round of requests: the peers in the order of spawning, one after another, each request `resource` from a random
        other holder at that moment. The same seed (an unsigned 64-bit number) on the same state gives the same result.

        A peer's failure is its entry, not the end of the rest. `timeout` is for all of it. A single peer: an empty list.

        Raises NoSuchResource if nobody holds it, InvalidName, Closed.
        """
        items = _ffi.system_mingle(self._id, resource, seed, timeout)
        return [Mingled(item.peer, item.other or None, item.version, item.size, item.error) for item in items]

    def events(self, capacity: int = 1024) -> EventReader:
        """A reader of what happens from now on, which begins with a JOINED for every peer that is there.

        It holds up to `capacity` events beyond those; who falls behind is told how many it missed. Raises Closed,
        InvalidArgument for a capacity of 0.
        """
        return EventReader(_ffi.system_events(self._id, capacity))

    def shutdown(self, timeout: Optional[float] = 10.0) -> Ended:
        """Closes every peer, as Peer.close does, and waits for the end of all. Again: waits for the same end.

        After Ended.YES no handler runs or will run and no thread is left. From a handler of one of its peers it is
        Ended.DEFERRED. With Ended.STILL_RUNNING, peers() says who has not ended yet.
        """
        ended = Ended(_ffi.system_shutdown(self._id, timeout))
        # Whoever has begun the end need not be warned of it.
        self._is_ended = True
        if ended is Ended.YES:
            with _lock:
                _open.discard(self._id)
        return ended

    def __enter__(self) -> PeerSystem:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        try:
            ended = self.shutdown()
        except Forked:
            # The block is left in a child, too: the system is the parent's, and so is its end.
            return
        if ended is Ended.STILL_RUNNING:
            _log.warning("system %r still runs after its shutdown: %s", self.name, ", ".join(_running(self._id)))

    def __del__(
        self,
        _begin: Callable[[int], int] = _ffi.system_begin_shutdown,
        _forked: int = Forked.status,
        _warn: Any = warnings.warn,
    ) -> None:
        # Without the attribute, __init__ was called with wrong arguments. In a child made by fork there is nothing to end.
        if not getattr(self, "_is_ended", True) and _begin(self._id) != _forked:
            _dropped.append(self._id)
            _warn(f"the system {self.name!r} was not shut down", ResourceWarning, source=self)

    def __repr__(self) -> str:
        return f"<potluck.PeerSystem {self.name!r}>"


# The systems whose end has not been seen. Reentrant, because a finalizer that runs while it is held may open or shut down one.
_lock = threading.RLock()
_open: set[int] = set()
# Those whose end the exit of the interpreter has waited for.
_waited_for: set[int] = set()
# Those among them that a finalizer has begun to end; it appends, which needs no lock.
_dropped: collections.deque[int] = collections.deque()


def _end_dropped() -> None:
    """Sees the end of dropped systems, without waiting: until then their ids and threads are kept."""
    for _ in range(len(_dropped)):
        try:
            system = _dropped.popleft()
        except IndexError:
            # Another thread was faster.
            return
        if not _has_ended(system, 0):
            _dropped.append(system)


def _has_ended(system: int, timeout: float) -> bool:
    try:
        has_ended = _ffi.system_shutdown(system, timeout) == _ffi.OK
    except PotluckError:
        return False
    if has_ended:
        with _lock:
            _open.discard(system)
    return has_ended


def _running(system: int) -> list[str]:
    try:
        return [item.peer for item in _ffi.system_peers(system)]
    except PotluckError:
        # It has ended meanwhile.
        return []


def _end_all() -> None:
    """Ends all systems that are still open: first all begin to end, then all are waited for.

    A thread that is inside of a handler when the interpreter ends would be stopped there; so the handlers get the time to return.
    """
    with _lock:
        # It runs twice at exit: what was waited for in vain is not waited for again.
        systems = _open - _waited_for
        _waited_for.update(systems)
    deadline = time.monotonic() + _EXIT_SECONDS
    systems = {system for system in systems if not _has_ended(system, 0)}
    for system in systems:
        _has_ended(system, max(0.0, deadline - time.monotonic()))


def _after_fork() -> None:
    """In a child made by fork: the systems are the parent's, and another thread of it may have held the lock."""
    global _lock
    _lock = threading.RLock()
    _open.clear()
    _dropped.clear()


def _at_exit() -> None:
    # Before the interpreter joins its threads: one that waits in a call of ours for ever would never end. The public way
    # runs after that; it is for what was opened later, and for a Python that lacks the other. What is registered last runs first,
    # so that of the thread pools, which joins their threads, has to be there: this import registers it.
    import concurrent.futures.thread  # noqa: F401

    try:
        threading._register_atexit(_end_all)  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):
        pass
    atexit.register(_end_all)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


_at_exit()
