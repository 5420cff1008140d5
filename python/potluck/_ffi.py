"""The C API as Python functions: loading, types, structs. The only file that imports ctypes.

Functions here take and give plain Python values, raise the library's errors and know nothing of the classes that users
see. All calls go through CDLL, so the GIL is free while one waits. C's id structs travel as 64-bit integers.

Two things make a call cheap. What is called often is called with ready ctypes objects, by a function without `argtypes`, which
would convert each argument once more; and first at once, at timeout 0: most calls need not wait, and need no timeout then. A
call that has to wait does so in one piece on any thread but the main one, where Python handles signals: that one waits in
slices for a call that was started once, so that Ctrl-C ends the wait and nothing is done twice.
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
import time
from collections.abc import Sequence
from ctypes import (
    POINTER,
    addressof,
    byref,
    c_char,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_ubyte,
    c_uint32,
    c_uint64,
    c_void_p,
    string_at,
)
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, TypeVar, Union

from . import errors
from .errors import BY_STATUS, AbiMismatch, InvalidArgument, InvalidName, PotluckError

if TYPE_CHECKING:
    from typing_extensions import Buffer

ABI = 1

OK = 0
NOT_NEWER = 1
DEFERRED = 2
PENDING = 3
STILL_RUNNING = 4
FIRST_FAILURE = 10
INVALID_HANDLE = 11
CLOSED = 33
TIMED_OUT = 34
FULL = 37

CALL_REQUEST = 1
CALL_FETCH = 2
CALL_OFFER = 3
CALL_EXCHANGE = 4
CALL_TELL = 5
CALL_ASK = 6

NO_LIMIT = 2**64 - 1
_WAIT_FOREVER = -1
_TIMEOUT_MS_MAX = 2**63 - 1
_NAME_SIZE = 256
_ADDRESS_SIZE = 512

# How long the main thread waits in one piece. Ctrl-C is to end a wait within 150 ms.
_SLICE_MS = 100
_SLICE_SECONDS = _SLICE_MS / 1000

# A callback gets user_data as an integer: the key of a table, never a pointer.
_OnMessage = ctypes.CFUNCTYPE(c_int32, c_uint64, c_uint64, c_size_t)
_OnRequest = ctypes.CFUNCTYPE(c_int32, c_uint64, c_char_p, c_char_p, c_size_t)
_OnOffer = ctypes.CFUNCTYPE(c_int32, c_uint64, c_char_p, c_uint64, c_size_t)
_OnReceived = ctypes.CFUNCTYPE(None, c_uint64, c_char_p, c_uint64, c_size_t)
_OnStop = ctypes.CFUNCTYPE(None, c_uint64, c_size_t)
_Drop = ctypes.CFUNCTYPE(None, c_size_t)
_Release = ctypes.CFUNCTYPE(None, c_void_p, c_size_t, c_size_t)


class _Error(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("status", c_int32),
        ("reserved", c_uint32),
        ("number", c_uint64),
        ("number2", c_uint64),
        ("text", c_char_p),
    ]


class MeshOptions(ctypes.Structure):
    """How a system joins others, made by mesh_options."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("node", c_char_p),
        ("listen", POINTER(c_char_p)),
        ("listen_len", c_size_t),
        ("connect", POINTER(c_char_p)),
        ("connect_len", c_size_t),
        ("allow", POINTER(c_char_p)),
        ("allow_len", c_size_t),
        ("tls_ca_file", c_char_p),
        ("tls_cert_file", c_char_p),
        ("tls_key_file", c_char_p),
        ("multicast", c_uint32),
        ("no_gossip", c_uint32),
        ("listen_everywhere_without_tls", c_uint32),
        ("reserved", c_uint32),
        ("lease_ms", c_int64),
    ]


class _SystemOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("peers_max", c_uint64),
        ("mailbox_messages_max", c_uint64),
        ("mailbox_bytes_max", c_uint64),
        ("shelf_bytes_max", c_uint64),
        ("resource_bytes_max", c_uint64),
        ("dead_letters_max", c_uint64),
        ("lazy_threads", c_uint32),
        ("close_on_handler_failure", c_uint32),
        ("drop_timeout_ms", c_int64),
        ("mesh", POINTER(MeshOptions)),
    ]


class _PeerOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("on_message", _OnMessage),
        ("on_request", _OnRequest),
        ("on_offer", _OnOffer),
        ("on_received", _OnReceived),
        ("on_stop", _OnStop),
        ("user_data", c_size_t),
        ("drop", _Drop),
        ("mailbox_messages_max", c_uint64),
        ("mailbox_bytes_max", c_uint64),
        ("shelf_bytes_max", c_uint64),
    ]


class _Call(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("verb", c_uint32),
        ("reserved", c_uint32),
        ("to", c_char_p),
        ("name", c_char_p),
        # As text, so that bytes can be put in as they are.
        ("data", c_char_p),
        ("data_len", c_size_t),
        ("than", c_uint64),
        ("timeout_ms", c_int64),
    ]


class _ResourceInfo(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("name", c_char_p),
        ("origin", c_char_p),
        ("version", c_uint64),
        ("data", c_void_p),
        ("data_len", c_size_t),
    ]


class _MessageInfo(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("sender", c_char_p),
        ("kind", c_char_p),
        ("data", c_void_p),
        ("data_len", c_size_t),
        ("is_ask", c_uint32),
        ("reserved", c_uint32),
    ]


class _Item(ctypes.Structure):
    _fields_ = [
        ("peer", c_char_p),
        ("other", c_char_p),
        ("name", c_char_p),
        ("text", c_char_p),
        ("version", c_uint64),
        ("size", c_uint64),
        ("status", c_int32),
        ("reserved", c_uint32),
        ("reserved2", c_uint64),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("kind", c_uint32),
        ("reason", c_int32),
        ("version", c_uint64),
        ("size", c_uint64),
        ("peer", c_char * _ADDRESS_SIZE),
        ("other", c_char * _ADDRESS_SIZE),
        ("name", c_char * _NAME_SIZE),
        ("text", c_char * _NAME_SIZE),
    ]


