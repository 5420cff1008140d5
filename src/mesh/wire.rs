//! What two nodes say to each other: the byte format, and nothing else.
//!
//! A query and its answer have a header, as the engine's attachment: one byte for the version of the format, then one value of the types
//! below, by postcard. A body, if there is one, is the payload beside it, as it is. Whatever bytes come in, they are a value or nothing.

use serde::{Deserialize, Serialize};

use super::engine::MESSAGE_BODY_MAX;
use crate::error::{Error, Result};
use crate::name;

/// Nodes of different formats do not understand each other, and say so.
const FORMAT: u8 = 3;

/// No query has a longer header: its names have 255 bytes at most.
pub(super) const HEADER_BYTES_MAX: usize = 4096;
/// The largest body that goes along with a query, in bytes: that of one message. A larger one is fetched in pieces by whoever gets it.
pub(super) const ASKED_BYTES_MAX: usize = MESSAGE_BODY_MAX;
/// The same with an answer, which may be several messages.
pub(super) const GIVEN_BYTES_MAX: usize = 256 << 10;
/// The bytes of a piece, but for the last one. Larger ones gain nothing, and make what is small wait longer.
pub(super) const PIECE_BYTES: u64 = 4 << 20;

/// What one node asks another.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Query<'a> {
    /// Makes a call of the peer `from` with the peer `to`. `id` rises with each call of a node to another; one that comes again is the same call.
    /// All below `oldest` are over. `left_ms`: until when it is to be done, if it has an end.
    Call { id: u64, oldest: u64, from: &'a str, to: &'a str, left_ms: Option<u64>, what: What<'a>, body: Body },
    /// Waits on for a call that was made before.
    Wait { id: u64 },
    /// Gives a call up; says what became of it.
    GiveUp { id: u64 },
    /// Who holds a resource?
    Holders { name: &'a str },
    /// A piece of a body.
    Piece { ticket: u64, offset: u64, len: u32 },
    /// The digest of a body.
    Digest { ticket: u64 },
    /// No more of a body is wanted.
    Release { ticket: u64 },
}

/// The call, with what it needs besides the two peers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum What<'a> {
    Request {
        name: &'a str,
    },
    RequestNewer {
        name: &'a str,
        #[serde(borrow)]
        than: Edition<'a>,
    },
    Offer {
        name: &'a str,
        edition: Edition<'a>,
    },
    /// What comes back may have so many bytes: the caller's shelf has no more room.
    Exchange {
        name: &'a str,
        edition: Edition<'a>,
        room: u64,
    },
    Tell {
        kind: &'a str,
    },
    Ask {
        kind: &'a str,
    },
}

/// Which of all the resources of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Edition<'a> {
    #[serde(borrow)]
    pub(super) origin: Origin<'a>,
    pub(super) version: u64,
}

/// The peer that made a resource: its name and its node's, and what tells it from all others that were called so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin<'a> {
    pub(super) peer: &'a str,
    pub(super) node: &'a str,
    pub(super) id: OriginId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct OriginId {
    pub(super) instance: u128,
    pub(super) number: u64,
}

/// Where a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Body {
    /// It came along.
    Here,
    /// Whoever sent this keeps it under that number.
    Kept { ticket: u64, size: u64 },
}

impl Body {
    /// How large it is, if so much came along.
    pub(super) fn size(self, along: usize) -> u64 {
        match self {
            Body::Here => along as u64,
            Body::Kept { size, .. } => size,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer<'a> {
    /// The call is done, and gave that.
    Done(#[serde(borrow)] Option<Given<'a>>),
    /// The call failed.
    Failed(Fault),
    /// It goes on.
    Pending,
    /// No such call, or no such body.
    Unknown,
    /// Too much is to be done here: later.
    Busy,
    /// The payload is a list of [`Held`], in the same way.
    Holders,
    /// The bytes are the payload.
    Piece,
    Digest([u8; 32]),
}

/// A resource that a call gave.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Given<'a> {
    #[serde(borrow)]
    pub(super) edition: Edition<'a>,
    pub(super) body: Body,
    /// Of a body that is kept, if it is known by now.
    pub(super) digest: Option<[u8; 32]>,
}

impl Edition<'_> {
    /// What lies on a shelf has a maker with a name and a version above 0, whoever says what.
    pub(super) fn check(&self) -> Result<()> {
        name::check_peer(self.origin.peer)?;
        name::check_peer(self.origin.node)?;
        match self.version {
            0 => Err(Error::InvalidArgument("a resource of version 0 lies on no shelf".to_owned())),
            _ => Ok(()),
        }
    }
}

/// A peer that holds a resource.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Held<'a> {
    pub(super) peer: &'a str,
    #[serde(borrow)]
    pub(super) edition: Edition<'a>,
    pub(super) size: u64,
}

/// The header's bytes.
pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    // Texts and numbers only: it does not fail, and what would come of it is refused.
    postcard::to_extend(value, vec![FORMAT]).unwrap_or_default()
}

