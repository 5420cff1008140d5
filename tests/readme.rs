//! The README as a new user meets it: its programs are written to files, its commands are run as they stand there, in a folder that
//! looks like the project's root. Rust's program is a doc test of the crate.
//!
//! `make test` builds the libraries first and says where they are by `POTLUCK_LIB_DIR`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const README: &str = include_str!("../README.md");
const PRINTED: &str = "tomato from ada, version 1\n";

/// The blocks of the README in one language.
fn blocks(language: &str) -> Vec<&'static str> {
    let open = format!("```{language}\n");
    README.split(open.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// A folder with what the commands use of the project's root, and the programs of the README.
fn checkout() -> PathBuf {
    let libs =
        std::env::var_os("POTLUCK_LIB_DIR").expect("POTLUCK_LIB_DIR says where the libraries are: run `make test`");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("readme");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("target")).expect("the folder is writable");
    symlink(libs, folder.join("target/release")).expect("the folder is writable");
    for part in ["include", "python"] {
        symlink(PathBuf::from(ROOT).join(part), folder.join(part)).expect("the folder is writable");
    }
    let (c, python) = (blocks("c"), blocks("python"));
    assert_eq!((c.len(), python.len()), (1, 1), "one program in each language");
    fs::write(folder.join("kitchen.c"), c[0]).expect("the folder is writable");
    fs::write(folder.join("kitchen.py"), python[0]).expect("the folder is writable");
    folder
}

/// Runs a command as a shell does where a virtual environment is active, without what this process was told about the library.
fn shell(folder: &PathBuf, command: &str) -> String {
    let path = format!("{}:{}", folder.join("venv/bin").display(), std::env::var("PATH").expect("there is a PATH"));
    let mut sh = Command::new("sh");
    sh.args(["-c", command]).current_dir(folder).env_remove("POTLUCK_LIBRARY").env("PATH", path);
    sh.env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    let output = sh.output().expect("there is a shell");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command}:\n{out}{err}");
    assert_eq!(err, "", "{command}");
    out.into_owned()
}

#[test]
fn its_programs_and_commands_work_as_they_stand_there() {
    let folder = checkout();
    shell(&folder, "python3 -m venv venv");
    let mut compiled = 0;
    let mut has_python = false;
    for command in blocks("sh").into_iter().flat_map(str::lines) {
        if command.starts_with("make ") {
            // `tests/facts.rs` sees to it that CI runs these.
        } else if command.starts_with("cc ") {
            shell(&folder, command);
            assert_eq!(shell(&folder, "./kitchen"), PRINTED, "{command}");
            fs::remove_file(folder.join("kitchen")).expect("it was made");
            compiled += 1;
        } else if command.starts_with("pip install ") {
            assert!(shell(&folder, command).contains("Successfully installed potluck-"), "{command}");
            assert_eq!(shell(&folder, "python3 kitchen.py"), PRINTED);
            has_python = true;
        } else {
            let printed = shell(&folder, command);
            let version = concat!("potluck ", env!("CARGO_PKG_VERSION"), ", library ", env!("CARGO_PKG_VERSION"));
            assert!(has_python && printed.starts_with(version), "{command}: {printed}");
        }
    }
    assert!(compiled == 2 && has_python, "the README shows how to link both libraries, and Python");

    // The Python package's own README is a test of that package; here it has what pip has installed.
    shell(&folder, "python3 -m doctest python/README.md");
}
