//! P1, P2, P3, P12b: requests that need no handler, on one core.

use std::env;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use crossbeam_channel::bounded;
use potluck::{Bytes, Peer, PeerOptions, PeerSystem};

use crate::floors::Shelves;
use crate::report::Rows;
use crate::rounds::{Way, check, clock_ns, interleaved_all, per_call, quantile, singles};
use crate::{Outcome, Run, SOON};

const CALLS: usize = 2_000;

/// A system in which bob requests ada's soup, and the same by hand.
pub(crate) struct Kitchen {
    pub(crate) system: PeerSystem,
    pub(crate) ada: Peer,
    pub(crate) bob: Peer,
    by_hand: Shelves,
}

impl Kitchen {
    pub(crate) fn open() -> Outcome<Kitchen> {
        let system = PeerSystem::open("kitchen")?;
        let (ada, bob) = (system.spawn("ada")?, system.spawn("bob")?);
        let body = Bytes::from(vec![7; 64]);
        ada.share("soup", body.clone())?;
        let by_hand = Shelves::new(["ada", "bob"]);
        by_hand.put("ada", "soup", Arc::new(body));
        Ok(Kitchen { system, ada, bob, by_hand })
    }

    /// P1: so many requests.
    pub(crate) fn requests(&self, calls: usize) -> Outcome<f64> {
        per_call(calls, 64 * calls, || self.request())
    }

    fn request(&self) -> Outcome<usize> {
        Ok(black_box(self.bob.request(black_box("ada"), black_box("soup"), SOON)?).len())
    }

    /// The floor of P1.
    pub(crate) fn by_hand(&self, calls: usize) -> Outcome<f64> {
        per_call(calls, 64 * calls, || Ok(self.get()))
    }

    fn get(&self) -> usize {
        black_box(self.by_hand.get(black_box("ada"), black_box("soup"))).map_or(0, |held| held.len())
    }
}

