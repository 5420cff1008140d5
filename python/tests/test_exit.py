"""The end of the interpreter, in child processes: prompt, without a word and without a crash, whatever still runs."""

import pytest

from support import child

START = """
import sys
import threading
import potluck
from potluck import system
kitchen = potluck.PeerSystem("kitchen")
bob = kitchen.spawn("bob")
"""


def ends(code, **environment):
    done = child(START + code, **environment)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def test_with_live_peers_their_on_stop_still_runs():
    out = ends("""
kitchen.spawn("ada", on_stop=lambda peer: print("ada stops", flush=True))
print("main ends", flush=True)
""")
    assert out == "main ends\nada stops\n"


def test_with_a_handler_that_returns_in_time_the_handler_finishes():
    out = ends("""
begun, ended = threading.Event(), threading.Event()
def on_message(peer, message):
    begun.set()
    try:
        # Ends with Closed when the exit closes the peers.
        peer.ask("bob", "anybody?", timeout=None)
    except (potluck.Closed, potluck.PeerClosed, potluck.NoSuchPeer):
        # Whichever of the two was closed first, and perhaps before the ask.
        print("closed", flush=True)
kitchen.spawn("ada", on_message=on_message)
bob.tell("ada", "wait")
begun.wait(20)
""")
    assert out == "closed\n"


@pytest.mark.parametrize(
    "wait",
    ["threading.Event().wait()", "[None for _ in iter(int, 1)]", "threading.Event().wait(0.3); str(message)"],
    ids=["for ever", "busy", "until the interpreter is gone"],
)
@pytest.mark.parametrize("handler", ["on_message", "on_request", "on_stop"])
def test_with_a_handler_that_never_returns_the_process_ends_all_the_same(wait, handler):
    out = ends(f"""
system._EXIT_SECONDS = 0.1
begun = threading.Event()
def handler(peer, sender=None, message=b""):
    begun.set()
    {wait}
def request():
    try:
        bob.request("ada", "soup", None)
    except potluck.PotluckError:
        pass
ada = kitchen.spawn("ada", {handler}=(lambda peer, message: handler(peer, None, message))
    if "{handler}" == "on_message" else handler)
if "{handler}" == "on_message":
    bob.tell("ada", "wait")
elif "{handler}" == "on_request":
    threading.Thread(target=request, daemon=True).start()
else:
    ada.close(0)
assert begun.wait(20)
print("main ends", flush=True)
""")
    assert out == "main ends\n"


def test_with_threads_that_wait_in_calls_for_ever():
    out = ends("""
def wait(call):
    try:
        call()
    except potluck.PotluckError as error:
        # In one write: print makes two, which may mix with those of other threads.
        sys.stdout.write(type(error).__name__ + "\\n")
events, dan = kitchen.events(), kitchen.spawn("dan")
threads = [threading.Thread(target=wait, args=(call,)) for call in (
    lambda: dan.receive(None),
    lambda: [event for event in events],
    lambda: kitchen.spawn("ada").ask("bob", "anybody?", timeout=None),
)]
[thread.start() for thread in threads]
kitchen.spawn("eve")
""")
    assert set(out.split()) <= {"Closed", "PeerClosed"}


def test_with_objects_that_outlive_everything():
    ends("""
kitchen.spawn("ada", on_message=lambda peer, message: message.keep() or kept.append(message))
kept = []
bob.tell("ada", "keep")
bob.share("soup", b"tomato" * 100000)
soup = bob.get("soup")
view = soup.view
events = kitchen.events()
class Holder:
    pass
# Cycles through modules are torn apart last of all.
sys.potluck_holder = Holder()
sys.potluck_holder.everything = (soup, view, kept, events, kitchen, bob, potluck, sys.potluck_holder)
soup.__class__.cycle = sys.potluck_holder
""")


def test_a_system_that_is_opened_while_the_interpreter_ends_is_ended_too():
    out = ends("""
import atexit
def late():
    late.system = potluck.PeerSystem("late")
    late.peer = late.system.spawn("ada", on_stop=lambda peer: print("late stops", flush=True))
# Runs before potluck's own, which was registered first.
atexit.register(late)
""")
    assert out == "late stops\n"


def test_an_error_in_the_main_program_ends_the_process_as_usual():
    done = child(START + "kitchen.spawn('ada', on_message=print)\nraise ValueError('no soup')")
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: no soup\n")


def test_sys_exit_in_a_with_block_keeps_its_code():
    done = child("import potluck, sys\nwith potluck.PeerSystem('kitchen') as kitchen:\n    kitchen.spawn('ada')\n    sys.exit(7)")
    assert (done.returncode, done.stderr) == (7, "")
