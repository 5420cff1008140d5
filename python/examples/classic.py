"""The classic peer-to-peer example: each peer asks another one for its resource and replaces its own with what it gets.

A requester tells its partner `RequestResource`. The partner's on_message, on its own thread, prints the first line and
offers its resource; the requester's on_received, on its own thread, prints the second and lets the host go on. Then one
message of another kind, what each peer holds, and the same exchange once more by mingle, printed from events.

    classic.py [--peers N] [--seed S]

The partners are the numbers of splitmix64(S), so all hosts print the same lines.
"""

from __future__ import annotations

import queue
import sys

from potluck import EventKind, Message, Peer, PeerSystem, Resource, TimedOut, UnknownMessage

TIMEOUT = 10.0
RESOURCE = "resource"
USAGE = "usage: classic.py [--peers N] [--seed S]"


def main() -> int:
    arguments = parse(sys.argv[1:])
    if arguments is None:
        print(USAGE, file=sys.stderr)
        return 2
    count, seed = arguments
    if count < 2:
        print("--peers: an exchange needs at least 2", file=sys.stderr)
        return 2
    arrivals: queue.Queue[str] = queue.Queue()
    with PeerSystem("PeerSystem") as system:
        peers = [join(system, number, arrivals) for number in range(1, count + 1)]
        exchange(peers, seed, arrivals)
        try:
            peers[-1].ask("peer1", "Hello", b"", TIMEOUT)
        except UnknownMessage:
            pass
        else:
            sys.exit("peer1 knows Hello")
        for peer in peers:
            held = peer.get(RESOURCE)
            say(f"{peer.name} holds {text(held)} (version {held.version} by {held.origin})")
        say("mingle:")
        mingle(system, peers, seed)
    say(f"{2 * count} exchanges between {count} peers")
    return 0


def join(system: PeerSystem, number: int, arrivals: queue.Queue[str]) -> Peer:
    """A peer that plays along, with its first resource."""

    def on_received(peer: Peer, sender: str, received: Resource) -> None:
        say(f"{peer.name} received resource from {sender}: {text(received)}")
        arrivals.put(peer.name)

    peer = system.spawn(f"peer{number}", on_message=on_message, on_received=on_received)
    peer.share(RESOURCE, f"Peer {number}: Initial Resource".encode())
    return peer


def on_message(peer: Peer, message: Message) -> None:
    if message.kind != "RequestResource":
        say(f"{peer.name} received unknown message")
        raise UnknownMessage
    say(f"{peer.name} received request from {message.sender}")
    peer.offer(message.sender, RESOURCE, TIMEOUT)


def exchange(peers: list[Peer], seed: int, arrivals: queue.Queue[str]) -> None:
    """One after another, each peer gets the resource of a random other one."""
    numbers = SplitMix64(seed)
    for peer in peers:
        others = [other for other in peers if other != peer]
        partner = others[numbers.next() % len(others)]
        peer.tell(partner.name, "RequestResource", peer.name.encode(), TIMEOUT)
        # The handler of the peer that it arrives at lets us go on.
        arrivals.get(timeout=TIMEOUT)


def mingle(system: PeerSystem, peers: list[Peer], seed: int) -> None:
    """The same in one call. Events carry no body; what a peer got is what it holds now."""
    by_name = {peer.name: peer for peer in peers}
    with system.events(capacity=1 << 20) as events:
        system.mingle(RESOURCE, seed, TIMEOUT)
        while True:
            try:
                event = events.next(timeout=0)
            except TimedOut:
                # The events of a call come before it returns: these were all.
                return
            if event.kind is EventKind.REQUESTED:
                say(f"{event.peer} received request from {event.other}")
            elif event.kind is EventKind.RECEIVED:
                say(f"{event.peer} received resource from {event.other}: {text(by_name[event.peer].get(RESOURCE))}")


def text(resource: Resource) -> str:
    return bytes(resource).decode()


def say(line: str) -> None:
    """One write for each line: handlers print from threads of their own."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class SplitMix64:
    """Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014."""

    MASK = 2**64 - 1

    def __init__(self, seed: int) -> None:
        self.state = seed

    def next(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) & self.MASK
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & self.MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & self.MASK
        return z ^ z >> 31


def parse(arguments: list[str]) -> tuple[int, int] | None:
    """The number of peers and the seed; None if they cannot be understood."""
    options = {"--peers": 3, "--seed": 1}
    if len(arguments) % 2:
        return None
    for option, value in zip(arguments[::2], arguments[1::2]):
        # isdecimal: int() would also take signs, spaces and underscores.
        if option not in options or not (value.isascii() and value.isdecimal()) or int(value) >= 2**64:
            return None
        options[option] = int(value)
    return options["--peers"], options["--seed"]


if __name__ == "__main__":
    sys.exit(main())