class _Buffer(ctypes.Structure):
    """CPython's Py_buffer, which has been part of its stable ABI since 3.11 and looked the same before."""

    _fields_ = [
        ("buf", c_void_p),
        ("obj", c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", c_void_p),
        ("shape", c_void_p),
        ("strides", c_void_p),
        ("suboffsets", c_void_p),
        ("internal", c_void_p),
    ]


def _load() -> ctypes.CDLL:
    """Loads the library that POTLUCK_LIBRARY names, else the one beside this file."""
    folder = Path(__file__).resolve().parent
    named = os.environ.get("POTLUCK_LIBRARY")
    if named:
        try:
            return ctypes.CDLL(named)
        except OSError as error:
            # Another copy than the one that was named would be a surprise, so no other is tried.
            raise ImportError(
                f"POTLUCK_LIBRARY names {named!r}, which cannot be loaded ({error}); "
                f"without it, libpotluck.so.1 or libpotluck.so in {str(folder)!r} is used"
            ) from error
    for name in ("libpotluck.so.1", "libpotluck.so"):
        if (folder / name).exists():
            try:
                return ctypes.CDLL(str(folder / name))
            except OSError as error:
                raise ImportError(f"{str(folder / name)!r} cannot be loaded ({error})") from error
    raise ImportError(
        f"no potluck library: POTLUCK_LIBRARY is not set, and there is no libpotluck.so.1 or libpotluck.so in {str(folder)!r}; "
        "`pip install ./python` in the project's folder installs the package with its library"
    )


_lib = _load()


def _bind(name: str, *argtypes: Any, restype: Any = c_int32, is_checked: bool = True) -> Any:
    """A function of the library with its types; one that is checked raises the library's error."""
    try:
        function = getattr(_lib, name)
    except AttributeError as error:
        raise ImportError(f"{_lib._name!r} has no {name}: it is no potluck library of this version") from error
    function.argtypes = argtypes
    function.restype = restype
    if is_checked:
        function.errcheck = _check
    return function


def _hot(name: str) -> Any:
    """The same function without types: for calls whose arguments are ctypes objects already. The caller looks at the status."""
    return _lib[name]


def _check(status: int, _function: Any, _arguments: Any) -> int:
    if status >= FIRST_FAILURE:
        raise error_of(status)
    return status


def error_of(status: int, acting: Optional[PeerId] = None, other: Optional[str] = None) -> PotluckError:
    """The error of the call that this thread has just made, with the name of the peer that it is about."""
    detail = _Error(struct_size=ctypes.sizeof(_Error))
    # A finalizer or signal handler may have run on this thread since the call, and have failed in one of its own.
    if _last_error_detail(byref(detail)) != OK or detail.status != status:
        detail = _Error(status=status, text=_status_str(status))
    error = _error(status, _decode(detail.text))
    if isinstance(error, errors.TooLarge):
        error.limit, error.size = detail.number, detail.number2
    elif isinstance(error, errors.VersionConflict):
        error.current = detail.number
    error.peer = acting.name if status == CLOSED and acting is not None else other
    return error


def _error(status: int, text: str) -> PotluckError:
    error = BY_STATUS.get(status, PotluckError)(text)
    error._is_from_call = True
    return error


_IN = c_char_p
_ID = c_uint64
_OUT_ID = POINTER(c_uint64)
_OUT_FD = POINTER(c_int)

_check_abi = _bind("potluck_check", c_uint32, POINTER(c_uint32), is_checked=False)
_status_str = _bind("potluck_status_str", c_int32, restype=c_char_p, is_checked=False)
_last_error_detail = _bind("potluck_last_error_detail", POINTER(_Error), is_checked=False)
_set_error = _bind("potluck_set_error", _IN, is_checked=False)

_version = c_uint32()
_is_ours = _check_abi(ABI, byref(_version)) == OK
LIBRARY: str = _lib._name
LIBRARY_VERSION = f"{_version.value >> 16}.{_version.value >> 8 & 255}.{_version.value & 255}"
if not _is_ours:
    raise AbiMismatch(f"{LIBRARY!r} is version {LIBRARY_VERSION}, of another ABI than {ABI}, which this package was written for")

_system_open = _bind("potluck_system_open", _IN, POINTER(_SystemOptions), _OUT_ID)
_system_shutdown = _bind("potluck_system_shutdown", _ID, c_int64, _OUT_ID)
_system_peers = _bind("potluck_system_peers", _ID, _OUT_ID)
_system_holders = _bind("potluck_system_holders", _ID, _IN, _OUT_ID)
_system_wait_for = _bind("potluck_system_wait_for", _ID, _IN, c_int64, is_checked=False)
_system_mingle = _bind("potluck_system_mingle", _ID, _IN, c_uint64, c_int64, _OUT_ID)
_system_dead_letters = _bind("potluck_system_dead_letters", _ID, _OUT_ID)
_system_snapshot = _bind("potluck_system_snapshot", _ID, _OUT_ID)
_system_events = _bind("potluck_system_events", _ID, c_size_t, _OUT_ID)
_events_next = _bind("potluck_events_next", _ID, c_int64, POINTER(_Event), is_checked=False)
_events_fd = _bind("potluck_events_fd", _ID, _OUT_FD)
_events_close = _bind("potluck_events_close", _ID, is_checked=False)
_peer_spawn = _bind("potluck_peer_spawn", _ID, _IN, POINTER(_PeerOptions), _OUT_ID)
_peer_close = _bind("potluck_peer_close", _ID, c_int64, is_checked=False)
_peer_share = _bind("potluck_peer_share", _ID, _IN, c_void_p, c_size_t, _OUT_ID, is_checked=False)
_peer_share_if = _bind("potluck_peer_share_if", _ID, _IN, c_void_p, c_size_t, _ID, _OUT_ID, is_checked=False)
_peer_share_owned = _bind("potluck_peer_share_owned", _ID, _IN, c_void_p, c_size_t, _Release, c_void_p, _OUT_ID, is_checked=False)
_peer_unshare = _bind("potluck_peer_unshare", _ID, _IN, is_checked=False)
_peer_get = _bind("potluck_peer_get", _ID, _IN, _OUT_ID, is_checked=False)
_peer_resources = _bind("potluck_peer_resources", _ID, _OUT_ID, is_checked=False)
_peer_request = _bind("potluck_peer_request", _ID, _IN, _IN, c_int64, _OUT_ID, is_checked=False)
_peer_request_newer = _bind("potluck_peer_request_newer", _ID, _IN, _IN, _ID, c_int64, _OUT_ID, is_checked=False)
_peer_fetch = _bind("potluck_peer_fetch", _ID, _IN, c_int64, _OUT_ID, is_checked=False)
_peer_offer = _bind("potluck_peer_offer", _ID, _IN, _IN, c_int64, is_checked=False)
_peer_exchange = _bind("potluck_peer_exchange", _ID, _IN, _IN, c_int64, _OUT_ID, is_checked=False)
_peer_tell = _bind("potluck_peer_tell", _ID, _IN, _IN, c_void_p, c_size_t, c_int64, is_checked=False)
_peer_ask = _bind("potluck_peer_ask", _ID, _IN, _IN, c_void_p, c_size_t, c_int64, _OUT_ID, is_checked=False)
_peer_fd = _bind("potluck_peer_fd", _ID, _OUT_FD)
_peer_receive = _bind("potluck_peer_receive", _ID, c_int64, _OUT_ID, is_checked=False)
_peer_start = _bind("potluck_peer_start", _ID, POINTER(_Call), _OUT_ID, is_checked=False)
_pending_wait = _bind("potluck_pending_wait", _ID, c_int64, _OUT_ID, is_checked=False)
_pending_fd = _bind("potluck_pending_fd", _ID, _OUT_FD)
_pending_release = _bind("potluck_pending_release", _ID, is_checked=False)
_resource_keep = _bind("potluck_resource_keep", _ID, _OUT_ID)
_resource_info = _bind("potluck_resource_info", _ID, POINTER(_ResourceInfo))
_resource_release = _bind("potluck_resource_release", _ID, is_checked=False)
_message_info = _bind("potluck_message_info", _ID, POINTER(_MessageInfo), is_checked=False)
_message_reply = _bind("potluck_message_reply", _ID, c_void_p, c_size_t)
_message_release = _bind("potluck_message_release", _ID, is_checked=False)
_list_items = _bind("potluck_list_items", _ID, POINTER(POINTER(_Item)), POINTER(c_size_t))
_list_release = _bind("potluck_list_release", _ID, is_checked=False)

NOT_BOUND = {
    "potluck_last_error": "potluck_last_error_detail gives the same text, with the numbers",
    "potluck_resource_data": "potluck_resource_info gives the same, with the name",
}
"""What of the C API the package has no use for, and why."""

_hot_share = _hot("potluck_peer_share")
_hot_get = _hot("potluck_peer_get")
_hot_request = _hot("potluck_peer_request")
_hot_request_newer = _hot("potluck_peer_request_newer")
_hot_offer = _hot("potluck_peer_offer")
_hot_exchange = _hot("potluck_peer_exchange")
_hot_tell = _hot("potluck_peer_tell")
_hot_ask = _hot("potluck_peer_ask")
_hot_receive = _hot("potluck_peer_receive")
_hot_start = _hot("potluck_peer_start")
_hot_wait = _hot("potluck_pending_wait")
_hot_resource_info = _hot("potluck_resource_info")
_hot_message_info = _hot("potluck_message_info")
_hot_reply = _hot("potluck_message_reply")

_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = [ctypes.py_object, POINTER(_Buffer), ctypes.c_int]
_get_buffer.restype = ctypes.c_int
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = [POINTER(_Buffer)]
_release_buffer.restype = None


# What finalizers call. They get it as a default, because globals may be gone at the end.
_release_resource = _hot("potluck_resource_release")
_release_message = _hot("potluck_message_release")
_release_pending = _hot("potluck_pending_release")
_close_events = _hot("potluck_events_close")
_begin_shutdown = _hot("potluck_system_shutdown")

# Ids. One that owns a reference is C's out-parameter and its owner in one object, so that nothing can come between the call
# and the owner; its finalizer gives the reference back, by one call that cannot wait. (An id is never used twice: one that is
# over already only answers that it is.) Finalizers get what they call as a default, because globals may be gone at the end.


class SystemId(c_uint64):
    """The id of a system, which is a name."""

    __slots__ = ()


class PeerId(c_uint64):
    """The id of a peer, which is a name, with what the peer is called."""

    __slots__ = ("name",)
    name: str


class ResourceId(c_uint64):
    """Owns one reference to a resource. Whoever reads its bytes holds it meanwhile."""

    __slots__ = ()

    def __del__(self, _release: Any = _release_resource) -> None:
        if self:
            _release(self)


class MessageId(c_uint64):
    """Owns one reference to a message."""

    __slots__ = ()

    def __del__(self, _release: Any = _release_message) -> None:
        if self:
            _release(self)


class LentMessageId(c_uint64):
    """The id of a message that is the library's until the handler returns."""

    __slots__ = ()


class EventsId(c_uint64):
    """The id of an event reader, which ends with it."""

    __slots__ = ()

    def __del__(self, _close: Any = _close_events) -> None:
        if self:
            _close(self)


class PendingId(c_uint64):
    """Owns a call that was started: it is given up if it is not done by then."""

    __slots__ = ()

    def __del__(self, _release: Any = _release_pending) -> None:
        if self:
            _release(self)


class Descriptor:
    """A descriptor of the library's making, closed with this object."""

    __slots__ = ("number",)

    def __init__(self, function: Any, id: c_uint64) -> None:
        self.number = -1
        descriptor = c_int(-1)
        function(id, byref(descriptor))
        self.number = descriptor.value

    def close(self, _close: Callable[[int], None] = os.close) -> None:
        number, self.number = self.number, -1
        if number >= 0:
            _close(number)

    __del__ = close


# Held while an object makes its descriptor, so that it makes one. Reentrant for finalizers.
descriptors = threading.RLock()


def events_descriptor(events: EventsId) -> Descriptor:
    return Descriptor(_events_fd, events)


def peer_descriptor(peer: PeerId) -> Descriptor:
    return Descriptor(_peer_fd, peer)


def pending_descriptor(pending: PendingId) -> Descriptor:
    return Descriptor(_pending_fd, pending)


# In.

# Names, texts, array types that were used lately are kept ready, so many of each and no more.
_KEPT_MAX = 1024


class _Names(dict[str, bytes]):
    """Names and kinds as C wants them. Looking one up checks what C itself could not."""

    def __missing__(self, name: str) -> bytes:
        if not isinstance(name, str):
            raise TypeError(f"a name must be a str, not {type(name).__name__}")
        try:
            encoded = name.encode()
        except UnicodeEncodeError:
            raise InvalidName(f"invalid name {name!a}: it is not UTF-8") from None
        if b"\0" in encoded:
            # C would read the part before it, which may be a good name.
            raise InvalidName(f"invalid name {name!a}: it has a control character")
        if type(name) is str and len(encoded) < _NAME_SIZE:
            if len(self) >= _KEPT_MAX:
                self.clear()
            self[name] = encoded
        return encoded


_names = _Names()


class _Sizes(dict[int, c_size_t]):
    """Numbers of bytes as C wants them."""

    def __missing__(self, size: int) -> c_size_t:
        if len(self) >= _KEPT_MAX:
            self.clear()
        made = self[size] = c_size_t(size)
        return made


_sizes = _Sizes()

_AT_ONCE = c_int64(0)


def check_timeout(timeout: Optional[float]) -> None:
    # Written so that it catches what is not a number, too.
    if timeout is not None and not timeout >= 0:
        raise InvalidArgument(f"timeout is {timeout}; it must be 0 or more seconds, or None to wait for ever")


def _timeout_ms(timeout: Optional[float]) -> int:
    check_timeout(timeout)
    if timeout is None or math.isinf(timeout):
        return _WAIT_FOREVER
    # Rounded up: a short wait must not become none.
    return min(math.ceil(timeout * 1000), _TIMEOUT_MS_MAX)


def _limit(what: str, limit: Optional[int]) -> int:
    if limit is None:
        return 0
    # C reads a 0 as the default, which nobody who writes 0 means.
    return _unsigned(what, limit, 1)


def _unsigned(what: str, number: int, least: int) -> int:
    if not isinstance(number, int):
        raise TypeError(f"{what} must be an int, not {type(number).__name__}")
    if not least <= number < 2**64:
        raise InvalidArgument(f"{what} is {number}; it must be at least {least} and below 2**64")
    return number


class _Borrowed:
    """The bytes of any contiguous buffer, whose export is held until the end of the block; nothing is copied."""

    __slots__ = ("_buffer",)

    def __init__(self, body: Buffer) -> None:
        self._buffer = _Buffer()
        # Raises a TypeError for what is no buffer, and a BufferError for one that is not contiguous.
        _get_buffer(body, byref(self._buffer), 0)

    def __enter__(self) -> tuple[Any, int]:
        # Empty ones may have no address.
        return c_void_p(self._buffer.buf), self._buffer.len

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        _release_buffer(byref(self._buffer))


# Buffers that the library reads in place, by the key that it knows them by. It lets go of each exactly once.
_adopted: dict[int, _Buffer] = {}


def _let_go(_data: int, _data_len: int, key: int) -> None:
    try:
        buffer = _adopted.pop(key)
        _release_buffer(byref(buffer))
    except BaseException:
        # The exporter's own code has failed. There is nobody to tell.
        pass


# Out.


class _Texts(dict[bytes, str]):
    """What C calls things, as Python wants it."""

    def __missing__(self, text: bytes) -> str:
        decoded = text.decode(errors="replace")
        if len(text) < _NAME_SIZE:
            if len(self) >= _KEPT_MAX:
                self.clear()
            self[text] = decoded
        return decoded


_texts = _Texts()


def _decode(text: Optional[bytes]) -> str:
    # The library's texts are UTF-8; a cut or foreign one must not hide what it says.
    return (text or b"").decode(errors="replace")


class Item(NamedTuple):
    """One item of a list."""

    peer: str
    other: str
    name: str
    text: str
    version: int
    size: int
    status: int
    error: Optional[PotluckError]


def _items(list_id: c_uint64) -> list[Item]:
    """The items of a list, which is released."""
    if not list_id:
        return []
    try:
        items, items_len = POINTER(_Item)(), c_size_t()
        _list_items(list_id, byref(items), byref(items_len))
        return [_item(items[at]) for at in range(items_len.value)]
    finally:
        _list_release(list_id)


def _item(item: _Item) -> Item:
    text, status = _decode(item.text), item.status
    error = _error(status, text) if status >= FIRST_FAILURE else None
    names = (_texts[item.peer], _texts[item.other], _texts[item.name])
    return Item(*names, text, item.version, item.size, status, error)


class ResourceInfo(NamedTuple):
    """What the library knows of a resource."""

    name: str
    origin: str
    version: int
    address: int
    size: int


class EventInfo(NamedTuple):
    """An event as the library gives it."""

    kind: int
    peer: str
    other: str
    name: str
    version: int
    size: int
    reason: int
    text: str


class _ArrayTypes(dict[int, Any]):
    """Array types by their sizes: making one takes longer than all else that a view needs."""

    def __missing__(self, size: int) -> Any:
        if len(self) >= _KEPT_MAX:
            self.clear()
        made = self[size] = c_ubyte * size
        return made


_array_types = _ArrayTypes()


def view_of(address: int, size: int, owner: ResourceId) -> memoryview:
    """A read-only view on the library's own bytes: it holds the array, and the array holds the owner."""
    if size == 0:
        return memoryview(b"")
    array = _array_types[size].from_address(address)
    array._owner = owner
    return memoryview(array).cast("B").toreadonly()


def copy_of(address: int, size: int) -> bytes:
    """A copy of bytes, whose owner the caller holds."""
    return string_at(address, size)


# Waiting.

_get_ident = threading.get_ident
_main_ident = threading.main_thread().ident


def after_fork() -> None:
    """In a child made by fork, whose main thread is the one that forked."""
    global _main_ident, descriptors
    _main_ident = threading.main_thread().ident
    # Another thread of the parent may have held it.
    descriptors = threading.RLock()


def is_main() -> bool:
    """Whether this is the thread on which Python handles signals."""
    return _get_ident() == _main_ident


def _repeat(call: Callable[[int], int], not_yet: int, timeout: Optional[float]) -> int:
    """A call that may be repeated until its answer is another than `not_yet`: in one piece, or in slices on the main thread."""
    timeout_ms = _timeout_ms(timeout)
    if 0 <= timeout_ms <= _SLICE_MS or not is_main():
        return call(timeout_ms)
    deadline = math.inf if timeout_ms == _WAIT_FOREVER else time.monotonic() + timeout_ms / 1000
    while True:
        left = deadline - time.monotonic()
        status = call(_SLICE_MS if left > _SLICE_SECONDS else max(0, math.ceil(left * 1000)))
        if status != not_yet or left <= _SLICE_SECONDS:
            return status


_Result = TypeVar("_Result")


def aside(call: Callable[[], _Result]) -> _Result:
    """A call that can be neither repeated nor started: on the main thread, a thread is made for it, and waited for.

    Ctrl-C ends the wait; the call goes on to its own end.
    """
    if not is_main():
        return call()
    from threading import Event, Thread

    results: list[_Result] = []
    failures: list[BaseException] = []
    done = Event()

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()

    try:
        Thread(target=run, name="potluck:waits", daemon=True).start()
    except RuntimeError:
        # No thread can be made, perhaps because the interpreter ends.
        return call()
    done.wait()
    if failures:
        try:
            raise failures[0]
        finally:
            # The error holds this frame by its traceback.
            failures.clear()
    return results[0]


def peer_start(
    peer: PeerId,
    verb: int,
    to: Optional[str],
    name: str,
    body: Optional[Buffer] = None,
    timeout: Optional[float] = None,
    than: Optional[ResourceId] = None,
) -> PendingId:
    """Starts a call; the id owns it."""
    if body is not None and type(body) is not bytes:
        with _Borrowed(body) as (data, size):
            return _start(peer, verb, to, name, data, size, timeout, than)
    return _start(peer, verb, to, name, body, len(body) if body is not None else 0, timeout, than)


def _start(
    peer: PeerId,
    verb: int,
    to: Optional[str],
    name: str,
    data: Any,
    size: int,
    timeout: Optional[float],
    than: Optional[ResourceId],
) -> PendingId:
    if type(data) is c_void_p:
        data = ctypes.cast(data, c_char_p)
    other = None if to is None else _names[to]
    older = 0 if than is None else than.value
    call = _Call(_CALL_SIZE, verb, 0, other, _names[name], data, size, older, _timeout_ms(timeout))
    pending = PendingId()
    status = _hot_start(peer, byref(call), byref(pending))
    if status >= FIRST_FAILURE:
        raise error_of(status, peer, to)
    return pending


_CALL_SIZE = ctypes.sizeof(_Call)


def pending_wait(
    pending: PendingId, timeout: Optional[float], peer: Optional[PeerId], to: Optional[str]
) -> Optional[tuple[int, ResourceId]]:
    """The status of a call that is done, and the id of its resource, 0 if it has none; None if it is not done yet."""
    result = ResourceId()
    status = _repeat(lambda timeout_ms: int(_hot_wait(pending, c_int64(timeout_ms), byref(result))), PENDING, timeout)
    if status >= FIRST_FAILURE:
        raise error_of(status, peer, to)
    return None if status == PENDING else (status, result)


def pending_release(pending: PendingId) -> None:
    _pending_release(pending)


def _finish(pending: PendingId, peer: PeerId, to: Optional[str]) -> tuple[int, ResourceId]:
    """Waits in slices for a call that was started, which ends by itself at its deadline."""
    result = ResourceId()
    while True:
        status = _hot_wait(pending, _SLICE, byref(result))
        if status != PENDING:
            break
    if status >= FIRST_FAILURE:
        raise error_of(status, peer, to)
    return status, result


_SLICE = c_int64(_SLICE_MS)


# Systems.


def mesh_options(
    node: Optional[str],
    lists: dict[str, Sequence[str]],
    tls: Optional[Sequence[Union[str, os.PathLike[str]]]],
    flags: dict[str, bool],
    lease: float,
) -> MeshOptions:
    # Written so that it catches what is not a number, too. C reads a 0 as the default, which nobody who writes 0 means.
    if not 0 < lease < math.inf:
        raise InvalidArgument(f"lease is {lease}; it must be more than 0 seconds")
    options = MeshOptions(
        struct_size=ctypes.sizeof(MeshOptions),
        node=None if node is None else _names[node],
        lease_ms=min(math.ceil(lease * 1000), _TIMEOUT_MS_MAX),
        **{what: bool(flag) for what, flag in flags.items()},
    )
    for what, texts in lists.items():
        if isinstance(texts, str):
            # It would be taken letter by letter.
            raise TypeError(f"{what} must be a list of str, not a str")
        encoded = [_text(what, text) for text in texts]
        # The struct holds the array, and that its texts.
        setattr(options, what, (c_char_p * len(encoded))(*encoded))
        setattr(options, f"{what}_len", len(encoded))
    if tls is not None:
        if isinstance(tls, (str, bytes)) or len(tls) != 3:
            raise InvalidArgument("tls must be three files: of the authority, of the certificate, of its key")
        ca, certificate, key = (_text("tls", os.fspath(file)) for file in tls)
        options.tls_ca_file, options.tls_cert_file, options.tls_key_file = ca, certificate, key
    return options


def _text(what: str, text: str) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"{what} must be of str, not {type(text).__name__}")
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"{what}: {text!a} is not UTF-8") from None
    if b"\0" in encoded:
        # C would read the part before it.
        raise InvalidArgument(f"{what}: {text!a} has a NUL")
    return encoded


