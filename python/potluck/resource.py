"""Resources: named, versioned, immutable bytes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Optional

from . import _ffi
from .errors import InvalidHandle

__all__ = ["Resource", "ResourceInfo"]


@dataclass(frozen=True)
class ResourceInfo:
    """What a shelf says of a resource, without its bytes."""

    name: str
    origin: str
    """The peer that made this version."""
    version: int
    size: int
    """In bytes."""


class Resource:
    """Immutable bytes with a name, an origin (the peer that made this version) and a version (1, 2, ...).

    bytes(resource) copies them; view does not. A resource outlives its peer and its system and may be used from several
    threads. Its memory is given back when neither it nor a view on it is needed any more; release() ends it earlier.

    The one that on_offer or on_received gets is lent: its bytes can be read until the handler returns, or later if they
    were read before, and they are copied when they are first read.
    """

    __slots__ = ("__weakref__", "_address", "_copy", "_lock", "_owner", "_size", "name", "origin", "version")

    name: str
    """Its name; of the answer to an ask, the kind of the message."""
    origin: str
    """The peer that made this version; of an answer, the replier."""
    version: int
    """1, 2, ...; 0 for the answer to an ask."""

    def __init__(self, id: int, is_lent: bool = False) -> None:
        # Made by the library's calls only. The owner comes first, so that whatever fails after it leaks nothing.
        self._owner = None if is_lent else _ffi.Owner(id, _ffi.resource_release)
        info = _ffi.resource_info(id)
        self.name, self.origin, self.version = info.name, info.origin, info.version
        self._size = info.size
        # Of what is lent: 0 when the handler has returned. The lock keeps a reader on another thread from reading
        # beyond that moment.
        self._address = info.address
        self._copy: Optional[bytes] = None
        self._lock = threading.RLock()

    @property
    def view(self) -> memoryview:
        """A read-only view on the library's own bytes, without a copy. It stays valid however long it is kept.

        Raises InvalidHandle after release(), or if the resource was lent and is over.
        """
        owner = self._owner
        if owner is not None:
            return _ffi.view_of(self._address, self._size, owner)
        with self._lock:
            if self._copy is None:
                if self._address == 0:
                    raise InvalidHandle(f"the resource {self.name!r} was released, or lent to a handler that has returned")
                self._copy = bytes(_ffi.view_of(self._address, self._size, None))
            return memoryview(self._copy)

    def __bytes__(self) -> bytes:
        view = self.view
        copy = self._copy
        return bytes(view) if copy is None else copy

    def __len__(self) -> int:
        return self._size

    def __bool__(self) -> bool:
        # Empty bytes are a resource, too.
        return True

    def release(self) -> None:
        """Gives the reference back now. Views that are still used keep the bytes until they are gone. Again: nothing."""
        with self._lock:
            self._address, self._copy, self._owner = 0, None, None

    def _end_lending(self) -> None:
        with self._lock:
            self._address = 0

    def __enter__(self) -> Resource:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<potluck.Resource {self.name!r} version {self.version} by {self.origin!r}, {self._size} bytes>"
