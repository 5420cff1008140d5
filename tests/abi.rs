//! What a program that was compiled before depends on is what `tests/c/abi.txt` says: the soname, the functions that the shared library
//! exports with their arguments, the numbers of the constants, and where each field of each struct is. `make abi` renews it.
//!
//! `make test` builds the libraries first and says where they are by `POTLUCK_LIB_DIR`.

#[path = "tools/mod.rs"]
mod tools;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tools::{c_compiler, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

const HEAD: &str = "\
# What programs depend on that were compiled before; renewed by `make abi`. A line that is new is harmless. A line that is gone or has
# changed breaks those programs, and POTLUCK_ABI must be raised; except that a struct with struct_size first may grow at its end.
";

fn shared_library() -> PathBuf {
    let folder = std::env::var_os("POTLUCK_LIB_DIR").map(PathBuf::from);
    folder.expect("POTLUCK_LIB_DIR says where the libraries are: run `make test`").join("libpotluck.so")
}

/// The header as the compiler reads it: no comments, and one space wherever there is any.
fn declarations() -> String {
    let header = fs::read_to_string(format!("{ROOT}/include/potluck.h")).expect("it is committed");
    let mut text = String::new();
    for part in header.split("/*") {
        text.push_str(part.split_once("*/").map_or(part, |(_, rest)| rest));
    }
    text
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The names and values of the constants, but for the version, which changes with each release.
fn constants(header: &str) -> Vec<(&str, &str)> {
    let defined = header.lines().filter_map(|line| line.strip_prefix("#define ")?.split_once(' '));
    defined.filter(|(name, _)| !name.starts_with("POTLUCK_VERSION_")).collect()
}

/// A struct's name, and its fields: the declaration and the name in it.
fn structs(header: &str) -> Vec<(&str, Vec<(String, String)>)> {
    let bodies = header.split("typedef struct ").skip(1).filter_map(|rest| rest.split_once('}')?.0.split_once('{'));
    let fields = |body: &str| {
        let fields = body.split(';').map(in_one_line).filter(|field| !field.is_empty());
        let name = |field: &str| {
            let before = field.split('[').next().unwrap_or_default();
            let name = before.rsplit([' ', '*']).next().unwrap_or_default();
            name.to_owned()
        };
        fields.map(|field| (name(&field), field)).map(|(name, field)| (field, name)).collect()
    };
    bodies.map(|(name, body)| (name.trim(), fields(body))).collect()
}

/// The functions and the types of the callbacks, each in one line, by name.
fn prototype(header: &str, name: &str) -> String {
    let at = header.find(&format!("{name}(")).unwrap_or_else(|| panic!("the header does not declare {name}"));
    let start = header[..at].rfind('\n').map_or(0, |end| end + 1);
    let end = header[at..].find(';').expect("a declaration ends") + at;
    in_one_line(&header[start..end])
}

fn callbacks(header: &str) -> Vec<String> {
    let starts = header.match_indices("typedef ").map(|(at, _)| &header[at..]);
    let types = starts.filter(|rest| !rest.starts_with("typedef struct")).filter_map(|rest| rest.split(';').next());
    types.map(in_one_line).collect()
}

/// Sizes and offsets, as the C compiler sees them.
fn layouts(header: &str) -> String {
    let mut program = "#include <stddef.h>\n#include <stdio.h>\n#include \"potluck.h\"\nint main(void) {\n".to_owned();
    for (name, fields) in structs(header) {
        assert!(!fields.is_empty(), "{name} has no field");
        let _ =
            writeln!(program, "printf(\"{name}: %zu bytes, aligned to %zu\\n\", sizeof({name}), _Alignof({name}));");
        for (field, member) in fields {
            let _ = writeln!(
                program,
                "printf(\"  at %zu, %zu bytes: {field}\\n\", offsetof({name}, {member}), sizeof((({name} *)0)->{member}));"
            );
        }
    }
    program.push_str("return 0;\n}\n");
    // Both tests come here, maybe at the same time.
    let thread = std::thread::current();
    let name = format!("layouts-{}.c", thread.name().unwrap_or_default());
    let source = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&source, program).expect("the folder is writable");
    let made = source.with_extension("");
    run(Command::new(c_compiler()).arg(format!("-I{ROOT}/include")).arg(&source).arg("-o").arg(&made));
    run(&mut Command::new(made))
}

/// All of it, as it is now.
fn abi() -> String {
    let header = declarations();
    let exported = run(Command::new("nm").args(["-D", "--defined-only"]).arg(shared_library()));
    let exported: BTreeSet<&str> = exported.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    let dynamic = run(Command::new("readelf").arg("-d").arg(shared_library()));
    let soname = dynamic.lines().find_map(|line| line.split_once("Library soname: ["));
    let (_, soname) = soname.expect("the shared library has a soname");
    let mut text = HEAD.to_owned();
    let _ = writeln!(text, "\nsoname {}\n\nfunctions", soname.trim_end_matches(']'));
    for name in &exported {
        let _ = writeln!(text, "  {}", prototype(&header, name));
    }
    let _ = writeln!(text, "\ntypes");
    for callback in callbacks(&header) {
        let _ = writeln!(text, "  {callback}");
    }
    let _ = writeln!(text, "\nconstants");
    for (name, value) in constants(&header) {
        let _ = writeln!(text, "  {name} {value}");
    }
    let _ = writeln!(text, "\nstructs\n{}", layouts(&header).trim_end());
    text
}

#[test]
fn the_abi_is_the_one_that_was_written_down() {
    let path = format!("{ROOT}/tests/c/abi.txt");
    let now = abi();
    if std::env::var_os("POTLUCK_UPDATE_ABI").is_some() {
        fs::write(&path, &now).expect("tests/c is writable");
    }
    let before = fs::read_to_string(&path).expect("tests/c/abi.txt is committed");
    let only_in = |text: &str, other: &str, sign: &str| {
        let lines: Vec<&str> = other.lines().collect();
        let found = text.lines().filter(|line| !lines.contains(line));
        found.map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    let (gone, new) = (only_in(&before, &now, "-"), only_in(&now, &before, "+"));
    assert!(
        before == now,
        "the ABI is not the one of tests/c/abi.txt. {} Run `make abi` if this is meant, and commit it.\n{gone}{new}",
        if gone.is_empty() {
            "Things were added or moved."
        } else {
            "Things have CHANGED: see its head on POTLUCK_ABI."
        }
    );
}

/// Each part is as long as what is counted in the header in another way.
#[test]
fn what_is_written_down_leaves_nothing_out() {
    let header = declarations();
    let text = abi();
    let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    assert_eq!(count("bytes, aligned to"), header.matches("typedef struct").count());
    assert_eq!(count("  at 0, "), header.matches("typedef struct").count(), "each struct has a first field");
    assert_eq!(
        count("(*potluck_on_") + count("(*potluck_drop_fn)") + count("(*potluck_release_fn)"),
        header.matches("(*potluck_").count()
    );
    let (_, functions) = header.split_once("extern \"C\"").expect("where the functions begin");
    assert_eq!(
        text.matches(" potluck_status_t potluck_").count() + 2,
        functions.matches(';').count(),
        "two give a text"
    );
    let one = "  at 0, 8 bytes: uint64_t id";
    assert!(count(one) >= 7, "ids are 64 bits");
}
