//! The system that all threads share, its peers that come and go, and what their handlers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use potluck::{
    Bytes, HandlerError, HandlerResult, Message, Peer, PeerOptions, PeerSystem, Resource, Result, SystemOptions,
};

use crate::calls::{CALLS, close};
use crate::content::Contents;
use crate::ledger::{Fate, Ledger};
use crate::random::Random;

pub(crate) const NAMES: [&str; 8] = ["ada", "bob", "eve", "joe", "kim", "max", "sue", "zoe"];
pub(crate) const RESOURCES: [&str; 4] = ["soup", "bread", "cake", "salt/sea"];
pub(crate) const NOW: Duration = Duration::ZERO;
/// How long anything may take before the test fails.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// What a handler says when it fails or refuses.
pub(crate) const SAYS: [&str; 3] = ["a handler panics", "a handler fails", "a handler refuses"];
/// So many messages are kept to be answered later, and so many resources to be expected or compared with.
const KEPT: usize = 16;

/// What all threads share.
pub(crate) struct Kitchen {
    pub(crate) system: PeerSystem,
    pub(crate) contents: Contents,
    pub(crate) ledger: Ledger,
    /// How often each call went well.
    pub(crate) done: [AtomicU64; CALLS.len()],
    /// The newest peer of each name.
    peers: Mutex<Vec<(Peer, u64)>>,
    kept: Mutex<Vec<Message>>,
    seen: Mutex<Vec<Resource>>,
    /// Broken promises. A panic would stay in the handler that found it out.
    faults: Mutex<Vec<String>>,
    seeds: AtomicU64,
    /// How many peers' handlers have not been dropped.
    handlers: Arc<AtomicU64>,
}

/// Who acts: a peer, with the number that no other of its name has.
pub(crate) struct Guest {
    pub(crate) kitchen: Arc<Kitchen>,
    pub(crate) peer: Peer,
    pub(crate) maker: u64,
    /// It acts in a handler, perhaps as another peer.
    pub(crate) is_handler: bool,
}

impl Guest {
    pub(crate) fn body(&self, name: &str) -> Bytes {
        self.kitchen.contents.of_share(self.maker, self.peer.name(), name)
    }

    /// Looks at what a call returned or a handler was given.
    pub(crate) fn look(&self, resource: &Resource) -> Result<()> {
        self.kitchen.look(resource);
        Ok(())
    }

    pub(crate) fn look_if_any(&self, resource: Option<Resource>) -> Result<()> {
        resource.map_or(Ok(()), |resource| self.look(&resource))
    }

