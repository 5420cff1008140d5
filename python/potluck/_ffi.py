"""The C API as Python functions: loading, types, structs. The only file that imports ctypes.

Functions here take and give plain Python values, raise the library's errors and know nothing of the classes that users
see. All calls go through CDLL, so the GIL is free while one waits. C's id structs travel as 64-bit integers.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char, c_char_p, c_int32, c_int64, c_size_t, c_ubyte, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from . import errors
from .errors import BY_STATUS, AbiMismatch, InvalidArgument, InvalidName, PotluckError

if TYPE_CHECKING:
    from typing_extensions import Buffer

ABI = 1

OK = 0
DEFERRED = 2
PENDING = 3
STILL_RUNNING = 4
FIRST_FAILURE = 10

NO_LIMIT = 2**64 - 1
_WAIT_FOREVER = -1
_TIMEOUT_MS_MAX = 2**63 - 1
_NAME_SIZE = 256
_ADDRESS_SIZE = 512

# A callback gets user_data as an integer: the key of a table, never a pointer.
_OnMessage = ctypes.CFUNCTYPE(c_int32, c_uint64, c_uint64, c_size_t)
_OnRequest = ctypes.CFUNCTYPE(c_int32, c_uint64, c_char_p, c_char_p, c_size_t)
_OnOffer = ctypes.CFUNCTYPE(c_int32, c_uint64, c_char_p, c_uint64, c_size_t)
_OnReceived = ctypes.CFUNCTYPE(None, c_uint64, c_char_p, c_uint64, c_size_t)
_OnStop = ctypes.CFUNCTYPE(None, c_uint64, c_size_t)
_Drop = ctypes.CFUNCTYPE(None, c_size_t)


class _Error(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("status", c_int32),
        ("reserved", c_uint32),
        ("number", c_uint64),
        ("number2", c_uint64),
        ("text", c_char_p),
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
        ("mesh", c_void_p),
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


def _check(status: int, _function: Any, _arguments: Any) -> int:
    if status >= FIRST_FAILURE:
        raise _last_error(status)
    return status


def _last_error(status: int) -> PotluckError:
    detail = _Error(struct_size=ctypes.sizeof(_Error))
    # A finalizer or signal handler may have run on this thread since the call, and have failed in one of its own.
    if _last_error_detail(byref(detail)) != OK or detail.status != status:
        detail = _Error(status=status, text=_status_str(status))
    error = _error(status, _decode(detail.text))
    if isinstance(error, errors.TooLarge):
        error.limit, error.size = detail.number, detail.number2
    elif isinstance(error, errors.VersionConflict):
        error.current = detail.number
    return error


def _error(status: int, text: str) -> PotluckError:
    error = BY_STATUS.get(status, PotluckError)(text)
    error._is_from_call = True
    return error


_IN = c_char_p
_ID = c_uint64
_OUT_ID = POINTER(c_uint64)

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
_system_mingle = _bind("potluck_system_mingle", _ID, _IN, c_uint64, c_int64, _OUT_ID)
_system_events = _bind("potluck_system_events", _ID, c_size_t, _OUT_ID)
_events_next = _bind("potluck_events_next", _ID, c_int64, POINTER(_Event))
_peer_spawn = _bind("potluck_peer_spawn", _ID, _IN, POINTER(_PeerOptions), _OUT_ID)
_peer_close = _bind("potluck_peer_close", _ID, c_int64)
_peer_share = _bind("potluck_peer_share", _ID, _IN, c_void_p, c_size_t, POINTER(c_uint64))
_peer_unshare = _bind("potluck_peer_unshare", _ID, _IN)
_peer_get = _bind("potluck_peer_get", _ID, _IN, _OUT_ID)
_peer_resources = _bind("potluck_peer_resources", _ID, _OUT_ID)
_peer_request = _bind("potluck_peer_request", _ID, _IN, _IN, c_int64, _OUT_ID)
_peer_fetch = _bind("potluck_peer_fetch", _ID, _IN, c_int64, _OUT_ID)
_peer_offer = _bind("potluck_peer_offer", _ID, _IN, _IN, c_int64)
_peer_exchange = _bind("potluck_peer_exchange", _ID, _IN, _IN, c_int64, _OUT_ID)
_peer_tell = _bind("potluck_peer_tell", _ID, _IN, _IN, c_void_p, c_size_t, c_int64)
_peer_ask = _bind("potluck_peer_ask", _ID, _IN, _IN, c_void_p, c_size_t, c_int64, _OUT_ID)
_peer_receive = _bind("potluck_peer_receive", _ID, c_int64, _OUT_ID)
_resource_info = _bind("potluck_resource_info", _ID, POINTER(_ResourceInfo))
_message_info = _bind("potluck_message_info", _ID, POINTER(_MessageInfo))
_message_reply = _bind("potluck_message_reply", _ID, c_void_p, c_size_t)
_list_items = _bind("potluck_list_items", _ID, POINTER(POINTER(_Item)), POINTER(c_size_t))

# What finalizers call: not checked, because a finalizer has nobody to raise to, and because at the end of the interpreter
# the globals that a check would need may be gone.
resource_release = _bind("potluck_resource_release", _ID, is_checked=False)
message_release = _bind("potluck_message_release", _ID, is_checked=False)
events_close = _bind("potluck_events_close", _ID, is_checked=False)
_list_release = _bind("potluck_list_release", _ID, is_checked=False)
_system_shutdown_raw = ctypes.CFUNCTYPE(c_int32, c_uint64, c_int64, c_void_p)(("potluck_system_shutdown", _lib))

_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = [ctypes.py_object, POINTER(_Buffer), ctypes.c_int]
_get_buffer.restype = ctypes.c_int
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = [POINTER(_Buffer)]
_release_buffer.restype = None


class Owner:
    """Owns one reference of the library's and gives it back when nobody needs this object any more.

    Whoever uses the id holds the owner for as long as the use lasts, so a release beside a running call is safe.
    """

    __slots__ = ("_release", "id")

    def __init__(self, id: int, release: Callable[[int], int]) -> None:
        self.id = id
        self._release = release

    def __del__(self) -> None:
        # One call, which cannot wait. An id is never used twice: one that is over already only answers that it is.
        self._release(self.id)


# In.


def _text(what: str, text: str) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a str, not {type(text).__name__}")
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise InvalidName(f"invalid name {text!a}: {what} is not UTF-8") from None
    if b"\0" in encoded:
        # C would read the part before it, which may be a good name.
        raise InvalidName(f"invalid name {text!a}: it has a control character")
    return encoded


def _timeout_ms(timeout: Optional[float]) -> int:
    if timeout is None:
        return _WAIT_FOREVER
    if math.isnan(timeout) or timeout < 0:
        raise InvalidArgument(f"timeout is {timeout}; it must be 0 or more seconds, or None to wait for ever")
    if math.isinf(timeout):
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


@contextmanager
def _bytes_of(body: Buffer) -> Iterator[tuple[Any, int]]:
    """The address and the number of the bytes of any contiguous buffer, which is held meanwhile; nothing is copied."""
    if type(body) is bytes:
        yield body, len(body)
        return
    buffer = _Buffer()
    # Raises a TypeError for what is no buffer, and a BufferError for one that is not contiguous.
    _get_buffer(body, byref(buffer), 0)
    try:
        yield buffer.buf, buffer.len
    finally:
        _release_buffer(byref(buffer))


# Out.


def _decode(text: Optional[bytes]) -> str:
    # The library's texts are UTF-8; a cut or foreign one must not hide what it says.
    return (text or b"").decode(errors="replace")


class Item(NamedTuple):
    """One item of a list."""

    peer: str
    other: str
    name: str
    version: int
    size: int
    error: Optional[PotluckError]


def _items(list_id: c_uint64) -> list[Item]:
    """The items of a list, which is released."""
    try:
        items, items_len = POINTER(_Item)(), c_size_t()
        _list_items(list_id, byref(items), byref(items_len))
        return [_item(items[at]) for at in range(items_len.value)]
    finally:
        _list_release(list_id)


def _item(item: _Item) -> Item:
    error = _error(item.status, _decode(item.text)) if item.status >= FIRST_FAILURE else None
    return Item(_decode(item.peer), _decode(item.other), _decode(item.name), item.version, item.size, error)


class ResourceInfo(NamedTuple):
    """What the library knows of a resource."""

    name: str
    origin: str
    version: int
    address: int
    size: int


class MessageInfo(NamedTuple):
    """What the library knows of a message. The body is a copy."""

    sender: str
    kind: str
    body: bytes
    is_ask: bool


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


def view_of(address: int, size: int, owner: Optional[Owner]) -> memoryview:
    """A read-only view on the library's own bytes: it holds the array, and the array holds the owner."""
    if size == 0:
        return memoryview(b"")
    array = (c_ubyte * size).from_address(address)
    array._owner = owner  # type: ignore[attr-defined]
    return memoryview(array).cast("B").toreadonly()


