//! What rots when nobody looks: versions, links, and the commands that the README shows.

use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_links_in_the_documents_lead_somewhere() {
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "python/README.md",
        "docs/mesh.md",
        "docs/performance.md",
        "docs/promises.md",
    ] {
        let text = read(document);
        let folder = Path::new(ROOT).join(document);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("http")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { folder.clone() } else { folder.with_file_name(file) };
            assert!(file.exists(), "{document}: {target}");
            if !anchor.is_empty() {
                let heading = format!("\n## {}\n", anchor.replace('-', " "));
                let text = fs::read_to_string(&file).expect("an anchor is in a text").to_lowercase();
                assert!(text.contains(&heading), "{document}: {target}");
            }
        }
    }
}

#[test]
fn every_make_target_that_the_readme_shows_is_there_and_ci_runs_it() {
    let makefile = read("Makefile");
    let readme = read("README.md");
    let shown = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).flat_map(str::lines);
    for target in shown.filter_map(|line| line.strip_prefix("make ")) {
        assert!(makefile.contains(&format!("\n{target}:")), "README.md shows `make {target}`");
        assert!(read(".ci/check").contains(&format!(" {target}\n")), "CI runs `make {target}`");
    }
}

#[test]
fn the_versions_agree() {
    let version = env!("CARGO_PKG_VERSION");
    let line = format!("version = \"{version}\"");
    assert!(read("Cargo.toml").contains(&line));
    assert!(read("python/pyproject.toml").contains(&line), "python/pyproject.toml has another version");
}

#[test]
fn every_dependency_is_explained_and_the_readme_counts_those_of_the_default_build() {
    let manifest = read("Cargo.toml");
    let architecture = read("ARCHITECTURE.md");
    let (_, rest) = manifest.split_once("[dependencies]\n").expect("the section");
    let (section, _) = rest.split_once("[dev-dependencies]").expect("the next section");
    let named = section.lines().filter(|line| !line.starts_with(['[', '#'])).filter_map(|line| line.split_once(" = "));
    let mut of_the_default_build = 0;
    for (name, how) in named {
        assert!(architecture.contains(&format!("| {name} ")), "{name}");
        of_the_default_build += usize::from(!how.contains("optional = true"));
    }
    assert_eq!(of_the_default_build, 5, "the README says how many");
}

#[test]
fn a_missing_tool_is_a_message_that_names_it() {
    for (variable, target) in [("CARGO", "need-rust"), ("CC", "need-c"), ("PYTHON", "need-python")] {
        let mut make = std::process::Command::new("make");
        make.args(["--no-print-directory", target, &format!("{variable}=no-such-tool")]).current_dir(ROOT);
        let output = make.output().expect("there is a make");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains("no-such-tool") && error.contains("install"), "{error}");
    }
}

/// The files of a suite of tests, each with the path of its module.
fn modules(folder: &Path, path: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of the suite") {
        let entry = entry.expect("an entry of it").path();
        let name = entry.file_stem().expect("it has a name").to_string_lossy();
        if entry.is_dir() {
            found.extend(modules(&entry, &format!("{path}{name}::")));
        } else if !["main", "support"].contains(&&*name) {
            found.push((format!("{path}{name}"), fs::read_to_string(&entry).expect("a text")));
        }
    }
    found
}

#[test]
fn every_test_that_the_promises_name_is_there() {
    let promises = read("docs/promises.md");
    let suite = modules(&Path::new(ROOT).join("tests/conformance"), "");
    let mut mesh = modules(&Path::new(ROOT).join("tests/mesh"), "mesh::");
    // What its tests share.
    mesh.retain(|(module, _)| !["content", "foreign.py", "load", "nodes", "process", "role"].contains(&&module[6..]));
    let mut modules = modules(&Path::new(ROOT).join("src/model"), "model::");
    modules.retain(|(module, _)| module != "model::mod");
    modules.extend(suite.iter().chain(&mesh).cloned());
    let (mut tests, mut named) = (0, std::collections::BTreeSet::new());
    for (before, name) in promises.lines().filter(|line| line.starts_with("| ")).flat_map(quoted) {
        let is_in = |(module, _): &&(String, String)| module == name || module.starts_with(&format!("{name}::"));
        if before.ends_with("all of ") {
            named.extend(modules.iter().filter(is_in).map(|(module, _)| module));
            assert!(modules.iter().any(|it| is_in(&it)), "no module {name}");
        } else if let Some((module, test)) = name.rsplit_once("::") {
            let (module, source) = modules.iter().find(|it| it.0 == module).unwrap_or_else(|| panic!("no {name}"));
            assert!(source.contains(&format!("#[test]\nfn {test}()")), "no {name}");
            named.insert(module);
            tests += 1;
        } else if name.contains('/') {
            assert!(Path::new(ROOT).join(name).exists(), "no {name}");
        }
    }
    assert!(tests > 60, "{tests}");
    for (suite, main) in [(&suite, "tests/conformance/main.rs"), (&mesh, "tests/mesh/main.rs")] {
        let text = read(main);
        for (module, _) in suite {
            assert!(named.contains(module), "docs/promises.md names nothing of {module}");
            let name = module.rsplit("::").next().expect("the last part");
            assert!(text.contains(&format!("mod {name};")), "{main} leaves {module} out");
        }
    }
}

/// What stands in backquotes, each with what is before it.
fn quoted(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut parts = line.split('`');
    std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
}

#[test]
fn every_test_that_the_sanitizers_skip_is_there() {
    let script = read("tests/sanitize/run.sh");
    let names = script.lines().filter_map(|line| line.trim().strip_prefix("skip ")?.split(' ').next());
    let tests = fs::read_dir(Path::new(ROOT).join("tests")).expect("the folder is there");
    let sources = tests.filter_map(|entry| fs::read_to_string(entry.expect("an entry").path()).ok());
    let installed = modules(&Path::new(ROOT).join("tests/install"), "").into_iter().map(|(_, source)| source);
    let sources: String = sources.chain(installed).collect();
    let mut count = 0;
    for name in names {
        // A name that ends in _ is the beginning of several.
        let end = if name.ends_with('_') { "" } else { "()" };
        assert!(sources.contains(&format!("#[test]\nfn {name}{end}")), "{name}");
        count += 1;
    }
    assert!(count > 0);
}
