//! P13.
use crate::report::Rows;
use crate::{Outcome, Run};
pub(crate) fn run(_run: Run) -> Outcome<Rows> {
    Ok(Rows::default())
}
