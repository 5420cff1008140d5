//! Large bodies on their way in: fetched piece by piece into their final place, by one thread of the node.
//!
//! A transfer has one source or several, each a node that keeps the same edition under a ticket. A few pieces are asked for at a time, of each source, and put
//! where they belong part by part as they come, so that besides the body hardly anything takes memory. A source that
//! fails is left; what it owes is asked of the others, from where it stopped, and if none is left, other holders of the edition are looked for, and the transfer goes
//! on where it was. At the end the digest that one of the sources says is compared with that of the bytes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use bytes::Bytes;
use zenoh::bytes::ZBytes;

use super::arriving::Arriving;
use super::digests::Digest;
use super::engine::{Part, Rank};
use super::keys::NodeId;
use super::node::Node;
use super::presence::Counters;
use super::wire::{self, Answer, PIECE_BYTES, Query};
use crate::error::{Error, Result};
use crate::sync::{Arc, Instant, Mutex, Ordering};
use crate::unwind::caught;

/// So many pieces are on their way from a source at a time.
const WINDOW: usize = 3;
/// From this size on a fetch takes pieces from several holders at once.
pub(super) const SHARED_BYTES: u64 = 16 << 20;
/// How long the answer to a query for a piece may take before it is asked for again: over a link that is slow, pieces take their time.
/// The engine holds some memory for each answer so long, also when that has come: 70 MB at 1 GB/s.
pub(super) const PIECE_TIMEOUT: Duration = Duration::from_secs(300);
/// A source from which nothing has come for so long, though something has been asked for, is left for another.
const STALLED: Duration = Duration::from_secs(10);
/// The digest of a large body takes its time.
const DIGEST_TIMEOUT: Duration = Duration::from_secs(60);
/// A source that fails more often in a row is left.
const FAILURES_MAX: u32 = 4;
/// The same for what has no answer worth waiting for.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the thread looks whether a transfer is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// A node that keeps the body.
pub(super) struct Source {
    pub(super) node: NodeId,
    pub(super) ticket: u64,
    pub(super) counters: Arc<Counters>,
}

/// A transfer to be made.
pub(super) struct Order {
    pub(super) size: u64,
    /// Else it is asked for.
    pub(super) digest: Option<Digest>,
    /// Whom it comes from, for errors.
    pub(super) from: Arc<str>,
    pub(super) source: Source,
    /// Whether more sources are looked for from the beginning.
    pub(super) is_shared: bool,
    /// Looks for more sources of the transfer of that number, and says when it has looked; `None` for what nobody else has.
    pub(super) look: Option<Box<dyn Fn(u64) + Send>>,
    pub(super) is_wanted: Box<dyn Fn() -> bool + Send>,
    /// When it is no longer wanted, whoever kept it goes on keeping it: it will be asked for once more.
    pub(super) is_asked_again: bool,
    /// So many bytes have come.
    pub(super) progress: Box<dyn Fn(u64) + Send>,
    pub(super) then: Box<dyn FnOnce(Result<Bytes>) + Send>,
}

pub(super) enum Event {
    Start(Box<Order>),
    /// The part of the piece that begins at `at` has come.
    Part {
        transfer: u64,
        source: u64,
        offset: u64,
        at: u64,
        bytes: ZBytes,
    },
    /// The answer to a query for a piece is over.
    Piece {
        transfer: u64,
        source: u64,
        offset: u64,
        answer: Answered,
    },
    /// `None`: no answer, `Some(None)`: the source has no such body.
    Digest {
        transfer: u64,
        source: u64,
        came: Option<Option<Digest>>,
    },
    Source {
        transfer: u64,
        source: Source,
    },
    Looked {
        transfer: u64,
    },
    NodeLeft(NodeId),
    /// To be told when nothing is on its way any more.
    Flush(Sender<()>),
    Stop,
}

/// What has come of a query for a piece.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    Nothing,
    Something,
    /// The source has no such body.
    NoSuchBody,
}

struct Transfer {
    number: u64,
    order: Order,
    sources: Vec<Fetching>,
    last_source: u64,
    body: Arriving,
    /// So many bytes have been told of.
    told: u64,
    /// All before this have been asked for.
    asked: u64,
    /// To be asked for again.
    again: VecDeque<u64>,
    on_the_way: BTreeMap<u64, u64>,
    is_looking: bool,
    /// The source that was asked for the digest.
    asked_digest: Option<u64>,
}

struct Fetching {
    id: u64,
    of: Source,
    on_the_way: usize,
    failures: u32,
    /// When something came from it last, or it was asked with nothing on its way.
    heard_at: Instant,
}

/// What is to become of a transfer.
enum Outlook {
    GoesOn,
    Ends(Result<()>),
}