def system_open(
    name: str, flags: dict[str, bool], limits: dict[str, Optional[int]], mesh: Optional[MeshOptions] = None
) -> SystemId:
    options = _SystemOptions(
        struct_size=ctypes.sizeof(_SystemOptions),
        **{what: bool(flag) for what, flag in flags.items()},
        **{what: _limit(what, limit) for what, limit in limits.items()},
        mesh=None if mesh is None else ctypes.pointer(mesh),
    )
    system = SystemId()
    _system_open(_names[name], byref(options), byref(system))
    return system


def system_of(number: int) -> SystemId:
    return SystemId(_unsigned("id", number, 0))


def system_shutdown(system: SystemId, timeout: Optional[float]) -> tuple[int, list[Item]]:
    report = c_uint64()
    status = _system_shutdown(system, _timeout_ms(timeout), byref(report))
    return status, _items(report)


def system_begin_shutdown(system: SystemId, _shutdown: Any = _begin_shutdown, _now: Any = _AT_ONCE) -> int:
    """For finalizers: begins the end, waits for nothing, raises nothing. The status."""
    return int(_shutdown(system, _now, None))


def system_peers(system: SystemId) -> list[Item]:
    peers = c_uint64()
    _system_peers(system, byref(peers))
    return _items(peers)


def system_holders(system: SystemId, resource: str) -> list[Item]:
    holders = c_uint64()
    _system_holders(system, _names[resource], byref(holders))
    return _items(holders)


