//! The results that are no success: one variant for each name of the contract, with what it carries.
//!
//! This file knows no other of the crate. The text is one line and names the peer that it is about; the C ABI
//! and Python show the same text.

use std::fmt;

/// The result of every call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call did not do what it was asked for.
///
/// Each variant is one outcome, never used for another. Grouped as in C: the caller's fault, the world's, the library's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// An argument that cannot be used; says which and why.
    InvalidArgument(String),
    /// A C id that is stale, of another kind, of another copy of the library, or was never issued.
    InvalidHandle(String),
    /// A name that breaks the rules for names.
    InvalidName {
        /// The name as it was given.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A peer of this name is already there.
    NameTaken {
        /// The name.
        peer: String,
    },
    /// Larger than a whole limit: it can never fit.
    TooLarge {
        /// What has the limit.
        what: String,
        /// The limit, in bytes.
        limit: u64,
        /// The size asked for, in bytes.
        size: u64,
    },
    /// A limit of the system or of the operating system is reached; names it.
    LimitReached(String),
    /// This build or platform cannot do it; says what.
    Unsupported(String),
    /// The process is a child made by fork, in which no peer runs.
    Forked,
    /// The header that the caller was compiled with is of another ABI.
    AbiMismatch(String),

    /// Nobody had this name when the call began.
    NoSuchPeer {
        /// The name.
        peer: String,
    },
    /// The peer holds no resource of this name; without a peer, nobody else does.
    NoSuchResource {
        /// The resource.
        name: String,
        /// Who does not hold it.
        peer: Option<String>,
    },
    /// The other peer was there and closed before the end of the call. In a mesh also: its node is gone, and what the call was to change
    /// there may have been changed before.
    PeerClosed {
        /// The other peer.
        peer: String,
    },
    /// The peer or the system that one acts as is closed.
    Closed {
        /// Its name; empty where only an id of it is left.
        name: String,
    },
    /// The deadline passed: it did not happen and will not.
    TimedOut,
    /// The deadline passed after the other peer's handler had begun, or without an answer from its node: it may have happened.
    OutcomeUnknown {
        /// The peer that was asked.
        peer: String,
    },
    /// The other peer's handler said no.
    Refused {
        /// Who refused.
        peer: String,
        /// Its reason.
        reason: String,
    },
    /// No room in the other peer's mailbox, at timeout 0 or until the deadline.
    Full {
        /// Whose mailbox.
        peer: String,
    },
    /// The other peer does not know this kind of message.
    UnknownMessage {
        /// The peer that was asked.
        peer: String,
        /// The kind of the message.
        kind: String,
    },
    /// The other peer's handler panicked, raised or returned an error.
    HandlerFailed {
        /// Whose handler.
        peer: String,
        /// What it said.
        text: String,
    },
    /// The message was handled, or dropped, without an answer.
    NoReply {
        /// The peer that was asked.
        peer: String,
    },
    /// Waiting would close a ring of handlers that wait for one another; nothing was done.
    Deadlock {
        /// The names on the ring, the caller's peer first.
        ring: Vec<String>,
    },
    /// Another resource is held than the one expected.
    VersionConflict {
        /// The version held now; 0 is none.
        current: u64,
    },
    /// The call was given up by whoever made it; of a reply: there is nobody to answer.
    Canceled,
    /// The name fits several peers.
    Ambiguous {
        /// The exact names.
        names: Vec<String>,
    },
    /// The peer's node cannot be reached.
    Unreachable {
        /// The peer.
        peer: String,
    },
    /// The peer's node cannot read the call, or answers none: it has another version of the library, perhaps.
    Denied {
        /// The peer.
        peer: String,
    },

    /// A broken promise inside the library.
    Internal(String),
    /// A panic that was caught at the C boundary.
    Panic(String),
}

