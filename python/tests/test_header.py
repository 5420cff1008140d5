"""The C header in the hands of cffi: what the preprocessor makes of it is all that cffi needs to call the library."""

import os
import shlex
import subprocess

import cffi

from support import LIBRARY, PYTHON_FOLDER

INCLUDE = PYTHON_FOLDER.parent / "include"


def declarations(folder):
    # cffi knows the types of these two headers, and not the compiler's own words in them.
    for header in ("stddef.h", "stdint.h"):
        (folder / header).write_text("")
    preprocess = [*shlex.split(os.environ.get("CC") or "cc"), "-E", "-P", "-nostdinc", f"-I{folder}", INCLUDE / "potluck.h"]
    return subprocess.run(preprocess, check=True, capture_output=True, text=True).stdout


def test_cffi_takes_the_header_after_the_preprocessor_and_calls_by_it(tmp_path):
    ffi = cffi.FFI()
    ffi.cdef(declarations(tmp_path))
    library = ffi.dlopen(str(LIBRARY))

    @ffi.callback("potluck_on_message_fn")
    def answer(peer, message, user_data):
        return library.potluck_message_reply(message, b"soup", 4)

    kitchen, cook, guest = (ffi.new(f"potluck_{kind}_t *") for kind in ("system", "peer", "peer"))
    options = ffi.new("potluck_peer_options_t *", {"struct_size": ffi.sizeof("potluck_peer_options_t"), "on_message": answer})
    reply, info = ffi.new("potluck_resource_t *"), ffi.new("potluck_resource_info_t *")
    info.struct_size = ffi.sizeof("potluck_resource_info_t")
    assert library.potluck_system_open(b"kitchen", ffi.NULL, kitchen) == 0
    assert library.potluck_peer_spawn(kitchen[0], b"cook", options, cook) == 0
    assert library.potluck_peer_spawn(kitchen[0], b"guest", ffi.NULL, guest) == 0
    assert library.potluck_peer_ask(guest[0], b"cook", b"what is there", ffi.NULL, 0, 10000, reply) == 0
    assert library.potluck_resource_info(reply[0], info) == 0
    assert ffi.buffer(info.data, info.data_len)[:] == b"soup"
    assert ffi.string(info.origin) == b"cook"
    assert library.potluck_resource_release(reply[0]) == 0
    assert library.potluck_resource_release(reply[0]) == 11, "an id that was released"
    assert library.potluck_system_shutdown(kitchen[0], 10000, ffi.NULL) == 0
