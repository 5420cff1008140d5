"""What the calls of the package cost, beside a bare ctypes call of a function that does nothing, and beside pykka's ask.

    overhead.py [--quick] [--document]

Prints lines of CSV, `workload,param,metric,value,unit`, to standard output and what is to be reached to standard error; with
--document it writes the figures into docs/performance.md.

All is kept to one core, and each workload is done in many short rounds, in turn with the others. What is counted is the time
that this process had that core, of all its threads: on a core of its own that is the time that passes, since here somebody
always runs. A figure is the median over the rounds; a ratio is the median of the ratios to the bare call, or to pykka, of the
same round.
"""

from __future__ import annotations

import ctypes
import os
import platform
import statistics
import sys
import threading
import time
from functools import partial
from importlib import metadata
from itertools import repeat
from pathlib import Path
from typing import Any, Callable

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

import pykka  # noqa: E402

import potluck  # noqa: E402

SMALL = bytes(range(64))
BIG_SIZE = 256 << 20
TIMEOUT = 10.0
BURST = 50


def main() -> int:
    quick = "--quick" in sys.argv
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    times = measure(5 if quick else 25)
    figures = figures_of(times)
    for line in figures:
        print(",".join(line))
    targets = targets_of(times)
    for what, measured, is_met in targets:
        print(f"{what}: {measured}, {'met' if is_met else 'open'}", file=sys.stderr)
    if "--document" in sys.argv:
        document(figures, targets)
    return 0


