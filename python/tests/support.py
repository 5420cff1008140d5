"""What the tests share: deadlines, a gate that holds a handler, a thread that makes a call, a child process."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import potluck
from potluck import TimedOut

PYTHON_FOLDER = Path(__file__).resolve().parents[1]
# What is tested.
PACKAGE = Path(potluck.__file__).parent
LIBRARY = PACKAGE / "libpotluck.so"

# How long anything may take before a test fails.
LONG = 20.0
# A timeout that a test waits for, so a short one.
SHORT = 0.03
# A deadline for a child process, which starts an interpreter.
CHILD = 60.0

# For what no other Python would make different: a wheel that is built, types that are checked.
with_one_python = pytest.mark.skipif("POTLUCK_TEST_FIRST" not in os.environ, reason="done with the first Python")


class Gate:
    """Holds handlers up: who passes says so and waits until it is let through."""

    def __init__(self):
        self.arrivals, self.openings = queue.Queue(), queue.Queue()

    def pass_(self):
        self.arrivals.put(None)
        self.openings.get(timeout=LONG)

    def await_arrival(self):
        self.arrivals.get(timeout=LONG)

    def open(self):
        self.openings.put(None)


class Host:
    """A thread of the host that makes one call."""

    def __init__(self, call):
        self._call = call
        self._result = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            self._result.put((self._call(), None))
        except BaseException as error:
            self._result.put((None, error))

    def waiting(self):
        """Waits until the thread sleeps, so that its call is really waiting."""
        status = Path(f"/proc/self/task/{self._thread.native_id}/status")
        deadline, same, last = time.monotonic() + LONG, 0, None
        while same < 20 and self._thread.is_alive():
            assert time.monotonic() < deadline, "the thread does not come to wait"
            try:
                lines = status.read_text().splitlines()
            except OSError:
                break
            sleeps = any(line.startswith("State:\tS") for line in lines)
            switches = next(line for line in lines if line.startswith("voluntary_ctxt_switches"))
            same = same + 1 if sleeps and switches == last else 0
            last = switches
        return self

    def is_waiting(self):
        return self._result.empty()

    def result(self):
        value, error = self._result.get(timeout=LONG)
        self._thread.join(LONG)
        if error is not None:
            raise error
        return value


def drain(events):
    """The events that are there now."""
    found = []
    while True:
        try:
            found.append(events.next(timeout=0))
        except TimedOut:
            return found


def child(code, *, options=(), **environment):
    """Runs Python code in a process of its own; gives what subprocess.run gives."""
    everything = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        env={name: value for name, value in everything.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=CHILD,
        check=False,
        # Python looks for modules in the current folder first.
        cwd=os.sep,
    )


def run_example(name, *arguments, cwd=None):
    done = subprocess.run(
        [sys.executable, str(PYTHON_FOLDER / "examples" / name), *map(str, arguments)],
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        timeout=CHILD,
        check=False,
        cwd=cwd,
    )
    # Not by subprocess, which would make a newline of each carriage return.
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    return done
