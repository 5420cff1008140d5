"""`python -m potluck`: what is installed here, and the classic example, which takes its options (--peers, --seed)."""

from __future__ import annotations

import platform
import runpy
from pathlib import Path

from . import __version__, _ffi

HERE = Path(__file__).resolve().parent
# A wheel has the example in the package.
EXAMPLES = (HERE / "_classic.py", HERE.parent / "examples" / "classic.py")


def main() -> None:
    print(f"potluck {__version__}, library {_ffi.LIBRARY_VERSION} with ABI {_ffi.ABI}: {_ffi.LIBRARY}")
    print(f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}", flush=True)
    runpy.run_path(str(next(file for file in EXAMPLES if file.exists())), run_name="__main__")


if __name__ == "__main__":
    main()
