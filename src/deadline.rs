//! From a timeout, given once, to the moment at which all of the call is over.

use std::time::Duration;

use crate::sync::Instant;

/// When a call is over. Made at its entry and handed down, so that one deadline covers all of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    /// The timeout was 0: do what needs no waiting.
    Now,
    /// Wait until then.
    At(Instant),
    /// Wait for as long as it takes; also what a timeout too far away for the clock becomes.
    Never,
}

impl Deadline {
    pub(crate) fn after(timeout: Duration) -> Deadline {
        if timeout.is_zero() {
            return Deadline::Now;
        }
        Instant::now().checked_add(timeout).map_or(Deadline::Never, Deadline::At)
    }

    /// How long is left: `None` without an end.
    pub(crate) fn left(self) -> Option<Duration> {
        match self {
            Deadline::Now => Some(Duration::ZERO),
            Deadline::At(at) => Some(at.saturating_duration_since(Instant::now())),
            Deadline::Never => None,
        }
    }

    pub(crate) fn is_before(self, other: Deadline) -> bool {
        match (self, other) {
            (Deadline::At(at), Deadline::At(other)) => at < other,
            (Deadline::At(_), Deadline::Never) => true,
            _ => false,
        }
    }

    pub(crate) fn is_now(self) -> bool {
        matches!(self, Deadline::Now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_timeouts_saturate() {
        assert!(matches!(Deadline::after(Duration::MAX), Deadline::Never));
        assert!(Deadline::after(Duration::ZERO).is_now());
        assert!(Deadline::after(Duration::from_secs(3600)).left().unwrap() > Duration::from_secs(3000));
    }
}
