//! Which files are installed, and what is in them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::tools::{are_there, find, run};
use crate::{ROOT, defined, dynamic, folder, functions, lib_dir, made, make, prefix, symbols, text};

/// The files and links below a folder.
fn below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let entry = entry.expect("an entry of it");
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().expect("it has a type").is_dir() {
            found.extend(below(&entry.path()).into_iter().map(|file| format!("{name}/{file}")));
        } else {
            found.insert(name);
        }
    }
    found
}

fn expected(lib: &str) -> BTreeSet<String> {
    let abi = defined("ABI");
    let libraries = ["libpotluck.a".into(), "libpotluck.so".into()];
    let numbered = [format!("libpotluck.so.{abi}"), format!("libpotluck.so.{abi}.0.0")];
    let packages = ["pkgconfig/potluck.pc", "pkgconfig/potluck-static.pc"].map(String::from);
    let cmake = ["cmake/Potluck/PotluckConfig.cmake", "cmake/Potluck/PotluckConfigVersion.cmake"].map(String::from);
    let in_lib = libraries.into_iter().chain(numbered).chain(packages).chain(cmake);
    let mut files: BTreeSet<String> = in_lib.map(|file| format!("{lib}/{file}")).collect();
    files.insert("include/potluck.h".into());
    files.insert("share/man/man3/potluck.3".into());
    files
}

#[test]
fn installed_files_are_these_and_uninstalling_takes_them_away() {
    let prefix = folder("alone");
    for _ in 0..2 {
        made("install", &[("PREFIX", &prefix)]);
        assert_eq!(below(&prefix), expected("lib"), "also when it was there before");
    }
    let lib = prefix.join("lib");
    for (link, target) in [("libpotluck.so", "libpotluck.so.1"), ("libpotluck.so.1", "libpotluck.so.1.0.0")] {
        let target = target.replace(".1", &format!(".{}", defined("ABI")));
        let link = link.replace(".1", &format!(".{}", defined("ABI")));
        assert_eq!(fs::read_link(lib.join(link)).expect("a link"), Path::new(&target));
    }
    let is_program = |file: &str| fs::metadata(lib.join(file)).expect("a file").permissions().mode() & 0o777 == 0o755;
    assert!(is_program("libpotluck.so") && !is_program("libpotluck.a"));
    let header = |folder: &Path| fs::read(folder.join("include/potluck.h")).expect("the header");
    assert_eq!(header(&prefix), header(Path::new(ROOT)));

    fs::write(lib.join("libother.so"), "another's").expect("the folder is writable");
    made("uninstall", &[("PREFIX", &prefix)]);
    assert_eq!(below(&prefix), BTreeSet::from(["lib/libother.so".to_owned()]));
    assert!(!lib.join("cmake/Potluck").exists());
    made("uninstall", &[("PREFIX", &prefix)]);
}

#[test]
fn installed_is_what_is_built_first_where_there_is_rust() {
    let prefix = folder("built");
    let said = made("install", &[("PREFIX", &prefix), ("CARGO", Path::new("echo"))]);
    assert!(said.contains("rustc --release --lib --crate-type cdylib,staticlib --features c-library"), "{said}");
    assert!(!made("install", &[("PREFIX", &prefix)]).contains("rustc"));
    assert_eq!(below(&prefix), expected("lib"));
}

#[test]
fn installed_below_a_destdir_the_files_say_where_they_will_be() {
    let stage = folder("stage");
    let places =
        [("DESTDIR", &*stage), ("PREFIX", Path::new("/opt/potluck")), ("LIBDIR", Path::new("/opt/potluck/lib64"))];
    made("install", &places);
    assert_eq!(below(&stage.join("opt/potluck")), expected("lib64"));
    assert_eq!(below(&stage).len(), expected("lib64").len(), "nothing is elsewhere");
    let (mut texts, stage_name) = (0, stage.display().to_string());
    for file in below(&stage) {
        let bytes = text(&fs::read(stage.join(&file)).expect("it was listed"));
        assert!(!bytes.contains(&stage_name), "{file} knows the stage");
        if file.contains("/pkgconfig/") || file.ends_with("Config.cmake") {
            assert!(bytes.contains("/opt/potluck/lib64") && bytes.contains("/opt/potluck/include"), "{file}: {bytes}");
            texts += 1;
        }
        if !file.contains("/libpotluck.") && !file.ends_with(".h") {
            assert!(!bytes.contains('@'), "{file} has a place that was not filled: {bytes}");
        }
    }
    assert_eq!(texts, 3);
    made("uninstall", &places);
    assert_eq!(below(&stage), BTreeSet::new());
}