def measure(rounds: int) -> dict[str, list[float]]:
    """The nanoseconds of one call of each workload, in each round."""

    class Echo(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> Any:
            return message

    # Any function of the C library that only returns something it has.
    library = ctypes.CDLL(None)
    bare = library.gnu_get_libc_version
    bare.argtypes, bare.restype = (), None
    six = library["gnu_get_libc_version"]
    six.argtypes = [ctypes.c_uint64, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64]
    six.restype = None

    calls = 2000
    with potluck.PeerSystem("bench") as system:
        holder, guest, inbox = system.spawn("holder"), system.spawn("guest"), system.spawn("inbox")
        system.spawn("echo", on_message=lambda _peer, message: bytes(message))
        holder.share("small", SMALL)
        big = bytearray(BIG_SIZE)
        holder.share("big", big, copy=False)
        actor = Echo.start()
        workloads: dict[str, tuple[Callable[[], Any], int]] = {
            "bare": (bare, calls * 5),
            "bare_six": (partial(six, 1, b"inbox", b"kind", SMALL, 64, 10000), calls),
            "request": (partial(guest.request, "holder", "small", TIMEOUT), calls),
            "request_big": (partial(guest.request, "holder", "big", TIMEOUT), calls),
            "view": (lambda: guest.get("small").view, calls),
            "share": (partial(holder.share, "other", SMALL), calls),
            "share_adopted": (partial(holder.share, "adopted", SMALL, copy=False), calls),
            "share_adopted_big": (partial(holder.share, "adopted", big, copy=False), calls),
            "ask": (partial(guest.ask, "echo", "kind", SMALL, TIMEOUT), calls // 4),
            "pykka": (partial(actor.ask, SMALL, timeout=TIMEOUT), calls // 4),
        }
        times: dict[str, list[float]] = {name: [] for name in [*workloads, "tell", "ask_of_thread"]}
        for number in range(rounds + 1):
            for name, (call, count) in workloads.items():
                elapsed = timed(call, count)
                if number:
                    times[name].append(elapsed)
            elapsed = timed_in_bursts(partial(guest.tell, "inbox", "kind", SMALL, TIMEOUT), calls, inbox)
            if number:
                times["tell"].append(elapsed)
            elapsed = on_a_thread(lambda: timed(workloads["ask"][0], calls // 4))
            if number:
                times["ask_of_thread"].append(elapsed)
        # That all was really done.
        assert bytes(guest.request("holder", "small")) == SMALL
        assert len(guest.request("holder", "big")) == BIG_SIZE
        assert bytes(guest.ask("echo", "kind", SMALL)) == SMALL
        actor.stop()
    return times


def timed(call: Callable[[], Any], count: int) -> float:
    start = time.process_time_ns()
    for _ in repeat(None, count):
        call()
    return (time.process_time_ns() - start) / count


def timed_in_bursts(tell: Callable[[], Any], count: int, inbox: potluck.Peer) -> float:
    """Tells, between which the inbox is emptied, off the clock: else it is the memory of a long queue that is measured."""
    bursts = [timed(tell, BURST) for _ in range(count // BURST) if empty(inbox)]
    empty(inbox)
    return statistics.median(bursts)


def empty(inbox: potluck.Peer) -> bool:
    """Takes a burst out, if there is one, and checks that it is whole."""
    received = 0
    while True:
        try:
            received += inbox.receive(0).kind == "kind"
        except potluck.TimedOut:
            assert received in (0, BURST)
            return True


def on_a_thread(call: Callable[[], float]) -> float:
    results: list[float] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    thread.join()
    return results[0]


def ratio(times: dict[str, list[float]], of: str, to: str) -> float:
    return statistics.median(one / other for one, other in zip(times[of], times[to]))


PARAMS = {"request_big": "256 MiB", "share_adopted_big": "256 MiB", "bare": "no argument", "bare_six": "six arguments"}


def figures_of(times: dict[str, list[float]]) -> list[tuple[str, str, str, str, str]]:
    figures = []
    for name, each in times.items():
        workload, param = f"python_{name.replace('_big', '')}", PARAMS.get(name, "64 B")
        figures.append((workload, param, "p50", f"{statistics.median(each):.0f}", "ns"))
        if name != "bare":
            figures.append((workload, param, "bare_calls", f"{ratio(times, name, 'bare'):.1f}", "x"))
        if name not in ("bare", "bare_six", "pykka"):
            figures.append((workload, param, "faster_than_pykka", f"{ratio(times, 'pykka', name):.2f}", "x"))
    return figures


def targets_of(times: dict[str, list[float]]) -> list[tuple[str, str, bool]]:
    request, tell = ratio(times, "request", "bare"), ratio(times, "tell", "bare")
    by_request, by_ask = ratio(times, "pykka", "request"), ratio(times, "pykka", "ask")
    by_thread, big = ratio(times, "pykka", "ask_of_thread"), ratio(times, "request_big", "request")
    return [
        ("a request of 64 bytes, with its Resource: at most 25 bare calls", f"{request:.1f}", request <= 25),
        ("the same: at least 10 times as fast as pykka's ask", f"{by_request:.1f} x", by_request >= 10),
        ("a tell to a peer without a handler: at most 14 bare calls", f"{tell:.1f}", tell <= 14),
        ("an ask to a Python handler, from the main thread: faster than pykka's ask", f"{by_ask:.2f} x", by_ask > 1),
        ("an ask to a Python handler, from another thread: twice as fast as pykka's ask", f"{by_thread:.2f} x", by_thread >= 2),
        ("a request of 256 MiB: as long as one of 64 bytes, within 1.2", f"{big:.2f} x", big <= 1.2),
    ]


def document(figures: list[tuple[str, str, str, str, str]], targets: list[tuple[str, str, bool]]) -> None:
    rows: dict[tuple[str, str], list[str]] = {}
    for workload, param, metric, value, unit in figures:
        rows.setdefault((workload, param), []).append(f"{metric} {value} {unit}")
    versions = f"CPython {platform.python_version()}, pykka {metadata.version('pykka')}"
    lines = [f"{versions}; {time.strftime('%Y-%m-%d')}.", "", "| to be reached | measured | |", "|---|---|---|"]
    lines += [f"| {what} | {measured} | {'met' if is_met else '**open**'} |" for what, measured, is_met in targets]
    lines += ["", "| | | |", "|---|---|---|"]
    lines += [f"| {workload} | {param} | {' · '.join(metrics)} |" for (workload, param), metrics in rows.items()]
    page = ROOT / "docs" / "performance.md"
    before, rest = page.read_text().split("<!-- python -->\n")
    after = rest.split("<!-- end of python -->")[1]
    page.write_text(before + "<!-- python -->\n" + "\n".join(lines) + "\n<!-- end of python -->" + after)


if __name__ == "__main__":
    sys.exit(main())
