//! The report as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::statistics::Statistics;
use crate::targets::Target;

pub(crate) struct Report {
    pub(crate) machine: String,
    pub(crate) cases: BTreeMap<String, Statistics>,
    pub(crate) targets: Vec<Target>,
    /// The output of `contention.sh`, as text.
    pub(crate) contention: String,
}

impl Report {
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.machine);
        let head = ["target", "at most", "measured", ""].map(str::to_owned).to_vec();
        let rows = self.targets.iter().map(|target| {
            let value = |value: f64| format!("{value:.2} {}", target.unit).trim_end().to_owned();
            let verdict = if target.is_met() { "met" } else { "missed" };
            vec![
                target.what.clone(),
                value(target.target),
                value(target.measured),
                verdict.to_owned(),
            ]
        });
        table(&mut text, head, rows);
        text.push('\n');
        let head = ["case", "median ms", "quartiles", "least", "most", "turns", "peak MiB"];
        let rows = self.cases.iter().map(|(name, statistics)| {
            let ms = |value: f64| format!("{value:.1}");
            let quartiles =
                format!("{} – {}", ms(statistics.lower_quartile), ms(statistics.upper_quartile));
            let peak = match statistics.peak {
                0 => String::new(),
                peak => format!("{:.1}", peak as f64 / 1024.0),
            };
            let (least, most) = (ms(statistics.least), ms(statistics.most));
            let turns = statistics.turns.to_string();
            vec![name.clone(), ms(statistics.median), quartiles, least, most, turns, peak]
        });
        table(&mut text, head.map(str::to_owned).to_vec(), rows);
        text.push('\n');
        text.push_str(&self.contention);
        text
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "machine": self.machine,
            "targets": self.targets,
            "cases": self.cases,
            "contention": self.contention,
        })
    }
}

fn table(text: &mut String, head: Vec<String>, rows: impl Iterator<Item = Vec<String>>) {
    let all: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    for row in &all {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column).unwrap_or(0);
            // Names are left-aligned, numbers right-aligned.
            let _ = match column {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}
