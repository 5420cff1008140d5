"""Children made by fork: every call raises Forked at once, they exit as usual, and the parent goes on."""

from support import child

START = """
import multiprocessing, os, signal, sys, threading
import potluck
kitchen = potluck.PeerSystem("kitchen")
ada = kitchen.spawn("ada", on_message=lambda peer, message: b"salt")
bob = kitchen.spawn("bob")
ada.share("soup", b"tomato")
soup, events = ada.get("soup"), kitchen.events()
bob.tell("bob", "hello")
message = bob.receive()

CALLS = [
    lambda: potluck.PeerSystem("pantry"),
    lambda: kitchen.spawn("eve", on_stop=print),
    lambda: kitchen.peers(),
    lambda: kitchen.holders("soup"),
    lambda: kitchen.mingle("soup", 7, None),
    lambda: kitchen.events(),
    lambda: kitchen.shutdown(None),
    lambda: ada.share("soup", b"x"),
    lambda: ada.unshare("soup"),
    lambda: ada.get("soup"),
    lambda: ada.resources(),
    lambda: bob.request("ada", "soup", None),
    lambda: bob.fetch("soup", None),
    lambda: ada.offer("bob", "soup", None),
    lambda: ada.exchange("bob", "soup", None),
    lambda: ada.tell("bob", "hello", timeout=None),
    lambda: bob.ask("ada", "taste", timeout=None),
    lambda: bob.receive(None),
    lambda: bob.close(None),
    lambda: events.next(None),
    lambda: message.reply(b"x"),
]

def all_forked():
    signal.alarm(20)  # The deadline: it is not inherited.
    for at, call in enumerate(CALLS):
        try:
            call()
        except potluck.Forked:
            continue
        sys.exit(f"call {at} was made")
    events.close()
    soup.release()
    message.release()

def goes_on():
    assert bytes(bob.request("ada", "soup", 20)) == b"tomato"
    assert bytes(bob.ask("ada", "taste", timeout=20)) == b"salt"
    assert kitchen.shutdown(20) is potluck.Ended.YES

def code_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def fork_beside(busy, works):
    stop = threading.Event()
    def go_on_with(work):
        while not stop.is_set():
            busy(work)
    threads = [threading.Thread(target=go_on_with, args=(work,)) for work in works]
    [thread.start() for thread in threads]
    for _ in range(30):
        pid = os.fork()
        if pid == 0:
            all_forked()
            # With all that Python does at exit.
            sys.exit(7)
        code = code_of(pid)
        if code != 7:
            # The threads go on until they are told: a failure must not wait for them.
            os._exit(code & 0x7f)
    stop.set()
    [thread.join() for thread in threads]
    goes_on()
"""


def runs(code, *options):
    # Newer Pythons warn of every fork beside threads, rightly.
    done = child(START + code, options=("-W", "default", "-W", "ignore::DeprecationWarning", *options))
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def test_a_child_of_os_fork_exits_as_usual():
    runs("""
pid = os.fork()
if pid == 0:
    all_forked()
    sys.exit(7)
assert code_of(pid) == 7
goes_on()
""")


def test_a_child_that_drops_everything_and_leaves_with_blocks_is_silent():
    runs("""
with kitchen, ada:
    pid = os.fork()
    if pid == 0:
        all_forked()
        sys.exit(7)
    assert code_of(pid) == 7
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        CALLS.clear()
        del soup, events, message
        sys.modules["__main__"].__dict__.pop("bob")
        sys.exit(8)
    assert code_of(pid) == 8
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    CALLS.clear()
    del kitchen, ada, bob, soup, events, message
    os._exit(9)
assert code_of(pid) == 9
""")


def test_a_dropped_system_is_no_warning_in_a_child():
    runs("""
CALLS.clear()
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    del kitchen, ada, bob
    sys.exit(7)
assert code_of(pid) == 7
assert kitchen.shutdown(20) is potluck.Ended.YES
""")


def test_multiprocessing_by_fork():
    runs("""
context = multiprocessing.get_context("fork")
processes = [context.Process(target=all_forked) for _ in range(4)]
[process.start() for process in processes]
for process in processes:
    process.join(30)
    assert process.exitcode == 0, process
with context.Pool(2) as pool:
    assert pool.map_async(abs, [-1, -2]).get(30) == [1, 2]
goes_on()
""")


