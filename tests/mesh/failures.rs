//! Processes that die, hang and come again while others make calls with them: nothing is torn, nothing is lost that a living peer
//! holds, and every call ends by its deadline with a right name.

use std::collections::BTreeMap;
use std::env;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use potluck::{Error, Event};

use crate::load::Random;
use crate::nodes::{address, at_once, open, see, until};
use crate::process::{Process, name};
use crate::support::{LONG, drain, host, no_such_peer, peer_closed};

/// After it, with some slack, a node that hangs is gone for the others.
const LEASE: Duration = Duration::from_secs(2);

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// The seed of a test, printed so that its random numbers can be had again.
fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = variable("MESH_SEED").unwrap_or(now);
    println!("MESH_SEED={seed}");
    seed
}

/// Three nodes whose peers make random calls with one another.
struct Three {
    processes: Vec<Process>,
    random: Random,
    peers: u64,
    load: &'static str,
    faults: Vec<String>,
}

const NODES: [&str; 3] = ["desk", "laptop", "phone"];

impl Three {
    /// `load` is what their load has of its own: `market` and `timeouts`.
    fn open(load: &'static str) -> Three {
        // With the time of a long run, the peers of one.
        let peers = if variable("MESH_SECONDS").is_some() { 100 } else { 6 };
        let mut three = Three { processes: Vec::new(), random: Random(seed()), peers, load, faults: Vec::new() };
        for node in NODES {
            let process = three.start(node);
            three.processes.push(process);
        }
        for process in &three.processes {
            for node in NODES.iter().filter(|node| **node != process.node) {
                process.done(&format!("wait_for @{node} 10000"));
            }
        }
        for number in 0..three.processes.len() {
            three.begin(number);
        }
        three
    }

