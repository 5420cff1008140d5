//! The tables and plots of docs/performance.md.

use std::fmt::Write as _;
use std::fs;

use crate::report::{Rows, root, short};
use crate::{Outcome, marks};

pub(crate) fn write(rows: &Rows) -> Outcome<()> {
    let docs = root().join("docs");
    marks::write(&[("run", marks::run()?), ("targets", marks::targets(rows)), ("figures", marks::figures(rows))])?;
    fs::write(docs.join("latency-over-payload.svg"), latency_over_payload(rows))?;
    fs::write(docs.join("cost-over-peers.svg"), cost_over_peers(rows))?;
    Ok(())
}

/// A line of a plot: what it is, its color, and its points.
struct Line {
    name: &'static str,
    color: &'static str,
    points: Vec<(f64, f64)>,
}

/// A line through the figures of a metric of a workload.
fn line(rows: &Rows, workload: &str, metric: &str, name: &'static str, color: &'static str) -> Line {
    let of_metric = rows.0.iter().filter(|row| row.workload == workload && row.metric == metric);
    let points = of_metric.filter_map(|row| Some((number(&row.param)?, row.value))).collect();
    Line { name, color, points }
}

/// The number that a parameter begins with, times what its unit says.
fn number(param: &str) -> Option<f64> {
    let (number, unit) = param.split_once(' ')?;
    let times = match unit {
        "B" | "peers" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * times)
}

const OURS: &str = "#1f5fa8";
const FLOOR: &str = "#b3541e";

fn latency_over_payload(rows: &Rows) -> String {
    let mut lines = vec![line(rows, "P3", "p50", "request", OURS)];
    let floor = rows.get("P1", "64 B", "floor").unwrap_or_default();
    let flat = lines[0].points.iter().map(|(x, _)| (*x, floor)).collect();
    lines.push(Line { name: "two look-ups by hand", color: FLOOR, points: flat });
    let ticks = [(1.0, "1 B"), (1024.0, "1 KiB"), (1048576.0, "1 MiB"), (1073741824.0, "1 GiB")];
    svg(WIDTH, &panel(0.0, "ns a request, over the size of the payload", &lines, &ticks))
}

fn cost_over_peers(rows: &Rows) -> String {
    let exchange = [
        line(rows, "P8", "exchange", "exchange when all mingle", OURS),
        line(rows, "P8", "by_hand", "the same by hand", FLOOR),
    ];
    let spawn = [
        line(rows, "P9", "spawn_and_close", "spawn and close a peer", OURS),
        line(rows, "P9", "floor", "spawn and join a bare thread", FLOOR),
    ];
    let ticks = [(1.0, "1"), (10.0, "10"), (100.0, "100"), (1e3, "1,000"), (1e4, "10,000")];
    let left = panel(0.0, "ns an exchange, over the number of peers", &exchange, &ticks);
    let right = panel(WIDTH, "us a peer, over the number of peers", &spawn, &ticks);
    svg(2.0 * WIDTH, &(left + &right))
}

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
/// The corners of the plot itself, within its panel.
const LEFT: f64 = 60.0;
const RIGHT: f64 = 450.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 255.0;

fn svg(width: f64, parts: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{HEIGHT}\" fill=\"white\"/>\n{parts}</svg>\n"
    )
}

/// A plot over a logarithmic axis from the first tick to the last, and from 0 up.
fn panel(left: f64, title: &str, lines: &[Line], ticks: &[(f64, &str)]) -> String {
    let most = lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y).fold(1.0, f64::max);
    let step = step(most);
    let top = (most / step).ceil() * step;
    let (first, last) = (ticks[0].0.ln(), ticks[ticks.len() - 1].0.ln());
    let x = |value: f64| left + LEFT + (value.ln() - first) / (last - first) * (RIGHT - LEFT);
    let y = |value: f64| BOTTOM - value / top * (BOTTOM - TOP);
    let mut text = String::new();
    let mut put = |line: String| _ = writeln!(text, "{line}");

    put(format!("<text x=\"{}\" y=\"20\" font-size=\"14\">{title}</text>", left + 16.0));
    let mut value = 0.0;
    while value <= top {
        let (y, from, to) = (y(value), left + LEFT, left + RIGHT);
        put(format!("<path d=\"M{from} {y:.1}H{to}\" stroke=\"#ddd\"/>"));
        put(format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>", from - 6.0, y + 4.0));
        value += step;
    }
    for (value, name) in ticks {
        put(format!("<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{name}</text>", x(*value), BOTTOM + 20.0));
    }
    for (number, Line { name, color, points }) in lines.iter().enumerate() {
        let path: Vec<String> = points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
        put(format!("<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>", path.join(" ")));
        for (at, value) in points {
            let label = format!("<title>{}</title>", short(*value));
            put(format!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{color}\">{label}</circle>",
                x(*at),
                y(*value)
            ));
        }
        let place = left + LEFT + 200.0 * number as f64;
        put(format!("<rect x=\"{place}\" y=\"32\" width=\"10\" height=\"10\" fill=\"{color}\"/>"));
        put(format!("<text x=\"{}\" y=\"41\">{name}</text>", place + 15.0));
    }
    text
}

/// A round distance between lines, of which there are then about five.
fn step(most: f64) -> f64 {
    let rough = most / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|step| *step >= rough).unwrap_or(rough)
}