    pub(crate) fn expect(&self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.kitchen.fault(otherwise());
        }
    }

    /// Makes any call.
    pub(crate) fn call(&self, random: &mut Random) {
        // Half of all are tells and asks, or mailboxes would stay empty.
        let at = match random.below(8) {
            0 => "tell",
            1 => "try_tell",
            2..4 => "ask",
            _ => CALLS[random.below(CALLS.len() as u64) as usize].name,
        };
        let at = CALLS.iter().position(|call| call.name == at).expect("it is one of them");
        if CALLS[at].make(self, random) {
            self.kitchen.done[at].fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Owned by the handlers of one peer, so that it is known whether they have been dropped.
struct Owned(Arc<AtomicU64>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Kitchen {
    pub(crate) fn open(seed: u64) -> Arc<Kitchen> {
        let kitchen = Arc::new(Kitchen {
            // Every second seed has threads on demand.
            system: PeerSystem::open_with("kitchen", SystemOptions::new().lazy_threads(seed % 2 == 1))
                .expect("a good name"),
            contents: Contents::new(),
            ledger: Ledger::default(),
            done: [const { AtomicU64::new(0) }; CALLS.len()],
            peers: Mutex::default(),
            kept: Mutex::default(),
            seen: Mutex::default(),
            faults: Mutex::default(),
            seeds: AtomicU64::new(seed),
            handlers: Arc::default(),
        });
        let mut random = kitchen.random();
        for name in NAMES {
            let peer = kitchen.spawn(name, &mut random).expect("the name is free");
            kitchen.peers.lock().push(peer);
        }
        kitchen
    }

    pub(crate) fn random(&self) -> Random {
        Random(self.seeds.fetch_add(0x1234_5678_9abc_def1, Ordering::Relaxed))
    }

    pub(crate) fn fault(&self, text: String) {
        let mut faults = self.faults.lock();
        if faults.len() < 20 {
            eprintln!("a broken promise: {text}");
            faults.push(text);
        }
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        self.faults.lock().clone()
    }

    pub(crate) fn check(&self, result: std::result::Result<(), String>) {
        if let Err(text) = result {
            self.fault(text);
        }
    }

    /// Bodies and handlers that have not been dropped.
    pub(crate) fn alive(&self) -> (u64, u64) {
        (self.contents.alive(), self.handlers.load(Ordering::SeqCst))
    }

    /// Drops all that it keeps itself.
    pub(crate) fn clear(&self) {
        let kept = (std::mem::take(&mut *self.kept.lock()), std::mem::take(&mut *self.seen.lock()));
        drop(kept);
        drop(std::mem::take(&mut *self.peers.lock()));
    }

    /// Any peer, to act as it.
    pub(crate) fn guest(self: &Arc<Self>, is_handler: bool, random: &mut Random) -> Guest {
        let (peer, maker) = self.peers.lock()[random.below(NAMES.len() as u64) as usize].clone();
        Guest { kitchen: Arc::clone(self), peer, maker, is_handler }
    }

    fn look(&self, resource: &Resource) {
        self.check(self.contents.check(resource));
        put_newest(&self.seen, resource.clone());
    }

    /// Any resource that was seen a short while ago.
    pub(crate) fn one_seen(&self, random: &mut Random) -> Option<Resource> {
        let seen = self.seen.lock();
        if seen.is_empty() { None } else { Some(seen[random.below(seen.len() as u64) as usize].clone()) }
    }

    /// Counts a message that is handled or buried now.
    pub(crate) fn see(&self, message: &Message, fate: Fate) {
        match number(message.kind()) {
            Some((what, number)) => {
                self.check(self.ledger.fate(number, fate));
                self.check(self.contents.check_message(message.bytes(), number, what));
                if (what == "ask") != message.is_ask() {
                    self.fault(format!("{message:?}"));
                }
            }
            None => self.fault(format!("nobody sent {message:?}")),
        }
    }

    /// Answers a message, or keeps it to be answered by any thread, or leaves it.
    pub(crate) fn answer(&self, message: &Message, random: &mut Random) {
        match random.below(4) {
            0 => put_newest(&self.kept, message.keep()),
            1..3 if message.is_ask() => drop(self.reply(message)),
            _ => {}
        }
    }

    fn reply(&self, message: &Message) -> Result<()> {
        let number = number(message.kind()).map_or(0, |(_, number)| number);
        message.reply(self.contents.of_message(number, "answer"))
    }

    pub(crate) fn reply_to_kept(&self, random: &mut Random) -> Result<()> {
        let message = {
            let mut kept = self.kept.lock();
            let len = kept.len() as u64;
            if len == 0 {
                return Ok(());
            }
            kept.swap_remove(random.below(len) as usize)
        };
        self.reply(&message)
    }

    /// Closes a peer, if it is not one that has ended by itself, and spawns its successor.
    pub(crate) fn replace(self: &Arc<Self>, by: &Guest, random: &mut Random) -> Result<()> {
        let ended = self.peers.lock().iter().position(|peer| peer.0.has_ended());
        let at = if random.one_in(3) { Some(random.below(NAMES.len() as u64) as usize) } else { ended };
        let Some(at) = at else { return Ok(()) };
        let old = self.peers.lock()[at].0.clone();
        close(by, &old, random)?;
        // Under the lock, so that the newest is kept.
        let mut peers = self.peers.lock();
        let new = self.spawn(NAMES[at], random)?;
        let old = std::mem::replace(&mut peers[at], new);
        drop(peers);
        drop(old);
        Ok(())
    }

    fn spawn(self: &Arc<Self>, name: &str, random: &mut Random) -> Result<(Peer, u64)> {
        let maker = self.contents.number();
        let peer = self.system.spawn_with(name, self.options(maker, random))?;
        Ok((peer, maker))
    }

    fn options(self: &Arc<Self>, maker: u64, random: &mut Random) -> PeerOptions {
        let mut options = PeerOptions::new().mailbox_messages_max(1 + random.below(20));
        if random.one_in(4) {
            options = options.mailbox_bytes_max(200 + random.below(2_000));
        }
        if random.one_in(4) {
            options = options.shelf_bytes_max(100 + random.below(5_000));
        }
        self.handlers.fetch_add(1, Ordering::SeqCst);
        let owned = Arc::new(Owned(Arc::clone(&self.handlers)));
        let actor = || {
            let (kitchen, mut random, owned) = (Arc::clone(self), self.random(), Arc::clone(&owned));
            move |me: &Peer| {
                let _ = &owned;
                let peer = me.clone();
                (Guest { kitchen: Arc::clone(&kitchen), peer, maker, is_handler: true }, Random(random.next()))
            }
        };
        if !random.one_in(4) {
            let mut act = actor();
            options = options.on_message(move |me, message| {
                let (me, mut random) = act(me);
                me.kitchen.see(message, Fate::Handled);
                misbehave(&me, &mut random)?;
                if random.one_in(10) {
                    return Err(HandlerError::UnknownMessage);
                }
                me.kitchen.answer(message, &mut random);
                Ok(())
            });
        }
        if random.one_in(3) {
            let mut act = actor();
            options = options.on_request(move |me, _, _| {
                let (me, mut random) = act(me);
                misbehave(&me, &mut random)
            });
        }
        if random.one_in(3) {
            let mut act = actor();
            options = options.on_offer(move |me, _, offered| {
                let (me, mut random) = act(me);
                me.kitchen.look(offered);
                misbehave(&me, &mut random)
            });
        }
        if random.one_in(2) {
            let mut act = actor();
            options = options.on_received(move |me, _, got| {
                let (me, mut random) = act(me);
                me.kitchen.look(got);
                drop(misbehave(&me, &mut random));
            });
        }
        let mut act = actor();
        options.on_stop(move |me| {
            let (me, mut random) = act(me);
            drop(misbehave(&me, &mut random));
        })
    }
}

/// What a handler does besides its duty: mostly nothing, or any call as its own peer or another, or it goes wrong.
fn misbehave(me: &Guest, random: &mut Random) -> HandlerResult {
    match random.below(40) {
        // A panic that says nothing on the way.
        0 => std::panic::resume_unwind(Box::new(SAYS[0])),
        1 => return Err(HandlerError::failed(SAYS[1])),
        2 => return Err(HandlerError::refused(SAYS[2])),
        3 => me.expect(me.peer.close(NOW) == Ok(potluck::Ended::Deferred), || "a handler waits for itself".to_owned()),
        4..16 => me.call(random),
        16 => me.kitchen.guest(true, random).call(random),
        _ => {}
    }
    Ok(())
}

/// The word and the number of a kind.
pub(crate) fn number(kind: &str) -> Option<(&str, u64)> {
    let (what, number) = kind.split_once(' ')?;
    Some((what, number.parse().ok()?))
}

fn put_newest<T>(all: &Mutex<Vec<T>>, new: T) {
    let mut all = all.lock();
    all.push(new);
    let oldest = (all.len() > KEPT).then(|| all.swap_remove(0));
    // What is dropped here may end a call of somebody.
    drop(all);
    drop(oldest);
}
