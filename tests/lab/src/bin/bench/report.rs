//! The tables, and the same as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::statistics::Figures;
use crate::targets::Target;

pub(crate) struct Report {
    pub(crate) machine: String,
    pub(crate) cases: BTreeMap<String, Figures>,
    pub(crate) targets: Vec<Target>,
    /// Lines for people.
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
                target.what.to_owned(),
                value(target.target),
                value(target.measured),
                verdict.to_owned(),
            ]
        });
        table(&mut text, head, rows);
        text.push('\n');
        let head = ["case", "median ms", "quartiles", "least", "most", "turns", "peak MiB"];
        let rows = self.cases.iter().map(|(name, figures)| {
            let ms = |value: f64| format!("{value:.1}");
            let quartiles =
                format!("{} – {}", ms(figures.lower_quartile), ms(figures.upper_quartile));
            let peak = match figures.peak {
                0 => String::new(),
                peak => format!("{:.1}", peak as f64 / 1024.0),
            };
            let (least, most) = (ms(figures.least), ms(figures.most));
            let turns = figures.turns.to_string();
            vec![name.clone(), ms(figures.median), quartiles, least, most, turns, peak]
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
            // Names to the left, numbers to the right.
            let _ = match column {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}