/// All that the thread does.
pub(super) fn run(node: &Arc<Node>, events: &Receiver<Event>) {
    let mut transfers: HashMap<u64, Transfer> = HashMap::new();
    let mut last = 0;
    let mut flushes: Vec<Sender<()>> = Vec::new();
    loop {
        let event = match transfers.is_empty() {
            true => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => events.recv_timeout(LOOK),
        };
        let step =
            |transfers: &mut HashMap<u64, Transfer>, number: u64, change: &mut dyn FnMut(&mut Transfer) -> Outlook| {
                let Some(transfer) = transfers.get_mut(&number) else { return };
                let turn = match change(transfer) {
                    Outlook::GoesOn => transfer.go_on(node),
                    ends => ends,
                };
                if let Outlook::Ends(result) = turn
                    && let Some(transfer) = transfers.remove(&number)
                {
                    transfer.end(node, result);
                }
            };
        if let Ok(Event::Piece { .. } | Event::Digest { .. }) = event {
            node.pieces_asked.fetch_sub(1, Ordering::Relaxed);
        }
        match event {
            Ok(Event::Start(order)) => {
                last += 1;
                if let Some(transfer) = Transfer::new(last, *order) {
                    transfers.insert(last, transfer);
                    step(&mut transfers, last, &mut |_| Outlook::GoesOn);
                }
            }
            Ok(Event::Part { transfer, source, offset, at, bytes }) => {
                if let Some(transfer) = transfers.get_mut(&transfer) {
                    transfer.put(source, offset, at, &bytes);
                }
            }
            Ok(Event::Piece { transfer, source, offset, answer }) => {
                step(&mut transfers, transfer, &mut |transfer| {
                    transfer.take(node, source, offset, answer);
                    Outlook::GoesOn
                });
            }
            Ok(Event::Digest { transfer, source, came }) => {
                step(&mut transfers, transfer, &mut |transfer| transfer.compare(node, source, came));
            }
            Ok(Event::Source { transfer, source }) => {
                let mut source = Some(source);
                step(&mut transfers, transfer, &mut |transfer| {
                    transfer.sources_add(source.take());
                    Outlook::GoesOn
                });
                if let Some(unused) = source {
                    release(node, &unused.node, unused.ticket);
                }
            }
            Ok(Event::Looked { transfer }) => step(&mut transfers, transfer, &mut |transfer| {
                transfer.is_looking = false;
                match transfer.sources.is_empty() {
                    true => Outlook::Ends(Err(Error::PeerClosed { peer: transfer.order.from.to_string() })),
                    false => Outlook::GoesOn,
                }
            }),
            Ok(Event::NodeLeft(left)) => {
                let numbers: Vec<u64> = transfers.keys().copied().collect();
                for number in numbers {
                    step(&mut transfers, number, &mut |transfer| {
                        let of_it: Vec<u64> = transfer
                            .sources
                            .iter()
                            .filter(|source| source.of.node == left)
                            .map(|source| source.id)
                            .collect();
                        of_it.into_iter().for_each(|source| transfer.leave(source));
                        Outlook::GoesOn
                    });
                }
            }
            Ok(Event::Flush(done)) => flushes.push(done),
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => break,
        }
        let now = Instant::now();
        let stalled: Vec<u64> = transfers
            .iter_mut()
            .filter_map(|(number, transfer)| transfer.leave_stalled(now).then_some(*number))
            .collect();
        for number in stalled {
            step(&mut transfers, number, &mut |_| Outlook::GoesOn);
        }
        let unwanted: Vec<u64> =
            transfers.iter().filter(|(_, transfer)| !(transfer.order.is_wanted)()).map(|(number, _)| *number).collect();
        for transfer in unwanted.into_iter().filter_map(|number| transfers.remove(&number)) {
            transfer.end(node, Err(Error::Canceled));
        }
        if node.pieces_asked.load(Ordering::Relaxed) == 0 {
            flushes.drain(..).for_each(|done| _ = done.send(()));
        }
    }
    for (_, transfer) in transfers {
        transfer.end(node, Err(Error::Canceled));
    }
}

impl Transfer {
    /// Without memory for it, it is over at once.
    fn new(number: u64, mut order: Order) -> Option<Transfer> {
        let size = order.size;
        let Some(body) = Arriving::new(size) else {
            (order.then)(Err(Error::LimitReached(format!("memory for a body of {size} bytes"))));
            return None;
        };
        let is_looking = order.is_shared && order.look.is_some();
        if let (true, Some(look)) = (is_looking, &mut order.look) {
            look(number);
        }
        let source =
            Source { counters: Arc::clone(&order.source.counters), node: order.source.node.clone(), ..order.source };
        let mut transfer = Transfer {
            number,
            order,
            sources: Vec::new(),
            last_source: 0,
            body,
            told: 0,
            asked: 0,
            again: VecDeque::new(),
            on_the_way: BTreeMap::new(),
            is_looking,
            asked_digest: None,
        };
        transfer.sources_add(Some(source));
        Some(transfer)
    }

