//! What is not small on its way out: the threads that give it away, pieces of large bodies and answers to calls each by threads of their own.
//!
//! Whoever gives something away waits while the link has no room. So what different nodes ask for is given by different threads, each made when it is first
//! needed: a node that is slow, or hangs, holds up no other, up to so many at a time. What one node asks for is given in turn; an answer that is small is
//! given at once, by whoever has it, unless others to the same node wait for room before it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::mpsc::{self, Receiver, Sender};

use bytes::Bytes;

use super::calls::ANSWERED_WITHIN;
use super::digests::Sum;
use super::engine::Incoming;
use super::keys::NodeId;
use super::node::{Node, make_thread};
use super::presence::Counters;
use super::transfer::PIECE_TIMEOUT;
use super::wire::{self, Answer, PIECE_BYTES};
use crate::cancel;
use crate::sync::{Arc, AtomicUsize, JoinHandle, Mutex, Ordering};
use crate::unwind::{caught, drop_user_data};

/// So many threads are made at most; with more nodes that ask at once some share one.
const GIVERS_MAX: usize = 16;

/// Where so many answers wait to be given to a node, further ones have no body, and it asks again.
const BODIES_WAITING_MAX: usize = 1024;
/// What is no larger is given at once.
const AT_ONCE_BYTES_MAX: usize = 1024;

/// A piece that another node asks for.
pub(super) struct Piece {
    pub(super) query: Incoming,
    pub(super) from: NodeId,
    pub(super) ticket: u64,
    pub(super) offset: u64,
    pub(super) len: u32,
}

/// An answer of any kind.
pub(super) struct Answering {
    pub(super) query: Incoming,
    pub(super) says: Says,
    pub(super) body: Bytes,
}

pub(super) enum Says {
    /// To a node: the header.
    Answer(Vec<u8>),
    /// To a stranger: what it is.
    About(String),
    /// Why there is no other answer.
    Refusal(String),
}

impl Answering {
    fn give(self) {
        // The engine is not to drop what may have a destructor of a user's.
        let last = self.body.clone();
        match self.says {
            Says::Answer(header) => self.query.answer(&header, self.body),
            Says::About(about) => self.query.answer_stranger(about, self.body),
            Says::Refusal(why) => self.query.refuse(&why),
        }
        drop_user_data(last);
    }

    /// Leaves the body out: who asked may ask again.
    fn without_body(mut self) -> Answering {
        drop_user_data(std::mem::take(&mut self.body));
        self.says = match self.says {
            Says::Answer(_) => Says::Answer(wire::encode(&Answer::Busy)),
            Says::About(_) | Says::Refusal(_) => Says::Refusal("too many answers wait for room; ask again".to_owned()),
        };
        self
    }
}

/// Threads called `potluck-mesh-out`. Its lock is a leaf.
pub(super) struct Givers {
    table: Mutex<Table>,
    /// What they have been given to do, and have not done.
    left: AtomicUsize,
    /// Which of a node's these are.
    of: fn(&Node) -> &Givers,
}

#[derive(Default)]
struct Table {
    givers: Vec<Giver>,
    /// How much waits to be given to each, or is being given.
    waiting: HashMap<NodeId, usize>,
    is_over: bool,
}

struct Giver {
    /// Whom it gives to, while pieces are left to be given.
    to: NodeId,
    left: usize,
    orders: Sender<Order>,
    thread: JoinHandle<()>,
}

enum Order {
    Give(NodeId, Box<Gift>),
    /// Says that all before this has been done.
    Flush(Sender<()>),
    Stop,
}

enum Gift {
    Piece(Piece),
    Answer(Answering),
}

impl Givers {
    pub(super) fn new(of: fn(&Node) -> &Givers) -> Givers {
        Givers { table: Mutex::default(), left: AtomicUsize::new(0), of }
    }

    pub(super) fn give(&self, node: &Arc<Node>, piece: Piece) {
        let to = piece.from.clone();
        // Where there can be no thread it is asked for again; dropping it is a call of the engine.
        drop(self.order(node, &to, Gift::Piece(piece)));
    }

    pub(super) fn answer(&self, node: &Arc<Node>, to: &NodeId, answering: Answering) {
        let waiting = self.waiting(to);
        if answering.body.len() <= AT_ONCE_BYTES_MAX && waiting == 0 {
            return answering.give();
        }
        let is_too_much = !answering.body.is_empty() && waiting >= BODIES_WAITING_MAX;
        let answering = if is_too_much { answering.without_body() } else { answering };
        if let Some(Gift::Answer(answering)) = self.order(node, to, Gift::Answer(answering)) {
            answering.give();
        }
    }

