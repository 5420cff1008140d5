//! Tests: what a node that keeps to no rule can do to others. Its calls and its answers are refused, and all else goes on.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use zenoh::liveliness::LivelinessToken;

use super::Mesh;
use super::engine::{self, Engine, Rank, Reply};
use super::keys::{Keys, NodeId, Token};
use super::wire::{
    ASKED_BYTES_MAX, Answer, Body, Edition, Given, HEADER_BYTES_MAX, Held, Origin, OriginId, Query, What,
};
use super::wire::{decode, encode};
use crate::calling::Call;
use crate::error::{Error, Result};
use crate::peer::Peer;
use crate::sync::{Arc, AtomicU32, Mutex, Ordering};
use crate::system::{PeerSystem, SystemOptions};

const LONG: Duration = Duration::from_secs(20);

/// An engine of its own that calls itself a node, `eve`, with one peer, `eve`.
struct Eve {
    engine: Engine,
    keys: Keys,
    me: NodeId,
    /// Whom it speaks to.
    desk: NodeId,
    /// Header and body of her answer to whatever she is asked.
    answer: Arc<Mutex<(Vec<u8>, Bytes)>>,
    _tokens: [LivelinessToken; 2],
}

fn until(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !look() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// An address of this process that no other test listens on, with a port below those that the operating system gives out.
fn address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(10_000);
    let (id, port) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    format!("127.{}.{}.{}:{port}", 64 + (id >> 16 & 63), id >> 8 & 255, id & 255)
}

/// A system with a bob, and Eve, who see each other.
fn kitchen_and_eve(realm: &str) -> (PeerSystem, Peer, Eve) {
    let address = address();
    let options = SystemOptions::new().mesh(Mesh::new().node("desk").listen(&*address));
    let kitchen = PeerSystem::open_with(realm, options).expect("it opens");
    let bob = kitchen.spawn("bob").expect("a peer");
    let (keys, me) = (Keys::new(realm), NodeId::new("eve"));
    let engine = Engine::open(&Mesh::new().node("eve").connect(address), &keys, &me).expect("it opens");
    let (seen, sees) = mpsc::channel();
    let told = Mutex::new(seen);
    let [nodes, _] = keys.tokens();
    engine.watch_tokens(nodes, move |key, _| drop(told.lock().send(key.to_owned()))).expect("it watches");
    let desk = loop {
        let key = sees.recv_timeout(LONG).expect("the desk is there");
        if let Some(Token::Node(node)) = keys.token(&key) {
            break node;
        }
    };
    let answer = Arc::<Mutex<(Vec<u8>, Bytes)>>::default();
    let answers = Arc::clone(&answer);
    let serves = engine.serve(keys.queries(&me), move |query| {
        let (header, body) = answers.lock().clone();
        query.answer(&header, body);
    });
    serves.expect("it serves");
    let tokens =
        [keys.node_token(&me), keys.peer_token(&me, "eve")].map(|key| engine.declare_token(key).expect("a token"));
    kitchen.wait_for("eve@eve", LONG).expect("it is seen");
    let eve = Eve { engine, keys, me, desk, answer, _tokens: tokens };
    until("the way is open", || eve.ask(&encode(&Query::Wait { id: 0 }), Bytes::new()).is_some());
    (kitchen, bob, eve)
}

impl Eve {
    fn ask(&self, header: &[u8], body: Bytes) -> Option<Reply> {
        self.begin(header, body).recv_timeout(LONG).expect("it ends")
    }

    fn begin(&self, header: &[u8], body: Bytes) -> mpsc::Receiver<Option<Reply>> {
        let (told, answer) = mpsc::channel();
        let key = || self.keys.query(&self.desk, &self.me);
        let then = engine::whole(move |reply| drop(told.send(reply)));
        self.engine.query(&self.desk, key, (header.to_vec(), body), Rank::Small, LONG, then);
        answer
    }

    /// What becomes of a call of hers with bob.
    fn call(&self, id: u64, oldest: u64, what: What<'_>, body: Body) -> Result<()> {
        let query = Query::Call { id, oldest, from: "eve", to: "bob", left_ms: Some(10_000), what, body };
        outcome(self.ask(&encode(&query), Bytes::new()))
    }
}

fn outcome(reply: Option<Reply>) -> Result<()> {
    match decode(&reply.expect("an answer").header) {
        Some(Answer::Done(None)) => Ok(()),
        Some(Answer::Failed(fault)) => Err(fault.into_error("bob", "bob@desk")),
        other => panic!("{other:?}"),
    }
}

fn edition(version: u64) -> Edition<'static> {
    Edition { origin: Origin { peer: "eve", node: "eve", id: OriginId { instance: 7, number: 1 } }, version }
}