    fn sources_add(&mut self, source: Option<Source>) {
        if let Some(of) = source {
            self.last_source += 1;
            let id = self.last_source;
            self.sources.push(Fetching { id, of, on_the_way: 0, failures: 0, heard_at: Instant::now() });
        }
    }

    /// Asks for what there is room for.
    fn go_on(&mut self, node: &Arc<Node>) -> Outlook {
        if self.sources.is_empty() {
            return match &self.order.look {
                _ if self.is_looking => Outlook::GoesOn,
                Some(look) => {
                    self.is_looking = true;
                    look(self.number);
                    Outlook::GoesOn
                }
                None => Outlook::Ends(Err(Error::PeerClosed { peer: self.order.from.to_string() })),
            };
        }
        if self.body.is_whole() {
            if let Some(digest) = self.order.digest {
                return self.end_with(digest);
            }
            if self.asked_digest.is_none() {
                self.ask_digest(node);
            }
            return Outlook::GoesOn;
        }
        while let Some(index) = self.idlest() {
            let Some(offset) = self.next() else { break };
            let source = &mut self.sources[index];
            if source.on_the_way == 0 {
                source.heard_at = Instant::now();
            }
            source.on_the_way += 1;
            self.on_the_way.insert(offset, source.id);
            self.ask(node, index, offset);
        }
        Outlook::GoesOn
    }

    fn idlest(&self) -> Option<usize> {
        let free = self.sources.iter().enumerate().filter(|(_, source)| source.on_the_way < WINDOW);
        free.min_by_key(|(_, source)| source.on_the_way).map(|(index, _)| index)
    }

    /// The next piece to ask for.
    fn next(&mut self) -> Option<u64> {
        if let Some(offset) = self.again.pop_front() {
            return Some(offset);
        }
        let offset = self.asked;
        self.asked = (offset + PIECE_BYTES).min(self.order.size);
        (offset < self.order.size).then_some(offset)
    }

    /// Asks a source for what has not come of a piece.
    fn ask(&self, node: &Arc<Node>, index: usize, offset: u64) {
        let source = &self.sources[index];
        let from = self.body.come(offset);
        let len = (self.body.piece_end(offset) - from) as u32;
        let query = Query::Piece { ticket: source.of.ticket, offset: from, len };
        let (transfer, id, to) = (self.number, source.id, Arc::clone(node));
        let state = Mutex::new((from, Answered::Nothing));
        node.pieces_asked.fetch_add(1, Ordering::Relaxed);
        node.query_parts(&source.of.node, &query, Bytes::new(), Rank::Bulk, PIECE_TIMEOUT, move |part| {
            let (at, answer) = &mut *state.lock();
            let bytes = match part {
                Some(Part::First { header, body, .. }) if matches!(wire::decode(&header), Some(Answer::Piece)) => body,
                Some(Part::More(body)) if *answer == Answered::Something => body,
                Some(_) => return *answer = Answered::NoSuchBody,
                None => return to.tell_transfers(Event::Piece { transfer, source: id, offset, answer: *answer }),
            };
            let len = bytes.len() as u64;
            to.tell_transfers(Event::Part { transfer, source: id, offset, at: *at, bytes });
            (*at, *answer) = (*at + len, Answered::Something);
        });
    }

    fn put(&mut self, source: u64, offset: u64, at: u64, bytes: &ZBytes) {
        if let Some(source) = self.sources.iter_mut().find(|other| other.id == source) {
            source.heard_at = Instant::now();
            Counters::count(&source.of.counters.bytes_in, bytes.len() as u64);
        }
        self.body.put(offset, at, bytes);
    }

    /// The answer to a query for a piece is over.
    fn take(&mut self, node: &Arc<Node>, source: u64, offset: u64, answer: Answered) {
        let was_awaited = self.on_the_way.get(&offset) == Some(&source);
        if was_awaited {
            self.on_the_way.remove(&offset);
        }
        let is_whole = self.body.has(offset);
        if is_whole {
            self.again.retain(|other| *other != offset);
            let come = self.body.bytes_come();
            if come > std::mem::replace(&mut self.told, come) {
                (self.order.progress)(come);
            }
        }
        let Some(found) = self.sources.iter_mut().find(|other| other.id == source) else { return };
        if was_awaited {
            found.on_the_way -= 1;
        }
        if answer == Answered::Something {
            found.failures = 0;
        }
        if was_awaited && !is_whole {
            found.failures += 1;
            found.of.counters.retries.fetch_add(1, Ordering::Relaxed);
            let is_over =
                answer == Answered::NoSuchBody || found.failures > FAILURES_MAX || !node.is_there(&found.of.node);
            self.ask_again([offset]);
            if is_over {
                self.leave(source);
            }
        }
    }

