//! Who waits for a peer to come. Its lock is a leaf: nothing is called under it.

use crate::sync::{Arc, Mutex};
use crate::turn::{Cause, Wait};

pub(crate) struct Arrivals(Mutex<Awaited>);

struct Awaited {
    closed: bool,
    /// By the name that each waits for.
    waits: Vec<(String, Arc<Wait<()>>)>,
}

impl Arrivals {
    pub(crate) fn new() -> Arrivals {
        Arrivals(Mutex::new(Awaited { closed: false, waits: Vec::new() }))
    }

    /// Registers one who waits; then it looks again. False if nobody will come any more.
    pub(crate) fn add(&self, name: &str, wait: &Arc<Wait<()>>) -> bool {
        let mut awaited = self.0.lock();
        if !awaited.closed {
            awaited.waits.push((name.to_owned(), Arc::clone(wait)));
        }
        !awaited.closed
    }

    /// Takes one out that waits no more.
    pub(crate) fn leave(&self, wait: &Arc<Wait<()>>) {
        self.0.lock().waits.retain(|(_, other)| !Arc::ptr_eq(other, wait));
    }

    /// After a peer can be found: tells those who wait for it.
    pub(crate) fn come(&self, name: &str) {
        let came = {
            let waits = &mut self.0.lock().waits;
            if waits.is_empty() {
                return;
            }
            waits.extract_if(.., |(awaited, _)| awaited == name).collect::<Vec<_>>()
        };
        for (_, wait) in came {
            wait.end(Cause::Answered, Ok(()));
        }
    }

    /// Nobody will come any more: refuses who comes to wait from now on, and gives back those who do.
    pub(crate) fn close(&self) -> Vec<Arc<Wait<()>>> {
        let mut awaited = self.0.lock();
        awaited.closed = true;
        std::mem::take(&mut awaited.waits).into_iter().map(|(_, wait)| wait).collect()
    }
}
