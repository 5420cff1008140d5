//! With the feature `capi`: makes the C header in the output folder, and names the shared library by its ABI. Otherwise nothing.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "capi")]
    capi::build();
}

#[cfg(feature = "capi")]
mod capi {
    use std::env;
    use std::path::Path;

    /// The line of `src/ffi/library.rs` that says the ABI's number.
    const ABI_LINE: &str = "pub const POTLUCK_ABI: u32 = ";

    pub(crate) fn build() {
        println!("cargo:rerun-if-changed=cbindgen.toml");
        println!("cargo:rerun-if-changed=src/ffi");
        make_header();
        let source = std::fs::read_to_string("src/ffi/library.rs").expect("src/ffi/library.rs is part of the package");
        let abi = source.lines().find_map(|line| line.strip_prefix(ABI_LINE)?.strip_suffix(';'));
        let abi = abi.expect("src/ffi/library.rs says the number of the ABI");
        if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
            println!("cargo:rustc-link-arg=-Wl,-soname,libpotluck.so.{abi}");
            // Peers' threads may be inside the library for longer than the host keeps it open.
            println!("cargo:rustc-link-arg=-Wl,-z,nodelete");
        }
    }

    fn make_header() {
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
        let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets the package's folder");
        cbindgen::Builder::new()
            .with_config(config)
            .with_crate(root)
            .generate()
            .expect("src/ffi is what cbindgen can read")
            .write_to_file(Path::new(&out).join("potluck.h"));
    }
}
