//! The handle with which a user reads events.

use std::fmt;
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::call::{After, block};
use crate::core::in_call;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::feed::Ring;
use crate::fork;
use crate::sync::Arc;
use crate::turn::Wait;

/// Reads the events of a system, from [`PeerSystem::events`](crate::PeerSystem::events).
///
/// May be used from several threads; each event goes to one of them. Dropping it ends it.
pub struct EventReader {
    ring: Arc<Ring>,
}

impl EventReader {
    pub(crate) fn new(ring: Arc<Ring>) -> EventReader {
        EventReader { ring }
    }

    /// The next event, waiting for it up to `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]; [`Error::Closed`] once the system has ended and all its events are read, or the reader is
    /// closed.
    pub fn next(&self, timeout: Duration) -> Result<Event> {
        fork::check()?;
        let deadline = Deadline::after(timeout);
        loop {
            let mut wait = None;
            let register = || (!deadline.is_now()).then(|| Arc::clone(wait.insert(Arc::new(Wait::new()))));
            if let Some(event) = self.ring.next(register)? {
                return Ok(event);
            }
            let Some(wait) = wait else { return Err(Error::TimedOut) };
            let _in_call = in_call("events", None, || None);
            let result = block(None, &wait, |wait| wait, deadline, &mut After::new());
            self.ring.leave(&wait);
            result?;
        }
    }

    /// A descriptor for a poll loop, of the caller's own: readable whenever [`next`](EventReader::next) would return at once, and for good
    /// once the reader is closed or all has been read of a system that has ended. Another thread may take the event meanwhile. Only to
    /// be waited for: who reads from it takes the sign away from all.
    ///
    /// # Errors
    ///
    /// [`Error::LimitReached`] if the process has no descriptor left.
    ///
    /// # Examples
    ///
    /// ```
    /// use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    /// use std::os::fd::AsFd;
    /// # use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let kitchen = potluck::PeerSystem::open("kitchen")?;
    /// let events = kitchen.events(100)?;
    /// let descriptor = events.descriptor()?;
    /// kitchen.spawn("ada")?;
    /// poll(&mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
    /// assert!(matches!(events.next(Duration::ZERO)?, potluck::Event::Joined { .. }));
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(unix)]
    pub fn descriptor(&self) -> Result<OwnedFd> {
        fork::check()?;
        self.ring.descriptor()
    }

    /// Ends it for all threads: those that wait, and all later calls, get [`Error::Closed`].
    pub fn close(&self) {
        if !fork::is_forked() {
            self.ring.close();
        }
    }
}

impl Drop for EventReader {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for EventReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventReader").field("system", &self.ring.system()).finish_non_exhaustive()
    }
}
