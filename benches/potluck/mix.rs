//! P13: four threads that request, share and tell among a hundred peers, each call timed by itself.

use std::sync::Arc;
use std::thread::{self, Builder, JoinHandle};

use crossbeam_channel::{Sender, bounded};
use potluck::{Bytes, Peer, PeerOptions, PeerSystem};

use crate::floors::Shelves;
use crate::random::Random;
use crate::report::Rows;
use crate::rounds::{check, clock_ns, quantile, singles};
use crate::{Outcome, Run, SOON};

const PEERS: usize = 100;
const THREADS: usize = 4;
const BYTES: usize = 8 * 1024;
const STALL_NS: f64 = 10e6;

pub(crate) fn run(run: Run) -> Outcome<Rows> {
    // Nine calls of ten are requests: a million of them.
    let calls = run.rounds(1_112_000, 160_000) / (10 * THREADS);
    let clock = clock_ns();
    let (party, by_hand) = (Party::open()?, ByHand::new()?);
    let (mut guests, mut hands) = (callers(), callers());
    for _ in 0..10 {
        at_once(&mut guests, |caller| caller.calls(&party, calls, clock))?;
        at_once(&mut hands, |caller| caller.calls(&by_hand, calls, clock))?;
    }

    let param = "4 threads 8 KiB";
    let mut rows = Rows::default();
    let (mine, floor) = (Figures::of(&party, guests)?, Figures::of(&by_hand, hands)?);
    check("updates that the floor lost", floor.lost, 0)?;
    rows.against("P13", param, "p50", mine.p50, floor.p50, "ns");
    for (metric, value, of_floor) in [("p99.9", mine.p999, floor.p999), ("longest", mine.longest, floor.longest)] {
        rows.add("P13", param, metric, value, "ns");
        rows.add("P13", param, &format!("{metric}_of_floor"), of_floor, "ns");
    }
    rows.add("P13", param, "lost", mine.lost as f64, "updates");
    rows.add("P13", param, "stalls", mine.stalls, "calls");
    rows.add("P13", param, "stalls_of_floor", floor.stalls, "calls");
    party.system.shutdown(SOON)?;
    by_hand.end()?;
    Ok(rows)
}

/// What the threads do, by the library or by hand. Peers are numbers; each has a dish of its own, which it alone shares.
trait Mix: Sync {
    /// `peer` gets the dish of `from`, puts it on its shelf, and says which version it got.
    fn request(&self, peer: usize, from: usize) -> Outcome<u64>;
    fn share(&self, peer: usize, body: Bytes) -> Outcome<()>;
    fn tell(&self, peer: usize, to: usize, body: Bytes) -> Outcome<()>;
    /// The version of its dish that a peer holds.
    fn held(&self, peer: usize) -> Outcome<u64>;
    /// How many messages a peer has handled, after all that it was told.
    fn handled(&self, peer: usize) -> Outcome<u64>;
}

fn peer_name(number: usize) -> String {
    format!("peer{number}")
}

/// A body says at both ends which version it is.
fn dish(version: u64) -> Bytes {
    let mut body = vec![0; BYTES];
    body[..8].copy_from_slice(&version.to_le_bytes());
    body[BYTES - 8..].copy_from_slice(&version.to_le_bytes());
    body.into()
}

fn version_of(body: &[u8]) -> Outcome<u64> {
    check("bytes", body.len(), BYTES)?;
    check("the ends of a body", &body[..8], &body[BYTES - 8..])?;
    Ok(u64::from_le_bytes(body[..8].try_into()?))
}

struct Party {
    system: PeerSystem,
    peers: Vec<Peer>,
    names: Vec<String>,
    host: Peer,
}

impl Party {
    fn open() -> Outcome<Party> {
        let system = PeerSystem::open("party")?;
        let names: Vec<String> = (0..PEERS).map(peer_name).collect();
        let spawn = |name: &String| {
            let mut handled = 0_u64;
            let options = PeerOptions::new().on_message(move |_, message| {
                if message.is_ask() {
                    return Ok(message.reply(handled.to_le_bytes().to_vec())?);
                }
                handled += 1;
                Ok(())
            });
            system.spawn_with(name, options)
        };
        let peers = names.iter().map(spawn).collect::<Result<Vec<_>, _>>()?;
        for (peer, name) in peers.iter().zip(&names) {
            peer.share(name, dish(1))?;
        }
        let host = system.spawn("host")?;
        Ok(Party { system, peers, names, host })
    }
}

impl Mix for Party {
    fn request(&self, peer: usize, from: usize) -> Outcome<u64> {
        let got = self.peers[peer].request(&self.names[from], &self.names[from], SOON)?;
        let version = version_of(got.bytes())?;
        check("a version and its bytes", got.version(), version)?;
        Ok(version)
    }

    fn share(&self, peer: usize, body: Bytes) -> Outcome<()> {
        self.peers[peer].share(&self.names[peer], body)?;
        Ok(())
    }

    fn tell(&self, peer: usize, to: usize, body: Bytes) -> Outcome<()> {
        Ok(self.peers[peer].tell(&self.names[to], "hello", body, SOON)?)
    }

    fn held(&self, peer: usize) -> Outcome<u64> {
        version_of(self.peers[peer].get(&self.names[peer])?.bytes())
    }

    fn handled(&self, peer: usize) -> Outcome<u64> {
        let answer = self.host.ask(&self.names[peer], "how many", "", SOON)?;
        Ok(u64::from_le_bytes(answer.bytes().try_into()?))
    }
}

/// A message to a thread by hand, or a question where to say how many there were.
enum Note {
    Tell(Bytes),
    Ask(Sender<u64>),
}

