"""The end of the interpreter, in child processes: prompt, without a word and without a crash, whatever still runs."""

import pytest

from support import child

START = """
import os
import sys
import threading
import time
import potluck
from potluck import system
kitchen = potluck.PeerSystem("kitchen")
bob = kitchen.spawn("bob")
"""


def ends(code, returncode=0, before=""):
    done = child(before + START + code)
    assert (done.returncode, done.stderr) == (returncode, ""), done
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


# How a thread of the host may wait for ever. In each of them ada is in a handler and has all the messages that she may have.
WAITS = {
    "request": "bob.request('ada', 'soup', None)",
    "fetch": "bob.fetch('soup', None)",
    "offer": "bob.offer('ada', 'bread', None)",
    "exchange": "bob.exchange('ada', 'bread', None)",
    "ask": "bob.ask('ada', 'anybody?', timeout=None)",
    "tell": "bob.tell('ada', 'anybody?', timeout=None)",
    "receive": "bob.receive(None)",
    "events": "[event for event in events]",
    "mingle": "kitchen.mingle('soup', 7, None)",
    "close": "ada.close(None)",
}


@pytest.mark.parametrize("daemon", [False, True], ids=["thread", "daemon"])
@pytest.mark.parametrize("wait", WAITS)
def test_with_a_thread_that_waits_for_ever(wait, daemon):
    out = ends(f"""
begun, may_end = threading.Event(), threading.Event()
def on_message(peer, message):
    begun.set()
    may_end.wait()
ada = kitchen.spawn("ada", on_message=on_message, on_request=lambda peer, sender, name: None, mailbox_messages_max=1)
ada.share("soup", b"tomato")
bob.share("bread", b"rye")
bob.tell("ada", "wait")
assert begun.wait(20)
if {wait!r} == "tell":
    bob.tell("ada", "fills the mailbox", timeout=20)
events = kitchen.events()
def run():
    waits.set()
    try:
        {WAITS[wait]}
    except potluck.PotluckError:
        pass
    os.write(1, b"told\\n")
waits = threading.Event()
threading.Thread(target=run, daemon={daemon}).start()
assert waits.wait(20)
# When the exit has begun, with some luck.
threading.Timer(0.05, may_end.set).start()
""")
    # Whether a daemon comes to say so before it is stopped is a matter of luck.
    assert out == "told\n" or (daemon and not out)


@pytest.mark.parametrize("order", ["import concurrent.futures.thread", ""], ids=["before", "after"])
def test_with_a_thread_of_a_pool_that_waits_for_ever(order):
    # The exit joins those, too, and by its own function, which may be registered before ours or after it.
    out = ends(
        """
import concurrent.futures
def wait():
    try:
        bob.receive(None)
    except potluck.PotluckError:
        os.write(1, b"told\\n")
pool = concurrent.futures.ThreadPoolExecutor(2)
pool.submit(wait)
pool.submit(wait)
""",
        before=order,
    )
    assert out == "told\ntold\n"


def test_with_handlers_of_many_peers_in_the_middle_of_python_code():
    ends("""
system._EXIT_SECONDS = 0.1
begun = threading.Semaphore(0)
def on_message(peer, message):
    begun.release()
    while True:
        sum(range(100))
for number in range(8):
    kitchen.spawn(f"cook{number}", on_message=on_message, on_stop=print)
    bob.tell(f"cook{number}", "cook")
for number in range(8):
    assert begun.acquire(timeout=20)
""")


def test_with_handlers_that_wait_for_longer_than_the_exit_does():
    # Some of them wake up before the interpreter is gone, some while it goes, some never.
    ends("""
system._EXIT_SECONDS = 0.05
begun = threading.Semaphore(0)
def on_message(peer, message):
    begun.release()
    time.sleep(0.01 * int(message.kind))
for number in range(20):
    kitchen.spawn(f"cook{number}", on_message=on_message, on_stop=lambda peer: None)
    bob.tell(f"cook{number}", str(number))
    bob.tell(f"cook{number}", str(number))
for number in range(20):
    assert begun.acquire(timeout=20)
""")


