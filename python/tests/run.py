"""Runs the tests on each Python of this machine, as users have it: from the wheel, in a virtual environment.

    run.py FOLDER [OPTIONS OF PYTEST...]

The environments are kept in FOLDER, and made anew when what is in them would be another. The first, which runs this,
builds the wheel. PYTHONS names others than are found: commands or paths.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
REQUIREMENTS = TESTS.parent / "requirements-test.txt"
OLDEST = (3, 9)
# Two cores are what the smallest machines have; most of the tests wait.
AT_ONCE = 2

# For the environments alone: neither the library that a developer works on, nor modules from elsewhere.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("POTLUCK_LIBRARY", "PYTHONPATH", "PYTHONHOME")}

# Fails where no environment can be made. sys.executable: the interpreter behind a link or a shim.
PROBE = "import ensurepip, sys, venv; print(*sys.version_info[:2], sys.executable, sep='\\n')"


def main() -> int:
    folder, options = Path(sys.argv[1]).resolve(), sys.argv[2:]
    pythons = found()
    first = Environment(folder, *pythons[0])
    wheel = build(first, folder / "wheel")
    # The first is also the one that does what is done once.
    environments = [first, *(Environment(folder, *python) for python in pythons[1:])]
    print(f"{wheel.name} with Python {', '.join(it.version for it in environments)}", flush=True)
    failed = []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        runs = [pool.submit(it.test, wheel, options, is_first=it is first) for it in environments]
        for environment, run in zip(environments, runs):
            code, output = run.result()
            print(f"== Python {environment.version}\n{output}", flush=True)
            if code != 0:
                failed.append(environment.version)
    if failed:
        print(f"failed with Python {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


def found() -> list[tuple[str, str]]:
    """Version and path of an interpreter of each minor version: this one, then from the oldest. What does not run is left out."""
    given = os.environ.get("PYTHONS", "").split()
    if given:
        return [probed for python in given for probed in [probe(python)] if probed or sys.exit(f"{python} does not run here")]
    folders = [Path(folder) for folder in os.get_exec_path()]
    # The shims of pyenv run those alone that are switched on.
    folders += sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions").glob("*/bin"), reverse=True)
    candidates = [file for folder in folders for file in folder.glob("python3.*") if re.fullmatch(r"python3\.\d+", file.name)]
    interpreters: dict[str, str] = {}
    for candidate in (sys.executable, *candidates):
        probed = probe(str(candidate))
        if probed:
            interpreters.setdefault(*probed)
    main, *others = interpreters.items()
    return [main, *sorted(others, key=lambda item: int(item[0].split(".")[1]))]


def probe(python: str) -> tuple[str, str] | None:
    try:
        done = subprocess.run([python, "-c", PROBE], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    except OSError:
        return None
    if done.returncode != 0:
        return None
    major, minor, path = done.stdout.splitlines()
    return (f"{major}.{minor}", path) if (int(major), int(minor)) >= OLDEST else None


class Environment:
    """A virtual environment that is as it should be: with what the tests require, later with the wheel."""

    def __init__(self, folder: Path, version: str, interpreter: str) -> None:
        self.version = version
        self.folder = folder / version
        self.python = self.folder / "bin" / "python"
        self.interpreter = interpreter

    def run(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.python), "-m", *map(str, arguments)]
        return subprocess.run(
            command, env=ENVIRONMENT | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=TESTS
        )

    def pip(self, command: str, *arguments: object) -> None:
        done = self.run("pip", "--quiet", "--disable-pip-version-check", command, *arguments)
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, done.args))}:\n{done.stdout}")

    def prepare(self) -> None:
        stamp = self.folder / "requirements"
        content = f"{self.interpreter}\n{REQUIREMENTS.read_text()}"
        if not stamp.exists() or stamp.read_text() != content:
            shutil.rmtree(self.folder, ignore_errors=True)
            subprocess.run([self.interpreter, "-m", "venv", self.folder], check=True, env=ENVIRONMENT)
            self.pip("install", "-r", REQUIREMENTS)
            stamp.write_text(content)

    def install(self, wheel: Path) -> None:
        stamp = self.folder / "wheel"
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if not stamp.exists() or stamp.read_text() != digest:
            self.pip("install", "--force-reinstall", "--no-deps", "--no-index", wheel)
            stamp.write_text(digest)

    def test(self, wheel: Path, options: list[str], *, is_first: bool) -> tuple[int, str]:
        self.prepare()
        self.install(wheel)
        more = {"POTLUCK_TEST_FIRST": "1", "POTLUCK_WHEEL": str(wheel)} if is_first else {}
        # Without the cache of pytest, which several of them would write at once.
        done = self.run("pytest", "-q", "-p", "no:cacheprovider", *options, TESTS, **more)
        return done.returncode, done.stdout


def build(environment: Environment, folder: Path) -> Path:
    environment.prepare()
    shutil.rmtree(folder, ignore_errors=True)
    # Without isolation: hatchling is among the requirements of the tests. The README's test has it in isolation.
    environment.pip("wheel", "--no-deps", "--no-build-isolation", "-w", folder, TESTS.parent)
    [wheel] = folder.glob("*.whl")
    return wheel


if __name__ == "__main__":
    sys.exit(main())