/// The floor: shelves under locks, and a bare thread with a bounded channel for each peer.
struct ByHand {
    shelves: Shelves,
    names: Vec<String>,
    mailboxes: Vec<Sender<Note>>,
    joins: Vec<JoinHandle<()>>,
}

impl ByHand {
    fn new() -> Outcome<ByHand> {
        let names: Vec<String> = (0..PEERS).map(peer_name).collect();
        let shelves = Shelves::new(names.iter().map(String::as_str));
        let (mut mailboxes, mut joins) = (Vec::new(), Vec::new());
        for name in &names {
            shelves.put(name, name, Arc::new(dish(1)));
            let (mailbox, notes) = bounded(1_024);
            mailboxes.push(mailbox);
            joins.push(Builder::new().name(name.clone()).spawn(move || {
                let mut handled = 0;
                for note in notes {
                    match note {
                        Note::Tell(body) => {
                            drop(body);
                            handled += 1;
                        }
                        Note::Ask(answer) => _ = answer.send(handled),
                    }
                }
            })?);
        }
        Ok(ByHand { shelves, names, mailboxes, joins })
    }

    fn end(self) -> Outcome<()> {
        drop(self.mailboxes);
        self.joins.into_iter().try_for_each(|join| join.join().map_err(|_| "a thread panicked".into()))
    }
}

impl Mix for ByHand {
    fn request(&self, peer: usize, from: usize) -> Outcome<u64> {
        let got = self.shelves.get(&self.names[from], &self.names[from]).ok_or("it is held")?;
        self.shelves.put(&self.names[peer], &self.names[from], Arc::clone(&got));
        version_of(&got)
    }

    fn share(&self, peer: usize, body: Bytes) -> Outcome<()> {
        check("stored", self.shelves.put(&self.names[peer], &self.names[peer], Arc::new(body)), true)
    }

    fn tell(&self, _: usize, to: usize, body: Bytes) -> Outcome<()> {
        Ok(self.mailboxes[to].send_timeout(Note::Tell(body), SOON)?)
    }

    fn held(&self, peer: usize) -> Outcome<u64> {
        version_of(&self.shelves.get(&self.names[peer], &self.names[peer]).ok_or("it is held")?)
    }

    fn handled(&self, peer: usize) -> Outcome<u64> {
        let (answer, answers) = bounded(1);
        self.mailboxes[peer].send_timeout(Note::Ask(answer), SOON)?;
        Ok(answers.recv_timeout(SOON)?)
    }
}

/// A thread that acts for every fourth peer.
struct Caller {
    number: usize,
    random: Random,
    /// The newest version of each dish that it has shared, and seen.
    shared: Vec<u64>,
    seen: Vec<u64>,
    told: Vec<u64>,
    note: Bytes,
    times: Vec<f64>,
}

fn callers() -> Vec<Caller> {
    let caller = |number| Caller {
        number,
        random: Random::new(number),
        shared: vec![1; PEERS],
        seen: vec![1; PEERS],
        told: vec![0; PEERS],
        note: dish(0),
        times: Vec::new(),
    };
    (0..THREADS).map(caller).collect()
}

impl Caller {
    fn calls(&mut self, mix: &impl Mix, calls: usize, clock: f64) -> Outcome<()> {
        let mut times = std::mem::take(&mut self.times);
        for _ in 0..calls {
            let peer = self.random.below(PEERS / THREADS) * THREADS + self.number;
            let other = (peer + 1 + self.random.below(PEERS - 1)) % PEERS;
            match self.random.below(100) {
                0..90 => {
                    let mut version = 0;
                    singles(1, clock, &mut times, || {
                        version = mix.request(peer, other)?;
                        Ok(())
                    })?;
                    check("versions never go back", version >= self.seen[other], true)?;
                    self.seen[other] = version;
                }
                90..98 => {
                    self.shared[peer] += 1;
                    let body = dish(self.shared[peer]);
                    singles(1, clock, &mut times, || mix.share(peer, body.clone()))?;
                }
                _ => {
                    self.told[other] += 1;
                    singles(1, clock, &mut times, || mix.tell(peer, other, self.note.clone()))?;
                }
            }
        }
        self.times = times;
        Ok(())
    }
}

/// Each caller on a thread of its own.
fn at_once(callers: &mut [Caller], work: impl Fn(&mut Caller) -> Outcome<()> + Sync) -> Outcome<()> {
    thread::scope(|scope| {
        let threads = callers.iter_mut().map(|caller| {
            let work = &work;
            Builder::new().name(format!("caller {}", caller.number)).spawn_scoped(scope, move || work(caller))
        });
        let threads = threads.collect::<Result<Vec<_>, _>>()?;
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a caller panicked")?)
    })
}

struct Figures {
    p50: f64,
    p999: f64,
    longest: f64,
    stalls: f64,
    lost: u64,
}

impl Figures {
    fn of(mix: &impl Mix, callers: Vec<Caller>) -> Outcome<Figures> {
        let mut lost = 0;
        for peer in 0..PEERS {
            let shared = callers[peer % THREADS].shared[peer];
            let told: u64 = callers.iter().map(|caller| caller.told[peer]).sum();
            lost += mix.held(peer)?.abs_diff(shared) + mix.handled(peer)?.abs_diff(told);
        }
        let mut times: Vec<f64> = callers.into_iter().flat_map(|caller| caller.times).collect();
        Ok(Figures {
            p50: quantile(&mut times, 0.5),
            p999: quantile(&mut times, 0.999),
            longest: quantile(&mut times, 1.0),
            stalls: times.iter().filter(|time| **time > STALL_NS).count() as f64,
            lost,
        })
    }
}
