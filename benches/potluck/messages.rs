//! P4, P4b, P5, P6, P7: what a peer's thread must run, and offers, on one core and on two.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread::{self, Builder, Thread};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use potluck::{Bytes, Peer, PeerOptions, PeerSystem};

use crate::floors::{PingPong, Shelves, Slot};
use crate::report::Rows;
use crate::rounds::{check, clock_ns, interleaved, per_call, quantile, singles};
use crate::{Outcome, Run, SOON, cores};

/// How often the spinning floor looks before it sleeps: some tens of microseconds.
const LOOKS: u32 = 2_000;

/// P4 and, on one core, P4b.
pub(crate) fn asks(run: Run) -> Outcome<Rows> {
    let mut rows = Rows::default();
    ask(run, &mut rows)?;
    if run.cores == 1 {
        ring(run, &mut rows)?;
    }
    Ok(rows)
}

/// The cores of the caller and of who answers.
fn sides() -> Outcome<(usize, usize)> {
    let cores = cores::allowed()?;
    Ok((cores[0], cores[cores.len() - 1]))
}

fn ask(run: Run, rows: &mut Rows) -> Outcome<()> {
    // The system is opened before its threads are kept to a core each, so that it sees how many there are.
    let system = PeerSystem::open("kitchen")?;
    let (here, there) = sides()?;
    let cook = PeerOptions::new().on_message(move |_, message| {
        if message.kind() == "stay" {
            cores::keep_to(&[there])?;
        }
        Ok(message.reply(message.body())?)
    });
    system.spawn_with("ada", cook)?;
    let bob = system.spawn("bob")?;
    let body = Bytes::from(vec![7; 64]);
    bob.ask("ada", "stay", "", SOON)?;
    let stay = move || _ = cores::keep_to(&[there]);
    let (asleep, spinning) = (PingPong::new(0, stay)?, PingPong::new(LOOKS, stay)?);
    cores::keep_to(&[here])?;

    let clock = clock_ns();
    let (mut asks, mut floors, mut spun) = (Vec::new(), Vec::new(), Vec::new());
    let mut number = 0;
    for _ in 0..run.rounds(200, 30) {
        singles(100, clock, &mut asks, || {
            check("bytes", black_box(bob.ask(black_box("ada"), "taste", body.clone(), SOON)?).len(), 64)
        })?;
        for (ping_pong, times) in [(&asleep, &mut floors), (&spinning, &mut spun)] {
            if run.cores == 1 && ping_pong.spins() {
                continue;
            }
            singles(100, clock, times, || {
                number += 1;
                check("the answer", ping_pong.ask(number), number + 1)
            })?;
        }
    }
    system.shutdown(SOON)?;

    rows.against("P4", run.param(), "p50", quantile(&mut asks, 0.5), quantile(&mut floors, 0.5), "ns");
    rows.add("P4", run.param(), "p99", quantile(&mut asks, 0.99), "ns");
    if run.cores > 1 {
        let floor = quantile(&mut spun, 0.5);
        rows.add("P4", run.param(), "floor_spinning", floor, "ns");
        rows.add("P4", run.param(), "ratio_spinning", quantile(&mut asks, 0.5) / floor, "x");
    }
    Ok(())
}

/// So many asks of one peer, and their answers.
pub(crate) fn ask_often(calls: usize) -> Outcome<()> {
    let system = PeerSystem::open("kitchen")?;
    system.spawn_with("ada", PeerOptions::new().on_message(|_, message| Ok(message.reply(message.body())?)))?;
    let bob = system.spawn("bob")?;
    let body = Bytes::from(vec![7; 64]);
    for _ in 0..calls {
        check("bytes", black_box(bob.ask(black_box("ada"), "taste", body.clone(), SOON)?).len(), 64)?;
    }
    Ok(())
}

const RING: usize = 100;

fn name_in_ring(at: usize) -> String {
    format!("peer{}", at % RING)
}