def system_wait_for(system: SystemId, peer: str, timeout: Optional[float]) -> None:
    name = _names[peer]
    status = _repeat(lambda timeout_ms: int(_system_wait_for(system, name, timeout_ms)), TIMED_OUT, timeout)
    if status:
        raise error_of(status, None, peer)


def system_mingle(system: SystemId, resource: str, seed: int, timeout: Optional[float]) -> list[Item]:
    mingled = c_uint64()
    seed = _unsigned("seed", seed, 0)
    _system_mingle(system, _names[resource], seed, _timeout_ms(timeout), byref(mingled))
    return _items(mingled)


def system_dead_letters(system: SystemId) -> list[Item]:
    letters = c_uint64()
    _system_dead_letters(system, byref(letters))
    return _items(letters)


def system_snapshot(system: SystemId) -> bytes:
    json = ResourceId()
    _system_snapshot(system, byref(json))
    info = resource_info(json)
    return copy_of(info.address, info.size)


def system_events(system: SystemId, capacity: int) -> EventsId:
    events = EventsId()
    _system_events(system, _unsigned("capacity", capacity, 1), byref(events))
    return events


def events_next(events: EventsId, timeout: Optional[float]) -> EventInfo:
    event = _Event(struct_size=ctypes.sizeof(_Event))
    status = _repeat(lambda timeout_ms: int(_events_next(events, timeout_ms, byref(event))), TIMED_OUT, timeout)
    if status:
        raise error_of(status)
    names = (_texts[event.peer], _texts[event.other], _texts[event.name])
    return EventInfo(event.kind, *names, event.version, event.size, event.reason, _decode(event.text))


