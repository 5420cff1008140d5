//! Peers share named, versioned, immutable resources with one another, and no server stands between them.
//!
//! A [`PeerSystem`] is a set of [`Peer`]s: named OS threads, each with a mailbox and a shelf of [`Resource`]s. Whoever has received a
//! resource serves it. Calls are synchronous, may be made from any thread and from any handler, and name the other peer.
//!
//! ```
//! use potluck::PeerSystem;
//! use std::time::Duration;
//!
//! # fn main() -> potluck::Result<()> {
//! let kitchen = PeerSystem::open("kitchen")?;
//! let (ada, bob) = (kitchen.spawn("ada")?, kitchen.spawn("bob")?);
//! ada.share("soup", "tomato")?;
//! let soup = bob.request("ada", "soup", Duration::from_secs(1))?;
//! assert_eq!(soup.bytes(), b"tomato");
//! # Ok(())
//! # }
//! ```
//!
//! - One's own shelf: [`Peer::share`], [`Peer::share_if`], [`Peer::unshare`], [`Peer::get`], [`Peer::resources`].
//! - From another peer, or from any: [`Peer::request`], [`Peer::request_newer`], [`Peer::fetch`]; to another: [`Peer::offer`];
//!   both ways: [`Peer::exchange`]; all at once: [`PeerSystem::mingle`].
//! - Messages: [`Peer::tell`], [`Peer::ask`], [`Peer::receive`], [`Message::reply`].
//! - Any of these calls started, and waited for apart: [`Peer::start`], [`Pending`]. Waiting for a peer to come: [`PeerSystem::wait_for`].
//! - What a peer does by itself: [`PeerOptions`]. What happens: [`PeerSystem::events`],
//!   [`PeerSystem::dead_letters`]; what hangs: [`PeerSystem::snapshot`].
//! - The end: [`Peer::close`], a barrier; [`PeerSystem::shutdown`].
//! - The same calls across processes and machines: [`SystemOptions::mesh`], [`Mesh`].
//!
//! # Features
//!
//! None is on by default. `mesh`: joining the systems of other processes, on the zenoh engine; without it opening with a mesh answers
//! [`Error::Unsupported`]. `mesh-tls`: the same with mutual TLS. `capi`: the C ABI, of which `make lib` makes the C libraries; a program in
//! Rust has no use for it. Descriptors are there on Unix alone; all of it is tested on 64-bit Linux.
//!
//! The README says what is promised; ARCHITECTURE.md how it is kept; docs/mesh.md what is different across a network.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used))]

mod arrivals;
mod bell;
mod call;
mod calling;
mod cancel;
mod close;
mod core;
mod dead_letters;
mod deadline;
mod desk;
mod doing;
mod edge;
mod elsewhere;
mod ending;
mod error;
mod event;
mod feed;
mod first_use;
mod fork;
mod holder;
mod key;
mod mailbox;
mod mesh;
mod message;
mod mingle;
#[cfg(all(test, any(shuttle, loom)))]
mod model;
mod name;
mod near;
mod panics;
mod peer;
mod pending;
mod places;
mod post;
mod quiet;
mod random;
mod reader;
mod readiness;
mod registry;
mod resource;
mod ring;
mod shelf;
mod shutdown;
mod signals;
mod snapshot;
mod spin;
mod start;
mod sync;
mod system;
mod timer;
mod told;
mod turn;
mod unwind;
mod waits;
mod worker;

#[cfg(feature = "capi")]
#[doc(hidden)]
pub mod ffi;

/// The README's program is a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use bytes::Bytes;

pub use calling::Call;
pub use close::Ended;
pub use core::Stage;
pub use dead_letters::{DeadLetter, DeadLetters};
pub use elsewhere::NodeSnapshot;
pub use error::{Error, Result};
pub use event::Event;
pub use holder::Holder;
pub use mesh::Mesh;
pub use message::Message;
pub use mingle::{Mingled, Round};
pub use name::NAME_BYTES_MAX;
pub use peer::{HandlerError, HandlerResult, Peer, PeerOptions};
pub use pending::Pending;
pub use reader::EventReader;
pub use resource::Resource;
pub use shutdown::{Report, Running};
pub use snapshot::{PeerSnapshot, RunningHandler, Snapshot, WaitingCall};
pub use system::{PeerSystem, SystemOptions};
