//! P8, P11, P12: among many peers, and for callers on two cores.

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread::{self, Builder};

use potluck::{Bytes, Mingled, Peer, PeerSystem};

use crate::floors::Shelves;
use crate::random::Random;
use crate::report::Rows;
use crate::requests::{InC, Kitchen};
use crate::rounds::{Way, check, interleaved, interleaved_all, per_call};
use crate::{Outcome, Run, SOON, cores};

const SIZES: [usize; 4] = [3, 100, 1_000, 10_000];
const HOLDERS: [(&str, usize); 3] = [("salt", 1), ("spice", 100), ("soup", 10_000)];
/// Enough that what a round finds in the caches is its own.
const CALLS: usize = 10_000;

/// P8 and P12.
pub(crate) fn many(run: Run) -> Outcome<Rows> {
    let kitchen = Kitchen::open()?;
    let parties = SIZES.iter().map(|size| Party::open(*size)).collect::<Outcome<Vec<_>>>()?;
    let largest = parties.last().ok_or("there are some")?;
    let (guest, others) = largest.peers.split_last().ok_or("there are some")?;
    for (dish, holders) in HOLDERS {
        for holder in others.iter().take(holders) {
            holder.share(dish, vec![7; 64])?;
        }
    }

    let mut mingles: Vec<_> = parties.iter().map(|party| || party.mingle()).collect();
    let mut fetches: Vec<_> = HOLDERS
        .iter()
        .map(|(dish, _)| || per_call(CALLS, 64 * CALLS, || Ok(black_box(guest.fetch(black_box(dish), SOON)?).len())))
        .collect();
    let mut requests = || kitchen.requests(CALLS);
    let mut mingles_by_hand: Vec<_> = parties.iter().map(|party| || party.mingle_by_hand()).collect();
    let mut fetches_by_hand: Vec<_> = HOLDERS.iter().map(|(_, holders)| || largest.fetches_by_hand(*holders)).collect();
    let mut ways: Vec<&mut Way<'_>> = vec![&mut requests];
    ways.extend(mingles.iter_mut().map(|way| way as &mut Way<'_>));
    ways.extend(mingles_by_hand.iter_mut().map(|way| way as &mut Way<'_>));
    ways.extend(fetches.iter_mut().map(|way| way as &mut Way<'_>));
    ways.extend(fetches_by_hand.iter_mut().map(|way| way as &mut Way<'_>));
    let medians = interleaved_all(run.rounds(60, 10), &mut ways)?;
    let (p1, medians) = medians.split_first().ok_or("a median for each")?;
    let (mingled, medians) = medians.split_at(SIZES.len());
    let (mingled_by_hand, medians) = medians.split_at(SIZES.len());
    let (fetched, fetched_by_hand) = medians.split_at(HOLDERS.len());

    // What the same takes by hand among as many shows what is the caches' part.
    let mut rows = Rows::default();
    for (at, size) in SIZES.iter().enumerate() {
        let param = format!("{size} peers");
        rows.against("P8", &param, "exchange", mingled[at], *p1, "ns");
        rows.add("P8", &param, "by_hand", mingled_by_hand[at], "ns");
    }
    rows.add("P8", "100 to 10000 peers", "growth", mingled[3] / mingled[1], "x");
    rows.add("P8", "100 to 10000 peers", "growth_by_hand", mingled_by_hand[3] / mingled_by_hand[1], "x");
    for (at, (_, holders)) in HOLDERS.iter().enumerate() {
        let param = format!("{holders} {}", if *holders == 1 { "holder" } else { "holders" });
        rows.against("P12", &param, "p50", fetched[at], *p1, "ns");
        rows.add("P12", &param, "by_hand", fetched_by_hand[at], "ns");
    }
    for system in parties.iter().map(|party| &party.system).chain([&kitchen.system]) {
        system.shutdown(SOON)?;
    }
    Ok(rows)
}

/// A system of so many peers, of which all hold some bread.
struct Party {
    system: PeerSystem,
    peers: Vec<Peer>,
    names: Vec<String>,
    by_hand: Shelves,
}

impl Party {
    fn open(size: usize) -> Outcome<Party> {
        let system = PeerSystem::open("party")?;
        let names: Vec<String> = (0..size).map(|number| format!("peer{number}")).collect();
        let peers = names.iter().map(|name| system.spawn(name)).collect::<Result<Vec<_>, _>>()?;
        let by_hand = Shelves::new(names.iter().map(String::as_str));
        for (peer, name) in peers.iter().zip(&names) {
            peer.share("bread", vec![7; 64])?;
            by_hand.put(name, "bread", Arc::new(Bytes::from(vec![7; 64])));
        }
        Ok(Party { system, peers, names, by_hand })
    }

    /// As many mingles as make so many exchanges; ns an exchange.
    fn mingle(&self) -> Outcome<f64> {
        let times = CALLS.div_ceil(self.peers.len());
        let mut last = None;
        let time =
            per_call(times, times * self.peers.len(), || Ok(last.insert(self.system.mingle("bread", 1, SOON)?).len()))?;
        let got_some = |one: Mingled| one.result.is_ok_and(|bread| bread.len() == 64);
        check("all got some", last.is_some_and(|round| round.iter().all(got_some)), true)?;
        Ok(time / self.peers.len() as f64)
    }

    /// As many exchanges by hand: each peer in its order gets the bread of any.
    fn mingle_by_hand(&self) -> Outcome<f64> {
        let mut random = Random::new(0);
        per_call(CALLS, 64 * CALLS, || {
            let got = self.by_hand.get(&self.names[random.below(self.names.len())], "bread").ok_or("it is held")?;
            let (peer, bytes) = (&self.names[random.drawn % self.names.len()], got.len());
            check("stored", self.by_hand.put(peer, "bread", got), true)?;
            Ok(bytes)
        })
    }

    /// The bread of any of so many.
    fn fetches_by_hand(&self, holders: usize) -> Outcome<f64> {
        let mut random = Random::new(0);
        per_call(CALLS, 64 * CALLS, || {
            Ok(black_box(self.by_hand.get(&self.names[random.below(holders)], "bread")).map_or(0, |held| held.len()))
        })
    }
}

/// P11: two threads, whose peers have nothing to do with one another, against one of them alone.
pub(crate) fn two_callers(run: Run) -> Outcome<Rows> {
    let calls = 20_000;
    let system = PeerSystem::open("kitchen")?;
    let tables = [Table::open(&system, "left")?, Table::open(&system, "right")?];
    let places = [cores::allowed()?[0], cores::allowed()?[1]];
    let in_c = RefCell::new(InC::start()?);
    let together_in_c = |threads| in_c.borrow_mut().as_mut().map_or(Ok(0.0), |in_c| in_c.together(calls, threads));
    let [one, both, one_by_hand, both_by_hand, one_in_c, both_in_c] = interleaved(
        run.rounds(100, 20),
        [
            &mut || together(&places[..1], |at| tables[at].requests(calls)),
            &mut || together(&places, |at| tables[at].requests(calls)),
            &mut || together(&places[..1], |at| tables[at].by_hand(calls)),
            &mut || together(&places, |at| tables[at].by_hand(calls)),
            &mut || together_in_c(1),
            &mut || together_in_c(2),
        ],
    )?;
    system.shutdown(SOON)?;
    let mut rows = Rows::default();
    let (two, alone) = (2e9 / both, 1e9 / one);
    rows.against("P11", "two threads", "rate", two, alone, "/s");
    // What the machine gives to two threads that share nothing at all.
    rows.add("P11", "two threads", "ratio_of_machine", 2.0 * one_by_hand / both_by_hand, "x");
    if let Some(in_c) = in_c.into_inner() {
        in_c.end()?;
        rows.against("P11", "two threads in C", "rate", 2e9 / both_in_c, 1e9 / one_in_c, "/s");
    }
    Ok(rows)
}

const SEATS: usize = 8;

/// Some peers, each of which requests from the next, and shelves by hand that nobody else uses.
struct Table {
    peers: Vec<Peer>,
    names: Vec<String>,
    by_hand: Shelves,
}

impl Table {
    fn open(system: &PeerSystem, side: &str) -> Outcome<Table> {
        let names: Vec<String> = (0..SEATS).map(|seat| format!("{side}{seat}")).collect();
        let peers = names.iter().map(|name| system.spawn(name)).collect::<Result<Vec<_>, _>>()?;
        let by_hand = Shelves::new(names.iter().map(String::as_str));
        for (peer, name) in peers.iter().zip(&names) {
            // Under a name of its own, so that the two tables do not meet in the list of its holders, either.
            peer.share(&format!("{side} soup"), vec![7; 64])?;
            by_hand.put(name, "soup", Arc::new(Bytes::from(vec![7; 64])));
        }
        Ok(Table { peers, names, by_hand })
    }

    fn requests(&self, calls: usize) -> Outcome<f64> {
        let soup = format!("{} soup", self.names[0].trim_end_matches('0'));
        let mut seat = 0;
        per_call(calls, 64 * calls, || {
            let peer = &self.peers[seat];
            seat = (seat + 1) % SEATS;
            Ok(black_box(peer.request(black_box(&self.names[seat]), black_box(&soup), SOON)?).len())
        })
    }

    fn by_hand(&self, calls: usize) -> Outcome<f64> {
        let mut seat = 0;
        per_call(calls, 64 * calls, || {
            seat = (seat + 1) % SEATS;
            Ok(black_box(self.by_hand.get(black_box(&self.names[seat]), black_box("soup")))
                .map_or(0, |held| held.len()))
        })
    }
}

/// A thread on each of these cores, all begun at once; ns a call of the slowest.
fn together(places: &[usize], work: impl Fn(usize) -> Outcome<f64> + Sync) -> Outcome<f64> {
    let start = Barrier::new(places.len());
    thread::scope(|scope| {
        let threads = places.iter().enumerate().map(|(number, core)| {
            let (start, work) = (&start, &work);
            Builder::new().name(format!("caller {number}")).spawn_scoped(scope, move || {
                cores::keep_to(&[*core])?;
                start.wait();
                work(number)
            })
        });
        let threads = threads.collect::<Result<Vec<_>, _>>()?;
        let mut slowest = 0.0;
        for thread in threads {
            slowest = f64::max(slowest, thread.join().map_err(|_| "a caller panicked")??);
        }
        Ok(slowest)
    })
}
