"""The examples, as a user runs them."""

import hashlib
import os
import re
import shlex
import subprocess

import pytest

from support import LIBRARY, PYTHON_FOLDER, run_example


def splitmix64(state):
    """Written here once more, so that the example is not compared with itself."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        yield z ^ (z >> 31)


def expected_of_classic(count, seed):
    """What the example should print, by a model of the peers."""
    held = [f"Peer {number}: Initial Resource" for number in range(1, count + 1)]
    origins = list(range(1, count + 1))

    def round_of_requests():
        numbers = splitmix64(seed)
        for i in range(count):
            partner = next(numbers) % (count - 1)
            partner += partner >= i
            held[i], origins[i] = held[partner], origins[partner]
            yield f"peer{partner + 1} received request from peer{i + 1}"
            yield f"peer{i + 1} received resource from peer{partner + 1}: {held[i]}"

    lines = [*round_of_requests(), "peer1 received unknown message"]
    lines += [f"peer{i + 1} holds {held[i]} (version 1 by peer{origins[i]})" for i in range(count)]
    lines.append("mingle:")
    # All hold it, so mingle chooses among the same others by the same numbers.
    requests = list(round_of_requests())
    # By the time that they are printed all is done: each peer shows what it holds then.
    lines += [
        re.sub(r"(peer(\d+) received resource from \w+): .*", lambda m: f"{m[1]}: {held[int(m[2]) - 1]}", line)
        for line in requests
    ]
    return [*lines, f"{2 * count} exchanges between {count} peers"]


def test_splitmix64_gives_its_published_numbers():
    numbers = splitmix64(1234567)
    assert [next(numbers) for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_the_classic_example_prints_what_it_should():
    done = run_example("classic.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == expected_of_classic(3, 1)


@pytest.mark.parametrize(("peers", "seed"), [(2, 0), (3, 2), (7, 2**64 - 1), (50, 42)])
def test_the_classic_example_with_other_peers_and_seeds(peers, seed):
    done = run_example("classic.py", "--seed", seed, "--peers", peers)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == expected_of_classic(peers, seed)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--peers", 1),
        ("--peers", 0),
        ("--peers",),
        ("--peers", "x"),
        ("--seed", -1),
        ("--seed", 2**64),
        ("--colour", 3),
        ("help",),
    ],
)
def test_the_classic_example_with_wrong_options_is_told_so(arguments):
    done = run_example("classic.py", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert ("usage" in done.stderr) == (arguments not in [("--peers", 1), ("--peers", 0)])


@pytest.fixture
def folders(tmp_path):
    """Two folders of files, with all that can be in one."""
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "deep" / "er").mkdir(parents=True)
    (first / "__pycache__").mkdir()
    second.mkdir()
    files = {
        "first/b.txt": b"bread",
        "first/a.txt": b"",
        "first/deep/er/c.bin": os.urandom(100_000),
        "first/__pycache__/d.pyc": b"d",
        "first/ä ö.txt": b"umlauts",
        "second/b.txt": b"other bread",
    }
    for name, body in files.items():
        (tmp_path / name).write_bytes(body)
    (first / "what?").write_bytes(b"bad name")
    (second / os.fsdecode(b"\xff")).write_bytes(b"not UTF-8")
    (second / "link").symlink_to(first / "a.txt")
    (second / "links").symlink_to(first)
    os.mkfifo(second / "pipe")
    return first, second, files


def test_the_file_example_shares_and_fetches_all_files(folders):
    first, second, files = folders
    done = run_example("share_files.py", first, second)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("skipped first/what?: invalid name")
    assert "it has a '?'" in lines[0]
    assert lines[1:3] == ["skipped second/link: a symbolic link", "skipped second/links: a symbolic link"]
    assert lines[3] == "skipped second/pipe: not a regular file"
    assert lines[4].startswith(r"skipped second/\udcff:")
    digests = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files, key=os.fsencode))
    size = sum(map(len, files.values()))
    assert lines[5:7] == [
        f"{len(files)} files, {size} bytes from 2 peers, all digests equal",
        f"digest {hashlib.sha256(digests.encode()).hexdigest()}",
    ]
    assert re.fullmatch(r"\d+\.\d MB/s", lines[7])
    assert len(lines) == 8
    # Where nobody watches it grow, the bar is only shown full.
    assert done.stderr == f"\r[{'#' * 40}] 6/6\n"


def test_the_file_example_takes_the_name_of_the_folder_that_it_is_run_in(folders):
    first, _, _ = folders
    done = run_example("share_files.py", ".", cwd=first)
    assert done.returncode == 0
    assert "5 files" in done.stdout
    assert "skipped first/what?" in done.stdout


def test_the_file_example_tells_what_is_wrong(folders, tmp_path):
    first, _, _ = folders
    empty, twin = tmp_path / "empty", tmp_path / "sub" / "first"
    empty.mkdir()
    twin.mkdir(parents=True)
    for arguments, code, text in (
        ((), 2, "usage: share_files.py FOLDER..."),
        ((empty,), 1, "no file to share"),
        ((first, tmp_path / "missing"), 1, "missing"),
        ((first / "b.txt",), 1, "b.txt"),
        ((first, twin), 1, "two folders are called first"),
    ):
        done = run_example("share_files.py", *arguments)
        assert done.returncode == code
        assert text in done.stderr
        assert "Traceback" not in done.stderr
        assert "digest" not in done.stdout


def test_the_frames_example_copies_nothing_and_nobody_sees_a_torn_or_an_older_frame():
    done = run_example("numpy_frames.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "copied: nothing",
        "the camera made 100 frames of 640 x 480",
        "the screen was told of 100, each as new as the one before or newer: True",
        "the recorder saw none twice: True, and the last one: True",
        "frames still in memory: 1",
    ]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """The plugin of the C examples, linked with the very library that the package has loaded."""
    made = tmp_path_factory.mktemp("plugin") / "plugin.so"
    project = PYTHON_FOLDER.parent
    compiler = shlex.split(os.environ.get("CC") or "cc")
    source = project / "c-examples" / "plugin.c"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{project / 'include'}"]
    subprocess.run([*compiler, *flags, source, "-o", made, LIBRARY], check=True)
    return made


def test_the_plugin_example_exchanges_with_the_plugin(plugin):
    done = run_example("plugin_host.py", plugin)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "the plugin cooks soup with basil",
        'and of dancing: "cook" does not know messages of kind "dance"',
        "the herb is held by host, cook",
        "it has left host behind; still soup with basil",
    ]


def test_the_plugin_example_tells_what_is_wrong(tmp_path):
    for arguments, code, text in (((), 2, "usage: plugin_host.py"), ((tmp_path / "missing.so",), 1, "missing.so")):
        done = run_example("plugin_host.py", *arguments)
        assert (done.returncode, done.stdout) == (code, "")
        assert text in done.stderr
        assert "Traceback" not in done.stderr


def test_the_asyncio_example_prints_the_events_in_order_and_the_answers():
    done = run_example("asyncio_watch.py")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:6] == [
        "JOINED ada",
        "JOINED bob",
        "REQUESTED ada bob soup",
        "RECEIVED bob ada soup",
        "DEAD_LETTER bob ada anybody?",
        "LEFT ada",
    ]
    assert lines[6:] == ["LEFT bob", "squares: 0 1 4 9 16 25 36 49 64 81", "bob has tomato of ada"]


def test_the_mesh_example_tells_what_is_wrong():
    # Where the library has a mesh, tests/mesh_examples.rs runs it with others; one without does not look at the address.
    for arguments, code, texts in (
        ((), 2, ["usage: mesh.py"]),
        (("ada",), 2, ["usage: mesh.py"]),
        (("ada", "127.0.0.1:0", "--others", "x"), 2, ["usage: mesh.py"]),
        (("ada", "here"), 1, ['mesh: invalid argument: the address "here" is not host:port\n', "mesh: unsupported: mesh"]),
    ):
        done = run_example("mesh.py", *arguments)
        assert (done.returncode, done.stdout) == (code, "")
        assert any(text in done.stderr for text in texts), done.stderr
        assert "Traceback" not in done.stderr