#[test]
fn calls_that_cannot_be_are_refused_and_change_nothing() {
    let (kitchen, bob, eve) = kitchen_and_eve("hostile-calls");
    for (id, size) in [(1, 0), (2, 1), (3, ASKED_BYTES_MAX as u64)] {
        let kept = Body::Kept { ticket: 1, size };
        for (id, what) in [
            (3 * id, What::Tell { kind: "note" }),
            (3 * id + 1, What::Offer { name: "soup", edition: edition(1) }),
            (3 * id + 2, What::Exchange { name: "soup", edition: edition(1), room: u64::MAX }),
        ] {
            let error = eve.call(id, 1, what, kept).unwrap_err();
            assert!(matches!(error, Error::InvalidArgument(_)), "{error}");
        }
    }
    let error = eve.call(20, 1, What::Offer { name: "soup", edition: edition(0) }, Body::Here).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument(_)), "{error}");
    // Nobody's header is so long, and no query but a call has a body.
    let kind = "x".repeat(HEADER_BYTES_MAX);
    let what = What::Tell { kind: &kind };
    let long = Query::Call { id: 30, oldest: 1, from: "eve", to: "bob", left_ms: None, what, body: Body::Here };
    let piece = Query::Piece { ticket: 1, offset: 0, len: 1 };
    for (query, body) in [(long, Bytes::new()), (piece, Bytes::from(vec![0; ASKED_BYTES_MAX + 1]))] {
        let refused = eve.ask(&encode(&query), body).expect("an answer");
        assert!(refused.header.is_empty() && refused.body.to_bytes().starts_with(b"this node cannot read"));
    }
    assert!(bob.resources().expect("it is open").is_empty());
    assert_eq!(bob.receive(Duration::ZERO).map(drop), Err(Error::TimedOut));
    drop(kitchen);
}

#[test]
fn an_attempt_that_comes_after_its_call_was_said_to_be_over_is_not_made() {
    let (kitchen, bob, eve) = kitchen_and_eve("hostile-late");
    assert_eq!(eve.call(10, 9, What::Tell { kind: "note" }, Body::Here), Ok(()));
    assert_eq!(eve.call(10, 9, What::Tell { kind: "note" }, Body::Here), Ok(()), "the same call");
    assert_eq!(eve.call(8, 8, What::Tell { kind: "late" }, Body::Here), Err(Error::Canceled));
    assert_eq!(bob.receive(LONG).expect("it was told").kind(), "note");
    assert_eq!(bob.receive(Duration::ZERO).map(drop), Err(Error::TimedOut));
    drop(kitchen);
}

#[test]
fn what_is_under_way_of_a_call_that_was_said_to_be_over_is_taken_back() {
    let (kitchen, bob, eve) = kitchen_and_eve("hostile-over");
    let (id, what) = (5, What::Ask { kind: "question" });
    let query = Query::Call { id, oldest: 5, from: "eve", to: "bob", left_ms: None, what, body: Body::Here };
    let asked = eve.begin(&encode(&query), Bytes::new());
    let desk = kitchen.core().find("bob").expect("it is open");
    until("it is there", || desk.mailbox.messages() == 1);
    assert_eq!(eve.call(6, 6, What::Tell { kind: "note" }, Body::Here), Ok(()));
    assert_eq!(outcome(asked.recv_timeout(LONG).expect("it ends")), Err(Error::Canceled));
    assert_eq!(bob.receive(LONG).expect("it was told").kind(), "note", "not the question");
    drop(kitchen);
}

#[test]
fn answers_that_cannot_be_are_errors_and_put_nothing_on_a_shelf() {
    let (kitchen, bob, eve) = kitchen_and_eve("hostile-answers");
    let mine = bob.share("soup", "leek").expect("it is open");
    let given = |version, body| encode(&Answer::Done(Some(Given { edition: edition(version), body, digest: None })));
    let (kept, small) = (Body::Kept { ticket: 1, size: 0 }, Body::Kept { ticket: 1, size: 5 });
    let internal = |result: Result<()>| assert!(matches!(result, Err(Error::Internal(_))), "{result:?}");
    for answer in [given(1, kept), given(1, small), given(0, Body::Here)] {
        *eve.answer.lock() = (answer, Bytes::new());
        internal(bob.request("eve", "soup", LONG).map(drop));
        internal(bob.exchange("eve", "soup", LONG).map(drop));
    }
    *eve.answer.lock() = (given(1, Body::Here), Bytes::new());
    internal(bob.offer("eve", "soup", LONG));
    internal(bob.tell("eve", "soup", "", LONG));
    assert!(bob.get("soup").expect("it is held").is_same(&mine));
    assert_eq!(bob.resources().expect("it is open").len(), 1);
    // What can be is taken.
    assert_eq!(bob.request("eve", "soup", LONG).expect("it is whole").version(), 1);
    drop(kitchen);
}

#[test]
fn a_fetch_that_is_given_up_before_anybody_has_answered_leaves_nothing() {
    let (kitchen, bob, eve) = kitchen_and_eve("hostile-fetch");
    let held = vec![Held { peer: "eve", edition: edition(1), size: 5 }];
    *eve.answer.lock() = (encode(&Answer::Holders), encode(&held).into());
    let core = Arc::downgrade(kitchen.core());
    for _ in 0..100 {
        drop(bob.start(Call::Fetch { name: "soup" }, LONG).expect("it is open"));
    }
    drop((kitchen, bob));
    until("all of the system is gone", || core.strong_count() == 0);
}
