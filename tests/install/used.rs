//! Programs that are built from the installed files alone, by people who have no Rust: by pkg-config, by CMake, by bindgen, by the README.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::tools::{are_there, c_compiler, find, run};
use crate::{SOURCES, defined, dynamic, folder, make, prefix, text};

const PRINTED: &str = "soup from cook\n";

/// A folder with the tools of a C programmer and nothing else, above all no Rust.
fn toolbox() -> &'static Path {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS.get_or_init(|| {
        let tools = folder("tools");
        let same = [
            "c++",
            "g++",
            "gcc",
            "as",
            "ld",
            "ar",
            "ranlib",
            "nm",
            "objcopy",
            "strip",
            "pkg-config",
            "cmake",
            "make",
            "uname",
        ];
        let named = same.into_iter().filter_map(|tool| Some((tool, find(tool)?)));
        let compiler = find(&c_compiler()).expect("there is a C compiler");
        for (name, path) in named.chain([("cc", compiler)]) {
            // Not by a link: compilers look for their parts beside themselves.
            let script = format!("#!/bin/sh\nexec '{}' \"$@\"\n", path.display());
            fs::write(tools.join(name), script).expect("the folder is writable");
            fs::set_permissions(tools.join(name), fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        tools
    })
}

/// A line for the shell of a C programmer, who has the tools and the installed files.
fn shell(folder: &Path, line: &str) -> Command {
    let mut sh = Command::new("/bin/sh");
    sh.args(["-ec", line]).env_clear().current_dir(folder).env("PATH", toolbox()).env("HOME", folder);
    sh.env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig"));
    sh
}

/// Whether a program needs the shared library, and runs: by itself, or only if it is told where that is.
fn check(program: &Path, is_shared: bool, is_told: bool) {
    let needed = dynamic(program, "NEEDED");
    let soname = format!("libpotluck.so.{}", defined("ABI"));
    assert_eq!(needed.contains(&soname), is_shared, "{}: {needed:?}", program.display());
    let alone = Command::new(program).env_clear().output().expect("it was built");
    if is_told {
        assert!(text(&alone.stderr).contains(&soname), "no other one is found: {}", text(&alone.stderr));
        let printed = run(Command::new(program).env_clear().env("LD_LIBRARY_PATH", prefix().join("lib")));
        assert_eq!(printed, PRINTED);
    } else {
        assert!(alone.status.success(), "{}: {}", program.display(), text(&alone.stderr));
        assert_eq!(text(&alone.stdout), PRINTED);
    }
}

#[test]
fn installed_alone_means_without_rust() {
    for tool in ["cargo", "rustc", "rustup"] {
        let output = shell(&folder("no-rust"), &format!("command -v {tool}")).output().expect("there is a shell");
        assert!(!output.status.success() && output.stdout.is_empty(), "{}", text(&output.stdout));
    }
}

#[test]
fn installed_it_is_found_by_pkg_config() {
    if !are_there(&["pkg-config"], "an installed potluck by pkg-config") {
        return;
    }
    let folder = folder("pkg-config");
    for (compiler, source, name) in [("cc", "use.c", "c"), ("c++", "use.cpp", "cpp")] {
        if !are_there(&[compiler], "an installed potluck by pkg-config from C++") {
            continue;
        }
        fs::copy(Path::new(SOURCES).join("use.c"), folder.join(source)).expect("the folder is writable");
        let compile = format!("{compiler} -Wall -Wextra -Werror {source} -o {name}");
        let without = shell(&folder, &compile).output().expect("there is a shell");
        assert!(text(&without.stderr).contains("potluck.h: No such"), "by pkg-config alone: {}", text(&without.stderr));
        let built = |suffix: &str, flags: &str| {
            run(&mut shell(&folder, &format!("{compile}-{suffix} {flags}")));
            folder.join(format!("{name}-{suffix}"))
        };
        check(&built("shared", "$(pkg-config --cflags --libs potluck)"), true, true);
        let archive = built("archive", "$(pkg-config --cflags --libs potluck-static)");
        assert!(dynamic(&archive, "NEEDED").contains("libc.so.6"));
        check(&archive, false, false);
        let whole = built("whole", "-static $(pkg-config --static --cflags --libs potluck)");
        assert_eq!(dynamic(&whole, "NEEDED"), BTreeSet::new());
        check(&whole, false, false);
    }
    let said = run(&mut shell(&folder, "pkg-config --modversion potluck; pkg-config --modversion potluck-static"));
    let version = ["MAJOR", "MINOR", "PATCH"].map(|part| defined(&format!("VERSION_{part}"))).join(".");
    assert_eq!(said, format!("{version}\n{version}\n"));
}

