//! What the tests share: a system with peers, a gate that holds a handler, a thread that makes a call, and the errors.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use potluck::{
    Bytes, Ended, Error, Event, EventReader, HandlerError, Message, Peer, PeerOptions, PeerSnapshot, PeerSystem,
    SystemOptions,
};

/// How long anything may take before a test fails.
pub(crate) const LONG: Duration = Duration::from_secs(10);

/// A timeout that a test waits for, so a short one.
pub(crate) const SHORT: Duration = Duration::from_millis(30);

/// A timeout that a test waits for, but long enough that another thread surely runs before.
pub(crate) const PATIENT: Duration = Duration::from_millis(500);

/// Does not wait.
pub(crate) const NOW: Duration = Duration::ZERO;

/// What a test gets as its system. Whoever runs the suite on peers of two processes puts two joined systems in its place.
pub(crate) type Kitchen = PeerSystem;

/// Set by `make test` for a second run of the suite, in which peers get their threads on demand.
pub(crate) fn is_lazy() -> bool {
    std::env::var_os("POTLUCK_TEST_LAZY").is_some()
}

/// A system.
pub(crate) fn kitchen() -> Kitchen {
    kitchen_named("kitchen")
}

/// A system of a name of its own.
pub(crate) fn kitchen_named(name: &str) -> Kitchen {
    PeerSystem::open_with(name, SystemOptions::new().lazy_threads(is_lazy())).unwrap()
}

/// A system with options.
pub(crate) fn kitchen_with(options: SystemOptions) -> Kitchen {
    PeerSystem::open_with("kitchen", options.lazy_threads(is_lazy())).unwrap()
}

/// A system with two peers that have no handlers.
pub(crate) fn ada_and_bob() -> (Kitchen, Peer, Peer) {
    let kitchen = kitchen();
    let (ada, bob) = (kitchen.spawn("ada").unwrap(), kitchen.spawn("bob").unwrap());
    (kitchen, ada, bob)
}

/// A system with an ada that runs `handler`, and a bob.
pub(crate) fn kitchen_of(
    handler: impl FnMut(&Peer, &Message) -> Result<(), HandlerError> + Send + 'static,
) -> (Kitchen, Peer, Peer) {
    let kitchen = kitchen();
    let ada = kitchen.spawn_with("ada", PeerOptions::new().on_message(handler)).unwrap();
    let bob = kitchen.spawn("bob").unwrap();
    (kitchen, ada, bob)
}

/// Shuts a system down and says how it went.
pub(crate) fn shut_down(system: &Kitchen, timeout: Duration) -> potluck::Result<Ended> {
    system.shutdown(timeout).map(|report| report.ended)
}

/// Holds handlers up: who passes says so and waits until it is let through.
#[derive(Clone)]
pub(crate) struct Gate {
    arrivals: (Sender<()>, Receiver<()>),
    openings: (Sender<()>, Receiver<()>),
}

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate { arrivals: unbounded(), openings: unbounded() }
    }

    /// By the handler: waits to be let through.
    pub(crate) fn pass(&self) {
        self.arrivals.0.send(()).unwrap();
        self.openings.1.recv_timeout(LONG).expect("the gate was never opened");
    }

    /// By the test: waits until somebody is at the gate.
    pub(crate) fn await_arrival(&self) {
        self.arrivals.1.recv_timeout(LONG).expect("nobody came to the gate");
    }

    /// Lets one through.
    pub(crate) fn open(&self) {
        self.openings.0.send(()).unwrap();
    }
}

/// A thread of the host that makes one call.
pub(crate) struct Host<T> {
    result: Receiver<T>,
    task: PathBuf,
    thread: JoinHandle<()>,
}

/// Makes a call on a thread of its own.
pub(crate) fn host<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Host<T> {
    let (started, start) = bounded(1);
    let (done, result) = bounded(1);
    let run = move || {
        started.send(std::fs::read_link("/proc/thread-self").unwrap_or_default()).unwrap();
        // Whoever does not want the result has dropped the other end.
        let _ = done.send(call());
    };
    let thread = thread::Builder::new().name("test:host".to_owned()).spawn(run).unwrap();
    let task = PathBuf::from("/proc").join(start.recv_timeout(LONG).expect("the thread never began"));
    Host { result, task, thread }
}

