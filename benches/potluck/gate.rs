//! What fails the run: only what cannot be noise. (A copy of a payload, or work that was not done, fails where it is seen.)

use crate::Outcome;
use crate::instructions::recorded;
use crate::report::Rows;

const P1_TO_FLOOR: f64 = 10.0;
const P3_LARGEST_TO_SMALLEST: f64 = 3.0;
const INSTRUCTIONS_TO_RECORDED: f64 = 1.15;

/// What is wrong, each in a sentence.
pub(crate) fn failures(rows: &Rows) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    let mut limit = |what: &str, value: Option<f64>, most: f64| {
        if let Some(value) = value.filter(|value| *value > most) {
            found.push(format!("{what}: {value:.2}, more than {most:.2}"));
        }
    };
    limit("P1, a request to its floor", rows.get("P1", "64 B", "ratio"), P1_TO_FLOOR);
    let flat = rows.get("P3", "1 B to 1 GiB", "largest_to_smallest");
    limit("P3, the largest to the smallest over payload sizes", flat, P3_LARGEST_TO_SMALLEST);
    if let Some(before) = recorded("P1")? {
        let most = before * INSTRUCTIONS_TO_RECORDED;
        limit("P1, instructions of a request", rows.get("P1", "64 B", "instructions"), most);
    }
    Ok(found)
}
