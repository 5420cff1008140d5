"""A node of a mesh: one peer, which finds those of the other nodes, gets the dish of each, and exchanges gifts with one of them.
`examples/mesh_node.rs` and `c-examples/mesh.c` are the same program: started in three terminals, the three find one another.

    mesh.py [--others N] NAME LISTEN [CONNECT ...]

The node NAME, with the peer NAME, listens on one address (127.0.0.1:7447), connects to others, and waits for N others (2), for 30 s.
Prints whom it sees, what it gets, and whose gift it has in the end: after the alphabetically first node, and only that one, has
exchanged with the last.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from potluck import Mesh, Peer, PeerSystem, PotluckError

TIMEOUT = 30.0


def main() -> int:
    parser = argparse.ArgumentParser(description="A node of a mesh, with one peer.")
    parser.add_argument("--others", type=int, default=2, metavar="N")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("listen", metavar="LISTEN")
    parser.add_argument("connect", metavar="CONNECT", nargs="*")
    arguments = parser.parse_args()
    mesh = Mesh(node=arguments.name, listen=[arguments.listen], connect=arguments.connect)
    try:
        play(arguments.name, mesh, arguments.others)
    except PotluckError as error:
        print(f"mesh: {error}", file=sys.stderr)
        return 1
    return 0


def play(name: str, mesh: Mesh, others: int) -> None:
    with PeerSystem("kitchen", mesh=mesh) as kitchen:
        peer = kitchen.spawn(name)
        # Whoever gets one reads whose it is.
        peer.share(f"dish/{name}", name.encode())
        peer.share("gift", name.encode())

        with kitchen.events() as events:
            while len(kitchen.peers()) <= others:
                events.next(TIMEOUT)
        # The peer here comes first, then those of the other nodes, as name@node.
        there = kitchen.peers()[1:]
        for other in there:
            print(f"{name} sees {other}")
        heard: Counter[str] = Counter()
        meet(peer, there, "ready", heard)

        for other in there:
            dish = peer.request(other, f"dish/{other.split('@')[0]}", TIMEOUT)
            print(f"{name} gets {bytes(dish).decode()}'s dish from {other}")
        if f"{name}@{name}" < min(there, default=""):
            gift = peer.exchange(there[-1], "gift", TIMEOUT)
            print(f"{name} exchanges and gets {bytes(gift).decode()}'s gift from {there[-1]}")
        # Whoever left before that would be missed.
        meet(peer, there, "done", heard)
        print(f"{name} has {bytes(peer.get('gift')).decode()}'s gift")


def meet(peer: Peer, there: list[str], kind: str, heard: Counter[str]) -> None:
    """Tells all others, and waits until each of them has told the same; one may be a meeting ahead."""
    for other in there:
        peer.tell(other, kind, timeout=TIMEOUT)
    while heard[kind] < len(there):
        heard[peer.receive(TIMEOUT).kind] += 1


if __name__ == "__main__":
    sys.exit(main())
