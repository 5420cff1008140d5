"""Gives every test a deadline of its own, and a system if it wants one.

The tests are of the package that is installed: `make test-python` installs it, for each Python, and runs them.
"""

from __future__ import annotations

import faulthandler
import os

import pytest

# What a hanging test gets instead of hanging: all stacks, and the end of the run. The mark `seconds` says another time.
TEST_SECONDS = 120
STDERR = pytest.StashKey()


def pytest_configure(config):
    # The stacks go to the real standard error, not to where pytest keeps what a test prints.
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        config.stash[STDERR] = os.dup(2)


@pytest.fixture(autouse=True)
def _deadline(request, pytestconfig):
    mark = request.node.get_closest_marker("seconds")
    faulthandler.dump_traceback_later(mark.args[0] if mark else TEST_SECONDS, exit=True, file=pytestconfig.stash[STDERR])
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
