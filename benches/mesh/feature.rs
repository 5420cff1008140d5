//! M6: what a request within a node costs in a build with the feature, and in one without.

use std::env;
use std::process::{Command, Stdio};

use crate::Outcome;
use crate::report::{Rows, root};

pub(crate) fn run(rows: &mut Rows) -> Outcome<()> {
    // With the features of this build, so that nothing is built but the benchmark.
    let features = if cfg!(feature = "mesh-tls") { "capi,mesh-tls" } else { "mesh" };
    let (with, without) = (group(&["--features", features])?, group(&[])?);
    for (param, found) in [("with the feature", &with), ("without", &without)] {
        for (metric, unit) in [("p50", "ns"), ("floor", "ns"), ("instructions", "instructions")] {
            if let Some(value) = found.get("P1", "64 B", metric) {
                rows.add("M6", param, metric, value, unit);
            }
        }
    }
    let instructions = |rows: &Rows| rows.get("P1", "64 B", "instructions");
    if let (Some(with), Some(without)) = (instructions(&with), instructions(&without)) {
        rows.add("M6", "with the feature", "to_without", with / without, "x");
    }
    Ok(())
}

/// The figures of P1 of the other benchmark, built with these options.
fn group(options: &[&str]) -> Outcome<Rows> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(["bench", "--quiet", "--bench", "potluck"]).args(options);
    cargo.args(["--", "--quick", "--only", "P1"]).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = cargo.output()?;
    if !output.status.success() {
        return Err(format!("{cargo:?}: {}", output.status).into());
    }
    let mut rows = Rows::default();
    rows.read(&String::from_utf8(output.stdout)?)?;
    Ok(rows)
}