/// What a header says; `None` if it is none.
pub(super) fn decode<'a, T: Deserialize<'a>>(header: &'a [u8]) -> Option<T> {
    let (format, value) = header.split_first()?;
    let (value, rest) = postcard::take_from_bytes(value).ok()?;
    (*format == FORMAT && rest.is_empty()).then_some(value)
}

/// An error on its way: its number in the table below, and what it carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fault {
    code: u8,
    texts: Vec<String>,
    numbers: [u64; 2],
}

impl Fault {
    pub(super) fn new(error: &Error) -> Fault {
        let (code, texts, numbers): (u8, Vec<&str>, [u64; 2]) = match error {
            Error::InvalidArgument(text) => (1, vec![text], [0; 2]),
            Error::InvalidHandle(text) => (2, vec![text], [0; 2]),
            Error::InvalidName { name, reason } => (3, vec![name, reason], [0; 2]),
            Error::NameTaken { peer } => (4, vec![peer], [0; 2]),
            Error::TooLarge { what, limit, size } => (5, vec![what], [*limit, *size]),
            Error::LimitReached(text) => (6, vec![text], [0; 2]),
            Error::Unsupported(text) => (7, vec![text], [0; 2]),
            Error::Forked => (8, vec![], [0; 2]),
            Error::AbiMismatch(text) => (9, vec![text], [0; 2]),
            Error::NoSuchPeer { peer } => (10, vec![peer], [0; 2]),
            Error::NoSuchResource { name, peer: None } => (11, vec![name], [0; 2]),
            Error::NoSuchResource { name, peer: Some(peer) } => (11, vec![name, peer], [0; 2]),
            Error::PeerClosed { peer } => (12, vec![peer], [0; 2]),
            Error::Closed { name } => (13, vec![name], [0; 2]),
            Error::TimedOut => (14, vec![], [0; 2]),
            Error::OutcomeUnknown { peer } => (15, vec![peer], [0; 2]),
            Error::Refused { peer, reason } => (16, vec![peer, reason], [0; 2]),
            Error::Full { peer } => (17, vec![peer], [0; 2]),
            Error::UnknownMessage { peer, kind } => (18, vec![peer, kind], [0; 2]),
            Error::HandlerFailed { peer, text } => (19, vec![peer, text], [0; 2]),
            Error::NoReply { peer } => (20, vec![peer], [0; 2]),
            Error::Deadlock { ring } => (21, ring.iter().map(String::as_str).collect(), [0; 2]),
            Error::VersionConflict { current } => (22, vec![], [*current, 0]),
            Error::Canceled => (23, vec![], [0; 2]),
            Error::Ambiguous { names } => (24, names.iter().map(String::as_str).collect(), [0; 2]),
            Error::Unreachable { peer } => (25, vec![peer], [0; 2]),
            Error::Denied { peer } => (26, vec![peer], [0; 2]),
            Error::Internal(text) => (27, vec![text], [0; 2]),
            Error::Panic(text) => (28, vec![text], [0; 2]),
        };
        Fault { code, texts: texts.into_iter().map(str::to_owned).collect(), numbers }
    }