/// Configures the project in `tests/install` with cmake, wanting a version.
fn configure(folder: &Path, wanted: &str) -> Command {
    let prefix = prefix().display();
    let cmake = format!("cmake -S . -B build '-DWANTED={wanted}' '-DCMAKE_PREFIX_PATH={prefix}'");
    shell(folder, &cmake)
}

#[test]
fn installed_it_is_found_by_cmake() {
    if !are_there(&["cmake", "c++"], "an installed potluck by CMake") {
        return;
    }
    let folder = folder("cmake");
    for file in ["use.c", "CMakeLists.txt"] {
        fs::copy(Path::new(SOURCES).join(file), folder.join(file)).expect("the folder is writable");
    }
    let without = shell(&folder, "cmake -S . -B nothing").output().expect("there is a shell");
    assert!(text(&without.stderr).contains("PotluckConfig.cmake"), "{}", text(&without.stderr));

    run(&mut configure(&folder, ""));
    run(&mut shell(&folder, "cmake --build build"));
    for (program, is_shared) in
        [("c_shared", true), ("c_static", false), ("cpp_shared", true), ("cpp_static", false), ("c_default", true)]
    {
        // CMake tells a program that it builds where the library is.
        check(&folder.join("build").join(program), is_shared, false);
    }
}

#[test]
fn installed_versions_fit_wishes_of_the_same_series() {
    if !are_there(&["cmake"], "which versions CMake takes") {
        return;
    }
    let folder = folder("versions");
    let file = fs::read_to_string(prefix().join("lib/cmake/Potluck/PotluckConfigVersion.cmake")).expect("it is there");
    let here = ["MAJOR", "MINOR", "PATCH"].map(|part| defined(&format!("VERSION_{part}"))).join(".");
    assert!(file.contains(&format!("set(PACKAGE_VERSION {here})")));
    for (version, fits, fits_not) in [
        (
            "0.1.2",
            &["0.1.2", "0.1.1", "0.1", "0", "0.1...<0.3", "0...1"][..],
            &["0.1.3", "0.2", "0.0.9", "1", "0.1...<0.1.2"][..],
        ),
        ("1.2.0", &["1.2.0", "1.2", "1.1.7", "1", "1.0...<2", "1.0...1.2.0"], &["1.3", "0.1", "0", "2", "1...<1.2"]),
    ] {
        let package = folder.join(version);
        fs::create_dir_all(&package).expect("the folder is writable");
        fs::write(package.join("PotluckConfig.cmake"), "").expect("the folder is writable");
        fs::write(package.join("PotluckConfigVersion.cmake"), file.replace(&here, version))
            .expect("the folder is writable");
        let mut project = "cmake_minimum_required(VERSION 3.19)\nproject(versions LANGUAGES NONE)\n".to_owned();
        for (wishes, is_found) in [(fits, true), (fits_not, false)] {
            for wish in wishes {
                project += &format!(
                    "unset(Potluck_DIR CACHE)\nfind_package(Potluck {wish} QUIET PATHS {} NO_DEFAULT_PATH)\n",
                    package.display()
                );
                let wrong = if is_found { "NOT Potluck_FOUND" } else { "Potluck_FOUND" };
                project += &format!("if({wrong})\n  message(SEND_ERROR \"{version} for {wish}\")\nendif()\n");
            }
        }
        fs::write(package.join("CMakeLists.txt"), project).expect("the folder is writable");
        run(&mut shell(&package, "cmake -S . -B build"));
    }
}

