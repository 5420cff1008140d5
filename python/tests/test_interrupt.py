"""Ctrl-C ends whatever the main thread waits in, and nothing is done twice. In child processes, each with a deadline."""

import pytest

from support import child

START = """
import os, signal, sys, threading, time
import potluck

# What a shell runs in the background, it starts without it.
signal.signal(signal.SIGINT, signal.default_int_handler)
kitchen = potluck.PeerSystem("kitchen")
begun, go_on = threading.Event(), threading.Event()
made = []

def hold(*arguments):
    made.append(arguments)
    begun.set()
    go_on.wait(20)

ada = kitchen.spawn("ada", on_message=hold, on_request=hold, on_offer=hold)
bob = kitchen.spawn("bob")
inbox = kitchen.spawn("inbox", mailbox_messages_max=1)
events = kitchen.events()
ada.share("soup", b"tomato")
bob.share("soup", b"leek")
bob.share("bread", b"rye")
tells = lambda: bob.tell("ada", "wait")

def interrupt(after):
    # After the call has come to wait, as far as can be seen from here.
    time.sleep(after)
    interrupted.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)

def interrupts(call):
    # What the machine has to do beside may make one late, but not each.
    for attempt in range(5):
        interrupted.clear()
        thread = threading.Thread(target=interrupt, args=(0.25 + 0.03 * attempt,))
        thread.start()
        try:
            call()
            sys.exit("it was not interrupted")
        except KeyboardInterrupt:
            took = time.monotonic() - interrupted[0]
        thread.join()
        if took < 0.15:
            return
    sys.exit(f"it took {took} s")

interrupted = []
"""

END = """
go_on.set()
assert kitchen.shutdown(20) is potluck.Ended.YES
print("ended")
"""

CALLS = {
    "request": "bob.request('ada', 'soup', None)",
    "request_newer": "bob.request_newer('ada', 'soup', None, None)",
    "fetch": "bob.fetch('soup', None)",
    "offer": "bob.offer('ada', 'bread', None)",
    "exchange": "bob.exchange('ada', 'soup', None)",
    "ask": "bob.ask('ada', 'taste', timeout=None)",
    "tell": "[bob.tell('inbox', 'hello', timeout=None) for _ in range(3)]",
    "receive": "bob.receive(None)",
    "next": "[event for event in events]",
    "wait_for": "kitchen.wait_for('eve', None)",
    "wait": "bob.start_ask('ada', 'taste', timeout=None).wait(None)",
    "mingle": "kitchen.mingle('soup', 1, None)",
    "close": "(tells(), begun.wait(20), ada.close(None))",
    "shutdown": "(tells(), begun.wait(20), kitchen.shutdown(None))",
}


def interrupted(code):
    done = child(START + code + END)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done
    return done


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_ends_a_wait_of_the_main_thread(call):
    # A tell that is interrupted may be accepted or not; of the next attempt the first already waits.
    interrupted(f"interrupts(lambda: {CALLS[call]})")


def test_a_call_that_is_interrupted_was_made_once_and_has_not_taken_effect():
    interrupted("""
threading.Thread(target=interrupt, args=(0.35,)).start()
try:
    # Several slices long.
    bob.request("ada", "soup", None)
except KeyboardInterrupt:
    pass
assert len(made) == 1
go_on.set()
assert kitchen.spawn("eve").request("ada", "soup", 20).view == b"tomato"
assert bytes(bob.get("soup")) == b"leek"
""")


def test_a_wait_over_many_slices_makes_its_call_once():
    interrupted("""
threading.Timer(0.5, go_on.set).start()
try:
    bob.ask("ada", "taste", timeout=20)
except potluck.NoReply:
    pass
assert len(made) == 1
assert bytes(bob.request("ada", "soup", 20)) == b"tomato"
assert len(made) == 2
""")


def test_deadlines_hold_on_the_main_thread():
    interrupted("""
def takes(seconds, kind, call):
    start = time.monotonic()
    try:
        call()
        sys.exit("it did not time out")
    except kind:
        took = time.monotonic() - start
    # No sooner; how much later is the machine's affair.
    assert seconds <= took < seconds + 5, took

for seconds in (0.02, 0.25):
    takes(seconds, potluck.TimedOut, lambda: bob.receive(seconds))
    takes(seconds, potluck.TimedOut, lambda: kitchen.wait_for("eve", seconds))
    [events.next(0) for _ in range(3)] if seconds == 0.02 else None
    takes(seconds, potluck.TimedOut, lambda: events.next(seconds))
    bob.tell("inbox", "hello", timeout=0) if seconds == 0.02 else None
    takes(seconds, potluck.Full, lambda: bob.tell("inbox", "hello", timeout=seconds))
takes(0.25, potluck.OutcomeUnknown, lambda: bob.ask("ada", "taste", timeout=0.25))
takes(0.25, potluck.TimedOut, lambda: bob.request("ada", "soup", 0.25))
takes(0.25, potluck.TimedOut, lambda: bob.offer("ada", "bread", 0.25))
takes(0.25, potluck.TimedOut, lambda: bob.exchange("ada", "soup", 0.25))
start = time.monotonic()
assert ada.close(0.25) is potluck.Ended.STILL_RUNNING
assert kitchen.shutdown(0.25) is potluck.Ended.STILL_RUNNING
assert 0.5 <= time.monotonic() - start < 5
""")
