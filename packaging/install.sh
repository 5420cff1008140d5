#!/bin/sh
# Puts what `make lib` has built where C programs find it, or takes it away again: `make install PREFIX= DESTDIR=`, `make uninstall`.
# Needs a C toolchain and no Rust, so that another user than the one who built it can install.
set -eu
cd "$(dirname "$0")/.."

fail() {
  printf 'potluck: %s\n' "$1" >&2
  exit 1
}

built=${LIB_DIR:-target/release}
prefix=${PREFIX:-/usr/local}
libdir=${LIBDIR:-$prefix/lib}
includedir=${INCLUDEDIR:-$prefix/include}
mandir=${MANDIR:-$prefix/share/man}
for folder in "$prefix" "$libdir" "$includedir" "$mandir"; do
  case $folder in
  *[!A-Za-z0-9/._+~-]*) fail "pkg-config and make know no quotes: $folder has a character other than letters, digits and / . _ + ~ -" ;;
  /*) ;;
  *) fail "PREFIX and the folders in it begin with /: $folder does not" ;;
  esac
done

defined() { sed -n "s/^#define POTLUCK_$1 //p" include/potluck.h; }
version=$(defined VERSION_MAJOR).$(defined VERSION_MINOR).$(defined VERSION_PATCH)
# The counter of the ABI is the version of the library's file, as cargo-c has it from Cargo.toml.
abi=$(defined ABI)
# What the archive needs beside it. The compiler adds the unwinder: libgcc_s, or libgcc_eh to a program that is static as a whole.
static_libs='-lutil -lrt -lpthread -lm -ldl -lc'

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

# The archive with its potluck_* alone as global symbols: two Rust archives in one program each have their own standard library. Grouped
# sections have to become plain ones before: the linker would keep one group of each name, whose symbols are then local to the other archive.
# Bitcode that Rust's own objects carry along is left out: where an older LLVM looks into archives, ar ends at it.
localize() {
  "${NM:-nm}" -g --defined-only "$1" 2>/dev/null | sed -n 's/.* T \(potluck_.*\)/-u \1/p' > "$made/exports"
  # The variable without quotes holds several words.
  "${LD:-ld}" -r --force-group-allocation --gc-sections $(cat "$made/exports") "$1" -o "$made/all.o"
  "${OBJCOPY:-objcopy}" --wildcard --keep-global-symbol='potluck_*' --strip-unneeded \
    --remove-section=.llvmbc --remove-section=.llvmcmd "$made/all.o" "$made/potluck.o"
  "${AR:-ar}" rcsD "$2" "$made/potluck.o"
}

# What is put there, for install and uninstall alike: put <mode> <file> <place>, link <what it leads to> <place>.
contents() {
  put 644 include/potluck.h "$includedir/potluck.h"
  put 755 "$made/libpotluck.so" "$libdir/libpotluck.so.$abi.0.0"
  link "libpotluck.so.$abi.0.0" "$libdir/libpotluck.so.$abi"
  link "libpotluck.so.$abi" "$libdir/libpotluck.so"
  put 644 "$made/libpotluck.a" "$libdir/libpotluck.a"
  for package in potluck potluck-static; do
    put 644 "$made/$package.pc" "$libdir/pkgconfig/$package.pc"
  done
  for file in PotluckConfig PotluckConfigVersion; do
    put 644 "$made/$file.cmake" "$libdir/cmake/Potluck/$file.cmake"
  done
  put 644 "$made/potluck.3" "$mandir/man3/potluck.3"
}

case ${1:-} in
install)
  for library in libpotluck.so libpotluck.a; do
    [ -f "$built/$library" ] || fail "no $library in $built: run \`make lib\` where there is Rust"
  done
  "${STRIP:-strip}" --strip-unneeded -o "$made/libpotluck.so" "$built/libpotluck.so"
  localize "$built/libpotluck.a" "$made/libpotluck.a"
  for template in packaging/*.in; do
    sed -e "s|@PREFIX@|$prefix|g" -e "s|@LIBDIR@|$libdir|g" -e "s|@INCLUDEDIR@|$includedir|g" -e "s|@VERSION@|$version|g" \
      -e "s|@ABI@|$abi|g" -e "s|@STATIC_LIBS@|$static_libs|g" "$template" > "$made/$(basename "$template" .in)"
  done
  put() {
    mkdir -p "${DESTDIR:-}$(dirname "$3")"
    # A new file in place of the old one: programs that run keep the library that they have loaded.
    install -m "$1" "$2" "${DESTDIR:-}$3"
  }
  link() { ln -sf "$1" "${DESTDIR:-}$2"; }
  contents
  printf 'potluck %s is in %s%s' "$version" "${DESTDIR:-}" "$prefix"
  [ -n "${DESTDIR:-}" ] || printf '; where the loader looks there by itself it wants an ldconfig now'
  echo
  ;;
uninstall)
  put() { rm -f "${DESTDIR:-}$3"; }
  link() { rm -f "${DESTDIR:-}$2"; }
  contents
  # The one folder that is potluck's alone.
  [ ! -d "${DESTDIR:-}$libdir/cmake/Potluck" ] || rmdir "${DESTDIR:-}$libdir/cmake/Potluck" 2>/dev/null || true
  ;;
*)
  fail 'install or uninstall?'
  ;;
esac
