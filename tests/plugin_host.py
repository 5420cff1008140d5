"""Python as the host of c-examples/plugin.c, by nothing but ctypes: plugin_host.py path/to/libpotluck.so path/to/plugin.so

Prints what c-examples/plugin_host.c prints.
"""

import _ctypes
import ctypes
import sys

TIMEOUT_MS = ctypes.c_int64(10000)
library = ctypes.CDLL(sys.argv[1])
plugin = ctypes.CDLL(sys.argv[2])
for function in (library.potluck_status_str, library.potluck_last_error):
    function.restype = ctypes.c_char_p


def check(status: int) -> None:
    """Ends the program unless the call succeeded."""
    if status != 0:
        sys.exit(f"{library.potluck_status_str(status).decode()}: {library.potluck_last_error().decode()}")


# An id is passed like the number that it holds.
kitchen, host, dish = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_uint64()
data, data_len = ctypes.POINTER(ctypes.c_char)(), ctypes.c_size_t()
none, zero = None, ctypes.c_size_t(0)

check(library.potluck_system_open(b"kitchen", none, ctypes.byref(kitchen)))
check(library.potluck_peer_spawn(kitchen, b"host", none, ctypes.byref(host)))
check(library.potluck_peer_share(host, b"herb", b"basil", ctypes.c_size_t(5), none))
check(plugin.plugin_start(kitchen))
check(library.potluck_system_wait_for(kitchen, b"cook", TIMEOUT_MS))
check(library.potluck_peer_ask(host, b"cook", b"cook", none, zero, TIMEOUT_MS, ctypes.byref(dish)))
check(library.potluck_resource_data(dish, ctypes.byref(data), ctypes.byref(data_len)))
print("the plugin cooks", data[: data_len.value].decode())

# The answer outlives the plugin: its bytes are the library's.
check(plugin.plugin_stop())
_ctypes.dlclose(plugin._handle)
print("unloaded; still", data[: data_len.value].decode())
check(library.potluck_resource_release(dish))
check(library.potluck_system_shutdown(kitchen, TIMEOUT_MS, none))