/// Of a name that is wrong, which may be anything and of any length.
const NAME_CHARS_SHOWN: usize = 80;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidArgument(what) => write!(f, "invalid argument: {what}"),
            Error::InvalidHandle(what) => write!(f, "invalid handle: {what}"),
            Error::InvalidName { name, reason } => match name.char_indices().nth(NAME_CHARS_SHOWN) {
                None => write!(f, "invalid name {name:?}: {reason}"),
                Some((end, _)) => write!(f, "invalid name {:?}... of {} bytes: {reason}", &name[..end], name.len()),
            },
            Error::NameTaken { peer } => write!(f, "the name {peer:?} is taken"),
            Error::TooLarge { what, limit, size } => {
                write!(f, "{size} bytes are more than the limit of {limit} bytes for {what}")
            }
            Error::LimitReached(limit) => write!(f, "limit reached: {limit}"),
            Error::Unsupported(what) => write!(f, "unsupported: {what}"),
            Error::Forked => f.write_str("this process was forked; its peers are in the parent"),
            Error::AbiMismatch(what) => write!(f, "abi mismatch: {what}"),
            Error::NoSuchPeer { peer } => write!(f, "no peer {peer:?}"),
            Error::NoSuchResource { name, peer: Some(peer) } => write!(f, "peer {peer:?} holds no resource {name:?}"),
            Error::NoSuchResource { name, peer: None } => write!(f, "there is nobody to get {name:?} from"),
            Error::PeerClosed { peer } => write!(f, "peer {peer:?} closed before the end of the call"),
            Error::Closed { name } if name.is_empty() => f.write_str("it is closed"),
            Error::Closed { name } => write!(f, "{name:?} is closed"),
            Error::TimedOut => f.write_str("timed out; nothing was done"),
            Error::OutcomeUnknown { peer } => {
                write!(f, "no answer from {peer:?} in time; it may have been done")
            }
            Error::Refused { peer, reason } => write!(f, "{peer:?} refused: {reason}"),
            Error::Full { peer } => write!(f, "the mailbox of {peer:?} is full"),
            Error::UnknownMessage { peer, kind } => write!(f, "{peer:?} does not know messages of kind {kind:?}"),
            Error::HandlerFailed { peer, text } => write!(f, "a handler of {peer:?} failed: {text}"),
            Error::NoReply { peer } => write!(f, "{peer:?} gave no answer"),
            Error::Deadlock { ring } => write!(f, "deadlock: {}", ring.join(" -> ")),
            Error::VersionConflict { current: 0 } => f.write_str("version conflict: nothing is held"),
            Error::VersionConflict { current } => write!(f, "version conflict: version {current} is held"),
            Error::Canceled => f.write_str("canceled: who made the call has given it up"),
            Error::Ambiguous { names } => write!(f, "ambiguous: {}", names.join(", ")),
            Error::Unreachable { peer } => write!(f, "{peer:?} is unreachable"),
            Error::Denied { peer } => write!(f, "the node of {peer:?} does not take this call"),
            Error::Internal(what) => write!(f, "internal: {what}"),
            Error::Panic(what) => write!(f, "panic: {what}"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_one_line_and_names_the_peer() {
        let error = Error::NoSuchResource { name: "soup".into(), peer: Some("ada".into()) };
        assert_eq!(error.to_string(), "peer \"ada\" holds no resource \"soup\"");
        let error = Error::Deadlock { ring: vec!["ada".into(), "bob".into(), "ada".into()] };
        assert_eq!(error.to_string(), "deadlock: ada -> bob -> ada");
        let error = Error::InvalidName { name: "a\nb".into(), reason: "it has a control character".into() };
        assert_eq!(error.to_string(), "invalid name \"a\\nb\": it has a control character");
        let error = Error::InvalidName { name: "ä".repeat(1_000_000), reason: "it is too long".into() };
        let text = format!("invalid name \"{}\"... of 2000000 bytes: it is too long", "ä".repeat(80));
        assert_eq!(error.to_string(), text);
    }
}
