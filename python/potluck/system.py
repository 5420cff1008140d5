"""Systems: opening one, spawning peers, looking over all of them, shutting it down; and the end of all at exit."""

from __future__ import annotations

import atexit
import collections
import json
import logging
import os
import threading
import time
import warnings
from types import TracebackType
from typing import Any, Callable, NamedTuple, Optional, cast

from . import _ffi
from ._handlers import Registered
from .errors import BY_STATUS, Forked, PotluckError
from .event import EventReader
from .handlers import Handlers, OnMessage, OnOffer, OnReceived, OnRequest, OnStop
from .mesh import Mesh
from .peer import Ended, Peer
from .snapshot import Snapshot

__all__ = ["NO_LIMIT", "DeadLetter", "Holder", "Mingled", "PeerSystem", "Running"]

NO_LIMIT = _ffi.NO_LIMIT
"""As a limit: none."""

# How long the end of the process waits for handlers that still run.
_EXIT_SECONDS = 5.0

_log = logging.getLogger("potluck")


class Holder(NamedTuple):
    """One peer that holds a resource."""

    peer: str
    origin: str
    """Who made the version that it holds."""
    version: int
    size: int
    """In bytes."""


class Mingled(NamedTuple):
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


class DeadLetter(NamedTuple):
    """A message that was accepted and that no handler has seen or will see."""

    number: int
    """1 is the first there ever was in its system, so the newest one's number is their count."""
    peer: str
    """To whom."""
    sender: str
    """From whom."""
    kind: str
    size: int
    """Of its body, in bytes."""
    reason: Optional[type[PotluckError]]
    """Why: the class of the error."""
    text: str
    """Why, in words."""


class Running(NamedTuple):
    """A peer that had not ended when the deadline of a shutdown passed."""

    peer: str
    doing: str
    """What its thread is doing."""
    seconds: float
    """For how long."""