def events_close(events: EventsId) -> None:
    _events_close(events)


# Peers.


def peer_of(number: int, name: str) -> PeerId:
    peer = PeerId(number)
    peer.name = name
    return peer


def peer_spawn(
    system: SystemId, name: str, thunks: dict[str, Any], limits: dict[str, Optional[int]], register: Callable[[], int]
) -> PeerId:
    """Spawns a peer with these callbacks. `register` gives their user data, once all that may fail here has not."""
    encoded = _names[name]
    options = _PeerOptions(
        struct_size=ctypes.sizeof(_PeerOptions),
        **thunks,
        **{what: _limit(what, limit) for what, limit in limits.items()},
    )
    peer = PeerId()
    peer.name = name
    options.user_data = register()
    _peer_spawn(system, encoded, byref(options), byref(peer))
    return peer


def peer_close(peer: PeerId, timeout: Optional[float]) -> int:
    status = _repeat(lambda timeout_ms: int(_peer_close(peer, timeout_ms)), STILL_RUNNING, timeout)
    if status >= FIRST_FAILURE:
        raise error_of(status, peer)
    return status


def peer_share(peer: PeerId, name: str, body: Buffer) -> int:
    if type(body) is bytes:
        return _share(peer, name, body, len(body))
    with _Borrowed(body) as (data, size):
        return _share(peer, name, data, size)


