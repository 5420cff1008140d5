//! Statuses: the numbers of the results, which are never reused.

use crate::Error;

/// The result of every call. 0 is OK, 1 to 9 are outcomes that are no failures, from 10 on it failed.
pub type potluck_status_t = i32;

/// Done.
pub const POTLUCK_OK: i32 = 0;
/// The other peer holds nothing newer; nothing was handed over.
pub const POTLUCK_NOT_NEWER: i32 = 1;
/// Close or shutdown from a handler: it takes effect when the handler returns.
pub const POTLUCK_DEFERRED: i32 = 2;
/// From on_message: the message is kept, to be answered and released later. Of a call that was started: it is not done yet.
pub const POTLUCK_PENDING: i32 = 3;
/// Close or shutdown: the deadline passed, the end goes on by itself; call again to go on waiting.
pub const POTLUCK_STILL_RUNNING: i32 = 4;

/// An argument that cannot be used.
pub const POTLUCK_E_INVALID_ARGUMENT: i32 = 10;
/// An id that was released, is of another kind or another copy of the library, or was never issued.
pub const POTLUCK_E_INVALID_HANDLE: i32 = 11;
/// A name that breaks the rules for names.
pub const POTLUCK_E_INVALID_NAME: i32 = 12;
/// A peer of this name is already there.
pub const POTLUCK_E_NAME_TAKEN: i32 = 13;
/// Larger than a whole limit: it can never fit.
pub const POTLUCK_E_TOO_LARGE: i32 = 14;
/// A limit of the system or of the operating system is reached.
pub const POTLUCK_E_LIMIT_REACHED: i32 = 15;
/// This build of the library cannot do it; or an options struct has something set that this version does not know.
pub const POTLUCK_E_UNSUPPORTED: i32 = 16;
/// The process is a child made by fork.
pub const POTLUCK_E_FORKED: i32 = 17;
/// The header that the caller was compiled with is of another ABI.
pub const POTLUCK_E_ABI_MISMATCH: i32 = 18;

/// Nobody had this name when the call began.
pub const POTLUCK_E_NO_SUCH_PEER: i32 = 30;
/// The peer holds no resource of this name; of fetch and mingle: nobody else does.
pub const POTLUCK_E_NO_SUCH_RESOURCE: i32 = 31;
/// The other peer was there and closed before the end of the call. In a mesh also: its node is gone, and what the call was to change there
/// may have been changed before.
pub const POTLUCK_E_PEER_CLOSED: i32 = 32;
/// The peer, system or reader that one acts as is closed.
pub const POTLUCK_E_CLOSED: i32 = 33;
/// The deadline passed: it did not happen and will not.
pub const POTLUCK_E_TIMED_OUT: i32 = 34;
/// The deadline passed after the other peer's handler had begun, or without an answer from its node: it may have happened.
pub const POTLUCK_E_OUTCOME_UNKNOWN: i32 = 35;
/// The other peer's handler said no.
pub const POTLUCK_E_REFUSED: i32 = 36;
/// No room in the other peer's mailbox.
pub const POTLUCK_E_FULL: i32 = 37;
/// The other peer does not know this kind of message.
pub const POTLUCK_E_UNKNOWN_MESSAGE: i32 = 38;
/// The other peer's handler failed.
pub const POTLUCK_E_HANDLER_FAILED: i32 = 39;
/// Waiting would close a ring of handlers that wait for one another; nothing was done.
pub const POTLUCK_E_DEADLOCK: i32 = 40;
/// Another resource is held than the one expected.
pub const POTLUCK_E_VERSION_CONFLICT: i32 = 41;
/// In a mesh: the peer's node cannot be reached.
pub const POTLUCK_E_UNREACHABLE: i32 = 42;
/// In a mesh: the peer's node cannot read the call, or answers none: it has another version of the library, perhaps.
pub const POTLUCK_E_DENIED: i32 = 43;
/// In a mesh: peers of several other nodes have this name; the text names them.
pub const POTLUCK_E_AMBIGUOUS: i32 = 44;
/// The call was given up by whoever made it; of a reply: there is nobody to answer.
pub const POTLUCK_E_CANCELED: i32 = 45;
/// The message was handled, or dropped, without an answer.
pub const POTLUCK_E_NO_REPLY: i32 = 46;

/// A broken promise inside the library.
pub const POTLUCK_E_INTERNAL: i32 = 90;
/// A panic inside the library, caught at its boundary.
pub const POTLUCK_E_PANIC: i32 = 91;

