//! `make install`, and what C programmers then have: built, linked and loaded from the installed files alone.
//!
//! `make test` builds the libraries first and says where they are by `POTLUCK_LIB_DIR`. Tools that a machine may not have are left out with
//! a word.

mod files;
mod loaded;
#[path = "../tools/mod.rs"]
mod tools;
mod used;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tools::run;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/install");

/// Where `make lib` has put the libraries.
fn lib_dir() -> PathBuf {
    std::env::var_os("POTLUCK_LIB_DIR")
        .map(PathBuf::from)
        .expect("POTLUCK_LIB_DIR says where the libraries are: run `make test`")
}

/// An empty folder of one test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("install").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the folder is writable");
    folder
}

/// Runs make as one who has no Rust: what is built is all there is.
fn make(target: &str, variables: &[(&str, &Path)]) -> Output {
    let mut make = Command::new("make");
    make.args(["--no-print-directory", "-C", ROOT, target, "CARGO=no-such-tool"]);
    make.arg(format!("LIB_DIR={}", lib_dir().display()));
    make.args(variables.iter().map(|(name, value)| format!("{name}={}", value.display())));
    // What another make, around this test, was told.
    for variable in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PREFIX", "DESTDIR", "LIBDIR", "INCLUDEDIR", "MANDIR"] {
        make.env_remove(variable);
    }
    make.output().expect("there is a make")
}

/// `make`, which must succeed.
fn made(target: &str, variables: &[(&str, &Path)]) -> String {
    let output = make(target, variables);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "make {target}: {said}");
    said
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where potluck is installed, for all tests that only use it.
fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = folder("prefix");
        made("install", &[("PREFIX", &prefix)]);
        prefix
    })
}

/// A number that the header defines.
fn defined(name: &str) -> String {
    let header = fs::read_to_string(format!("{ROOT}/include/potluck.h")).expect("it is committed");
    let line = header.lines().find_map(|line| line.strip_prefix(&format!("#define POTLUCK_{name} ")));
    line.unwrap_or_else(|| panic!("the header defines no POTLUCK_{name}")).to_owned()
}

/// The functions that the header declares.
fn functions() -> BTreeSet<String> {
    let header = fs::read_to_string(format!("{ROOT}/include/potluck.h")).expect("it is committed");
    let starts = header.lines().filter(|line| line.contains("potluck_") && !line.starts_with([' ', '/', '#', '}']));
    let named = starts.filter(|line| !line.starts_with("typedef")).filter_map(|line| line.split_once('('));
    let names = named.filter_map(|(before, _)| before.rsplit([' ', '*']).next());
    let functions: BTreeSet<String> = names.map(str::to_owned).collect();
    assert!(functions.len() > 30, "{functions:?}");
    functions
}

/// The names that `nm` gives with these options.
fn symbols(file: &Path, options: &[&str]) -> BTreeSet<String> {
    let listing = run(Command::new("nm").args(options).arg(file));
    listing.lines().filter_map(|line| line.split_whitespace().nth(2)).map(str::to_owned).collect()
}

/// The values of one kind of line in the dynamic section: NEEDED, SONAME. None at all in a file that is not dynamic.
fn dynamic(file: &Path, kind: &str) -> BTreeSet<String> {
    let listing = run(Command::new("readelf").arg("-dW").arg(file));
    let lines = listing.lines().filter(|line| line.contains(&format!("({kind})")));
    lines.filter_map(|line| line.split_once('[')?.1.split(']').next()).map(str::to_owned).collect()
}
