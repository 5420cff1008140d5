"""Handlers: the user's callables, called by peers' threads. They are found by a key, which is all that C knows of them.

Here an exception becomes a status. Nothing is raised into C, whatever a handler does.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Optional

from . import _ffi
from .errors import Canceled, HandlerFailed, PotluckError, Refused, UnknownMessage
from .message import Message
from .peer import Peer
from .resource import Resource

if TYPE_CHECKING:
    from typing_extensions import Buffer

OnMessage = Callable[[Peer, Message], "Optional[Buffer]"]
OnRequest = Callable[[Peer, str, str], object]
OnOffer = Callable[[Peer, str, Resource], object]
OnReceived = Callable[[Peer, str, Resource], object]
OnStop = Callable[[Peer], object]

_log = logging.getLogger("potluck")


@dataclass(frozen=True)
class Handlers:
    """The handlers of one peer."""

    peer: str
    on_message: Optional[OnMessage] = None
    on_request: Optional[OnRequest] = None
    on_offer: Optional[OnOffer] = None
    on_received: Optional[OnReceived] = None
    on_stop: Optional[OnStop] = None

    def __post_init__(self) -> None:
        for name in _THUNKS:
            handler = getattr(self, name)
            if handler is not None and not callable(handler):
                raise TypeError(f"{name} must be callable, not {type(handler).__name__}")

    def thunks(self) -> dict[str, Any]:
        """The callbacks that C gets for them."""
        thunks = {name: thunk for name, thunk in _THUNKS.items() if getattr(self, name) is not None}
        # A peer without handlers never comes into Python.
        return {**thunks, "drop": _DROP} if thunks else {}

    def register(self) -> int:
        """Keeps them alive until C drops them, if there are any. From now on that happens exactly once."""
        if not self.thunks():
            return 0
        with _lock:
            key = next(_keys)
            _registered[key] = self
        return key


# Reentrant, because a finalizer that runs while it is held may spawn or close a peer.
_lock = threading.RLock()


def _after_fork() -> None:
    """In a child made by fork: another thread of the parent may have held the lock."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

# 0 would be NULL.
_keys = itertools.count(1)
_registered: dict[int, Handlers] = {}


def _find(key: int) -> Handlers:
    with _lock:
        return _registered[key]


def _on_message(peer_id: int, message_id: int, key: int) -> int:
    handlers = message = None
    try:
        handlers = _find(key)
        message = Message(message_id, is_lent=True)
        assert handlers.on_message is not None
        answer = handlers.on_message(Peer(peer_id, handlers.peer), message)
        if answer is not None:
            _answer(message, answer)
        if message._is_kept:
            return _ffi.PENDING
        message._end_lending()
        return _ffi.OK
    except BaseException as error:
        if message is not None:
            message._end_lending()
        return _failed("on_message", handlers, error, UnknownMessage)


def _answer(message: Message, answer: Buffer) -> None:
    try:
        view = memoryview(answer)
    except TypeError:
        raise TypeError(f"on_message returned a {type(answer).__name__}, which is neither None nor bytes-like") from None
    if message.is_ask:
        try:
            message.reply(view)
        except Canceled:
            # The asker has given up: there is nobody to answer, which is no fault of the handler.
            pass


def _on_request(peer_id: int, sender: bytes, name: bytes, key: int) -> int:
    handlers = None
    try:
        handlers = _find(key)
        assert handlers.on_request is not None
        handlers.on_request(Peer(peer_id, handlers.peer), sender.decode(), name.decode())
        return _ffi.OK
    except BaseException as error:
        return _failed("on_request", handlers, error, Refused)


def _on_offer(peer_id: int, sender: bytes, offered_id: int, key: int) -> int:
    handlers = offered = None
    try:
        handlers = _find(key)
        offered = Resource(offered_id, is_lent=True)
        assert handlers.on_offer is not None
        handlers.on_offer(Peer(peer_id, handlers.peer), sender.decode(), offered)
        return _ffi.OK
    except BaseException as error:
        return _failed("on_offer", handlers, error, Refused)
    finally:
        if offered is not None:
            offered._end_lending()


def _on_received(peer_id: int, sender: bytes, received_id: int, key: int) -> None:
    handlers = received = None
    try:
        handlers = _find(key)
        received = Resource(received_id, is_lent=True)
        assert handlers.on_received is not None
        handlers.on_received(Peer(peer_id, handlers.peer), sender.decode(), received)
    except BaseException as error:
        _failed("on_received", handlers, error)
    finally:
        if received is not None:
            received._end_lending()


def _on_stop(peer_id: int, key: int) -> None:
    handlers = None
    try:
        handlers = _find(key)
        assert handlers.on_stop is not None
        handlers.on_stop(Peer(peer_id, handlers.peer))
    except BaseException as error:
        _failed("on_stop", handlers, error)


def _drop(key: int) -> None:
    with _lock:
        handlers = _registered.pop(key, None)
    # Outside of the lock: what the handlers own may have finalizers of the user's.
    del handlers


def _failed(
    what: str, handlers: Optional[Handlers], error: BaseException, answer: Optional[type[PotluckError]] = None
) -> int:
    """The status of what a handler raised: `answer`, if the handler itself raised that, else a failure with its text."""
    try:
        if answer is not None and isinstance(error, answer) and not error._is_from_call:
            # Without a reason the library gives the status' own name.
            if str(error):
                _ffi.give_text(_one_line(str(error)))
            return error.status
        _ffi.give_text(_describe(error))
        _note(what, handlers, error)
    except BaseException:
        # A __str__ of the user's failed, or a logging handler. The peer still fails by its handler alone.
        pass
    return HandlerFailed.status


def _note(what: str, handlers: Optional[Handlers], error: BaseException) -> None:
    try:
        _log.error("%s of peer %r failed", what, handlers.peer if handlers else "?", exc_info=error)
    except BaseException:
        # As above.
        pass


def _describe(error: BaseException) -> str:
    """As the last line of a traceback, and one line in any case."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    try:
        text = str(error)
    except Exception as second:
        text = f"<its __str__ raised {type(second).__name__}>"
    return _one_line(f"{name}: {text}" if text else name)


def _one_line(text: str) -> str:
    return " ".join(text.split())


# One for each type of callback, for all peers.
_THUNKS = {
    "on_message": _ffi.on_message_thunk(_on_message),
    "on_request": _ffi.on_request_thunk(_on_request),
    "on_offer": _ffi.on_offer_thunk(_on_offer),
    "on_received": _ffi.on_received_thunk(_on_received),
    "on_stop": _ffi.on_stop_thunk(_on_stop),
}
_DROP = _ffi.drop_thunk(_drop)
