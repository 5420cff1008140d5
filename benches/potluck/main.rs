//! What potluck costs, each figure beside the same by hand, measured in the same run, in turn with it.
//!
//! `make bench` prints a table and writes `target/bench.csv`; `--quick` prints the lines of the CSV alone, with fewer rounds and sizes.
//! `--document` writes the tables and plots of docs/performance.md anew, `--record` the instruction counts that later runs are
//! held against; `--only P1,P8` leaves all other workloads out. Fails on what cannot be noise: see `gate.rs`.
//!
//! Each group of workloads runs in a process of its own, kept to one core or to two from its beginning, so that what one leaves
//! behind does not meet the next, and so that the library sees the cores that it has. What a process prints is lines of the CSV.

mod cores;
mod document;
mod floors;
mod gate;
mod instructions;
mod lookups;
mod marks;
mod messages;
mod mix;
mod peers;
mod random;
mod report;
mod requests;
mod rounds;
mod target;
mod targets;

use std::env;
use std::error::Error;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use report::Rows;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A deadline for what never takes long.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// How a group is to run.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Fewer rounds and sizes.
    pub(crate) quick: bool,
    /// How many cores its process is kept to.
    pub(crate) cores: usize,
}

impl Run {
    /// The rounds of a workload.
    pub(crate) fn rounds(self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// The cores, as a parameter of a workload.
    pub(crate) fn param(self) -> &'static str {
        if self.cores == 1 { "one core" } else { "two cores" }
    }
}

/// Workloads that are measured in one process.
struct Group {
    name: &'static str,
    workloads: &'static [&'static str],
    cores: usize,
    run: fn(Run) -> Outcome<Rows>,
}

const GROUPS: &[Group] = &[
    Group { name: "requests", workloads: &["P1", "P2", "P3", "P12b"], cores: 1, run: requests::run },
    Group { name: "asks on one core", workloads: &["P4", "P4b"], cores: 1, run: messages::asks },
    Group { name: "asks on two cores", workloads: &["P4"], cores: 2, run: messages::asks },
    Group { name: "streams on one core", workloads: &["P5", "P6", "P7"], cores: 1, run: messages::streams },
    Group { name: "streams on two cores", workloads: &["P5", "P6", "P7"], cores: 2, run: messages::streams },
    Group { name: "many peers", workloads: &["P8", "P12"], cores: 1, run: lookups::many },
    Group { name: "spawn and close", workloads: &["P9", "P10"], cores: 1, run: peers::spawn_and_close },
    Group { name: "two callers", workloads: &["P11"], cores: 2, run: lookups::two_callers },
    Group { name: "mix", workloads: &["P13"], cores: 2, run: mix::run },
];

#[derive(Default)]
struct Options {
    quick: bool,
    document: bool,
    record: bool,
    only: Vec<String>,
}

impl Options {
    fn wants(&self, workloads: &[&str]) -> bool {
        self.only.is_empty() || workloads.iter().any(|workload| self.only.iter().any(|only| only == workload))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Outcome<ExitCode> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut options = Options::default();
    let mut rest = arguments.as_slice();
    loop {
        rest = match rest {
            [] => break,
            ["--quick", rest @ ..] => {
                options.quick = true;
                rest
            }
            ["--document", rest @ ..] => {
                options.document = true;
                rest
            }
            ["--record", rest @ ..] => {
                options.record = true;
                rest
            }
            ["--only", only, rest @ ..] => {
                options.only = only.split(',').map(str::to_owned).collect();
                rest
            }
            // What a process of this one's is asked for.
            ["--group", name] => return group(name, options.quick),
            ["--calls", what, calls] => {
                instructions::make_calls(what, calls.parse()?)?;
                return Ok(ExitCode::SUCCESS);
            }
            ["--resident", workload, which, count] => {
                println!("{}", peers::resident(workload, which, count.parse()?)?);
                return Ok(ExitCode::SUCCESS);
            }
            _ => return Err(format!("what is {:?}?", rest[0]).into()),
        };
    }
    all(&options)
}

/// A group, in the process that was made for it.
fn group(name: &str, quick: bool) -> Outcome<ExitCode> {
    let group = GROUPS.iter().find(|group| group.name == name).ok_or("no such group")?;
    match (group.run)(Run { quick, cores: group.cores }) {
        Ok(rows) => print!("{rows}"),
        Err(error) if matches!(error.downcast_ref(), Some(potluck::Error::LimitReached(_))) => {
            eprintln!("bench: {name}: left out, this machine has no room for so many peers: {error}");
        }
        Err(error) => return Err(error),
    }
    Ok(ExitCode::SUCCESS)
}

/// Every group in a process of its own, then the instruction counts; and what is to be said of all.
fn all(options: &Options) -> Outcome<ExitCode> {
    if options.document && (options.quick || !options.only.is_empty()) {
        return Err("--document is for a whole run".into());
    }
    let mut rows = Rows::default();
    let cores = cores::allowed()?;
    for group in GROUPS.iter().filter(|group| options.wants(group.workloads)) {
        // The last ones: the first has the most interrupts.
        let Some(first) = cores.len().checked_sub(group.cores) else {
            eprintln!("bench: {}: left out, there is one core only", group.name);
            continue;
        };
        eprintln!("bench: {}", group.name);
        let mut process = Command::new(env::current_exe()?);
        process.args(options.quick.then_some("--quick")).args(["--group", group.name]);
        rows.read(&output(process, &cores[first..])?)?;
    }
    if options.wants(&["P1", "P2", "P4", "P5", "P7"]) {
        eprintln!("bench: instruction counts");
        instructions::count(&mut rows, options.quick)?;
    }
    if options.record {
        instructions::record(&rows)?;
    }

    if options.quick {
        print!("{rows}");
    } else {
        print!("{}", report::table(&rows));
        rows.write("bench.csv")?;
    }
    if options.document {
        document::write(&rows)?;
    }
    let found = gate::failures(&rows)?;
    for failure in &found {
        eprintln!("bench: FAILED: {failure}");
    }
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a process prints that is kept to these cores; an error if it fails.
pub(crate) fn output(mut process: Command, cores: &[usize]) -> Outcome<String> {
    let before = cores::allowed()?;
    cores::keep_to(cores)?;
    let output = process.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    cores::keep_to(&before)?;
    let output = output.map_err(|error| format!("{process:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{process:?}: {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