    /// Leaves the sources from which nothing comes, true if there are any. The only one is not left, but others are looked for.
    fn leave_stalled(&mut self, now: Instant) -> bool {
        let is_stalled = |source: &&Fetching| source.on_the_way > 0 && now - source.heard_at > STALLED;
        let stalled: Vec<u64> = self.sources.iter().filter(is_stalled).map(|source| source.id).collect();
        let mut has_left = false;
        for source in stalled {
            match (self.sources.as_mut_slice(), &self.order.look) {
                ([only], Some(look)) if !self.is_looking => {
                    only.heard_at = now;
                    self.is_looking = true;
                    look(self.number);
                }
                ([_], _) => {}
                _ => {
                    self.leave(source);
                    has_left = true;
                }
            }
        }
        has_left
    }

    /// Of these pieces, those that have not come meanwhile.
    fn ask_again(&mut self, offsets: impl IntoIterator<Item = u64>) {
        self.again.extend(offsets.into_iter().filter(|offset| !self.body.has(*offset)));
    }

    /// Goes on without a source.
    fn leave(&mut self, source: u64) {
        let Some(index) = self.sources.iter().position(|other| other.id == source) else { return };
        let left = self.sources.remove(index);
        left.of.counters.failovers.fetch_add(1, Ordering::Relaxed);
        let owed: Vec<u64> = self.on_the_way.extract_if(.., |_, by| *by == source).map(|(offset, _)| offset).collect();
        self.ask_again(owed);
        self.again.make_contiguous().sort_unstable();
        if self.asked_digest == Some(source) {
            self.asked_digest = None;
        }
    }

    fn ask_digest(&mut self, node: &Arc<Node>) {
        let (transfer, source, ticket) = (self.number, self.sources[0].id, self.sources[0].of.ticket);
        self.asked_digest = Some(source);
        let (of, to) = (&self.sources[0].of.node, Arc::clone(node));
        node.pieces_asked.fetch_add(1, Ordering::Relaxed);
        node.query(of, &Query::Digest { ticket }, Bytes::new(), Rank::Bulk, DIGEST_TIMEOUT, move |reply| {
            let came = reply.map(|reply| match wire::decode(&reply.header) {
                Some(Answer::Digest(digest)) => Some(digest),
                _ => None,
            });
            to.tell_transfers(Event::Digest { transfer, source, came });
        });
    }

    fn compare(&mut self, node: &Arc<Node>, source: u64, came: Option<Option<Digest>>) -> Outlook {
        if self.asked_digest != Some(source) {
            return Outlook::GoesOn;
        }
        match came {
            Some(Some(digest)) => self.end_with(digest),
            came => {
                self.asked_digest = None;
                let failed = self.sources.iter_mut().find(|other| other.id == source);
                let is_over = failed.is_none_or(|failed| {
                    failed.failures += 1;
                    matches!(came, Some(None)) || failed.failures > FAILURES_MAX || !node.is_there(&failed.of.node)
                });
                if is_over {
                    self.leave(source);
                }
                Outlook::GoesOn
            }
        }
    }

    /// All bytes have come.
    fn end_with(&mut self, digest: Digest) -> Outlook {
        Outlook::Ends(match self.body.digest() == Some(digest) {
            true => Ok(()),
            false => {
                let from = &self.order.from;
                let text = format!("the bytes that came from {from:?} do not have the digest that it says");
                Err(Error::Internal(text))
            }
        })
    }

    fn end(self, node: &Arc<Node>, result: Result<()>) {
        if !(self.order.is_asked_again && result == Err(Error::Canceled)) {
            self.sources.iter().for_each(|source| release(node, &source.of.node, source.of.ticket));
        }
        let body = self.body.into_bytes();
        // What comes now ends a call, which must not end the thread. What is left of the order may have the last references to that.
        let Order { then, is_wanted, progress, look, .. } = self.order;
        let _ = caught(|| then(result.map(|()| body)));
        node.drop_later((is_wanted, progress, look));
    }
}

/// Tells a node that nobody wants more of what it keeps.
pub(super) fn release(node: &Node, of: &NodeId, ticket: u64) {
    // Before all that is large: whoever reads from the link ends it, and is not to wait for room behind that.
    node.query(of, &Query::Release { ticket }, Bytes::new(), Rank::Small, RELEASE_TIMEOUT, drop);
}
