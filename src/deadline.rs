//! From a timeout, given once, to the moment at which all of the call is over.

use std::time::Duration;

use crate::sync::Instant;

/// When a call is over. Made at its entry and handed down, so that one deadline covers all of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    /// The timeout was 0: do what needs no waiting.
    Now,
    /// Wait so long, from when it is first to wait: so a call that need not wait reads no clock, which would be a fifth of it.
    Within(Duration),
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

    /// For a call that waits once, if at all.
    pub(crate) fn within(timeout: Duration) -> Deadline {
        if timeout.is_zero() { Deadline::Now } else { Deadline::Within(timeout) }
    }

    /// By the one who is to wait now.
    pub(crate) fn begin(self) -> Deadline {
        match self {
            Deadline::Within(timeout) => Deadline::after(timeout),
            begun => begun,
        }
    }

    /// How long is left: `None` without an end.
    pub(crate) fn left(self) -> Option<Duration> {
        match self {
            Deadline::Now => Some(Duration::ZERO),
            Deadline::Within(timeout) => Some(timeout),
            Deadline::At(at) => Some(at.saturating_duration_since(Instant::now())),
            Deadline::Never => None,
        }
    }

    /// The same, but no more than `most`.
    #[cfg(feature = "mesh")]
    pub(crate) fn left_at_most(self, most: Duration) -> Duration {
        self.left().map_or(most, |left| left.min(most))
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

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn huge_timeouts_saturate() {
        assert!(matches!(Deadline::after(Duration::MAX), Deadline::Never));
        assert!(matches!(Deadline::within(Duration::MAX).begin(), Deadline::Never));
        assert!(Deadline::after(Duration::ZERO).is_now() && Deadline::within(Duration::ZERO).is_now());
        for begun in [Deadline::after(HOUR), Deadline::within(HOUR).begin()] {
            assert!(matches!(begun, Deadline::At(_)) && begun.left().unwrap() > HOUR - Duration::from_secs(600));
        }
    }
}
