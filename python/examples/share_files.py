"""Shares the real files of folders, and fetches them all: the main job, on real input.

One peer per folder shares every regular file below it; another peer, `guest`, fetches them all by name, and each is compared
by digest with the file read again. Prints what was skipped and why, a progress bar, and the sums.

    share_files.py FOLDER...
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

from potluck import InvalidName, Peer, PeerSystem, PotluckError

TIMEOUT = 10.0
BAR_WIDTH = 40


def main() -> int:
    folders = sys.argv[1:]
    if not folders:
        print("usage: share_files.py FOLDER...", file=sys.stderr)
        return 2
    # A name that cannot be printed is shown with escapes.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        share_and_fetch(folders)
    except (OSError, ValueError, PotluckError) as error:
        print(f"share_files: {error}", file=sys.stderr)
        return 1
    return 0


def share_and_fetch(folders: list[str]) -> None:
    bases: list[str] = []
    files: dict[str, str] = {}
    with PeerSystem("files") as system:
        for number, folder in enumerate(folders, 1):
            base = base_name(folder)
            if base in bases:
                raise ValueError(f"two folders are called {base}")
            bases.append(base)
            share_folder(system.spawn(f"peer{number}"), folder, base, files)
        if not files:
            raise ValueError("no file to share")

        guest = system.spawn("guest")
        start = time.perf_counter()
        size = 0
        for done, name in enumerate(files, 1):
            size += len(guest.fetch(name, TIMEOUT))
            show_progress(done, len(files))
        seconds = time.perf_counter() - start

        total = hashlib.sha256()
        for name in sorted(files, key=os.fsencode):
            fetched = hashlib.sha256(guest.get(name).view).hexdigest()
            if fetched != hashlib.sha256(Path(files[name]).read_bytes()).hexdigest():
                raise ValueError(f"{name} is not what is in the file")
            total.update(f"{fetched}  {name}\n".encode())
    print(f"{len(files)} files, {size} bytes from {len(folders)} peers, all digests equal")
    print(f"digest {total.hexdigest()}")
    print(f"{size / 1e6 / max(seconds, 1e-9):.1f} MB/s")


def share_folder(peer: Peer, folder: str, base: str, files: dict[str, str]) -> None:
    """Shares what is below a folder, in the order of the names. What cannot be shared is listed, with the reason."""
    for entry in sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name)):
        name = f"{base}/{entry.name}"
        if entry.is_symlink():
            print(f"skipped {name}: a symbolic link")
        elif entry.is_dir():
            share_folder(peer, entry.path, name, files)
        elif not entry.is_file():
            print(f"skipped {name}: not a regular file")
        else:
            try:
                peer.share(name, Path(entry.path).read_bytes())
                files[name] = entry.path
            except InvalidName as error:
                print(f"skipped {name}: {error}")


def base_name(folder: str) -> str:
    """What the folder is called, also if it is given as `.`."""
    return Path(folder).resolve(strict=True).name or "root"


def show_progress(done: int, of: int) -> None:
    # Only the full bar where nobody watches it grow.
    if done < of and not sys.stderr.isatty():
        return
    full = BAR_WIDTH * done // of
    end = "\n" if done == of else ""
    print(f"\r[{'#' * full}{'.' * (BAR_WIDTH - full)}] {done}/{of}", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