/// P4b: the first of the ring begins a run, and says so when the token has come back so many times.
fn ring(run: Run, rows: &mut Rows) -> Outcome<()> {
    let times = run.rounds(100, 20);
    let hops = Arc::<AtomicU64>::default();
    let (done, dones) = bounded(1);
    let system = PeerSystem::open("ring")?;
    for at in 0..RING {
        let (hops, done, next) = (Arc::clone(&hops), done.clone(), name_in_ring(at + 1));
        let mut come = 0;
        let handler = PeerOptions::new().on_message(move |peer, _| {
            hops.fetch_add(1, Ordering::Relaxed);
            if at == 0 && come == times {
                come = 0;
                return Ok(done.send(())?);
            }
            come += 1;
            Ok(peer.tell(&next, "token", Bytes::new(), SOON)?)
        });
        system.spawn_with(&name_in_ring(at), handler)?;
    }
    let host = system.spawn("host")?;
    let bare = BareRing::new(times)?;

    let of_run = (RING * times + 1) as u64;
    let medians = interleaved(
        10,
        [
            &mut || {
                let (start, before) = (Instant::now(), hops.load(Ordering::Relaxed));
                host.tell("peer0", "token", Bytes::new(), SOON)?;
                dones.recv_timeout(SOON)?;
                let time = start.elapsed();
                check("hops", hops.load(Ordering::Relaxed) - before, of_run)?;
                Ok(time.as_nanos() as f64 / of_run as f64)
            },
            &mut || {
                let (start, before) = (Instant::now(), bare.hops.load(Ordering::Relaxed));
                bare.run()?;
                let time = start.elapsed();
                check("hops", bare.hops.load(Ordering::Relaxed) - before, of_run)?;
                Ok(time.as_nanos() as f64 / of_run as f64)
            },
        ],
    )?;
    bare.end();
    system.shutdown(SOON)?;
    let [hop, floor] = medians;
    rows.against("P4b", "100 peers", "hop", hop, floor, "ns");
    Ok(())
}

/// The ring by hand: threads that park, and each unparks the next.
struct BareRing {
    hops: Arc<AtomicU64>,
    seats: Arc<OnceLock<Vec<Seat>>>,
    joins: Vec<thread::JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
    dones: Receiver<()>,
}

struct Seat {
    has_token: AtomicBool,
    thread: Thread,
}

impl Seat {
    fn give(&self) {
        self.has_token.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl BareRing {
    fn new(times: usize) -> Outcome<BareRing> {
        let (hops, seats, is_over) = (Arc::<AtomicU64>::default(), Arc::default(), Arc::<AtomicBool>::default());
        let (done, dones) = bounded(1);
        let mut joins = Vec::with_capacity(RING);
        for at in 0..RING {
            let (hops, done, is_over) = (Arc::clone(&hops), done.clone(), Arc::clone(&is_over));
            let seats: Arc<OnceLock<Vec<Seat>>> = Arc::clone(&seats);
            joins.push(Builder::new().name(name_in_ring(at)).spawn(move || {
                let seats = seats.wait();
                let mut come = 0;
                loop {
                    while !seats[at].has_token.swap(false, Ordering::AcqRel) {
                        thread::park();
                    }
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    hops.fetch_add(1, Ordering::Relaxed);
                    if at == 0 && come == times {
                        come = 0;
                        let _ = done.send(());
                        continue;
                    }
                    come += 1;
                    seats[(at + 1) % RING].give();
                }
            })?);
        }
        let made: Vec<Seat> = joins
            .iter()
            .map(|join| Seat { has_token: AtomicBool::new(false), thread: join.thread().clone() })
            .collect();
        let _ = seats.set(made);
        Ok(BareRing { hops, seats, joins, is_over, dones })
    }

    fn run(&self) -> Outcome<()> {
        self.seats.wait()[0].give();
        Ok(self.dones.recv_timeout(SOON)?)
    }

    fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.seats.wait().iter().for_each(Seat::give);
        for join in self.joins {
            let _ = join.join();
        }
    }
}

const MAILBOX: usize = 1_024;
const PRODUCERS: usize = 4;

/// Counts what comes, and says how many bytes it was after each `of`.
struct Count {
    of: usize,
    seen: usize,
    bytes: usize,
    done: Sender<usize>,
}

impl Count {
    fn new(of: usize) -> (Count, Receiver<usize>) {
        let (done, dones) = bounded(1);
        (Count { of, seen: 0, bytes: 0, done }, dones)
    }

