"""Finds the package and the library, and gives every test a deadline of its own."""

from __future__ import annotations

import faulthandler
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

os.environ.setdefault("POTLUCK_LIBRARY", str(ROOT / "target" / "release" / "libpotluck.so"))
if not Path(os.environ["POTLUCK_LIBRARY"]).is_file():
    pytest.exit(f"no library at {os.environ['POTLUCK_LIBRARY']}: run `make lib`, or set POTLUCK_LIBRARY", returncode=4)

# What a hanging test gets instead of hanging: all stacks, and the end of the run.
TEST_SECONDS = 120
STDERR = pytest.StashKey()


def pytest_configure(config):
    # The stacks go to the real standard error, not to where pytest keeps what a test prints.
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        config.stash[STDERR] = os.dup(2)


@pytest.fixture(autouse=True)
def _deadline(pytestconfig):
    faulthandler.dump_traceback_later(TEST_SECONDS, exit=True, file=pytestconfig.stash[STDERR])
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def kitchen():
    """A system, which must be able to end."""
    from potluck import Ended, PeerSystem

    system = PeerSystem("kitchen")
    yield system
    assert system.shutdown(10) is Ended.YES


@pytest.fixture
def ada(kitchen):
    return kitchen.spawn("ada")


@pytest.fixture
def bob(kitchen):
    return kitchen.spawn("bob")
