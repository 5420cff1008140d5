//! The end of a thread of the library's own: who waits for it, and who joins it. Its lock is a leaf.
//!
//! It runs → it has ended, said by the thread as its last act → it is joined, by whoever comes first after that. A peer whose thread is
//! made on demand counts as running from the beginning; if none was ever made, it is as good as joined at its end.

use crate::sync::{Arc, JoinHandle, Mutex, ThreadId, current_id};
use crate::turn::{Cause, Wait};

#[derive(Default)]
pub(crate) struct Ending(Mutex<State>);

#[derive(Default)]
struct State {
    stage: Stage,
    /// Made when there is a thread, or somebody waits: most peers whose threads are made on demand have neither.
    more: Option<Box<More>>,
}

#[derive(Default)]
struct More {
    thread: Option<JoinHandle<()>>,
    /// The same one, also while somebody joins it.
    itself: Option<ThreadId>,
    /// Who waits for the end, and then for the join.
    waits: Vec<Arc<Wait<()>>>,
}

impl State {
    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    None,
    Running,
    Ended,
    Joined,
}

/// What there is to do for one who waits for an end.
pub(crate) enum Look {
    /// There was no thread, or it has been joined.
    Over,
    /// The thread has ended and is the caller's to join.
    Join(JoinHandle<()>),
    /// The caller is that thread, in a destructor of a user's: it cannot wait for itself.
    Itself,
    /// It runs, or somebody joins it.
    Wait,
}

impl Ending {
    /// There will be an end, whether a thread is made or not.
    pub(crate) fn expect(&self) {
        self.0.lock().stage = Stage::Running;
    }

    /// Notes the thread that has been made.
    pub(crate) fn begin(&self, thread: JoinHandle<()>) {
        let mut state = self.0.lock();
        state.more().itself = Some(thread.thread().id());
        state.more().thread = Some(thread);
        if state.stage == Stage::None {
            state.stage = Stage::Running;
        }
    }

    /// Looks what there is to do, and registers `wait` if it is to wait.
    pub(crate) fn look(&self, wait: Option<&Arc<Wait<()>>>) -> Look {
        let mut state = self.0.lock();
        let more = state.more.as_ref();
        let itself = more.and_then(|more| more.itself);
        match (state.stage, more.is_some_and(|more| more.thread.is_some())) {
            (Stage::None | Stage::Joined, _) => return Look::Over,
            _ if itself.is_some() && itself == current_id() => return Look::Itself,
            (Stage::Ended, true) => {}
            (Stage::Running | Stage::Ended, _) => {
                state.more().waits.extend(wait.cloned());
                return Look::Wait;
            }
        }
        state.more().thread.take().map_or(Look::Wait, Look::Join)
    }

    pub(crate) fn leave(&self, wait: &Arc<Wait<()>>) {
        self.0.lock().more().waits.retain(|other| !Arc::ptr_eq(other, wait));
    }

    /// By the thread itself, last of all.
    pub(crate) fn end(&self) {
        self.step(Stage::Ended);
    }

    /// By whoever has joined it, or has come to the end in its place.
    pub(crate) fn joined(&self) {
        self.step(Stage::Joined);
    }

    /// By the thread itself, when nobody is left to join it: false if somebody does.
    pub(crate) fn detach(&self) -> bool {
        let thread = self.0.lock().more().thread.take();
        thread.is_some()
    }

    /// Tells those who wait to look again.
    fn step(&self, to: Stage) {
        let waits = {
            let mut state = self.0.lock();
            state.stage = to;
            state.more.as_mut().map(|more| std::mem::take(&mut more.waits)).unwrap_or_default()
        };
        for wait in waits {
            wait.end(Cause::Answered, Ok(()));
        }
    }
}