    /// The error; in it the peer that is called `name` on its own node is called `address`.
    pub(super) fn into_error(self, name: &str, address: &str) -> Error {
        let Fault { code, texts, numbers: [first, second] } = self;
        let all: Vec<String> = texts;
        let mut texts = all.iter().cloned();
        let mut text = || texts.next().unwrap_or_default();
        let called = |peer: String| if peer == name { address.to_owned() } else { peer };
        match code {
            1 => Error::InvalidArgument(text()),
            2 => Error::InvalidHandle(text()),
            3 => Error::InvalidName { name: text(), reason: text() },
            4 => Error::NameTaken { peer: called(text()) },
            5 => Error::TooLarge { what: text(), limit: first, size: second },
            6 => Error::LimitReached(text()),
            7 => Error::Unsupported(text()),
            8 => Error::Forked,
            9 => Error::AbiMismatch(text()),
            10 => Error::NoSuchPeer { peer: called(text()) },
            11 => Error::NoSuchResource { name: text(), peer: (all.len() > 1).then(|| called(text())) },
            12 => Error::PeerClosed { peer: called(text()) },
            13 => Error::Closed { name: text() },
            14 => Error::TimedOut,
            15 => Error::OutcomeUnknown { peer: called(text()) },
            16 => Error::Refused { peer: called(text()), reason: text() },
            17 => Error::Full { peer: called(text()) },
            18 => Error::UnknownMessage { peer: called(text()), kind: text() },
            19 => Error::HandlerFailed { peer: called(text()), text: text() },
            20 => Error::NoReply { peer: called(text()) },
            21 => Error::Deadlock { ring: all },
            22 => Error::VersionConflict { current: first },
            23 => Error::Canceled,
            24 => Error::Ambiguous { names: all },
            25 => Error::Unreachable { peer: called(text()) },
            26 => Error::Denied { peer: called(text()) },
            28 => Error::Panic(text()),
            27 => Error::Internal(text()),
            other => {
                Error::Internal(format!("{address} answered with an error that this version does not know: {other}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(error: &Error) -> Error {
        let header = encode(&Answer::Failed(Fault::new(error)));
        match decode(&header) {
            Some(Answer::Failed(fault)) => fault.into_error("ada", "ada@laptop"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn errors_keep_their_names_and_what_they_carry() {
        let (text, many) = (String::from("text"), vec![String::from("a"), String::from("b")]);
        let peer = || String::from("bob");
        for error in [
            Error::InvalidArgument(text.clone()),
            Error::InvalidHandle(text.clone()),
            Error::InvalidName { name: text.clone(), reason: text.clone() },
            Error::NameTaken { peer: peer() },
            Error::TooLarge { what: text.clone(), limit: 1, size: 2 },
            Error::LimitReached(text.clone()),
            Error::Unsupported(text.clone()),
            Error::Forked,
            Error::AbiMismatch(text.clone()),
            Error::NoSuchPeer { peer: peer() },
            Error::NoSuchResource { name: text.clone(), peer: None },
            Error::NoSuchResource { name: text.clone(), peer: Some(peer()) },
            Error::PeerClosed { peer: peer() },
            Error::Closed { name: text.clone() },
            Error::TimedOut,
            Error::OutcomeUnknown { peer: peer() },
            Error::Refused { peer: peer(), reason: text.clone() },
            Error::Full { peer: peer() },
            Error::UnknownMessage { peer: peer(), kind: text.clone() },
            Error::HandlerFailed { peer: peer(), text: text.clone() },
            Error::NoReply { peer: peer() },
            Error::Deadlock { ring: many.clone() },
            Error::VersionConflict { current: 7 },
            Error::Canceled,
            Error::Ambiguous { names: many },
            Error::Unreachable { peer: peer() },
            Error::Denied { peer: peer() },
            Error::Internal(text.clone()),
            Error::Panic(text),
        ] {
            assert_eq!(round(&error), error);
        }
        let closed = Error::PeerClosed { peer: "ada".to_owned() };
        assert_eq!(round(&closed), Error::PeerClosed { peer: "ada@laptop".to_owned() });
    }

    #[test]
    fn a_query_comes_as_it_went() {
        let id = OriginId { instance: u128::MAX, number: 3 };
        let edition = Edition { origin: Origin { peer: "ada", node: "laptop", id }, version: 9 };
        let body = Body::Kept { ticket: 4, size: 1 << 40 };
        let what = What::Exchange { name: "soup", edition, room: 7 };
        let query = Query::Call { id: 1, oldest: 1, from: "bob", to: "ada", left_ms: None, what, body };
        let header = encode(&query);
        assert!(matches!(decode(&header), Some(Query::Call { from: "bob", to: "ada", left_ms: None,
            what: What::Exchange { name: "soup", edition: came, room: 7 }, body: Body::Kept { ticket: 4, .. }, .. }) if came == edition));
    }

    /// A header that is cut short is nothing; one with a bit changed, and noise, is a value or nothing.
    #[test]
    fn whatever_comes_is_a_value_or_nothing() {
        let id = OriginId { instance: 1, number: 2 };
        let edition = Edition { origin: Origin { peer: "ada", node: "laptop", id }, version: 9 };
        let holders = vec![Held { peer: "ada", edition, size: 5 }];
        let call = Query::Call {
            id: 1,
            oldest: 1,
            from: "bob",
            to: "ada",
            left_ms: Some(3),
            what: What::Offer { name: "soup", edition },
            body: Body::Here,
        };
        for header in [
            encode(&holders),
            encode(&call),
            encode(&Answer::Failed(Fault::new(&Error::Deadlock { ring: vec!["a".into()] }))),
        ] {
            for bit in 0..8 * header.len() {
                let mut changed = header.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let _ = decode::<Query<'_>>(&changed);
                let _ = (decode::<Answer<'_>>(&changed), decode::<Vec<Held<'_>>>(&changed));
            }
        }
        assert!((0..encode(&holders).len()).all(|end| decode::<Vec<Held<'_>>>(&encode(&holders)[..end]).is_none()));
        assert!((0..encode(&call).len()).all(|end| decode::<Query<'_>>(&encode(&call)[..end]).is_none()));
        let mut random = crate::random::SplitMix64::new(7);
        for _ in 0..200_000 {
            let len = random.below(60);
            let noise: Vec<u8> = [FORMAT].into_iter().chain((0..len).map(|_| random.next() as u8)).collect();
            let _ = decode::<Query<'_>>(&noise);
            let _ = (decode::<Answer<'_>>(&noise), decode::<Vec<Held<'_>>>(&noise));
        }
    }
}