    fn add(&mut self, body: &[u8]) {
        self.seen += 1;
        self.bytes += black_box(body).len();
        if self.seen == self.of {
            let _ = self.done.send(self.bytes);
            (self.seen, self.bytes) = (0, 0);
        }
    }
}

/// Every message has a payload of its own.
fn payload() -> Bytes {
    Bytes::copy_from_slice(black_box(&[7; 64]))
}

/// A round of `messages`: until the last of them has been handled; ns a message.
fn stream(messages: usize, dones: &Receiver<usize>, send: impl FnOnce() -> Outcome<()>) -> Outcome<f64> {
    let start = Instant::now();
    send()?;
    let bytes = dones.recv_timeout(SOON)?;
    let time = start.elapsed();
    check("bytes handled", bytes, 64 * messages)?;
    Ok(time.as_nanos() as f64 / messages as f64)
}

/// The same on four threads at once, each with its number.
fn by_four(work: impl Fn(usize) -> Outcome<()> + Sync) -> Outcome<()> {
    let start = Barrier::new(PRODUCERS);
    thread::scope(|scope| {
        let threads = (0..PRODUCERS).map(|number| {
            let (start, work) = (&start, &work);
            Builder::new().name(format!("producer {number}")).spawn_scoped(scope, move || {
                start.wait();
                work(number)
            })
        });
        let threads = threads.collect::<Result<Vec<_>, _>>()?;
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a producer panicked")?)
    })
}

/// A peer that counts the messages to it.
fn spawn_cook(system: &PeerSystem, messages: usize) -> Outcome<Receiver<usize>> {
    let (mut count, dones) = Count::new(messages);
    let cook = PeerOptions::new().mailbox_messages_max(MAILBOX as u64).on_message(move |_, message| {
        count.add(message.bytes());
        Ok(())
    });
    system.spawn_with("cook", cook)?;
    Ok(dones)
}

fn tell(guest: &Peer, messages: usize) -> Outcome<()> {
    for _ in 0..messages {
        guest.tell(black_box("cook"), "dish", payload(), SOON)?;
    }
    Ok(())
}

/// So many tells of one peer, and their handling.
pub(crate) fn tells(messages: usize) -> Outcome<f64> {
    let system = PeerSystem::open("kitchen")?;
    let dones = spawn_cook(&system, messages)?;
    let guest = system.spawn("guest")?;
    stream(messages, &dones, || tell(&guest, messages))
}

/// P5, P6 and P7.
pub(crate) fn streams(run: Run) -> Outcome<Rows> {
    let messages = 20_000;
    let each = messages / PRODUCERS;
    let system = PeerSystem::open("kitchen")?;
    let dones = spawn_cook(&system, messages)?;
    let guest = system.spawn("guest")?;
    let guests = (0..PRODUCERS).map(|number| system.spawn(&format!("guest{number}"))).collect::<Result<Vec<_>, _>>()?;

    let (sender, bodies) = bounded::<Bytes>(MAILBOX);
    let (mut bare_count, bare_dones) = Count::new(messages);
    let consumer = Builder::new().name("consumer".to_owned()).spawn(move || {
        bodies.iter().for_each(|body| bare_count.add(&body));
    })?;
    let send = |messages| -> Outcome<()> {
        for _ in 0..messages {
            sender.send_timeout(payload(), SOON)?;
        }
        Ok(())
    };

    // A million messages in all.
    let rounds = run.rounds(50, 8);
    let [tells, sends, tells_of_four, sends_of_four] = interleaved(
        rounds,
        [
            &mut || stream(messages, &dones, || tell(&guest, messages)),
            &mut || stream(messages, &bare_dones, || send(messages)),
            &mut || stream(messages, &dones, || by_four(|number| tell(&guests[number], each))),
            &mut || stream(messages, &bare_dones, || by_four(|_| send(each))),
        ],
    )?;
    drop(sender);
    consumer.join().map_err(|_| "the consumer panicked")?;

    let mut rows = Rows::default();
    rows.against("P5", run.param(), "rate", rate(tells), rate(sends), "/s");
    rows.against("P6", run.param(), "rate", rate(tells_of_four), rate(sends_of_four), "/s");
    offers(run, &system, &guests, rate(tells_of_four), &mut rows)?;
    system.shutdown(SOON)?;
    Ok(rows)
}

fn rate(ns: f64) -> f64 {
    1e9 / ns
}

/// P7, for the peers that offer to another.
pub(crate) struct Offers<'a> {
    from: &'a [Peer],
    to: Peer,
    slot: Slot,
    shelves: Shelves,
}

