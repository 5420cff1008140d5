//! A bound that a figure is held against.

use crate::report::{Rows, short};

pub(crate) enum Bound {
    Most(f64),
    Least(f64),
    /// At most another figure of the same row.
    NoMoreThan(&'static str),
}

/// A bound on a figure: on each parameter of the workload that has this metric, or on one.
pub(crate) struct Target {
    pub(crate) workload: &'static str,
    /// Empty: all of them.
    params: &'static [&'static str],
    metric: &'static str,
    bound: Bound,
    /// For people.
    pub(crate) text: &'static str,
}

/// What was found about a target.
pub(crate) struct Reached {
    pub(crate) is_met: bool,
    /// The figures, with their parameters.
    pub(crate) measured: String,
}

pub(crate) const fn target(
    workload: &'static str,
    params: &'static [&'static str],
    metric: &'static str,
    bound: Bound,
    text: &'static str,
) -> Target {
    Target { workload, params, metric, bound, text }
}

impl Target {
    /// `None` if it was not measured.
    pub(crate) fn look(&self, rows: &Rows) -> Option<Reached> {
        let is_meant = |param: &str| self.params.is_empty() || self.params.contains(&param);
        let meant = rows
            .0
            .iter()
            .filter(|row| row.workload == self.workload && row.metric == self.metric && is_meant(&row.param));
        let meant: Vec<_> = meant.collect();
        if meant.is_empty() {
            return None;
        }
        let is_met = meant.iter().all(|row| match self.bound {
            Bound::Most(bound) => row.value <= bound,
            Bound::Least(bound) => row.value >= bound,
            Bound::NoMoreThan(other) => {
                rows.get(&row.workload, &row.param, other).is_some_and(|bound| row.value <= bound)
            }
        });
        let figures = meant.iter().map(|row| {
            let unit = if row.unit == "x" { "×" } else { &row.unit };
            format!("{}: {} {unit}", row.param, short(row.value))
        });
        Some(Reached { is_met, measured: figures.collect::<Vec<_>>().join(", ") })
    }
}