# Systems.


def system_open(name: str, close_on_handler_failure: bool, limits: dict[str, Optional[int]]) -> int:
    options = _SystemOptions(
        struct_size=ctypes.sizeof(_SystemOptions),
        close_on_handler_failure=bool(close_on_handler_failure),
        **{what: _limit(what, limit) for what, limit in limits.items()},
    )
    system = c_uint64()
    _system_open(_text("name", name), byref(options), byref(system))
    return system.value


def system_shutdown(system: int, timeout: Optional[float]) -> int:
    return int(_system_shutdown(system, _timeout_ms(timeout), None))


def system_begin_shutdown(system: int, _shutdown: Any = _system_shutdown_raw) -> int:
    """For finalizers: begins the end, waits for nothing, raises nothing. The status."""
    return int(_shutdown(system, 0, None))


def system_peers(system: int) -> list[Item]:
    peers = c_uint64()
    _system_peers(system, byref(peers))
    return _items(peers)


def system_holders(system: int, resource: str) -> list[Item]:
    holders = c_uint64()
    _system_holders(system, _text("resource", resource), byref(holders))
    return _items(holders)


def system_mingle(system: int, resource: str, seed: int, timeout: Optional[float]) -> list[Item]:
    mingled = c_uint64()
    seed = _unsigned("seed", seed, 0)
    _system_mingle(system, _text("resource", resource), seed, _timeout_ms(timeout), byref(mingled))
    return _items(mingled)


