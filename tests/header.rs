//! The committed header is the one that the source makes, and compilers take it. `make header` puts it in place.

#[path = "tools/mod.rs"]
mod tools;

use std::process::Command;

mod manual;

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
        let path = file.expect("a file").path();
        // What the one has is in no build that anybody uses, what the other has is for the linker alone.
        if path.ends_with("test_panics.rs") || path.ends_with("faults.rs") {
            continue;
        }
        let source = std::fs::read_to_string(path).expect("it is text");
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

#[test]
fn the_manual_says_of_every_function_whether_it_blocks_who_frees_what_and_what_it_answers() {
    let (functions, known) = (manual::functions(), manual::statuses());
    assert_eq!(functions.len(), GENERATED.matches("\npotluck_status_t potluck_").count() + 2, "two give a text");
    let mut missing = Vec::new();
    for function in &functions {
        let (name, comment) = (function.name, &function.comment);
        let mut miss = |what: String| missing.push(format!("{name}: {what}"));
        let waits = function.has("timeout_ms");
        if comment.contains("`timeout_ms`") != waits || comment.contains("oes not block") == waits {
            miss("does it block, and how long?".to_owned());
        }
        for out in function.parameters.iter().filter(|parameter| parameter.is_owned()) {
            if !comment.contains(&format!("elease `*{}`", out.name)) {
                miss(format!("who frees {}?", out.name));
            }
        }
        if !function.gives_status {
            continue;
        }
        if !function.statuses.starts_with("OK") {
            miss("which statuses?".to_owned());
        }
        let strange =
            manual::words(&function.statuses).find(|word| !(known.contains(word) || ["NULL", "UTF"].contains(word)));
        strange.into_iter().for_each(|word| miss(format!("{word} is no status")));
        let documented = function.documented(&functions);
        for status in must_be_listed(function) {
            if !documented.contains(status) {
                miss(format!("{status} is not listed"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// The statuses that follow from what a function takes.
fn must_be_listed(function: &manual::Function) -> Vec<&'static str> {
    let mut listed = Vec::new();
    for parameter in &function.parameters {
        if parameter.is_id() {
            listed.push("INVALID_HANDLE");
        } else if parameter.of_type == "const char *" || parameter.is_sized() || parameter.name == "data_len" {
            listed.push("INVALID_ARGUMENT");
        }
        if parameter.is_owned() {
            listed.push("LIMIT_REACHED");
        }
    }
    if function.has("timeout_ms") {
        listed.push("INVALID_ARGUMENT");
    }
    // What one acts as may be closed; to end it again is OK.
    if ["system", "peer", "events"].iter().any(|id| function.has(id)) && function.name != "potluck_events_close" {
        listed.push("CLOSED");
    }
    listed
}

/// Names of all functions that comments speak of exist.
#[test]
fn the_manual_speaks_of_functions_and_constants_that_there_are() {
    let words = GENERATED.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    for word in words.filter(|word| word.starts_with("potluck_") || word.starts_with("POTLUCK_E_")) {
        let is_declared = [format!("{word}("), format!("{word})("), format!("typedef struct {word} {{")]
            .iter()
            .any(|text| GENERATED.contains(text))
            || GENERATED.contains(&format!("#define {word} "))
            || GENERATED.contains(&format!(" {word};\n"))
            || word == "POTLUCK_E_";
        assert!(is_declared, "{word}");
    }
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