pub(crate) fn run(run: Run) -> Outcome<Rows> {
    let kitchen = Kitchen::open()?;
    let mut in_c = InC::start()?;
    let sizes: &[usize] = if run.quick { &[0, 12, 30] } else { &[0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30] };
    let bodies = sizes.iter().map(|power| Sized::share(&kitchen, 1 << power)).collect::<Outcome<Vec<_>>>()?;

    // P12b: eve's handler sleeps on a message from ada until the end. (One from bob would have to be handled before his requests.)
    let (wake, asleep) = bounded::<()>(0);
    let (fell, falls) = bounded(1);
    let sleeper = PeerOptions::new().on_message(move |_, _| {
        fell.send(())?;
        let _ = asleep.recv();
        Ok(())
    });
    let eve = kitchen.system.spawn_with("eve", sleeper)?;
    eve.share("soup", vec![7; 64])?;
    kitchen.ada.tell("eve", "sleep", "", SOON)?;
    falls.recv_timeout(SOON)?;

    let mut requests = || kitchen.requests(CALLS);
    let mut floors = || kitchen.by_hand(CALLS);
    let mut of_eve = || {
        per_call(CALLS, 64 * CALLS, || {
            Ok(black_box(kitchen.bob.request(black_box("eve"), black_box("soup"), SOON)?).len())
        })
    };
    let mut through_c = || in_c.as_mut().map_or(Ok(0.0), |in_c| in_c.requests(CALLS));
    let mut of_sizes: Vec<_> = bodies.iter().map(|body| || body.requests()).collect();
    let mut ways: Vec<&mut Way<'_>> = vec![&mut requests, &mut floors, &mut of_eve, &mut through_c];
    ways.extend(of_sizes.iter_mut().map(|way| way as &mut Way<'_>));
    let medians = interleaved_all(run.rounds(400, 60), &mut ways)?;
    let (&[p1, floor, eves, c], of_sizes) = medians.split_at(4) else { return Err("four ways and the sizes".into()) };
    let single = single_calls(&kitchen, run)?;

    let mut rows = Rows::default();
    rows.against("P1", "64 B", "p50", p1, floor, "ns");
    rows.add("P1", "64 B", "p99", single.p99, "ns");
    rows.add("P1", "64 B", "p99_of_floor", single.floor, "ns");
    rows.add("P1", "64 B", "p99_to_p50", single.p99 / p1, "x");
    if in_c.is_some() {
        rows.against("P2", "64 B", "p50", c, p1, "ns");
        rows.add("P2", "64 B", "over_p1", c - p1, "ns");
    }
    for (body, p50) in bodies.iter().zip(of_sizes) {
        rows.against("P3", &body.param(), "p50", *p50, p1, "ns");
    }
    let (most, least) =
        (of_sizes.iter().copied().fold(0.0, f64::max), of_sizes.iter().copied().fold(f64::MAX, f64::min));
    rows.add("P3", "1 B to 1 GiB", "largest_to_smallest", most / least, "x");
    rows.against("P12b", "64 B", "p50", eves, p1, "ns");

    drop(wake);
    kitchen.system.shutdown(SOON)?;
    in_c.map_or(Ok(()), InC::end)?;
    Ok(rows)
}

struct Single {
    p99: f64,
    floor: f64,
}

/// Calls one by one, in turn with the floor's.
fn single_calls(kitchen: &Kitchen, run: Run) -> Outcome<Single> {
    let clock = clock_ns();
    let (mut times, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..run.rounds(200, 40) {
        singles(1_000, clock, &mut times, || check("bytes", kitchen.request()?, 64))?;
        singles(1_000, clock, &mut floors, || check("bytes", kitchen.get(), 64))?;
    }
    Ok(Single { p99: quantile(&mut times, 0.99), floor: quantile(&mut floors, 0.99) })
}

/// P3: P1 with a body of some size, between two peers of its own, so that the sizes differ in nothing else.
struct Sized {
    from: String,
    to: Peer,
    body: Bytes,
}

impl Sized {
    fn share(kitchen: &Kitchen, bytes: usize) -> Outcome<Sized> {
        let [from, to] = ["ada", "bob"].map(|name| format!("{name} of {bytes:010}"));
        // Zeros take no memory until they are written to.
        let body = Bytes::from(vec![0; bytes]);
        kitchen.system.spawn(&from)?.share("soup", body.clone())?;
        Ok(Sized { from, to: kitchen.system.spawn(&to)?, body })
    }

    /// Each must be the very bytes that were shared: a copy of the payload is an error.
    fn requests(&self) -> Outcome<f64> {
        let expected = (self.body.as_ptr(), self.body.len());
        per_call(CALLS, CALLS, || {
            let got = black_box(self.to.request(black_box(&self.from), black_box("soup"), SOON)?);
            Ok(usize::from((got.bytes().as_ptr(), got.len()) == expected))
        })
    }

    fn param(&self) -> String {
        let power = self.body.len().ilog2();
        format!("{} {}B", 1 << (power % 10), ["", "Ki", "Mi", "Gi"][power as usize / 10])
    }
}

/// P2, P11: the program that makes the same calls in C, `request.c`. It waits for a line, makes so many calls and prints one, so that its
/// rounds come in turn with those here.
pub(crate) struct InC {
    program: Child,
    numbers: ChildStdin,
    lines: BufReader<ChildStdout>,
}

impl InC {
    /// `None` if nobody has built it: `make bench` does.
    pub(crate) fn start() -> Outcome<Option<InC>> {
        let Some(path) = env::var_os("POTLUCK_BENCH_C") else {
            eprintln!(
                "bench: P2, P11 in C: left out, POTLUCK_BENCH_C does not say where the program in C is: use make"
            );
            return Ok(None);
        };
        let mut program = Command::new(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (numbers, lines) = (program.stdin.take().ok_or("a pipe")?, program.stdout.take().ok_or("a pipe")?);
        Ok(Some(InC { program, numbers, lines: BufReader::new(lines) }))
    }

    fn requests(&mut self, calls: usize) -> Outcome<f64> {
        self.round(&calls.to_string(), "P2", "64 B")
    }

    /// In so many threads, each with peers of its own.
    pub(crate) fn together(&mut self, calls: usize, threads: usize) -> Outcome<f64> {
        self.round(&format!("{calls} {threads}"), "P11", "in C")
    }

    fn round(&mut self, wish: &str, workload: &str, param: &str) -> Outcome<f64> {
        writeln!(self.numbers, "{wish}")?;
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        let mut rows = Rows::default();
        rows.read(&line)?;
        rows.get(workload, param, "round").ok_or_else(|| format!("the program in C said {line:?}").into())
    }

    pub(crate) fn end(mut self) -> Outcome<()> {
        drop(self.numbers);
        let status = self.program.wait()?;
        check("the program in C ends well", status.success(), true)
    }
}