def system_events(system: int, capacity: int) -> int:
    events = c_uint64()
    _system_events(system, _unsigned("capacity", capacity, 1), byref(events))
    return events.value


def events_next(events: int, timeout: Optional[float]) -> EventInfo:
    event = _Event(struct_size=ctypes.sizeof(_Event))
    _events_next(events, _timeout_ms(timeout), byref(event))
    names = (_decode(event.peer), _decode(event.other), _decode(event.name))
    return EventInfo(event.kind, *names, event.version, event.size, event.reason, _decode(event.text))


# Peers.


def peer_spawn(
    system: int, name: str, thunks: dict[str, Any], limits: dict[str, Optional[int]], register: Callable[[], int]
) -> int:
    """Spawns a peer with these callbacks. `register` gives their user data, once all that may fail here has not."""
    encoded = _text("name", name)
    options = _PeerOptions(
        struct_size=ctypes.sizeof(_PeerOptions),
        **thunks,
        **{what: _limit(what, limit) for what, limit in limits.items()},
    )
    peer = c_uint64()
    options.user_data = register()
    _peer_spawn(system, encoded, byref(options), byref(peer))
    return peer.value


def peer_close(peer: int, timeout: Optional[float]) -> int:
    return int(_peer_close(peer, _timeout_ms(timeout)))


def peer_share(peer: int, name: str, body: Buffer) -> int:
    version = c_uint64()
    with _bytes_of(body) as (data, data_len):
        _peer_share(peer, _text("name", name), data, data_len, byref(version))
    return version.value


def peer_unshare(peer: int, name: str) -> None:
    _peer_unshare(peer, _text("name", name))


def peer_get(peer: int, name: str) -> int:
    resource = c_uint64()
    _peer_get(peer, _text("name", name), byref(resource))
    return resource.value


def peer_resources(peer: int) -> list[Item]:
    resources = c_uint64()
    _peer_resources(peer, byref(resources))
    return _items(resources)


def peer_request(peer: int, from_peer: str, name: str, timeout: Optional[float]) -> int:
    resource = c_uint64()
    texts = _text("from_peer", from_peer), _text("name", name)
    _peer_request(peer, *texts, _timeout_ms(timeout), byref(resource))
    return resource.value


def peer_fetch(peer: int, name: str, timeout: Optional[float]) -> int:
    resource = c_uint64()
    _peer_fetch(peer, _text("name", name), _timeout_ms(timeout), byref(resource))
    return resource.value


def peer_offer(peer: int, to: str, name: str, timeout: Optional[float]) -> None:
    _peer_offer(peer, _text("to", to), _text("name", name), _timeout_ms(timeout))


def peer_exchange(peer: int, with_peer: str, name: str, timeout: Optional[float]) -> int:
    resource = c_uint64()
    texts = _text("with_peer", with_peer), _text("name", name)
    _peer_exchange(peer, *texts, _timeout_ms(timeout), byref(resource))
    return resource.value


def peer_tell(peer: int, to: str, kind: str, body: Buffer, timeout: Optional[float]) -> None:
    with _bytes_of(body) as (data, data_len):
        _peer_tell(peer, _text("to", to), _text("kind", kind), data, data_len, _timeout_ms(timeout))


def peer_ask(peer: int, to: str, kind: str, body: Buffer, timeout: Optional[float]) -> int:
    reply = c_uint64()
    with _bytes_of(body) as (data, data_len):
        texts = _text("to", to), _text("kind", kind)
        _peer_ask(peer, *texts, data, data_len, _timeout_ms(timeout), byref(reply))
    return reply.value


def peer_receive(peer: int, timeout: Optional[float]) -> int:
    message = c_uint64()
    _peer_receive(peer, _timeout_ms(timeout), byref(message))
    return message.value


# Resources and messages.


def resource_info(resource: int) -> ResourceInfo:
    info = _ResourceInfo(struct_size=ctypes.sizeof(_ResourceInfo))
    _resource_info(resource, byref(info))
    return ResourceInfo(_decode(info.name), _decode(info.origin), info.version, info.data, info.data_len)


def message_info(message: int) -> MessageInfo:
    info = _MessageInfo(struct_size=ctypes.sizeof(_MessageInfo))
    _message_info(message, byref(info))
    body = bytes(view_of(info.data, info.data_len, None))
    return MessageInfo(_decode(info.sender), _decode(info.kind), body, bool(info.is_ask))


def message_reply(message: int, body: Buffer) -> None:
    with _bytes_of(body) as (data, data_len):
        _message_reply(message, data, data_len)


# Callbacks.


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
