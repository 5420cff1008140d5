# The one front door, for people and for CI. Each target is a line or two over cargo, the C compiler and Python.

CARGO ?= cargo
CC ?= cc
PYTHON ?= python3

comma := ,
TARGET := $(or $(CARGO_TARGET_DIR),target)
LIB_DIR := $(TARGET)/release
# What the libraries are built with. MESH=1: also joining the systems of other processes, and TLS for that.
MESH ?=
LIB_FEATURES := c-library$(if $(MESH),$(comma)mesh-tls)
DEMO_FOLDERS := src include examples c-examples python tests benches
# The demo shares this folder's files: running it must not make new ones.
export PYTHONDONTWRITEBYTECODE = 1

.PHONY: help demo test test-python test-mesh lib lib-panics lib-mesh header abi install uninstall soak fuzz bench bench-quick bench-mesh performance performance-mesh model mutants sanitize lint check clean need-rust need-c need-python

help:
	@echo 'make demo    the classic example from Rust, C and Python, and the file example, on real files'
	@echo 'make test    the tests of Rust, C and Python'
	@echo 'make test-python those of Python, with each Python >= 3.9 that is found, or PYTHONS; PYTEST_OPTIONS for some of them'
	@echo 'make test-mesh those of the mesh: processes that join one another'
	@echo 'make lib     libpotluck.so and libpotluck.a in $(LIB_DIR); MESH=1, as for demo and install: with the mesh, whose engine takes minutes'
	@echo 'make install the C library, for pkg-config, CMake and man: PREFIX (/usr/local), DESTDIR; LIBDIR, INCLUDEDIR, MANDIR'
	@echo 'make uninstall takes it away again'
	@echo 'make header  include/potluck.h anew'
	@echo 'make abi     tests/c/abi.txt anew: what programs that were compiled before depend on'
	@echo 'make soak    random calls of all kinds for SOAK_MINUTES (10); SOAK_SEED (printed) for the same random numbers'
	@echo 'make fuzz    random calls from C: FUZZ_CALLS (10000000) of FUZZ_THREADS (4), at most FUZZ_SECONDS (0: no limit); FUZZ_SEED to see one again'
	@echo 'make bench   what calls cost, beside the same by hand in the same run: a table, and $(TARGET)/bench.csv; then those of Python; a minute or two'
	@echo 'make bench-quick the same in under a minute, with fewer rounds and sizes: prints the CSV'
	@echo 'make bench-mesh what calls cost across nodes, beside bare TCP and the bare engine: a table, and $(TARGET)/bench-mesh.csv; builds the engine, once'
	@echo 'make performance-mesh the same, and its tables in docs/performance.md anew'
	@echo 'make performance the benchmark, and the tables and plots of docs/performance.md anew'
	@echo 'make model   the protocol under the model checkers; MODEL_ITERATIONS schedules of each model, MODEL_SEED to see one again'
	@echo 'make mutants that the models find each rule that is broken on purpose; some minutes'
	@echo 'make sanitize the tests of Rust and C under the sanitizers of SANITIZE (address thread); SOAK_MINUTES for the stress test'
	@echo 'make lint    format, clippy, docs: warnings are errors'
	@echo 'make check   all that CI runs'

# A missing tool is a message that names it.
need-rust:
	@command -v $(CARGO) >/dev/null || { echo 'potluck: no cargo ($(CARGO)): install Rust, https://rustup.rs' >&2; exit 1; }
need-c:
	@command -v $(CC) >/dev/null || { echo 'potluck: no C compiler ($(CC)): install gcc or clang, or set CC' >&2; exit 1; }
need-python:
	@command -v $(PYTHON) >/dev/null || { echo 'potluck: no Python 3 ($(PYTHON)): install it, or set PYTHON' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo 'potluck: $(PYTHON) has no venv and ensurepip: install python3-venv' >&2; exit 1; }

# What is marked #[inline] is put in only where that is no larger, in std, too; what every request goes through is #[inline(always)].
lib: need-rust need-c
	$(CARGO) rustc --release --lib --crate-type cdylib,staticlib --features $(LIB_FEATURES) -- -C llvm-args=-inlinehint-threshold=50
	@ln -sf libpotluck.so $(LIB_DIR)/libpotluck.so.1

