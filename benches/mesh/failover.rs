//! M4: the holder of what is being fetched is killed.

use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use potluck::{Event, Resource};

use crate::body::{self, CELLAR};
use crate::holder::{CELLAR_NAME, Process, say_and_wait};
use crate::report::Rows;
use crate::rounds::quantile;
use crate::{Outcome, SOON, Sides, free_address, join};

const KILLS: usize = 7;
/// A kill that came too late counts as none, and is tried again.
const TRIES: usize = 4 * KILLS;
/// The holder is killed when so much has come.
const KILLED_AT: u64 = CELLAR as u64 / 4;

/// A process that holds the same edition as the other, which it has requested from it.
pub(crate) fn copy(node: &str, others: &str) -> Outcome<()> {
    let others: Vec<&str> = others.split(',').collect();
    let system = join("pantry", node, &others)?;
    let eve = system.spawn("eve")?;
    system.wait_for("ada", SOON)?;
    eve.request("ada", CELLAR_NAME, SOON)?;
    say_and_wait("ready")?;
    system.shutdown(SOON)?;
    Ok(())
}

pub(crate) fn run(sides: &Sides, rows: &mut Rows) -> Outcome<()> {
    let expected = body::make(CELLAR);
    let request = || sides.bob.request("eve", CELLAR_NAME, SOON);
    let fetch = || sides.bob.fetch(CELLAR_NAME, SOON);
    let ways: [(&str, &dyn Fn() -> potluck::Result<Resource>); 2] =
        [("64 MiB fetch", &fetch), ("64 MiB request", &request)];
    for (param, call) in ways {
        let (mut whole, mut killed) = (Vec::new(), Vec::new());
        for _ in 0..TRIES {
            let mut copy =
                Process::start(&["--copy", &free_address()?, &format!("{},{}", sides.address, sides.holder.node)])?;
            sides.system.wait_for("eve", SOON)?;
            for is_killed in [false, true] {
                let failovers = failovers(sides)?;
                let ms = timed(sides, is_killed.then_some(&mut copy), call, &expected)?;
                match is_killed {
                    false => whole.push(ms),
                    true if self::failovers(sides)? > failovers => killed.push(ms),
                    true => {}
                }
            }
            gone(sides)?;
            if killed.len() == KILLS {
                break;
            }
        }
        if killed.len() < KILLS {
            return Err(format!("only {} of {TRIES} kills came in the middle of a transfer", killed.len()).into());
        }
        let (whole, p50, most) = (quantile(&mut whole, 0.5), quantile(&mut killed, 0.5), quantile(&mut killed, 1.0));
        rows.add("M4", param, "without", whole, "ms");
        rows.add("M4", param, "added", p50 - whole, "ms");
        rows.add("M4", param, "added_at_most", most - whole, "ms");
    }
    Ok(())
}

/// What a call takes in ms, in the middle of which a process may be killed.
fn timed(
    sides: &Sides,
    kill: Option<&mut Process>,
    call: &dyn Fn() -> potluck::Result<Resource>,
    expected: &[u8],
) -> Outcome<f64> {
    let events = sides.system.events(1024)?;
    let (start, came) = thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        let events = &events;
        let killer = move || -> Outcome<()> {
            let Some(process) = kill else { return Ok(()) };
            while is_done.try_recv() == Err(mpsc::TryRecvError::Empty) {
                match events.next(SOON)? {
                    Event::Progress { done, .. } if done >= KILLED_AT => return process.kill(),
                    _ => {}
                }
            }
            Ok(())
        };
        let killer = thread::Builder::new().name("killer".to_owned()).spawn_scoped(scope, killer);
        let start = Instant::now();
        let came = call().map(|came| (start.elapsed(), came));
        drop(done);
        killer?.join().map_err(|_| "the killer panicked")??;
        let (time, came) = came?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((time, came))
    })?;
    body::check(came.bytes(), expected)?;
    Ok(start.as_secs_f64() * 1e3)
}

/// How often a transfer from the copy has gone on with another holder.
fn failovers(sides: &Sides) -> Outcome<u64> {
    let snapshot = sides.system.snapshot()?;
    Ok(snapshot.nodes.iter().filter(|node| node.node == "pantry").map(|node| node.failovers).sum())
}

/// Waits until the killed process is known to be gone.
fn gone(sides: &Sides) -> Outcome<()> {
    let events = sides.system.events(1024)?;
    let until = Instant::now() + SOON;
    while sides.system.peers()?.iter().any(|peer| peer.starts_with("eve@")) && Instant::now() < until {
        events.next(SOON)?;
    }
    Ok(())
}
