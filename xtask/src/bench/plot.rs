//! Plots: small SVG files in the colours that the reader prefers, light or dark.

use super::report::time;
use super::results::Measured;
use super::scaling::Curve;

const WIDTH: f64 = 760.0;
/// Height of a line of text.
const LINE: f64 = 18.0;
/// Colours that can be told apart, also by people who see fewer of them, on white and on black.
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b59a00", "#56a4d9", "#808080"];

/// Horizontal bars on a logarithmic scale, each with its range.
pub(crate) fn bars(table: &Measured) -> String {
    let (left, top, right) = (330.0, 34.0, 70.0);
    let walls = || table.rows.iter().map(|row| row.wall);
    let from = walls().map(|wall| wall.p10).fold(f64::INFINITY, f64::min);
    let scale = Scale::new(from / 1.5, walls().map(|wall| wall.p90).fold(0.0, f64::max), left, WIDTH - right);
    let bottom = top + LINE * table.rows.len() as f64;
    let mut body = text(10.0, 20.0, "start", "title", table.title);
    for (x, label) in scale.decades() {
        body += &format!("<line class='grid' x1='{x:.1}' y1='{top}' x2='{x:.1}' y2='{bottom:.1}'/>");
        body += &text(x, bottom + 14.0, "middle", "", &label);
    }
    for (index, row) in table.rows.iter().enumerate() {
        let y = top + LINE * index as f64;
        let label = if row.task == "–" { row.program.clone() } else { format!("{}, {}", row.program, row.task) };
        let (end, low, high) = (scale.at(row.wall.median), scale.at(row.wall.p10), scale.at(row.wall.p90));
        let colour = if row.program.contains("fastboot") { COLOURS[0] } else { COLOURS[6] };
        body += &text(left - 8.0, y + 13.0, "end", "", &label.replace('`', ""));
        body += &format!(
            "<rect x='{left}' y='{:.1}' width='{:.1}' height='12' fill='{colour}'/>",
            y + 3.0,
            (end - left).max(1.0)
        );
        body += &format!("<line class='range' x1='{low:.1}' y1='{0:.1}' x2='{high:.1}' y2='{0:.1}'/>", y + 9.0);
        body += &text(end.max(high) + 6.0, y + 13.0, "start", "", &time(row.wall.median));
    }
    document(bottom + 24.0, &body)
}

/// Lines, both scales logarithmic. `unit`: of the horizontal one.
pub(crate) fn lines(title: &str, unit: &str, curves: &[Curve]) -> String {
    let (left, top, right, bottom) = (70.0, 34.0, 44.0, 360.0);
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let low = |value: fn(&(f64, super::statistics::Spread)) -> f64| points().map(value).fold(f64::INFINITY, f64::min);
    let high = |value: fn(&(f64, super::statistics::Spread)) -> f64| points().map(value).fold(0.0, f64::max);
    let across = Scale::new(low(|point| point.0), high(|point| point.0), left, WIDTH - right);
    let up = Scale::new(low(|point| point.1.p10) / 1.2, high(|point| point.1.p90) * 1.2, bottom, top);
    let mut body = text(10.0, 20.0, "start", "title", title);
    for (y, label) in up.decades() {
        body += &format!("<line class='grid' x1='{left}' y1='{y:.1}' x2='{:.1}' y2='{y:.1}'/>", WIDTH - right);
        body += &text(left - 6.0, y + 4.0, "end", "", &label);
    }
    let places: Vec<f64> = curves
        .iter()
        .max_by_key(|curve| curve.points.len())
        .map_or(Vec::new(), |curve| curve.points.iter().map(|(x, _)| *x).collect());
    for place in places {
        let x = across.at(place);
        body += &format!("<line class='grid' x1='{x:.1}' y1='{top}' x2='{x:.1}' y2='{bottom}'/>");
        body += &text(x, bottom + 16.0, "middle", "", &super::rows::thousands(place as usize));
    }
    body += &text(WIDTH - right, bottom + 34.0, "end", "", unit);
    for (index, curve) in curves.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let at = |x: f64, y: f64| format!("{:.1},{:.1}", across.at(x), up.at(y));
        let line: Vec<String> = curve.points.iter().map(|(x, spread)| at(*x, spread.median)).collect();
        let upper = curve.points.iter().map(|(x, spread)| at(*x, spread.p90));
        let lower = curve.points.iter().rev().map(|(x, spread)| at(*x, spread.p10));
        let range: Vec<String> = upper.chain(lower).collect();
        body += &format!("<polygon points='{}' fill='{colour}' opacity='0.2'/>", range.join(" "));
        body += &format!("<polyline points='{}' fill='none' stroke='{colour}' stroke-width='2'/>", line.join(" "));
        let y = bottom + 52.0 + LINE * index as f64;
        body += &format!("<rect x='{left}' y='{:.1}' width='14' height='4' fill='{colour}'/>", y - 6.0);
        body += &text(left + 22.0, y, "start", "", &curve.name.replace('`', ""));
    }
    document(bottom + 52.0 + LINE * curves.len() as f64, &body)
}

/// A logarithmic scale.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// `low` is drawn at `from`, `high` at `to`.
    fn new(low: f64, high: f64, from: f64, to: f64) -> Self {
        let low = if low.is_finite() { low.max(0.1) } else { 0.1 };
        Self { low, high: high.max(low * 1.01), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        self.from + share * (self.to - self.from)
    }

    /// Powers of ten, in microseconds.
    fn decades(&self) -> Vec<(f64, String)> {
        let units = [(1e6, "s"), (1e3, "ms"), (1.0, "µs")];
        let label = |value: f64| {
            let (size, unit) = units.into_iter().find(|(size, _)| value >= *size).unwrap_or((1.0, "µs"));
            format!("{} {unit}", value / size)
        };
        let decades = (-1..10).map(|exponent| 10_f64.powi(exponent));
        let inside = decades.filter(|value| self.low <= *value && *value <= self.high);
        inside.map(|value| (self.at(value), label(value))).collect()
    }
}

fn text(x: f64, y: f64, anchor: &str, class: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('`', "");
    format!("<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}' class='{class}'>{text}</text>\n")
}

fn document(height: f64, body: &str) -> String {
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height:.0}' width='{WIDTH}' height='{height:.0}'>\n\
         <style>\n\
         svg {{ background: #fff; font: 12px system-ui, sans-serif }}\n\
         text {{ fill: #222 }} .title {{ font-weight: bold }}\n\
         .grid {{ stroke: #ddd }} .range {{ stroke: #222; stroke-width: 1.5 }}\n\
         @media (prefers-color-scheme: dark) {{\n\
         svg {{ background: #161616 }} text {{ fill: #ddd }} .grid {{ stroke: #383838 }} .range {{ stroke: #ddd }}\n\
         }}\n\
         </style>\n{body}</svg>\n"
    )
}
