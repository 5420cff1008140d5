//! With the feature `capi`: names the shared library by its ABI; with `c-library` also has the linker put in handlers of its own for panics.
//! With `header`: makes the C header in the output folder. Otherwise nothing.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "capi")]
    capi::build();
    #[cfg(feature = "header")]
    header::make();
}

#[cfg(feature = "capi")]
mod capi {
    use std::env;
    use std::path::PathBuf;
    use std::process::Command;

    /// The line of `src/ffi/library.rs` that says the ABI's number.
    const ABI_LINE: &str = "pub const POTLUCK_ABI: u32 = ";

    pub(crate) fn build() {
        println!("cargo:rerun-if-changed=src/ffi/library.rs");
        let source = std::fs::read_to_string("src/ffi/library.rs").expect("src/ffi/library.rs is part of the package");
        let abi = source.lines().find_map(|line| line.strip_prefix(ABI_LINE)?.strip_suffix(';'));
        let abi = abi.expect("src/ffi/library.rs says the number of the ABI");
        if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
            println!("cargo:rustc-link-arg=-Wl,-soname,libpotluck.so.{abi}");
            // Peers' threads may be inside the library for longer than the host keeps it open.
            println!("cargo:rustc-link-arg=-Wl,-z,nodelete");
            if env::var_os("CARGO_FEATURE_C_LIBRARY").is_some() {
                replace_handlers();
            }
        }
    }

    /// What core and alloc call, defined in std, and what of `src/ffi/faults.rs` they are to call instead.
    const HANDLERS: [(&str, &str); 2] = [
        ("7___rustc17rust_begin_unwind", "own_panic_handler"),
        ("7___rustc26___rust_alloc_error_handler", "own_alloc_error_handler"),
    ];

    /// By the linker, since with a stable compiler nobody but std may define them. In their names is a hash of the compiler's version: they
    /// are looked for in the std there is. If one is not found, that handler stays as it is, and the library is larger.
    fn replace_handlers() {
        let std = installed_std().and_then(|file| std::fs::read(file).ok()).unwrap_or_default();
        for (name, own) in HANDLERS {
            match mangled(&std, name) {
                Some(name) => println!("cargo:rustc-link-arg=-Wl,--wrap={name},--defsym=__wrap_{name}={own}"),
                None => println!("cargo:warning=std has no {name}: the library prints stacks, and is larger"),
            }
        }
    }

    fn installed_std() -> Option<PathBuf> {
        let target = env::var("TARGET").ok()?;
        let mut rustc = Command::new(env::var_os("RUSTC")?);
        let said = rustc.args(["--print", "target-libdir", "--target", &target]).output().ok()?;
        let folder = String::from_utf8(said.stdout).ok()?;
        let mut files = std::fs::read_dir(folder.trim()).ok()?.filter_map(|file| Some(file.ok()?.path()));
        files.find(|file| {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
    }

    /// The whole of a name that ends so, as it stands in a table of names: `_RNvCs<hash>_7___rustc17rust_begin_unwind`.
    fn mangled(names: &[u8], end: &str) -> Option<String> {
        const BEGIN: &[u8] = b"_RNvCs";
        let at = names.windows(end.len()).position(|window| window == end.as_bytes())?;
        let before = &names[at.saturating_sub(32)..at];
        let begin = before.windows(BEGIN.len()).rposition(|window| window == BEGIN)?;
        String::from_utf8([&before[begin..], end.as_bytes()].concat()).ok()
    }
}

#[cfg(feature = "header")]
mod header {
    use std::env;
    use std::path::Path;

    pub(crate) fn make() {
        println!("cargo:rerun-if-changed=cbindgen.toml");
        println!("cargo:rerun-if-changed=src/ffi");
        let part = |name: &str| env::var(format!("CARGO_PKG_VERSION_{name}")).expect("cargo sets the version");
        let mut config = cbindgen::Config::from_file("cbindgen.toml").expect("cbindgen.toml is part of the package");
        config.after_includes = Some(format!(
            "\n#define POTLUCK_VERSION_MAJOR {}\n#define POTLUCK_VERSION_MINOR {}\n#define POTLUCK_VERSION_PATCH {}\n\n\
             /** As timeout_ms: wait for as long as it takes. */\n#define POTLUCK_WAIT_FOREVER (-1)",
            part("MAJOR"),
            part("MINOR"),
            part("PATCH"),
        ));
        let out = env::var("OUT_DIR").expect("cargo sets the output folder");
        // Its files alone, in the order in which it names them: cbindgen knows no modules, so that to it a type of the same name anywhere else
        // in the crate is the same type.
        let modules = std::fs::read_to_string("src/ffi/mod.rs").expect("src/ffi/mod.rs is part of the package");
        let names = modules.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
        names
            .fold(cbindgen::Builder::new().with_config(config), |builder, name| {
                builder.with_src(format!("src/ffi/{name}.rs"))
            })
            .generate()
            .expect("src/ffi is what cbindgen can read")
            .write_to_file(Path::new(&out).join("potluck.h"));
    }
}
