"""Resources: named, versioned, immutable bytes."""

from __future__ import annotations

from types import TracebackType
from typing import NamedTuple, Optional

from . import _ffi
from .errors import InvalidHandle, PotluckError

__all__ = ["Resource", "ResourceInfo"]


class ResourceInfo(NamedTuple):
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

    >>> with PeerSystem("kitchen") as kitchen:
    ...     ada = kitchen.spawn("ada")
    ...     version = ada.share("soup", b"tomato")
    ...     soup = ada.get("soup")
    >>> soup.name, soup.origin, soup.version, len(soup), bytes(soup)
    ('soup', 'ada', 1, 6, b'tomato')
    """

    __slots__ = ("__weakref__", "_id", "_info")

    def __init__(self, id: _ffi.ResourceId) -> None:
        # Made by the library's calls only. What there is to know of it is read when it is first wanted.
        self._id: Optional[_ffi.ResourceId] = id
        self._info: Optional[_ffi.ResourceInfo] = None

    def _known(self) -> _ffi.ResourceInfo:
        info = self._info
        if info is None:
            info = self._info = _ffi.resource_info(self._owner())
        return info

    def _owner(self) -> _ffi.ResourceId:
        # Whoever reads the bytes holds this meanwhile, so a release() on another thread is safe.
        id = self._id
        if id is None:
            name = "" if self._info is None else f" {self._info.name!r}"
            raise InvalidHandle(f"the resource{name} was released")
        return id

    @property
    def name(self) -> str:
        """Its name; of the answer to an ask, the kind of the message."""
        return self._known().name

    @property
    def origin(self) -> str:
        """The peer that made this version; of an answer, the replier."""
        return self._known().origin

    @property
    def version(self) -> int:
        """1, 2, ...; 0 for the answer to an ask."""
        return self._known().version

    @property
    def view(self) -> memoryview:
        """A read-only view on the library's own bytes, without a copy, which keeps them for as long as it is used.

        numpy.frombuffer(resource.view, dtype) reads them in place. Raises InvalidHandle after release().
        """
        owner, info = self._owner(), self._known()
        return _ffi.view_of(info.address, info.size, owner)

    def __bytes__(self) -> bytes:
        owner, info = self._owner(), self._known()
        copy = _ffi.copy_of(info.address, info.size)
        del owner
        return copy

    def __len__(self) -> int:
        return self._known().size

    def __bool__(self) -> bool:
        # Empty bytes are a resource, too.
        return True

    def release(self) -> None:
        """Gives the reference back now; name, origin, version and size stay. Views that are still used keep the bytes until they
        are gone. Again: nothing.
        """
        id = self._id
        if id is None:
            return
        if self._info is None:
            try:
                self._info = _ffi.resource_info(id)
            except PotluckError:
                # In a child made by fork nothing can be asked for any more.
                pass
        self._id = None

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
        info = self._known()
        return f"<potluck.Resource {info.name!r} version {info.version} by {info.origin!r}, {info.size} bytes>"
