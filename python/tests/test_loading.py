"""Finding the library, and fitting it."""

import ctypes
import re
import shutil
from pathlib import Path

import pytest

import potluck
from potluck import EventKind, _ffi, errors
from support import LIBRARY, PACKAGE, PYTHON_FOLDER, child

HEADER = PYTHON_FOLDER.parent / "include" / "potluck.h"


def copied_package(folder):
    """The package without the library."""
    shutil.copytree(PACKAGE, folder / "potluck", ignore=shutil.ignore_patterns("__pycache__", "*.so*"))
    return folder / "potluck"


def test_a_library_that_cannot_be_loaded_is_an_import_error_that_names_both_places():
    done = child("import potluck", POTLUCK_LIBRARY="/nowhere/libpotluck.so")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: POTLUCK_LIBRARY names '/nowhere/libpotluck.so', which cannot be loaded")
    assert str(PACKAGE) in last


def test_without_the_variable_and_the_file_both_places_are_named(tmp_path):
    package = copied_package(tmp_path)
    for unset in (None, ""):
        done = child("import potluck", POTLUCK_LIBRARY=unset, PYTHONPATH=str(tmp_path))
        assert done.returncode == 1
        last = done.stderr.splitlines()[-1]
        assert last.startswith("ImportError: no potluck library: POTLUCK_LIBRARY is not set")
        assert f"in {str(package)!r}" in last
        assert "`pip install ./python`" in last


@pytest.mark.parametrize("name", ["libpotluck.so", "libpotluck.so.1"])
def test_without_the_variable_the_library_beside_the_package_is_used(tmp_path, name):
    package = copied_package(tmp_path)
    shutil.copy(LIBRARY, package / name)
    code = "import potluck\nwith potluck.PeerSystem('kitchen') as kitchen: print(potluck.__file__, kitchen)"
    done = child(code, POTLUCK_LIBRARY=None, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{package / '__init__.py'} <potluck.PeerSystem 'kitchen'>\n"


def test_the_variable_wins_over_the_library_of_the_package(tmp_path):
    named = shutil.copy(LIBRARY, tmp_path / "named.so")
    done = child("from potluck import _ffi\nprint(_ffi.LIBRARY)", POTLUCK_LIBRARY=str(named))
    assert (done.stdout, done.stderr) == (f"{named}\n", "")


def test_a_library_of_the_package_that_cannot_be_loaded_is_named(tmp_path):
    package = copied_package(tmp_path)
    (package / "libpotluck.so").write_text("no library")
    done = child("import potluck", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"ImportError: {str(package / 'libpotluck.so')!r} cannot be loaded (")


def test_another_library_is_an_import_error(tmp_path):
    import _ctypes

    done = child("import potluck", POTLUCK_LIBRARY=_ctypes.__file__)
    assert done.returncode == 1
    assert "it is no potluck library of this version" in done.stderr.splitlines()[-1]
    nonsense = tmp_path / "libpotluck.so"
    nonsense.write_text("no library")
    done = child("import potluck", POTLUCK_LIBRARY=str(nonsense))
    assert done.stderr.splitlines()[-1].startswith("ImportError: POTLUCK_LIBRARY names")


def test_a_library_of_another_abi_is_an_import_error_too(tmp_path):
    package = copied_package(tmp_path)
    ffi = package / "_ffi.py"
    ffi.write_text(ffi.read_text().replace("\nABI = 1\n", "\nABI = 2\n"))
    done = child("import potluck", PYTHONPATH=str(tmp_path), POTLUCK_LIBRARY=str(LIBRARY))
    last = done.stderr.splitlines()[-1]
    assert last.startswith("potluck.AbiMismatch:")
    assert "is version 0.1.0, of another ABI than 2" in last
    assert issubclass(errors.AbiMismatch, ImportError)


def test_importing_starts_no_thread_and_prints_nothing():
    code = "import os, potluck\nprint(len(os.listdir('/proc/self/task')))"
    done = child(code)
    assert (done.stdout, done.stderr, done.returncode) == ("1\n", "", 0)


def test_only_ffi_imports_ctypes():
    for file in PACKAGE.glob("*.py"):
        imports = re.findall(r"^\s*(?:import|from) ctypes\b", file.read_text(), re.MULTILINE)
        assert bool(imports) == (file.name == "_ffi.py"), file


def test_every_public_name_is_listed_once():
    assert len(set(potluck.__all__)) == len(potluck.__all__)
    assert all(hasattr(potluck, name) for name in potluck.__all__)
    assert set(errors.__all__) < set(potluck.__all__)


# The header has no compiler here to check it against, so it is read.

TYPES = {
    "size_t": ctypes.c_size_t,
    "uint64_t": ctypes.c_uint64,
    "int64_t": ctypes.c_int64,
    "uint32_t": ctypes.c_uint32,
    "int32_t": ctypes.c_int32,
    "potluck_status_t": ctypes.c_int32,
}


def header():
    return re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)


def constants(prefix):
    return {name: int(number) for name, number in re.findall(rf"#define {prefix}(\w+) (\d+)\n", header())}