header: need-rust
	POTLUCK_UPDATE_HEADER=1 $(CARGO) test --features header --test header the_header_is_current

abi: lib
	POTLUCK_UPDATE_ABI=1 POTLUCK_LIB_DIR=$(abspath $(LIB_DIR)) CC='$(CC)' $(CARGO) test --features header --test abi

# Who has no Rust, as root often has not, installs what has been built.
PREFIX ?= /usr/local
INSTALL = LIB_DIR='$(LIB_DIR)' PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' LIBDIR='$(LIBDIR)' INCLUDEDIR='$(INCLUDEDIR)' MANDIR='$(MANDIR)' \
	sh packaging/install.sh
install: $(if $(shell command -v $(CARGO)),lib)
	@$(INSTALL) install
uninstall:
	@$(INSTALL) uninstall

# The package as it stands in its folder, with the library that has just been built.
demo: export PYTHONPATH = python
demo: export POTLUCK_LIBRARY = $(abspath $(LIB_DIR)/libpotluck.so)
demo: lib need-python
	$(CARGO) build --release --examples
	$(CC) -std=c11 -Wall -Wextra -Iinclude c-examples/classic.c -o $(TARGET)/classic-c -L$(LIB_DIR) -lpotluck \
		-Wl,-rpath,$(abspath $(LIB_DIR))
	@echo; echo '== the classic example, from Rust'; $(LIB_DIR)/examples/classic
	@echo; echo '== the classic example, from C'; $(TARGET)/classic-c
	@echo; echo '== the classic example, from Python'; $(PYTHON) python/examples/classic.py
	@echo; echo '== the files of this project, from Rust'; $(LIB_DIR)/examples/share_files $(DEMO_FOLDERS)
	@echo; echo '== the files of this project, from Python'; $(PYTHON) python/examples/share_files.py $(DEMO_FOLDERS)

# A library that panics where tests/panics tells it to, apart from those that are used. In the folder of the tests' own build, for its dependencies.
PANICS_DIR := $(TARGET)/panics
lib-panics: need-rust need-c
	$(CARGO) rustc --lib --crate-type cdylib --features test-panics,c-library
	@rm -rf $(PANICS_DIR) && mkdir -p $(PANICS_DIR) && mv $(TARGET)/debug/libpotluck.so $(PANICS_DIR)/ && ln -sf libpotluck.so $(PANICS_DIR)/libpotluck.so.1

test: lib lib-panics need-python
	POTLUCK_LIB_DIR=$(abspath $(LIB_DIR)) POTLUCK_PANICS_LIB_DIR=$(abspath $(PANICS_DIR)) CC='$(CC)' $(CARGO) test --features header
	POTLUCK_TEST_LAZY=1 $(CARGO) test --features header --test conformance
	@$(MAKE) --no-print-directory test-python

# python/tests/run.py makes the environments and says how it finds the Pythons.
PYTHONS ?=
PYTEST_OPTIONS ?=
test-python: lib need-python
	CARGO='$(CARGO)' PYTHONS='$(PYTHONS)' $(PYTHON) python/tests/run.py $(TARGET)/python $(PYTEST_OPTIONS)

# A library with the mesh, and all that is tested with it, in a folder of its own: what takes minutes there keeps no other build waiting.
MESH_DIR := $(TARGET)/mesh
lib-mesh: need-rust need-c
	$(CARGO) rustc --lib --crate-type cdylib --features c-library,mesh-tls --target-dir $(MESH_DIR)
	@ln -sf libpotluck.so $(MESH_DIR)/debug/libpotluck.so.1

test-mesh: lib-mesh need-python
	$(CARGO) build --features capi,mesh-tls --example mesh_node --target-dir $(MESH_DIR)
	POTLUCK_MESH_LIB_DIR=$(abspath $(MESH_DIR)/debug) CC='$(CC)' PYTHON='$(PYTHON)' \
		$(CARGO) test --features capi,mesh-tls --target-dir $(MESH_DIR) --test mesh --test mesh_examples --lib

