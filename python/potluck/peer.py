"""Peers, and all that one does as a peer."""

from __future__ import annotations

import enum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional

from . import _ffi
from .errors import Forked
from .message import Message
from .pending import Pending
from .resource import Resource, ResourceInfo

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Ended", "Peer"]


class Ended(enum.Enum):
    """How a close or a shutdown went."""

    YES = _ffi.OK
    """It is over: no handler runs or will run, and the handlers have been dropped."""
    DEFERRED = _ffi.DEFERRED
    """It was called from a handler that must return first; it happens then."""
    STILL_RUNNING = _ffi.STILL_RUNNING
    """The deadline passed first; the end goes on by itself, and the call may be repeated to wait for it."""


class Peer:
    """A named OS thread with a mailbox and a shelf; client and server at once.

    PeerSystem.spawn makes it, and its handlers get it as their first argument; dropping one closes nothing. All calls may be made
    from any thread and from any handler, as this peer. In every call the other peer is named by a str, wherever it is.

    `timeout` is in seconds: one deadline for all of a call, None waits for ever, 0 does what needs no waiting and leaves nothing
    queued. The GIL is free while a call waits, and Ctrl-C ends a wait of the main thread. Every call as a closed peer raises
    Closed.

    Each call with another peer has two more forms: start_... makes the call and gives a Pending; a... is for `await`, on the
    library's descriptors, without a thread, and canceling the task gives the call up.

    >>> with PeerSystem("kitchen") as kitchen:
    ...     ada, bob = kitchen.spawn("ada"), kitchen.spawn("bob")
    ...     version = ada.share("soup", b"tomato")
    ...     soup = bob.request("ada", "soup", timeout=1.0)
    ...     kitchen.holders("soup")
    [Holder(peer='ada', origin='ada', version=1, size=6), Holder(peer='bob', origin='ada', version=1, size=6)]
    """

    __slots__ = ("__weakref__", "_descriptor", "_id", "_system")

    def __init__(self, id: _ffi.PeerId, system: Optional[object] = None) -> None:
        # Made by the library only. Who holds what spawn gave holds the system, which would end if nobody held it.
        self._id = id
        self._system = system
        self._descriptor: Optional[_ffi.Descriptor] = None

    @property
    def name(self) -> str:
        """Its name."""
        return self._id.name

    @property
    def id(self) -> int:
        """What C calls it: the number in its potluck_peer_t, for code in other languages that shares this process."""
        return self._id.value

    # Its own shelf.

    def share(self, name: str, body: Buffer, *, copy: bool = True) -> int:
        """Puts a new version of a resource on this peer's shelf, at once, and gives its version.

        `body` is any contiguous bytes-like object. Its bytes are copied; with copy=False they are adopted: everybody who gets the
        resource reads these very bytes, so they must stay as they are. The buffer is then held (a bytearray cannot be resized,
        an mmap not be closed) until the last shelf, resource and view have let it go, on whichever thread that is.

        The version is 1 for a name that this peer never held, else one above the highest that it ever held under it.

        Raises InvalidName, TooLarge, LimitReached, Closed; BufferError if the bytes are not contiguous.

        >>> with PeerSystem("kitchen") as kitchen:
        ...     ada = kitchen.spawn("ada")
        ...     first, second = ada.share("soup", b"tomato"), ada.share("soup", b"more tomato")
        ...     first, second, ada.share("frame", bytearray(1 << 20), copy=False)
        (1, 2, 1)
        """
        return _ffi.peer_share(self._id, name, body) if copy else _ffi.peer_share_owned(self._id, name, body)

    def share_if(self, name: str, body: Buffer, expected: Optional[Resource]) -> int:
        """share(), but only if exactly the resource `expected` is held under the name now, or nothing if it is None.

        Looking and putting are one step, so that of several writers none overwrites what it has not seen.

        Raises VersionConflict, whose `current` is the version held now (0: nothing), if something else is held; nothing has
        changed then. InvalidArgument if `expected` has another name; and what share() raises.

        >>> with PeerSystem("kitchen") as kitchen:
        ...     ada = kitchen.spawn("ada")
        ...     first = ada.share_if("soup", b"tomato", None)
        ...     held = ada.get("soup")
        ...     second = ada.share_if("soup", bytes(held) + b" and salt", held)
        ...     try:
        ...         ada.share_if("soup", b"from nothing", None)
        ...     except VersionConflict as conflict:
        ...         print(conflict.current)
        2
        """
        return _ffi.peer_share_if(self._id, name, body, None if expected is None else expected._owner())

    def unshare(self, name: str) -> None:
        """Takes a resource off this peer's shelf; copies that others hold stay. Raises NoSuchResource, InvalidName, Closed."""
        _ffi.peer_unshare(self._id, name)

    def get(self, name: str) -> Resource:
        """What this peer itself holds under a name. Does not wait. Raises NoSuchResource, InvalidName, Closed."""
        return Resource(_ffi.peer_get(self._id, name))

    def resources(self) -> list[ResourceInfo]:
        """All that this peer holds, sorted by name. Raises Closed."""
        return [ResourceInfo(item.name, item.other, item.version, item.size) for item in _ffi.peer_resources(self._id)]

    # Calls with others.

    def request(self, from_peer: str, name: str, timeout: Optional[float] = 10.0) -> Resource:
        """Gets what `from_peer` holds now, and in the same step puts it on this peer's shelf, which serves it from then on.

        Nothing is copied. If `from_peer` has no on_request it waits for nobody's handler, except for those of this peer's own
        earlier tells to it. From oneself it is get().

        Raises NoSuchPeer, NoSuchResource, PeerClosed, Refused, HandlerFailed, TooLarge (this peer's shelf has no room), Deadlock,
        TimedOut, InvalidName, Closed, LimitReached; then nothing has changed. Of a peer of another node also Ambiguous,
        Unreachable, Denied.
        """
        return Resource(_ffi.peer_request(self._id, from_peer, name, timeout))

    def request_newer(
        self, from_peer: str, name: str, than: Optional[Resource], timeout: Optional[float] = 10.0
    ) -> Optional[Resource]:
        """request(), but None if `from_peer` holds the resource `than`, or an older version of the same origin: then nothing is
        handed over, no shelf has changed, and no event says anything. With `than` None it is request().

        Raises InvalidArgument if `than` has another name, and what request() raises.

        >>> with PeerSystem("kitchen") as kitchen:
        ...     ada, bob = kitchen.spawn("ada"), kitchen.spawn("bob")
        ...     version = ada.share("soup", b"tomato")
        ...     soup = bob.request_newer("ada", "soup", None)
        ...     print(bob.request_newer("ada", "soup", soup))
        ...     version = ada.share("soup", b"onion")
        ...     print(bytes(bob.request_newer("ada", "soup", soup)))
        None
        b'onion'
        """
        newer = _ffi.peer_request_newer(self._id, from_peer, name, None if than is None else than._owner(), timeout)
        return None if newer is None else Resource(newer)

    def fetch(self, name: str, timeout: Optional[float] = 10.0) -> Resource:
        """Gets a resource from any other peer that holds it, chosen at random; from the next if that one is closed, refuses,
        fails or would close a ring.

        Raises NoSuchResource if nobody else holds it, else what request() raises, of the last holder.
        """
        return Resource(_ffi.peer_fetch(self._id, name, timeout))

    def offer(self, to: str, name: str, timeout: Optional[float] = 10.0) -> None:
        """Puts a copy of what this peer holds at entry on the shelf of `to`; the last writer wins. Waits while a handler of
        `to` runs.

        Raises NoSuchResource if this peer does not hold it; otherwise as request(). With a peer of another node it may have been
        done after OutcomeUnknown, or PeerClosed.
        """
        _ffi.peer_offer(self._id, to, name, timeout)

    def exchange(self, with_peer: str, name: str, timeout: Optional[float] = 10.0) -> Resource:
        """Swaps what both peers hold under a name at that moment, and gives what this one got. Both shelves change or neither;
        with a peer of another node its shelf changes first, and this one when the answer has come.

        Raises NoSuchResource, whose text says who has nothing; otherwise as offer().
        """
        return Resource(_ffi.peer_exchange(self._id, with_peer, name, timeout))

    def tell(self, to: str, kind: str, body: Buffer = b"", timeout: Optional[float] = 10.0) -> None:
        """Sends a message; returns once it is accepted, waiting for room up to `timeout`.

        Raises Full if there is no room until then, TooLarge, NoSuchPeer, PeerClosed, InvalidName, Closed, LimitReached, Deadlock
        (in a handler, if waiting for room would close a ring); then it was not sent. To a peer of another node also TimedOut,
        Ambiguous, Unreachable, Denied; and OutcomeUnknown or PeerClosed, after which it may have been.
        """
        _ffi.peer_tell(self._id, to, kind, body, timeout)

    def try_tell(self, to: str, kind: str, body: Buffer = b"") -> None:
        """tell() without waiting: raises Full if there is no room now, TimedOut for a peer of another node, which takes time."""
        _ffi.peer_tell(self._id, to, kind, body, 0)

    def ask(self, to: str, kind: str, body: Buffer = b"", timeout: Optional[float] = 10.0) -> Resource:
        """Sends a message and waits for the answer: a resource named after the kind, from the replier, of version 0.

        Raises TimedOut if its handler had not begun at the deadline and now never will, OutcomeUnknown if it had; UnknownMessage,
        HandlerFailed, NoReply, Deadlock (from a handler to its own peer); and what tell() raises.

        >>> with PeerSystem("kitchen") as kitchen:
        ...     ada = kitchen.spawn("ada", on_message=lambda peer, message: message.kind.upper().encode())
        ...     bytes(kitchen.spawn("bob").ask("ada", "taste"))
        b'TASTE'
        """
        return Resource(_ffi.peer_ask(self._id, to, kind, body, timeout))

    def receive(self, timeout: Optional[float] = 10.0) -> Message:
        """The next message to a peer that was spawned without on_message. Several threads may wait; they are served in order.

        Raises TimedOut, Closed, InvalidArgument if the peer has an on_message.
        """
        return Message(_ffi.peer_receive(self._id, timeout))

    def fileno(self) -> int:
        """A descriptor for select, poll and the like: readable whenever receive() would return at once. Not to be read from.

        It is this object's, which closes it with itself. Raises Closed, LimitReached, InvalidArgument if the peer has an
        on_message.
        """
        with _ffi.descriptors:
            if self._descriptor is None:
                self._descriptor = _ffi.peer_descriptor(self._id)
            return self._descriptor.number

    # The same calls, started.

    def start_request(self, from_peer: str, name: str, timeout: Optional[float] = 10.0) -> Pending[Resource]:
        """Starts a request(). Does not wait.

        Like every start, it raises at once what can be said at once; nothing has happened then. A call that was started has no
        order with others that are made before it is done.
        """
        return self._pending(_ffi.peer_start(self._id, _ffi.CALL_REQUEST, from_peer, name, None, timeout), from_peer)

    def start_request_newer(
        self, from_peer: str, name: str, than: Optional[Resource], timeout: Optional[float] = 10.0
    ) -> Pending[Optional[Resource]]:
        """Starts a request_newer(). Does not wait."""
        older = None if than is None else than._owner()
        return self._pending(_ffi.peer_start(self._id, _ffi.CALL_REQUEST, from_peer, name, None, timeout, older), from_peer)

    def start_fetch(self, name: str, timeout: Optional[float] = 10.0) -> Pending[Resource]:
        """Starts a fetch(). Does not wait."""
        return self._pending(_ffi.peer_start(self._id, _ffi.CALL_FETCH, None, name, None, timeout), None)

    def start_offer(self, to: str, name: str, timeout: Optional[float] = 10.0) -> Pending[None]:
        """Starts an offer(). Does not wait."""
        return self._pending(_ffi.peer_start(self._id, _ffi.CALL_OFFER, to, name, None, timeout), to)

    def start_exchange(self, with_peer: str, name: str, timeout: Optional[float] = 10.0) -> Pending[Resource]:
        """Starts an exchange(). Does not wait."""
        return self._pending(_ffi.peer_start(self._id, _ffi.CALL_EXCHANGE, with_peer, name, None, timeout), with_peer)

    def start_tell(self, to: str, kind: str, body: Buffer = b"", timeout: Optional[float] = 10.0) -> Pending[None]:
        """Starts a tell(): it is done once the message is accepted. Does not wait."""
        return self._pending(_ffi.peer_start(self._id, _ffi.CALL_TELL, to, kind, body, timeout), to)

    def start_ask(self, to: str, kind: str, body: Buffer = b"", timeout: Optional[float] = 10.0) -> Pending[Resource]:
        """Starts an ask(). Does not wait."""
        return self._pending(_ffi.peer_start(self._id, _ffi.CALL_ASK, to, kind, body, timeout), to)

    def _pending(self, id: _ffi.PendingId, to: Optional[str]) -> Pending[Any]:
        return Pending(id, self._id, to)

    # The same calls, for asyncio.

    async def arequest(self, from_peer: str, name: str, timeout: Optional[float] = 10.0) -> Resource:
        """request() for asyncio."""
        return await self.start_request(from_peer, name, timeout)

    async def arequest_newer(
        self, from_peer: str, name: str, than: Optional[Resource], timeout: Optional[float] = 10.0
    ) -> Optional[Resource]:
        """request_newer() for asyncio."""
        return await self.start_request_newer(from_peer, name, than, timeout)

    async def afetch(self, name: str, timeout: Optional[float] = 10.0) -> Resource:
        """fetch() for asyncio."""
        return await self.start_fetch(name, timeout)

    async def aoffer(self, to: str, name: str, timeout: Optional[float] = 10.0) -> None:
        """offer() for asyncio."""
        await self.start_offer(to, name, timeout)

    async def aexchange(self, with_peer: str, name: str, timeout: Optional[float] = 10.0) -> Resource:
        """exchange() for asyncio."""
        return await self.start_exchange(with_peer, name, timeout)

    async def atell(self, to: str, kind: str, body: Buffer = b"", timeout: Optional[float] = 10.0) -> None:
        """tell() for asyncio."""
        await self.start_tell(to, kind, body, timeout)

    async def aask(self, to: str, kind: str, body: Buffer = b"", timeout: Optional[float] = 10.0) -> Resource:
        """ask() for asyncio."""
        return await self.start_ask(to, kind, body, timeout)

    async def areceive(self, timeout: Optional[float] = None) -> Message:
        """receive() for asyncio. By default it waits for ever, as asyncio's own calls do."""
        from . import _asyncio

        return await _asyncio.repeat(lambda: self.receive(0), lambda: _ffi.peer_descriptor(self._id), timeout)

    async def aclose(self, timeout: Optional[float] = 10.0) -> Ended:
        """close() for asyncio: waits on a thread that is made for it, since handlers that still run may need the loop."""
        from . import _asyncio

        return await _asyncio.aside(lambda: self.close(timeout))

    # Its end.

    def close(self, timeout: Optional[float] = 10.0) -> Ended:
        """Closes the peer for all: a barrier.

        No new work is let in; the running handler finishes, its waiting calls end with Closed; what is queued is answered
        PeerClosed or becomes a dead letter; on_stop runs last. When it gives Ended.YES, no handler runs or will run, the handlers
        have been dropped and the name is free. From the peer's own handler it is Ended.DEFERRED. Closing again waits for the same
        end.
        """
        return Ended(_ffi.peer_close(self._id, timeout))

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        try:
            self.close()
        except Forked:
            # The block is left in a child, too: the peer is the parent's.
            pass

    async def __aenter__(self) -> Peer:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.aclose()

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Peer) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<potluck.Peer {self.name!r}>"
