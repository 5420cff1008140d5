//! Pieces of large bodies on their way out: the threads that give them away.
//!
//! Whoever gives a piece away waits while the link has no room. So what different nodes ask for is given by different threads, each made when it is first
//! needed: a node that is slow, or hangs, holds up no other, up to so many at a time. What one node asks for is given in turn.

use std::sync::mpsc::{self, Receiver, Sender};

use bytes::Bytes;

use super::digests::Sum;
use super::engine::Incoming;
use super::keys::NodeId;
use super::node::{Node, make_thread};
use super::presence::Counters;
use super::wire::{self, Answer, PIECE_BYTES};
use crate::cancel;
use crate::sync::{Arc, JoinHandle, Mutex};
use crate::unwind::caught;

/// So many threads are made at most; with more nodes that ask at once some share one.
const GIVERS_MAX: usize = 16;

/// A piece that another node asks for.
pub(super) struct Piece {
    pub(super) query: Incoming,
    pub(super) from: NodeId,
    pub(super) ticket: u64,
    pub(super) offset: u64,
    pub(super) len: u32,
}

/// The threads called `potluck-mesh-out`. Its lock is a leaf.
#[derive(Default)]
pub(super) struct Givers(Mutex<Table>);

#[derive(Default)]
struct Table {
    givers: Vec<Giver>,
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
    Give(Piece),
    /// Says that all before this has been done.
    Flush(Sender<()>),
    Stop,
}

impl Givers {
    pub(super) fn give(&self, node: &Arc<Node>, piece: Piece) {
        let mut table = self.0.lock();
        if let Some(giver) = table.giver_for(node, &piece.from) {
            giver.left += 1;
            let _ = giver.orders.send(Order::Give(piece));
            return;
        }
        drop(table);
        // It is asked for again. This is a call of the engine.
        drop(piece);
    }

    /// Each says so when all that it has been given to do is done.
    pub(super) fn flush(&self, done: &Sender<()>) {
        for giver in &self.0.lock().givers {
            let _ = giver.orders.send(Order::Flush(done.clone()));
        }
    }

    /// Ends them; waits for it.
    pub(super) fn end(&self) {
        let givers = {
            let mut table = self.0.lock();
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
        std::mem::forget(std::mem::take(&mut self.0.get_mut().givers));
    }

    fn has_given(&self, number: usize) {
        if let Some(giver) = self.0.lock().givers.get_mut(number) {
            giver.left -= 1;
        }
    }
}

impl Table {
    /// `None` if there can be no thread.
    fn giver_for(&mut self, node: &Arc<Node>, to: &NodeId) -> Option<&mut Giver> {
        if self.is_over {
            return None;
        }
        let mut found = self.givers.iter().position(|giver| giver.left > 0 && giver.to == *to);
        found = found.or_else(|| self.givers.iter().position(|giver| giver.left == 0));
        if found.is_none() && self.givers.len() < GIVERS_MAX {
            found = self.make(node, to);
        }
        let shared = (to.instance as usize).checked_rem(self.givers.len());
        let giver = &mut self.givers[found.or(shared)?];
        if giver.left == 0 {
            giver.to = to.clone();
        }
        Some(giver)
    }

    /// `None` if there can be no more threads.
    fn make(&mut self, node: &Arc<Node>, to: &NodeId) -> Option<usize> {
        let number = self.givers.len();
        let (orders, taken) = mpsc::channel();
        let of = Arc::clone(node);
        let thread = make_thread("potluck-mesh-out", move || run(&of, number, &taken)).ok()?;
        self.givers.push(Giver { to: to.clone(), left: 0, orders, thread });
        Some(number)
    }
}

fn run(node: &Arc<Node>, number: usize, orders: &Receiver<Order>) {
    while let Ok(order) = orders.recv() {
        match order {
            Order::Stop => return,
            Order::Flush(done) => {
                // Whoever waits for it may have waited long enough.
                let _ = done.send(());
            }
            Order::Give(piece) => {
                if let Err(text) = caught(|| give(node, piece)) {
                    node.presence.counters(&node.me.name).note(&format!("a piece could not be given: {text}"));
                }
                node.givers.has_given(number);
            }
        }
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
