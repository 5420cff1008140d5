//! The load of one process among several: each of its peers makes random calls with peers of all nodes, from a thread of its own, and looks
//! at whatever comes back. What is wrong is said at once, since the process may be killed the next moment.
//!
//! - `own/<node>/<peer>`: versions that this peer alone makes; everybody requests and fetches it.
//! - `dish`: each peer brings one; offers and exchanges move them, and no call may leave a shelf without one.
//! - `coin/<node>`: peers of this node swap theirs with the peers of the next (see `market`), so that none may be lost or doubled.
//! - messages: notes that are handled, and questions that are answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use potluck::{Error, HandlerError, Peer, PeerOptions, PeerSystem, Resource};

use crate::content::{Label, read, written};
use crate::process::name;
use crate::role::say;

/// What a call may take beyond its timeout.
const SLACK: Duration = Duration::from_secs(1);

pub(crate) struct Load {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    node: String,
    nodes: Vec<String>,
    peers: Vec<Peer>,
    ends: AtomicBool,
    /// How often each call has ended how.
    results: Mutex<BTreeMap<String, u64>>,
    /// The newest version of each peer's own resource.
    newest: Mutex<BTreeMap<String, u64>>,
    /// The largest body.
    largest: u64,
    has_market: bool,
    /// In milliseconds.
    timeouts: Vec<u64>,
}

/// The numbers of a generator that needs no crate; splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

/// What an answer says: the question again, and who gives it.
fn cook(me: &Peer, message: &potluck::Message) -> Result<(), HandlerError> {
    match (message.kind(), message.is_ask()) {
        ("question", true) => {
            let answer = [me.name().as_bytes(), b" ", message.bytes()].concat();
            Ok(message.reply(answer)?)
        }
        ("note", false) if read(message.bytes()).is_some() => Ok(()),
        (kind, _) => {
            say(&format!("! {}: a torn message of kind {kind} from {}", me.name(), message.from()));
            Ok(())
        }
    }
}

impl Load {
    /// `node= nodes=a,b,c peers= seed= largest= market=yes timeouts=100,500`
    pub(crate) fn begin(system: &PeerSystem, options: &[&str]) -> Result<Load, String> {
        let option = |key: &str| {
            let found = options.iter().find_map(|option| option.strip_prefix(key)?.strip_prefix('='));
            found.ok_or_else(|| format!("no {key}"))
        };
        let number = |key: &str| option(key)?.parse::<u64>().map_err(|error| format!("{key}: {error}"));
        let node = option("node")?.to_owned();
        let nodes: Vec<String> = option("nodes")?.split(',').map(str::to_owned).collect();
        let count = number("peers")?;
        let mut peers = Vec::new();
        for number in 0..count {
            let options = PeerOptions::new().on_message(cook);
            // Some exchanges are done by the threads of the peers, some by whoever carries them out.
            let options = if number % 2 == 0 { options } else { options.on_offer(|_, _, _| Ok(())) };
            let peer = system.spawn_with(&format!("p{number}"), options).map_err(|error| error.to_string())?;
            peers.push(peer);
        }
        let shared = Arc::new(Shared {
            node,
            nodes,
            peers,
            ends: AtomicBool::new(false),
            results: Mutex::default(),
            newest: Mutex::default(),
            largest: number("largest")?,
            has_market: option("market")? == "yes",
            timeouts: option("timeouts")?.split(',').map(|it| it.parse().unwrap_or(1000)).collect(),
        });
        for peer in &shared.peers {
            // Others see the peer already, and may have offered it a dish.
            match peer.share_if("dish", shared.body(peer, "dish", 1, 200), None) {
                Ok(_) | Err(Error::VersionConflict { .. }) => {}
                Err(error) => return Err(error.to_string()),
            }
            shared.share_own(peer, 1, 500);
            // Its own, and those that callers of other nodes swap theirs for.
            for node in shared.nodes.iter().filter(|_| shared.has_market) {
                let resource = format!("coin/{node}");
                peer.share(&resource, shared.body(peer, &resource, 1, 200)).map_err(|error| error.to_string())?;
            }
        }
        let seed = number("seed")?;
        let threads = shared.peers.iter().zip(1..).map(|(peer, number)| {
            let (shared, peer) = (Arc::clone(&shared), peer.clone());
            let run = move || shared.run(&peer, Random(seed ^ number << 32));
            thread::Builder::new().name("test:load".to_owned()).spawn(run).unwrap()
        });
        let threads = Mutex::new(threads.collect());
        Ok(Load { shared, threads })
    }

