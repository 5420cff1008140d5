//! Events: what a system reports. Values; they carry names, versions, sizes and reasons, never a body.

use crate::error::Error;
use crate::sync::Arc;

/// Something that happened in a system.
///
/// `joined` is the first and `left` the last of a peer's own events. The events of one call come before it returns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A peer is there now, or was there when the reader began.
    Joined {
        /// Who.
        peer: Arc<str>,
    },
    /// A peer is gone.
    Left {
        /// Who.
        peer: Arc<str>,
    },
    /// A peer gave a resource to another that requested it.
    Requested {
        /// Who holds it.
        peer: Arc<str>,
        /// Who requested it.
        by: Arc<str>,
        /// The resource.
        name: Arc<str>,
        /// Its version.
        version: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// A resource came onto a peer's shelf from another peer's.
    Received {
        /// Who holds it now.
        peer: Arc<str>,
        /// Who held it.
        from: Arc<str>,
        /// The resource.
        name: Arc<str>,
        /// Its version.
        version: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// A peer's on_message does not know this kind of message.
    UnknownMessage {
        /// Who got it.
        peer: Arc<str>,
        /// Who sent it.
        from: Arc<str>,
        /// Its kind.
        kind: Arc<str>,
        /// The size of its body in bytes.
        size: u64,
    },
    /// An accepted message that no handler will see.
    DeadLetter {
        /// Who should have got it.
        to: Arc<str>,
        /// Who sent it.
        from: Arc<str>,
        /// Its kind.
        kind: Arc<str>,
        /// The size of its body in bytes.
        size: u64,
        /// Why.
        reason: Error,
    },
    /// A handler panicked, raised or returned an error; its peer goes on.
    HandlerFailed {
        /// Whose handler.
        peer: Arc<str>,
        /// Whose message, request or offer it handled; the peer itself at its stop.
        from: Arc<str>,
        /// What it said.
        text: String,
    },
    /// A large resource is on its way from another node.
    Progress {
        /// Who gets it.
        peer: Arc<str>,
        /// Who gives it.
        from: Arc<str>,
        /// The resource.
        name: Arc<str>,
        /// Its version.
        version: u64,
        /// How many of its bytes have come so far.
        done: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// The reader fell behind here.
    Missed {
        /// How many events it missed.
        count: u64,
    },
}