class PeerSystem:
    """A set of peers that can reach one another; opened and shut down as one. Several live in one process, fully apart.

    As a context manager, by `with` or by `async with`, it is shut down at the end. One that nobody holds any more, nor a peer
    that it spawned, begins to shut down by itself, with a ResourceWarning; all that are left are shut down when the interpreter
    exits, before it joins its threads. All calls may be made from any thread and from any handler. In a child made by fork
    every call on what came from its parent raises Forked at once.

    Limits are ints of at least 1, or NO_LIMIT; None is the default: 1,024 messages and 64 MiB in each mailbox, 1,024 dead
    letters kept for reading, no other limit. With lazy_threads a peer's thread is made when there is first a handler to run on
    it: a million peers that only share and request fit into one process. With close_on_handler_failure a peer closes when one
    of its handlers fails.

    With `mesh` it joins the systems of the same name in other processes, and every call with a peer by its name works with the
    peers of those, too: `name` is the peer here, else the one of that name elsewhere, `name@node` the peer of one node. Peers of
    other nodes are shown as `name@node`. Such a call raises Ambiguous if several nodes have a peer of that name, Unreachable or
    Denied by its node, TimedOut at timeout 0, and, unless it only reads, OutcomeUnknown if its node has not answered by the
    deadline.

    Raises InvalidName, InvalidArgument for a limit of 0 or a mesh that cannot be used, Unsupported for a mesh where the library
    has none, LimitReached.

    >>> with PeerSystem("kitchen", peers_max=2) as kitchen:
    ...     ada = kitchen.spawn("ada")
    ...     kitchen.peers()
    ['ada']
    """

    __slots__ = ("__weakref__", "_id", "_is_ended", "_report", "name")

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
        dead_letters_max: Optional[int] = None,
        lazy_threads: bool = False,
        close_on_handler_failure: bool = False,
        mesh: Optional[Mesh] = None,
    ) -> None:
        # Until it is open there is nothing to end.
        self._is_ended = True
        self._report: tuple[Running, ...] = ()
        limits = {
            "peers_max": peers_max,
            "mailbox_messages_max": mailbox_messages_max,
            "mailbox_bytes_max": mailbox_bytes_max,
            "shelf_bytes_max": shelf_bytes_max,
            "resource_bytes_max": resource_bytes_max,
            "dead_letters_max": dead_letters_max,
        }
        flags = {"lazy_threads": lazy_threads, "close_on_handler_failure": close_on_handler_failure}
        if mesh is not None and not isinstance(mesh, Mesh):
            raise TypeError(f"mesh must be a Mesh, not {type(mesh).__name__}")
        joining = None if mesh is None else mesh._options()
        _end_dropped()
        self._id = _ffi.system_open(name, flags, limits, joining)
        self._is_ended = False
        self.name = name
        with _lock:
            _open.add(self._id.value)

    @classmethod
    def from_id(cls, id: int) -> PeerSystem:
        """The system that code in another language has opened in this process, through the same loaded library, and whose id it
        has passed on.

        Its opener ends it: dropping this object, and the exit of the interpreter, do not; shutdown(), and so a `with` block,
        does.

        Raises InvalidHandle, Closed.
        """
        system = cls.__new__(cls)
        system._is_ended = True
        system._report = ()
        system._id = _ffi.system_of(id)
        system.name = system.snapshot()["system"]
        return system

    @property
    def id(self) -> int:
        """What C calls it: the number in its potluck_system_t, for code in other languages that shares this process."""
        return self._id.value

    def spawn(
        self,
        name: str,
        handlers: Optional[Handlers] = None,
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

        The handlers, given here or put together as Handlers, run on the peer's own thread, one at a time; every call is legal
        inside one, or raises a documented error. What a handler is given it may keep.

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
        with the last line of its traceback, the logger "potluck" all of it, and the peer goes on. The handlers are dropped
        after the last of them has run, before close() returns, or when this call fails.

        Raises InvalidName, NameTaken, InvalidArgument for a limit of 0, LimitReached, Closed.
        """
        given: dict[str, Any] = {
            "on_message": on_message,
            "on_request": on_request,
            "on_offer": on_offer,
            "on_received": on_received,
            "on_stop": on_stop,
        }
        if handlers is not None:
            for what, handler in handlers._given().items():
                if handler is not None and given[what] is not None:
                    raise ValueError(f"{what} is given twice")
                given[what] = handler if handler is not None else given[what]
        registered = Registered(name, **given)
        limits = {
            "mailbox_messages_max": mailbox_messages_max,
            "mailbox_bytes_max": mailbox_bytes_max,
            "shelf_bytes_max": shelf_bytes_max,
        }
        return Peer(_ffi.peer_spawn(self._id, name, registered.thunks(), limits, registered.register), self)

    def peers(self) -> list[str]:
        """The names of all peers, in the order of spawning; then, in a mesh, those of other nodes as `name@node`, sorted.

        Raises Closed after the end of a shutdown.
        """
        return [item.peer for item in _ffi.system_peers(self._id)]

    def holders(self, resource: str) -> list[Holder]:
        """Who holds a resource of this name now, in the order of spawning; then, in a mesh, who holds it on other nodes, which are
        asked: one that has not answered within a second is left out. Raises InvalidName, Closed.
        """
        items = _ffi.system_holders(self._id, resource)
        return [Holder(item.peer, item.other, item.version, item.size) for item in items]

    def wait_for(self, peer: str, timeout: Optional[float] = 10.0) -> None:
        """Waits until a peer of this name is there: at once if it is, else until it is spawned. In a mesh it may be on any node:
        `name@node` waits for the peer of that node, `@node` for the node itself.

        Raises TimedOut, Closed if the system is shut down before it came, InvalidName; NoSuchPeer for a `name@node` or `@node`,
        which can only come in a mesh.
        """
        _ffi.system_wait_for(self._id, peer, timeout)

    def mingle(self, resource: str, seed: int, timeout: Optional[float] = 10.0) -> list[Mingled]:
        """A round of requests: the peers of this node in the order of spawning, one after another, each request `resource` from a
        random other holder here at that moment. The same seed (an unsigned 64-bit number) on the same state gives the same result.

        A peer's failure is its entry, not the end of the rest. `timeout` is for all of it. A single peer: an empty list.

        Raises NoSuchResource if nobody here holds it, InvalidName, Closed.
        """
        items = self._aside(timeout, lambda: _ffi.system_mingle(self._id, resource, seed, timeout))
        return [Mingled(item.peer, item.other or None, item.version, item.size, item.error) for item in items]

    def events(self, capacity: int = 1024) -> EventReader:
        """A reader of what happens from now on, which begins with a JOINED for every peer that is there.

        It holds up to `capacity` events beyond those; who falls behind is told how many it missed. Raises Closed,
        InvalidArgument for a capacity of 0.
        """
        return EventReader(_ffi.system_events(self._id, capacity))

    def dead_letters(self) -> list[DeadLetter]:
        """The newest dead letters, the newest last: messages that were still queued when their peer closed, or whose asker gave
        up before they were begun. Works while a shutdown goes on, too. Raises Closed after it.

        >>> with PeerSystem("kitchen") as kitchen:
        ...     ada, bob = kitchen.spawn("ada"), kitchen.spawn("bob")
        ...     bob.tell("ada", "hello", b"you")
        ...     ended = ada.close()
        ...     [(letter.peer, letter.sender, letter.kind, letter.size) for letter in kitchen.dead_letters()]
        [('ada', 'bob', 'hello', 3)]
        """
        return [
            DeadLetter(item.version, item.peer, item.other, item.name, item.size, BY_STATUS.get(item.status), item.text)
            for item in _ffi.system_dead_letters(self._id)
        ]

    def snapshot(self) -> Snapshot:
        """What each peer is doing at this moment, so that a hang can be read: its state, how much is queued, what its handler
        and its thread wait for and since when; what has gone to other nodes of a mesh and come from them; and how many handles are
        live. Raises Closed after a shutdown.

        >>> with PeerSystem("kitchen") as kitchen:
        ...     ada = kitchen.spawn("ada")
        ...     [(peer["peer"], peer["stage"], peer["messages"]) for peer in kitchen.snapshot()["peers"]]
        [('ada', 'open', 0)]
        """
        return cast(Snapshot, json.loads(_ffi.system_snapshot(self._id)))

    def shutdown(self, timeout: Optional[float] = 10.0) -> Ended:
        """Shuts the system down, and waits for the end of all. Again: waits for the same end.

        From the call on, calls from outside raise Closed, while handlers go on until nothing is unfinished; then, or at half the
        timeout, every peer is closed. After Ended.YES no handler runs or will run and no thread is left. From a handler of one
        of its peers it is Ended.DEFERRED. With Ended.STILL_RUNNING, `report` says who has not ended yet and what it is doing.
        """
        status, items = self._aside(timeout, lambda: _ffi.system_shutdown(self._id, timeout))
        self._report = tuple(Running(item.peer, item.text, item.size / 1000) for item in items)
        # Whoever has begun the end need not be warned of it.
        self._is_ended = True
        ended = Ended(status)
        if ended is Ended.YES:
            with _lock:
                _open.discard(self._id.value)
        return ended

    @property
    def report(self) -> tuple[Running, ...]:
        """The peers that had not ended when the last shutdown() returned, and what they were doing."""
        return self._report

    def _aside(self, timeout: Optional[float], call: Callable[[], Any]) -> Any:
        # These can be neither repeated nor started, so the main thread cannot wait for them in slices.
        _ffi.check_timeout(timeout)
        return call() if timeout == 0 else _ffi.aside(call)

    # The same calls, for asyncio.

    def aevents(self, capacity: int = 1024) -> EventReader:
        """events(), for `async for`: the reader begins with this call and waits on the library's descriptor, without a thread.

        >>> async def watch():
        ...     async with PeerSystem("kitchen") as kitchen:
        ...         events = kitchen.aevents()
        ...         ada = kitchen.spawn("ada")
        ...         async for event in events:
        ...             return event.kind.name, event.peer
        >>> asyncio.run(watch())
        ('JOINED', 'ada')
        """
        return self.events(capacity)

    async def await_for(self, peer: str, timeout: Optional[float] = 10.0) -> None:
        """wait_for() for asyncio, on the descriptor of a reader of events; for a node, of which no event tells, on a thread."""
        from . import _asyncio

        if peer.startswith("@"):
            return await _asyncio.aside(lambda: self.wait_for(peer, timeout))
        with self.events() as events:

            def look() -> None:
                while True:
                    try:
                        events.next(0)
                    except PotluckError:
                        break
                self.wait_for(peer, 0)

            await _asyncio.repeat(look, lambda: _ffi.events_descriptor(events._id), timeout)

    async def amingle(self, resource: str, seed: int, timeout: Optional[float] = 10.0) -> list[Mingled]:
        """mingle() for asyncio: waits on a thread that is made for it."""
        from . import _asyncio

        return await _asyncio.aside(lambda: self.mingle(resource, seed, timeout))

    async def ashutdown(self, timeout: Optional[float] = 10.0) -> Ended:
        """shutdown() for asyncio: waits on a thread that is made for it, since handlers that still run may need the loop."""
        from . import _asyncio

        return await _asyncio.aside(lambda: self.shutdown(timeout))

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
        self._warn_of(ended)

    async def __aenter__(self) -> PeerSystem:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._warn_of(await self.ashutdown())

    def _warn_of(self, ended: Ended) -> None:
        if ended is Ended.STILL_RUNNING:
            running = ", ".join(f"{peer.peer} ({peer.doing})" for peer in self._report)
            _log.warning("system %r still runs after its shutdown: %s", self.name, running)

    def __del__(
        self,
        _begin: Callable[[_ffi.SystemId], int] = _ffi.system_begin_shutdown,
        _forked: int = Forked.status,
        _warn: Any = warnings.warn,
    ) -> None:
        # Without the attribute, __init__ was called with wrong arguments. In a child made by fork there is nothing to end.
        if not getattr(self, "_is_ended", True) and _begin(self._id) != _forked:
            _dropped.append(self._id.value)
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
        has_ended = _ffi.system_shutdown(_ffi.system_of(system), timeout)[0] == _ffi.OK
    except PotluckError:
        return False
    if has_ended:
        with _lock:
            _open.discard(system)
    return has_ended


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
    _ffi.after_fork()


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
