//! What is to be reached.

use crate::target::Bound::{Least, Most, NoMoreThan};
use crate::target::{Target, target};

pub(crate) const TARGETS: &[Target] = &[
    target("P1", &[], "ratio", Most(3.0), "a request: at most 3 × the floor"),
    target("P1", &[], "p99_to_p50", Most(3.0), "p99 of single requests: at most 3 × p50"),
    target("P2", &[], "over_p1", Most(60.0), "a request in C: at most 60 ns more"),
    target("P3", &[], "largest_to_smallest", Most(1.2), "over all payload sizes: within 1.2 ×"),
    target("P4", &["one core"], "ratio", Most(1.4), "an ask on one core: at most 1.4 × the floor"),
    target("P4", &["two cores"], "p50", Most(1_000.0), "an ask on two cores: under 1,000 ns"),
    target("P4b", &[], "ratio", Most(1.3), "a hop in a ring: at most 1.3 × the floor"),
    target("P5", &[], "ratio", Least(0.8), "tells of one: at least 0.8 × the floor's rate"),
    target("P6", &[], "ratio", Least(0.8), "tells of four: at least 0.8 × the floor's rate"),
    target("P7", &["1 to 1"], "ratio", Most(5.0), "an offer: at most 5 × the floor"),
    target("P7", &[], "to_p6", Least(1.0), "offers of four: no slower than their tells"),
    target("P8", &["1000 peers"], "ratio", Most(1.5), "an exchange of 1,000 that mingle: at most 1.5 × P1"),
    target("P8", &[], "growth", Most(2.0), "from 100 peers to 10,000: at most 2 ×"),
    target("P9", &["1000 peers", "10000 peers"], "ratio", Most(1.15), "spawn and close: at most 1.15 × the floor"),
    target(
        "P9",
        &["1000 peers", "10000 peers"],
        "resident",
        Most(12_288.0),
        "resident bytes of a peer: at most 12 KiB",
    ),
    target("P10", &[], "spawn_and_close", Most(1.5), "on demand, spawn and close: at most 1.5 us"),
    target("P10", &[], "resident", Most(1_000.0), "on demand, resident bytes of a peer: at most 1,000"),
    target("P11", &[], "ratio", Least(1.9), "two callers: at least 1.9 × the rate of one"),
    target("P12", &[], "ratio", Most(2.0), "a fetch, whatever the number of holders: at most 2 × P1"),
    target("P12b", &[], "ratio", Most(1.2), "a request from a peer that sleeps: at most 1.2 × P1"),
    target("P13", &[], "lost", Most(0.0), "a mix of calls: no update is lost"),
    target("P13", &[], "stalls", NoMoreThan("stalls_of_floor"), "stalls over 10 ms: no more than the floor's"),
];