#[test]
fn installed_is_nothing_where_the_wish_makes_no_sense() {
    let here = folder("refused");
    let spaced = here.join("a b");
    for (wrong, said) in [(Path::new("relative"), "begin with /"), (&spaced, "a character other than")] {
        let output = make("install", &[("PREFIX", wrong)]);
        assert!(!output.status.success() && text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
    let output = make("install", &[("PREFIX", &here), ("LIB_DIR", &here)]);
    let error = text(&output.stderr);
    assert!(!output.status.success() && error.contains("no libpotluck.so in") && error.contains("make lib"), "{error}");
    assert_eq!(below(&here), BTreeSet::new());
    assert!(!Path::new(ROOT).join("relative").exists());
}

/// Whether dlclose leaves a library mapped.
fn stays(library: &Path) -> bool {
    let flags = run(Command::new("readelf").arg("-dW").arg(library));
    flags.lines().any(|line| line.contains("(FLAGS_1)") && line.contains("NODELETE"))
}

#[test]
fn installed_shared_library_needs_little_exports_the_header_and_stays() {
    let library = prefix().join("lib/libpotluck.so");
    assert_eq!(dynamic(&library, "SONAME"), BTreeSet::from([format!("libpotluck.so.{}", defined("ABI"))]));
    let needed = dynamic(&library, "NEEDED");
    let loaders = ["ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"];
    let apart = ["libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"];
    for library in &needed {
        let known = ["libc.so.6", "libgcc_s.so.1"].iter().chain(&loaders).chain(&apart);
        assert!(known.clone().any(|name| name == library), "{library}");
    }
    assert!(needed.contains("libc.so.6") && needed.contains("libgcc_s.so.1"), "{needed:?}");
    assert!(dynamic(&library, "RPATH").is_empty() && dynamic(&library, "RUNPATH").is_empty());
    assert_eq!(symbols(&library, &["-D", "--defined-only"]), functions());
    assert!(stays(&library));
}

/// What the shared library may weigh. Whoever raises it says why in the commit; ARCHITECTURE.md says what it is made of.
const BYTES_MAX: u64 = 600_000;

#[test]
fn installed_shared_library_is_stripped_and_has_not_grown() {
    let library = prefix().join("lib/libpotluck.so");
    let sections = run(Command::new("readelf").arg("-SW").arg(&library));
    assert!(sections.contains(".dynsym") && !sections.contains(".symtab"), "{sections}");
    let bytes = fs::metadata(&library).expect("it is installed").len();
    assert!(bytes <= BYTES_MAX, "{bytes} bytes, more than {BYTES_MAX}");
    assert!(bytes > BYTES_MAX * 9 / 10, "{bytes} bytes: lower the limit to what is there now");
    let text = fs::read(&library).expect("it is installed");
    let prints_stacks = text.windows(14).any(|window| window == b"RUST_BACKTRACE");
    assert!(!prints_stacks, "std's handler of panics is in it: build.rs has not found its name");
}

#[test]
fn installed_archive_has_the_functions_as_its_only_global_symbols() {
    let archive = prefix().join("lib/libpotluck.a");
    assert_eq!(symbols(&archive, &["-g", "--defined-only"]), functions());
    // It is not so by itself.
    let before = symbols(&lib_dir().join("libpotluck.a"), &["-g", "--defined-only"]);
    assert!(before.contains("rust_eh_personality"), "{before:?}");
    let sections = run(Command::new("readelf").arg("-SW").arg(&archive));
    assert!(sections.contains(".eh_frame") && !sections.contains(".debug_info"), "{sections}");
    assert!(!sections.contains("GROUP"), "a section that the linker may take another archive's for: {sections}");
}

#[test]
fn installed_man_page_names_every_function_and_is_clean() {
    let page = prefix().join("share/man/man3/potluck.3");
    let source = fs::read_to_string(&page).expect("it is installed");
    for function in functions() {
        assert!(
            source.contains(&format!("\n.BR {function} ")) || source.contains(&format!("\n.B {function}\n")),
            "{function}"
        );
    }
    for word in source.split(|sign: char| !sign.is_alphanumeric() && sign != '_') {
        let is_function = word.starts_with("potluck_") && !word.ends_with("_t") && !word.ends_with("_fn");
        assert!(!is_function || functions().contains(word), "there is no {word}");
    }
    let version = ["MAJOR", "MINOR", "PATCH"].map(|part| defined(&format!("VERSION_{part}"))).join(".");
    assert!(source.contains(&format!("potluck {version}")));
    if are_there(&["groff"], "the man page, as it is printed") {
        let output = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-rLL=100n"]).arg(&page).output();
        let output = output.expect("it was found");
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("potluck_system_open"));
    }
}

/// cargo-c puts the same files in the same places as `make install`, but for the archive, which it leaves as rustc made it.
#[test]
fn installed_by_cargo_c_the_library_has_the_same_names() {
    let manifest = fs::read_to_string(format!("{ROOT}/Cargo.toml")).expect("the manifest");
    let (_, capi) = manifest.split_once("[package.metadata.capi.library]\n").expect("the section for cargo-c");
    let version = capi.lines().find_map(|line| line.strip_prefix("version = "));
    assert_eq!(version, Some(&*format!("\"{}.0.0\"", defined("ABI"))), "the counter of the ABI");
    if !are_there(&["cargo-cinstall"], "installing by cargo-c") {
        return;
    }
    let stage = folder("cargo-c");
    let mut install = Command::new(find("cargo-cinstall").expect("it was found"));
    install.args(["cinstall", "--release", "--prefix=/usr", "--libdir=/usr/lib", "--destdir"]).arg(&stage);
    run(install.arg("--target-dir").arg(stage.with_file_name("cargo-c-target")).current_dir(ROOT));
    let mut expected = expected("lib");
    expected.retain(|file| !file.contains("cmake") && !file.contains("static") && !file.contains("man"));
    assert_eq!(below(&stage.join("usr")), expected);
    let library = stage.join("usr/lib/libpotluck.so");
    assert_eq!(dynamic(&library, "SONAME"), dynamic(&prefix().join("lib/libpotluck.so"), "SONAME"));
    assert_eq!(symbols(&library, &["-D", "--defined-only"]), functions());
    assert!(stays(&library));
}
