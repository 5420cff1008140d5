"""Peers, and all that one does as a peer."""

from __future__ import annotations

import enum
from types import TracebackType
from typing import TYPE_CHECKING, Optional

from . import _ffi
from .errors import Forked
from .message import Message
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
    queued. The GIL is free while a call waits. Every call as a closed peer raises Closed.
    """

    __slots__ = ("__weakref__", "_id", "_system", "name")

    name: str
    """Its name."""

    def __init__(self, id: int, name: str, system: Optional[object] = None) -> None:
        # Made by the library only. Who holds what spawn gave holds the system, which would end if nobody held it.
        self._id = id
        self.name = name
        self._system = system

    def share(self, name: str, body: Buffer) -> int:
        """Puts a new version of a resource on this peer's shelf, at once, and gives its version.

        `body` is any contiguous bytes-like object; its bytes are copied. The version is 1 for a name that this peer never held,
        else one above the highest that it ever held under it.

        Raises InvalidName, TooLarge, LimitReached, Closed.
        """
        return _ffi.peer_share(self._id, name, body)

    def unshare(self, name: str) -> None:
        """Takes a resource off this peer's shelf; copies that others hold stay. Raises NoSuchResource, InvalidName, Closed."""
        _ffi.peer_unshare(self._id, name)

    def get(self, name: str) -> Resource:
        """What this peer itself holds under a name. Does not wait. Raises NoSuchResource, InvalidName, Closed."""
        return Resource(_ffi.peer_get(self._id, name))

    def resources(self) -> list[ResourceInfo]:
        """All that this peer holds, sorted by name. Raises Closed."""
        return [ResourceInfo(item.name, item.other, item.version, item.size) for item in _ffi.peer_resources(self._id)]

    def request(self, from_peer: str, name: str, timeout: Optional[float] = 10.0) -> Resource:
        """Gets what `from_peer` holds now, and in the same step puts it on this peer's shelf, which serves it from then on.

        Nothing is copied. If `from_peer` has no on_request it waits for nobody's handler, except for those of this peer's own
        earlier tells to it. From oneself it is get().

        Raises NoSuchPeer, NoSuchResource, PeerClosed, Refused, HandlerFailed, TooLarge (this peer's shelf has no room), Deadlock,
        TimedOut, InvalidName, Closed; then nothing has changed.
        """
        return Resource(_ffi.peer_request(self._id, from_peer, name, timeout))

    def fetch(self, name: str, timeout: Optional[float] = 10.0) -> Resource:
        """Gets a resource from any other peer that holds it, chosen at random; from the next if that one is closed, refuses,
        fails or would close a ring.

        Raises NoSuchResource if nobody else holds it, else what request() raises, of the last holder.
        """
        return Resource(_ffi.peer_fetch(self._id, name, timeout))

    def offer(self, to: str, name: str, timeout: Optional[float] = 10.0) -> None:
        """Puts a copy of what this peer holds at entry on the shelf of `to`; the last writer wins. Waits while a handler of
        `to` runs.

        Raises NoSuchResource if this peer does not hold it; otherwise as request().
        """
        _ffi.peer_offer(self._id, to, name, timeout)

    def exchange(self, with_peer: str, name: str, timeout: Optional[float] = 10.0) -> Resource:
        """Swaps what both peers hold under a name at that moment, and gives what this one got. Both shelves change or neither.

        Raises NoSuchResource, whose text says who has nothing; otherwise as request().
        """
        return Resource(_ffi.peer_exchange(self._id, with_peer, name, timeout))

    def tell(self, to: str, kind: str, body: Buffer = b"", timeout: Optional[float] = 10.0) -> None:
        """Sends a message; returns once it is accepted, waiting for room up to `timeout`.

        Raises Full if there is no room until then, TooLarge, NoSuchPeer, PeerClosed, InvalidName, Closed; then it was not sent.
        """
        _ffi.peer_tell(self._id, to, kind, body, timeout)

    def try_tell(self, to: str, kind: str, body: Buffer = b"") -> None:
        """tell() without waiting: raises Full if there is no room now."""
        _ffi.peer_tell(self._id, to, kind, body, 0)

    def ask(self, to: str, kind: str, body: Buffer = b"", timeout: Optional[float] = 10.0) -> Resource:
        """Sends a message and waits for the answer: a resource named after the kind, from the replier, of version 0.

        Raises TimedOut if its handler had not begun at the deadline and now never will, OutcomeUnknown if it had; UnknownMessage,
        HandlerFailed, NoReply, Deadlock (from a handler to its own peer); and what tell() raises.
        """
        return Resource(_ffi.peer_ask(self._id, to, kind, body, timeout))

    def receive(self, timeout: Optional[float] = 10.0) -> Message:
        """The next message to a peer that was spawned without on_message. Several threads may wait; they are served in order.

        Raises TimedOut, Closed, InvalidArgument if the peer has an on_message.
        """
        return Message(_ffi.peer_receive(self._id, timeout))

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

    def __eq__(self, other: object) -> bool:
        return self._id == other._id if isinstance(other, Peer) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._id)

    def __repr__(self) -> str:
        return f"<potluck.Peer {self.name!r}>"
