"""A camera and two consumers at their own pace: numpy arrays are handed over without a copy.

The camera fills an array per frame and shares its very bytes under one name, a new version each time. The screen wants to be
told of every frame and shows what is there when it has time for one; the recorder asks for what is newer than what it has, and
often finds nothing. Whoever holds a frame keeps its memory; the camera is never slowed down, and never writes where somebody
reads.

    numpy_frames.py

Prints what each of them has seen; the numbers of frames are different each time, so of those it prints what must hold.
"""

from __future__ import annotations

import sys
import threading
import weakref

import numpy as np
import numpy.typing as npt

from potluck import Message, Peer, PeerSystem, Resource

FRAMES = 100
SHAPE = (480, 640)
TIMEOUT = 10.0

Frame = npt.NDArray[np.uint8]


def main() -> int:
    made: list[weakref.ref[Frame]] = []
    shown: list[int] = []
    with PeerSystem("studio") as studio:
        camera = studio.spawn("camera")

        def show(screen: Peer, _message: Message) -> None:
            shown.append(number_of(screen.request("camera", "frame", TIMEOUT)))

        studio.spawn("screen", on_message=show)
        recorded: list[int] = []
        is_over = threading.Event()
        recorder = threading.Thread(target=record, args=(studio.spawn("recorder"), recorded, is_over))

        for number in range(1, FRAMES + 1):
            frame = np.full(SHAPE, number, np.uint8)
            made.append(weakref.ref(frame))
            camera.share("frame", frame.data, copy=False)
            camera.tell("screen", "frame", timeout=TIMEOUT)
            if number == 1:
                recorder.start()
        is_over.set()
        recorder.join()

        # What a request gives is where the camera has put it.
        last = made[-1]()
        assert last is not None
        seen = as_frame(camera.get("frame"))
        print(f"copied: {'nothing' if np.shares_memory(seen, last) and not seen.flags.writeable else 'the frame'}")
        del last, seen
    alive = sum(frame() is not None for frame in made)
    print(f"the camera made {FRAMES} frames of {SHAPE[1]} x {SHAPE[0]}")
    print(f"the screen was told of {len(shown)}, each as new as the one before or newer: {shown == sorted(shown)}")
    print(f"the recorder saw none twice: {len(set(recorded)) == len(recorded)}, and the last one: {recorded[-1] == FRAMES}")
    print(f"frames still in memory: {alive}")
    return 0


def record(recorder: Peer, recorded: list[int], is_over: threading.Event) -> None:
    """Takes whatever is newer than what it has, as often as it can."""
    held: Resource | None = None
    while True:
        # Looked at before the request: the last frame was shared before.
        was_over = is_over.is_set()
        newer = recorder.request_newer("camera", "frame", held, TIMEOUT)
        if newer is not None:
            recorded.append(number_of(newer))
            held = newer
        elif was_over:
            return


def number_of(resource: Resource) -> int:
    """The number that all of a frame is made of: a torn one would have two."""
    frame = as_frame(resource)
    number = int(frame[0, 0])
    assert (frame == number).all()
    return number


def as_frame(resource: Resource) -> Frame:
    """The library's own bytes as an array, which keeps them."""
    return np.frombuffer(resource.view, np.uint8).reshape(SHAPE)


if __name__ == "__main__":
    sys.exit(main())