/// The status of an error.
pub(super) fn status_of(error: &Error) -> potluck_status_t {
    match error {
        Error::InvalidArgument(_) => POTLUCK_E_INVALID_ARGUMENT,
        Error::InvalidHandle(_) => POTLUCK_E_INVALID_HANDLE,
        Error::InvalidName { .. } => POTLUCK_E_INVALID_NAME,
        Error::NameTaken { .. } => POTLUCK_E_NAME_TAKEN,
        Error::TooLarge { .. } => POTLUCK_E_TOO_LARGE,
        Error::LimitReached(_) => POTLUCK_E_LIMIT_REACHED,
        Error::Unsupported(_) => POTLUCK_E_UNSUPPORTED,
        Error::Forked => POTLUCK_E_FORKED,
        Error::AbiMismatch(_) => POTLUCK_E_ABI_MISMATCH,
        Error::NoSuchPeer { .. } => POTLUCK_E_NO_SUCH_PEER,
        Error::NoSuchResource { .. } => POTLUCK_E_NO_SUCH_RESOURCE,
        Error::PeerClosed { .. } => POTLUCK_E_PEER_CLOSED,
        Error::Closed { .. } => POTLUCK_E_CLOSED,
        Error::TimedOut => POTLUCK_E_TIMED_OUT,
        Error::OutcomeUnknown { .. } => POTLUCK_E_OUTCOME_UNKNOWN,
        Error::Refused { .. } => POTLUCK_E_REFUSED,
        Error::Full { .. } => POTLUCK_E_FULL,
        Error::UnknownMessage { .. } => POTLUCK_E_UNKNOWN_MESSAGE,
        Error::HandlerFailed { .. } => POTLUCK_E_HANDLER_FAILED,
        Error::Deadlock { .. } => POTLUCK_E_DEADLOCK,
        Error::VersionConflict { .. } => POTLUCK_E_VERSION_CONFLICT,
        Error::Unreachable { .. } => POTLUCK_E_UNREACHABLE,
        Error::Denied { .. } => POTLUCK_E_DENIED,
        Error::Ambiguous { .. } => POTLUCK_E_AMBIGUOUS,
        Error::Canceled => POTLUCK_E_CANCELED,
        Error::NoReply { .. } => POTLUCK_E_NO_REPLY,
        Error::Internal(_) => POTLUCK_E_INTERNAL,
        Error::Panic(_) => POTLUCK_E_PANIC,
    }
}

/// The name of each status, for `potluck_status_str`.
pub(super) const NAMES: &[(potluck_status_t, &std::ffi::CStr)] = &[
    (POTLUCK_OK, c"ok"),
    (POTLUCK_NOT_NEWER, c"not newer"),
    (POTLUCK_DEFERRED, c"deferred"),
    (POTLUCK_PENDING, c"pending"),
    (POTLUCK_STILL_RUNNING, c"still running"),
    (POTLUCK_E_INVALID_ARGUMENT, c"invalid argument"),
    (POTLUCK_E_INVALID_HANDLE, c"invalid handle"),
    (POTLUCK_E_INVALID_NAME, c"invalid name"),
    (POTLUCK_E_NAME_TAKEN, c"name taken"),
    (POTLUCK_E_TOO_LARGE, c"too large"),
    (POTLUCK_E_LIMIT_REACHED, c"limit reached"),
    (POTLUCK_E_UNSUPPORTED, c"unsupported"),
    (POTLUCK_E_FORKED, c"forked"),
    (POTLUCK_E_ABI_MISMATCH, c"abi mismatch"),
    (POTLUCK_E_NO_SUCH_PEER, c"no such peer"),
    (POTLUCK_E_NO_SUCH_RESOURCE, c"no such resource"),
    (POTLUCK_E_PEER_CLOSED, c"peer closed"),
    (POTLUCK_E_CLOSED, c"closed"),
    (POTLUCK_E_TIMED_OUT, c"timed out"),
    (POTLUCK_E_OUTCOME_UNKNOWN, c"outcome unknown"),
    (POTLUCK_E_REFUSED, c"refused"),
    (POTLUCK_E_FULL, c"full"),
    (POTLUCK_E_UNKNOWN_MESSAGE, c"unknown message"),
    (POTLUCK_E_HANDLER_FAILED, c"handler failed"),
    (POTLUCK_E_DEADLOCK, c"deadlock"),
    (POTLUCK_E_VERSION_CONFLICT, c"version conflict"),
    (POTLUCK_E_UNREACHABLE, c"unreachable"),
    (POTLUCK_E_DENIED, c"denied"),
    (POTLUCK_E_AMBIGUOUS, c"ambiguous"),
    (POTLUCK_E_CANCELED, c"canceled"),
    (POTLUCK_E_NO_REPLY, c"no reply"),
    (POTLUCK_E_INTERNAL, c"internal error"),
    (POTLUCK_E_PANIC, c"panic"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each variant; the match makes the compiler ask for the next.
    fn all() -> Vec<Error> {
        let text = String::new;
        let all = vec![
            Error::InvalidArgument(text()),
            Error::InvalidHandle(text()),
            Error::InvalidName { name: text(), reason: text() },
            Error::NameTaken { peer: text() },
            Error::TooLarge { what: text(), limit: 0, size: 0 },
            Error::LimitReached(text()),
            Error::Unsupported(text()),
            Error::Forked,
            Error::AbiMismatch(text()),
            Error::NoSuchPeer { peer: text() },
            Error::NoSuchResource { name: text(), peer: None },
            Error::PeerClosed { peer: text() },
            Error::Closed { name: text() },
            Error::TimedOut,
            Error::OutcomeUnknown { peer: text() },
            Error::Refused { peer: text(), reason: text() },
            Error::Full { peer: text() },
            Error::UnknownMessage { peer: text(), kind: text() },
            Error::HandlerFailed { peer: text(), text: text() },
            Error::Deadlock { ring: Vec::new() },
            Error::VersionConflict { current: 0 },
            Error::Unreachable { peer: text() },
            Error::Denied { peer: text() },
            Error::Ambiguous { names: Vec::new() },
            Error::Canceled,
            Error::NoReply { peer: text() },
            Error::Internal(text()),
            Error::Panic(text()),
        ];
        all
    }

    #[test]
    fn every_error_has_a_number_of_its_own_and_a_name() {
        let mut numbers: Vec<i32> = all().iter().map(status_of).collect();
        assert!(numbers.iter().all(|number| *number >= 10));
        assert!(numbers.iter().all(|number| NAMES.iter().any(|(named, _)| named == number)));
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), all().len());
        assert_eq!(NAMES.len(), numbers.len() + 5, "five outcomes are no errors");
    }
}
