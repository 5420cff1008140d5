//! The tools that tests run, and those that a machine may not have: a test that needs one is left out there, and says so.
#![allow(dead_code, reason = "each of the tests that have this module takes what it needs")]

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// Where a tool is.
pub(crate) fn find(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(tool)).find(|file| file.is_file())
}

/// Whether these tools are there. If not it says what is left out.
pub(crate) fn are_there(tools: &[&str], what: &str) -> bool {
    let missing = tools.iter().find(|tool| find(tool).is_none());
    if let Some(missing) = missing {
        leave_out(&format!("no {missing}"), what);
    }
    missing.is_none()
}

/// Says what is left out and why, which `cargo test` shows, and CI again at its end.
pub(crate) fn leave_out(why: &str, what: &str) {
    let line = format!("left out, {why}: {what}\n");
    // Not by the macros: what those print in a test that passes is not shown.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(file) = env::var_os("POTLUCK_LEFT_OUT") {
        let file = OpenOptions::new().append(true).create(true).open(file);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("POTLUCK_LEFT_OUT is a file to write to");
    }
}

/// Runs a command that must succeed, and gives what it printed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

/// The system's C compiler, or the one that CC names.
pub(crate) fn c_compiler() -> String {
    env::var("CC").ok().filter(|cc| !cc.is_empty()).unwrap_or_else(|| "cc".to_owned())
}