    /// Nobody waits for room.
    pub(super) fn is_idle(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    fn waiting(&self, to: &NodeId) -> usize {
        if self.is_idle() { 0 } else { self.table.lock().waiting.get(to).copied().unwrap_or(0) }
    }

    /// Has it done by a thread; gives it back if there can be none.
    fn order(&self, node: &Arc<Node>, to: &NodeId, gift: Gift) -> Option<Gift> {
        let mut table = self.table.lock();
        let Some(number) = table.giver_for(node, to, self.of) else { return Some(gift) };
        *table.waiting.entry(to.clone()).or_default() += 1;
        let giver = &mut table.givers[number];
        giver.left += 1;
        self.left.fetch_add(1, Ordering::Relaxed);
        let _ = giver.orders.send(Order::Give(to.clone(), Box::new(gift)));
        None
    }

    /// Each says so when all that it has been given to do is done.
    pub(super) fn flush(&self, done: &Sender<()>) {
        for giver in &self.table.lock().givers {
            let _ = giver.orders.send(Order::Flush(done.clone()));
        }
    }

    /// Ends them; waits for it.
    pub(super) fn end(&self) {
        let givers = {
            let mut table = self.table.lock();
            table.is_over = true;
            std::mem::take(&mut table.givers)
        };
        for giver in &givers {
            let _ = giver.orders.send(Order::Stop);
        }
        for giver in givers {
            let _ = cancel::put_off(|| giver.thread.join());
        }
    }

    /// In a child made by fork, where the threads are the parent's.
    pub(super) fn forget(&mut self) {
        std::mem::forget(std::mem::take(&mut self.table.get_mut().givers));
    }

    fn has_given(&self, number: usize, to: NodeId) {
        let mut table = self.table.lock();
        if let Some(giver) = table.givers.get_mut(number) {
            giver.left -= 1;
        }
        if let Entry::Occupied(mut waiting) = table.waiting.entry(to) {
            *waiting.get_mut() -= 1;
            if *waiting.get() == 0 {
                waiting.remove();
            }
        }
        self.left.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Table {
    /// `None` if there can be no thread.
    fn giver_for(&mut self, node: &Arc<Node>, to: &NodeId, of: fn(&Node) -> &Givers) -> Option<usize> {
        if self.is_over {
            return None;
        }
        let mut found = self.givers.iter().position(|giver| giver.left > 0 && giver.to == *to);
        found = found.or_else(|| self.givers.iter().position(|giver| giver.left == 0));
        if found.is_none() && self.givers.len() < GIVERS_MAX {
            found = self.make(node, to, of);
        }
        let shared = (to.instance as usize).checked_rem(self.givers.len());
        let number = found.or(shared)?;
        let giver = &mut self.givers[number];
        if giver.left == 0 {
            giver.to = to.clone();
        }
        Some(number)
    }

    /// `None` if there can be no more threads.
    fn make(&mut self, node: &Arc<Node>, to: &NodeId, of: fn(&Node) -> &Givers) -> Option<usize> {
        let number = self.givers.len();
        let (orders, taken) = mpsc::channel();
        let node = Arc::clone(node);
        let thread = make_thread("potluck-mesh-out", move || run(&node, of(&node), number, &taken)).ok()?;
        self.givers.push(Giver { to: to.clone(), left: 0, orders, thread });
        Some(number)
    }
}

fn run(node: &Arc<Node>, givers: &Givers, number: usize, orders: &Receiver<Order>) {
    while let Ok(order) = orders.recv() {
        let (to, gift) = match order {
            Order::Stop => return,
            Order::Flush(done) => {
                // Whoever waits for it may have waited long enough.
                let _ = done.send(());
                continue;
            }
            Order::Give(to, gift) => (to, *gift),
        };
        // What nobody waits for any more would only hold up what others wait for.
        let given = caught(|| match gift {
            Gift::Piece(piece) if piece.query.came_at.elapsed() < PIECE_TIMEOUT => give(node, piece),
            Gift::Answer(answering) if answering.query.came_at.elapsed() < ANSWERED_WITHIN => answering.give(),
            Gift::Piece(_) => {}
            Gift::Answer(late) => drop_user_data(late.body),
        });
        if let Err(text) = given {
            node.presence.counters(&node.me.name).note(&format!("something could not be given: {text}"));
        }
        givers.has_given(number, to);
    }
}

fn give(node: &Arc<Node>, piece: Piece) {
    let Piece { query, from, ticket, offset, len } = piece;
    let Some((body, _)) = node.kept.body(ticket, &from) else {
        return query.answer(&wire::encode(&Answer::Unknown), Bytes::new());
    };
    let range = usize::try_from(offset).ok().and_then(|start| Some(start..start.checked_add(len as usize)?));
    let Some(range) = range.filter(|range| range.end <= body.len() && u64::from(len) <= PIECE_BYTES) else {
        return query.refuse("there are no such bytes");
    };
    let counters = node.presence.counters(&from.name);
    Counters::count(&counters.bytes_out, u64::from(len));
    if range.start == 0 {
        node.sum(Sum::Begin { ticket, from });
    }
    query.answer_while(&wire::encode(&Answer::Piece), body.slice(range), || node.kept.is_wanted(ticket));
}
