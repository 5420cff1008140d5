#!/bin/sh
# The tests of Rust and C under the sanitizers that are named: `sh tests/sanitize/run.sh address thread`. ARCHITECTURE says what each shows.
#
# Sanitizers are unstable options of rustc, but the stable toolchain for Linux brings their runtimes, too. RUSTC_BOOTSTRAP=1 switches
# the options on, so that nothing has to be installed and the compiler is the one that everything else is tested with.
#
# The C compiler instruments the C programs, but rustc's runtime is linked into them, not the C compiler's own: a process can have
# only one, the library was instrumented for this one, and its reports can spell Rust's names.
set -eu
cd "$(dirname "$0")/../.."
export RUSTC_BOOTSTRAP=1 CARGO_PROFILE_DEV_DEBUG=line-tables-only
# Some tests panic on purpose. The stack would be printed by way of a cache inside std, which is not instrumented.
export RUST_BACKTRACE=0
host=$("${RUSTC:-rustc}" -vV | sed -n 's/^host: //p')
libraries=$("${RUSTC:-rustc}" --print sysroot)/lib/rustlib/$host/lib

# Tests that cannot pass under this sanitizer, and why; said at each run.
leave_out() {
  printf 'not run under the %s sanitizer: %s: %s\n' "$sanitizer" "$1" "$2"
}

# The same of a single test.
skip() {
  leave_out "$1" "$2"
  skipped="$skipped --skip $1"
}

run() {
  sanitizer=$1
  skipped=
  folder=target/sanitize/$sanitizer
  built=$PWD/$folder/$host/debug
  flags="-Zsanitizer=$sanitizer"
  wrap=
  mkdir -p "$folder"

  case $sanitizer in
  address)
    runtime=$(find "$libraries" -name 'librustc*_rt.asan.a')
    # tests/c/api_table.c shares more bytes than there can be: that must fail, and not end the process.
    export ASAN_OPTIONS="allocator_may_return_null=1:detect_leaks=1:${ASAN_OPTIONS:-}"
    ;;
  thread)
    runtime=$(find "$libraries" -name 'librustc*_rt.tsan.a')
    export TSAN_OPTIONS="allocator_may_return_null=1:suppressions=$PWD/tests/sanitize/thread.txt:${TSAN_OPTIONS:-}"
    # The installed standard library is not instrumented, and its sources, to build it anew, are not everywhere. What this hides
    # from the sanitizer is listed in thread.txt; one thing cannot be listed, and is changed by decrement.c.
    flags="$flags -Cunsafe-allow-abi-mismatch=sanitizer"
    "${CC:-cc}" -O2 -c tests/sanitize/decrement.c -o "$folder/decrement.o" || return 1
    wrap="$PWD/$folder/decrement.o -Wl,--wrap=__tsan_atomic64_fetch_sub"
    for word in $wrap; do flags="$flags -Clink-arg=$word"; done
    ;;
  *)
    echo "potluck: SANITIZE is address, thread or both, not $sanitizer" >&2
    return 1
    ;;
  esac
  if [ -z "$runtime" ]; then
    echo "potluck: this Rust has no $sanitizer sanitizer for $host" >&2
    return 1
  fi

  leave_out edge 'the runtime alone takes terabytes of address space, and ends the process where it finds no room for a thread'
  leave_out install 'what is installed is stripped, and programs are linked with it without a sanitizer'
  # The others that are not here run nothing of the crate.
  tests='--lib --test conformance --test stress --test endurance --test fork --test examples --test c'
  skip ten_thousand_systems_opened_and_shut_down_leave_nothing 'the runtime keeps freed memory, and what it knew of threads'
  skip calls_that_are_started_and_given_up_leave_memory_as_it_was 'the runtime keeps freed memory'
  skip a_million_asks_that_are_given_up_leave_memory_as_it_was 'the runtime keeps freed memory, and what it knew of threads'

  echo "not checked under the $sanitizer sanitizer: whether memory returns after the stress test: the runtime keeps freed memory"
  export SOAK_MEMORY=0

  export RUSTFLAGS="$flags" RUSTDOCFLAGS="$flags" POTLUCK_LIB_DIR="$built"
  # All is slower, and forks most of all: they copy what the runtime has mapped. What C leaves undefined traps, without a runtime.
  undefined='-fsanitize=undefined -fsanitize-undefined-trap-on-error'
  export POTLUCK_C_FLAGS="-fsanitize=$sanitizer $undefined -g -DDEADLINE_S=300 -DFORKS=100"
  export POTLUCK_LINK_FLAGS="$wrap -rdynamic -Wl,--whole-archive $runtime -Wl,--no-whole-archive -lpthread -lm -ldl -lrt -lresolv"
  to="--features capi --target $host --target-dir $folder"
  # The variables without quotes hold several words.
  panics=$PWD/$folder/panics
  export POTLUCK_PANICS_LIB_DIR="$panics"
  mkdir -p "$panics"
  "${CARGO:-cargo}" rustc --lib --crate-type cdylib --features test-panics $to &&
    mv -f "$built/libpotluck.so" "$panics/" && ln -sf libpotluck.so "$panics/libpotluck.so.1" &&
    "${CARGO:-cargo}" rustc --lib --crate-type cdylib,staticlib $to &&
    ln -sf libpotluck.so "$built/libpotluck.so.1" &&
    "${CARGO:-cargo}" build --examples $to &&
    "${CARGO:-cargo}" test --no-fail-fast $to $tests -- $skipped &&
    "${CARGO:-cargo}" test --no-fail-fast $to --doc
}

[ $# -gt 0 ] || { echo 'potluck: which sanitizers? address, thread or both' >&2; exit 1; }
# Side by side: much of what the tests do is one program after another. What one prints is shown when it is at its end.
# Ctrl-C does not reach what runs in the background.
trap 'trap - INT TERM; kill 0' INT TERM
running=
mkdir -p target/sanitize
for each in "$@"; do
  run "$each" > "target/sanitize/$each.txt" 2>&1 &
  running="$running $each:$!"
done
failed=
for one in $running; do
  wait "${one#*:}" || failed="$failed ${one%:*}"
  cat "target/sanitize/${one%:*}.txt"
done
[ -z "$failed" ] || { echo "potluck: failed under the sanitizers:$failed" >&2; exit 1; }