    /// Lets every thread finish the call that it makes; gives how often each call has ended how.
    pub(crate) fn end(&self) -> String {
        self.shared.ends.store(true, Ordering::SeqCst);
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.join().is_err() {
                say("! a thread of the load panicked");
            }
        }
        let results = self.shared.results.lock();
        results.iter().map(|(result, count)| format!("{result}={count}")).collect::<Vec<_>>().join(" ")
    }

    /// Once all have ended: each shelf holds what nothing may take away. Gives the coins that it holds.
    pub(crate) fn check_shelves(&self) -> String {
        let mut coins = Vec::new();
        for peer in &self.shared.peers {
            let own = format!("own/{}/{}", self.shared.node, peer.name());
            let newest = self.shared.newest.lock().get(peer.name()).copied();
            match peer.get(&own) {
                Ok(held) => {
                    self.shared.check("the end", &own, &held);
                    if Some(held.version()) != newest {
                        self.shared.fault(format!("{} holds version {} of {newest:?}", own, held.version()));
                    }
                }
                Err(error) => self.shared.fault(format!("{} lost its own: {error:?}", peer.name())),
            }
            match peer.get("dish") {
                Ok(held) => self.shared.check("the end", "dish", &held),
                Err(error) => self.shared.fault(format!("{} has no dish any more: {error:?}", peer.name())),
            }
            for held in peer.resources().unwrap_or_default() {
                if held.name().starts_with("coin/") {
                    self.shared.check("the end", held.name(), &held);
                    match read(held.bytes()) {
                        Some(label) => {
                            coins.push(format!("{}:{}@{}#{}", held.name(), label.peer, label.node, label.process))
                        }
                        None => self.shared.fault(format!("{} holds a torn coin", peer.name())),
                    }
                }
            }
        }
        coins.join(" ")
    }
}

impl Shared {
    fn fault(&self, what: String) {
        say(&format!("! {}: {what}", self.node));
    }

    fn body(&self, peer: &Peer, resource: &str, version: u64, len: usize) -> potluck::Bytes {
        let (peer, node) = (peer.name().to_owned(), self.node.clone());
        let label = Label { peer, node, process: std::process::id(), resource: resource.to_owned(), version };
        written(&label, len)
    }

    fn share_own(&self, peer: &Peer, version: u64, len: usize) {
        let name = format!("own/{}/{}", self.node, peer.name());
        let body = self.body(peer, &name, version, len);
        self.newest.lock().insert(peer.name().to_owned(), version);
        match peer.share(&name, body) {
            Ok(shared) if shared.version() == version => {}
            other => self.fault(format!("sharing version {version} of {name}: {other:?}")),
        }
    }

    /// Says what is wrong with what a call gave.
    fn check(&self, call: &str, wanted: &str, got: &Resource) {
        let Some(label) = read(got.bytes()) else {
            return self.fault(format!("{call}: {got:?} is torn"));
        };
        let exact = format!("{}@{}", label.peer, label.node);
        let origin = got.origin();
        let is_origin = if label.node != self.node {
            origin == exact
        } else if label.process == std::process::id() {
            origin == label.peer
        } else {
            // Of an earlier life of this node.
            origin == exact || origin == label.peer
        };
        if !is_origin || got.name() != wanted || label.resource != wanted || label.version != got.version() {
            self.fault(format!("{call}: {got:?} is the body of {label:?}"));
        }
    }

