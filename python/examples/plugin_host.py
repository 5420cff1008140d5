"""The host of a plugin that is written in C: one system, shared by two languages inside one process.

Loads a shared object made of c-examples/plugin.c, gives it the system's id, and asks the peer that has joined in. Plugin and
package must use one loaded copy of the library, so the plugin is linked with the file that the package has loaded.

    plugin_host.py path/to/plugin.so

Prints what the plugin's peer answers.
"""

from __future__ import annotations

import ctypes
import sys

from potluck import PeerSystem, UnknownMessage

TIMEOUT = 10.0


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: plugin_host.py path/to/plugin.so", file=sys.stderr)
        return 2
    try:
        plugin = ctypes.CDLL(sys.argv[1])
    except OSError as error:
        print(f"plugin_host: {error}", file=sys.stderr)
        return 1
    # An id is passed like the number it holds.
    plugin.plugin_start.argtypes = [ctypes.c_uint64]
    with PeerSystem("kitchen") as kitchen:
        host = kitchen.spawn("host")
        host.share("herb", b"basil")
        if plugin.plugin_start(kitchen.id) != 0:
            print("plugin_host: the plugin does not start", file=sys.stderr)
            return 1
        kitchen.wait_for("cook", TIMEOUT)
        dish = host.ask("cook", "cook", timeout=TIMEOUT)
        print(f"the plugin cooks {bytes(dish).decode()}")
        try:
            host.ask("cook", "dance", timeout=TIMEOUT)
        except UnknownMessage as error:
            print(f"and of dancing: {error}")
        print(f"the herb is held by {', '.join(holder.peer for holder in kitchen.holders('herb'))}")
        if plugin.plugin_stop() != 0:
            print("plugin_host: the plugin does not stop", file=sys.stderr)
            return 1
        # The answer outlives the plugin's peer: its bytes are the library's.
        print(f"it has left {', '.join(kitchen.peers())} behind; still {bytes(dish).decode()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
