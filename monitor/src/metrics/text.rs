//! Writes Prometheus' text format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! The crate `prometheus` keeps the metrics in registries of its own. Here each text is written
//! from a view of the host, so that a VF that vanished leaves no stale series.

use std::fmt::{Display, Write as _};

/// The value of the HTTP header `Content-Type`.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Debug, Default)]
pub(crate) struct Text(String);

/// The labels of a sample, without those that are always there.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Text {
    pub(crate) fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    pub(crate) fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    pub(crate) fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "histogram", help)
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let head = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Family { text: self, name, head: Some(head) }
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// One metric. All its samples follow each other, as the format requires.
pub(crate) struct Family<'a> {
    text: &'a mut Text,
    name: &'static str,
    /// The lines before the first sample. A family without samples has none.
    head: Option<String>,
}

impl Family<'_> {
    pub(crate) fn sample(&mut self, labels: Labels, value: impl Display) {
        self.sample_of("", labels, value);
    }

    /// `suffix`: `_bucket`, `_sum` or `_count` of a histogram.
    pub(crate) fn sample_of(&mut self, suffix: &str, labels: Labels, value: impl Display) {
        let text = &mut self.text.0;
        text.push_str(&self.head.take().unwrap_or_default());
        text.push_str(self.name);
        text.push_str(suffix);
        for (position, (name, value)) in labels.iter().enumerate() {
            text.push(if position == 0 { '{' } else { ',' });
            text.push_str(name);
            text.push_str("=\"");
            push_escaped(text, value);
            text.push('"');
        }
        if !labels.is_empty() {
            text.push('}');
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, " {value}");
    }
}

/// Escapes what the format requires. A container controls some names.
fn push_escaped(text: &mut String, value: &str) {
    for sign in value.chars() {
        match sign {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_follow_their_help_and_labels_are_escaped() {
        let mut text = Text::default();
        let mut family = text.counter("a_total", "The a.");
        family.sample(&[("x", "1"), ("y", "q\"b\\n\nz")], 7_u64);
        family.sample(&[], 0.5);
        text.gauge("unused", "A family without samples.");
        assert_eq!(
            text.into_string(),
            "# HELP a_total The a.\n# TYPE a_total counter\n\
             a_total{x=\"1\",y=\"q\\\"b\\\\n\\nz\"} 7\na_total 0.5\n"
        );
    }
}
