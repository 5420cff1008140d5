"""Messages: what peers say to one another beside resources."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Optional, Union

from . import _ffi
from .errors import InvalidHandle

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Message"]


class Message:
    """A kind (text) and a body (bytes) from another peer, perhaps with somebody waiting for the answer.

    The body is copied when the message arrives; bytes(message) and view are that copy and stay valid for good. A handler may
    keep() the message to answer it later, from any thread; receive() gives one that is kept already. If it is dropped or
    released unanswered, the asker gets NoReply.
    """

    __slots__ = ("__weakref__", "_body", "_id", "_is_kept", "is_ask", "kind", "sender")

    sender: str
    """The peer that sent it."""
    kind: str
    """What kind of message it is."""
    is_ask: bool
    """Whether the sender waits for an answer."""

    def __init__(self, id: Union[_ffi.MessageId, _ffi.LentMessageId]) -> None:
        # Made by the library's calls only. One that is lent ends when its handler returns.
        self._id: Union[_ffi.MessageId, _ffi.LentMessageId, None] = id
        self._is_kept = type(id) is _ffi.MessageId
        self.sender, self.kind, self._body, self.is_ask = _ffi.message_info(id)

    @property
    def view(self) -> memoryview:
        """A read-only view on the body."""
        return memoryview(self._body)

    def __bytes__(self) -> bytes:
        return self._body

    def __len__(self) -> int:
        return len(self._body)

    def __bool__(self) -> bool:
        # An empty body is a message, too.
        return True

    def reply(self, body: Buffer = b"") -> None:
        """Answers the sender that waits. Does not block; from any thread.

        Raises InvalidArgument if nobody asked or it was answered before, Canceled if the sender has given up, InvalidHandle
        if it is over: released, or not kept and its handler has returned.
        """
        _ffi.message_reply(self._live(), body)

    def keep(self) -> None:
        """In on_message: keeps the message beyond the return of the handler, to be answered later. Again: nothing.

        A handler that keeps a message and then fails has answered it by that.
        """
        id = self._live()
        if not self._is_kept:
            self._id = _ffi.MessageId(id.value)
            self._is_kept = True

    def release(self) -> None:
        """Gives a kept message back now; a sender that still waits gets NoReply. Again: nothing.

        One that is not kept ends by itself when its handler returns.
        """
        if self._is_kept:
            self._id = None

    def _live(self) -> Union[_ffi.MessageId, _ffi.LentMessageId]:
        id = self._id
        if id is None:
            raise InvalidHandle(
                f"the message {self.kind!r} from {self.sender!r} was released, or its handler has returned without keep()"
            )
        return id

    def _end_lending(self) -> None:
        self._id = None

    def __enter__(self) -> Message:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        what = "ask" if self.is_ask else "tell"
        return f"<potluck.Message {self.kind!r} from {self.sender!r}, {what}, {len(self._body)} bytes>"
