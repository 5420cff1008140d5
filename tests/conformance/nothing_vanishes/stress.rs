//! Random calls of all kinds at once, while peers come and go; at the end nothing is lost and nothing is left.
//!
//! `make soak` runs it for `SOAK_MINUTES`; `SOAK_SEED` repeats the random numbers, though not the interleaving.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use potluck::{Ended, Error, Event, HandlerError, HandlerResult, Message, Peer, PeerOptions, PeerSystem};

use crate::support::{LONG, NOW, host, kitchen, shut_down};

const NAMES: [&str; 5] = ["ada", "bob", "eve", "joe", "zoe"];
const RESOURCES: [&str; 3] = ["soup", "bread", "cake"];
const THREADS: u64 = 4;
/// Without `SOAK_MINUTES`.
const SHORT_RUN: Duration = Duration::from_secs(2);

/// The numbers of splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64) as usize]
    }

    fn timeout(&mut self) -> Duration {
        Duration::from_micros([0, 100, 2_000][self.below(3) as usize])
    }
}

/// What all threads share.
struct Kitchen {
    system: PeerSystem,
    /// The newest peer of each name.
    peers: Mutex<Vec<Peer>>,
    /// Tells that returned without error, and those that a handler or a receiver saw.
    accepted: AtomicU64,
    handled: AtomicU64,
    seeds: AtomicU64,
}

impl Kitchen {
    fn random(&self) -> Random {
        Random(self.seeds.fetch_add(0x1234_5678_9abc_def1, Ordering::Relaxed))
    }

    fn peer(&self, random: &mut Random) -> Peer {
        self.peers.lock()[random.below(NAMES.len() as u64) as usize].clone()
    }

    /// Any call as this peer. What it answers is no matter here, but for an accepted tell and a broken promise.
    fn call(&self, peer: &Peer, random: &mut Random) -> HandlerResult {
        let (to, name, timeout) = (random.one_of(&NAMES), random.one_of(&RESOURCES), random.timeout());
        let result = match random.below(12) {
            0 => peer.share(name, vec![1; 100]).map(drop),
            1 => peer.unshare(name),
            2 => peer.get(name).map(drop),
            3 => peer.request(to, name, timeout).map(drop),
            4 => peer.fetch(name, timeout).map(drop),
            5 => peer.offer(to, name, timeout),
            6 => peer.exchange(to, name, timeout).map(drop),
            7 => peer.ask(to, "ask", "body", timeout).map(drop),
            8 => match peer.receive(timeout) {
                Ok(message) => self.see(&message),
                Err(error) => Err(error),
            },
            _ => peer.tell(to, "tell", "body", timeout).map(|()| {
                self.accepted.fetch_add(1, Ordering::SeqCst);
            }),
        };
        match result {
            Err(Error::Internal(text)) => panic!("a broken promise: {text}"),
            _ => Ok(()),
        }
    }

    fn see(&self, message: &Message) -> potluck::Result<()> {
        if !message.is_ask() {
            self.handled.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn misbehave(&self, peer: &Peer, random: &mut Random) -> HandlerResult {
        match random.below(40) {
            // A panic that says nothing on the way.
            0 => std::panic::resume_unwind(Box::new("a handler panics")),
            1 => Err(HandlerError::failed("a handler fails")),
            2 => Err(HandlerError::refused("a handler refuses")),
            3 => {
                let _ = peer.close(NOW);
                Ok(())
            }
            4..12 => self.call(peer, random),
            // As somebody else.
            12 => self.call(&self.peer(random), random),
            _ => Ok(()),
        }
    }

    fn options(self: &Arc<Self>, random: &mut Random) -> PeerOptions {
        let mut options = PeerOptions::new().mailbox_messages_max(1 + random.below(20));
        let with = || (Arc::clone(self), self.random());
        if random.below(4) > 0 {
            let (kitchen, mut random) = with();
            options = options.on_message(move |me, message| {
                kitchen.see(message)?;
                kitchen.misbehave(me, &mut random)?;
                if message.is_ask() && random.below(4) > 0 {
                    message.reply("answer")?;
                }
                Ok(())
            });
        }
        if random.below(3) == 0 {
            let (kitchen, mut random) = with();
            options = options.on_request(move |me, _, _| kitchen.misbehave(me, &mut random));
        }
        if random.below(3) == 0 {
            let (kitchen, mut random) = with();
            options = options.on_offer(move |me, _, _| kitchen.misbehave(me, &mut random));
        }
        if random.below(2) == 0 {
            let (kitchen, mut random) = with();
            options = options.on_received(move |me, _, _| drop(kitchen.misbehave(me, &mut random)));
        }
        let (kitchen, mut random) = with();
        options.on_stop(move |me| drop(kitchen.call(me, &mut random)))
    }

    /// Closes one peer and spawns its successor.
    fn replace(self: &Arc<Self>, random: &mut Random) {
        let at = random.below(NAMES.len() as u64) as usize;
        let old = self.peers.lock()[at].clone();
        if random.below(2) == 0 {
            let _ = old.close(random.timeout());
        } else {
            assert_eq!(old.close(LONG), Ok(Ended::Yes));
        }
        if let Ok(new) = self.system.spawn_with(NAMES[at], self.options(random)) {
            self.peers.lock()[at] = new;
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

#[test]
fn whatever_happens_every_accepted_tell_is_handled_or_a_dead_letter_and_the_end_comes() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("SOAK_SEED").unwrap_or(now);
    let lasting = number("SOAK_MINUTES").map_or(SHORT_RUN, |minutes| Duration::from_secs(60 * minutes));
    println!("SOAK_SEED={seed}");
    let system = kitchen();
    let events = system.events(100_000_000).unwrap();
    let peers = NAMES.map(|name| system.spawn(name).unwrap()).to_vec();
    let (accepted, handled) = (AtomicU64::new(0), AtomicU64::new(0));
    let kitchen =
        Arc::new(Kitchen { system, peers: Mutex::new(peers), accepted, handled, seeds: AtomicU64::new(seed) });
    let reader = host(move || {
        let mut buried = 0;
        loop {
            match events.next(Duration::MAX) {
                Ok(Event::DeadLetter { kind, .. }) if &*kind == "tell" => buried += 1,
                Ok(Event::Missed { count }) => panic!("{count} events were missed"),
                Ok(_) => {}
                Err(error) => return (buried, error),
            }
        }
    });
    let threads = (0..THREADS).map(|_| {
        let kitchen = Arc::clone(&kitchen);
        host(move || {
            let mut random = kitchen.random();
            let end = Instant::now() + lasting;
            while Instant::now() < end {
                if random.below(50) == 0 {
                    kitchen.replace(&mut random);
                }
                kitchen.call(&kitchen.peer(&mut random), &mut random).unwrap();
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    for thread in threads {
        thread.result_within(lasting + LONG);
    }
    assert_eq!(shut_down(&kitchen.system, LONG), Ok(Ended::Yes));
    let (buried, error) = reader.result();
    assert!(matches!(error, Error::Closed { .. }), "{error}");
    let (accepted, handled) = (kitchen.accepted.load(Ordering::SeqCst), kitchen.handled.load(Ordering::SeqCst));
    println!("{accepted} tells accepted, {handled} handled, {buried} dead letters");
    assert!(accepted > 0 && handled > 0 && buried > 0);
    assert_eq!(accepted, handled + buried);
}