    /// Makes random calls until it ends.
    fn run(&self, me: &Peer, mut random: Random) {
        let mut version = 1;
        while !self.ends.load(Ordering::SeqCst) {
            let node = random.of(&self.nodes).clone();
            let peer = format!("p{}", random.below(self.peers.len() as u64));
            let whom = if node == self.node && random.below(2) == 0 { peer.clone() } else { format!("{peer}@{node}") };
            let own = format!("own/{node}/{peer}");
            let timeout = Duration::from_millis(*random.of(&self.timeouts));
            let is_self = node == self.node && peer == me.name();
            let choice = random.below(if self.has_market { 10 } else { 9 });
            let call = match choice {
                0..=2 => "request",
                3 => "fetch",
                4 => "offer",
                5 => "exchange",
                6 => "tell",
                7 => "ask",
                8 => "share",
                _ => "swap",
            };
            if is_self && call != "share" {
                continue;
            }
            let begun = Instant::now();
            let result = match call {
                "request" => me.request(&whom, &own, timeout).map(|got| self.check(&whom, &own, &got)),
                "fetch" => me.fetch(&own, timeout).map(|got| self.check("fetch", &own, &got)),
                "offer" => me.offer(&whom, "dish", timeout),
                "exchange" => me.exchange(&whom, "dish", timeout).map(|got| self.check(&whom, "dish", &got)),
                "tell" => {
                    let len = if random.below(10) == 0 { 400_000 } else { 100 };
                    me.tell(&whom, "note", self.body(me, "note", 1, len), timeout)
                }
                "ask" => {
                    let question = random.next().to_string();
                    me.ask(&whom, "question", question.clone(), timeout).map(|answer| {
                        if answer.bytes() != format!("{peer} {question}").as_bytes() {
                            self.fault(format!("{whom} answers {answer:?} to another question"));
                        }
                    })
                }
                "share" => {
                    version += 1;
                    let len = if random.below(8) == 0 { random.below(self.largest) } else { random.below(2000) };
                    self.share_own(me, version, len as usize);
                    Ok(())
                }
                // Only the callers of its own node change this coin of a caller, and only swaps that of a target.
                _ => {
                    let next = self.nodes.iter().cycle().skip_while(|node| **node != self.node).nth(1);
                    let target = format!("{peer}@{}", next.unwrap_or(&self.node));
                    let coin = format!("coin/{}", self.node);
                    me.exchange(&target, &coin, timeout).map(|got| self.check(&target, &coin, &got))
                }
            };
            let took = begun.elapsed();
            if took > timeout + SLACK {
                self.fault(format!("{call} with {whom} took {took:?} of {timeout:?}: {result:?}"));
            }
            let outcome = match &result {
                Ok(()) => "Ok".to_owned(),
                Err(error) => name(&format!("{error:?}")).to_owned(),
            };
            if let Err(error) = &result
                && !may_answer(call, error, me, &peer, &node)
            {
                self.fault(format!("{call} with {whom}, or about {own}, after {took:?} of {timeout:?}: {error:?}"));
            }
            *self.results.lock().entry(format!("{call}:{outcome}")).or_default() += 1;
        }
    }
}

/// Whether a call with this peer may end so while nodes are killed, stopped and started.
fn may_answer(call: &str, error: &Error, me: &Peer, peer: &str, node: &str) -> bool {
    let exact = format!("{peer}@{node}");
    // A swap is with the same peer of another node.
    let names = |whom: &str| call == "swap" || call == "fetch" || whom == exact || whom == peer;
    match error {
        Error::TimedOut => true,
        Error::NoSuchPeer { peer } | Error::PeerClosed { peer } | Error::Unreachable { peer } => names(peer),
        // Of a peer that has just come again, or that has not requested it yet.
        Error::NoSuchResource { peer: None, .. } => call == "fetch",
        Error::NoSuchResource { peer: Some(whom), .. } => whom != me.name() && names(whom),
        Error::OutcomeUnknown { peer } => matches!(call, "offer" | "exchange" | "swap" | "tell" | "ask") && names(peer),
        Error::Full { peer } => call == "tell" && names(peer),
        Error::NoReply { peer } => call == "ask" && names(peer),
        _ => false,
    }
}