def _share(peer: PeerId, name: str, data: Any, size: int) -> int:
    version = c_uint64()
    status = _hot_share(peer, _names[name], data, _sizes[size], byref(version))
    if status:
        raise error_of(status, peer)
    return version.value


def peer_share_if(peer: PeerId, name: str, body: Buffer, expected: Optional[ResourceId]) -> int:
    version = c_uint64()
    with _Borrowed(body) as (data, size):
        status = _peer_share_if(peer, _names[name], data, size, expected or 0, byref(version))
    if status:
        raise error_of(status, peer)
    return version.value


def peer_share_owned(peer: PeerId, name: str, body: Buffer) -> int:
    """Shares the very bytes of a buffer: its export is held until the library lets them go."""
    encoded, version, buffer = _names[name], c_uint64(), _Buffer()
    _get_buffer(body, byref(buffer), 0)
    # Where the struct is kept is a number that no other has for as long as it is kept.
    key = addressof(buffer)
    _adopted[key] = buffer
    status = _peer_share_owned(peer, encoded, buffer.buf, buffer.len, _LET_GO, key, byref(version))
    if status:
        raise error_of(status, peer)
    return version.value


def peer_unshare(peer: PeerId, name: str) -> None:
    status = _peer_unshare(peer, _names[name])
    if status:
        raise error_of(status, peer)


