//! The installed libraries inside programs: beside another Rust archive, loaded and closed, shared with a plugin.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools::{c_compiler, run};
use crate::{ROOT, SOURCES, folder, prefix};

/// The C compiler, with the installed header and the harness of the C tests.
fn cc(folder: &Path) -> Command {
    let mut cc = Command::new(c_compiler());
    cc.args(["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"])
        .arg(format!("-I{}", prefix().join("include").display()));
    cc.arg(format!("-I{ROOT}/tests/c")).current_dir(folder);
    cc
}

fn source(name: &str) -> PathBuf {
    Path::new(SOURCES).join(name)
}

fn with_shared(cc: &mut Command) -> &mut Command {
    let lib = prefix().join("lib");
    cc.arg(format!("-L{}", lib.display()))
        .args(["-lpotluck", "-ldl", "-lpthread"])
        .arg(format!("-Wl,-rpath,{}", lib.display()))
}

/// Runs a program that must count its checks and say nothing else.
fn check(program: &mut Command) {
    let output = program.output().unwrap_or_else(|error| panic!("{program:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("checks passed"), "{program:?}: {}\n{out}{err}", output.status);
    assert_eq!(err, "", "the library prints nothing");
}

#[test]
fn installed_archive_links_beside_another_rust_archive_in_both_orders() {
    let folder = folder("beside");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let other = folder.join("libother.a");
    run(Command::new(rustc)
        .args(["--edition=2024", "--crate-type=staticlib", "-O"])
        .arg(source("other.rs"))
        .arg("-o")
        .arg(&other));
    let archive = prefix().join("lib/libpotluck.a");
    for (name, archives) in [("first", [&archive, &other]), ("last", [&other, &archive])] {
        let mut cc = cc(&folder);
        cc.arg(source("beside.c")).args(archives).args(["-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-o", name]);
        run(&mut cc);
        check(&mut Command::new(folder.join(name)));
    }
}

#[test]
fn installed_shared_library_is_never_unmapped() {
    let folder = folder("dlclose");
    run(cc(&folder).arg(source("dlclose.c")).args(["-ldl", "-lpthread", "-o", "dlclose"]));
    // Any shared object will do.
    run(cc(&folder).args(["-shared", "-fPIC", "-x", "c", "/dev/null", "-o", "other.so"]));
    check(Command::new(folder.join("dlclose")).arg(prefix().join("lib/libpotluck.so")).arg(folder.join("other.so")));
}

#[test]
fn installed_shared_library_outlives_a_plugin_that_is_unloaded_after_its_peer_is_closed() {
    let folder = folder("plugin");
    let mut plugin = cc(&folder);
    run(with_shared(plugin.args(["-shared", "-fPIC"]).arg(source("plugin.c"))).args(["-o", "plugin.so"]));
    let mut host = cc(&folder);
    run(with_shared(host.arg(source("plugin_host.c"))).args(["-o", "host"]));
    check(Command::new(folder.join("host")).arg(folder.join("plugin.so")));
}
