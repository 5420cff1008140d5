//! The promises between nodes of a mesh: in `promises` call by call, for which two systems of one process serve as nodes like any other two;
//! everywhere else with real processes, which are killed, stopped, cut off and kept out.
//!
//! A process is this binary again, which then does what it is told line by line (`process`). `MESH_SECONDS` is how long the load of
//! `failures` lasts, with 100 peers a node; without it a few seconds with some. `MESH_SEED` (printed) gives the same random numbers again.
//! Every wait has a deadline and fails with a reason; nothing sleeps.

#![cfg(target_os = "linux")]

mod content;
mod nodes;
mod process;
mod role;
#[path = "../conformance/support.rs"]
#[expect(dead_code, reason = "what only peers of one process need")]
mod support;
#[path = "../tools/mod.rs"]
mod tools;

/// What each call means between two nodes.
mod promises {
    mod changing;
    mod ending;
    mod handlers;
    mod input;
    mod messages;
    mod names;
    mod order;
    mod presence;
    mod reading;
    mod seen;
    mod started;
    mod timeouts;
}

mod failures;
mod foreign;
mod large;
mod load;
mod network;
mod security;
