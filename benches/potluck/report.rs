//! The figures: lines of a CSV, and the table for people.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::PathBuf;

use crate::targets::TARGETS;
use crate::{Outcome, cores};

/// One figure.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) workload: String,
    pub(crate) param: String,
    pub(crate) metric: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{},{}", self.workload, self.param, self.metric, short(self.value), self.unit)
    }
}

/// A number with as many digits as mean something.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        whole if whole.fract() == 0.0 => format!("{value:.0}"),
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Figures, in the order in which they were measured.
#[derive(Clone, Default)]
pub(crate) struct Rows(pub(crate) Vec<Row>);

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

impl Rows {
    /// A figure by itself.
    pub(crate) fn add(&mut self, workload: &str, param: &str, metric: &str, value: f64, unit: &str) {
        let (workload, param, metric) = (workload.to_owned(), param.to_owned(), metric.to_owned());
        self.0.push(Row { workload, param, metric, value, unit: unit.to_owned() });
    }

    /// A figure with its floor and its ratio to that.
    pub(crate) fn against(&mut self, workload: &str, param: &str, metric: &str, value: f64, floor: f64, unit: &str) {
        self.add(workload, param, metric, value, unit);
        self.add(workload, param, "floor", floor, unit);
        self.add(workload, param, "ratio", value / floor, "x");
    }

    /// The value of a figure.
    pub(crate) fn get(&self, workload: &str, param: &str, metric: &str) -> Option<f64> {
        let is_it = |row: &&Row| row.workload == workload && row.param == param && row.metric == metric;
        self.0.iter().find(is_it).map(|row| row.value)
    }

    /// Adds the lines that another process has printed.
    pub(crate) fn read(&mut self, lines: &str) -> Outcome<()> {
        for line in lines.lines() {
            let parts: Vec<&str> = line.split(',').collect();
            let [workload, param, metric, value, unit] = parts[..] else {
                return Err(format!("not a line of five: {line}").into());
            };
            self.add(workload, param, metric, value.parse()?, unit);
        }
        Ok(())
    }

    /// Workload and parameter, each pair once, in the order of the workloads' numbers.
    pub(crate) fn keys(&self) -> Vec<(&str, &str)> {
        let mut keys: Vec<(&str, &str)> = Vec::new();
        for row in &self.0 {
            let key = (&*row.workload, &*row.param);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let number = |workload: &str| -> (u32, bool) {
            let digits = workload.trim_start_matches(['P', 'M']);
            (digits.trim_end_matches('b').parse().unwrap_or(u32::MAX), digits.ends_with('b'))
        };
        keys.sort_by_key(|(workload, _)| number(workload));
        keys
    }

    /// The figures of a pair in one line.
    pub(crate) fn line(&self, (workload, param): (&str, &str)) -> String {
        let rows = self.0.iter().filter(|row| row.workload == workload && row.param == param);
        let figures: Vec<String> =
            rows.map(|row| format!("{} {} {}", row.metric, short(row.value), row.unit)).collect();
        figures.join(" · ")
    }

    /// Writes the CSV, into the folder of what is built.
    pub(crate) fn write(&self, file: &str) -> Outcome<()> {
        let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(file), format!("workload,param,metric,value,unit\n{self}"))?)
    }
}

/// The folder of the project.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The table for people: the figures, and what is to be reached.
pub(crate) fn table(rows: &Rows) -> String {
    let mut text = format!("\n{}\n\n", machine());
    for key in rows.keys() {
        let _ = writeln!(text, "{:5} {:18} {}", key.0, key.1, rows.line(key));
    }
    text.push_str("\nTo be reached:\n");
    for target in TARGETS {
        if let Some(reached) = target.look(rows) {
            let word = if reached.is_met { "met " } else { "OPEN" };
            let _ = writeln!(text, "{word}  {:5} {} ({})", target.workload, target.text, reached.measured);
        }
    }
    text
}

/// The machine, and how many cores of it there are for us.
pub(crate) fn machine() -> String {
    let field = |path: &str, name: &str| -> Option<String> {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line[name.len()..].trim_matches([':', ' ', '\t']).to_owned())
    };
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "a processor without a name".to_owned());
    let system = field("/proc/version", "Linux version").unwrap_or_default();
    let kernel = system.split(['-', ' ']).next().unwrap_or_default();
    let cores = cores::allowed().map_or(0, |cores| cores.len());
    format!("{model}, {cores} cores, Linux {kernel}")
}
