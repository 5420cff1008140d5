//! The committed header is the one that the source makes, and compilers take it. `make header` puts it in place.

#[path = "tools/mod.rs"]
mod tools;

use std::process::Command;

const GENERATED: &str = include_str!(concat!(env!("OUT_DIR"), "/potluck.h"));
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/include/potluck.h");

#[test]
fn the_header_is_current() {
    if std::env::var_os("POTLUCK_UPDATE_HEADER").is_some() {
        std::fs::write(PATH, GENERATED).expect("include/ is writable");
    }
    let committed = std::fs::read_to_string(PATH).expect("include/potluck.h is committed");
    assert!(committed == GENERATED, "include/potluck.h is stale: run `make header` and commit it");
}

#[test]
fn the_header_says_the_version_of_the_manifest() {
    let version = env!("CARGO_PKG_VERSION").split('.');
    for (part, number) in ["MAJOR", "MINOR", "PATCH"].into_iter().zip(version) {
        let line = format!("#define POTLUCK_VERSION_{part} {number}\n");
        assert!(GENERATED.contains(&line), "{line}");
    }
}

#[test]
fn every_function_of_the_source_is_in_the_header_with_its_documentation() {
    let mut functions = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/ffi")).expect("the C ABI's sources") {
        let source = std::fs::read_to_string(file.expect("a file").path()).expect("it is text");
        for part in source.split("#[unsafe(no_mangle)]").skip(1) {
            let (_, rest) = part.split_once("fn ").expect("a function follows");
            let (name, _) = rest.split_once('(').expect("its name");
            let (body, _) = rest.split_once("\n}").expect("its end");
            let at = GENERATED.find(&format!("{name}(")).unwrap_or_else(|| panic!("{name} is not in the header"));
            assert!(GENERATED[..at].trim_end().ends_with(" */\npotluck_status_t") || documented(at), "{name}");
            // One boundary for panics and errors around every body.
            assert!(
                body.contains("guard(|| ") || body.contains("guard_outcome(|| ") || body.contains("guard_value("),
                "{name}"
            );
            functions += 1;
        }
    }
    assert_eq!(functions, GENERATED.matches("\npotluck_status_t potluck_").count() + 2, "two give a text");
}

/// Whether the line of the header at `at` comes right after a comment.
fn documented(at: usize) -> bool {
    let line = GENERATED[..at].rfind('\n').unwrap_or(0);
    GENERATED[..line].ends_with(" */")
}

/// Whether a compiler takes this text, with all warnings as errors.
fn compiles(compiler: &str, language: &str, standard: &str, text: &str) -> Result<(), String> {
    let source = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("alone-{compiler}-{standard}"));
    std::fs::write(&source, text).expect("the folder is writable");
    let mut command = Command::new(compiler);
    command.args(["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-fsyntax-only", "-x", language]);
    command.arg(format!("-std={standard}")).arg(concat!("-I", env!("CARGO_MANIFEST_DIR"), "/include")).arg(source);
    let output = command.output().expect("it was found");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() && said.is_empty() { Ok(()) } else { Err(said) }
}

#[test]
fn the_header_alone_compiles_as_c_and_as_cpp_in_each_standard() {
    let alone = "#include \"potluck.h\"\n#include \"potluck.h\"\n";
    let unclean = format!("{alone}int narrow(long long wide);\nint narrow(long long wide) {{ return wide; }}\n");
    for (language, standards, compilers) in
        [("c", ["c99", "c11", "c17"], ["gcc", "clang"]), ("c++", ["c++11", "c++17", "c++20"], ["g++", "clang++"])]
    {
        for compiler in compilers {
            if !tools::are_there(&[compiler], &format!("the header alone as {}", standards.join(", "))) {
                continue;
            }
            for standard in standards {
                compiles(compiler, language, standard, alone).unwrap_or_else(|said| panic!("{standard}: {said}"));
                let said = compiles(compiler, language, standard, &unclean).expect_err("warnings are errors");
                assert!(said.contains("conversion"), "{standard}: {said}");
            }
        }
    }
}
