"""How a system joins the systems of the same name in other processes: the options, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional, Union

from . import _ffi

__all__ = ["Mesh"]


@dataclass(frozen=True)
class Mesh:
    """How a system joins the systems of the same name in other processes, for PeerSystem.

    There is no server: every node listens, connects to the addresses that it is given, and learns of the others from those. What
    it calls itself is its node: `ada@laptop` is the peer `ada` of the node `laptop`. An address is `host:port`, an IPv6 host in
    brackets.

    By default it listens on the loopback alone. Without TLS whoever reaches the address is let in, and may call itself what it
    likes; so listening beyond the loopback wants `tls`, or `listen_everywhere_without_tls`. With `tls` both sides show a certificate
    of the same authority, and with `allow` only the nodes listed come in, each under the common name of its certificate and no
    other.

    Opening the system raises Unsupported where the library has no mesh, InvalidName for a node that breaks the rules for names of
    peers, InvalidArgument for all else that cannot be used.

    >>> try:
    ...     with PeerSystem("kitchen", mesh=Mesh(node="laptop", connect=["127.0.0.1:7447"])) as kitchen:
    ...         ada = kitchen.spawn("ada")  # on other nodes she is ada@laptop
    ... except Unsupported:
    ...     pass  # a library without a mesh
    """

    node: Optional[str] = None
    """What this node is called; None: the name of the host and the id of the process."""
    listen: Sequence[str] = ()
    """Addresses to listen on; none: "127.0.0.1:0". Port 0 is one that the operating system picks."""
    connect: Sequence[str] = ()
    """Addresses to connect to. A node that is not there yet is tried again and again, in the background."""
    allow: Sequence[str] = ()
    """The nodes that may come in; none: every node whose certificate is of the authority. Needs `tls`."""
    tls: Optional[tuple[Union[str, os.PathLike[str]], Union[str, os.PathLike[str]], Union[str, os.PathLike[str]]]] = None
    """Mutual TLS, by three PEM files: the certificate of the authority, this node's certificate, with its name as the common name, and
    the private key of that."""
    multicast: bool = False
    """Whether nodes in the same network find one another by multicast."""
    gossip: bool = True
    """Whether nodes learn of one another from those that they are connected to."""
    listen_everywhere_without_tls: bool = False
    """Whether it may listen beyond the loopback without TLS, where whoever reaches the address is let in."""
    lease: float = 2.0
    """After how many seconds a node that hangs, or whose network is gone, counts as gone; at least 0.1. The same on all nodes."""

    def _options(self) -> _ffi.MeshOptions:
        flags = {
            "multicast": self.multicast,
            "no_gossip": not self.gossip,
            "listen_everywhere_without_tls": self.listen_everywhere_without_tls,
        }
        lists = {"listen": self.listen, "connect": self.connect, "allow": self.allow}
        return _ffi.mesh_options(self.node, lists, self.tls, flags, self.lease)
