//! The C tests and examples: compiled with the system's C compiler against the shared and the static library, and run.
//!
//! `make test` builds the libraries first and says where they are by `POTLUCK_LIB_DIR`, and by
//! `POTLUCK_PANICS_LIB_DIR` where one is that panics on purpose. `make sanitize` gives flags, too: by
//! `POTLUCK_C_FLAGS` for the compiling, by `POTLUCK_LINK_FLAGS` for the linking.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

mod manual;
mod tools;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const WARNINGS: &[&str] = &["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"];
/// What the static library needs beside it.
const STATIC_LIBS: &[&str] = &["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"];

/// As C++ the tests use what C has and C++ takes as an extension, so not with -Wpedantic.
const CXX_WARNINGS: &[&str] =
    &["-x", "c++", "-std=c++17", "-Wall", "-Wextra", "-Wconversion", "-Wno-missing-field-initializers", "-Werror"];

#[derive(Clone, Copy)]
enum Linked {
    Shared,
    Static,
}

const BOTH: [Linked; 2] = [Linked::Shared, Linked::Static];

fn lib_dir() -> PathBuf {
    libraries("POTLUCK_LIB_DIR")
}

fn libraries(variable: &str) -> PathBuf {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    folder.unwrap_or_else(|| panic!("{variable} says where the libraries are: run `make test`"))
}

fn compiler() -> String {
    std::env::var("CC").ok().filter(|cc| !cc.is_empty()).unwrap_or_else(|| "cc".to_owned())
}

/// The words of a variable that may be there.
fn flags(variable: &str) -> Vec<String> {
    std::env::var(variable).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Runs the C compiler.
fn cc(source: &Path, arguments: impl FnOnce(&mut Command) -> &mut Command) {
    let output = arguments(&mut Command::new(compiler())).output();
    let output = output.unwrap_or_else(|error| panic!("no C compiler ({}): {error}", compiler()));
    assert!(output.status.success(), "{} does not compile:\n{}", source.display(), text(&output.stderr));
}

/// Compiles a program, links it with each library, and gives the paths.
fn compile(source: &Path) -> [PathBuf; 2] {
    let object = object(source, "c");
    BOTH.map(|linked| link(source, &object, flags("POTLUCK_LINK_FLAGS"), linked))
}

/// The same as C++.
fn compile_as_cxx(source: &Path) -> [PathBuf; 2] {
    let object = object_of(source, "cxx", CXX_WARNINGS);
    // What the thread sanitizer adds to each function wants C++'s own runtime, where C's compiler links.
    let runtime: Vec<String> = flags("POTLUCK_LINK_FLAGS").into_iter().chain(["-lstdc++".to_owned()]).collect();
    BOTH.map(|linked| link(source, &object, runtime.clone(), linked))
}

/// Compiles a plugin, which links the shared library alone; what a sanitizer needs is in the program.
fn compile_plugin(source: &Path) -> PathBuf {
    link(source, &object(source, "plugin"), vec!["-shared".to_owned()], Linked::Shared)
}

fn object(source: &Path, suffix: &str) -> PathBuf {
    object_of(source, suffix, WARNINGS)
}

fn object_of(source: &Path, suffix: &str, language: &[&str]) -> PathBuf {
    let name = source.file_stem().and_then(OsStr::to_str).expect("a source has a name");
    let object = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{suffix}.o"));
    cc(source, |cc| {
        cc.args(language)
            .args(flags("POTLUCK_C_FLAGS"))
            .args(["-fPIC", "-D_POSIX_C_SOURCE=200809L"])
            .arg(format!("-I{ROOT}/include"))
            .arg("-c")
            .arg(source)
            .arg("-o")
            .arg(&object)
    });
    object
}

fn link(source: &Path, object: &Path, flags: Vec<String>, linked: Linked) -> PathBuf {
    link_with(&lib_dir(), source, object, flags, linked)
}

fn link_with(libs: &Path, source: &Path, object: &Path, flags: Vec<String>, linked: Linked) -> PathBuf {
    let program = object.with_extension(match linked {
        Linked::Shared => "shared",
        Linked::Static => "static",
    });
    cc(source, |cc| {
        cc.arg(object).arg("-o").arg(&program).args(flags);
        match linked {
            Linked::Shared => cc
                .arg(format!("-L{}", libs.display()))
                .args(["-lpotluck", "-lpthread", "-ldl"])
                .arg(format!("-Wl,-rpath,{}", libs.display())),
            Linked::Static => cc.arg(libs.join("libpotluck.a")).args(STATIC_LIBS),
        }
    });
    program
}

/// Which library it loads is written in the program: not by the path that cargo gives, where another one may be.
fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn sources(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(ROOT).join(folder)).expect("the folder is there");
    let mut sources: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    sources.retain(|path| path.extension() == Some(OsStr::new("c")));
    sources.sort();
    assert!(!sources.is_empty(), "{folder} has no C source");
    sources
}

