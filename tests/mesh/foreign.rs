//! A client that knows nothing of potluck: Python with the engine's own package, by the documented layout of the keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use potluck::Mesh;

use crate::content::{digest, noise};
use crate::nodes::{address, open};
use crate::tools::{are_there, leave_out, run};

/// The engine's package for Python, of the version that the crate has.
const PACKAGE: &str = "eclipse-zenoh~=1.10.0";

/// A Python with the package, which is installed once.
fn python() -> Option<PathBuf> {
    let what = "a client in Python";
    if !are_there(&["python3"], what) {
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mesh-python");
    let python = folder.join("bin/python");
    let ready = folder.join("ready");
    if fs::read_to_string(&ready).is_ok_and(|text| text == PACKAGE) {
        return Some(python);
    }
    let _ = fs::remove_dir_all(&folder);
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", PACKAGE];
    let installed = Command::new(&python).args(pip).output().unwrap();
    if !installed.status.success() {
        leave_out("pip cannot install eclipse-zenoh", what);
        return None;
    }
    fs::write(ready, PACKAGE).unwrap();
    Some(python)
}

#[test]
fn a_python_client_of_the_engine_sees_who_is_there_and_reads_what_they_share() {
    let Some(python) = python() else { return };
    let contact = address();
    let desk = open("kitchen", Mesh::new().node("desk").listen(&*contact));
    let laptop = open("kitchen", Mesh::new().node("laptop").connect(&*contact));
    let (ada, bob) = (desk.spawn("ada").unwrap(), laptop.spawn("bob").unwrap());
    crate::nodes::see(&desk, "bob@laptop");
    crate::nodes::see(&laptop, "ada@desk");
    ada.share("soup", "leek").unwrap();
    ada.share("soup", "tomato").unwrap();
    let (photo, large) = (noise(1, 60 << 10), noise(2, 3_000_000));
    ada.share("photos/cat.jpg", photo.clone()).unwrap();
    ada.share("large", large.clone()).unwrap();
    bob.request("ada", "soup", crate::support::LONG).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mesh/foreign.py");
    let said = run(Command::new(python).arg(script).arg(format!("tcp/{contact}")));
    let lines: Vec<&str> = said.lines().collect();
    let of = |first: &str| -> Vec<&str> {
        lines.iter().filter_map(|line| line.strip_prefix(first)?.strip_prefix(' ')).collect()
    };
    assert_eq!(of("present"), ["ada@desk", "bob@laptop"], "{said}");
    assert_eq!(of("soup"), ["746f6d61746f ada@desk 2 6"], "{said}");
    assert_eq!(of("copy"), ["746f6d61746f ada@desk 2 6"], "{said}");
    assert_eq!(of("photo"), [format!("{} ada@desk 1 61440", sha256(&photo))], "{said}");
    assert_eq!(of("pieces"), [format!("{} ada@desk 1 3000000", sha256(&large))], "{said}");
    for refused in ["whole", "nothing", "nobody"] {
        assert_eq!(of(refused), ["no"], "{said}");
    }
    assert!(!digest(&large).is_empty());
}

/// As Python's standard library has it.
fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
