//! P9: what peers cost to spawn, to keep and to close, on one core.

use std::env;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Builder, JoinHandle};
use std::time::Instant;

use potluck::{Ended, Peer, PeerSystem, SystemOptions};

use crate::report::Rows;
use crate::rounds::{check, interleaved};
use crate::{Outcome, Run, SOON, cores, output};

/// When peers get their threads; another way is a line here.
struct Kind {
    workload: &'static str,
    options: fn() -> SystemOptions,
    counts: &'static [usize],
}

const KINDS: &[Kind] = &[
    Kind { workload: "P9", options: SystemOptions::new, counts: &[100, 1_000, 10_000] },
    Kind { workload: "P10", options: || SystemOptions::new().lazy_threads(true), counts: &[10_000, 1_000_000] },
];

pub(crate) fn spawn_and_close(run: Run) -> Outcome<Rows> {
    let mut rows = Rows::default();
    for kind in KINDS {
        for count in kind.counts {
            // As many rounds as take about the same time.
            let rounds = (run.rounds(50_000, 3_000) / count).clamp(1, 30);
            let (mut spawning, mut spawning_bare) = (0.0, 0.0);
            let [both, both_bare] = interleaved(
                rounds,
                [
                    &mut || {
                        let start = Instant::now();
                        let peers = Peers::spawn((kind.options)(), *count)?;
                        spawning += start.elapsed().as_secs_f64();
                        peers.close()?;
                        Ok(start.elapsed().as_nanos() as f64 / *count as f64)
                    },
                    &mut || {
                        let start = Instant::now();
                        let threads = Threads::spawn(*count)?;
                        spawning_bare += start.elapsed().as_secs_f64();
                        threads.join()?;
                        Ok(start.elapsed().as_nanos() as f64 / *count as f64)
                    },
                ],
            )?;
            let param = format!("{count} peers");
            rows.against(kind.workload, &param, "spawn_and_close", both / 1e3, both_bare / 1e3, "us");
            let each = 1e6 / ((rounds + 1) * count) as f64;
            rows.add(kind.workload, &param, "spawn_alone", spawning * each, "us");
            rows.add(kind.workload, &param, "spawn_alone_floor", spawning_bare * each, "us");
            rows.add(kind.workload, &param, "resident", resident_apart(kind.workload, *count)?, "B");
            rows.add(kind.workload, &param, "resident_floor", resident_apart("threads", *count)?, "B");
        }
    }
    Ok(rows)
}

/// Peers with nothing to do.
struct Peers {
    system: PeerSystem,
    peers: Vec<Peer>,
}

impl Peers {
    fn spawn(options: SystemOptions, count: usize) -> Outcome<Peers> {
        let system = PeerSystem::open_with("party", options)?;
        let peers = (0..count).map(|number| system.spawn(&format!("peer{number}"))).collect::<Result<_, _>>()?;
        Ok(Peers { system, peers })
    }

    /// Closes one after another: each is a barrier, and its thread is joined.
    fn close(self) -> Outcome<()> {
        for peer in &self.peers {
            check("closed", peer.close(SOON)?, Ended::Yes)?;
        }
        check("peers left", self.system.peers()?.len(), 0)?;
        self.system.shutdown(SOON)?;
        Ok(())
    }
}

/// Bare threads with nothing to do.
struct Threads {
    is_over: Arc<AtomicBool>,
    joins: Vec<JoinHandle<()>>,
}

impl Threads {
    fn spawn(count: usize) -> Outcome<Threads> {
        let is_over = Arc::<AtomicBool>::default();
        let spawn = |_| {
            let is_over = Arc::clone(&is_over);
            Builder::new().spawn(move || {
                while !is_over.load(Ordering::Acquire) {
                    thread::park();
                }
            })
        };
        let joins = (0..count).map(spawn).collect::<Result<_, _>>()?;
        Ok(Threads { is_over, joins })
    }

    /// Wakes and joins one after another.
    fn join(self) -> Outcome<()> {
        self.is_over.store(true, Ordering::Release);
        for join in self.joins {
            join.thread().unpark();
            join.join().map_err(|_| "a thread panicked")?;
        }
        Ok(())
    }
}

/// [`resident`], in a process that has done nothing else.
fn resident_apart(what: &str, count: usize) -> Outcome<f64> {
    let mut process = Command::new(env::current_exe()?);
    process.args(["--resident", what, &count.to_string()]);
    Ok(output(process, &cores::allowed()?)?.trim().parse()?)
}

/// How many bytes of memory each of so many takes, once all of them sleep.
pub(crate) fn resident(what: &str, count: usize) -> Outcome<f64> {
    let before = resident_now()?;
    let kind = KINDS.iter().find(|kind| kind.workload == what);
    let peers = kind.map(|kind| Peers::spawn((kind.options)(), count)).transpose()?;
    let threads = if kind.is_none() { Some(Threads::spawn(count)?) } else { None };
    all_asleep()?;
    let each = (resident_now()? - before) / count as f64;
    peers.map_or(Ok(()), Peers::close)?;
    threads.map_or(Ok(()), Threads::join)?;
    Ok(each)
}

/// The bytes of this process that are in memory, by walking its pages: the quick counts are behind by some for each thread.
fn resident_now() -> Outcome<f64> {
    let text = fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).ok_or("no Rss")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
}

/// Lets the other threads run until each has nothing to do any more.
fn all_asleep() -> Outcome<()> {
    let start = Instant::now();
    let me = std::process::id().to_string();
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?;
        if task.file_name().to_string_lossy() == me {
            continue;
        }
        // The state stands behind the name, which is in brackets.
        while !fs::read_to_string(task.path().join("stat"))?
            .rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('S'))
        {
            thread::yield_now();
            check("all are asleep in time", start.elapsed() < SOON, true)?;
        }
    }
    Ok(())
}
