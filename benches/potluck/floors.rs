//! What the library is measured against: the same by hand, with nothing that is not needed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

use nix::libc;
use parking_lot::Mutex;
use potluck::Bytes;

use crate::Outcome;

type Shelf = Mutex<HashMap<String, Arc<Bytes>>>;

/// Peers by name under a lock, and on each a shelf by name under a lock: two look-ups, two locks, a reference count.
#[derive(Default)]
pub(crate) struct Shelves(Mutex<HashMap<String, Arc<Shelf>>>);

impl Shelves {
    pub(crate) fn new<'a>(peers: impl IntoIterator<Item = &'a str>) -> Shelves {
        let shelves = peers.into_iter().map(|peer| (peer.to_owned(), Arc::default())).collect();
        Shelves(Mutex::new(shelves))
    }

    /// A request by hand.
    pub(crate) fn get(&self, peer: &str, name: &str) -> Option<Arc<Bytes>> {
        let shelf = self.0.lock().get(peer).cloned();
        shelf.and_then(|shelf| shelf.lock().get(name).cloned())
    }

    /// An offer by hand. What was there before is dropped under no lock.
    pub(crate) fn put(&self, peer: &str, name: &str, body: Arc<Bytes>) -> bool {
        let Some(shelf) = self.0.lock().get(peer).cloned() else { return false };
        let mut shelf = shelf.lock();
        let old = match shelf.get_mut(name) {
            Some(held) => Some(std::mem::replace(held, body)),
            None => shelf.insert(name.to_owned(), body),
        };
        drop(shelf);
        drop(old);
        true
    }
}

/// One place for the latest: a lock and a store, without any name.
pub(crate) struct Slot(Mutex<Arc<Bytes>>);

impl Slot {
    pub(crate) fn new(body: Arc<Bytes>) -> Slot {
        Slot(Mutex::new(body))
    }

    pub(crate) fn put(&self, body: Arc<Bytes>) {
        let old = std::mem::replace(&mut *self.0.lock(), body);
        drop(old);
    }

    pub(crate) fn get(&self) -> Arc<Bytes> {
        Arc::clone(&self.0.lock())
    }
}

const EMPTY: u32 = 0;
const FULL: u32 = 1;
const ASLEEP: u32 = 2;

/// A word that one thread fills and another empties, asleep in the kernel until then: one futex.
#[derive(Default)]
struct Gate(AtomicU32);

impl Gate {
    fn fill(&self) {
        if self.0.swap(FULL, Ordering::AcqRel) == ASLEEP {
            futex(&self.0, libc::FUTEX_WAKE, 1);
        }
    }

    /// Looks so many times before it sleeps. Without a deadline: one would cost, and whoever fills has no other way out.
    fn empty(&self, looks: u32) {
        for _ in 0..looks {
            if self.0.load(Ordering::Acquire) == FULL {
                break;
            }
            std::hint::spin_loop();
        }
        while self.0.compare_exchange(FULL, EMPTY, Ordering::AcqRel, Ordering::Acquire).is_err() {
            let _ = self.0.compare_exchange(EMPTY, ASLEEP, Ordering::AcqRel, Ordering::Acquire);
            futex(&self.0, libc::FUTEX_WAIT, ASLEEP);
        }
    }
}

/// The system call: sleeps while the word is `value`, or wakes `value` threads.
#[expect(unsafe_code, reason = "no safe crate of ours has a futex")]
fn futex(word: &AtomicU32, operation: i32, value: u32) {
    let operation = operation | libc::FUTEX_PRIVATE_FLAG;
    let timeout = std::ptr::null::<libc::timespec>();
    // SAFETY: the word outlives the call, and neither operation reads more than these arguments.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, timeout) };
}

#[derive(Default)]
struct Table {
    there: Gate,
    back: Gate,
    value: AtomicU64,
    is_over: AtomicBool,
}

/// A thread that answers each number with the next one, by two futexes.
pub(crate) struct PingPong {
    table: Arc<Table>,
    looks: u32,
    thread: Option<JoinHandle<()>>,
}

impl PingPong {
    /// Both sides look so many times before they sleep.
    pub(crate) fn new(looks: u32, before: impl FnOnce() + Send + 'static) -> Outcome<PingPong> {
        let table = Arc::<Table>::default();
        let its = Arc::clone(&table);
        let thread = Builder::new().name("ping-pong".to_owned()).spawn(move || {
            before();
            loop {
                its.there.empty(looks);
                if its.is_over.load(Ordering::Relaxed) {
                    return;
                }
                its.value.store(its.value.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                its.back.fill();
            }
        })?;
        Ok(PingPong { table, looks, thread: Some(thread) })
    }

    /// Whether it looks before it sleeps.
    pub(crate) fn spins(&self) -> bool {
        self.looks > 0
    }

    pub(crate) fn ask(&self, number: u64) -> u64 {
        self.table.value.store(number, Ordering::Relaxed);
        self.table.there.fill();
        self.table.back.empty(self.looks);
        self.table.value.load(Ordering::Relaxed)
    }
}

impl Drop for PingPong {
    fn drop(&mut self) {
        self.table.is_over.store(true, Ordering::Relaxed);
        self.table.there.fill();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
