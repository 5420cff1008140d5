//! P9 and P10: what peers cost to spawn, to keep and to close, on one core, with threads at spawn and on demand.

use std::collections::HashMap;
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
    floor: Floor,
    counts: &'static [usize],
    /// So many are spawned and closed in all, in a full run and in a quick one.
    in_all: [usize; 2],
}

/// The same by hand.
#[derive(Clone, Copy)]
enum Floor {
    /// A bare thread.
    Thread,
    /// A boxed struct and an entry of a map.
    Entry,
}

const KINDS: &[Kind] = &[
    Kind {
        workload: "P9",
        options: SystemOptions::new,
        floor: Floor::Thread,
        counts: &[100, 1_000, 10_000],
        in_all: [50_000, 3_000],
    },
    Kind {
        workload: "P10",
        options: || SystemOptions::new().lazy_threads(true),
        floor: Floor::Entry,
        counts: &[10_000, 1_000_000],
        in_all: [3_000_000, 100_000],
    },
];

pub(crate) fn spawn_and_close(run: Run) -> Outcome<Rows> {
    let mut rows = Rows::default();
    for kind in KINDS {
        for count in kind.counts {
            // As many rounds as take about the same time.
            let rounds = (run.rounds(kind.in_all[0], kind.in_all[1]) / count).clamp(1, 30);
            let (mut spawning, mut spawning_bare) = (0.0, 0.0);
            let names: Vec<String> = (0..*count).map(|number| format!("peer{number}")).collect();
            let [both, both_bare] = interleaved(
                rounds,
                [
                    &mut || {
                        let start = Instant::now();
                        let peers = Peers::spawn((kind.options)(), &names)?;
                        spawning += start.elapsed().as_secs_f64();
                        peers.close()?;
                        Ok(start.elapsed().as_nanos() as f64 / *count as f64)
                    },
                    &mut || {
                        let start = Instant::now();
                        let bare = Bare::spawn(kind.floor, &names)?;
                        spawning_bare += start.elapsed().as_secs_f64();
                        bare.end()?;
                        Ok(start.elapsed().as_nanos() as f64 / *count as f64)
                    },
                ],
            )?;
            let param = format!("{count} peers");
            rows.against(kind.workload, &param, "spawn_and_close", both / 1e3, both_bare / 1e3, "us");
            let each = 1e6 / ((rounds + 1) * count) as f64;
            rows.add(kind.workload, &param, "spawn_alone", spawning * each, "us");
            rows.add(kind.workload, &param, "spawn_alone_floor", spawning_bare * each, "us");
            rows.add(kind.workload, &param, "resident", resident_apart(kind.workload, "peers", *count)?, "B");
            rows.add(kind.workload, &param, "resident_floor", resident_apart(kind.workload, "floor", *count)?, "B");
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
    fn spawn(options: SystemOptions, names: &[String]) -> Outcome<Peers> {
        let system = PeerSystem::open_with("party", options)?;
        let peers = names.iter().map(|name| system.spawn(name)).collect::<Result<_, _>>()?;
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

/// What peers with threads on demand are by hand: a boxed struct each, here of a name and a place for one resource, and an entry of a map.
#[derive(Default)]
struct Entries(HashMap<String, Box<Entry>>);

struct Entry {
    name: String,
    shared: Option<Arc<[u8]>>,
}

impl Entries {
    fn spawn(names: &[String]) -> Entries {
        let entry = |name: &String| (name.clone(), Box::new(Entry { name: name.clone(), shared: None }));
        let mut entries = Entries::default();
        names.iter().for_each(|name| drop(entries.0.insert(name.clone(), entry(name).1)));
        entries
    }

    fn end(mut self, names: &[String]) -> Outcome<()> {
        for name in names {
            let entry = self.0.remove(name).ok_or("an entry is gone")?;
            check("ended", (&entry.name, entry.shared.is_none()), (name, true))?;
        }
        check("entries left", self.0.len(), 0)
    }
}

/// The floor.
enum Bare<'a> {
    Threads(Threads),
    Entries(Entries, &'a [String]),
}

impl Bare<'_> {
    fn spawn(floor: Floor, names: &[String]) -> Outcome<Bare<'_>> {
        Ok(match floor {
            Floor::Thread => Bare::Threads(Threads::spawn(names.len())?),
            Floor::Entry => Bare::Entries(Entries::spawn(names), names),
        })
    }

    fn end(self) -> Outcome<()> {
        match self {
            Bare::Threads(threads) => threads.join(),
            Bare::Entries(entries, names) => entries.end(names),
        }
    }
}

/// [`resident`], in a process that has done nothing else.
fn resident_apart(workload: &str, which: &str, count: usize) -> Outcome<f64> {
    let mut process = Command::new(env::current_exe()?);
    process.args(["--resident", workload, which, &count.to_string()]);
    Ok(output(process, &cores::allowed()?)?.trim().parse()?)
}

/// How many bytes of memory each of so many takes, once all of them sleep: of the peers of a workload, or of its floor.
pub(crate) fn resident(workload: &str, which: &str, count: usize) -> Outcome<f64> {
    let kind = KINDS.iter().find(|kind| kind.workload == workload).ok_or("no such workload")?;
    let names: Vec<String> = (0..count).map(|number| format!("peer{number}")).collect();
    let before = resident_now()?;
    let peers = if which == "peers" { Some(Peers::spawn((kind.options)(), &names)?) } else { None };
    let bare = if peers.is_none() { Some(Bare::spawn(kind.floor, &names)?) } else { None };
    all_asleep()?;
    let each = (resident_now()? - before) / count as f64;
    peers.map_or(Ok(()), Peers::close)?;
    bare.map_or(Ok(()), Bare::end)?;
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
