//! The handle with which a user reads events.

use std::fmt;
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