def test_children_of_a_busy_parent():
    runs("""
def busy(name):
    with potluck.PeerSystem("pantry") as pantry:
        # No handler runs here, since threads come and go: see the next test. From C, tests/c/int_fork.c has them.
        eve, joe = pantry.spawn(name), pantry.spawn("joe")
        eve.share("bread", b"rye")
        with kitchen.events() as reader, ada.get("soup"):
            reader.next(20)
        joe.tell(name, "hello", b"", 20)
        eve.receive(20).release()
        joe.request(name, "bread", 20).release()
fork_beside(busy, [f"cook{number}" for number in range(3)])
""")


# Before 3.12 the child of os.fork takes the lock of CPython's list of threads before it makes it anew, and waits for ever if
# another thread had it. One that came into Python anew for each callback would be in the way (5 of some 3,500 forks hung); ours
# stay in that list from their first callback to their last (0 of 1,350).
def test_children_beside_busy_handlers():
    runs("""
# Her first callback.
bob.ask("ada", "taste", timeout=20).release()
fork_beside(lambda guest: guest.ask("ada", "taste", timeout=20).release(), [kitchen.spawn("eve"), kitchen.spawn("joe")])
""")


def test_a_child_while_threads_wait_and_a_handler_runs():
    # Nothing begins or ends at the moment of the fork.
    runs("""
begun, may_end, results = threading.Event(), threading.Event(), []
def on_message(peer, message):
    begun.set()
    may_end.wait(20)
    return b"pepper"
eve = kitchen.spawn("eve", on_message=on_message)
def wait(call):
    results.append(call())
threads = [threading.Thread(target=wait, args=(call,)) for call in (
    lambda: bytes(bob.ask("eve", "taste", timeout=None)),
    lambda: bob.receive(None).kind,
    lambda: [event.peer for event in kitchen.events()][-1],
)]
[thread.start() for thread in threads]
assert begun.wait(20)
for code in (7, 8):
    pid = os.fork()
    if pid == 0:
        all_forked()
        # Once by way of Python's exit, with what is open in the parent, and once without.
        sys.exit(7) if code == 7 else os._exit(8)
    assert code_of(pid) == code
may_end.set()
ada.tell("bob", "hello")
threads[0].join(20)
threads[1].join(20)
goes_on()
threads[2].join(20)
assert sorted(map(str, results[:2])) == ["b'pepper'", "hello"] and len(results) == 3, results
""")


def test_a_child_made_in_a_handler_and_in_a_thread_ends_there():
    runs("""
def fork_and_end(code):
    pid = os.fork()
    if pid == 0:
        all_forked()
        # Not by sys.exit: outside of the main thread that would end no process.
        os._exit(code)
    return code_of(pid)
codes = []
eve = kitchen.spawn("eve", on_message=lambda peer, message: str(fork_and_end(7)).encode())
assert bytes(bob.ask("eve", "fork", timeout=20)) == b"7"
assert bytes(bob.ask("eve", "fork", timeout=20)) == b"7"
thread = threading.Thread(target=lambda: codes.append(fork_and_end(8)))
thread.start()
thread.join(30)
assert codes == [8]
goes_on()
""")


def test_a_handler_may_start_programs():
    runs("""
import subprocess
def on_message(peer, message):
    return subprocess.run(["echo", message.kind], stdout=subprocess.PIPE, check=True, preexec_fn=os.setsid).stdout
eve = kitchen.spawn("eve", on_message=on_message)
for _ in range(5):
    assert bytes(bob.ask("eve", "salt", timeout=20)) == b"salt\\n"
goes_on()
""")


def test_a_child_of_a_child_is_one_too():
    runs("""
pid = os.fork()
if pid == 0:
    second = os.fork()
    all_forked()
    if second == 0:
        sys.exit(8)
    assert code_of(second) == 8
    sys.exit(7)
assert code_of(pid) == 7
goes_on()
""")


def test_a_child_from_before_the_first_system_has_its_own():
    done = child("""
import os, signal, sys
import potluck
pid = os.fork()
if pid == 0:
    signal.alarm(20)
with potluck.PeerSystem("kitchen") as kitchen:
    ada, bob = kitchen.spawn("ada"), kitchen.spawn("bob")
    ada.share("soup", b"tomato")
    assert bytes(bob.request("ada", "soup", 20)) == b"tomato"
if pid == 0:
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
""")
    assert (done.returncode, done.stderr) == (0, "")
