"""What goes on for long, or is dropped without a word, leaves nothing behind. In child processes, each with a deadline."""

import pytest

from support import child

START = """
import gc, os, sys, threading, time, warnings
import potluck

def settled(measure, wanted):
    deadline = time.monotonic() + 30
    while measure() > wanted:
        assert time.monotonic() < deadline, (measure(), wanted)
        time.sleep(0.01)

def threads():
    return len(os.listdir("/proc/self/task"))

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
"""


def runs(code):
    done = child(START + code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done


def test_a_thousand_systems_that_are_dropped_without_a_close_leave_no_thread():
    runs("""
warnings.simplefilter("ignore", ResourceWarning)
before = threads()
for number in range(1000):
    kitchen = potluck.PeerSystem("kitchen")
    ada, bob = kitchen.spawn("ada", on_message=lambda peer, message: b"salt"), kitchen.spawn("bob")
    if number % 10 == 0:
        assert bytes(bob.ask("ada", "taste")) == b"salt"
        # A cycle, which only the garbage collector finds.
        cycle = [kitchen, ada]
        cycle.append(cycle)
        del cycle
del kitchen, ada, bob
gc.collect()
settled(threads, before)
""")


def test_a_million_requests_leave_memory_and_reference_counts_as_they_were():
    runs("""
kitchen = potluck.PeerSystem("kitchen")
ada, bob = kitchen.spawn("ada", on_message=lambda peer, message: bytes(message)), kitchen.spawn("bob")
dan = kitchen.spawn("dan")
body, objects = b"tomato" * 100, (None, True, "ada", "soup", b"", 0, 1)
ada.share("soup", body)

def play(rounds):
    for number in range(rounds):
        soup = bob.request("ada", "soup")
        if number % 100 == 0:
            assert soup.view == body and bytes(soup) == body and soup.origin == "ada"
            ada.share("soup", body)
            ada.share("adopted", body, copy=False)
            bob.tell("dan", "hello", body)
            assert bytes(dan.receive()) == body
            assert bytes(bob.ask("ada", "echo", body)) == body
            bob.request_newer("ada", "soup", soup)
            try:
                bob.request("nobody", "soup")
            except potluck.NoSuchPeer:
                pass

play(50_000)
gc.collect()
before, counts = resident(), [sys.getrefcount(thing) for thing in (body, ada, bob, *potluck.errors.BY_STATUS.values())]
live = len(gc.get_objects())
play(1_000_000)
gc.collect()
assert resident() - before < 8 << 20, resident() - before
after = [sys.getrefcount(thing) for thing in (body, ada, bob, *potluck.errors.BY_STATUS.values())]
assert all(abs(one - other) < 5 for one, other in zip(counts, after)), (counts, after)
assert len(gc.get_objects()) - live < 1000
assert kitchen.snapshot()["handles"]["resources"] <= 2
kitchen.shutdown()
""")


def test_a_memoryview_outlives_its_resource_its_peer_and_its_system():
    runs("""
body = bytes(range(256)) * 4096
kitchen = potluck.PeerSystem("kitchen")
ada, bob = kitchen.spawn("ada"), kitchen.spawn("bob")
ada.share("soup", body)
ada.share("adopted", bytearray(body), copy=False)
views = [bob.request("ada", name).view[1000:] for name in ("soup", "adopted")]
kitchen.shutdown()
del kitchen, ada, bob
gc.collect()
others = [bytearray(len(body)) for _ in range(16)]
assert views[0] == views[1] == body[1000:]
""")


def test_a_second_thread_ticks_while_the_main_thread_waits():
    runs("""
kitchen = potluck.PeerSystem("kitchen")
bob = kitchen.spawn("bob")
ticks = []

def tick():
    while len(ticks) < 20:
        time.sleep(0.005)
        ticks.append(None)
    bob.tell("bob", "enough")

threading.Thread(target=tick).start()
assert bob.receive(None).kind == "enough"
assert len(ticks) == 20
kitchen.shutdown()
""")


def test_a_handler_may_call_everything():
    runs("""
kitchen = potluck.PeerSystem("kitchen")
bob, eve, inbox = kitchen.spawn("bob"), kitchen.spawn("eve", on_message=lambda peer, message: b"eve"), kitchen.spawn("inbox")
eve.share("soup", b"leek")
bob.share("soup", b"onion")
results = {}

def everything(peer, *arguments):
    me, here = peer.name, threading.get_native_id()
    done = {}
    if arguments:
        # Not of on_stop: its peer is closed.
        done.update(
            share=peer.share("soup", b"tomato"),
            adopt=peer.share("adopted", bytearray(b"tomato"), copy=False),
            share_if=peer.share_if("bread", b"rye", None),
            get=bytes(peer.get("soup")),
            unshare=peer.unshare("adopted"),
            request=bytes(peer.request("bob", "soup")),
            newer=peer.request_newer("bob", "soup", peer.get("soup")),
            fetch=len(peer.fetch("soup")),
            offer=peer.offer("inbox", "soup"),
            exchange=len(peer.exchange("eve", "soup")),
            tell=peer.tell("inbox", "hello"),
            ask=bytes(peer.ask("eve", "who?")),
            started=bytes(peer.start_ask("eve", "who?").wait()),
            mingle=len(kitchen.mingle("soup", 1)) > 3,
            wait_for=kitchen.wait_for("bob"),
        )
        with kitchen.spawn("guest", on_message=lambda guest, message: b"guest") as guest:
            done["guest"] = bytes(peer.ask("guest", "who?"))
        with potluck.PeerSystem("other") as other, other.spawn("dan") as dan:
            done["other"] = dan.share("soup", b"x")
    done.update(
        peers=len(kitchen.peers()) >= 4,
        holders=len(kitchen.holders("soup")) >= 2,
        dead=kitchen.dead_letters(),
        snapshot=kitchen.snapshot()["system"],
        plate=bytes(peer.get("plate")),
        close=peer.close(0).name,
        same_thread=here == threading.get_native_id(),
    )
    with kitchen.events() as events:
        done["event"] = events.next(0).kind.name
    results[me, len(arguments)] = done

for name, act in (
    ("on_message", lambda name: bob.tell(name, "go")),
    ("on_request", lambda name: bob.request(name, "soup", 20)),
    ("on_offer", lambda name: bob.offer(name, "soup", 20)),
    ("on_received", lambda name: bob.offer(name, "soup", 20)),
    ("on_stop", lambda name: None),
):
    peer = kitchen.spawn(name, **{name: everything})
    peer.share("plate", b"tomato")
    try:
        act(name)
    except potluck.PeerClosed:
        # It closes itself, which takes effect when its handler returns.
        pass
    deadline = time.monotonic() + 20
    while not any(who == name for who, _ in results) and name != "on_stop":
        assert time.monotonic() < deadline, name
        time.sleep(0.001)
    assert peer.close(20) is potluck.Ended.YES
    ((_, count), done), = results.items()
    results.clear()
    assert done["close"] == "DEFERRED" and done["same_thread"], (name, done)
    assert (done["event"], done["plate"]) == ("JOINED", b"tomato"), (name, done)
    if count:
        answers = [done[call] for call in ("ask", "started", "guest", "newer")]
        assert answers == [b"eve", b"eve", b"guest", None], (name, done)
assert kitchen.shutdown(20) is potluck.Ended.YES
""")


@pytest.mark.parametrize("handler", ["on_message", "on_request", "on_offer", "on_received"])
def test_threads_that_python_has_kept_are_forgotten_with_their_peers(handler):
    runs(f"""
kitchen = potluck.PeerSystem("kitchen")
bob = kitchen.spawn("bob")
bob.share("soup", b"tomato")
kept = threading.local()
seen = []

class Thing:
    def __del__(self):
        seen.append("dropped")

def handle(peer, *arguments):
    # What a handler puts there is still there for the next one, and goes with its peer.
    kept.count = getattr(kept, "count", 0) + 1
    kept.thing = getattr(kept, "thing", None) or Thing()
    seen.append(kept.count)

def play():
    seen.clear()
    with kitchen.spawn("ada", {handler}=handle) as ada:
        ada.share("soup", b"leek")
        for _ in range(3):
            bob.tell("ada", "go") if "{handler}" == "on_message" else None
            bob.request("ada", "soup") if "{handler}" == "on_request" else bob.offer("ada", "soup")
    assert seen == [1, 2, 3, "dropped"], seen

for _ in range(100):
    play()
gc.collect()
before = resident()
for _ in range(1000):
    play()
gc.collect()
assert resident() - before < 8 << 20, resident() - before
kitchen.shutdown()
""")