/// In builds with the feature `test-panics` the library panics where it is told to.
#[test]
fn a_panic_anywhere_in_a_call_is_its_status() {
    let source = Path::new(ROOT).join("tests/panics/calls.c");
    let table = fs::read_to_string(&source).expect("it is committed");
    for function in manual::functions() {
        assert!(table.contains(&format!("  ROW({}, ", function.name)), "no call of {}", function.name);
    }
    let libs = libraries("POTLUCK_PANICS_LIB_DIR");
    for (name, language) in [("panics", WARNINGS), ("panics-cxx", CXX_WARNINGS)] {
        let object = object_of(&source, name, language);
        let runtime = flags("POTLUCK_LINK_FLAGS").into_iter().chain(["-lstdc++".to_owned()]).collect();
        let output = run(&link_with(&libs, &source, &object, runtime, Linked::Shared), &[]);
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "a panic inside a call prints nothing");
    }
}

#[test]
fn no_library_that_is_used_panics_on_purpose() {
    let has = |library: PathBuf, words: &str| {
        let bytes = fs::read(&library).unwrap_or_else(|error| panic!("{}: {error}", library.display()));
        bytes.windows(words.len()).any(|window| window == words.as_bytes())
    };
    for words in ["potluck_test_", "on purpose, at"] {
        assert!(has(libraries("POTLUCK_PANICS_LIB_DIR").join("libpotluck.so"), words), "{words}");
        for library in ["libpotluck.so", "libpotluck.a"] {
            assert!(!has(lib_dir().join(library), words), "{library} has {words}");
        }
    }
}

/// The shared library under another path, which is another copy to whoever loads it.
fn copied_library(name: &str) -> String {
    let copy = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("libpotluck-{name}.so"));
    fs::copy(lib_dir().join("libpotluck.so"), &copy).expect("the folder is writable");
    copy.into_os_string().into_string().expect("a path of ASCII")
}

#[test]
fn the_c_tests_pass_with_both_libraries_as_c_and_as_cxx() {
    let copy = copied_library("copy");
    for source in sources("tests/c") {
        // To a sanitizer the language of the caller makes no difference.
        let as_cxx = if flags("POTLUCK_C_FLAGS").is_empty() { compile_as_cxx(&source).to_vec() } else { Vec::new() };
        for program in compile(&source).into_iter().chain(as_cxx) {
            let output = run(&program, &[&copy]);
            let (out, mut err) = (text(&output.stdout), text(&output.stderr));
            // A sanitizer says so when a test asks for more bytes than there can be.
            let refused = |line: &&str| line.contains("Sanitizer failed to allocate 0x7fffffffffffffff bytes");
            err = err.split_inclusive('\n').filter(|line| !refused(line)).collect();
            assert!(output.status.success() && out.contains("checks passed"), "{}:\n{out}{err}", source.display());
            assert_eq!(err, "", "{}: the library prints nothing", source.display());
        }
    }
}

/// A short run; `make fuzz` is the long one. What it sees of each function must be what the header says.
#[test]
fn random_calls_give_no_status_that_the_header_does_not_list() {
    let (functions, numbers) = (manual::functions(), manual::numbers());
    let source = Path::new(ROOT).join("tests/fuzz/calls.c");
    for program in compile(&source) {
        let output = run(&program, &["--calls", "400000"]);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success() && out.ends_with(" nothing left\n"), "{out}{err}");
        for function in &functions {
            let line = out.lines().find_map(|line| line.strip_prefix(&format!("{}:", function.name)));
            let line = line.unwrap_or_else(|| panic!("{} is not among the random calls:\n{out}", function.name));
            let seen: Vec<&str> = line.split_whitespace().filter_map(|count| count.split('*').next()).collect();
            assert!(seen.contains(&"0"), "{}: no call has succeeded:\n{out}", function.name);
            let documented = function.documented(&functions);
            for number in seen {
                let name = &numbers[&number.parse::<i32>().expect("a status")];
                assert!(!function.gives_status || documented.contains(*name), "{} gives {name}:\n{out}", function.name);
            }
        }
    }
}