    /// Starts a node, which connects to those that there are.
    fn start(&self, node: &str) -> Process {
        let contacts: Vec<String> = self.processes.iter().map(|process| process.address.clone()).collect();
        Process::open(node, &contacts.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Begins the load of a node.
    fn begin(&mut self, number: usize) {
        let (seed, peers, load) = (self.random.next(), self.peers, self.load);
        let process = &self.processes[number];
        let (node, nodes) = (&process.node, NODES.join(","));
        process.done(&format!("load node={node} nodes={nodes} peers={peers} seed={seed} largest=2000000 {load}"));
    }

    /// Starts a node again that was killed, under its name.
    fn start_again(&mut self, number: usize) {
        let old = self.processes.remove(number);
        self.faults.extend(old.faults());
        let node = old.node.clone();
        drop(old);
        let process = self.start(&node);
        self.processes.insert(number, process);
        self.begin(number);
    }

    /// Lets time go by, of which the load makes use.
    fn go_on(&self, time: Duration) {
        std::thread::park_timeout(time);
    }

    /// Ends the load of all, and gives how often each call ended how, and the coins of each node.
    fn end(mut self) -> (BTreeMap<String, u64>, Vec<Vec<String>>) {
        let mut results = BTreeMap::new();
        let ends: Vec<_> = self.processes.iter().map(|process| process.order("load-end")).collect();
        for end in ends {
            for (result, count) in end.answer().unwrap().split_whitespace().filter_map(|it| it.split_once('=')) {
                *results.entry(result.to_owned()).or_default() += count.parse::<u64>().unwrap();
            }
        }
        let coins = self.processes.iter().map(|process| process.done("load-check"));
        let coins = coins.map(|coins| coins.split_whitespace().map(str::to_owned).collect()).collect();
        for process in &self.processes {
            self.faults.extend(process.faults());
        }
        println!("{results:?}");
        assert_eq!(self.faults, [""; 0]);
        (results, coins)
    }
}

/// How long the load of a test lasts.
fn lasting() -> Duration {
    Duration::from_secs(variable("MESH_SECONDS").unwrap_or(4))
}

fn assert_all_went_well_sometimes(results: &BTreeMap<String, u64>, calls: &[&str]) {
    for call in calls {
        assert!(results.contains_key(&format!("{call}:Ok")), "{call} never went well: {results:?}");
    }
}

const CALLS: [&str; 7] = ["request", "fetch", "offer", "exchange", "tell", "ask", "share"];

#[test]
fn without_failures_every_call_goes_well_and_no_coin_is_lost_or_doubled() {
    let three = Three::open("market=yes timeouts=10000");
    let peers = three.peers as usize;
    three.go_on(lasting());
    let (results, coins) = three.end();
    assert_all_went_well_sometimes(&results, &CALLS);
    assert_all_went_well_sometimes(&results, &["swap"]);
    // At first not every peer is there, has shared what it brings, or has been asked for it.
    let fails = |result: &&String| !result.ends_with(":Ok") && !result.contains(":NoSuch");
    assert_eq!(results.keys().find(fails), None, "{results:?}");
    let mut all: Vec<String> = coins.into_iter().flatten().collect();
    assert_eq!(all.len(), 9 * peers, "no call takes a coin away");
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 9 * peers, "{all:?}");
}

#[test]
fn nodes_that_are_killed_at_random_moments_tear_nothing_and_lose_nothing_of_others() {
    let mut three = Three::open("market=no timeouts=100,500,2000,5000");
    let end = Instant::now() + lasting();
    let mut killed = 0;
    while Instant::now() < end {
        let wait = three.random.below(700);
        three.go_on(Duration::from_millis(wait));
        let victim = three.random.below(3) as usize;
        three.processes[victim].kill();
        killed += 1;
        let wait = three.random.below(300);
        three.go_on(Duration::from_millis(wait));
        three.start_again(victim);
    }
    // All find one another again.
    for process in &three.processes {
        for node in NODES.iter().filter(|node| **node != process.node) {
            process.done(&format!("wait_for p0@{node} 10000"));
        }
    }
    println!("{killed} were killed");
    let (results, _) = three.end();
    assert_all_went_well_sometimes(&results, &CALLS);
}

#[test]
fn coins_of_two_nodes_are_neither_lost_nor_doubled_while_a_third_is_killed() {
    let desk = Process::open("desk", &[]);
    let laptop = Process::open("laptop", &[&desk.address]);
    let both = [&desk, &laptop];
    let mut random = Random(seed());
    let phone_address = address();
    let phone = || {
        let phone = Process::start("phone", &phone_address);
        phone.join(&[&desk.address, &laptop.address], "");
        phone.done("spawn p0");
        phone.done("share p0 large 3000000 7");
        phone
    };
    let mut third = phone();
    for process in both {
        process.done("wait_for p0@phone 10000");
        process.done("spawn guest");
        let seed = random.next();
        process.done(&format!(
            "load node={} nodes=desk,laptop peers=4 seed={seed} largest=100000 market=yes timeouts=10000",
            process.node
        ));
    }
    let end = Instant::now() + lasting();
    let mut transfers = 0;
    while Instant::now() < end {
        // Killed while it gives to both.
        let orders: Vec<_> = both.iter().map(|process| process.order("request guest p0@phone large 5000")).collect();
        std::thread::park_timeout(Duration::from_millis(random.below(60)));
        third.kill();
        for order in orders {
            match order.answer() {
                Ok(_) => transfers += 1,
                Err(error) => assert!(["PeerClosed", "NoSuchPeer", "Unreachable"].contains(&name(&error)), "{error}"),
            }
        }
        third = phone();
        both.iter().for_each(|process| drop(process.done("wait_for p0@phone 10000")));
    }
    println!("{transfers} transfers were done before the kill");
    let ends: Vec<_> = both.iter().map(|process| process.order("load-end")).collect();
    let results: Vec<String> = ends.into_iter().map(|end| end.answer().unwrap()).collect();
    println!("{results:?}");
    let coins: Vec<String> = both.iter().map(|process| process.done("load-check")).collect();
    let faults: Vec<String> = both.iter().flat_map(|process| process.faults()).collect();
    assert_eq!(faults, [""; 0]);
    let mut coins: Vec<&str> = coins.iter().flat_map(|coins| coins.split_whitespace()).collect();
    assert_eq!(coins.len(), 16, "{coins:?}");
    coins.sort();
    coins.dedup();
    assert!(!results.iter().any(|result| result.contains("Unknown")), "their own link was never cut");
    assert_eq!(coins.len(), 16, "{coins:?}");
}

/// A node in this process, and one with an ada in another, which see each other.
fn here_and_there() -> (potluck::PeerSystem, potluck::Peer, Process) {
    here_and_there_at(&address())
}

/// The same, at this address here.
fn here_and_there_at(own: &str) -> (potluck::PeerSystem, potluck::Peer, Process) {
    let there = Process::open("desk", &[]);
    there.done("spawn ada");
    there.done("share ada soup 100 1");
    let here = open("kitchen", potluck::Mesh::new().node("laptop").listen(own).connect(&*there.address));
    let bob = here.spawn("bob").unwrap();
    see(&here, "ada@desk");
    there.done("wait_for bob@laptop 10000");
    (here, bob, there)
}

fn left(peer: &str) -> Event {
    Event::Left { peer: peer.into() }
}

#[test]
fn a_node_that_is_killed_is_gone_at_once_and_whoever_waits_for_it_is_told() {
    let (here, bob, there) = here_and_there();
    let events = here.events(100).unwrap();
    drain(&events);
    bob.share("dish", "bob's").unwrap();
    let asks = |call: fn(&potluck::Peer) -> potluck::Result<()>| {
        let bob = bob.clone();
        host(move || call(&bob)).waiting()
    };
    let asking = asks(|bob| bob.ask("ada", "taste", "", LONG).map(drop));
    assert_eq!(there.done("receive ada 10000").split(' ').next(), Some("bob@laptop"), "and answered by nobody");
    assert_eq!(asking.result(), Err(Error::NoReply { peer: "ada@desk".into() }));
    let asking = asks(|bob| bob.ask("ada", "taste", "", LONG).map(drop));
    let started = bob.start(potluck::Call::Ask { to: "ada", kind: "taste", body: "".into() }, LONG).unwrap();
    let begun = Instant::now();
    there.kill();
    assert_eq!(events.next(LONG), Ok(left("ada@desk")));
    assert_eq!(asking.result(), Err(peer_closed("ada@desk")));
    let std::task::Poll::Ready(result) = started.wait(LONG) else { panic!("it waits on") };
    assert_eq!(result.unwrap_err(), peer_closed("ada@desk"));
    assert!(begun.elapsed() < LEASE, "{:?}", begun.elapsed());
    assert_eq!(at_once(|| bob.request("ada@desk", "soup", LONG)).unwrap_err(), no_such_peer("ada@desk"));
    assert_eq!(at_once(|| bob.tell("ada", "hello", "", LONG)), Err(no_such_peer("ada")));
    assert_eq!(here.peers().unwrap(), ["bob"]);
    assert_eq!(bob.get("dish").unwrap().bytes(), b"bob's");
}

#[test]
fn a_node_that_hangs_is_gone_after_the_lease_and_comes_back_by_itself() {
    let (here, bob, there) = here_and_there();
    bob.request("ada", "soup", LONG).unwrap();
    let events = here.events(100).unwrap();
    drain(&events);
    there.stop();
    let begun = Instant::now();
    let (asker, requester) = (bob.clone(), bob.clone());
    let asking = host(move || asker.ask("ada", "taste", "", LONG).map(drop));
    let requesting = host(move || requester.request("ada", "soup", LONG).map(drop));
    // Shorter than the lease: what may have arrived is in doubt, what was only read is not.
    let short = Duration::from_millis(500);
    let error = bob.tell("ada", "note", "", short).unwrap_err();
    assert_eq!(error, Error::OutcomeUnknown { peer: "ada@desk".into() });
    let error = bob.request("ada", "soup", short).unwrap_err();
    assert!(matches!(error, Error::TimedOut | Error::Unreachable { .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_millis(1600), "{:?}", begun.elapsed());
    assert_eq!(asking.result(), Err(peer_closed("ada@desk")));
    assert_eq!(requesting.result(), Err(peer_closed("ada@desk")));
    assert_eq!(events.next(LONG), Ok(left("ada@desk")));
    let took = begun.elapsed();
    assert!(took > LEASE / 2 && took < 2 * LEASE, "{took:?}");
    there.go_on();
    see(&here, "ada@desk");
    assert_eq!(events.next(LONG), Ok(Event::Joined { peer: "ada@desk".into() }));
    assert_eq!(bob.request("ada", "soup", LONG).unwrap().len(), 100);
    until("it sees bob again", || there.done("peers").contains("bob@laptop").then_some(()));
}

#[test]
fn a_node_that_hangs_for_less_than_the_lease_is_only_slow() {
    let (here, bob, there) = here_and_there();
    let events = here.events(100).unwrap();
    drain(&events);
    there.stop();
    let requester = bob.clone();
    let requesting = host(move || requester.request("ada", "soup", LONG)).waiting();
    std::thread::park_timeout(Duration::from_millis(500));
    assert!(requesting.is_waiting());
    there.go_on();
    assert_eq!(requesting.result().unwrap().len(), 100);
    assert_eq!(drain(&events).into_iter().find(|event| matches!(event, Event::Left { .. })), None);
}

/// All nodes are processes: those of one share the engine's one thread that writes, which any test here may hold up.
#[test]
fn who_hangs_in_the_middle_of_a_transfer_holds_up_nobody_else() {
    let laptop = Process::open("laptop", &[]);
    laptop.done("spawn bob");
    laptop.done(&format!("share bob large {} 7", 128 << 20));
    laptop.done("share bob dish 0 1");
    let [desk, phone] = ["desk", "phone"].map(|node| Process::open(node, &[&laptop.address]));
    for (process, peer) in [(&desk, "ada"), (&phone, "kim")] {
        process.done(&format!("spawn {peer}"));
        process.done("wait_for bob@laptop 10000");
    }
    let _transfer = desk.order("request ada bob@laptop large 60000");
    let given = || {
        let nodes = laptop.done("nodes");
        let (_, to_desk) = nodes.split_once(r#"node: "desk""#)?;
        let (_, bytes) = to_desk.split_once("bytes_out: ")?;
        bytes.split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok()
    };
    until("it is under way", || given().filter(|given| *given > 16 << 20));
    desk.stop();
    // Until the node is gone, and longer than anybody may wait for room on its link.
    let begun = Instant::now();
    while begun.elapsed() < LEASE + Duration::from_secs(6) {
        let one = Instant::now();
        phone.done("request kim bob@laptop dish 10000");
        assert!(one.elapsed() < Duration::from_secs(3), "{:?} after it hung", begun.elapsed());
    }
    assert!(given().is_some_and(|given| given < 128 << 20), "it was over before it hung");
    desk.go_on();
}

#[test]
fn what_a_hanging_node_was_told_is_done_at_most_once() {
    let (_here, bob, there) = here_and_there();
    for round in 0..3 {
        there.stop();
        // The attempts of each call are repeated until its deadline.
        let kinds: Vec<String> = (0..3).map(|number| format!("{round}-{number}")).collect();
        let timeout = Duration::from_millis(700);
        let tells: Vec<_> = kinds
            .iter()
            .map(|kind| {
                let (bob, kind) = (bob.clone(), kind.clone());
                host(move || bob.tell("ada@desk", &kind, "", timeout))
            })
            .collect();
        for tell in tells {
            assert_eq!(tell.result(), Err(Error::OutcomeUnknown { peer: "ada@desk".into() }));
        }
        there.go_on();
        // By now each is there or never will be.
        until("it answers again", || bob.tell("ada@desk", "last", "", LONG).ok());
        let mut came = BTreeMap::new();
        loop {
            let said = there.done("receive ada 10000");
            let kind = said.split(' ').nth(1).unwrap().to_owned();
            if kind == "last" {
                break;
            }
            *came.entry(kind).or_insert(0) += 1;
        }
        assert!(came.iter().all(|(kind, count)| kinds.contains(kind) && *count == 1), "{came:?}");
    }
}

#[test]
fn a_node_that_is_killed_and_comes_again_under_its_name_is_another_with_other_resources() {
    let (here, bob, mut there) = here_and_there();
    let events = here.events(1000).unwrap();
    drain(&events);
    let old = bob.request("ada", "soup", LONG).unwrap();
    for round in 2..5 {
        let address = there.address.clone();
        there.kill();
        // No wait: it may come before the others know that it had gone.
        there = Process::start("desk", &address);
        there.join(&[], "");
        there.done("spawn ada");
        there.done(&format!("share ada soup 100 {round}"));
        let wanted = crate::content::noise(round, 100);
        // The old one may still be asked at first; what comes is never a mixture.
        until("the new one is asked", || match bob.request("ada@desk", "soup", LONG) {
            Ok(got) => (got.bytes() == &wanted[..]).then_some(()),
            Err(error) => {
                assert!(
                    matches!(error, Error::NoSuchPeer { .. } | Error::PeerClosed { .. } | Error::NoSuchResource { .. }),
                    "{error:?}"
                );
                None
            }
        });
        assert!(bob.request_newer("ada@desk", "soup", &old, LONG).unwrap().is_some(), "another origin is newer");
    }
    let seen = drain(&events);
    let of_ada: Vec<&Event> =
        seen.iter().filter(|event| matches!(event, Event::Joined { .. } | Event::Left { .. })).collect();
    for (number, event) in of_ada.iter().enumerate() {
        assert_eq!(matches!(event, Event::Left { .. }), number % 2 == 0, "{seen:?}");
    }
}

#[test]
fn a_node_that_hangs_and_one_that_takes_its_name_are_never_said_to_be_ambiguous() {
    let own = address();
    let (here, bob, old) = here_and_there_at(&own);
    old.stop();
    let new = Process::start("desk", &address());
    new.join(&[&own], "");
    new.done("spawn ada");
    new.done("share ada soup 100 9");
    let wanted = crate::content::noise(9, 100);
    until("the new one is asked", || match bob.request("ada@desk", "soup", Duration::from_millis(200)) {
        Ok(got) => (got.bytes() == &wanted[..]).then_some(()),
        Err(error) => {
            assert!(!matches!(error, Error::Ambiguous { .. }), "{error:?}");
            None
        }
    });
    assert_eq!(here.peers().unwrap(), ["bob", "ada@desk"]);
}

#[test]
fn the_first_contact_is_killed_and_the_others_go_on_with_a_newcomer() {
    let desk = Process::open("desk", &[]);
    let laptop = Process::open("laptop", &[&desk.address]);
    let phone = Process::open("phone", &[&desk.address]);
    laptop.done("spawn bob");
    phone.done("spawn-cook kim");
    laptop.done("wait_for kim@phone 10000");
    phone.done("wait_for bob@laptop 10000");
    desk.kill();
    until("the desk has left", || laptop.call("wait_for @desk 0").is_err().then_some(()));
    laptop.done("ask bob kim taste soup 5000");
    laptop.done("tell bob kim note soup 5000");
    // It knows one of the two, and learns of the other.
    let watch = Process::open("watch", &[&phone.address]);
    watch.done("spawn eve");
    watch.done("wait_for bob@laptop 10000");
    laptop.done("wait_for eve@watch 10000");
    laptop.done("share bob soup 1000 3");
    watch.done("request eve bob soup 5000");
    // One that comes back as the contact is found by those who know its address.
    let again = Process::start("desk", &desk.address);
    again.join(&[], "");
    again.done("spawn ada");
    for process in [&laptop, &phone] {
        process.done("wait_for ada@desk 10000");
    }
}

#[test]
fn an_exchange_whose_caller_is_killed_leaves_a_whole_resource_at_the_target() {
    let mut random = Random(seed());
    let contact = address();
    let laptop = open("kitchen", potluck::Mesh::new().node("laptop").listen(&*contact));
    let bob = laptop.spawn("bob").unwrap();
    for number in 0..4 {
        let own = crate::content::noise(number, 2_000_000);
        bob.share("dish", own.clone()).unwrap();
        let caller = Process::open(&format!("node{number}"), &[&contact]);
        caller.done("spawn ada");
        caller.done(&format!("share ada dish 2000000 {}", number + 100));
        caller.done("wait_for bob@laptop 10000");
        let order = caller.order("exchange ada bob@laptop dish 5000");
        std::thread::park_timeout(Duration::from_micros(random.below(60_000)));
        caller.kill();
        drop(order);
        let held = bob.get("dish").unwrap();
        let given = crate::content::noise(number + 100, 2_000_000);
        assert!(held.bytes() == &own[..] || held.bytes() == &given[..], "{held:?} is neither");
    }
}
