"""The wheel as it is installed, and building it: from the project's folder, from an sdist, and where something is missing."""

import base64
import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import potluck
from support import LIBRARY, PACKAGE, PYTHON_FOLDER, child, run_example, with_one_python

WHEEL = importlib.metadata.distribution("potluck")


def tool(name, *arguments):
    """What a tool prints; a test that wants one which is not there is left out, and says so."""
    if not shutil.which(name):
        line = f"Python tests that want {name}"
        if "POTLUCK_LEFT_OUT" in os.environ:
            with open(os.environ["POTLUCK_LEFT_OUT"], "a") as file:
                file.write(line + "\n")
        pytest.skip(line)
    return subprocess.run([name, *arguments], check=True, capture_output=True, text=True).stdout


def build(target, source, folder, **environment):
    """What a source folder's back end makes of it, called as pip does, or how it failed."""
    code = f"import hatchling.build, sys; print(hatchling.build.build_{target}({str(folder)!r}))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=source, env={**os.environ, **environment}, capture_output=True, text=True)
    return folder / done.stdout.splitlines()[-1] if done.returncode == 0 else done


def test_these_tests_are_of_the_wheel_that_is_installed():
    assert PACKAGE.is_relative_to(sys.prefix), "run `make test-python`"
    assert WHEEL.locate_file("potluck") == PACKAGE
    done = child("from potluck import _ffi; print(_ffi.LIBRARY)")
    assert (done.stdout, done.stderr) == (f"{LIBRARY}\n", "")


def test_the_wheel_has_the_package_and_the_library_and_nothing_else():
    modules = {f"potluck/{file.name}" for file in (PYTHON_FOLDER / "potluck").glob("*.py")}
    assert len(modules) > 5
    info = f"potluck-{WHEEL.version}.dist-info"
    written = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE-MIT", "licenses/LICENSE-APACHE")}
    # By pip, when it installs.
    written |= {f"{info}/{name}" for name in ("INSTALLER", "REQUESTED", "direct_url.json")}
    files = {str(file) for file in WHEEL.files if "__pycache__" not in file.parts}
    assert files == modules | written | {"potluck/py.typed", "potluck/_classic.py", "potluck/libpotluck.so"}


def test_each_file_of_the_wheel_is_as_its_record_says():
    checked = 0
    for file in WHEEL.files:
        if file.hash is not None:
            body = file.locate().read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.new(file.hash.mode, body).digest()).rstrip(b"=").decode()
            assert (digest, len(body)) == (file.hash.value, file.size), file
            checked += 1
    assert checked > 10


def test_the_metadata_are_those_of_the_project():
    metadata = WHEEL.metadata
    assert WHEEL.requires is None
    assert WHEEL.version == potluck.__version__
    assert metadata["Requires-Python"] == ">=3.9"
    assert metadata["License-Expression"] == "MIT OR Apache-2.0"
    assert sorted(metadata.get_all("License-File")) == ["LICENSE-APACHE", "LICENSE-MIT"]
    assert "Typing :: Typed" in metadata.get_all("Classifier")
    readme = (PYTHON_FOLDER / "README.md").read_text()
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert (metadata.get_payload() or metadata["Description"]).strip() == readme.strip()


