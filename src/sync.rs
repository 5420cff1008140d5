//! The primitives that the rest of the crate stands on, by one name each, so that a model checker can put its own here.

pub(crate) use parking_lot::{Mutex, MutexGuard, RwLock};
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
pub(crate) use std::sync::{Arc, OnceLock};
pub(crate) use std::thread::{Thread, current as current_thread, park, park_timeout};