@pytest.mark.parametrize("seconds", [0, 0.01, 0.03, 0.1])
def test_with_daemons_that_make_every_kind_of_call(seconds):
    # Opening, spawning, asking, closing, on and on, until the interpreter stops them in the middle of it.
    ends(f"""
def on_message(peer, message):
    return b"salt" * 100
def handle(*what):
    pass
def work(number):
    while True:
        try:
            with potluck.PeerSystem(f"pantry{{number}}") as pantry:
                eve = pantry.spawn("eve", on_message=on_message, on_request=handle, on_received=handle, on_stop=handle)
                joe = pantry.spawn("joe")
                eve.share("bread", b"rye")
                joe.request("eve", "bread").view
                joe.ask("eve", "salt")
                joe.offer("eve", "bread")
                joe.tell("eve", "salt")
                bob.request("ada", "soup")
                bob.ask("ada", "salt")
        except potluck.PotluckError:
            # The exit has closed it.
            pass
kitchen.spawn("ada", on_message=on_message, on_request=handle).share("soup", b"tomato")
for number in range(4):
    threading.Thread(target=work, args=(number,), daemon=True).start()
time.sleep({seconds})
""")


@pytest.mark.parametrize("where", ["main", "thread", "handler"])
def test_os_exit_ends_the_process_at_once_with_its_code(where):
    out = ends(
        f"""
begun = threading.Event()
def on_message(peer, message):
    begun.set()
    if {where!r} == "handler":
        os._exit(7)
    while True:
        pass
def wait():
    begun.wait(20)
    if {where!r} == "thread":
        os._exit(7)
    bob.receive(None)
kitchen.spawn("ada", on_message=on_message, on_stop=lambda peer: print("never", flush=True))
threading.Thread(target=wait).start()
bob.tell("ada", "go on")
assert begun.wait(20)
if {where!r} == "main":
    os._exit(7)
bob.receive(None)
""",
        returncode=7,
    )
    assert out == ""


def test_sys_exit_in_a_thread_ends_that_thread_alone():
    out = ends("""
def leave():
    bob.tell("bob", "I leave")
    sys.exit(3)
thread = threading.Thread(target=leave)
thread.start()
thread.join()
print(bob.receive(20).kind, flush=True)
""")
    assert out == "I leave\n"


def test_an_atexit_function_that_uses_a_system_is_told_that_it_is_closed():
    # The systems end before the interpreter joins its threads, and atexit functions run after that.
    out = ends(
        """
def late():
    for call in (lambda: bob.share("soup", b""), lambda: bob.ask("ada", "salt"), lambda: bob.receive(None), kitchen.peers):
        try:
            call()
        except potluck.Closed:
            print("closed", flush=True)
    print(kitchen.shutdown(None), bytes(soup), flush=True)
kitchen.spawn("ada", on_message=lambda peer, message: b"salt")
soup = bob.ask("ada", "salt")
atexit.register(late)
""",
        # Registered before potluck's own, it runs after that.
        before="import atexit\natexit.register(lambda: late())\n",
    )
    assert out == 2 * (4 * "closed\n" + "Ended.YES b'salt'\n")


def test_an_atexit_function_that_runs_after_ours_may_open_a_system_of_its_own():
    out = ends(
        """
def late():
    with potluck.PeerSystem("late") as opened:
        eve = opened.spawn("eve")
        opened.spawn("ada", on_message=lambda peer, message: b"salt")
        print(bytes(eve.ask("ada", "salt", timeout=20)), flush=True)
""",
        before="import atexit\natexit.register(lambda: late())\n",
    )
    assert out == "b'salt'\n"


@pytest.mark.parametrize("cycles", [False, True], ids=["at once", "by the collector"])
def test_a_thousand_systems_that_are_dropped_leave_no_thread(cycles):
    out = ends(f"""
import gc
import warnings
warnings.simplefilter("ignore", ResourceWarning)
def threads():
    return len(os.listdir("/proc/self/task"))
kitchen.shutdown()
most = 0
class Holder:
    pass
for number in range(1000):
    pantry = potluck.PeerSystem("pantry")
    eve = pantry.spawn("eve", on_message=lambda peer, message: b"salt")
    joe = pantry.spawn("joe")
    eve.share("bread", b"rye")
    joe.request("eve", "bread")
    joe.ask("eve", "salt")
    if {cycles}:
        holder = Holder()
        holder.held = holder, pantry, eve, joe
        del holder
        if number % 50 == 0:
            gc.collect()
    del pantry, eve, joe
    most = max(most, threads())
gc.collect()
deadline = time.monotonic() + 20
while threads() > 1 and time.monotonic() < deadline:
    time.sleep(0.01)
assert threads() == 1, threads()
# Each has two, which end a moment after it is dropped; none is left over from long before.
assert most < 500, most
""")
    assert out == ""


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
