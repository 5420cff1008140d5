"""The handlers of a peer, put together by decorators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional, TypeVar, Union, overload

from .errors import UnknownMessage
from .message import Message
from .peer import Peer
from .resource import Resource

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Handlers"]

OnMessage = Callable[[Peer, Message], "Optional[Buffer]"]
OnRequest = Callable[[Peer, str, str], object]
OnOffer = Callable[[Peer, str, Resource], object]
OnReceived = Callable[[Peer, str, Resource], object]
OnStop = Callable[[Peer], object]

AnyMessageHandler = TypeVar("AnyMessageHandler", bound=OnMessage)
AnyRequestHandler = TypeVar("AnyRequestHandler", bound=OnRequest)
AnyOfferHandler = TypeVar("AnyOfferHandler", bound=OnOffer)
AnyReceivedHandler = TypeVar("AnyReceivedHandler", bound=OnReceived)
AnyStopHandler = TypeVar("AnyStopHandler", bound=OnStop)


class Handlers:
    """Handlers for PeerSystem.spawn, given one by one as decorators. Each decorator gives the function back as it was.

    `@handlers.on_message("kind")` is for messages of that kind alone, `@handlers.on_message` for all others; without that one
    they are unknown. Several peers may be spawned with the same handlers; what is added later is for peers spawned later.

    >>> cook = Handlers()
    >>> @cook.on_message("taste")
    ... def taste(peer, message):
    ...     return b"more salt"
    >>> @cook.on_request
    ... def guard(peer, sender, name):
    ...     if name.startswith("secret/"):
    ...         raise Refused(f"not for {sender}")
    >>> with PeerSystem("kitchen") as kitchen:
    ...     ada, bob = kitchen.spawn("ada", cook), kitchen.spawn("bob")
    ...     answer = bytes(bob.ask("ada", "taste"))
    ...     try:
    ...         bob.ask("ada", "dance")
    ...     except UnknownMessage as unknown:
    ...         print(answer, unknown)
    b'more salt' "ada" does not know messages of kind "dance"
    """

    __slots__ = ("_kinds", "_offer", "_other", "_received", "_request", "_stop")

    def __init__(self) -> None:
        self._kinds: dict[str, OnMessage] = {}
        self._other: Optional[OnMessage] = None
        self._request: Optional[OnRequest] = None
        self._offer: Optional[OnOffer] = None
        self._received: Optional[OnReceived] = None
        self._stop: Optional[OnStop] = None

    @overload
    def on_message(self, kind: str) -> Callable[[AnyMessageHandler], AnyMessageHandler]: ...
    @overload
    def on_message(self, kind: AnyMessageHandler) -> AnyMessageHandler: ...
    def on_message(
        self, kind: Union[str, AnyMessageHandler]
    ) -> Union[AnyMessageHandler, Callable[[AnyMessageHandler], AnyMessageHandler]]:
        """For every message, or with a kind for those of that kind: handler(peer, message) -> the answer, or None."""
        if not isinstance(kind, str):
            _once(self._other, "on_message")
            self._other = kind
            return kind
        of_kind = kind

        def add(handler: AnyMessageHandler) -> AnyMessageHandler:
            _once(self._kinds.get(of_kind), f"on_message({of_kind!r})")
            self._kinds[of_kind] = handler
            return handler

        return add

    def on_request(self, handler: AnyRequestHandler) -> AnyRequestHandler:
        """handler(peer, sender, name) is asked before `sender` gets that resource; it may raise Refused."""
        _once(self._request, "on_request")
        self._request = handler
        return handler

    def on_offer(self, handler: AnyOfferHandler) -> AnyOfferHandler:
        """handler(peer, sender, offered) is asked before `sender` puts that on the peer's shelf; it may raise Refused."""
        _once(self._offer, "on_offer")
        self._offer = handler
        return handler

    def on_received(self, handler: AnyReceivedHandler) -> AnyReceivedHandler:
        """handler(peer, sender, received) is told of what `sender` has put on the peer's shelf."""
        _once(self._received, "on_received")
        self._received = handler
        return handler

    def on_stop(self, handler: AnyStopHandler) -> AnyStopHandler:
        """handler(peer) runs last of all when the peer closes."""
        _once(self._stop, "on_stop")
        self._stop = handler
        return handler

    def _given(self) -> dict[str, object]:
        """What spawn takes by keyword."""
        return {
            "on_message": self._message(),
            "on_request": self._request,
            "on_offer": self._offer,
            "on_received": self._received,
            "on_stop": self._stop,
        }

    def _message(self) -> Optional[OnMessage]:
        if not self._kinds:
            return self._other
        kinds, other = dict(self._kinds), self._other

        def on_message(peer: Peer, message: Message) -> Optional[Buffer]:
            handler = kinds.get(message.kind, other)
            if handler is None:
                raise UnknownMessage(message.kind)
            return handler(peer, message)

        return on_message


def _once(before: Optional[object], what: str) -> None:
    if before is not None:
        raise ValueError(f"{what} is given twice")
