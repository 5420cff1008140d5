"""What PeerSystem.snapshot gives: plain dicts, as the library's JSON has them. Later versions may add to them."""

from __future__ import annotations

from typing import Optional, TypedDict

__all__ = ["HandlerSnapshot", "NodeSnapshot", "PeerSnapshot", "Snapshot", "WaitSnapshot"]

# By call, because one of the keys is a keyword.
HandlerSnapshot = TypedDict("HandlerSnapshot", {"name": str, "from": Optional[str], "what": Optional[str], "since_ms": int})
HandlerSnapshot.__doc__ = """A handler that runs: which, on what, from whom, and for how long."""


class WaitSnapshot(TypedDict):
    """A call that a peer's thread waits in."""

    verb: str
    whom: Optional[str]
    what: Optional[str]
    since_ms: int


class PeerSnapshot(TypedDict):
    """One peer."""

    peer: str
    stage: str
    """ "open" or "closing"."""
    messages: int
    """In its mailbox."""
    taken: int
    """Out of it so far."""
    resources: int
    """On its shelf."""
    requested: int
    """How often its resources were requested so far."""
    received: int
    """How often it received one so far."""
    doing: str
    """One line, for people."""
    since_ms: int
    handler: Optional[HandlerSnapshot]
    call: Optional[WaitSnapshot]


class NodeSnapshot(TypedDict):
    """Another node of the mesh: what has gone there and come from it so far."""

    node: str
    peers: int
    """How many it has."""
    calls: int
    """Made with its peers."""
    served: int
    """Made by its peers here."""
    bytes_in: int
    """Of bodies."""
    bytes_out: int
    retries: int
    """Attempts that were made again because no answer came."""
    failovers: int
    """Transfers from it that went on with another holder."""
    denied: int
    """Its calls that were turned away here."""
    last_error: str
    """What the engine last said about it, as one line, or ""."""


class Snapshot(TypedDict):
    """A system."""

    system: str
    is_open: bool
    peers: list[PeerSnapshot]
    """In the order of spawning."""
    nodes: list[NodeSnapshot]
    """The other nodes of the mesh, sorted by name; none if the system has joined none."""
    handles: dict[str, int]
    """How many ids of each kind are live, in all systems of this process."""