#[test]
fn the_classic_example_prints_the_same_lines_from_c() {
    let expected = fs::read_to_string(format!("{ROOT}/tests/expected/classic.txt")).expect("it is committed");
    for program in compile(&Path::new(ROOT).join("c-examples/classic.c")) {
        let output = run(&program, &[]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), expected);
        let other = run(&program, &["--peers", "5", "--seed", "18446744073709551615"]);
        assert_eq!(
            text(&other.stdout),
            text(&run(&rust_example("classic"), &["--peers", "5", "--seed", "18446744073709551615"]).stdout)
        );
        assert!(other.status.success() && !other.stdout.is_empty());
        for wrong in [&["--peers", "1"][..], &["--peers"], &["--seed", "x"], &["--what", "1"]] {
            assert_eq!(run(&program, wrong).status.code(), Some(2), "{wrong:?}");
        }
    }
}

/// What a program prints on standard output is in `tests/expected`.
fn expect_output(name: &str, output: &Output) {
    let expected = fs::read_to_string(format!("{ROOT}/tests/expected/{name}.txt")).expect("it is committed");
    assert!(output.status.success(), "{name}: {}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!((text(&output.stdout), text(&output.stderr)), (expected, String::new()), "{name}");
}

#[test]
fn the_examples_print_what_they_say_and_are_short() {
    let folder = Path::new(ROOT).join("c-examples");
    let [mut programs, mut plugins] = [0, 0];
    for source in sources("c-examples") {
        let name = source.file_stem().and_then(OsStr::to_str).expect("a source has a name");
        let lines = fs::read_to_string(&source).expect("it is text").lines().count();
        assert!(lines < 80 || name == "classic" && lines <= 200, "{name} has {lines} lines");
        match name {
            // Has a test of its own.
            "classic" => {}
            "plugin" => {
                // It must be the library's own copy that both use, so there is no host with the static one.
                let [host, _] = compile(&folder.join("plugin_host.c"));
                let plugin = compile_plugin(&source);
                expect_output("plugin_host", &run(&host, &[plugin.to_str().expect("a path of ASCII")]));
                assert_eq!(run(&host, &[]).status.code(), Some(2));
                expect_python_to_host(&plugin);
                plugins += 1;
            }
            "plugin_host" => {}
            // `tests/mesh_examples.rs` runs it where there is a mesh.
            "mesh" => compile(&source).iter().for_each(|program| {
                assert_eq!(run(program, &[]).status.code(), Some(2));
                let output = run(program, &["ada", "127.0.0.1:0"]);
                assert_eq!(output.status.code(), Some(1));
                assert!(text(&output.stderr).starts_with("mesh: open: unsupported: mesh"), "{}", text(&output.stderr));
            }),
            _ => {
                compile(&source).iter().for_each(|program| expect_output(name, &run(program, &[])));
                programs += 1;
            }
        }
    }
    assert!(programs >= 4 && plugins == 1);
}

/// Any host will do that can call a C function with a number. Not under a sanitizer, whose runtime Python does not have.
fn expect_python_to_host(plugin: &Path) {
    if flags("POTLUCK_C_FLAGS").is_empty() && tools::are_there(&["python3"], "a plugin in Python") {
        let (host, library) = (Path::new(ROOT).join("tests/plugin_host.py"), lib_dir().join("libpotluck.so"));
        let python = Command::new("python3").arg(host).args([&library, plugin]).output().expect("it was found");
        expect_output("plugin_host", &python);
    }
}

/// An example in Rust, which `cargo test` has built beside the tests.
fn rust_example(name: &str) -> PathBuf {
    let deps = std::env::current_exe().expect("the test's own path");
    deps.ancestors().nth(2).expect("target/<profile>").join("examples").join(name)
}

#[test]
fn the_shared_library_exports_the_functions_of_the_header_and_nothing_else() {
    let output = Command::new("nm").args(["-D", "--defined-only"]).arg(lib_dir().join("libpotluck.so")).output();
    let output = output.expect("nm comes with the C compiler");
    let listing = text(&output.stdout);
    let mut exported: Vec<&str> = listing.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    exported.sort_unstable();
    let mut declared: Vec<&str> = manual::functions().iter().map(|function| function.name).collect();
    declared.sort_unstable();
    assert_eq!(exported, declared);
    assert!(declared.len() > 30, "{declared:?}");
}

#[test]
fn the_fork_test_calls_every_function_of_the_header() {
    let test = fs::read_to_string(format!("{ROOT}/tests/c/int_fork.c")).expect("it is committed");
    let (_, body) = test.split_once("static void everything_is_forked").expect("the function");
    let (body, _) = body.split_once("\n}\n").expect("its end");
    for function in manual::functions() {
        assert!(body.contains(&format!("({}(", function.name)), "no call of {}", function.name);
    }
}

/// `tests/c/api_table.c` has a row for each wrong input that a function can be given.
#[test]
fn the_table_of_wrong_inputs_has_every_parameter_of_the_header() {
    let test = fs::read_to_string(format!("{ROOT}/tests/c/api_table.c")).expect("it is committed");
    let rows = |kind: &str| test.lines().filter(|line| line.starts_with(&format!("  {kind}("))).count();
    let mut wanted = std::collections::BTreeMap::<&str, usize>::new();
    for function in manual::functions() {
        for parameter in &function.parameters {
            let (kind, row) = match parameter.of_type.as_str() {
                _ if parameter.is_id() => ("ROW_ID", format!("ROW_ID({}, {}, ", function.name, parameter.name)),
                "const char *" => ("ROW_TEXT", format!("ROW_TEXT({}, {}, ", function.name, parameter.name)),
                _ if parameter.is_sized() => {
                    ("ROW_SIZED", format!("ROW_SIZED({}, {}, ", function.name, parameter.name))
                }
                _ if parameter.name == "data_len" => ("ROW_BODY", format!("ROW_BODY({}, ", function.name)),
                _ if parameter.name.starts_with("out_") => {
                    ("ROW_OUT", format!("ROW_OUT({}, {}, ", function.name, parameter.name))
                }
                _ if parameter.name == "timeout_ms" => ("ROW_TIMEOUT", format!("ROW_TIMEOUT({}, ", function.name)),
                _ => continue,
            };
            assert!(test.contains(&row), "no row of {} for {}", parameter.name, function.name);
            *wanted.entry(kind).or_default() += 1;
        }
    }
    assert_eq!(wanted.len(), 6);
    wanted.into_iter().for_each(|(kind, count)| assert_eq!(rows(kind), count, "{kind}"));
}

/// Uses of memory that is not there, or not written, and memory that nobody can free any more. Not under a sanitizer, which looks for
/// the same by other means.
#[test]
fn the_c_tests_pass_under_valgrind_where_it_is_installed() {
    let is_sanitized = !flags("POTLUCK_C_FLAGS").is_empty();
    if is_sanitized || !tools::are_there(&["valgrind"], "the C tests under valgrind") {
        return;
    }
    let copy = copied_library("valgrind-copy");
    for source in sources("tests/c") {
        let name = source.file_stem().and_then(OsStr::to_str).expect("a source has a name");
        // In a child made by fork, what the stacks of the parent's threads held has no owner any more; what a thread held that
        // was ended inside a callback is never freed, nor what one has first used at its end.
        let leaks = if ["int_fork", "int_killed", "int_late"].contains(&name) { "no" } else { "full" };
        // Fewer forks and rounds: all is some thirty times slower.
        let slow = ["-g", "-DDEADLINE_S=600", "-DFORKS=10", "-DROUNDS=100"];
        let program =
            link(&source, &object_of(&source, "valgrind", &[WARNINGS, &slow].concat()), vec![], Linked::Shared);
        let output = Command::new("valgrind")
            .args(["-q", "--error-exitcode=99", &format!("--leak-check={leaks}"), "--errors-for-leak-kinds=definite"])
            .arg(&program)
            .arg(&copy)
            .output()
            .expect("valgrind runs");
        assert!(output.status.success(), "{name}:\n{}{}", text(&output.stdout), text(&output.stderr));
    }
}
