"""potluck: peers share named, versioned, immutable resources with one another; no server stands between them.

>>> import potluck
>>> with potluck.PeerSystem("kitchen") as kitchen:
...     ada, bob = kitchen.spawn("ada"), kitchen.spawn("bob")
...     version = ada.share("soup", b"tomato")
...     soup = bob.request("ada", "soup", timeout=1.0)
>>> bytes(soup), soup.origin, soup.version  # soup.view: memoryview, no copy
(b'tomato', 'ada', 1)

A peer is a named thread of the library with a mailbox and a shelf of resources; what it has received, it serves. Handlers run
on its thread. Errors are exceptions under PotluckError and under the built-in that fits. Timeouts are float seconds, None
waits for ever; the GIL is free while a call waits, and Ctrl-C ends a wait of the main thread.

Each call with another peer has two more forms: start_... gives a Pending, for poll loops, and a... is for asyncio, as it is of all
other calls that wait.

The library is the one that the environment variable POTLUCK_LIBRARY names, else libpotluck.so.1 or libpotluck.so beside this
file.
"""

from __future__ import annotations

from .errors import (
    AbiMismatch,
    Ambiguous,
    Canceled,
    Closed,
    Deadlock,
    Denied,
    Forked,
    Full,
    HandlerFailed,
    Internal,
    InvalidArgument,
    InvalidHandle,
    InvalidName,
    LimitReached,
    NameTaken,
    NoReply,
    NoSuchPeer,
    NoSuchResource,
    NotDone,
    OutcomeUnknown,
    Panic,
    PeerClosed,
    PotluckError,
    Refused,
    TimedOut,
    TooLarge,
    UnknownMessage,
    Unreachable,
    Unsupported,
    VersionConflict,
)
from .event import Event, EventKind, EventReader
from .handlers import Handlers
from .mesh import Mesh
from .message import Message
from .peer import Ended, Peer
from .pending import Pending
from .resource import Resource, ResourceInfo
from .snapshot import NodeSnapshot, PeerSnapshot, Snapshot
from .system import NO_LIMIT, DeadLetter, Holder, Mingled, PeerSystem, Running

__version__ = "0.1.0"

__all__ = [
    "NO_LIMIT",
    "AbiMismatch",
    "Ambiguous",
    "Canceled",
    "Closed",
    "DeadLetter",
    "Deadlock",
    "Denied",
    "Ended",
    "Event",
    "EventKind",
    "EventReader",
    "Forked",
    "Full",
    "HandlerFailed",
    "Handlers",
    "Holder",
    "Internal",
    "InvalidArgument",
    "InvalidHandle",
    "InvalidName",
    "LimitReached",
    "Mesh",
    "Message",
    "Mingled",
    "NameTaken",
    "NoReply",
    "NoSuchPeer",
    "NoSuchResource",
    "NodeSnapshot",
    "NotDone",
    "OutcomeUnknown",
    "Panic",
    "Peer",
    "PeerClosed",
    "PeerSnapshot",
    "PeerSystem",
    "Pending",
    "PotluckError",
    "Refused",
    "Resource",
    "ResourceInfo",
    "Running",
    "Snapshot",
    "TimedOut",
    "TooLarge",
    "UnknownMessage",
    "Unreachable",
    "Unsupported",
    "VersionConflict",
]
