"""The handlers that C may call: the user's callables, called by peers' threads. They are found by a key, which is all that C
knows of them.

Here an exception becomes a status. Nothing is raised into C, whatever a handler does.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Optional

from . import _ffi
from .errors import Canceled, HandlerFailed, PotluckError, Refused, UnknownMessage
from .handlers import OnMessage, OnOffer, OnReceived, OnRequest, OnStop
from .message import Message
from .peer import Peer
from .resource import Resource

if TYPE_CHECKING:
    from typing_extensions import Buffer

_log = logging.getLogger("potluck")


class Registered:
    """The handlers of one peer, and the peer that they get."""

    __slots__ = ("_peer", "name", "on_message", "on_offer", "on_received", "on_request", "on_stop", "thread")

    def __init__(
        self,
        name: str,
        on_message: Optional[OnMessage],
        on_request: Optional[OnRequest],
        on_offer: Optional[OnOffer],
        on_received: Optional[OnReceived],
        on_stop: Optional[OnStop],
    ) -> None:
        self.name = name
        self.on_message = on_message
        self.on_request = on_request
        self.on_offer = on_offer
        self.on_received = on_received
        self.on_stop = on_stop
        self._peer: Optional[Peer] = None
        # The peer's own thread, once it has come here. Set and read on that thread alone.
        self.thread: Optional[int] = None
        for what in _THUNKS:
            handler = getattr(self, what)
            if handler is not None and not callable(handler):
                raise TypeError(f"{what} must be callable, not {type(handler).__name__}")

    def peer(self, id: int) -> Peer:
        """The peer, made by the first callback, which may come before spawn has returned."""
        peer = self._peer
        if peer is None:
            self.thread = _ffi.keep_thread()
            peer = self._peer = Peer(_ffi.peer_of(id, self.name))
        return peer

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
_registered: dict[int, Registered] = {}


def _on_message(peer_id: int, message_id: int, key: int) -> int:
    handlers = message = None
    try:
        handlers = _registered[key]
        message = Message(_ffi.LentMessageId(message_id))
        answer = handlers.on_message(handlers.peer(peer_id), message)  # type: ignore[misc]
        if answer is not None:
            _answer(message, answer)
        if message._is_kept:
            return _ffi.PENDING
        message._id = None
        return _ffi.OK
    except BaseException as error:
        if message is not None:
            message._end_lending()
        return _failed("on_message", handlers, error, UnknownMessage)


def _answer(message: Message, answer: Buffer) -> None:
    if type(answer) is not bytes:
        try:
            answer = memoryview(answer)
        except TypeError:
            raise TypeError(f"on_message returned a {type(answer).__name__}, which is neither None nor bytes-like") from None
    if message.is_ask:
        try:
            message.reply(answer)
        except Canceled:
            # The asker has given up: there is nobody to answer, which is no fault of the handler.
            pass


def _on_request(peer_id: int, sender: bytes, name: bytes, key: int) -> int:
    handlers = None
    try:
        handlers = _registered[key]
        handlers.on_request(handlers.peer(peer_id), sender.decode(), name.decode())  # type: ignore[misc]
        return _ffi.OK
    except BaseException as error:
        return _failed("on_request", handlers, error, Refused)


def _on_offer(peer_id: int, sender: bytes, offered_id: int, key: int) -> int:
    handlers = None
    try:
        handlers = _registered[key]
        # A reference of its own, so that the handler may keep what it is shown.
        offered = Resource(_ffi.resource_keep(offered_id))
        handlers.on_offer(handlers.peer(peer_id), sender.decode(), offered)  # type: ignore[misc]
        return _ffi.OK
    except BaseException as error:
        return _failed("on_offer", handlers, error, Refused)


def _on_received(peer_id: int, sender: bytes, received_id: int, key: int) -> None:
    handlers = None
    try:
        handlers = _registered[key]
        received = Resource(_ffi.resource_keep(received_id))
        handlers.on_received(handlers.peer(peer_id), sender.decode(), received)  # type: ignore[misc]
    except BaseException as error:
        _failed("on_received", handlers, error)


def _on_stop(peer_id: int, key: int) -> None:
    handlers = None
    try:
        handlers = _registered[key]
        handlers.on_stop(handlers.peer(peer_id))  # type: ignore[misc]
    except BaseException as error:
        _failed("on_stop", handlers, error)


def _drop(key: int) -> None:
    with _lock:
        handlers = _registered.pop(key, None)
    if handlers is not None:
        _ffi.forget_thread(handlers.thread)
    # Outside of the lock: what the handlers own may have finalizers of the user's.
    del handlers


def _failed(what: str, handlers: Optional[Registered], error: BaseException, answer: Optional[type[PotluckError]] = None) -> int:
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


def _note(what: str, handlers: Optional[Registered], error: BaseException) -> None:
    try:
        _log.error("%s of peer %r failed", what, handlers.name if handlers else "?", exc_info=error)
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
