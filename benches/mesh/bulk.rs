//! M2 and M3: what is large.

use std::fs;
use std::time::Instant;

use crate::body::{self, LARGE, MIDDLE, SMALL};
use crate::holder::Process;
use crate::report::Rows;
use crate::rounds::quantile;
use crate::{Outcome, SOON, Sides, free_address, join};

/// M2.
pub(crate) fn middle(sides: &Sides, rows: &mut Rows) -> Outcome<()> {
    transfers(sides, rows, "M2", MIDDLE, 30)
}

/// M3.
pub(crate) fn large(sides: &Sides, rows: &mut Rows) -> Outcome<()> {
    transfers(sides, rows, "M3", LARGE, 7)?;
    let process = Process::start(&["--memory", &sides.holder.node])?;
    rows.add("M3", "256 MiB", "memory", process.said.parse::<f64>()? / LARGE as f64, "x");
    Ok(())
}

/// Requests of an edition that has been given away before, and of a new one each time.
fn transfers(sides: &Sides, rows: &mut Rows, workload: &str, size: usize, rounds: usize) -> Outcome<()> {
    let (expected, name) = (body::make(size), body::name(size));
    let mut buffer = vec![0; size];
    let (mut ours, mut news, mut engines, mut tcps, mut fresh) = (vec![], vec![], vec![], vec![], vec![]);
    for round in 0..=rounds {
        let request = |times: &mut Vec<f64>| {
            let start = Instant::now();
            let came = sides.bob.request("ada", &name, SOON)?;
            times.push(start.elapsed().as_nanos() as f64);
            body::check(came.bytes(), &expected)
        };
        sides.bob.ask("ada", "cook", size.to_le_bytes().to_vec(), SOON)?;
        request(&mut news)?;
        request(&mut ours)?;

        let start = Instant::now();
        let came = sides.engine.large(size)?;
        engines.push(start.elapsed().as_nanos() as f64);
        body::check(&came, &expected)?;
        drop(came);

        buffer.fill(0);
        let start = Instant::now();
        sides.tcp.get(&mut buffer)?;
        tcps.push(start.elapsed().as_nanos() as f64);
        body::check(&buffer, &expected)?;

        let start = Instant::now();
        let came = sides.tcp.get_new(size)?;
        fresh.push(start.elapsed().as_nanos() as f64);
        body::check(&came, &expected)?;
        if round == 0 {
            [&mut ours, &mut news, &mut engines, &mut tcps, &mut fresh].into_iter().for_each(Vec::clear);
        }
    }
    let rate = |times: &mut Vec<f64>| (size >> 20) as f64 / (quantile(times, 0.5) / 1e9);
    let [ours, news, engine, tcp, fresh] = [&mut ours, &mut news, &mut engines, &mut tcps, &mut fresh].map(rate);
    let param = format!("{} MiB", size >> 20);
    for (param, rate) in [(&param, ours), (&format!("{param} once"), news)] {
        rows.add(workload, param, "rate", rate, "MiB/s");
        rows.add(workload, param, "to_engine", rate / engine, "x");
        rows.add(workload, param, "to_tcp", rate / tcp, "x");
    }
    rows.add(workload, &param, "engine", engine, "MiB/s");
    rows.add(workload, &param, "tcp", tcp, "MiB/s");
    rows.add(workload, &param, "tcp_into_new", fresh, "MiB/s");
    Ok(())
}

/// A process that requests what is large once, and says how many bytes it took at most.
pub(crate) fn memory(holder: &str) -> Outcome<()> {
    let system = join("guest", &free_address()?, &[holder])?;
    let eve = system.spawn("eve")?;
    system.wait_for("ada", SOON)?;
    eve.request("ada", &body::name(SMALL), SOON)?;
    let base = status("VmRSS:")?;
    let came = eve.request("ada", &body::name(LARGE), SOON)?;
    let most = status("VmHWM:")?;
    body::check(came.bytes(), &body::make(LARGE))?;
    println!("{}", most - base);
    system.shutdown(SOON)?;
    Ok(())
}

/// A line of this process's state, in bytes.
fn status(line: &str) -> Outcome<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let found = text.lines().find_map(|found| found.strip_prefix(line)).ok_or("no such line")?;
    Ok(found.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}
