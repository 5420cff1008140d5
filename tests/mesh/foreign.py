"""A client that knows the engine and the layout of the keys alone: prints who is there, and what it reads."""

import hashlib
import json
import sys
import time

import zenoh

PIECE = 60 << 10


def get(session: zenoh.Session, selector: str) -> tuple[bytes, dict] | None:
    """The bytes of the one answer, and what it says of them."""
    answers = [reply.ok for reply in session.get(selector, timeout=5.0) if reply.ok is not None]
    if not answers:
        return None
    [answer] = answers
    assert answer.attachment is not None
    return answer.payload.to_bytes(), json.loads(answer.attachment.to_bytes())


def show(word: str, answer: tuple[bytes, dict] | None, digest: bool = False) -> None:
    if answer is None:
        print(word, "no")
        return
    body, about = answer
    print(word, hashlib.sha256(body).hexdigest() if digest else body.hex(), about["origin"], about["version"], about["size"])


def present(session: zenoh.Session) -> set[str]:
    keys = [str(reply.ok.key_expr) for reply in session.liveliness().get("potluck/kitchen/p/**") if reply.ok is not None]
    parts = [key.split("/") for key in keys]
    return {f"{part[5]}@{part[3]}" for part in parts if len(part) == 6 and len(part[4]) == 32}


def main() -> None:
    config = zenoh.Config()
    config.insert_json5("mode", '"peer"')
    config.insert_json5("connect/endpoints", json.dumps([sys.argv[1]]))
    config.insert_json5("listen/endpoints", json.dumps(["tcp/127.0.0.1:0"]))
    config.insert_json5("scouting/multicast/enabled", "false")
    with zenoh.open(config) as session:
        deadline = time.monotonic() + 10
        while len(peers := present(session)) < 2 and time.monotonic() < deadline:
            pass
        for peer in sorted(peers):
            print("present", peer)
        at = "potluck/kitchen/r"
        show("soup", get(session, f"{at}/desk/ada/soup"))
        show("copy", get(session, f"{at}/laptop/bob/soup"))
        show("photo", get(session, f"{at}/desk/ada/photos/cat.jpg"), digest=True)
        pieces, size = b"", 1
        about: dict = {}
        while len(pieces) < size:
            piece = get(session, f"{at}/desk/ada/large?offset={len(pieces)};len={PIECE}")
            assert piece is not None
            pieces, about = pieces + piece[0], piece[1]
            size = about["size"]
        show("pieces", (pieces, about), digest=True)
        show("whole", get(session, f"{at}/desk/ada/large"))
        show("nothing", get(session, f"{at}/desk/ada/nothing"))
        show("nobody", get(session, f"{at}/desk/nobody/soup"))


main()