#[test]
fn installed_header_is_read_by_bindgen_as_it_is() {
    if !are_there(&["bindgen"], "the header as bindgen reads it") {
        return;
    }
    let folder = folder("bindgen");
    run(Command::new("bindgen").arg(prefix().join("include/potluck.h")).arg("-o").arg(folder.join("potluck.rs")));
    let program = "#![allow(warnings)]\ninclude!(\"potluck.rs\");\n\n".to_owned()
        + include_str!("bindgen.rs").split_once("\n\n").expect("a comment, then the program").1;
    fs::write(folder.join("use.rs"), program).expect("the folder is writable");
    let lib = prefix().join("lib");
    for (name, option) in [("use", None), ("layouts", Some("--test"))] {
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args(option).args(["--edition=2021", "use.rs", "-lpotluck", "-o", name]).current_dir(&folder);
        run(rustc.arg("-L").arg(&lib).arg(format!("-Clink-arg=-Wl,-rpath,{}", lib.display())));
    }
    assert_eq!(run(&mut Command::new(folder.join("use"))), PRINTED);
    // bindgen writes down each layout that it has seen.
    let tested = run(&mut Command::new(folder.join("layouts")));
    assert!(
        tested.contains("bindgen_test_layout_potluck_peer_options_t ... ok") || !tested.contains("bindgen_test"),
        "{tested}"
    );
}

#[test]
fn installed_man_page_shows_a_program_that_runs() {
    let page = fs::read_to_string(prefix().join("share/man/man3/potluck.3")).expect("it is installed");
    let (_, rest) = page.split_once("\n.EX\n").expect("it shows a program");
    let (program, _) = rest.split_once("\n.EE\n").expect("which ends");
    let folder = folder("man");
    fs::write(folder.join("program.c"), program.replace("\\e", "\\")).expect("the folder is writable");
    let (include, lib) = (prefix().join("include"), prefix().join("lib"));
    let options = format!("-Wall -Wextra -Werror -I{} -L{} -lpotluck", include.display(), lib.display());
    run(&mut shell(&folder, &format!("cc program.c -o program {options} -Wl,-rpath,{}", lib.display())));
    assert_eq!(run(&mut Command::new(folder.join("program"))), "tomato\n");
}

/// The commands of the README for those who install, with another place than the one that it shows.
#[test]
fn installed_as_the_readme_says_its_program_runs() {
    let readme = include_str!("../../README.md");
    let blocks = |language: &str| {
        let open = format!("```{language}\n");
        readme.split(&open).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect::<Vec<_>>()
    };
    let (mut shell_blocks, programs) = (blocks("shell"), blocks("c"));
    // The others are about the mesh.
    shell_blocks.retain(|block| block.contains("make install"));
    assert_eq!((shell_blocks.len(), programs.len()), (1, 1));
    let (folder, place) = (folder("readme"), folder("readme-prefix"));
    fs::write(folder.join("kitchen.c"), &programs[0]).expect("the folder is writable");
    let mut compiled = 0;
    for line in shell_blocks[0].lines() {
        let line = line.replace("/opt/potluck", &place.display().to_string());
        if let Some(rest) = line.strip_prefix("make ") {
            let (target, prefix) = rest.split_once(" PREFIX=").expect("it says where to");
            let output = make(target, &[("PREFIX", Path::new(prefix))]);
            assert!(output.status.success(), "{line}: {}", text(&output.stderr));
            continue;
        }
        if !are_there(&["pkg-config"], "the commands of the README for an installed potluck") {
            return;
        }
        run(shell(&folder, &line).env("PKG_CONFIG_PATH", place.join("lib/pkgconfig")));
        if line.starts_with("cc ") {
            assert_eq!(run(&mut Command::new(folder.join("kitchen"))), "tomato from ada, version 1\n", "{line}");
            fs::remove_file(folder.join("kitchen")).expect("it was made");
            compiled += 1;
        }
    }
    assert_eq!(compiled, 3, "shared, archive, static as a whole");
    assert!(!place.join("lib/libpotluck.a").exists(), "the last command uninstalls");
}
