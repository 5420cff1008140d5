"""What hatchling cannot know: the wheel carries the shared library, which cargo builds, and the sdist the crate that it is of."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# What cargo wants to see in the crate's folder; its manifest names tests and benchmarks.
CRATE = ["Cargo.toml", "build.rs", "cbindgen.toml", "README.md", "benches", "examples", "include", "src", "tests"]

# As `make lib` has it, so that what one has built the other need not build again.
BUILD = ["rustc", "--release", "--lib", "--crate-type", "cdylib,staticlib"]
# POTLUCK_MESH=1: also joining the systems of other processes.
FEATURES = "c-library,mesh-tls" if os.environ.get("POTLUCK_MESH") else "c-library"
CODE = ["-C", "llvm-args=-inlinehint-threshold=50"]


class BuildHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        crate = self.crate()
        if self.target_name == "sdist":
            # The licenses are links, which would lead nowhere from inside an archive.
            files = {os.path.realpath(file): name for file, name in build_data["force_include"].items()}
            build_data["force_include"] = files | {str(crate / part): f"rust/{part}" for part in CRATE}
            return
        library = self.build(crate)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform(library)}"
        if version == "editable":
            link = Path(self.root, "potluck", library.name)
            link.unlink(missing_ok=True)
            link.symlink_to(library)
        else:
            build_data["force_include"][str(self.strip(library))] = f"potluck/{library.name}"

    def crate(self) -> Path:
        """The crate's folder: inside of an sdist, or around this one."""
        for folder in (Path(self.root, "rust"), Path(self.root).parent):
            if (folder / "build.rs").exists():
                return folder
        sys.exit(f"potluck: no Rust sources around or in {self.root}: install from the project's whole folder, or from an sdist")

    def build(self, crate: Path) -> Path:
        cargo = os.environ.get("CARGO") or "cargo"
        if not shutil.which(cargo):
            sys.exit(f"potluck: no cargo ({cargo}): install Rust, https://rustup.rs")
        command = [cargo, *BUILD, "--features", FEATURES, "--message-format", "json-render-diagnostics", "--", *CODE]
        # What it prints on standard error is for the user, if pip is asked to show it, or if it fails.
        done = subprocess.run(command, cwd=crate, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"potluck: cargo could not build the library ({cargo} ended with {done.returncode})")
        files = [file for line in done.stdout.splitlines() for file in json.loads(line).get("filenames", ())]
        return next(Path(file) for file in files if file.endswith("libpotluck.so"))

    def strip(self, library: Path) -> Path:
        """The library without what only a debugger reads; as it is where there is no strip."""
        strip = os.environ.get("STRIP") or "strip"
        if not shutil.which(strip):
            return library
        folder = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, folder)
        stripped = Path(folder, library.name)
        subprocess.run([strip, "--strip-unneeded", "-o", stripped, library], check=True)
        return stripped


def platform(library: Path) -> str:
    """The platform's tag: manylinux as of the newest glibc whose symbols the library wants, so that pip refuses the wheel where
    glibc is older. All else that it is linked to is in every manylinux: a test sees to that.
    """
    plain = re.sub(r"\W", "_", sysconfig.get_platform())
    wanted = [int(minor) for minor in re.findall(rb"\0GLIBC_2\.(\d+)", library.read_bytes())]
    return plain.replace("linux_", f"manylinux_2_{max(wanted)}_") if wanted else plain
