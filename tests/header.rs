//! The committed header is the one that the source makes. `make header` puts it in place.

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
