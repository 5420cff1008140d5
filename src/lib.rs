#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used))]

mod call;
mod close;
mod core;
mod deadline;
mod desk;
mod error;
mod event;
mod feed;
mod mailbox;
mod message;
mod name;
mod peer;
mod post;
mod random;
mod reader;
mod registry;
mod resource;
mod shelf;
mod signals;
mod sync;
mod system;
mod turn;
mod unwind;
mod worker;

#[cfg(feature = "capi")]
#[doc(hidden)]
pub mod ffi;

pub use bytes::Bytes;

pub use close::Ended;
pub use error::{Error, Result};
pub use event::Event;
pub use message::Message;
pub use name::NAME_BYTES_MAX;
pub use peer::{HandlerError, HandlerResult, Peer, PeerOptions};
pub use reader::EventReader;
pub use resource::Resource;
pub use system::{Holder, Mingled, PeerSystem, SystemOptions};
