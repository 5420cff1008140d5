//! When a peer's thread is made: with the peer, or, in a system with lazy threads, when there is first something to run on it.
//!
//! | stage | means | left by |
//! |---|---|---|
//! | `Open` | no thread, and nothing was accepted that it would have to run | `ensure` → `Made`; `go_without` → `Without` |
//! | `Made` | there is a thread, which carries out the peer's end | |
//! | `Without` | the peer has closed, and never will have a thread | `end` → `Over`, by one |
//! | `Over` | somebody carries out the end, or has | |
//!
//! - **The thread comes before the acceptance**: whoever is about to leave something for it calls `ensure` first. If no thread can be made,
//!   that call fails with LimitReached; nothing was accepted, and nothing is lost. So at `Open` there is never work. What leaves
//!   work: a message to a peer with on_message; an operation that needs a handler; an offer or exchange with a peer that has
//!   on_received; a close of a peer with on_stop. A turn that is handed on needs the thread, too, but has nobody to fail: if none can be made,
//!   whoever handed it on goes on with it. A message to an inbox needs none.
//! - **Two starters**: `Open` is left under one lock, which is held while the thread is made. The second waits for that. The thread itself
//!   begins with that lock, so it finds itself named wherever others look for it.
//! - **Start and close**: `go_without` comes when every place where one can leave something has been shut. Whoever was faster has made a thread, which
//!   finds the peer closing and comes to its end; whoever is slower finds those places shut. So one of the two comes to the end, never both.
//! - **The end without a thread** is the one of `worker.rs` but for the handlers: on the thread that closes, unless a letter of the inbox is still in
//!   somebody's hands: who gives its room back looks for this stage, and who sets this stage looks for letters, with a SeqCst fence on each side.
//!   So the last of them finds both, and nobody has to wait.
//!
//! A shutdown counts a peer without a thread as at rest.

use std::any::Any;

use crate::cancel;
use crate::core::PeerCore;
use crate::edge;
use crate::error::Result;
use crate::signals;
use crate::sync::{Arc, AtomicU8, Mutex, Ordering, ThreadBuilder, current_id, fence};

pub(crate) struct Start {
    stage: AtomicU8,
    /// What the thread will run, known to it alone. Held while a thread is made on demand.
    handlers: Mutex<Option<OpaqueHandlers>>,
}

/// A peer's handlers, whose types are those of the layers above.
pub(crate) type OpaqueHandlers = Box<dyn Any + Send>;

const OPEN: u8 = 0;
const MADE: u8 = 1;
const WITHOUT: u8 = 2;
const OVER: u8 = 3;

impl Start {
    pub(crate) fn new(handlers: Option<OpaqueHandlers>) -> Start {
        Start { stage: AtomicU8::new(OPEN), handlers: Mutex::new(handlers) }
    }

    /// There is no thread yet.
    pub(crate) fn is_open(&self) -> bool {
        self.stage.load(Ordering::SeqCst) == OPEN
    }

    /// After all is shut: there will be no thread any more, unless there is one.
    pub(crate) fn go_without(&self) {
        if self.is_open() {
            let _starting = self.handlers.lock();
            let _ = self.step(OPEN, WITHOUT);
        }
    }

    /// It has closed without a thread, and nobody carries out its end yet. By whoever has set that, who then looks for letters, and by
    /// whoever has had one.
    pub(crate) fn is_without(&self) -> bool {
        fence(Ordering::SeqCst);
        self.stage.load(Ordering::SeqCst) == WITHOUT
    }

    /// True for the one who carries out the end.
    pub(crate) fn end(&self) -> bool {
        self.step(WITHOUT, OVER)
    }

    /// By whoever carries out the end, in which no handler runs, or by the thread that runs them.
    pub(crate) fn take_handlers(&self) -> Option<OpaqueHandlers> {
        self.handlers.lock().take()
    }

    fn step(&self, from: u8, to: u8) -> bool {
        self.stage.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// At spawn, before anybody else can reach the peer.
pub(crate) fn begin(peer: &Arc<PeerCore>) -> Result<()> {
    if peer.system.limits.lazy_threads {
        peer.life.ending.expect();
        return Ok(());
    }
    peer.start.stage.store(MADE, Ordering::SeqCst);
    make(peer)
}

/// Makes sure that there is a thread for what is about to be left for it, or that every place to leave it at is shut.
pub(crate) fn ensure(peer: &Arc<PeerCore>) -> Result<()> {
    if peer.start.stage.load(Ordering::Acquire) == OPEN { make_now(peer) } else { Ok(()) }
}

/// The same for something that has been left already, of which the thread is told. False if there is none.
pub(crate) fn wake(peer: &Arc<PeerCore>) -> bool {
    let is_made = ensure(peer).is_ok() && peer.start.stage.load(Ordering::Acquire) == MADE;
    if is_made {
        peer.turn.unpark_owner();
    }
    is_made
}

#[cold]
fn make_now(peer: &Arc<PeerCore>) -> Result<()> {
    let _starting = peer.start.handlers.lock();
    if peer.start.is_open() {
        make(peer)?;
        peer.start.stage.store(MADE, Ordering::SeqCst);
    }
    Ok(())
}

fn make(peer: &Arc<PeerCore>) -> Result<()> {
    // The thread has use for it at once, and its own memory is dearer.
    peer.doing.make();
    if !peer.mailbox.is_inbox() {
        peer.mailbox.make();
    }
    let core = Arc::clone(peer);
    let builder = ThreadBuilder::new().name(format!("potluck:{}", peer.name));
    let run = peer.system.above.run;
    let body = move || {
        cancel::never();
        current_id();
        run(core);
    };
    let thread = edge::make_thread(|| signals::blocked(|| builder.spawn(body)))?;
    peer.turn.own(thread.thread().clone());
    peer.mailbox.bell().own(thread.thread().clone());
    peer.life.ending.begin(thread);
    Ok(())
}