def camel(name):
    return "".join(part.capitalize() for part in name.split("_"))


def test_there_is_an_error_for_each_status_of_the_header():
    assert {kind.__name__: status for status, kind in errors.BY_STATUS.items()} == {
        camel(name): status for name, status in constants("POTLUCK_E_").items()
    }
    assert all(kind.status == status for status, kind in errors.BY_STATUS.items())


def test_the_constants_are_those_of_the_header():
    assert {kind.name: kind.value for kind in EventKind} == constants("POTLUCK_EVENT_")
    plain = constants("POTLUCK_")
    for name in ("ABI", "OK", "NOT_NEWER", "DEFERRED", "PENDING", "STILL_RUNNING"):
        assert getattr(_ffi, name) == plain[name]
    for name in ("INVALID_HANDLE", "CLOSED", "TIMED_OUT", "FULL"):
        assert getattr(_ffi, name) == plain[f"E_{name}"]
    for name, verb in constants("POTLUCK_CALL_").items():
        assert getattr(_ffi, f"CALL_{name}") == verb
    assert plain["NAME_SIZE"] == _ffi._NAME_SIZE
    assert plain["ADDRESS_SIZE"] == _ffi._ADDRESS_SIZE


@pytest.mark.parametrize(
    ("name", "struct"),
    [
        ("error", _ffi._Error),
        ("mesh_options", _ffi.MeshOptions),
        ("system_options", _ffi._SystemOptions),
        ("peer_options", _ffi._PeerOptions),
        ("call", _ffi._Call),
        ("resource_info", _ffi._ResourceInfo),
        ("message_info", _ffi._MessageInfo),
        ("item", _ffi._Item),
        ("event", _ffi._Event),
    ],
)
def test_the_structs_are_those_of_the_header(name, struct):
    body = re.search(rf"typedef struct potluck_{name}_t {{(.*?)}} potluck_{name}_t;", header(), re.DOTALL).group(1)
    fields = [" ".join(field.split()) for field in body.split(";") if field.strip()]
    renamed = {"from": "sender" if name == "message_info" else "other"}
    sizes = {"POTLUCK_NAME_SIZE": 256, "POTLUCK_ADDRESS_SIZE": 512}
    assert len(fields) == len(struct._fields_)
    for field, (python_name, python_type) in zip(fields, struct._fields_):
        kind, stars, c_name, _, size = re.fullmatch(r"(?:const )?(?:struct )?(\w+) (\*?(?:const \*)?)(\w+)(\[(\w+)\])?", field).groups()
        assert python_name == renamed.get(c_name, c_name)
        if kind == "potluck_resource_t":
            assert python_type is ctypes.c_uint64
        elif size:
            assert python_type._length_ == sizes[size]
        elif stars or kind.endswith("_fn"):
            assert ctypes.sizeof(python_type) == ctypes.sizeof(ctypes.c_void_p)
        else:
            assert python_type is TYPES[kind]


def is_typed(function):
    return getattr(function, "__name__", "").startswith("potluck_") and function.argtypes is not None


def test_the_functions_are_those_of_the_header():
    prototypes = dict(re.findall(r"^(?:potluck_status_t|const char \*) ?(potluck_\w+)\(([^;]*)\);", header(), re.MULTILINE))
    bound = {
        function.__name__: function
        for function in vars(_ffi).values()
        # One without types is another function object of a name that has them.
        if isinstance(function, ctypes._CFuncPtr) and is_typed(function)
    }
    # Each is bound, or said not to be needed, with the reason.
    assert set(bound) | set(_ffi.NOT_BOUND) == set(prototypes)
    assert not set(bound) & set(_ffi.NOT_BOUND)
    for name, function in bound.items():
        parameters = [" ".join(parameter.split()) for parameter in prototypes[name].split(",") if parameter.strip() != "void"]
        assert len(parameters) == len(function.argtypes), name
        for parameter, argtype in zip(parameters, function.argtypes):
            is_pointer = "*" in parameter
            kind = parameter.replace("const ", "").replace("struct ", "").split()[0]
            if is_pointer:
                assert argtype not in TYPES.values(), (name, parameter)
                assert ctypes.sizeof(argtype) == ctypes.sizeof(ctypes.c_void_p), (name, parameter)
            elif kind in TYPES:
                assert argtype is TYPES[kind], (name, parameter)
            elif kind == "potluck_release_fn":
                assert argtype is _ffi._Release, (name, parameter)
            else:
                # An id struct, by value.
                assert (kind[-2:], argtype) == ("_t", ctypes.c_uint64), (name, parameter)


def test_the_version_is_that_of_the_library_and_the_project():
    number = _ffi._version.value
    assert potluck.__version__ == f"{number >> 16}.{number >> 8 & 255}.{number & 255}"
    for file in ("python/pyproject.toml", "Cargo.toml"):
        text = Path(PYTHON_FOLDER.parent / file).read_text()
        assert f'\nversion = "{potluck.__version__}"\n' in text
