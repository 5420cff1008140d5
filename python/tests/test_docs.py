"""What the package says of itself is true: its examples run, its types are complete and right."""

import asyncio
import doctest
import importlib
import inspect
import re
import subprocess
import sys

import pytest

import potluck
from support import PACKAGE, PYTHON_FOLDER, with_one_python

MODULES = ["potluck", *sorted(f"potluck.{file.stem}" for file in PACKAGE.glob("[a-z]*.py"))]
# So that the lines which a docstring needs are those that it is about.
NAMES = {"asyncio": asyncio, **{name: getattr(potluck, name) for name in potluck.__all__}}
# The checkers need a newer Python than the package.
HAS_CHECKERS = sys.version_info >= (3, 10)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_run(name):
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, extraglobs=NAMES, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert failed == 0


def test_the_examples_of_the_guide_run():
    if not (PYTHON_FOLDER / "README.md").is_file():
        pytest.skip("the tests are elsewhere than the guide")
    failed, count = doctest.testfile(str(PYTHON_FOLDER / "README.md"), module_relative=False)
    assert (failed, count > 20) == (0, True)


def test_everything_public_says_what_it_is():
    for name in potluck.__all__:
        public = getattr(potluck, name)
        if not inspect.isclass(public):
            continue
        assert inspect.getdoc(public), name
        for member, value in vars(public).items():
            if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                assert inspect.getdoc(value), f"{name}.{member}"


def checked(*command):
    command = [sys.executable, "-m", *map(str, command)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PYTHON_FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr


SOURCES = ("potluck", "examples")


@with_one_python
@pytest.mark.seconds(600)
@pytest.mark.skipif(not HAS_CHECKERS, reason="mypy needs a newer Python")
def test_mypy_is_content(tmp_path):
    checked("mypy", "--strict", "--cache-dir", tmp_path, *SOURCES)


@with_one_python
@pytest.mark.seconds(600)
@pytest.mark.skipif(not HAS_CHECKERS, reason="pyright needs a newer Python")
def test_pyright_is_content():
    # What is installed from the registry of Python fetches the program itself when it is first run.
    if subprocess.run([sys.executable, "-m", "pyright", "--version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("pyright cannot be fetched here")
    checked("pyright", "--pythonpath", sys.executable, *SOURCES)


def test_the_tests_of_promises_have_the_names_of_the_conformance_tests():
    conformance = PYTHON_FOLDER.parent / "tests" / "conformance"
    if not conformance.is_dir():
        pytest.skip("the tests are elsewhere than the project")
    names = {name for file in conformance.rglob("*.rs") for name in re.findall(r"\bfn (\w+)\(", file.read_text())}
    here = re.findall(r"^def test_(\w+)\(", (PYTHON_FOLDER / "tests" / "test_promises.py").read_text(), re.MULTILINE)
    assert len(here) > 50
    assert set(here) <= names