def peer_get(peer: PeerId, name: str) -> ResourceId:
    resource = ResourceId()
    status = _hot_get(peer, _names[name], byref(resource))
    if status:
        raise error_of(status, peer, peer.name)
    return resource


def peer_resources(peer: PeerId) -> list[Item]:
    resources = c_uint64()
    status = _peer_resources(peer, byref(resources))
    if status:
        raise error_of(status, peer)
    return _items(resources)


def peer_request(peer: PeerId, from_peer: str, name: str, timeout: Optional[float]) -> ResourceId:
    if timeout is not None and not timeout >= 0:
        check_timeout(timeout)
    resource = ResourceId()
    status = _hot_request(peer, _names[from_peer], _names[name], _AT_ONCE, byref(resource))
    if status == TIMED_OUT and timeout != 0:
        if is_main():
            return _finish(peer_start(peer, CALL_REQUEST, from_peer, name, None, timeout), peer, from_peer)[1]
        status = _hot_request(peer, _names[from_peer], _names[name], c_int64(_timeout_ms(timeout)), byref(resource))
    if status:
        raise error_of(status, peer, from_peer)
    return resource


def peer_request_newer(
    peer: PeerId, from_peer: str, name: str, than: Optional[ResourceId], timeout: Optional[float]
) -> Optional[ResourceId]:
    check_timeout(timeout)
    resource = ResourceId()
    # An id of 0 is none.
    older = than if than is not None else resource
    status = _hot_request_newer(peer, _names[from_peer], _names[name], older, _AT_ONCE, byref(resource))
    if status == TIMED_OUT and timeout != 0:
        if is_main():
            status, resource = _finish(peer_start(peer, CALL_REQUEST, from_peer, name, None, timeout, than), peer, from_peer)
            return resource if status == OK else None
        timeout_ms = c_int64(_timeout_ms(timeout))
        status = _hot_request_newer(peer, _names[from_peer], _names[name], older, timeout_ms, byref(resource))
    if status >= FIRST_FAILURE:
        raise error_of(status, peer, from_peer)
    return resource if status == OK else None


def peer_fetch(peer: PeerId, name: str, timeout: Optional[float]) -> ResourceId:
    # Not first at once, which would prefer holders that need not be waited for.
    timeout_ms = _timeout_ms(timeout)
    if timeout_ms and is_main():
        return _finish(peer_start(peer, CALL_FETCH, None, name, None, timeout), peer, None)[1]
    resource = ResourceId()
    status = _peer_fetch(peer, _names[name], timeout_ms, byref(resource))
    if status:
        raise error_of(status, peer)
    return resource


def peer_offer(peer: PeerId, to: str, name: str, timeout: Optional[float]) -> None:
    check_timeout(timeout)
    status = _hot_offer(peer, _names[to], _names[name], _AT_ONCE)
    if status == TIMED_OUT and timeout != 0:
        if is_main():
            _finish(peer_start(peer, CALL_OFFER, to, name, None, timeout), peer, to)
            return
        status = _hot_offer(peer, _names[to], _names[name], c_int64(_timeout_ms(timeout)))
    if status:
        raise error_of(status, peer, to)


def peer_exchange(peer: PeerId, with_peer: str, name: str, timeout: Optional[float]) -> ResourceId:
    check_timeout(timeout)
    resource = ResourceId()
    status = _hot_exchange(peer, _names[with_peer], _names[name], _AT_ONCE, byref(resource))
    if status == TIMED_OUT and timeout != 0:
        if is_main():
            return _finish(peer_start(peer, CALL_EXCHANGE, with_peer, name, None, timeout), peer, with_peer)[1]
        timeout_ms = c_int64(_timeout_ms(timeout))
        status = _hot_exchange(peer, _names[with_peer], _names[name], timeout_ms, byref(resource))
    if status:
        raise error_of(status, peer, with_peer)
    return resource


def peer_tell(peer: PeerId, to: str, kind: str, body: Buffer, timeout: Optional[float]) -> None:
    if timeout is not None and not timeout >= 0:
        check_timeout(timeout)
    if type(body) is not bytes:
        with _Borrowed(body) as (data, size):
            _tell(peer, to, kind, data, size, timeout)
        return
    # As _tell, which everybody else needs.
    status = _hot_tell(peer, _names[to], _names[kind], body, _sizes[len(body)], _AT_ONCE)
    if status:
        _tell_again(peer, to, kind, body, len(body), timeout, status)


def _tell(peer: PeerId, to: str, kind: str, data: Any, size: int, timeout: Optional[float]) -> None:
    status = _hot_tell(peer, _names[to], _names[kind], data, _sizes[size], _AT_ONCE)
    if status:
        _tell_again(peer, to, kind, data, size, timeout, status)


