//! The examples in Rust: what they print, and what they say to wrong input.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

/// An example, which `cargo test` has built beside the tests.
fn run(name: &str, arguments: &[&str]) -> Output {
    let deps = std::env::current_exe().expect("the test's own path");
    let program = deps.ancestors().nth(2).expect("target/<profile>").join("examples").join(name);
    Command::new(&program).args(arguments).output().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An empty folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the folder is writable");
    folder
}

#[test]
fn the_classic_example_prints_what_the_seed_printed() {
    let output = run("classic", &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), include_str!("expected/classic.txt"));
    for wrong in [&["--peers", "1"][..], &["--peers"], &["--seed", "x"], &["--what", "1"]] {
        assert_eq!(run("classic", wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn share_files_fetches_every_file_and_says_what_it_skipped() {
    let folder = folder("share_files");
    fs::create_dir(folder.join("deep")).unwrap();
    fs::write(folder.join("a.txt"), "a").unwrap();
    fs::write(folder.join("deep/empty"), "").unwrap();
    fs::write(folder.join("deep/large"), vec![7; 1_000_000]).unwrap();
    fs::write(folder.join("odd*name"), "x").unwrap();
    fs::write(folder.join(std::ffi::OsStr::from_bytes(b"not\xffutf8")), "x").unwrap();
    symlink("a.txt", folder.join("link")).unwrap();
    let output = run("share_files", &[folder.to_str().unwrap()]);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}{}", text(&output.stderr));
    assert!(out.contains("skipped share_files/link: a symbolic link\n"), "{out}");
    assert!(
        out.contains("skipped share_files/odd*name: invalid name \"share_files/odd*name\": it has a '*'\n"),
        "{out}"
    );
    assert!(out.contains("its name is not UTF-8\n"), "{out}");
    assert!(out.contains("3 files, 1000001 bytes from 1 peers, all digests equal\n"), "{out}");
    assert!(out.contains(" MB/s\n"), "{out}");
    assert!(text(&output.stderr).ends_with("] 3/3\n"), "the progress bar ends full");
}

#[test]
fn share_files_says_why_there_is_nothing_to_do() {
    assert_eq!(run("share_files", &[]).status.code(), Some(2));
    let empty = folder("share_files_empty");
    let output = run("share_files", &[empty.to_str().unwrap()]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), "share_files: no file to share\n".to_owned()));
    let output = run("share_files", &["no/such/folder"]);
    assert!(output.status.code() == Some(1) && text(&output.stderr).contains("no/such/folder"), "{output:?}");
    let output = run("share_files", &["src", "src"]);
    assert!(
        output.status.code() == Some(1) && text(&output.stderr).contains("two folders are called src"),
        "{output:?}"
    );
}