impl<'a> Offers<'a> {
    pub(crate) fn new(system: &PeerSystem, from: &'a [Peer]) -> Outcome<Offers<'a>> {
        let to = system.spawn("taker")?;
        Ok(Offers { from, to, slot: Slot::new(Arc::default()), shelves: Shelves::new(["taker"]) })
    }

    /// One peer offers a new version so many times.
    pub(crate) fn one(&self, calls: usize) -> Outcome<f64> {
        let from = &self.from[0];
        let dish = from.share("dish", vec![7; 64])?;
        let time = per_call(calls, calls, || {
            from.offer(black_box("taker"), black_box("dish"), SOON)?;
            Ok(1)
        })?;
        let held = self.to.get("dish")?;
        check("what was offered", (held.origin(), held.version()), (dish.origin(), dish.version()))?;
        Ok(time)
    }

    /// The floor: a lock and a store, without any name.
    pub(crate) fn one_by_hand(&self, calls: usize) -> Outcome<f64> {
        let body = Arc::new(payload());
        let time = per_call(calls, calls, || {
            self.slot.put(Arc::clone(black_box(&body)));
            Ok(1)
        })?;
        check("what was stored", Arc::ptr_eq(&self.slot.get(), &body), true)?;
        Ok(time)
    }

    /// The same floor with the two names that an offer is given.
    fn one_by_hand_by_names(&self, calls: usize) -> Outcome<f64> {
        let body = Arc::new(payload());
        let time = per_call(calls, calls, || {
            Ok(usize::from(self.shelves.put(black_box("taker"), black_box("dish"), Arc::clone(&body))))
        })?;
        check(
            "what was stored",
            self.shelves.get("taker", "dish").is_some_and(|held| Arc::ptr_eq(&held, &body)),
            true,
        )?;
        Ok(time)
    }

    /// Four peers, each on a thread, offer at once.
    fn four(&self, each: usize) -> Outcome<f64> {
        for from in self.from {
            from.share("dish", vec![7; 64])?;
        }
        let start = Instant::now();
        by_four(|number| {
            for _ in 0..each {
                self.from[number].offer(black_box("taker"), black_box("dish"), SOON)?;
            }
            Ok(())
        })?;
        let time = start.elapsed();
        let held = self.to.get("dish")?;
        let origin = self.from.iter().find(|from| from.name() == held.origin()).ok_or("it is from one of the four")?;
        check("the version that was offered", held.version(), origin.get("dish")?.version())?;
        Ok(time.as_nanos() as f64 / (PRODUCERS * each) as f64)
    }

    fn four_by_hand(&self, each: usize) -> Outcome<f64> {
        let bodies: Vec<Arc<Bytes>> = (0..PRODUCERS).map(|_| Arc::new(payload())).collect();
        let start = Instant::now();
        by_four(|number| {
            (0..each).for_each(|_| self.slot.put(Arc::clone(&bodies[number])));
            Ok(())
        })?;
        let time = start.elapsed();
        check("one of the four", bodies.iter().any(|body| Arc::ptr_eq(body, &self.slot.get())), true)?;
        Ok(time.as_nanos() as f64 / (PRODUCERS * each) as f64)
    }
}

fn offers(run: Run, system: &PeerSystem, guests: &[Peer], tells_of_four: f64, rows: &mut Rows) -> Outcome<()> {
    let offers = Offers::new(system, guests)?;
    if run.cores == 1 {
        let calls = 2_000;
        let [one, floor, by_names] = interleaved(
            run.rounds(300, 50),
            [&mut || offers.one(calls), &mut || offers.one_by_hand(calls), &mut || offers.one_by_hand_by_names(calls)],
        )?;
        rows.against("P7", "1 to 1", "p50", one, floor, "ns");
        rows.add("P7", "1 to 1", "floor_by_names", by_names, "ns");
        rows.add("P7", "1 to 1", "ratio_by_names", one / by_names, "x");
    }
    let each = 5_000;
    let [four, floor] = interleaved(run.rounds(50, 8), [&mut || offers.four(each), &mut || offers.four_by_hand(each)])?;
    let param = format!("4 to 1 on {}", run.param());
    rows.against("P7", &param, "rate", rate(four), rate(floor), "/s");
    rows.add("P7", &param, "to_p6", rate(four) / tells_of_four, "x");
    Ok(())
}
