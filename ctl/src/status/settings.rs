//! `runvfctl status --settings`: the settings that the kernel reports for attached VFs.

use std::path::Path;

use serde_json::json;
use vf::{CaptureSettings, Error, Host};

use super::names;
use crate::table::aligned;

/// Returns the table, or JSON.
pub(super) fn run(host: &Host, as_json: bool) -> Result<String, Error> {
    let all = vf::capture_settings(host)?;
    Ok(match as_json {
        true => format!("{:#}\n", json!(all)),
        false => table(&all, |id| names::name(Path::new("/"), id, None)),
    })
}

const HEADER: [&str; 10] = [
    "ADDRESS",
    "CONTAINER",
    "AS",
    "SENDS",
    "CHANNELS",
    "SYMMETRIC",
    "RX RING",
    "RX USECS",
    "MERGES FRAMES",
    "INTERRUPTS ON",
];

fn table(all: &[CaptureSettings], name: impl Fn(&str) -> Option<String>) -> String {
    let mut rows = vec![HEADER.map(str::to_owned)];
    rows.extend(all.iter().map(|settings| row(settings, &name)));
    aligned(&rows)
}

fn row(settings: &CaptureSettings, name: impl Fn(&str) -> Option<String>) -> [String; 10] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let number = |number: Option<u32>| or_dash(number.map(|number| number.to_string()));
    let yes = |is: Option<bool>| or_dash(is.map(|is| if is { "yes" } else { "no" }.to_owned()));
    let short = settings.container.chars().take(12).collect();
    let ring = match (settings.rx_ring, settings.rx_ring_max) {
        (Some(size), Some(max)) if size != max => format!("{size} of {max}"),
        (size, _) => number(size),
    };
    let usecs = match settings.rx_adaptive {
        Some(true) => "adaptive".to_owned(),
        _ => number(settings.rx_usecs),
    };
    let mut interrupts = settings.interrupt_cpus.clone();
    interrupts.dedup();
    let list = |items: &[String], none: &str| match items {
        [] => none.to_owned(),
        items => items.join(" "),
    };
    [
        settings.vf.clone(),
        name(&settings.container).unwrap_or(short),
        settings.interface.clone(),
        yes(settings.drops_sent.map(|drops| !drops)),
        number(settings.channels),
        yes(settings.symmetric.filter(|_| settings.channels > Some(1))),
        ring,
        usecs,
        list(&settings.merging, "no"),
        list(&interrupts, "-"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sensor() -> CaptureSettings {
        CaptureSettings {
            vf: "0000:01:10.0".to_owned(),
            container: "4f1c0f5e9d1b8a7c".to_owned(),
            interface: "mon0".to_owned(),
            channels: Some(1),
            symmetric: Some(false),
            rx_ring: Some(4096),
            rx_ring_max: Some(4096),
            rx_usecs: Some(125),
            rx_adaptive: Some(false),
            merging: Vec::new(),
            drops_sent: Some(true),
            interrupt_cpus: vec!["2-3".to_owned(), "2-3".to_owned()],
        }
    }

    #[test]
    fn a_row_has_what_the_kernel_reports() {
        let plain = CaptureSettings {
            channels: None,
            rx_ring: Some(256),
            rx_adaptive: Some(true),
            merging: vec!["rx-gro".to_owned()],
            drops_sent: Some(false),
            interrupt_cpus: Vec::new(),
            ..sensor()
        };
        let name = |id: &str| (id == "a").then(|| "sensor".to_owned());
        assert_eq!(
            row(&sensor(), name),
            ["0000:01:10.0", "4f1c0f5e9d1b", "mon0", "no", "1", "-", "4096", "125", "no", "2-3"]
        );
        assert_eq!(
            row(&plain, |_| Some("acme".to_owned())),
            [
                "0000:01:10.0",
                "acme",
                "mon0",
                "yes",
                "-",
                "-",
                "256 of 4096",
                "adaptive",
                "rx-gro",
                "-"
            ]
        );
    }
}
