//! M1 and M5: small calls, one by one.

use std::time::Instant;

use crate::body::{self, SMALL};
use crate::report::Rows;
use crate::rounds::{check, clock_ns, quantile, singles};
use crate::{Outcome, SOON, Sides};

/// Of each kind in a round.
const CALLS: usize = 50;
const ROUNDS: usize = 100;
const TELLS: usize = 2_000;

/// M1.
pub(crate) fn requests(sides: &Sides, rows: &mut Rows) -> Outcome<()> {
    let (expected, name, clock) = (body::make(SMALL), body::name(SMALL), clock_ns());
    let (mut ours, mut engines, mut tcps) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        singles(CALLS, clock, &mut ours, || body::check(sides.bob.request("ada", &name, SOON)?.bytes(), &expected))?;
        singles(CALLS, clock, &mut engines, || body::check(&sides.engine.small()?, &expected))?;
        singles(CALLS, clock, &mut tcps, || {
            let mut came = [0; SMALL];
            sides.tcp.get(&mut came)?;
            body::check(&came, &expected)
        })?;
        if round == 0 {
            [&mut ours, &mut engines, &mut tcps].into_iter().for_each(Vec::clear);
        }
    }
    let mut quantiles = |at: f64| [&mut ours, &mut engines, &mut tcps].map(|times| quantile(times, at) / 1e3);
    let [p50, engine, tcp] = quantiles(0.5);
    let [p99, engine_p99, tcp_p99] = quantiles(0.99);
    rows.add("M1", "64 B", "p50", p50, "us");
    rows.add("M1", "64 B", "engine", engine, "us");
    rows.add("M1", "64 B", "tcp", tcp, "us");
    rows.add("M1", "64 B", "to_engine", p50 / engine, "x");
    rows.add("M1", "64 B", "p99", p99, "us");
    rows.add("M1", "64 B", "engine_p99", engine_p99, "us");
    rows.add("M1", "64 B", "tcp_p99", tcp_p99, "us");
    Ok(())
}

/// M5.
pub(crate) fn messages(sides: &Sides, rows: &mut Rows) -> Outcome<()> {
    let (body, clock) = (body::make(SMALL), clock_ns());
    let mut asks = Vec::new();
    singles(40 * CALLS, clock, &mut asks, || {
        body::check(sides.bob.ask("ada", "echo", body.clone(), SOON)?.bytes(), &body)
    })?;
    rows.add("M5", "ask of 64 B", "p50", quantile(&mut asks, 0.5) / 1e3, "us");
    rows.add("M5", "ask of 64 B", "p99", quantile(&mut asks, 0.99) / 1e3, "us");

    let start = Instant::now();
    for _ in 0..TELLS {
        sides.bob.tell("ada", "tell", body.clone(), SOON)?;
    }
    let told = sides.bob.ask("ada", "told", "", SOON)?;
    let time = start.elapsed();
    check("tells", u64::from_le_bytes(told.bytes().try_into()?), TELLS as u64)?;
    rows.add("M5", "tells of one", "rate", TELLS as f64 / time.as_secs_f64(), "1/s");
    Ok(())
}
