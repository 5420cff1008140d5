//! What stands between the marks of docs/performance.md is written anew, all else is people's.

use std::fmt::Write as _;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Outcome;
use crate::report::{Rows, machine, root};
use crate::targets::TARGETS;

/// Writes parts of the page, each between the marks of that name.
pub(crate) fn write(parts: &[(&str, String)]) -> Outcome<()> {
    let path = root().join("docs/performance.md");
    let mut text = fs::read_to_string(&path)?;
    for (mark, part) in parts {
        text = between_marks(&text, mark, part)?;
    }
    Ok(fs::write(path, text)?)
}

fn between_marks(text: &str, mark: &str, part: &str) -> Outcome<String> {
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->\n"));
    let (before, rest) = text.split_once(&begin).ok_or_else(|| format!("docs/performance.md has no {begin}"))?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| format!("docs/performance.md has no {end}"))?;
    Ok(format!("{before}{begin}{part}{end}{after}"))
}

pub(crate) fn run() -> Outcome<String> {
    Ok(format!("{}; {}.\n", machine(), today()?))
}

pub(crate) fn targets(rows: &Rows) -> String {
    let mut text = "| | to be reached | measured | |\n|---|---|---|---|\n".to_owned();
    for target in TARGETS {
        if let Some(reached) = target.look(rows) {
            let word = if reached.is_met { "met" } else { "**open**" };
            let _ = writeln!(text, "| {} | {} | {} | {word} |", target.workload, target.text, reached.measured);
        }
    }
    text
}

pub(crate) fn figures(rows: &Rows) -> String {
    let mut text = "| | | |\n|---|---|---|\n".to_owned();
    for key in rows.keys() {
        let _ = writeln!(text, "| {} | {} | {} |", key.0, key.1, rows.line(key));
    }
    text
}

/// Year, month and day, by Howard Hinnant's `civil_from_days`.
fn today() -> Outcome<String> {
    let days = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    Ok(format!("{year}-{month:02}-{day:02}"))
}
