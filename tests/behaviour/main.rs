//! What the library promises, tried through its public interface: one module for each topic, each test named after what it
//! promises. Every wait has a deadline; nothing sleeps.

mod close;
mod closing_calls;
mod dead_letters;
mod events;
mod everywhere;
mod exchange;
mod fairness;
mod fetch;
mod handlers;
mod inbox;
mod limits;
mod messages;
mod mingle;
mod names;
mod nesting;
mod offer;
mod order;
mod receipts;
mod request;
mod request_newer;
mod rings;
mod room;
mod share_if;
mod shelf;
mod shutdown;
mod shutdown_phases;
mod snapshot;
mod stress;
mod support;
mod timeouts;
mod turn;
mod wait_for;

// Threads, their switches and the memory of the process are seen in /proc.
#[cfg(target_os = "linux")]
mod threads;
