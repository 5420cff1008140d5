//! One suite of the promises, by the public interface alone: a folder or file for each promise, each test named after what it
//! promises. Every wait has a deadline and fails with a reason; nothing sleeps.
//!
//! Tests get their system from `support` (`kitchen` and its like) and reach other peers by name. So the same suite can later run
//! on peers of two processes: `support` then opens two joined systems and spawns every second peer in the other one.
//! What can only run in one: `guest` and that nothing is copied in `whole`, which look at this process, its threads and memory;
//! `waits::rings` and `calls::snapshot`, since nobody sees what the threads of another process wait for.

mod support;

/// What each call means by itself.
mod calls {
    #[cfg(unix)]
    mod descriptors;
    mod events;
    mod exchange;
    mod fetch;
    mod inbox;
    mod messages;
    mod mingle;
    mod names;
    mod offer;
    mod request;
    mod request_newer;
    mod share_if;
    mod shelf;
    mod snapshot;
    mod started;
    mod timeouts;
    mod wait_for;
}

mod whole;

mod order;

mod nothing_vanishes {
    mod dead_letters;
}

mod own_names;

mod prompt;

mod giving_up;

/// Who waits for whom, and who never does.
mod waits {
    mod reading;
    mod rings;
}

mod handlers {
    mod nesting;
    mod receipts;
    mod thread_and_data;
}

/// Close is a barrier, and so is the shutdown of a system.
mod close {
    mod barrier;
    mod phases;
    mod shutdown;
}

// Threads that are made when there is first something to run on them.
mod on_demand;

mod limits {
    mod room;
    mod shelves;
}

/// What potluck leaves of itself in the process that it is a guest of.
mod guest {
    mod apart;
    // Threads, their switches, the signals and the memory of the process are seen in /proc.
    #[cfg(target_os = "linux")]
    mod alone;
    #[cfg(target_os = "linux")]
    mod threads;
}