def test_the_tag_is_for_any_python_3_and_the_oldest_glibc_that_has_what_the_library_wants():
    lines = WHEEL.read_text("WHEEL").splitlines()
    assert "Root-Is-Purelib: false" in lines
    [tag] = [line[len("Tag: ") :] for line in lines if line.startswith("Tag: ")]
    loaded = tool("objdump", "-p", str(LIBRARY))
    wanted = max(int(minor) for minor in re.findall(r" GLIBC_2\.(\d+)", loaded))
    assert tag == f"py3-none-manylinux_2_{wanted}_{platform.machine()}"
    # And of manylinux are only libraries that each Linux with that glibc has.
    needed = set(re.findall(r"NEEDED +(\S+)", loaded))
    assert needed <= {"libc.so.6", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0", "libdl.so.2", "ld-linux-x86-64.so.2"}


def test_the_library_is_stripped():
    assert ".symtab" not in tool("readelf", "-SW", str(LIBRARY))
    assert "SONAME               libpotluck.so.1\n" in tool("objdump", "-p", str(LIBRARY))
    # 1,060 KB now, half of it in the wheel.
    assert LIBRARY.stat().st_size < 1_250_000


def test_python_m_potluck_prints_the_versions_and_runs_the_classic_example():
    arguments = ["--peers", "4", "--seed", "7"]
    done = subprocess.run([sys.executable, "-m", "potluck", *arguments], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    library, python, rest = done.stdout.split("\n", 2)
    assert library == f"potluck {potluck.__version__}, library {potluck.__version__} with ABI 1: {LIBRARY}"
    assert python == f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}"
    assert rest == run_example("classic.py", *arguments).stdout
    assert rest.endswith("8 exchanges between 4 peers\n")
    wrong = subprocess.run([sys.executable, "-m", "potluck", "--peers", "one"], capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("usage: ")


@with_one_python
def test_building_again_gives_the_same_bytes(tmp_path):
    given = Path(os.environ["POTLUCK_WHEEL"])
    again = build("wheel", PYTHON_FOLDER, tmp_path)
    assert again.name == given.name
    assert again.read_bytes() == given.read_bytes()
    assert given.stat().st_size < 650_000


# Everything is compiled there when it runs for the first time: 43 s on two busy cores.
@with_one_python
@pytest.mark.seconds(900)
def test_an_sdist_in_an_empty_folder_builds_the_wheel_too(tmp_path):
    sdist = build("sdist", PYTHON_FOLDER, tmp_path)
    with tarfile.open(sdist) as archive:
        assert not [member.name for member in archive if not member.isfile()], "no links, which would lead out of it"
    empty = tmp_path / "empty"
    empty.mkdir()
    # tarfile of 3.12 warns unless it is given an argument that older ones do not know.
    subprocess.run(["tar", "-xzf", sdist, "-C", empty], check=True)
    [source] = empty.iterdir()
    assert source.name == f"potluck-{potluck.__version__}"
    # This is about what is there to build from, so as fast as can be. What cargo has built once for it is kept.
    fast = {"LTO": "off", "OPT_LEVEL": "0", "CODEGEN_UNITS": "16"}
    quick = {f"CARGO_PROFILE_RELEASE_{name}": value for name, value in fast.items()}
    quick["CARGO_TARGET_DIR"] = str(Path(os.environ["POTLUCK_WHEEL"]).parents[1] / "sdist-target")
    wheel = build("wheel", source, tmp_path, **quick)
    with zipfile.ZipFile(wheel) as archive, zipfile.ZipFile(os.environ["POTLUCK_WHEEL"]) as given:
        assert archive.testzip() is None
        assert archive.namelist() == given.namelist()
        archive.extractall(tmp_path / "installed")
    code = "import potluck\nwith potluck.PeerSystem('kitchen') as kitchen: print(potluck.__file__, kitchen.spawn('ada').name)"
    done = child(code, PYTHONPATH=str(tmp_path / "installed"))
    assert (done.stdout, done.stderr) == (f"{tmp_path / 'installed' / 'potluck' / '__init__.py'} ada\n", "")

    # As one works on it: the source folder itself, with a link to what cargo has built.
    build("editable", source, tmp_path, **quick)
    assert (source / "potluck" / "libpotluck.so").is_symlink()
    done = child(code, PYTHONPATH=str(source))
    assert (done.stdout, done.stderr) == (f"{source / 'potluck' / '__init__.py'} ada\n", "")

    # And once more, as who has unpacked it may do.
    again = build("sdist", source, tmp_path / "again")
    with tarfile.open(sdist) as first, tarfile.open(again) as second:
        assert sorted(first.getnames()) == sorted(second.getnames())


@with_one_python
def test_what_is_missing_is_one_line_that_names_it(tmp_path):
    done = build("wheel", PYTHON_FOLDER, tmp_path, CARGO="no-such-cargo")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "potluck: no cargo (no-such-cargo): install Rust, https://rustup.rs\n"

    failing = tmp_path / "failing-cargo"
    failing.write_text("#!/bin/sh\nexit 3\n")
    failing.chmod(0o755)
    done = build("wheel", PYTHON_FOLDER, tmp_path, CARGO=str(failing))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"potluck: cargo could not build the library ({failing} ended with 3)\n"

    alone = shutil.copytree(PYTHON_FOLDER, tmp_path / "alone" / "python")
    done = build("wheel", alone, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"potluck: no Rust sources around or in {alone}: ")
    assert len(done.stderr.splitlines()) == 1
