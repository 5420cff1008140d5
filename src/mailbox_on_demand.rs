//! A peer's mailbox, which is made when there is first somebody to use it: most peers of a million never get a message.
//!
//! Whoever closes the peer before that puts in its place a closed one, the same for a whole system; either comes first, and stays. So
//! nobody leaves a message after the close. What is only looked at makes none.

use std::collections::VecDeque;
use std::ops::Deref;

use crate::mailbox::{Mailbox, Waiting};
use crate::message::Letter;
use crate::sync::{Arc, OnceLock, Thread};
use crate::turn::Wait;

pub(crate) struct MailboxOnDemand {
    made: OnceLock<Arc<Mailbox>>,
    messages_max: u64,
    bytes_max: u64,
    is_inbox: bool,
}

/// Who waited when it was closed: for room, and for a message.
type Waited = (VecDeque<Waiting>, VecDeque<Arc<Wait<Letter>>>);

/// Makes it, if there is none.
impl Deref for MailboxOnDemand {
    type Target = Mailbox;

    #[inline]
    fn deref(&self) -> &Mailbox {
        self.made.get().unwrap_or_else(|| self.make())
    }
}

impl MailboxOnDemand {
    /// See [`Mailbox::new`].
    pub(crate) fn new(messages_max: u64, bytes_max: u64, is_inbox: bool) -> MailboxOnDemand {
        MailboxOnDemand { made: OnceLock::new(), messages_max, bytes_max, is_inbox }
    }

    /// Ahead of its first use.
    #[cold]
    pub(crate) fn make(&self) -> &Arc<Mailbox> {
        self.made.get_or_init(|| Arc::new(Mailbox::new(self.messages_max, self.bytes_max, self.is_inbox)))
    }

    /// Names the peer's own thread. One that finds the mailbox closed comes to its end, and never sleeps there.
    pub(crate) fn own(&self, closed: &Arc<Mailbox>, thread: Thread) {
        let made = self.make();
        if !Arc::ptr_eq(made, closed) {
            made.bell().own(thread);
        }
    }

    /// Closes it; `None` if there was none, in whose place is now the one that is `closed`.
    pub(crate) fn close(&self, closed: &Arc<Mailbox>) -> Option<Waited> {
        let made = self.made.get_or_init(|| Arc::clone(closed));
        (!Arc::ptr_eq(made, closed)).then(|| made.close())
    }

    pub(crate) fn is_inbox(&self) -> bool {
        self.is_inbox
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.made.get().is_none_or(|made| made.is_empty())
    }

    pub(crate) fn messages(&self) -> u64 {
        self.made.get().map_or(0, |made| made.messages())
    }

    pub(crate) fn taken(&self) -> u64 {
        self.made.get().map_or(0, |made| made.taken())
    }
}