SOAK_MINUTES ?= 10
soak: need-rust
	SOAK_MINUTES=$(SOAK_MINUTES) $(CARGO) test --release --test stress -- --nocapture

FUZZ_CALLS ?= 10000000
FUZZ_SECONDS ?= 0
FUZZ_THREADS ?= 4
FUZZ_SEED ?=
fuzz: lib
	$(CC) -std=c11 -D_POSIX_C_SOURCE=200809L -O2 -g -Wall -Wextra -Iinclude tests/fuzz/calls.c -o $(TARGET)/fuzz-calls \
		-L$(LIB_DIR) -lpotluck -lpthread -Wl,-rpath,$(abspath $(LIB_DIR))
	$(TARGET)/fuzz-calls --calls $(FUZZ_CALLS) --seconds $(FUZZ_SECONDS) --threads $(FUZZ_THREADS) \
		$(if $(FUZZ_SEED),--seed $(FUZZ_SEED))

# BENCH_OPTIONS: --only P1,P8 for some workloads, --record for the instruction counts that later runs are held against.
BENCH_VENV := $(TARGET)/bench-venv
BENCH_C := $(abspath $(TARGET))/bench-request
BENCH = POTLUCK_BENCH_C=$(BENCH_C) $(CARGO) bench --bench potluck -- $(BENCH_OPTIONS)
$(BENCH_C): benches/potluck/request.c lib
	$(CC) -std=c11 -D_POSIX_C_SOURCE=200809L -O2 -Wall -Wextra -Iinclude $< -o $@ -L$(LIB_DIR) -lpotluck -lpthread \
		-Wl,-rpath,$(abspath $(LIB_DIR))

bench: $(BENCH_C) $(BENCH_VENV)/ready
	@$(BENCH)
	@POTLUCK_LIBRARY=$(abspath $(LIB_DIR)/libpotluck.so) $(BENCH_VENV)/bin/python python/benches/overhead.py

# For pykka, beside which the calls of the Python package are measured.
$(BENCH_VENV)/ready: python/requirements-bench.txt | need-python
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r python/requirements-bench.txt
	@touch $@

# Prints nothing but the CSV on standard output.
bench-quick: need-rust need-c
	@$(MAKE) --no-print-directory $(BENCH_C) >&2
	@$(BENCH) --quick

performance: $(BENCH_C)
	@$(BENCH) --document

# BENCH_OPTIONS: --only M1,M4 for some workloads.
BENCH_MESH = $(CARGO) bench --features capi,mesh-tls --bench mesh -- $(BENCH_OPTIONS)
bench-mesh: need-rust
	@$(BENCH_MESH)

performance-mesh: need-rust
	@$(BENCH_MESH) --document

# Each checker has a cfg of its own, and a folder, so that normal builds stay as they are.
model: need-rust
	RUSTFLAGS='--cfg shuttle' $(CARGO) test --profile model --lib --target-dir target/model/shuttle model::
	RUSTFLAGS='--cfg loom' $(CARGO) test --profile model --lib --target-dir target/model/loom model::

mutants: need-rust
	$(PYTHON) tests/model/mutate.py

SANITIZE ?= address thread
sanitize: need-rust need-c
	CARGO='$(CARGO)' CC='$(CC)' sh tests/sanitize/run.sh $(SANITIZE)

lint: need-rust
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) clippy --all-targets --features header -- -D warnings
	$(CARGO) clippy --lib --features test-panics,c-library -- -D warnings
	$(CARGO) clippy --all-targets --features capi,mesh-tls -- -D warnings
	RUSTFLAGS='--cfg shuttle' $(CARGO) clippy --profile test --lib --target-dir target/model/shuttle -- -D warnings
	RUSTFLAGS='--cfg loom' $(CARGO) clippy --profile test --lib --target-dir target/model/loom -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --document-private-items
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --document-private-items --features capi,mesh-tls

check:
	@sh .ci/check

clean:
	$(CARGO) clean
