"""Joining a mesh: the options, as far as one process shows them. What the options cannot mean is said, what they can opens a system; in a
library without a mesh both are Unsupported."""

import asyncio
import dataclasses
import math
from pathlib import Path

import pytest

from potluck import InvalidArgument, InvalidName, Mesh, NoSuchPeer, PeerSystem, TimedOut, Unsupported
from support import SHORT


@pytest.mark.parametrize(
    "mesh",
    [
        Mesh(),
        Mesh(node="laptop", listen=["127.0.0.1:0"], lease=0.1),
        Mesh(listen=("[::1]:0", "localhost:0"), gossip=False),
        Mesh(listen=["0.0.0.0:0"], listen_everywhere_without_tls=True),
        Mesh(node="küche", lease=3),
    ],
)
def test_a_mesh_opens_a_system_or_is_unsupported(mesh):
    try:
        with PeerSystem("kitchen", mesh=mesh) as kitchen:
            kitchen.spawn("ada")
            assert kitchen.peers() == ["ada"]
            assert kitchen.snapshot()["nodes"] == []
            kitchen.wait_for("ada", 0)
            with pytest.raises(TimedOut):
                kitchen.wait_for("ada@nowhere", SHORT)
    except Unsupported as error:
        assert "mesh" in str(error)


def test_tls_is_of_three_files_of_any_kind_of_path():
    with pytest.raises((Unsupported, InvalidArgument)) as caught:
        PeerSystem("kitchen", mesh=Mesh(tls=("no-ca.pem", Path("no-cert.pem"), "no-key.pem"), allow=["desk"]))
    # In a library with TLS the files are looked for; one with the plain mesh refuses tls, one without a mesh refuses all of it.
    words = "mesh" if not has_mesh() else "tls" if isinstance(caught.value, Unsupported) else "no-"
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("mesh", "error", "words"),
    [
        (Mesh(node=""), InvalidName, "it is empty"),
        (Mesh(node="a@b"), InvalidName, "it has a '@'"),
        (Mesh(node="a\0b"), InvalidName, "control character"),
        (Mesh(listen=["here"]), InvalidArgument, '"here" is not host:port'),
        (Mesh(connect=["127.0.0.1:7447", "there:99999"]), InvalidArgument, '"there:99999" is not host:port'),
        (Mesh(listen=["0.0.0.0:7447"]), InvalidArgument, "listen_everywhere_without_tls"),
        (Mesh(connect=["a\0:1"]), InvalidArgument, "NUL"),
        (Mesh(connect=["\udc80:1"]), InvalidArgument, "UTF-8"),
        (Mesh(allow=["desk"]), InvalidArgument, "allow needs tls"),
        (Mesh(tls=("ca.pem", "cert.pem")), InvalidArgument, "three files"),
        (Mesh(tls="pem"), InvalidArgument, "three files"),
        (Mesh(tls=("ca.pem", "cert.pem", "a\0b")), InvalidArgument, "NUL"),
        (Mesh(lease=0), InvalidArgument, "lease"),
        (Mesh(lease=-1), InvalidArgument, "lease"),
        (Mesh(lease=0.05), InvalidArgument, "lease"),
        (Mesh(lease=math.nan), InvalidArgument, "lease"),
        (Mesh(lease=math.inf), InvalidArgument, "lease"),
    ],
)
def test_what_a_mesh_cannot_mean_is_said(mesh, error, words):
    with pytest.raises((error, Unsupported)) as caught:
        PeerSystem("kitchen", mesh=mesh)
    if isinstance(caught.value, Unsupported):
        assert not has_mesh(), caught.value
    else:
        assert words in str(caught.value)


def has_mesh():
    try:
        PeerSystem("kitchen", mesh=Mesh()).shutdown()
    except Unsupported:
        return False
    return True


@pytest.mark.parametrize(
    "mesh",
    [
        "127.0.0.1:7447",
        {"node": "laptop"},
        Mesh(node=b"laptop"),
        Mesh(listen="127.0.0.1:0"),
        Mesh(connect=[b"127.0.0.1:7447"]),
        Mesh(allow=[None]),
        Mesh(tls=(b"ca.pem", b"cert.pem", b"key.pem")),
        Mesh(tls=3),
        Mesh(lease="2"),
    ],
)
def test_wrong_types_are_type_errors(mesh):
    with pytest.raises(TypeError):
        PeerSystem("kitchen", mesh=mesh)


def test_a_mesh_is_a_value():
    mesh = Mesh(node="laptop")
    assert mesh == Mesh(node="laptop")
    assert dataclasses.replace(mesh, lease=1.0) != mesh
    with pytest.raises(dataclasses.FrozenInstanceError):
        mesh.node = "desk"


def test_without_a_mesh_nobody_is_elsewhere(kitchen, ada):
    for name in ("ada@laptop", "@laptop"):
        with pytest.raises(NoSuchPeer):
            kitchen.wait_for(name)
        with pytest.raises(NoSuchPeer):
            asyncio.run(kitchen.await_for(name))
    with pytest.raises(NoSuchPeer) as caught:
        ada.request("ada@laptop", "soup")
    assert caught.value.peer == "ada@laptop"
    assert kitchen.snapshot()["nodes"] == []
