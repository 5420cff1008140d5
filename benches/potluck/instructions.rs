//! How many instructions a call takes, by callgrind: unlike times they hardly change from run to run.

use std::env;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use potluck::PeerSystem;

use crate::Outcome;
use crate::messages::{self, Offers};
use crate::report::{Rows, root, short};
use crate::requests::Kitchen;

/// What later runs are held against.
fn record_path() -> PathBuf {
    root().join("benches/instructions.csv")
}

const RECORD_HEAD: &str = "\
# Instructions of a call, by callgrind. A run of the benchmark in which P1 takes more than 15 % more fails.
# Renewed by `make bench BENCH_OPTIONS=--record`, in a commit that says why it grew.
";

/// The workload, its parameter, the metric, and what `--calls` is told; none: the program in C makes them.
const COUNTED: &[(&str, &str, &str, Option<&str>)] = &[
    ("P1", "64 B", "instructions", Some("request")),
    ("P1", "64 B", "instructions_of_floor", Some("request by hand")),
    ("P2", "64 B", "instructions", None),
    ("P4", "one core", "instructions", Some("ask")),
    ("P5", "one core", "instructions", Some("tell")),
    ("P7", "1 to 1", "instructions", Some("offer")),
    ("P7", "1 to 1", "instructions_of_floor", Some("offer by hand")),
];

/// The calls that are counted, and nothing else but what they need.
pub(crate) fn make_calls(what: &str, calls: usize) -> Outcome<()> {
    match what {
        "request" => drop(Kitchen::open()?.requests(calls)?),
        "request by hand" => drop(Kitchen::open()?.by_hand(calls)?),
        "ask" => messages::ask_often(calls)?,
        "tell" => drop(messages::tells(calls)?),
        "offer" | "offer by hand" => {
            let system = PeerSystem::open("kitchen")?;
            let from = [system.spawn("guest")?];
            let offers = Offers::new(&system, &from)?;
            if what == "offer" {
                offers.one(calls)?
            } else {
                offers.one_by_hand(calls)?
            };
        }
        _ => return Err("no such call".into()),
    }
    Ok(())
}

/// Adds the counts, of P1 alone if it is to be quick; leaves them out with a word where there is no valgrind.
pub(crate) fn count(rows: &mut Rows, quick: bool) -> Outcome<()> {
    let valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !valgrind.is_ok_and(|status| status.success()) {
        eprintln!("bench: no valgrind: instructions are not counted");
        return Ok(());
    }
    for (workload, param, metric, what) in &COUNTED[..if quick { 1 } else { COUNTED.len() }] {
        let Some(program) = program(*what)? else { continue };
        // The difference of two runs leaves out what is not the calls'.
        let (few, many) = (2_000, 12_000);
        let (less, more) = (collected(&program, *what, few)?, collected(&program, *what, many)?);
        rows.add(workload, param, metric, (more - less) / (many - few) as f64, "instructions");
    }
    Ok(())
}

fn program(what: Option<&str>) -> Outcome<Option<PathBuf>> {
    Ok(if what.is_some() { Some(env::current_exe()?) } else { env::var_os("POTLUCK_BENCH_C").map(PathBuf::from) })
}

/// The instructions of a whole process that makes so many calls.
fn collected(program: &PathBuf, what: Option<&str>, calls: usize) -> Outcome<f64> {
    let calls = calls.to_string();
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    if let Some(what) = what {
        valgrind.args(["--calls", what, &calls]);
    }
    let mut process = valgrind.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    if let (Some(mut input), None) = (process.stdin.take(), what) {
        writeln!(input, "{calls}")?;
    }
    let output = process.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("valgrind: {}\n{said}", output.status).into());
    }
    let line = said.lines().find_map(|line| line.split_once("Collected : ")).ok_or("callgrind said no count")?;
    Ok(line.1.trim().parse()?)
}

/// What was recorded for a workload.
pub(crate) fn recorded(workload: &str) -> Outcome<Option<f64>> {
    let text = fs::read_to_string(record_path()).unwrap_or_default();
    let mut rows = Rows::default();
    rows.read(&text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect::<String>())?;
    Ok(rows.0.iter().find(|row| row.workload == workload && row.metric == "instructions").map(|row| row.value))
}

/// Writes the counts of this run down.
pub(crate) fn record(rows: &Rows) -> Outcome<()> {
    let counts = rows.0.iter().filter(|row| row.metric.starts_with("instructions"));
    let lines: String = counts.map(|row| format!("{row}\n")).collect();
    if lines.is_empty() {
        return Err("nothing to record: no instructions were counted".into());
    }
    eprintln!("bench: recorded: {}", rows.get("P1", "64 B", "instructions").map_or_else(String::new, short));
    Ok(fs::write(record_path(), format!("{RECORD_HEAD}{lines}"))?)
}