def _tell_again(peer: PeerId, to: str, kind: str, data: Any, size: int, timeout: Optional[float], status: int) -> None:
    """A tell that was not sent at once: waits for room, if that is what it needs."""
    # Where there is a mesh, to send at once is too short for a peer of another node.
    if status in (FULL, TIMED_OUT) and timeout != 0:
        if is_main():
            _finish(_start(peer, CALL_TELL, to, kind, data, size, timeout, None), peer, to)
            return
        status = _hot_tell(peer, _names[to], _names[kind], data, _sizes[size], c_int64(_timeout_ms(timeout)))
    if status:
        raise error_of(status, peer, to)


def peer_ask(peer: PeerId, to: str, kind: str, body: Buffer, timeout: Optional[float]) -> ResourceId:
    if type(body) is bytes:
        return _ask(peer, to, kind, body, len(body), timeout)
    with _Borrowed(body) as (data, size):
        return _ask(peer, to, kind, data, size, timeout)


def _ask(peer: PeerId, to: str, kind: str, data: Any, size: int, timeout: Optional[float]) -> ResourceId:
    # An ask always waits.
    timeout_ms = _timeout_ms(timeout)
    if timeout_ms and is_main():
        return _finish(_start(peer, CALL_ASK, to, kind, data, size, timeout, None), peer, to)[1]
    reply = ResourceId()
    status = _hot_ask(peer, _names[to], _names[kind], data, _sizes[size], c_int64(timeout_ms), byref(reply))
    if status:
        raise error_of(status, peer, to)
    return reply


def peer_receive(peer: PeerId, timeout: Optional[float]) -> MessageId:
    check_timeout(timeout)
    message = MessageId()
    status = _hot_receive(peer, _AT_ONCE, byref(message))
    if status == TIMED_OUT and timeout != 0:
        status = _repeat(lambda timeout_ms: int(_hot_receive(peer, c_int64(timeout_ms), byref(message))), TIMED_OUT, timeout)
    if status:
        raise error_of(status, peer)
    return message


# Resources and messages.


def resource_keep(resource: int) -> ResourceId:
    """Another reference to what a handler is lent."""
    kept = ResourceId()
    _resource_keep(resource, byref(kept))
    return kept


def resource_info(resource: ResourceId) -> ResourceInfo:
    info = _ResourceInfo(_RESOURCE_INFO_SIZE)
    status = _hot_resource_info(resource, byref(info))
    if status:
        raise error_of(status)
    return ResourceInfo(_texts[info.name], _texts[info.origin], info.version, info.data, info.data_len)


_RESOURCE_INFO_SIZE = ctypes.sizeof(_ResourceInfo)


def message_info(message: c_uint64) -> tuple[str, str, bytes, bool]:
    """Sender, kind, a copy of the body, and whether somebody asks."""
    info = _MessageInfo(_MESSAGE_INFO_SIZE)
    status = _hot_message_info(message, byref(info))
    if status:
        raise error_of(status)
    size = info.data_len
    body = string_at(info.data, size) if size else b""
    return _texts[info.sender], _texts[info.kind], body, info.is_ask != 0


_MESSAGE_INFO_SIZE = ctypes.sizeof(_MessageInfo)


def message_reply(message: c_uint64, body: Buffer) -> None:
    if type(body) is bytes:
        status = _hot_reply(message, body, _sizes[len(body)])
    else:
        with _Borrowed(body) as (data, size):
            status = _hot_reply(message, data, _sizes[size])
    if status:
        raise error_of(status)


# Callbacks.

_ensure_thread = ctypes.pythonapi.PyGILState_Ensure
_ensure_thread.argtypes = []
_ensure_thread.restype = ctypes.c_int
_release_thread = ctypes.pythonapi.PyGILState_Release
_release_thread.argtypes = [ctypes.c_int]
_release_thread.restype = None


def keep_thread() -> int:
    """In a callback: lets what Python knows of this thread outlive the callback. Gives the thread's number.

    Otherwise the interpreter would make all of it anew for the next one, which takes longer than most handlers; and what a
    handler keeps in threading.local would be gone.
    """
    # Counts one up beside the callback's own.
    _ensure_thread()
    return _get_ident()


def forget_thread(thread: Optional[int]) -> None:
    """In the last callback of a thread: undoes keep_thread, if that was done on this one."""
    if thread == _get_ident():
        # As one that found the GIL held, and so leaves it: the callback itself goes on.
        _release_thread(0)


def give_text(text: str) -> None:
    """In a callback: the text of the refusal or failure that it is about to return."""
    _set_error(text.encode(errors="backslashreplace").replace(b"\0", b" "))


def _thunk(prototype: Any, function: Callable[..., Any]) -> Any:
    """A C function that calls a Python one, and that is never freed.

    A thread of the library may call it at any time until the process is gone, also when the interpreter takes its modules
    apart; the reference that is added here is never given back.
    """
    thunk = prototype(function)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thunk))
    return thunk


_LET_GO = _thunk(_Release, _let_go)


def on_message_thunk(function: Callable[[int, int, int], int]) -> Any:
    return _thunk(_OnMessage, function)


def on_request_thunk(function: Callable[[int, bytes, bytes, int], int]) -> Any:
    return _thunk(_OnRequest, function)


def on_offer_thunk(function: Callable[[int, bytes, int, int], int]) -> Any:
    return _thunk(_OnOffer, function)


def on_received_thunk(function: Callable[[int, bytes, int, int], None]) -> Any:
    return _thunk(_OnReceived, function)


def on_stop_thunk(function: Callable[[int, int], None]) -> Any:
    return _thunk(_OnStop, function)


def drop_thunk(function: Callable[[int], None]) -> Any:
    return _thunk(_Drop, function)
