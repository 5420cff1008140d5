"""The library's bytes in Python, and Python's buffers in the library."""

import array
import gc
import mmap

import pytest

from potluck import InvalidHandle, PeerSystem


def test_a_view_is_read_only_and_copies_nothing(ada, bob):
    ada.share("soup", b"tomato")
    first, second = ada.get("soup").view, bob.request("ada", "soup").view
    assert (first.readonly, first.format, first.nbytes, first.tobytes()) == (True, "B", 6, b"tomato")
    with pytest.raises(TypeError):
        first[0] = 1
    assert address(first) == address(second)


def address(view):
    """Where the bytes are, by CPython's own means."""
    from potluck import _ffi

    with _ffi._Borrowed(view) as (data, _):
        return data.value


def test_a_view_outlives_resource_peer_and_system():
    body = bytes(range(256)) * 4096
    kitchen = PeerSystem("kitchen")
    ada, bob = kitchen.spawn("ada"), kitchen.spawn("bob")
    ada.share("soup", body)
    soup = bob.request("ada", "soup")
    view, part = soup.view, soup.view[1000:2000]
    ada.unshare("soup")
    soup.release()
    kitchen.shutdown()
    del soup, ada, bob, kitchen
    gc.collect()
    # What was freed would be given out anew here.
    others = [bytearray(len(body)) for _ in range(16)]
    assert view == body
    assert part == body[1000:2000]
    del view, others
    gc.collect()
    assert part == body[1000:2000]


def test_a_resource_outlives_its_peer_and_its_system():
    with PeerSystem("kitchen") as kitchen:
        ada = kitchen.spawn("ada")
        ada.share("soup", b"tomato")
        soup = ada.get("soup")
    del kitchen, ada
    gc.collect()
    assert (bytes(soup), soup.name, soup.origin, soup.version, len(soup)) == (b"tomato", "soup", "ada", 1, 6)
    assert repr(soup) == "<potluck.Resource 'soup' version 1 by 'ada', 6 bytes>"


def test_a_released_resource_says_so_and_may_be_released_again(ada):
    ada.share("soup", b"tomato")
    with ada.get("soup") as soup:
        assert bytes(soup) == b"tomato"
    for read in (lambda: bytes(soup), lambda: soup.view):
        with pytest.raises(InvalidHandle, match="was released"):
            read()
    soup.release()
    assert (soup.name, len(soup)) == ("soup", 6)


def test_the_memory_of_a_resource_is_given_back(ada):
    body = bytes(16 << 20)

    def resident():
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * mmap.PAGESIZE

    ada.share("soup", body)
    before = resident()
    for _ in range(64):
        ada.share("soup", body)
        soup = ada.get("soup")
        view = soup.view
        assert view[0] == 0
    # 64 of them would be 1 GiB.
    assert resident() - before < 256 << 20


def test_any_contiguous_buffer_can_be_shared(ada, tmp_path):
    file = tmp_path / "soup"
    file.write_bytes(b"tomato")
    with (
        file.open("r+b") as opened,
        mmap.mmap(opened.fileno(), 0) as writable,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        for body in (
            b"tomato",
            bytearray(b"tomato"),
            memoryview(b"tomato"),
            memoryview(b"a tomato soup")[2:8],
            memoryview(bytearray(b"tomato")),
            array.array("B", b"tomato"),
            mapped,
            writable,
        ):
            ada.share("soup", body)
            assert bytes(ada.get("soup")) == b"tomato"
    ada.share("soup", ada.get("soup").view)
    assert bytes(ada.get("soup")) == b"tomato"
    ada.share("numbers", array.array("I", [1, 2]))
    assert bytes(ada.get("numbers")) == array.array("I", [1, 2]).tobytes()


def test_a_buffer_that_is_not_contiguous_is_an_error(ada):
    with pytest.raises(BufferError):
        ada.share("soup", memoryview(b"tomato")[::2])
    assert ada.resources() == []


def test_a_shared_buffer_is_copied_and_let_go(ada):
    body = bytearray(b"tomato")
    ada.share("soup", body)
    # A buffer that was still held could not grow.
    body += b" and more"
    body[:6] = b"potato"
    assert bytes(ada.get("soup")) == b"tomato"


def test_bodies_of_messages_may_be_any_buffer(kitchen, ada):
    kitchen.spawn("echo", on_message=lambda peer, message: message.view[1:])
    for body in (b"tomato", bytearray(b"tomato"), memoryview(b"tomato")):
        assert bytes(ada.ask("echo", "say", body)) == b"omato"
    ada.tell("ada", "say", memoryview(b"tomato")[:3])
    assert bytes(ada.receive(0)) == b"tom"


def test_every_byte_is_as_it_was(ada, bob):
    body = bytes(range(256))
    ada.share("all", body)
    assert bytes(bob.request("ada", "all")) == body
