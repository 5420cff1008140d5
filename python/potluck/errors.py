"""The results that are no success: one class for each status, named after it.

Every class derives from PotluckError and, where one fits, from a built-in exception, so that code which knows
nothing of potluck can handle a TimeoutError or a KeyError. This file imports no other of the package.
"""

from __future__ import annotations

from typing import ClassVar, Optional

__all__ = [
    "AbiMismatch",
    "Ambiguous",
    "Canceled",
    "Closed",
    "Deadlock",
    "Denied",
    "Forked",
    "Full",
    "HandlerFailed",
    "Internal",
    "InvalidArgument",
    "InvalidHandle",
    "InvalidName",
    "LimitReached",
    "NameTaken",
    "NoReply",
    "NoSuchPeer",
    "NoSuchResource",
    "NotDone",
    "OutcomeUnknown",
    "Panic",
    "PeerClosed",
    "PotluckError",
    "Refused",
    "TimedOut",
    "TooLarge",
    "UnknownMessage",
    "Unreachable",
    "Unsupported",
    "VersionConflict",
]


class PotluckError(Exception):
    """A call did not do what it was asked for. str() is one line that says why."""

    status: ClassVar[int] = -1
    """The number of this result in the C API."""
    peer: Optional[str] = None
    """The other peer, as the call named it; of Closed the peer that one acts as; None where neither is known."""

    # Set on what a call of the library raised. A handler that lets such an error through has failed; only an
    # UnknownMessage or Refused that it raised itself is its answer.
    _is_from_call = False

    def __str__(self) -> str:
        # KeyError would show its repr.
        return " ".join(str(argument) for argument in self.args)


class NotDone(PotluckError, TimeoutError):
    """Of a wait for a started call alone: the call goes on."""

    status = 3


# The caller's fault.


class InvalidArgument(PotluckError, ValueError):
    """An argument that cannot be used."""

    status = 10


class InvalidHandle(PotluckError, ValueError):
    """An object that was released, or that a handler was lent and that is over."""

    status = 11


class InvalidName(PotluckError, ValueError):
    """A name that breaks the rules for names."""

    status = 12


class NameTaken(PotluckError, ValueError):
    """A peer of this name is already there."""

    status = 13


class TooLarge(PotluckError, ValueError):
    """Larger than a whole limit: it can never fit."""

    status = 14
    limit: int = 0
    """The limit, in bytes."""
    size: int = 0
    """The size asked for, in bytes."""


class LimitReached(PotluckError, RuntimeError):
    """A limit of the system or of the operating system is reached."""

    status = 15


class Unsupported(PotluckError, NotImplementedError):
    """This build of the library cannot do it."""

    status = 16


class Forked(PotluckError, RuntimeError):
    """The process is a child made by fork, in which no peer runs."""

    status = 17


class AbiMismatch(PotluckError, ImportError):
    """The library is of another ABI than this package."""

    status = 18


# The world's.


class NoSuchPeer(PotluckError, KeyError):
    """Nobody had this name when the call began."""

    status = 30


class NoSuchResource(PotluckError, KeyError):
    """The peer holds no resource of this name; of fetch and mingle: nobody else does."""

    status = 31


class PeerClosed(PotluckError, ConnectionError):
    """The other peer was there and closed before the end of the call."""

    status = 32


class Closed(PotluckError, RuntimeError):
    """The peer, system or reader that one acts as is closed."""

    status = 33


class TimedOut(PotluckError, TimeoutError):
    """The deadline passed: it did not happen and will not."""

    status = 34


class OutcomeUnknown(PotluckError, TimeoutError):
    """The deadline passed after the other peer's handler had begun, or without an answer from its node: it may have happened."""

    status = 35


class Refused(PotluckError, PermissionError):
    """The other peer's handler said no. Raise it, with the reason, in on_request or on_offer."""

    status = 36


class Full(PotluckError):
    """No room in the other peer's mailbox."""

    status = 37


class UnknownMessage(PotluckError, LookupError):
    """The other peer does not know this kind of message. Raise it in on_message to say so."""

    status = 38


class HandlerFailed(PotluckError, RuntimeError):
    """The other peer's handler failed; the text says how."""

    status = 39


class Deadlock(PotluckError, RuntimeError):
    """Waiting would close a ring of handlers that wait for one another; nothing was done."""

    status = 40


class VersionConflict(PotluckError):
    """Another resource is held than the one expected."""

    status = 41
    current: int = 0
    """The version held now; 0 is none."""


class Unreachable(PotluckError, ConnectionError):
    """The peer's node cannot be reached."""

    status = 42


class Denied(PotluckError, PermissionError):
    """The peer's node cannot read the call, or answers none: it has another version of the library, perhaps."""

    status = 43


class Ambiguous(PotluckError, LookupError):
    """Peers of several other nodes have this name; str() names them, as `name@node`."""

    status = 44


class Canceled(PotluckError):
    """The call was given up by whoever made it; of a reply: there is nobody to answer."""

    status = 45


class NoReply(PotluckError):
    """The message was handled, or dropped, without an answer."""

    status = 46


# The library's.


class Internal(PotluckError, RuntimeError):
    """A broken promise inside the library."""

    status = 90


class Panic(PotluckError, RuntimeError):
    """A panic inside the library, caught at its boundary."""

    status = 91


BY_STATUS: dict[int, type[PotluckError]] = {kind.status: kind for kind in PotluckError.__subclasses__() if kind.status >= 10}
"""The class of each failure."""


def _name_as_users_do() -> None:
    """Tracebacks and logs are to say potluck.TimedOut."""
    for kind in (PotluckError, NotDone, *BY_STATUS.values()):
        kind.__module__ = "potluck"


_name_as_users_do()
