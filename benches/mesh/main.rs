//! What calls cost across nodes, beside bare TCP and the bare engine, measured in the same run, in turn with them.
//!
//! `make bench-mesh` prints a table and writes `target/bench-mesh.csv`; `--only M1,M4` leaves all other workloads out; `--document` writes the
//! tables of docs/performance.md anew. The other side is this program again, in a process of its own, on the loopback.

#[path = "../potluck/cores.rs"]
#[expect(dead_code, reason = "of both benchmarks; nothing is kept to a core here")]
mod cores;
#[path = "../potluck/marks.rs"]
mod marks;
#[path = "../potluck/report.rs"]
#[expect(dead_code, reason = "of both benchmarks; a figure has more than one floor here")]
mod report;
#[path = "../potluck/rounds.rs"]
#[expect(dead_code, reason = "of both benchmarks; calls are timed one by one here")]
mod rounds;
#[path = "../potluck/target.rs"]
#[expect(dead_code, reason = "of both benchmarks; no figure is held against another here")]
mod target;

mod body;
mod bulk;
mod engine;
mod failover;
mod feature;
mod holder;
mod small;
mod targets;
mod tcp;

use std::env;
use std::error::Error;
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use potluck::{Mesh, Peer, PeerSystem, SystemOptions};

use engine::Asker;
use holder::Holder;
use report::Rows;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A deadline for what never takes long.
pub(crate) const SOON: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Outcome<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (mut only, mut document): (Vec<&str>, bool) = (Vec::new(), false);
    let mut rest = arguments.as_slice();
    loop {
        rest = match rest {
            [] => break,
            ["--document", rest @ ..] => {
                document = true;
                rest
            }
            ["--only", workloads, rest @ ..] => {
                only = workloads.split(',').collect();
                rest
            }
            // What the other processes are asked for.
            ["--holder", node, engine] => return holder::hold(node, engine),
            ["--copy", node, addresses] => return failover::copy(node, addresses),
            ["--memory", address] => return bulk::memory(address),
            _ => return Err(format!("what is {:?}?", rest[0]).into()),
        };
    }
    if document && !only.is_empty() {
        return Err("--document is for a whole run".into());
    }
    let wants = |workload: &str| only.is_empty() || only.contains(&workload);
    let mut rows = Rows::default();
    if ["M1", "M2", "M3", "M4", "M5"].into_iter().any(wants) {
        measure(&mut rows, wants)?;
    }
    if wants("M6") {
        eprintln!("bench: M6");
        feature::run(&mut rows)?;
    }
    print!("{}", report::table(&rows));
    rows.write("bench-mesh.csv")?;
    if document {
        let parts = [
            ("run across nodes", marks::run()?),
            ("targets across nodes", marks::targets(&rows)),
            ("figures across nodes", marks::figures(&rows)),
        ];
        marks::write(&parts)?;
    }
    Ok(())
}

/// One side of all that is measured: who asks, in the three ways.
pub(crate) struct Sides {
    pub(crate) holder: Holder,
    pub(crate) tcp: tcp::Asker,
    pub(crate) engine: Asker,
    pub(crate) system: PeerSystem,
    pub(crate) bob: Peer,
    /// The address of this node.
    pub(crate) address: String,
}

fn measure(rows: &mut Rows, wants: impl Fn(&str) -> bool) -> Outcome<()> {
    let holder = Holder::start()?;
    let address = free_address()?;
    let system = join("desk", &address, &[&holder.node])?;
    let sides = Sides {
        tcp: tcp::Asker::connect(&holder.tcp)?,
        engine: Asker::open(&holder.engine)?,
        bob: system.spawn("bob")?,
        system,
        holder,
        address,
    };
    sides.system.wait_for("ada", SOON)?;
    type Workload = fn(&Sides, &mut Rows) -> Outcome<()>;
    let workloads: [(&str, Workload); 5] = [
        ("M1", small::requests),
        ("M2", bulk::middle),
        ("M3", bulk::large),
        ("M4", failover::run),
        ("M5", small::messages),
    ];
    for (workload, run) in workloads.into_iter().filter(|(workload, _)| wants(workload)) {
        eprintln!("bench: {workload}");
        run(&sides, rows)?;
    }
    sides.system.shutdown(SOON)?;
    Ok(())
}

/// A system of the mesh of this benchmark.
pub(crate) fn join(node: &str, address: &str, others: &[&str]) -> Outcome<PeerSystem> {
    let mesh = others.iter().fold(Mesh::new().node(node).listen(address), |mesh, other| mesh.connect(*other));
    Ok(PeerSystem::open_with("bench", SystemOptions::new().mesh(mesh))?)
}

/// An address on the loopback that is free now.
pub(crate) fn free_address() -> Outcome<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
