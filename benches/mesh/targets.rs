//! What is to be reached.

use crate::target::Bound::{Least, Most};
use crate::target::{Target, target};

pub(crate) const TARGETS: &[Target] = &[
    target("M1", &[], "to_engine", Most(1.15), "a request of 64 B: at most 1.15 × the engine's get"),
    target("M2", &["16 MiB"], "to_tcp", Least(0.65), "16 MiB: at least 0.65 × the rate of TCP"),
    target("M2", &["16 MiB once"], "to_tcp", Least(0.65), "the same of a new edition"),
    target("M3", &["256 MiB"], "to_engine", Least(0.9), "256 MiB: at least 0.9 × the rate of the engine's ranged gets"),
    target("M3", &["256 MiB once"], "to_engine", Least(0.9), "the same of a new edition"),
    target("M3", &[], "memory", Most(1.2), "memory of whoever gets it: at most 1.2 × its size"),
    target("M4", &[], "added_at_most", Most(500.0), "what the kill of the holder adds: under 500 ms"),
    target("M6", &[], "to_without", Most(1.01), "instructions of P1: the same with the feature as without"),
];