impl<T> Host<T> {
    /// Waits until the thread sleeps, so that its call is really waiting. What is asserted after this holds also if it is
    /// not, so where there is no /proc to see it in, this just goes on.
    #[must_use]
    pub(crate) fn waiting(self) -> Host<T> {
        let deadline = Instant::now() + LONG;
        let mut same = (String::new(), 0);
        while same.1 < 20 && !self.thread.is_finished() {
            let Ok(status) = std::fs::read_to_string(self.task.join("status")) else {
                break;
            };
            assert!(Instant::now() < deadline, "the thread does not come to wait: {status}");
            let seen = asleep(&status);
            same = if seen.is_empty() || seen != same.0 { (seen, 0) } else { (seen, same.1 + 1) };
            thread::yield_now();
        }
        self
    }

    /// Whether its call has not returned yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.result.is_empty()
    }

    /// What the call returned.
    pub(crate) fn result(self) -> T {
        self.result_within(LONG)
    }

    /// What the call returned, if it may take longer.
    pub(crate) fn result_within(self, timeout: Duration) -> T {
        let result = self.result.recv_timeout(timeout).expect("the call did not return, or panicked");
        self.thread.join().unwrap();
        result
    }
}

/// How often a sleeping thread has been switched off, as text; empty if it does not sleep.
fn asleep(status: &str) -> String {
    let line = |key: &str| status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    if line("State:").ends_with("(sleeping)") { line("voluntary_ctxt_switches").to_owned() } else { String::new() }
}

/// Counts how often its copies have been dropped.
pub(crate) struct Dropped(pub(crate) Arc<AtomicUsize>);

impl Dropped {
    pub(crate) fn new() -> (Dropped, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        (Dropped(Arc::clone(&count)), count)
    }

    /// So that a closure that calls it owns all of it.
    pub(crate) fn touch(&self) {}
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A body whose destructor runs this.
pub(crate) fn body_that(runs: impl FnOnce() + Send + 'static) -> Bytes {
    Bytes::from_owner(Runs(Some(Box::new(runs))))
}

struct Runs(Option<Box<dyn FnOnce() + Send>>);

impl AsRef<[u8]> for Runs {
    fn as_ref(&self) -> &[u8] {
        b"a body"
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run();
        }
    }
}

/// Waits until the snapshot says that the thread of this peer does what has these words.
pub(crate) fn await_doing(kitchen: &Kitchen, peer: &str, words: &str) -> String {
    let deadline = Instant::now() + LONG;
    loop {
        let snapshot = kitchen.snapshot().unwrap();
        let doing = snapshot.peers.iter().find(|it| it.peer == peer).map(PeerSnapshot::doing).unwrap_or_default();
        if doing.contains(words) {
            return doing;
        }
        assert!(Instant::now() < deadline, "{peer} does not come to {words:?}: {doing}");
        thread::yield_now();
    }
}

/// The events that are there now.
pub(crate) fn drain(events: &EventReader) -> Vec<Event> {
    std::iter::from_fn(|| events.next(NOW).ok()).collect()
}

/// The next thing in a channel.
pub(crate) fn next<T>(channel: &Receiver<T>) -> T {
    channel.recv_timeout(LONG).expect("nothing came")
}

pub(crate) fn no_such_peer(peer: &str) -> Error {
    Error::NoSuchPeer { peer: peer.to_owned() }
}

pub(crate) fn no_such_resource(name: &str, peer: impl Into<Option<&'static str>>) -> Error {
    Error::NoSuchResource { name: name.to_owned(), peer: peer.into().map(str::to_owned) }
}

pub(crate) fn peer_closed(peer: &str) -> Error {
    Error::PeerClosed { peer: peer.to_owned() }
}

pub(crate) fn closed(name: &str) -> Error {
    Error::Closed { name: name.to_owned() }
}

pub(crate) fn full(peer: &str) -> Error {
    Error::Full { peer: peer.to_owned() }
}

pub(crate) fn refused(peer: &str, reason: &str) -> Error {
    Error::Refused { peer: peer.to_owned(), reason: reason.to_owned() }
}

pub(crate) fn handler_failed(peer: &str, text: &str) -> Error {
    Error::HandlerFailed { peer: peer.to_owned(), text: text.to_owned() }
}
